/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/registry/heap.h"

#include <stdlib.h>

#include "base/check.h"
#include "coordinator/registry/provider.h"

enum { HEAP_FIRST_CAP = 16 };

bool heap_before(const struct heap_item *a, const struct heap_item *b)
{
    if (a->cost_ms < b->cost_ms || a->cost_ms > b->cost_ms)
        return a->cost_ms < b->cost_ms;
    return a->offer->turn < b->offer->turn;
}

static int64_t heap_own_reach(const struct offer *o)
{
    return o->context_length > 0 ? o->context_length : INT64_MAX;
}

static void heap_place(struct offer_heap *h, size_t i, struct offer *o, double cost_ms)
{
    h->items[i].offer = o;
    h->items[i].cost_ms = cost_ms;
    o->place.index = i;
}

/* What the subtree at `i` reaches, of itself and its children. */
static int64_t heap_reach(const struct offer_heap *h, size_t i)
{
    int64_t reach = heap_own_reach(h->items[i].offer);

    for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < h->n; child++) {
        if (h->items[child].reach > reach)
            reach = h->items[child].reach;
    }
    return reach;
}

/* What changed lies on the way from `i` to `top` and may change what is above. */
static void heap_mend_reach(struct offer_heap *h, size_t i, size_t top)
{
    for (;;) {
        int64_t reach = heap_reach(h, i);

        if (i < top && reach == h->items[i].reach)
            return;
        h->items[i].reach = reach;
        if (i == 0)
            return;
        i = (i - 1) / 2;
    }
}

static size_t heap_up(struct offer_heap *h, size_t i)
{
    struct heap_item moving = h->items[i];

    while (i > 0 && heap_before(&moving, &h->items[(i - 1) / 2])) {
        const struct heap_item *parent = &h->items[(i - 1) / 2];

        heap_place(h, i, parent->offer, parent->cost_ms);
        i = (i - 1) / 2;
    }
    heap_place(h, i, moving.offer, moving.cost_ms);
    return i;
}

static size_t heap_down(struct offer_heap *h, size_t i)
{
    struct heap_item moving = h->items[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->n)
            break;
        if (child + 1 < h->n && heap_before(&h->items[child + 1], &h->items[child]))
            child++;
        if (!heap_before(&h->items[child], &moving))
            break;
        heap_place(h, i, h->items[child].offer, h->items[child].cost_ms);
        i = child;
    }
    heap_place(h, i, moving.offer, moving.cost_ms);
    return i;
}

/* Up or down from `i`; one of the two does nothing. */
static void heap_settle(struct offer_heap *h, size_t i)
{
    size_t up = heap_up(h, i);

    if (up < i) {
        heap_mend_reach(h, i, up);
        return;
    }
    heap_mend_reach(h, heap_down(h, i), i);
}

int heap_insert(struct offer_heap *h, struct offer *o)
{
    CHECK(o->place.level >= 0);
    if (h->n == h->cap) {
        size_t cap = h->cap ? 2 * h->cap : HEAP_FIRST_CAP;
        struct heap_item *items = realloc(h->items, cap * sizeof *items);

        if (!items)
            return ERR_NOMEM;
        h->items = items;
        h->cap = cap;
    }
    h->items[h->n].reach = heap_own_reach(o);
    heap_place(h, h->n, o, o->cost_ms);
    h->n++;
    heap_settle(h, h->n - 1);
    return 0;
}

void heap_remove(struct offer_heap *h, struct offer *o)
{
    size_t i = o->place.index;
    struct heap_item last;

    CHECK(i < h->n && h->items[i].offer == o);
    last = h->items[--h->n];
    if (i < h->n) {
        heap_place(h, i, last.offer, last.cost_ms);
        heap_settle(h, i);
    }
    if (h->n > 0) /* the last place's parent has lost a child */
        heap_mend_reach(h, (h->n - 1) / 2, (h->n - 1) / 2);
}

void heap_move(struct offer_heap *h, struct offer *o)
{
    size_t i = o->place.index;

    CHECK(i < h->n && h->items[i].offer == o);
    h->items[i].cost_ms = o->cost_ms;
    heap_settle(h, i);
}

void heap_free(struct offer_heap *h)
{
    free(h->items);
    *h = (struct offer_heap){0};
}
