/* SPDX-License-Identifier: Apache-2.0 */
/* The routing index: for each model and trust level a heap of the offers that could take a request
 * now, by expected cost. An offer moves when its provider's load, trust or state changes, so a
 * decision looks only at the top. */
#include <stdlib.h>

#include "coordinator/registry/provider.h"

/* Cost model, in milliseconds of expected waiting (docs/internals/routing.md). The request's
 * own length is the same at every candidate and left out. */
enum { COST_COLD_MS = 20000, COST_QUEUED_MS = 3000, COST_PENDING_MS = 750, SPEED_UNKNOWN_TPS = 20 };

static double effective_tps(const struct offer *o)
{
    double tps = o->provider->decode_tps > 0 ? o->provider->decode_tps : SPEED_UNKNOWN_TPS;

    tps /= 1 + 0.27 * (double)o->num_running;
    return tps < 1 ? 1 : tps;
}

/* Falls as time goes by, or at once with a success. */
static double failure_cost_ms(const struct provider *p)
{
    int64_t left_us = p->failed_until_us - clock_mono_us(&p->reg->clock);

    return left_us > 0 ? (double)left_us / 1000 : 0;
}

static double expected_cost_ms(const struct offer *o)
{
    const struct provider *p = o->provider;
    int64_t reported = o->num_running + o->num_waiting;
    int64_t queue = p->n_attempts > reported ? p->n_attempts : reported;

    return (o->slot_cold ? COST_COLD_MS : 0) + (double)queue * COST_QUEUED_MS +
           (double)p->n_attempts * COST_PENDING_MS +
           (double)o->backlog_tokens / effective_tps(o) * 1000 + p->pressure_cost_ms +
           failure_cost_ms(p);
}

bool provider_eligible(const struct provider *p)
{
    return p->state == PROVIDER_REGISTERED && !p->untrusted && p->private_text && p->has_key &&
           p->challenge.passed && (int)p->trust >= p->reg->config.settings->min_trust;
}

bool offer_routable(const struct offer *o)
{
    const struct provider *p = o->provider;

    return provider_eligible(p) && !p->thermal_critical && o->slot_usable &&
           p->n_attempts < p->max_running;
}

/* --- heap --- */

static bool cheaper(const struct offer *a, const struct offer *b)
{
    if (a->cost_ms < b->cost_ms || a->cost_ms > b->cost_ms)
        return a->cost_ms < b->cost_ms;
    return a->tie < b->tie;
}

static void heap_place(struct offer_heap *h, size_t i, struct offer *o)
{
    h->items[i] = o;
    o->heap_index = i;
}

static void heap_up(struct offer_heap *h, size_t i)
{
    struct offer *o = h->items[i];

    while (i > 0 && cheaper(o, h->items[(i - 1) / 2])) {
        heap_place(h, i, h->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_place(h, i, o);
}

static void heap_down(struct offer_heap *h, size_t i)
{
    struct offer *o = h->items[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->n)
            break;
        if (child + 1 < h->n && cheaper(h->items[child + 1], h->items[child]))
            child++;
        if (!cheaper(h->items[child], o))
            break;
        heap_place(h, i, h->items[child]);
        i = child;
    }
    heap_place(h, i, o);
}

static void heap_remove(struct offer *o)
{
    struct offer_heap *h = &o->model->heaps[o->heap_level];
    size_t i = o->heap_index;
    struct offer *last = h->items[--h->n];

    o->heap_level = -1;
    if (last == o)
        return;
    heap_place(h, i, last);
    heap_up(h, i);
    heap_down(h, last->heap_index);
}

static int heap_insert(struct offer *o, int level)
{
    struct offer_heap *h = &o->model->heaps[level];

    if (h->n == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 8;
        struct offer **items = realloc(h->items, cap * sizeof(struct offer *));

        if (!items)
            return ERR_NOMEM;
        h->items = items;
        h->cap = cap;
    }
    o->heap_level = level;
    heap_place(h, h->n++, o);
    heap_up(h, o->heap_index);
    return 0;
}

/* --- keeping it true --- */

static void offer_update(struct offer *o)
{
    int level = offer_routable(o) ? (int)o->provider->trust : -1;
    bool was_routable = o->heap_level >= 0;

    o->cost_ms = expected_cost_ms(o);
    if (was_routable && o->heap_level == level) {
        struct offer_heap *h = &o->model->heaps[level];

        heap_up(h, o->heap_index);
        heap_down(h, o->heap_index);
    } else {
        if (was_routable)
            heap_remove(o);
        /* Without memory the offer stays out of the routing, which is safe. */
        if (level >= 0)
            (void)heap_insert(o, level);
    }
}

void offers_update(struct provider *p)
{
    bool eligible = provider_eligible(p);

    if (eligible && !p->listed)
        models_list(p);
    for (size_t i = 0; i < p->n_offers; i++) {
        if (p->offers[i].model)
            offer_update(&p->offers[i]);
    }
    if (!eligible && p->listed)
        models_unlist(p);
    for (size_t i = 0; i < p->n_offers; i++) {
        struct offer *o = &p->offers[i];

        if (o->model && o->heap_level >= 0 && o->model->n_waiting > 0)
            p->reg->config.hooks.capacity(p->reg->config.hooks.ud, o->model);
    }
}

void offers_withdraw(struct provider *p)
{
    for (size_t i = 0; i < p->n_offers; i++) {
        if (p->offers[i].heap_level >= 0)
            heap_remove(&p->offers[i]);
    }
    models_unlist(p);
    p->n_offers = 0;
}

/* --- choosing --- */

static bool excluded(const struct offer *o, const uint64_t *exclude, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (exclude[i] == o->provider->serial)
            return true;
    }
    return false;
}

/* Cheapest offer of the heap's subtree at `i` that is not excluded. Descends only below excluded
 * ones, so at most 2 × n_exclude + 1 offers are looked at. */
static struct offer *cheapest(const struct offer_heap *h, size_t i, const uint64_t *exclude,
                              size_t n_exclude)
{
    struct offer *a, *b;

    if (i >= h->n)
        return NULL;
    if (!excluded(h->items[i], exclude, n_exclude))
        return h->items[i];
    a = cheapest(h, 2 * i + 1, exclude, n_exclude);
    b = cheapest(h, 2 * i + 2, exclude, n_exclude);
    if (!a || !b)
        return a ? a : b;
    return cheaper(a, b) ? a : b;
}

struct offer *registry_choose(const struct model *m, enum trust_level min, const uint64_t *exclude,
                              size_t n_exclude)
{
    struct offer *best = NULL;

    for (int level = (int)min; level < TRUST_LEVELS; level++) {
        struct offer *o = cheapest(&m->heaps[level], 0, exclude, n_exclude);

        if (o && (!best || cheaper(o, best)))
            best = o;
    }
    return best;
}

bool registry_may_serve(const struct model *m, enum trust_level min, const uint64_t *exclude,
                        size_t n_exclude)
{
    for (struct list_node *n = m->offers.next; n != &m->offers; n = n->next) {
        const struct offer *o = list_owner(n, struct offer, link);

        if (o->provider->trust >= min && !excluded(o, exclude, n_exclude))
            return true;
    }
    return false;
}
