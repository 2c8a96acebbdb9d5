/* SPDX-License-Identifier: Apache-2.0 */
/* One shard of a coordinator (hub.h): the parts that a request meets on one event loop, created in
 * order and torn down in reverse. All of time, randomness and sockets come in through the loop, so
 * that tests run a whole coordinator in virtual time. Belongs to its loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_COORD_H
#define DARKBLOOM_COORDINATOR_COORD_H

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/rand.h"
#include "coordinator/hub.h"
#include "coordinator/settings.h"
#include "net/http1.h"
#include "proto/api_error.h"
#include "store/store.h"

struct accounts;
struct box_port;
struct box_slab;
struct checkpoints;
struct control;
struct coord_sweep;
struct emitter;
struct keeper;
struct metrics;
struct monitor;
struct ready;
struct registry;

#define COORD_STOPPING "the coordinator is stopping; try again"

enum { ANSWER_TRACE_ID_MAX_BYTES = 64 }; /* X-Request-Id */

struct coord {
    struct hub *hub;
    unsigned number; /* among the hub's shards */
    struct loop *loop;
    struct clock clock;
    struct rand_src rand;
    struct log *log; /* this shard's */
    const struct settings *settings;
    struct metrics *metrics; /* of this loop: coordinator/metrics.h */
    struct monitor
        *monitor; /* api/monitor.h; NULL: nobody asked for one, or another shard has it */
    struct emitter *emitter; /* api/emitter.h; likewise */
    struct control *control; /* api/control.h; likewise */
    struct ready *ready;
    struct keeper *keeper; /* records of providers' keys */

    struct store_port *store_port;  /* where the store hands back what this shard submits */
    struct loop_waker *store_waker; /* threaded store */
    struct loop_defer store_kick;
    struct loop_timer store_soon;
    struct accounts *accounts;
    struct map lookups; /* hash of a key that the store is asked for → admit/identify.h's */
    struct registry *registry;
    struct box_slab *slab;
    struct box_port *session_port; /* NULL: the hub has no makers */
    struct http_server *server;
    uint16_t port;                                   /* where it listens */
    char rejected_id[ANSWER_TRACE_ID_MAX_BYTES + 1]; /* of what the HTTP server refused last */
    char rejected_after[24], rejected_reset[24];     /* numbers of its headers */
    struct api_error rejection; /* what a route's on_head says to whom it refused; API_OK: the
                                   status says all */

    struct list_node requests; /* live ones: flow/flow.h */
    size_t n_requests;
    struct checkpoints *checkpoints;
    struct coord_sweep *sweep;
    struct memory_share memory;
    struct loop_timer tick, grace;
    uint64_t ticks;
    uint64_t store_failures; /* batches that failed, as far as the log has them */
    bool draining;
    bool stopping; /* what ran was cut: nothing is tried again */
};

struct coord_config {
    struct hub *hub;
    unsigned number;
    struct loop *loop;
    struct log *log;
    const struct settings *settings;
};

/* The hub's steps, for each shard: make its parts; listen (`port` 0: any; several shards share
 * one); open the first one's offices, where metrics are shown and sent; begin. */
int coord_new(const struct coord_config *config, struct coord **ret_coord, struct err *ret_err);
int coord_listen(struct coord *c, uint16_t port, struct err *ret_err);
int coord_open_offices(struct coord *c, struct err *ret_err);
void coord_begin(struct coord *c);

/* These settings from now on: hub_take_settings. 0 or ERR_NOMEM. */
int coord_take_settings(struct coord *c, const struct settings *settings);
/* Refuse new work, and cut what runs after `grace_ms`: hub_drain. */
void coord_drain(struct coord *c, int64_t grace_ms);

/* The end, in the hub's order over all shards: nothing new is begun; what runs is cut and settled,
 * sockets are closed; and, once the store has handed back what was pending, the rest is freed. NULL
 * is allowed for the last. */
void coord_stop(struct coord *c);
void coord_close(struct coord *c);
void coord_free(struct coord *c);

/* Submit to the store. Its thread is woken at the end of the loop's iteration, behind what is about
 * to be sent: on a busy core it would otherwise run first, and requests would wait for its disk. */
void coord_submit(struct coord *c, struct store_op *op);
/* The same for what nobody waits for (a settle, a checkpoint): it goes with the next operation that
 * somebody does wait for, `store_company_us` later at the latest. A consumer's next request then
 * does not find the core busy with the last one's settle, and both are one flush of the disk. */
void coord_submit_soon(struct coord *c, struct store_op *op);

#endif
