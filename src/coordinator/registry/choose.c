/* SPDX-License-Identifier: Apache-2.0 */
/* One decision: the cheapest offers of an index, found from its tops downwards, and one of them. */
#include "coordinator/registry/provider.h"

/* Places that one search looks at. Beyond it any offer that would do is taken. A search goes on
 * below the cheapest ones only where offers are left out: at most as many as a request has tried,
 * or of a context that is too small beside one that is not. */
enum { LOOKED_MAX = 64, DEPTH_MAX = 64, NEAR_PERCENT = 5, NEAR_MS = 100 };

/* A place whose subtree may hold what is sought. */
struct route_place {
    const struct offer_heap *heap;
    size_t i;
};

struct route_frontier {
    struct route_place places[LOOKED_MAX + TRUST_LEVELS + DEPTH_MAX];
    size_t n;
};

bool route_is_excluded(const struct offer *o, const struct route_ask *ask)
{
    for (size_t i = 0; i < ask->n_exclude; i++) {
        if (ask->exclude[i] == o->provider->serial)
            return true;
    }
    return false;
}

static bool route_has_context(const struct offer *o, const struct route_ask *ask)
{
    return o->context_length == 0 || o->context_length >= ask->tokens;
}

static const struct heap_item *route_item(const struct route_place *place)
{
    return &place->heap->items[place->i];
}

static void route_push(struct route_frontier *f, const struct offer_heap *h, size_t i,
                       const struct route_ask *ask)
{
    if (i < h->n && h->items[i].reach >= ask->tokens && f->n < sizeof f->places / sizeof *f->places)
        f->places[f->n++] = (struct route_place){h, i};
}

/* The cheapest place; once too many were looked at the newest one, which is the shortest way to the
 * bottom. */
static struct route_place route_pop(struct route_frontier *f, size_t looked)
{
    size_t best = looked < LOOKED_MAX ? 0 : f->n - 1;
    struct route_place place;

    for (size_t k = best + 1; k < f->n; k++) {
        if (heap_before(route_item(&f->places[k]), route_item(&f->places[best])))
            best = k;
    }
    place = f->places[best];
    f->places[best] = f->places[--f->n];
    return place;
}

/* Whether it is so little dearer than the very cheapest that the difference means nothing. */
static bool route_is_near(const struct route_found *found, double cost_ms)
{
    double limit;

    if (found->n == 0)
        return true;
    limit = found->near[0]->cost_ms;
    return cost_ms <= limit + limit * NEAR_PERCENT / 100 + NEAR_MS;
}

void route_search(const struct model *m, const struct route_ask *ask, struct route_found *ret_found)
{
    struct route_frontier f;

    f.n = 0;
    ret_found->n = ret_found->looked = 0;
    ret_found->next = NULL;
    for (int level = (int)ask->min_trust; level < TRUST_LEVELS; level++)
        route_push(&f, &m->heaps[level], 0, ask);
    while (f.n > 0 && (ret_found->looked < LOOKED_MAX || ret_found->n == 0)) {
        struct route_place place = route_pop(&f, ret_found->looked);
        struct offer *o = route_item(&place)->offer;

        ret_found->looked++;
        if (!route_is_excluded(o, ask) && route_has_context(o, ask)) {
            if (ret_found->n == ROUTE_NEAR || !route_is_near(ret_found, o->cost_ms)) {
                ret_found->next = o;
                return;
            }
            ret_found->near[ret_found->n++] = o;
        }
        route_push(&f, place.heap, 2 * place.i + 1, ask);
        route_push(&f, place.heap, 2 * place.i + 2, ask);
    }
}

/* xorshift64: to spread, not to surprise. */
static size_t route_dice(struct model *m, size_t bound)
{
    m->dice ^= m->dice << 13;
    m->dice ^= m->dice >> 7;
    m->dice ^= m->dice << 17;
    return (size_t)(m->dice % bound);
}

struct offer *registry_choose(struct model *m, const struct route_ask *ask)
{
    struct route_found found;

    route_search(m, ask, &found);
    return found.n > 0 ? found.near[route_dice(m, found.n)] : NULL;
}

bool registry_has_free(const struct model *m, const struct route_ask *ask)
{
    struct route_found found;

    if (ask->n_exclude == 0) {
        for (int level = (int)ask->min_trust; level < TRUST_LEVELS; level++) {
            if (m->heaps[level].n > 0 && m->heaps[level].items[0].reach >= ask->tokens)
                return true;
        }
        return false;
    }
    route_search(m, ask, &found);
    return found.n > 0;
}

/* How many of the provider's offers are counted among those of `m` that could serve. */
static size_t route_servable_of(const struct model *m, uint64_t serial, enum trust_level min)
{
    const struct provider *p = provider_by_serial(m->reg, serial);
    size_t n = 0;

    for (size_t i = 0; p && i < p->n_offers; i++)
        n += p->offers[i].model == m && p->offers[i].servable_level >= (int)min;
    return n;
}

bool registry_may_serve(const struct model *m, const struct route_ask *ask)
{
    size_t n = 0, left_out = 0;

    for (int level = (int)ask->min_trust; level < TRUST_LEVELS; level++)
        n += m->n_servable[level];
    for (size_t i = 0; i < ask->n_exclude; i++)
        left_out += route_servable_of(m, ask->exclude[i], ask->min_trust);
    return n > left_out;
}
