/* SPDX-License-Identifier: Apache-2.0 */
/* What is measured of a side: each case asks as consumers do and gives its figures. */
#ifndef DARKBLOOM_BENCH_PEERS_CASES_H
#define DARKBLOOM_BENCH_PEERS_CASES_H

#include "bench/peers_run.h"

struct peers_cases {
    struct peers *peers;
    struct peers_prompts prompts;
    int streams;             /* that a side runs at once */
    int64_t context_tokens;  /* of each */
    int64_t new_tokens;      /* of an answer whose rate is measured */
    int64_t shortest_tokens; /* of such an answer; INT64_MAX: none yet */
};

/* Learn from the product what prompts.overhead_tokens and may_bias are. 0, or ERR_PROTOCOL: prompts
 * cannot be made exact. */
int peers_calibrate(struct peers_cases *c, struct err *ret_err);

enum { PEERS_FIGURES_MAX = 3 };

/* One round on one side: another seed, other prompts. `arg` is the case's. 0 with the figures that
 * the case's name promises, or a negative error: refused, broken, or what should be measured did
 * not happen. */
typedef int peers_case(struct peers_cases *c, enum peers_side side, uint64_t seed, int64_t arg,
                       double ret_figures[PEERS_FIGURES_MAX]);

/* Tokens a second of `arg` streams: from the first moment when all have begun to the first end of
 * one; and of all tokens from the first request to the last end. */
peers_case peers_case_rate;
/* Seconds to the first piece of a prompt of `arg` tokens that nobody sent before. */
peers_case peers_case_first;
/* A prompt of `arg` tokens beside a running answer: that answer's worst gap until the prompt's
 * first piece, and the time to it, in seconds. */
peers_case peers_case_beside;
/* How many times sooner the first piece comes of a prompt whose first `arg` tokens are those of the
 * one before: for the same key, and for another account's (the server has none: the same again).
 * And seconds of the same key's. */
peers_case peers_case_prefix;
/* All streams run and one more request, of `arg` tokens, waits: seconds from one's leaving to the
 * first piece of the one that waited. */
peers_case peers_case_cancel;

#endif
