/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of characters that a tokenizer may not be given. Before it merges, a BPE tokenizer splits a
 * text by its pre-tokenizer (tokenizer.ggml.pre). For many of these the pinned library uses
 * std::regex, which takes stack for each character of a match, and for two of them time in the
 * square of a run's length (docs/internals/batching.md has what was measured). A match ends where
 * white space begins or ends, so what is bounded is each run of white space and of anything else.
 */
#ifndef DARKBLOOM_PROVIDER_ENGINE_TEXT_RUNS_H
#define DARKBLOOM_PROVIDER_ENGINE_TEXT_RUNS_H

#include "base/err.h"
#include "base/str.h"

enum {
    TEXT_RUN_MAX_CHARS = 65536,
    TEXT_RUN_STACK_BYTES = 512, /* for a character; 356 were measured */
    /* A match is a character of white space, a run, and line ends behind it: two runs. */
    TEXT_STACK_BYTES = 2 * TEXT_RUN_MAX_CHARS * TEXT_RUN_STACK_BYTES + (1 << 20),
    /* The squares of runs that take time in the square: so many together (about 1 s), and so many
     * more for each character of the text. */
    TEXT_RUN_MAX_SQUARES = 4 << 20,
    TEXT_RUN_SQUARES_PER_CHAR = 32
};

struct text_runs {
    bool bounded;       /* TEXT_RUN_MAX_CHARS holds */
    bool space_joins;   /* a space does not end a match */
    bool square_spaces; /* runs of white space cost their square */
    bool square_digits; /* runs of digits do */
};

/* What holds for the pre-tokenizer `pre` of a BPE vocabulary (.n 0: none named). Names that are not
 * known to need no stack are taken to need it. Other vocabularies have no pre-tokenizer: zeros. */
struct text_runs text_runs_of(struct str pre);

/* 0, or ERR_RANGE: a run is too long. One pass; any thread. */
int text_runs_check(const struct text_runs *rule, struct str text);

#endif
