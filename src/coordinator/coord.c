/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/coord.h"

#include <stdlib.h>

#include "coordinator/admit/accounts.h"
#include "coordinator/admit/queue.h"
#include "coordinator/api/api.h"
#include "coordinator/api/emitter.h"
#include "coordinator/api/monitor.h"
#include "coordinator/api/ready.h"
#include "coordinator/flow/checkpoint.h"
#include "coordinator/flow/flow.h"
#include "coordinator/keeper.h"
#include "coordinator/metrics.h"
#include "coordinator/registry/registry.h"

enum { TICK_US = 250000, SWEEP_EVERY_TICKS = 40 };

/* What may be queued for a consumer that keeps up: a few of a provider's largest frames, which come
 * at once. One that is behind is cut far earlier (FLOW_CONSUMER_QUEUE_BYTES). */
enum { OUT_MAX_BYTES = 32 << 20 };

/* --- the store --- */

static void coord_store_ready(void *ud)
{
    struct coord *c = ud;

    store_poll(c->store);
}

/* Store thread. */
static void coord_wake_loop(void *ud)
{
    loop_waker_wake(ud);
}

static void coord_pump_store(void *ud)
{
    struct coord *c = ud;

    store_pump(c->store);
    store_poll(c->store);
}

/* Without a thread (tests) an operation is durable a fixed virtual time after it was submitted. */
static void coord_pump_later(void *ud)
{
    struct coord *c = ud;

    if (!c->store_pump_timer.place)
        loop_timer_set(c->loop, &c->store_pump_timer, c->store_delay_us, coord_pump_store, c);
}

static void coord_store_changed(void *ud)
{
    struct coord *c = ud;

    accounts_forget(c->accounts);
}

static int coord_open_store(struct coord *c, const struct coord_config *config, struct err *ret_err)
{
    struct store_config sc = {.path = c->settings->store_path.p,
                              .id = c->settings->store_id.p,
                              .begin_anew = c->settings->store_new,
                              .threaded = config->store_threaded,
                              .clock = c->clock,
                              .on_foreign_change = coord_store_changed,
                              .change_ud = c};
    int rc;

    c->store_delay_us = config->store_delay_us;
    c->store_company_us = config->store_company_us;
    if (config->store_threaded) {
        rc = loop_waker_new(c->loop, coord_store_ready, c, &c->store_waker);
        if (rc < 0)
            return rc;
        sc.wake = coord_wake_loop;
        sc.wake_ud = c->store_waker;
    } else {
        sc.wake = coord_pump_later;
        sc.wake_ud = c;
    }
    return store_open(&sc, &c->store, ret_err);
}

static void coord_kick_store(void *ud)
{
    struct coord *c = ud;

    loop_timer_clear(c->loop, &c->store_soon);
    store_kick(c->store);
}

void coord_submit(struct coord *c, struct store_op *op)
{
    store_push(c->store, op);
    loop_defer_late(c->loop, &c->store_kick, coord_kick_store, c);
}

void coord_submit_soon(struct coord *c, struct store_op *op)
{
    if (c->store_company_us == 0) {
        coord_submit(c, op);
        return;
    }
    store_push(c->store, op);
    if (!c->store_soon.place)
        loop_timer_set(c->loop, &c->store_soon, c->store_company_us, coord_kick_store, c);
}

static void coord_fill_sweep(const struct coord *c, struct ledger_sweep *sweep)
{
    sweep->now_wall_us = clock_wall_us(&c->clock);
    sweep->now_mono_us = clock_mono_us(&c->clock);
    memcpy(sweep->boot_id, c->boot_id, sizeof sweep->boot_id);
}

/* Holds of earlier boots: nobody will settle them but us. */
static int coord_recover(struct coord *c, struct err *ret_err)
{
    struct ledger_sweep sweep;
    int rc;

    ledger_sweep_init(&sweep, NULL);
    coord_fill_sweep(c, &sweep);
    rc = store_run_sync(c->store, &sweep.op);
    if (rc < 0)
        return err_set(ret_err, rc, "holds of an earlier run could not be resolved: %s",
                       err_str(rc));
    if (sweep.settled + sweep.released > 0)
        log_event(c->log, LOG_WARN, EV_LEDGER_RECOVERED, KV_INT("settled", sweep.settled),
                  KV_INT("released", sweep.released));
    return 0;
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
    coord_fill_sweep(c, &c->sweep->sweep);
    c->sweep->busy = true;
    coord_submit_soon(c, &c->sweep->sweep.op);
}

/* The database's own words, which the requests' errors do not carry. */
static void coord_report_store(struct coord *c)
{
    struct store_stats stats = store_stats(c->store);
    char message[STORE_MESSAGE_BYTES];

    if (stats.failed_batches == c->store_failures)
        return;
    c->store_failures = stats.failed_batches;
    store_message(c->store, message);
    log_event(c->log, LOG_ERROR, EV_STORE_FAILED, KV_CSTR("error", message),
              KV_INT("failed_batches", stats.failed_batches), KV_INT("queued", stats.queued_now));
}

static void coord_on_tick(void *ud)
{
    struct coord *c = ud;

    c->ticks++; /* the first is 1 */
    coord_report_store(c);
    flow_tick(c);
    if (c->ticks % SWEEP_EVERY_TICKS == 0)
        coord_sweep_expired(c);
    loop_timer_set(c->loop, &c->tick, TICK_US, coord_on_tick, c);
}

