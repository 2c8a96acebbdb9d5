/* SPDX-License-Identifier: Apache-2.0 */
/* The timer heap that all loops share: intrusive timers in a binary heap by due time. */
#ifndef DARKBLOOM_NET_TIMER_H
#define DARKBLOOM_NET_TIMER_H

#include "net/loop.h"

struct timer_heap {
    struct loop_timer **items;
    size_t n, cap;
};

/* Insert, or move one that is set. 0 or ERR_NOMEM (then it is not set). */
int timer_heap_set(struct timer_heap *h, struct loop_timer *t);
void timer_heap_clear(struct timer_heap *h, struct loop_timer *t);

/* Take out one timer that is due at `now_us`; NULL: none. */
struct loop_timer *timer_heap_pop_due(struct timer_heap *h, int64_t now_us);

/* When the next one is due; INT64_MAX: none is set. */
int64_t timer_heap_next_us(const struct timer_heap *h);

void timer_heap_free(struct timer_heap *h);

#endif
