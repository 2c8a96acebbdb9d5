/* SPDX-License-Identifier: Apache-2.0 */
/* One coordinator: the parts that a request meets, created in order and torn down in reverse. All
 * of time, randomness and sockets come in through the loop, so that tests run a whole coordinator
 * in virtual time. */
#ifndef DARKBLOOM_COORDINATOR_COORD_H
#define DARKBLOOM_COORDINATOR_COORD_H

#include "base/list.h"
#include "base/log.h"
#include "base/rand.h"
#include "coordinator/memory.h"
#include "coordinator/settings.h"
#include "net/http1.h"
#include "store/store.h"

struct accounts;
struct box_slab;
struct checkpoints;
struct coord_sweep;
struct emitter;
struct keeper;
struct metrics;
struct monitor;
struct ready;
struct registry;

enum { ANSWER_TRACE_ID_MAX_BYTES = 64 }; /* X-Request-Id */

struct coord {
    struct loop *loop;
    struct clock clock;
    struct rand_src rand;
    const struct log *log;
    const struct settings *settings;
    struct metrics *metrics; /* of this loop: coordinator/metrics.h */
    struct monitor *monitor; /* api/monitor.h; NULL: nobody asked for one */
    struct emitter *emitter; /* api/emitter.h; NULL: nobody asked for one */
    struct ready *ready;
    struct keeper *keeper; /* records of providers' keys */
    int64_t started_wall_us;
    char boot_id[RAND_UUID_BYTES];

    struct store *store;
    struct loop_waker *store_waker; /* threaded store */
    struct loop_defer store_kick;
    struct loop_timer store_soon;
    struct accounts *accounts;
    struct registry *registry;
    struct box_slab *slab;
    struct memory memory; /* outlives whatever is charged to it */
    struct http_server *server;
    uint16_t port;                                   /* where it listens */
    char rejected_id[ANSWER_TRACE_ID_MAX_BYTES + 1]; /* of what the HTTP server refused last */

    struct list_node requests; /* live ones: flow/flow.h */
    size_t n_requests;
    struct checkpoints *checkpoints;
    struct coord_sweep *sweep;
    struct loop_timer tick, grace, store_pump_timer;
    uint64_t ticks;
    int64_t store_delay_us, store_company_us;
    uint64_t store_failures; /* batches that failed, as far as the log has them */
    bool draining;
    bool stopping; /* what ran was cut: nothing is tried again */
    struct loop_defer leave;
    void (*drained)(void *ud);
    void *drained_ud;
};

struct coord_config {
    struct loop *loop;
    struct rand_src rand;
    const struct log *log;
    const struct settings *settings;
    bool store_threaded; /* false: operations run in the loop after `store_delay_us` (tests) */
    int64_t store_delay_us;
    int64_t store_company_us; /* see coord_submit_soon; 0: at the end of the iteration */
};

/* Open the store, resolve holds of earlier boots, listen. Errors name what failed and the way out.
 */
int coord_new(const struct coord_config *config, struct coord **ret_coord, struct err *ret_err);

/* These settings from now on; what runs goes on under the limits that it began with where they are
 * timers already set. The struct outlives the coordinator or the next call. 0 or ERR_NOMEM. */
int coord_take_settings(struct coord *c, const struct settings *settings);

/* Submit to the store. Its thread is woken at the end of the loop's iteration, behind what is about
 * to be sent: on a busy core it would otherwise run first, and requests would wait for its disk. */
void coord_submit(struct coord *c, struct store_op *op);
/* The same for what nobody waits for (a settle, a checkpoint): it goes with the next operation that
 * somebody does wait for, `store_company_us` later at the latest. A consumer's next request then
 * does not find the core busy with the last one's settle, and both are one flush of the disk. */
void coord_submit_soon(struct coord *c, struct store_op *op);

/* Refuse new work (503), let running requests finish for at most `grace_ms`, then cut and settle
 * them, close the providers with 1001, then call `done`, once, from the loop. The ports stay open
 * until coord_free, so that who comes is told. */
void coord_drain(struct coord *c, int64_t grace_ms, void (*done)(void *ud), void *ud);
/* flow/: a request is freed. */
void coord_request_gone(struct coord *c);

/* Cut what still runs, settle it, close everything. NULL is allowed. */
void coord_free(struct coord *c);

#endif
