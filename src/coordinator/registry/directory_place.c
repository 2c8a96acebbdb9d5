/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request goes, by what the loops have published. */
#include "base/check.h"
#include "coordinator/registry/directory_row.h"

enum {
    STAY_PERCENT = 10, /* what another loop's offer must be cheaper, so that moving is worth it */
    STAY_MS = 250,
    NEAR_PERCENT = 5, /* what counts as equal, as among the offers of one loop (choose.c) */
    NEAR_MS = 100,
    COMING_MS = 3750, /* what one more request makes an offer dearer (cost.c) */
    STAY_LOADED = 2   /* another loop's queue must be so much shorter */
};
/* An equal offer elsewhere that was asked longer ago by this much gets its turn: less than an
 * answer takes, so that equals share (FR-5), and more than the time between requests of a busy
 * loop, which then need not move. */
#define STAY_TURN_US UINT64_C(100000)

/* One loop as a request sees it. */
struct place_seen {
    uint32_t free, servable;
    uint64_t cost_ms, turn; /* of the cheapest free one; requests on their way are added */
    uint32_t coming;
};

static struct place_seen place_look(const struct directory_row *row, unsigned loop,
                                    const struct directory_ask *ask)
{
    const struct directory_cell *cell = &row->cells[loop];
    uint32_t tried = ask->tried ? ask->tried[loop] : 0;
    struct place_seen s = {.cost_ms = UINT64_MAX};

    for (int level = (int)ask->min_trust; level < DIRECTORY_LEVELS; level++) {
        const struct directory_level *l = &cell->levels[level];
        uint32_t n = atomic_load(&l->free);
        uint64_t cost_ms = directory_get(l->cost_ms);

        s.servable += directory_get(l->servable);
        if (n == 0 || directory_get(l->reach) < ask->tokens)
            continue;
        s.free += n;
        if (cost_ms < s.cost_ms) {
            s.cost_ms = cost_ms;
            s.turn = directory_get(l->turn);
        }
    }
    s.free = s.free > tried ? s.free - tried : 0;
    s.servable = s.servable > tried ? s.servable - tried : 0;
    s.coming = directory_get(cell->coming);
    if (s.free > 0)
        s.cost_ms += (uint64_t)s.coming * COMING_MS / s.free;
    return s;
}

static uint64_t place_with_margin(uint64_t cost_ms, unsigned percent, unsigned ms)
{
    return cost_ms + cost_ms * percent / 100 + ms;
}

static bool place_cheaper(const struct place_seen *a, const struct place_seen *b)
{
    if (b->free == 0 || a->cost_ms != b->cost_ms)
        return b->free == 0 || a->cost_ms < b->cost_ms;
    return a->turn < b->turn;
}

/* `ret_stale` (may be NULL): the other loop whose free offer costs as little as `own` one and was
 * asked longest ago; `here` where there is none. */
static unsigned place_cheapest_elsewhere(const struct directory_row *row,
                                         const struct directory_ask *ask,
                                         const struct place_seen *own, struct place_seen *ret_best,
                                         unsigned *ret_stale)
{
    uint64_t oldest = UINT64_MAX;
    unsigned best = ask->here;

    *ret_best = (struct place_seen){0};
    *ret_stale = ask->here;
    for (unsigned i = 0; i < row->n_loops; i++) {
        struct place_seen s = {0};

        if (i != ask->here)
            s = place_look(row, i, ask);
        if (s.free == 0)
            continue;
        if (place_cheaper(&s, ret_best)) {
            best = i;
            *ret_best = s;
        }
        if (own->free > 0 && s.coming == 0 && s.turn < oldest &&
            s.cost_ms <= place_with_margin(own->cost_ms, NEAR_PERCENT, NEAR_MS)) {
            oldest = s.turn;
            *ret_stale = i;
        }
    }
    if (oldest == UINT64_MAX || own->turn <= oldest + STAY_TURN_US)
        *ret_stale = ask->here;
    return best;
}

unsigned directory_free_elsewhere(const struct directory_row *row, const struct directory_ask *ask)
{
    const struct place_seen none = {0};
    struct place_seen best;
    unsigned stale;

    return place_cheapest_elsewhere(row, ask, &none, &best, &stale);
}

/* Requests there, with this one, for each provider that could serve: a < b. */
static bool place_less_loaded(uint64_t waiting_a, uint32_t servable_a, uint64_t waiting_b,
                              uint32_t servable_b, unsigned factor)
{
    return (waiting_a + 1) * servable_b * factor < (waiting_b + 1) * servable_a;
}

/* Nothing is free: where its turn comes soonest. */
static unsigned place_to_wait(const struct directory_row *row, const struct directory_ask *ask,
                              const struct place_seen *own)
{
    unsigned best = ask->here;
    uint32_t best_servable = own->servable;
    uint64_t best_waiting = directory_waiting_at(&row->cells[ask->here]) + own->coming;

    for (unsigned i = 0; i < row->n_loops; i++) {
        struct place_seen s;
        uint64_t waiting;

        if (i == ask->here)
            continue;
        s = place_look(row, i, ask);
        waiting = directory_waiting_at(&row->cells[i]) + s.coming;
        if (s.servable > 0 && (best_servable == 0 ||
                               place_less_loaded(waiting, s.servable, best_waiting, best_servable,
                                                 best == ask->here ? STAY_LOADED : 1))) {
            best = i;
            best_servable = s.servable;
            best_waiting = waiting;
        }
    }
    return best;
}

unsigned directory_place(const struct directory_row *row, const struct directory_ask *ask)
{
    struct place_seen own, other;
    unsigned best, stale;

    CHECK(ask->here < row->n_loops);
    own = place_look(row, ask->here, ask);
    best = place_cheapest_elsewhere(row, ask, &own, &other, &stale);
    if (own.free == 0 && other.free == 0)
        return place_to_wait(row, ask, &own);
    if (own.free == 0)
        return best;
    if (other.free > 0 && own.cost_ms > place_with_margin(other.cost_ms, STAY_PERCENT, STAY_MS))
        return best;
    return stale;
}

bool directory_is_free_at(const struct directory_row *row, unsigned at,
                          const struct directory_ask *ask)
{
    return place_look(row, at, ask).free > 0;
}

bool directory_may_serve_elsewhere(const struct directory_row *row, const struct directory_ask *ask)
{
    for (unsigned i = 0; i < row->n_loops; i++) {
        if (i != ask->here && place_look(row, i, ask).servable > 0)
            return true;
    }
    return false;
}

unsigned directory_waiting_elsewhere(const struct directory_row *row, unsigned here,
                                     enum trust_level level, unsigned after)
{
    for (unsigned k = 1; k <= row->n_loops; k++) {
        unsigned i = (after + k) % row->n_loops;

        for (int demanded = 0; i != here && demanded <= (int)level; demanded++) {
            if (atomic_load(&row->cells[i].levels[demanded].waiting) > 0)
                return i;
        }
    }
    return here;
}
