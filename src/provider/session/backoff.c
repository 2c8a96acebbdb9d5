/* SPDX-License-Identifier: Apache-2.0 */
/* Jittered exponential back-off. */
#include "provider/session/backoff.h"

int64_t backoff_next_ms(struct backoff *b, const struct rand_src *rand)
{
    int64_t ceiling_ms = b->ceiling_ms ? b->ceiling_ms : BACKOFF_FIRST_MS;
    int64_t wait_ms;

    b->ceiling_ms = ceiling_ms * 2 > BACKOFF_CAP_MS ? BACKOFF_CAP_MS : ceiling_ms * 2;
    wait_ms = rand_below(rand, (uint32_t)ceiling_ms + 1);
    return wait_ms < BACKOFF_FLOOR_MS ? BACKOFF_FLOOR_MS : wait_ms;
}

void backoff_session_ended(struct backoff *b, int64_t registered_for_ms)
{
    if (registered_for_ms >= BACKOFF_GOOD_SESSION_MS)
        b->ceiling_ms = 0;
}
