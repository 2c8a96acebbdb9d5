/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/coord.h"

#include <stdlib.h>

#include "coordinator/admit/accounts.h"
#include "coordinator/admit/queue.h"
#include "coordinator/api/api.h"
#include "coordinator/api/control.h"
#include "coordinator/api/emitter.h"
#include "coordinator/api/monitor.h"
#include "coordinator/api/ready.h"
#include "coordinator/flow/checkpoint.h"
#include "coordinator/flow/flow.h"
#include "coordinator/keeper.h"
#include "coordinator/metrics.h"
#include "coordinator/registry/registry.h"
#include "seal/maker.h"

enum { TICK_US = 250000, SWEEP_EVERY_TICKS = 40 };

/* What may be queued for a consumer that keeps up: a few of a provider's largest frames, which come
 * at once. One that is behind is cut far earlier (FLOW_CONSUMER_QUEUE_BYTES). */
enum { OUT_MAX_BYTES = 32 << 20 };

/* --- the store --- */

static void coord_store_ready(void *ud)
{
    struct coord *c = ud;

    store_port_poll(c->store_port);
}

/* Store thread. */
static void coord_wake_loop(void *ud)
{
    loop_waker_wake(ud);
}

static void coord_store_changed(void *ud)
{
    struct coord *c = ud;

    accounts_forget(c->accounts);
}

/* Without a thread the hub polls the ports of all shards. */
static int coord_open_port(struct coord *c)
{
    struct store_port_config port = {.on_foreign_change = coord_store_changed, .change_ud = c};

    if (c->hub->store_threaded) {
        int rc = loop_waker_new(c->loop, coord_store_ready, c, &c->store_waker);

        if (rc < 0)
            return rc;
        port.wake = coord_wake_loop;
        port.wake_ud = c->store_waker;
    }
    return store_port_new(c->hub->store, &port, &c->store_port);
}

static void coord_kick_store(void *ud)
{
    struct coord *c = ud;

    loop_timer_clear(c->loop, &c->store_soon);
    store_kick(c->hub->store);
}

void coord_submit(struct coord *c, struct store_op *op)
{
    op->port = c->store_port;
    store_push(c->hub->store, op);
    loop_defer_late(c->loop, &c->store_kick, coord_kick_store, c);
}

void coord_submit_soon(struct coord *c, struct store_op *op)
{
    if (c->hub->store_company_us == 0) {
        coord_submit(c, op);
        return;
    }
    op->port = c->store_port;
    store_push(c->hub->store, op);
    if (!c->store_soon.place)
        loop_timer_set(c->loop, &c->store_soon, c->hub->store_company_us, coord_kick_store, c);
}

/* --- the tick --- */

static void coord_sweep_done(struct store_op *op)
{
    struct coord *c = list_owner(op, struct coord_sweep, sweep.op)->coord;

    c->sweep->busy = false;
}

/* Holds that outlived their request (a settle that the store refused) expire. */
static void coord_sweep_expired(struct coord *c)
{
    if (c->sweep->busy)
        return;
    ledger_sweep_init(&c->sweep->sweep, coord_sweep_done);
    hub_fill_sweep(c->hub, &c->sweep->sweep);
    c->sweep->busy = true;
    coord_submit_soon(c, &c->sweep->sweep.op);
}

/* The database's own words, which the requests' errors do not carry. */
static void coord_report_store(struct coord *c)
{
    struct store_stats stats = store_stats(c->hub->store);
    char message[STORE_MESSAGE_BYTES];

    if (stats.failed_batches == c->store_failures)
        return;
    c->store_failures = stats.failed_batches;
    store_message(c->hub->store, message);
    log_event(c->log, LOG_ERROR, EV_STORE_FAILED, KV_CSTR("error", message),
              KV_INT("failed_batches", stats.failed_batches), KV_INT("queued", stats.queued_now));
}

static void coord_on_tick(void *ud)
{
    struct coord *c = ud;

    c->ticks++; /* the first is 1 */
    flow_tick(c);
    if (c->number == 0) {
        coord_report_store(c);
        if (c->ticks % SWEEP_EVERY_TICKS == 0)
            coord_sweep_expired(c);
    }
    loop_timer_set(c->loop, &c->tick, TICK_US, coord_on_tick, c);
}

/* --- life --- */

static bool coord_on_capacity(void *ud, struct model *m)
{
    (void)ud;
    return queue_call(m);
}

static void coord_on_room(void *ud, struct model *m, enum trust_level level)
{
    flow_pull(ud, m, level);
}

static void coord_on_records(void *ud)
{
    const struct coord *c = ud;

    keeper_dirty(c->keeper);
}

static int coord_open_session_port(struct coord *c)
{
    const struct hub *h = c->hub;

    if (h->n_session_makers == 0)
        return 0;
    return box_port_new(h->session_makers[c->number % h->n_session_makers], &c->session_port);
}

