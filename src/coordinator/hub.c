/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/hub.h"

#include <stdlib.h>

#include "coordinator/admit/purse.h"
#include "coordinator/admit/strangers.h"
#include "coordinator/coord.h"
#include "coordinator/flow/flow.h"
#include "coordinator/keeper.h"
#include "coordinator/metrics.h"
#include "coordinator/registry/group.h"
#include "coordinator/registry/registry.h"
#include "ledger/ledger.h"
#include "seal/maker.h"

/* --- rounds --- */

static void hub_round_arrived(void *ud)
{
    struct hub_round *r = ud;

    if (r->at == r->home) {
        r->done(r);
        return;
    }
    r->visit(r, r->hub->shards[r->at]);
    r->at = (r->at + 1) % r->hub->n_shards;
    inbox_post(r->hub->inboxes[r->at], &r->item, hub_round_arrived, r);
}

void hub_round(struct coord *home, struct hub_round *r,
               void (*visit)(struct hub_round *r, struct coord *c),
               void (*done)(struct hub_round *r))
{
    struct hub *h = home->hub;

    *r = (struct hub_round){.hub = h, .home = home->number, .visit = visit, .done = done};
    r->at = (r->home + 1) % h->n_shards;
    visit(r, home);
    if (h->n_shards == 1)
        done(r);
    else
        inbox_post(h->inboxes[r->at], &r->item, hub_round_arrived, r);
}

const struct metrics *hub_metrics(struct hub *h)
{
    const struct metrics *parts[HUB_SHARDS_MAX];

    if (!h->sum)
        return h->shards[0]->metrics;
    for (unsigned i = 0; i < h->n_shards; i++)
        parts[i] = h->shards[i]->metrics;
    metrics_add_up(h->sum, parts, h->n_shards);
    return h->sum;
}

/* --- settings --- */

static void hub_settings_visit(struct hub_round *r, struct coord *c)
{
    int rc = coord_take_settings(c, r->hub->new_settings);

    if (rc < 0)
        r->hub->settings_rc = rc;
}

static void hub_settings_done(struct hub_round *r)
{
    struct hub *h = r->hub;

    h->settings_taken(h->settings_ud, h->settings_rc);
}

void hub_take_settings(struct hub *h, const struct settings *settings,
                       void (*done)(void *ud, int rc), void *ud)
{
    purses_limit_rate(h->purses, settings->rate_per_s, settings->rate_burst);
    strangers_limit(h->strangers, settings->unknown_keys_per_s);
    h->new_settings = settings;
    h->settings_rc = 0;
    h->settings_taken = done;
    h->settings_ud = ud;
    hub_round(h->shards[0], &h->take_settings, hub_settings_visit, hub_settings_done);
}

/* --- draining --- */

static void hub_report_drained(void *ud)
{
    struct hub *h = ud;

    h->drained(h->drained_ud);
}

static void hub_leave_visit(struct hub_round *r, struct coord *c)
{
    (void)r;
    registry_close_all(c->registry);
}

/* Whoever waits to stop the loops hears of it once the words are on their way: those of the other
 * shards left with the iteration that closed their providers. */
static void hub_leave_done(struct hub_round *r)
{
    struct hub *h = r->hub;

    if (h->drained)
        loop_defer_late(h->shards[0]->loop, &h->drained_later, hub_report_drained, h);
}

static void hub_take_leave(void *ud)
{
    struct hub *h = ud;

    hub_round(h->shards[0], &h->drain, hub_leave_visit, hub_leave_done);
}

/* Nobody has a request any more, and nobody takes one: once. */
static void hub_leave_if_empty(struct hub *h)
{
    if (atomic_load(&h->draining) && atomic_load(&h->n_requests) == 0 &&
        !atomic_exchange(&h->leaving, true))
        inbox_post(h->inboxes[0], &h->last_gone, hub_take_leave, h);
}

static void hub_drain_visit(struct hub_round *r, struct coord *c)
{
    coord_drain(c, r->hub->grace_ms);
}

static void hub_drain_done(struct hub_round *r)
{
    atomic_store(&r->hub->draining, true);
    hub_leave_if_empty(r->hub);
}

void hub_drain(struct hub *h, int64_t grace_ms, void (*done)(void *ud), void *ud)
{
    h->drained = done;
    h->drained_ud = ud;
    h->grace_ms = grace_ms;
    hub_round(h->shards[0], &h->drain, hub_drain_visit, hub_drain_done);
}

