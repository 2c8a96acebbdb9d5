/* SPDX-License-Identifier: Apache-2.0 */
/* What the library does when nothing stands above it: one forward pass a token over all rows,
 * greedy. */
#ifndef DARKBLOOM_BENCH_BARE_DECODE_H
#define DARKBLOOM_BENCH_BARE_DECODE_H

#include "base/clock.h"
#include "provider/engine/llama_model.h"

enum { BARE_ROWS_MAX = 16, BARE_PROMPT_MAX = 128 };

struct bare_prompt {
    int32_t tokens[BARE_PROMPT_MAX];
    int32_t n;
};

/* The same prompt for all benches, through the model's own template. 0, or a negative error. */
int bare_prompt_make(struct gguf *model, struct bare_prompt *ret_prompt);
struct str bare_messages(void);

/* The likeliest token. */
int32_t bare_best_of(const float *logits, int32_t vocab);

/* Tokens a second of `rows` sequences over `steps` new tokens each, prefill included; negative on
 * failure. Leaves the KV cache empty. */
double bare_decode(struct gguf *model, struct clock *clock, const struct bare_prompt *prompt,
                   int32_t rows, int32_t steps);

#endif