static int coord_make_parts(struct coord *c)
{
    struct registry_config rc = {.loop = c->loop,
                                 .log = c->log,
                                 .rand = c->rand,
                                 .settings = c->settings,
                                 .metrics = c->metrics,
                                 .memory = &c->memory,
                                 .group = c->hub->group,
                                 .number = c->number,
                                 .hooks = {.capacity = coord_on_capacity,
                                           .records = coord_on_records,
                                           .room = coord_on_room,
                                           .ud = c}};

    memory_share_init(&c->memory, &c->hub->memory, c->hub->n_shards);
    c->accounts = accounts_new(&c->clock, c->hub->purses);
    c->checkpoints = calloc(1, sizeof *c->checkpoints);
    c->sweep = calloc(1, sizeof *c->sweep);
    c->ready = ready_new(c);
    c->keeper = keeper_new(c);
    if (!c->keeper || !c->accounts || !c->checkpoints || !c->sweep || !c->ready)
        return ERR_NOMEM;
    c->checkpoints->coord = c;
    c->sweep->coord = c;
    if (box_slab_new(REGISTRY_SESSION_SLOTS, &c->slab) < 0)
        return ERR_NOMEM;
    if (coord_open_session_port(c) < 0)
        return ERR_NOMEM;
    rc.slab = c->slab;
    rc.session_port = c->session_port;
    return registry_new(&rc, &c->registry);
}

int coord_listen(struct coord *c, uint16_t port, struct err *ret_err)
{
    const struct settings *s = c->settings;
    const struct http_server_config hc = {.max_connections = (int)s->max_connections,
                                          .max_bodies_bytes = (size_t)s->body_memory_mib << 20,
                                          .out_max_bytes = OUT_MAX_BYTES,
                                          .totals = &c->hub->totals,
                                          .budget = c->memory.consumers};
    int sock;
    int rc = c->hub->n_shards > 1
                 ? loop_listen_shared(c->loop, s->host.p, port, &sock, &c->port, ret_err)
                 : loop_listen(c->loop, s->host.p, port, &sock, &c->port, ret_err);

    if (rc < 0)
        return rc;
    rc = http_server_new(c->loop, sock, &hc, &api_server_ops, c, &c->server);
    if (rc == 0)
        http_server_set_tls(c->server, s->tls);
    return rc;
}

int coord_open_offices(struct coord *c, struct err *ret_err)
{
    int rc = monitor_new(c, &c->monitor, ret_err);

    if (rc == 0)
        rc = emitter_new(c, &c->emitter);
    return rc == 0 ? control_new(c, &c->control, ret_err) : rc;
}

int coord_new(const struct coord_config *config, struct coord **ret_coord, struct err *ret_err)
{
    struct coord *c = calloc(1, sizeof *c);
    int rc;

    if (!c)
        return err_set(ret_err, ERR_NOMEM, "out of memory");
    c->hub = config->hub;
    c->number = config->number;
    c->loop = config->loop;
    c->clock = loop_clock(config->loop);
    c->rand = c->hub->rand;
    c->log = config->log;
    c->settings = config->settings;
    list_init(&c->requests);
    c->metrics = metrics_new(&metrics_table);
    rc = c->metrics ? coord_make_parts(c) : ERR_NOMEM;
    if (rc == 0)
        rc = coord_open_port(c);
    if (rc < 0) {
        coord_free(c);
        return rc;
    }
    *ret_coord = c;
    return 0;
}

void coord_begin(struct coord *c)
{
    loop_timer_set(c->loop, &c->tick, TICK_US, coord_on_tick, c);
}

int coord_take_settings(struct coord *c, const struct settings *settings)
{
    c->settings = settings;
    c->log->level = (enum log_level)settings->log_level;
    http_server_set_tls(c->server, settings->tls);
    return registry_take_settings(c->registry, settings);
}

/* --- stopping --- */

static void coord_grace_over(void *ud)
{
    flow_stop_all(ud);
}

void coord_drain(struct coord *c, int64_t grace_ms)
{
    c->draining = true;
    http_server_drain(c->server);
    loop_timer_set(c->loop, &c->grace, grace_ms * 1000, coord_grace_over, c);
}

void coord_stop(struct coord *c)
{
    c->stopping = true;
    loop_timer_clear(c->loop, &c->tick);
    loop_timer_clear(c->loop, &c->grace);
}

void coord_close(struct coord *c)
{
    flow_stop_all(c);
    http_server_free(c->server);
    monitor_free(c->monitor);
    emitter_free(c->emitter);
    control_free(c->control);
    keeper_flush(c->keeper);
    loop_defer_remove(c->loop, &c->store_kick);
    loop_timer_clear(c->loop, &c->store_soon);
}

void coord_free(struct coord *c)
{
    if (!c)
        return;
    registry_free(c->registry);
    keeper_free(c->keeper);
    loop_waker_free(c->store_waker);
    box_port_free(c->session_port);
    box_slab_free(c->slab);
    accounts_free(c->accounts);
    map_free(&c->lookups);
    free(c->checkpoints);
    free(c->sweep);
    ready_free(c->ready);
    metrics_free(c->metrics);
    memory_share_close(&c->memory);
    free(c);
}
