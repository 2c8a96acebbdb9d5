/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes, and the answers when none fits. */
#include "coordinator/api/admin.h"
#include "coordinator/api/api.h"
#include "coordinator/api/gatehouse.h"
#include "coordinator/flow/flow.h"
#include "coordinator/registry/registry.h"
#include "coordinator/reply/answer.h"

enum { PATH_SHOWN_BYTES = 100 };

static const struct http_header api_no_more = {0};

static void api_chat(struct coord *c, struct http_exchange *x)
{
    flow_start(c, x);
}

/* RFC 6455 §4.4: a client that speaks another version is told ours. */
static void api_no_upgrade(struct coord *c, struct http_exchange *x)
{
    struct str version = http_header_get(http_request_of(x), "Sec-WebSocket-Version");
    bool other_version = version.p && !str_is(version, "13");
    struct api_error e = {0};

    api_error_set(&e, API_BAD_REQUEST, NULL,
                  "/ws/provider is a WebSocket: send an upgrade, version 13");
    if (other_version)
        e.status = 426;
    answer_error(c, x, NULL, &e,
                 other_version ? (struct http_header){STR("Sec-WebSocket-Version"), STR("13")}
                               : api_no_more);
}

static void api_provider_socket(struct coord *c, struct http_exchange *x)
{
    if (!http_request_of(x)->wants_upgrade)
        api_no_upgrade(c, x);
    else
        api_seat_provider(c, x);
}

static const struct api_route api_routes[] = {
    {STR("GET"), STR("/health"), API_ALLOW_GET, api_health, true, NULL, NULL},
    {STR("GET"), STR("/ready"), API_ALLOW_GET, api_ready, true, NULL, NULL},
    {STR("GET"), STR("/v1/models"), API_ALLOW_GET, api_models, true, gatehouse_on_head, NULL},
    {STR("GET"), STR("/v1/models/*"), API_ALLOW_GET, api_model, true, gatehouse_on_head, NULL},
    {STR("POST"), STR("/v1/chat/completions"), API_ALLOW_POST, api_chat, false, gatehouse_on_head,
     NULL},
    {STR("GET"), STR("/ws/provider"), API_ALLOW_GET, api_provider_socket, false, NULL, NULL},
    {STR("GET"), STR("/v1/admin/providers"), API_ALLOW_GET, admin_providers, true, admin_on_head,
     admin_may},
    {STR("POST"), STR("/v1/admin/providers/forgive"), API_ALLOW_POST, admin_forgive, true,
     admin_on_head, admin_may},
    {STR("GET"), STR("/v1/admin/routing/explain"), API_ALLOW_GET, admin_explain, true,
     admin_on_head, admin_may},
    {.handle = NULL},
};

/* A path that ends in "*" is one with anything in its place, but not nothing. */
static bool api_path_fits(struct str path, struct str asked)
{
    struct str fixed = {path.p, path.n - 1};

    if (path.p[path.n - 1] != '*')
        return str_eq(path, asked);
    return asked.n > fixed.n && str_starts(asked, fixed);
}

static const struct api_route *api_route_of(const struct api_route *routes, struct str path)
{
    for (; routes->handle; routes++) {
        if (api_path_fits(routes->path, path))
            return routes;
    }
    return NULL;
}

/* HEAD is a GET whose body the HTTP layer leaves out (RFC 9110 §9.3.2). */
static bool api_route_takes(const struct api_route *route, struct str method)
{
    return str_eq(route->method, str_is(method, "HEAD") ? STR("GET") : method);
}

static void api_route_refuse(struct coord *c, struct http_exchange *x,
                             const struct api_route *route)
{
    const struct http_request *req = http_request_of(x);
    struct str path = str_cut(req->path, PATH_SHOWN_BYTES);
    struct http_header more = api_no_more;
    struct api_error e = {0};

    if (!route) {
        api_error_set(&e, API_NOT_FOUND, NULL, "there is nothing at %.*s", STR_ARG(path));
    } else if (!api_route_takes(route, req->method)) {
        api_error_set(&e, API_METHOD, NULL, "%.*s is not allowed on %.*s", STR_ARG(req->method),
                      STR_ARG(path));
        more = (struct http_header){STR("Allow"), route->allow};
    } else {
        api_error_set(&e, API_OVERLOADED, NULL, COORD_STOPPING);
    }
    answer_error(c, x, NULL, &e, more);
}

void api_route_request(struct coord *c, const struct api_route *routes, struct http_exchange *x)
{
    const struct http_request *req = http_request_of(x);
    const struct api_route *route = api_route_of(routes, req->path);

    if (str_is(req->method, "OPTIONS")) /* a browser's preflight */
        answer_json(c, x, 204, STR(""));
    else if (!route || !api_route_takes(route, req->method) ||
             (c->draining && !route->while_draining))
        api_route_refuse(c, x, route);
    else if (!route->may || route->may(c, x))
        route->handle(c, x);
}

static void api_on_request(void *ud, struct http_exchange *x)
{
    api_route_request(ud, api_routes, x);
}

/* Nobody's megabytes are kept for a request that goes nowhere, or nobody knows whose it is. */
static int api_on_head(void *ud, struct http_exchange *x, const char **ret_why)
{
    const struct http_request *req = http_request_of(x);
    struct coord *c = ud;
    const struct api_route *route = api_route_of(api_routes, req->path);

    if (str_is(req->method, "OPTIONS"))
        return 0;
    if (!route)
        return *ret_why = "there is nothing at this path", 404;
    if (!api_route_takes(route, req->method))
        return *ret_why = "this method is not allowed here; see Allow", 405;
    if (c->draining && !route->while_draining)
        return *ret_why = COORD_STOPPING, 503;
    return route->on_head ? route->on_head(c, x, ret_why) : 0;
}

const char *api_on_reject(void *ud, int status, const char *why, struct buf *ret_body)
{
    answer_rejection(ud, status, why, ret_body);
    return "application/json";
}

size_t api_reject_headers(void *ud, int status, const struct http_request *req,
                          struct http_header *ret_headers)
{
    const struct api_route *route = req ? api_route_of(api_routes, req->path) : NULL;
    size_t n = answer_rejection_headers(ud, status, req, ret_headers);

    if (status == 405 && route)
        ret_headers[n++] = (struct http_header){STR("Allow"), route->allow};
    return n;
}

static void api_on_greeting(void *ud, enum tls_greeting how)
{
    static const unsigned results[] = {[TLS_GREETING_DONE] = METRIC_TLS_DONE,
                                       [TLS_GREETING_RESUMED] = METRIC_TLS_RESUMED,
                                       [TLS_GREETING_FAILED] = METRIC_TLS_FAILED,
                                       [TLS_GREETING_TIMEOUT] = METRIC_TLS_TIMEOUT};
    const struct coord *c = ud;

    metrics_add(c->metrics, M_TLS_HANDSHAKES, results[how], 0, 1);
}

const struct http_server_ops api_server_ops = {.on_request = api_on_request,
                                               .on_head = api_on_head,
                                               .on_reject = api_on_reject,
                                               .reject_headers = api_reject_headers,
                                               .on_greeting = api_on_greeting};
