/* SPDX-License-Identifier: Apache-2.0 */
/* The next token of a slot. */
#include <stdlib.h>
#include <string.h>

#include "provider/engine/constrain.h"
#include "provider/engine/scheduler_impl.h"

/* The logits as they came, where they will be told of; drawing changes them. */
static int slot_keep_logits(struct scheduler *s, const struct slot *slot, const float *logits)
{
    size_t n = (size_t)s->limits.vocab;

    if (!slot->request->how.logprobs)
        return 0;
    if (!s->raw_logits)
        s->raw_logits = calloc(n, sizeof *s->raw_logits);
    if (!s->raw_logits)
        return ERR_NOMEM;
    memcpy(s->raw_logits, logits, n * sizeof *logits);
    return 0;
}

/* A token that ends the answer is not part of it. */
static int slot_note_token(struct scheduler *s, struct slot *slot, int32_t token)
{
    struct constraint *c = slot->request->form.constraint;
    int rc = 0;

    if (s->config.ops->is_end(s->config.model, token))
        return 0;
    if (c)
        rc = constraint_accept(c, token);
    if (rc == 0 && slot->request->how.logprobs)
        rc = slot_say_logprobs(s, slot, s->raw_logits, token);
    return rc;
}

int32_t slot_draw(struct scheduler *s, struct slot *slot)
{
    float *logits = s->config.ops->logits(s->config.model, slot->row);
    struct draw_row row = {.how = &slot->request->how,
                           .sampler = &slot->sampler,
                           .constraint = slot->request->form.constraint,
                           .tokens = slot->tokens,
                           .n_prompt = slot->n_prompt,
                           .n_tokens = slot->n_tokens};
    int32_t token;
    int rc;

    if (!logits)
        return ERR_MODEL;
    rc = slot_keep_logits(s, slot, logits);
    if (rc < 0)
        return rc;
    token = draw_token(&row, &s->scratch, logits);
    if (token < 0)
        return token;
    rc = slot_note_token(s, slot, token);
    return rc < 0 ? rc : token;
}
