/* SPDX-License-Identifier: Apache-2.0 */
/* What each event loop has to offer, for the others to read: a row for each model, in it a cell for
 * each loop. Only that loop writes its cell, when its offers or its queue change; the others read
 * it to decide where a request goes (directory_place). A reading may be out of date by the time it
 * is acted on: then the request waits where it has arrived, or moves once more.
 *
 * No lost wake-up. A loop that lets a request wait first publishes that one waits
 * (directory_set_waiting) and then looks whether another has a free offer
 * (directory_free_elsewhere); a loop that has one first publishes that (directory_set_offers) and
 * then looks whether a request waits elsewhere (directory_waiting_elsewhere). Both write and read
 * in one total order (sequentially consistent), so at least one of the two sees the other's.
 *
 * Threads: rows are held and released under a lock; cells are atomics. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_DIRECTORY_H
#define DARKBLOOM_COORDINATOR_REGISTRY_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "attest/trust.h"
#include "base/str.h"

enum { DIRECTORY_LOOPS_MAX = 64, DIRECTORY_LEVELS = TRUST_HARDWARE + 1 };

struct directory;
struct directory_row; /* of one model */

/* NULL: no memory. `n_loops` from 1 to DIRECTORY_LOOPS_MAX. */
struct directory *directory_new(unsigned n_loops);
/* All rows have been released. NULL is allowed. */
void directory_free(struct directory *d);
unsigned directory_loops(const struct directory *d);

/* The model's row, held once more; a new one where there is none. NULL: no memory. */
struct directory_row *directory_hold(struct directory *d, struct str model);
/* The same, where some loop knows the model; NULL otherwise. */
struct directory_row *directory_find(struct directory *d, struct str model);
/* Not needed any more: the last one who holds it frees it. NULL is allowed. */
void directory_release(struct directory *d, struct directory_row *row);

/* --- publishing: by loop `loop` alone --- */

/* Its offers of the model at one trust level. */
struct directory_offers {
    uint32_t free;     /* that could take a request now */
    uint32_t servable; /* that could serve, busy or not */
    double cost_ms;    /* of the cheapest free one */
    uint64_t turn;     /* when that one was last asked; the same clock in every loop, µs */
    int64_t reach;     /* the largest context of a free one, tokens; INT64_MAX: not known */
};
void directory_set_offers(struct directory_row *row, unsigned loop, enum trust_level level,
                          const struct directory_offers *offers);
/* The bounds that its providers set: model_context and model_overhead (registry.h); 0: it has none
 * of the model. */
void directory_set_bounds(struct directory_row *row, unsigned loop, int64_t context,
                          int64_t overhead);
/* How many requests wait there that demand this level. */
void directory_set_waiting(struct directory_row *row, unsigned loop, enum trust_level demanded,
                           uint32_t n);

/* --- reading --- */

/* Tokens that no request for the model can exceed wherever it runs, and those that a template may
 * add; `otherwise` where no loop has providers of it. */
int64_t directory_context(const struct directory_row *row, int64_t otherwise);
int64_t directory_overhead(const struct directory_row *row, int64_t otherwise);
/* Requests that wait for the model, everywhere. */
uint64_t directory_waiting(const struct directory_row *row);

struct directory_ask {
    unsigned here; /* the loop that asks */
    enum trust_level min_trust;
    int64_t tokens;       /* that surely are needed; 0: any context would do */
    const uint8_t *tried; /* by loop: how many of its providers it has tried in vain; NULL: none */
};

/* The loop where the request has the best chance: `here` where nothing is clearly better.
 *  - Somebody has a free offer: the cheapest, but `here` stays where its own is hardly dearer and
 *    was not left out for long (so that equal providers share, whichever loop they are on).
 *  - Nobody has: where the fewest wait for each provider that could serve. */
unsigned directory_place(const struct directory_row *row, const struct directory_ask *ask);

/* The other loop with the cheapest free offer, or `here`: there is none. */
unsigned directory_free_elsewhere(const struct directory_row *row, const struct directory_ask *ask);
/* Whether loop `at` has a free offer for it. */
bool directory_is_free_at(const struct directory_row *row, unsigned at,
                          const struct directory_ask *ask);
/* Whether another loop has a provider that could serve it once it has room. */
bool directory_may_serve_elsewhere(const struct directory_row *row,
                                   const struct directory_ask *ask);
/* Another loop where a request waits that an offer at `level` would do for, or `here`: there is
 * none. Loops are named in turn, after `after`. */
unsigned directory_waiting_elsewhere(const struct directory_row *row, unsigned here,
                                     enum trust_level level, unsigned after);

/* A request is on its way to a loop: until it has arrived it counts as one that takes a slot there,
 * so that not all of a burst go to the one that was cheapest before it. */
void directory_depart(struct directory_row *row, unsigned to);
void directory_arrive(struct directory_row *row, unsigned here);

#endif