void hub_request_begun(struct hub *h)
{
    atomic_fetch_add_explicit(&h->n_requests, 1, memory_order_relaxed);
}

void hub_request_gone(struct hub *h)
{
    /* In one total order with `draining`: who sets that sees the count, or who counts sees it. */
    if (atomic_fetch_sub(&h->n_requests, 1) == 1)
        hub_leave_if_empty(h);
}

/* --- the store --- */

static void hub_pump_store(void *ud)
{
    struct hub *h = ud;

    store_pump(h->store);
    store_poll(h->store);
    for (unsigned i = 0; i < h->n_shards; i++)
        store_port_poll(h->shards[i]->store_port);
}

/* Without a thread (tests) an operation is durable a fixed virtual time after it was submitted. */
static void hub_pump_later(void *ud)
{
    struct hub *h = ud;

    if (h->shards[0] && !h->store_pump.place)
        loop_timer_set(h->shards[0]->loop, &h->store_pump, h->store_delay_us, hub_pump_store, h);
}

static int hub_open_store(struct hub *h, const struct hub_config *config, struct err *ret_err)
{
    const struct settings *s = config->settings;
    const struct store_config sc = {.path = s->store_path.p,
                                    .id = s->store_id.p,
                                    .begin_anew = s->store_new,
                                    .threaded = config->store_threaded,
                                    .clock = h->clock,
                                    .wake = config->store_threaded ? NULL : hub_pump_later,
                                    .wake_ud = h};

    h->store_threaded = config->store_threaded;
    h->store_delay_us = config->store_delay_us;
    h->store_company_us = config->store_company_us;
    return store_open(&sc, &h->store, ret_err);
}

void hub_fill_sweep(const struct hub *h, struct ledger_sweep *sweep)
{
    sweep->now_wall_us = clock_wall_us(&h->clock);
    sweep->now_mono_us = clock_mono_us(&h->clock);
    memcpy(sweep->boot_id, h->boot_id, sizeof sweep->boot_id);
}

/* Holds of earlier boots: nobody will settle them but us. */
static int hub_recover(struct hub *h, struct err *ret_err)
{
    struct ledger_sweep sweep;
    int rc;

    ledger_sweep_init(&sweep, NULL);
    hub_fill_sweep(h, &sweep);
    rc = store_run_sync(h->store, &sweep.op);
    if (rc < 0)
        return err_set(ret_err, rc, "holds of an earlier run could not be resolved: %s",
                       err_str(rc));
    if (sweep.settled + sweep.released > 0)
        log_event(h->log, LOG_WARN, EV_LEDGER_RECOVERED, KV_INT("settled", sweep.settled),
                  KV_INT("released", sweep.released));
    return 0;
}

/* --- life --- */

static int hub_new_shards(struct hub *h, const struct hub_config *config, struct err *ret_err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < config->n_shards; i++) {
        const struct coord_config shard = {.hub = h,
                                           .number = i,
                                           .loop = config->loops[i],
                                           .log = config->logs[i],
                                           .settings = config->settings};

        rc = inbox_new(config->loops[i], &h->inboxes[i]);
        if (rc == 0)
            rc = coord_new(&shard, &h->shards[i], ret_err);
        if (rc == 0 && h->group)
            registry_group_join(h->group, i, h->shards[i]->registry, h->inboxes[i]);
    }
    return rc;
}

/* Among sockets that share a port the system asks nobody whether they belong together: whether
 * somebody has it is asked by a socket that does not share. */
static int hub_check_port(struct hub *h, struct err *ret_err)
{
    const struct coord *first = h->shards[0];
    uint16_t port = (uint16_t)first->settings->port;
    int sock, rc;

    if (h->n_shards == 1 || port == 0)
        return 0;
    rc = loop_listen(first->loop, first->settings->host.p, port, &sock, &port, ret_err);
    if (rc == 0)
        loop_close(first->loop, sock);
    return rc;
}

/* The first one's port is the one that the settings name, or any; the others share it. */
static int hub_listen(struct hub *h, struct err *ret_err)
{
    uint16_t port = (uint16_t)h->shards[0]->settings->port;
    int rc = hub_check_port(h, ret_err);

    for (unsigned i = 0; rc == 0 && i < h->n_shards; i++) {
        rc = coord_listen(h->shards[i], port, ret_err);
        port = h->shards[i]->port;
    }
    return rc;
}

