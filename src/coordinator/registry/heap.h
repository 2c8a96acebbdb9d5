/* SPDX-License-Identifier: Apache-2.0 */
/* The routable offers of one model at one trust level: a binary heap, cheapest first, in which each
 * place also knows the largest context below it (`reach`), so that a search for room leaves out
 * whole subtrees. Private to the registry. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_HEAP_H
#define DARKBLOOM_COORDINATOR_REGISTRY_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct offer;

struct heap_item {
    struct offer *offer;
    double cost_ms;
    int64_t reach; /* largest context of the subtree in tokens; INT64_MAX: one is not known */
};

struct offer_heap {
    struct heap_item *items;
    size_t n, cap;
};

/* Put the offer in with its cost. 0 or ERR_NOMEM. */
int heap_insert(struct offer_heap *h, struct offer *o);
/* Take it out. */
void heap_remove(struct offer_heap *h, struct offer *o);
/* Its cost or its turn has changed. */
void heap_move(struct offer_heap *h, struct offer *o);
void heap_free(struct offer_heap *h);

/* Which of two comes first: the cheaper one, and of equals the one that was asked longer ago. */
bool heap_before(const struct heap_item *a, const struct heap_item *b);

#endif
