/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/api/emitter.h"

#include <stdlib.h>

#include "base/statsd.h"
#include "coordinator/api/monitor.h"
#include "coordinator/coord.h"
#include "coordinator/metrics.h"

struct emitter {
    struct coord *coord;
    struct statsd *statsd;
    struct loop_timer timer;
    struct hub_round round;
    bool asking; /* it is on its way */
};

static void emitter_visit(struct hub_round *r, struct coord *c)
{
    (void)r;
    monitor_refresh(c);
}

static void emitter_visited(struct hub_round *r)
{
    struct emitter *e = list_owner(r, struct emitter, round);

    e->asking = false;
    statsd_flush(e->statsd, hub_metrics(r->hub));
}

static void emitter_tick(void *ud)
{
    struct emitter *e = ud;

    if (!e->asking) {
        e->asking = true;
        hub_round(e->coord, &e->round, emitter_visit, emitter_visited);
    }
    loop_timer_set(e->coord->loop, &e->timer, EMITTER_EVERY_MS * 1000LL, emitter_tick, e);
}

int emitter_new(struct coord *c, struct emitter **ret_emitter)
{
    const struct settings *s = c->settings;
    const struct statsd_config config = {.host = s->statsd_host.p,
                                         .port = (uint16_t)s->statsd_port,
                                         .prefix = "darkbloom.",
                                         .service = s->statsd_service,
                                         .env = s->statsd_env,
                                         .version = STR(DARKBLOOM_VERSION)};
    struct err err = {0};
    struct emitter *e;
    int rc;

    *ret_emitter = NULL;
    if (s->statsd_host.n == 0)
        return 0;
    e = calloc(1, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    e->coord = c;
    rc = statsd_open(&config, &metrics_table, &e->statsd, &err);
    if (rc < 0) {
        free(e);
        log_event(c->log, LOG_WARN, EV_CONFIG_WARNING, KV_CSTR("setting", "metrics.statsd_host"),
                  KV_CSTR("why", err.text), KV_CSTR("so", "no metrics are sent"));
        return rc == ERR_NOMEM ? rc : 0;
    }
    loop_timer_set(c->loop, &e->timer, EMITTER_EVERY_MS * 1000LL, emitter_tick, e);
    *ret_emitter = e;
    return 0;
}

void emitter_free(struct emitter *e)
{
    if (!e)
        return;
    monitor_refresh(e->coord);
    statsd_flush(e->statsd, hub_metrics(e->coord->hub));
    loop_timer_clear(e->coord->loop, &e->timer);
    statsd_close(e->statsd);
    free(e);
}
