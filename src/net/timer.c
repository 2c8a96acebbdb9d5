/* SPDX-License-Identifier: Apache-2.0 */
#include "net/timer.h"

#include <stdlib.h>

/* A timer's `place` is its index + 1, so that a zeroed timer is one that is not set. */
static void timer_heap_put(struct timer_heap *h, size_t i, struct loop_timer *t)
{
    h->items[i] = t;
    t->place = i + 1;
}

static void timer_heap_up(struct timer_heap *h, size_t i)
{
    struct loop_timer *t = h->items[i];

    while (i > 0 && t->due_us < h->items[(i - 1) / 2]->due_us) {
        timer_heap_put(h, i, h->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    timer_heap_put(h, i, t);
}

static void timer_heap_down(struct timer_heap *h, size_t i)
{
    struct loop_timer *t = h->items[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->n)
            break;
        if (child + 1 < h->n && h->items[child + 1]->due_us < h->items[child]->due_us)
            child++;
        if (h->items[child]->due_us >= t->due_us)
            break;
        timer_heap_put(h, i, h->items[child]);
        i = child;
    }
    timer_heap_put(h, i, t);
}

int timer_heap_set(struct timer_heap *h, struct loop_timer *t)
{
    if (!t->place) {
        if (h->n == h->cap) {
            size_t cap = h->cap ? h->cap * 2 : 64;
            struct loop_timer **items = realloc(h->items, cap * sizeof(struct loop_timer *));

            if (!items)
                return ERR_NOMEM;
            h->items = items;
            h->cap = cap;
        }
        timer_heap_put(h, h->n++, t);
    }
    timer_heap_up(h, t->place - 1);
    timer_heap_down(h, t->place - 1);
    return 0;
}

void timer_heap_clear(struct timer_heap *h, struct loop_timer *t)
{
    struct loop_timer *last;
    size_t i;

    if (!t->place)
        return;
    i = t->place - 1;
    t->place = 0;
    last = h->items[--h->n];
    if (last == t)
        return;
    timer_heap_put(h, i, last);
    timer_heap_up(h, i);
    timer_heap_down(h, last->place - 1);
}

struct loop_timer *timer_heap_pop_due(struct timer_heap *h, int64_t now_us)
{
    struct loop_timer *t = h->n > 0 ? h->items[0] : NULL;

    if (!t || t->due_us > now_us)
        return NULL;
    timer_heap_clear(h, t);
    return t;
}

int64_t timer_heap_next_us(const struct timer_heap *h)
{
    return h->n > 0 ? h->items[0]->due_us : INT64_MAX;
}

void timer_heap_free(struct timer_heap *h)
{
    for (size_t i = 0; i < h->n; i++)
        h->items[i]->place = 0;
    free(h->items);
    *h = (struct timer_heap){0};
}
