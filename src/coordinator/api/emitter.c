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
};

static void emitter_flush(struct emitter *e)
{
    monitor_refresh(e->coord);
    statsd_flush(e->statsd, e->coord->metrics);
}

static void emitter_tick(void *ud)
{
    struct emitter *e = ud;

    emitter_flush(e);
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
    emitter_flush(e);
    loop_timer_clear(e->coord->loop, &e->timer);
    statsd_close(e->statsd);
    free(e);
}
