/* SPDX-License-Identifier: Apache-2.0 */
/* A whole coordinator: one struct coord for each event loop (a shard: its sockets, requests,
 * providers), and what there is once: the store, the memory budget, the directory of what the
 * shards have to offer. A request belongs to one shard at a time (flow/move.c).
 *
 * Threads: made and freed by one thread, while no loop runs on another. In between each shard
 * belongs to its loop's thread, and the first shard's speaks for all: it drains, takes settings,
 * shows metrics. Shards talk by messages (net/inbox.h) alone. */
#ifndef DARKBLOOM_COORDINATOR_HUB_H
#define DARKBLOOM_COORDINATOR_HUB_H

#include <stdatomic.h>

#include "base/cache_line.h"
#include "base/rand.h"
#include "coordinator/memory.h"
#include "coordinator/registry/directory.h"
#include "coordinator/settings.h"
#include "net/http1.h"
#include "net/inbox.h"
#include "store/store.h"

struct box_maker;
struct coord;
struct ledger_sweep;
struct log;
struct metrics;
struct purses;
struct registry_group;
struct strangers;

enum { HUB_SHARDS_MAX = DIRECTORY_LOOPS_MAX };

/* A walk over all shards: `visit` runs on each one's thread in turn, first on that where it begins,
 * at once; then `done` there. Lives in its owner; zero it before first use. */
struct hub_round {
    struct inbox_item item;
    struct hub *hub;
    unsigned home, at;
    void (*visit)(struct hub_round *r, struct coord *c);
    void (*done)(struct hub_round *r); /* may free it, or begin it again */
};

struct hub {
    unsigned n_shards;
    struct coord *shards[HUB_SHARDS_MAX];
    struct inbox *inboxes[HUB_SHARDS_MAX];
    struct registry_group *group; /* of the shards' registries; NULL: there is one */
    struct purses *purses;        /* what is known of accounts: admit/purse.h */
    struct strangers *strangers;  /* who names unknown keys: admit/strangers.h */
    struct box_maker *session_makers[HUB_SHARDS_MAX]; /* each of some shards' sessions */
    unsigned n_session_makers;                        /* 0: each shard makes its own */
    struct clock clock;
    struct rand_src rand;
    const struct log *log; /* the first shard's */
    char boot_id[RAND_UUID_BYTES];
    int64_t started_wall_us;
    struct metrics *sum; /* of all shards: hub_metrics; NULL where there is one */

    struct store *store;
    bool store_threaded;
    int64_t store_delay_us, store_company_us;
    struct loop_timer store_pump; /* unthreaded */

    /* Written by all shards, with every request. */
    struct memory memory;                                 /* outlives whatever is charged to it */
    _Alignas(CACHE_LINE_BYTES) struct http_totals totals; /* of the shards' servers */
    _Alignas(CACHE_LINE_BYTES) _Atomic size_t n_requests; /* live ones, whoever has them */
    _Alignas(CACHE_LINE_BYTES) _Atomic bool draining;     /* every shard refuses new ones */
    _Atomic bool leaving;                                 /* and the last one has gone */
    struct inbox_item last_gone;
    struct hub_round drain;
    int64_t grace_ms;
    struct loop_defer drained_later;
    void (*drained)(void *ud);
    void *drained_ud;

    struct hub_round take_settings;
    const struct settings *new_settings;
    int settings_rc;
    void (*settings_taken)(void *ud, int rc);
    void *settings_ud;
};

struct hub_config {
    struct loop *const *loops; /* of each shard; the caller runs them */
    struct log *const *logs;   /* of each shard */
    unsigned n_shards;
    struct rand_src rand;
    const struct settings *settings;
    bool store_threaded; /* false: operations run in the first loop after `store_delay_us` (tests)
                          */
    unsigned n_session_makers; /* threads that make sessions (seal/maker.h), at most one a shard;
                                  0: each loop makes its own */
    int64_t store_delay_us;
    int64_t store_company_us; /* see coord_submit_soon; 0: at the end of the iteration */
};

/* Open the store, resolve holds of earlier boots, listen. Errors name what failed and the way out.
 */
int hub_new(const struct hub_config *config, struct hub **ret_hub, struct err *ret_err);

/* Cut what still runs, settle it, close everything. NULL is allowed. */
void hub_free(struct hub *h);

/* From a shard's thread. */
void hub_round(struct coord *home, struct hub_round *r,
               void (*visit)(struct hub_round *r, struct coord *c),
               void (*done)(struct hub_round *r));

/* The sum of all shards' metrics, as they are now. First shard's thread. */
const struct metrics *hub_metrics(struct hub *h);

/* These settings from now on; what runs goes on under the limits that it began with where they are
 * timers already set. The struct outlives the hub or the next call. `done` is called once every
 * shard has taken them: 0 or ERR_NOMEM. First shard's thread; one at a time. */
void hub_take_settings(struct hub *h, const struct settings *settings,
                       void (*done)(void *ud, int rc), void *ud);

/* Refuse new work (503), let running requests finish for at most `grace_ms`, then cut and settle
 * them, close the providers with 1001, then call `done` (may be NULL), once, from the first loop.
 * The ports stay open until hub_free, so that who comes is told. First shard's thread. */
void hub_drain(struct hub *h, int64_t grace_ms, void (*done)(void *ud), void *ud);

/* What every look at the holds goes by. Any thread. */
void hub_fill_sweep(const struct hub *h, struct ledger_sweep *sweep);

/* A request begins, or is freed. Its shard's thread. */
void hub_request_begun(struct hub *h);
void hub_request_gone(struct hub *h);

#endif
