/* SPDX-License-Identifier: Apache-2.0 */
/* How much of waiting prompts goes into one pass. Rows that decode wait for the whole pass, so
 * beside them a pass is kept near a target time by what recent ones cost; where none decodes,
 * nobody waits and prompts come in full chunks. Belongs to the batch thread. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_PACE_H
#define DARKBLOOM_PROVIDER_ENGINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PACE_TARGET_US =
        150000,          /* of a pass beside rows that decode: a gap that a reader hardly sees */
    PACE_MIN_TOKENS = 16 /* of prompts a pass, whatever they cost: a prompt must get on */
};

struct pace {
    int32_t chunk_tokens; /* at most so many a pass */
    int64_t token_us;     /* of a prompt, by recent passes; 0: not known yet */
};

/* Tokens of prompts that the next pass has room for. */
int32_t pace_room(const struct pace *p, bool beside_decoding);

/* A pass with `prefilled` tokens of prompts took `took_us`. */
void pace_learn(struct pace *p, int32_t prefilled, int64_t took_us);

#endif