/* --- life --- */

static bool coord_on_capacity(void *ud, struct model *m)
{
    (void)ud;
    return queue_call(m);
}

static void coord_on_records(void *ud)
{
    const struct coord *c = ud;

    keeper_dirty(c->keeper);
}

static int coord_make_parts(struct coord *c)
{
    struct registry_config rc = {
        .loop = c->loop,
        .log = c->log,
        .rand = c->rand,
        .settings = c->settings,
        .metrics = c->metrics,
        .memory = &c->memory,
        .hooks = {.capacity = coord_on_capacity, .records = coord_on_records, .ud = c}};

    c->accounts = accounts_new(&c->clock, c->settings->rate_per_s, c->settings->rate_burst);
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
    rc.slab = c->slab;
    return registry_new(&rc, &c->registry);
}

static int coord_start_listening(struct coord *c, struct err *ret_err)
{
    const struct http_server_config hc = {.max_connections = (int)c->settings->max_connections,
                                          .max_bodies_bytes = (size_t)c->settings->body_memory_mib
                                                              << 20,
                                          .out_max_bytes = OUT_MAX_BYTES,
                                          .budget = &c->memory.consumers};
    int sock;
    int rc = loop_listen(c->loop, c->settings->host.p, (uint16_t)c->settings->port, &sock, &c->port,
                         ret_err);

    if (rc < 0)
        return rc;
    return http_server_new(c->loop, sock, &hc, &api_server_ops, c, &c->server);
}

int coord_new(const struct coord_config *config, struct coord **ret_coord, struct err *ret_err)
{
    struct coord *c = calloc(1, sizeof *c);
    int rc;

    if (!c)
        return err_set(ret_err, ERR_NOMEM, "out of memory");
    c->loop = config->loop;
    c->clock = loop_clock(config->loop);
    c->rand = config->rand;
    c->log = config->log;
    c->settings = config->settings;
    memory_init(&c->memory, c->settings->memory_mib);
    c->started_wall_us = clock_wall_us(&c->clock);
    list_init(&c->requests);
    rand_uuid(&c->rand, c->boot_id);
    c->metrics = metrics_new(&metrics_table);
    rc = c->metrics ? coord_make_parts(c) : ERR_NOMEM;
    if (rc < 0)
        err_set(ret_err, rc, "the coordinator's parts could not be made: %s", err_str(rc));
    if (rc == 0)
        rc = coord_open_store(c, config, ret_err);
    if (rc == 0)
        rc = coord_recover(c, ret_err);
    if (rc == 0)
        rc = keeper_load(c->keeper, ret_err);
    if (rc == 0)
        rc = monitor_new(c, &c->monitor, ret_err);
    if (rc == 0)
        rc = emitter_new(c, &c->emitter);
    if (rc == 0)
        rc = coord_start_listening(c, ret_err);
    if (rc < 0) {
        coord_free(c);
        return rc;
    }
    loop_timer_set(c->loop, &c->tick, TICK_US, coord_on_tick, c);
    *ret_coord = c;
    return 0;
}

int coord_take_settings(struct coord *c, const struct settings *settings)
{
    c->settings = settings;
    accounts_limit_rate(c->accounts, settings->rate_per_s, settings->rate_burst);
    return registry_take_settings(c->registry, settings);
}

/* --- stopping --- */

static void coord_report_drained(void *ud)
{
    struct coord *c = ud;

    c->drained(c->drained_ud);
}

/* Providers are told that it is on purpose; whoever waits to stop the loop hears of it once the
 * words are on their way. */
static void coord_take_leave(void *ud)
{
    struct coord *c = ud;

    registry_close_all(c->registry);
    loop_defer_late(c->loop, &c->leave, coord_report_drained, c);
}

void coord_request_gone(struct coord *c)
{
    if (c->draining && c->n_requests == 0 && c->drained)
        loop_defer_late(c->loop, &c->leave, coord_take_leave, c);
}

static void coord_grace_over(void *ud)
{
    flow_stop_all(ud);
}

void coord_drain(struct coord *c, int64_t grace_ms, void (*done)(void *ud), void *ud)
{
    c->draining = true;
    c->drained = done;
    c->drained_ud = ud;
    http_server_drain(c->server);
    loop_timer_set(c->loop, &c->grace, grace_ms * 1000, coord_grace_over, c);
    coord_request_gone(c);
}

void coord_free(struct coord *c)
{
    if (!c)
        return;
    loop_timer_clear(c->loop, &c->tick);
    loop_timer_clear(c->loop, &c->grace);
    loop_defer_remove(c->loop, &c->leave);
    c->drained = NULL;
    flow_stop_all(c);
    http_server_free(c->server);
    monitor_free(c->monitor);
    emitter_free(c->emitter);
    if (c->store)
        keeper_flush(c->keeper);
    loop_defer_remove(c->loop, &c->store_kick);
    loop_timer_clear(c->loop, &c->store_soon);
    store_close(c->store); /* delivers what is pending: the last settles, the last records */
    registry_free(c->registry);
    keeper_free(c->keeper);
    loop_timer_clear(c->loop, &c->store_pump_timer);
    loop_waker_free(c->store_waker);
    box_slab_free(c->slab);
    accounts_free(c->accounts);
    free(c->checkpoints);
    free(c->sweep);
    ready_free(c->ready);
    metrics_free(c->metrics);
    free(c);
}
