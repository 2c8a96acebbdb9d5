/* SPDX-License-Identifier: Apache-2.0 */
/* Prompts of an exact length: random words of a model's vocabulary that are one token each. */
#ifndef DARKBLOOM_BENCH_WORDS_H
#define DARKBLOOM_BENCH_WORDS_H

#include "base/buf.h"
#include "base/err.h"

struct words;

/* The vocabulary of a GGUF file; its weights are not loaded. ERR_MODEL with a sentence: it cannot
 * be read, or has no such words. */
int words_open(const char *model_path, struct words **ret_words, struct err *ret_err);
void words_close(struct words *w);

/* Append " word word …", `n` of them, chosen by `seed`: the same seed, the same words; another
 * seed, others from the first on. ASCII letters and spaces only. 0, ERR_LIMIT or ERR_NOMEM. */
int words_append(const struct words *w, uint64_t seed, int64_t n, struct buf *out);

/* A `logit_bias` under which no answer ends by itself: {"2":-100,…}. Borrowed. */
struct str words_no_end(const struct words *w);

#endif