static int hub_new_makers(struct hub *h, unsigned n)
{
    int rc = 0;

    while (rc == 0 && h->n_session_makers < n) {
        rc = box_maker_new(&h->session_makers[h->n_session_makers]);
        if (rc == 0)
            h->n_session_makers++;
    }
    return rc;
}

static int hub_make(struct hub *h, const struct hub_config *config, struct err *ret_err)
{
    int rc;

    memory_init(&h->memory, config->settings->memory_mib);
    rand_uuid(&h->rand, h->boot_id);
    h->purses = purses_new(config->settings->rate_per_s, config->settings->rate_burst);
    h->strangers = strangers_new(config->settings->unknown_keys_per_s);
    rc = h->purses && h->strangers ? 0 : ERR_NOMEM;
    if (rc == 0 && config->n_shards > 1) {
        h->group = registry_group_new(config->n_shards);
        h->sum = metrics_new(&metrics_table);
        rc = h->group && h->sum ? 0 : ERR_NOMEM;
    }
    if (rc == 0)
        rc = hub_open_store(h, config, ret_err);
    if (rc == 0)
        rc = hub_new_makers(h, config->n_session_makers);
    if (rc == 0)
        rc = hub_new_shards(h, config, ret_err);
    if (rc == 0)
        rc = hub_recover(h, ret_err);
    if (rc == 0)
        rc = keeper_load(h->shards[0]->keeper, ret_err);
    if (rc == 0)
        rc = coord_open_offices(h->shards[0], ret_err);
    return rc < 0 ? rc : hub_listen(h, ret_err);
}

int hub_new(const struct hub_config *config, struct hub **ret_hub, struct err *ret_err)
{
    struct hub *h = cache_line_alloc(sizeof *h);
    int rc;

    CHECK(config->n_shards >= 1 && config->n_shards <= HUB_SHARDS_MAX);
    if (!h)
        return err_set(ret_err, ERR_NOMEM, "out of memory");
    h->n_shards = config->n_shards;
    h->clock = loop_clock(config->loops[0]);
    h->started_wall_us = clock_wall_us(&h->clock);
    h->rand = config->rand;
    h->log = config->logs[0];
    rc = hub_make(h, config, ret_err);
    if (rc < 0) {
        if (ret_err && !ret_err->text[0])
            err_set(ret_err, rc, "the coordinator's parts could not be made: %s", err_str(rc));
        hub_free(h);
        return rc;
    }
    for (unsigned i = 0; i < h->n_shards; i++)
        coord_begin(h->shards[i]);
    *ret_hub = h;
    return 0;
}

/* What was on its way between loops arrives before its shard is cut. */
static void hub_deliver(struct hub *h)
{
    for (unsigned i = 0; i < h->n_shards; i++) {
        for (unsigned k = 0; k < h->n_shards; k++) {
            if (h->inboxes[k])
                inbox_drain(h->inboxes[k]);
        }
    }
}

static void hub_each(struct hub *h, void (*f)(struct coord *c))
{
    for (unsigned i = 0; i < h->n_shards; i++) {
        if (h->shards[i])
            f(h->shards[i]);
    }
}

void hub_free(struct hub *h)
{
    if (!h)
        return;
    h->drained = NULL;
    atomic_store(&h->leaving, true); /* nobody waits for the last request */
    hub_each(h, coord_stop);
    hub_deliver(h);
    hub_each(h, coord_close);
    hub_deliver(h);
    store_close(h->store); /* delivers what is pending: the last settles, the last records */
    if (h->shards[0]) {
        loop_defer_remove(h->shards[0]->loop, &h->drained_later);
        loop_timer_clear(h->shards[0]->loop, &h->store_pump);
    }
    for (unsigned i = 0; i < h->n_session_makers; i++)
        box_maker_free(h->session_makers[i]); /* no loop runs: nothing is ordered any more */
    hub_each(h, coord_free);
    for (unsigned i = 0; i < h->n_shards; i++)
        inbox_free(h->inboxes[i]);
    registry_group_free(h->group);
    purses_free(h->purses);
    strangers_free(h->strangers);
    metrics_free(h->sum);
    free(h);
}
