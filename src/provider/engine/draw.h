/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing a row's next token: the sampler, with what a request adds to the logits before it
 * (logit_bias, repetition_penalty, min_p) and the grammar behind it; and what is told of the choice
 * (logprobs). Belongs to the batch thread. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_DRAW_H
#define DARKBLOOM_PROVIDER_ENGINE_DRAW_H

#include "proto/chat.h"
#include "provider/engine/model_ops.h"
#include "provider/engine/sampler.h"

enum { DRAW_PIECE_BYTES = 256 };     /* of a token's text in logprobs; more is cut */
#define DRAW_NEVER_LOGPROB (-9999.0) /* of a token that cannot be drawn: JSON has no infinity */

struct draw_how {
    const struct chat_bias *biases; /* tokens below the model's vocabulary */
    size_t n_biases;
    double repetition_penalty; /* (0, 2]; 1 (or 0): off */
    double min_p;              /* 0: off */
    bool logprobs;
    int32_t top_logprobs; /* [0, CHAT_MAX_TOP_LOGPROBS] */
};

/* What a draw needs of a row. */
struct draw_row {
    const struct draw_how *how;
    struct sampler *sampler;
    struct constraint *constraint; /* NULL: none */
    const int32_t *tokens;         /* prompt, then answer */
    int32_t n_prompt, n_tokens;
};

/* The next token, or ERR_MODEL: logits that are no numbers, or no token that fits the grammar.
 * `logits` are changed. */
int32_t draw_token(struct draw_row *row, struct sampler_scratch *scratch, float *logits);

/* Append the entry of logprobs.content for `token`, by the logits as the model gave them. 0,
 * ERR_LIMIT, ERR_NOMEM. */
int draw_write_logprobs(const struct draw_how *how, const struct model_ops *ops, void *model,
                        const float *logits, int32_t token, struct buf *out);

#endif
