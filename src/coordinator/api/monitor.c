/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/api/monitor.h"

#include <stdlib.h>

#include "coordinator/api/api.h"
#include "coordinator/metrics.h"
#include "coordinator/reply/answer.h"

/* A page with every model and provider that a label may hold is 1.5 MiB. */
enum {
    PAGE_MAX_BYTES = 4 << 20,
    MONITOR_OUT_BYTES = PAGE_MAX_BYTES + (64 << 10),
    MONITOR_BODY_BYTES = 4096,
    MONITOR_CONNECTIONS = 16
};

struct monitor {
    struct http_server *server;
    uint16_t port;
};

/* Every shard sets its gauges before the sum is shown. */
struct monitor_query {
    struct hub_round round;
    struct http_exchange *x; /* NULL: the asker is gone */
};

static void monitor_asker_gone(void *ud, int reason)
{
    (void)reason;
    ((struct monitor_query *)ud)->x = NULL;
}

static void monitor_visit(struct hub_round *r, struct coord *c)
{
    (void)r;
    monitor_refresh(c);
}

static void monitor_show(struct coord *c, struct http_exchange *x)
{
    const struct http_header headers[] = {
        {STR("Content-Type"), STR(METRICS_CONTENT_TYPE)},
        {STR("Cache-Control"), STR("no-store")},
    };
    struct buf page;
    struct writer w = {.out = &page};

    buf_init(&page, PAGE_MAX_BYTES);
    metrics_write(hub_metrics(c->hub), &w);
    if (w.rc == 0)
        http_respond(x, 200, headers, sizeof headers / sizeof headers[0], buf_view(&page));
    else
        answer_no_memory(c, x);
    buf_free(&page);
}

static void monitor_visited(struct hub_round *r)
{
    struct monitor_query *q = list_owner(r, struct monitor_query, round);

    if (q->x)
        monitor_show(r->hub->shards[r->home], q->x);
    free(q);
}

static void monitor_metrics(struct coord *c, struct http_exchange *x)
{
    struct monitor_query *q = calloc(1, sizeof *q);

    if (!q) {
        answer_no_memory(c, x);
        return;
    }
    q->x = x;
    http_on_abort(x, monitor_asker_gone, q);
    hub_round(c, &q->round, monitor_visit, monitor_visited);
}

static const struct api_route monitor_routes[] = {
    {STR("GET"), STR("/metrics"), API_ALLOW_GET, monitor_metrics, true, NULL, NULL},
    {STR("GET"), STR("/ready"), API_ALLOW_GET, api_ready, true, NULL, NULL},
    {STR("GET"), STR("/health"), API_ALLOW_GET, api_health, true, NULL, NULL},
    {.handle = NULL},
};

static void monitor_on_request(void *ud, struct http_exchange *x)
{
    api_route_request(ud, monitor_routes, x);
}

static const struct http_server_ops monitor_ops = {.on_request = monitor_on_request,
                                                   .on_reject = api_on_reject,
                                                   .reject_headers = api_reject_headers};

int monitor_new(struct coord *c, struct monitor **ret_monitor, struct err *ret_err)
{
    const struct http_server_config config = {.max_connections = MONITOR_CONNECTIONS,
                                              .max_body_bytes = MONITOR_BODY_BYTES,
                                              .out_max_bytes = MONITOR_OUT_BYTES};
    struct settings_address at;
    struct monitor *m;
    int sock;
    int rc;

    *ret_monitor = NULL;
    if (c->settings->metrics_listen.n == 0)
        return 0;
    rc = settings_listen_at(c->settings->metrics_listen, &at);
    if (rc < 0)
        return err_set(ret_err, rc, "metrics.listen is no address and port");
    m = calloc(1, sizeof *m);
    if (!m)
        return ERR_NOMEM;
    rc = loop_listen(c->loop, at.host, at.port, &sock, &m->port, ret_err);
    if (rc == 0)
        rc = http_server_new(c->loop, sock, &config, &monitor_ops, c, &m->server);
    if (rc < 0) {
        free(m);
        return rc;
    }
    *ret_monitor = m;
    return 0;
}

uint16_t monitor_port(const struct monitor *m)
{
    return m ? m->port : 0;
}

void monitor_free(struct monitor *m)
{
    if (!m)
        return;
    http_server_free(m->server);
    free(m);
}
