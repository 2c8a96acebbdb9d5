/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/pace.h"

int32_t pace_room(const struct pace *p, bool beside_decoding)
{
    int64_t room = p->chunk_tokens;

    if (beside_decoding)
        room = p->token_us > 0 ? PACE_TARGET_US / p->token_us : PACE_MIN_TOKENS;
    if (room < PACE_MIN_TOKENS)
        room = PACE_MIN_TOKENS;
    return room < p->chunk_tokens ? (int32_t)room : p->chunk_tokens;
}

/* What the decoding rows cost is shared out among the tokens of prompts: so the target is met with
 * them in the pass, whatever they cost. Of fewer tokens than the least it would say too much. The
 * mean with what was known before takes the edge off a pass that the machine interrupted. */
void pace_learn(struct pace *p, int32_t prefilled, int64_t took_us)
{
    int64_t us;

    if (prefilled < PACE_MIN_TOKENS)
        return;
    us = took_us / prefilled + 1;
    p->token_us = p->token_us > 0 ? (p->token_us + us) / 2 : us;
}
