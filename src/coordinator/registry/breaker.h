/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a provider that fails is asked again, and when. A circuit breaker for each proven key;
 * logic only: time is a parameter (microseconds of one monotonic clock), nothing is allocated.
 *
 *   closed ──── trips ───▶ open ──── back-off over ───▶ half open ── the probe is served ──▶ closed
 *                            ▲                              │
 *                            └────── the probe fails ───────┘        (twice the back-off)
 *
 * It trips when three answers in a row failed, or when at least four failed lately (half-life two
 * minutes) and they are a quarter of all or more. After an opening one failure is enough, until
 * eight answers in a row were served. The back-off is 4 s and doubles to 15 minutes with each
 * opening; eight answers in a row, or 15 minutes closed, make it 4 s again.
 *
 * A key that has shown no content yet gets at most six requests at once, minus its failures; each
 * content doubles that. So a provider that fails everything costs at most nine requests (six, and
 * probes after 4, 8 and 16 s) before the gaps are 32 s and longer, whatever room it claims (FR-1).
 *
 * Refusals for load and what is nobody's fault are not failures (FR-7): breaker_spared. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_BREAKER_H
#define DARKBLOOM_COORDINATOR_REGISTRY_BREAKER_H

#include <stdbool.h>

#include "coordinator/registry/tally.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

enum { BREAKER_WINDOW_MAX = 1024, BREAKER_COUNT_MAX = 255 };

#define BREAKER_BACKOFF_FIRST_US INT64_C(4000000)
#define BREAKER_BACKOFF_MAX_US   INT64_C(900000000)

struct breaker {
    struct tally recent;
    int64_t open_until_us; /* end of the last back-off; meaningful while `open` or level > 0 */
    int window;            /* requests at once until more content has been seen */
    uint8_t level;         /* openings in a row: the back-off is FIRST << (level - 1) */
    uint8_t failed_in_row; /* saturates */
    uint8_t served_in_row; /* saturates */
    bool open;             /* until a probe is served, half open included */
    bool probing;          /* half open: its one request is under way */
};

void breaker_init(struct breaker *b, int64_t now_us);
/* Let time go by for what it remembers of the last minutes. */
void breaker_age(struct breaker *b, int64_t now_us);

enum breaker_state breaker_state(const struct breaker *b, int64_t now_us);

/* How many requests may be there at once: 0 while open; 1 while half open, if no probe runs, beside
 * the `running` ones of before; the window while closed. */
int64_t breaker_limit(const struct breaker *b, int64_t now_us, int64_t running);

/* A request goes there. True: it is the probe; give that back with its outcome. */
bool breaker_started(struct breaker *b, int64_t now_us);
/* It has shown content. */
void breaker_content(struct breaker *b);

/* The outcome of one request. Returns whether the breaker's state changed. */
bool breaker_served(struct breaker *b, int64_t now_us, bool probe);
bool breaker_failed(struct breaker *b, int64_t now_us, bool probe);
/* Neither: refused for load, cancelled, cut by a limit of ours. A probe's turn is given back. */
bool breaker_spared(struct breaker *b, int64_t now_us, bool probe);

#endif
