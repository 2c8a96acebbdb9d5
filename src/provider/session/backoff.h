/* SPDX-License-Identifier: Apache-2.0 */
/* How long to wait before the next attempt to connect: a ceiling that doubles from 1 s to 8 s, and
 * a wait drawn evenly from zero to the ceiling ("full jitter"), so that a fleet that lost its
 * coordinator does not come back in step, yet well within the 30 s for which a restarted one lets
 * requests wait. The wait is never under 100 ms: a server that accepts and closes must not become a
 * busy loop. */
#ifndef DARKBLOOM_PROVIDER_SESSION_BACKOFF_H
#define DARKBLOOM_PROVIDER_SESSION_BACKOFF_H

#include "base/rand.h"

enum {
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_CAP_MS = 8000,
    BACKOFF_FLOOR_MS = 100,
    BACKOFF_GOOD_SESSION_MS = 10000 /* a registered session of this length starts afresh */
};

struct backoff {
    int64_t ceiling_ms; /* of the next wait; 0: BACKOFF_FIRST_MS */
};

/* The wait before the next attempt, in milliseconds; doubles the ceiling of the one after. */
int64_t backoff_next_ms(struct backoff *b, const struct rand_src *rand);

/* Tell how the session that just ended went: `registered_for_ms` is how long it had been
 * registered, -1 if it never was. */
void backoff_session_ended(struct backoff *b, int64_t registered_for_ms);

#endif
