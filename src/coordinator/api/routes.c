/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes, and the answers when none fits. */
#include "coordinator/api/api.h"
#include "coordinator/flow/flow.h"
#include "coordinator/registry/registry.h"
#include "coordinator/reply/reply.h"

enum { ERROR_MAX_BYTES = 4096 };

static void chat(struct coord *c, struct http_exchange *x)
{
    flow_start(c, x);
}

void api_error_answer(struct coord *c, struct http_exchange *x, const struct api_error *e)
{
    struct buf body;

    buf_init(&body, ERROR_MAX_BYTES);
    (void)api_error_write(e, &body);
    api_json(c, x, e->status, buf_view(&body));
    buf_free(&body);
}

static void provider_socket(struct coord *c, struct http_exchange *x)
{
    struct api_error e = {0};

    if (http_request_of(x)->wants_upgrade) {
        registry_accept(c->registry, x);
        return;
    }
    api_error_set(&e, API_BAD_REQUEST, NULL,
                  "/ws/provider is a WebSocket: send an upgrade, version 13");
    api_error_answer(c, x, &e);
}

static const struct {
    struct str method, path;
    void (*handle)(struct coord *c, struct http_exchange *x);
    bool while_draining;
} routes[] = {
    {STR("GET"), STR("/health"), api_health, true},
    {STR("GET"), STR("/v1/models"), api_models, true},
    {STR("POST"), STR("/v1/chat/completions"), chat, false},
    {STR("GET"), STR("/ws/provider"), provider_socket, false},
};

static void no_route(struct coord *c, struct http_exchange *x, bool known_path)
{
    const struct http_request *req = http_request_of(x);
    struct api_error e = {0};

    if (known_path)
        api_error_set(&e, API_METHOD, NULL, "%.*s is not allowed on %.*s", STR_ARG(req->method),
                      (int)(req->path.n < 100 ? req->path.n : 100), req->path.p);
    else
        api_error_set(&e, API_NOT_FOUND, NULL, "there is nothing at %.*s",
                      (int)(req->path.n < 100 ? req->path.n : 100), req->path.p);
    api_error_answer(c, x, &e);
}

static void on_request(void *ud, struct http_exchange *x)
{
    struct coord *c = ud;
    const struct http_request *req = http_request_of(x);
    bool known_path = false;

    if (str_is(req->method, "OPTIONS")) { /* a browser's preflight */
        api_json(c, x, 204, STR(""));
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!str_eq(routes[i].path, req->path))
            continue;
        known_path = true;
        if (!str_eq(routes[i].method, req->method))
            continue;
        if (c->draining && !routes[i].while_draining) {
            struct api_error e = {0};

            api_error_set(&e, API_OVERLOADED, NULL, "the coordinator is stopping; try again");
            api_error_answer(c, x, &e);
            return;
        }
        routes[i].handle(c, x);
        return;
    }
    no_route(c, x, known_path);
}

/* What the HTTP layer refuses, in the form the consumer expects. */
static const char *on_reject(void *ud, int status, const char *why, struct buf *ret_body)
{
    static const struct {
        int status;
        enum api_error_id id;
    } ids[] = {{408, API_TIMEOUT_READ}, {413, API_BODY_TOO_LARGE}, {431, API_HEAD_TOO_LARGE}};
    struct api_error e = {0};
    enum api_error_id id = API_BAD_REQUEST;

    (void)ud;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (ids[i].status == status)
            id = ids[i].id;
    }
    api_error_set(&e, id, NULL, "%s", why);
    e.status = status;
    (void)api_error_write(&e, ret_body);
    return "application/json";
}

const struct http_server_ops api_server_ops = {.on_request = on_request, .on_reject = on_reject};

void api_json(struct coord *c, struct http_exchange *x, int status, struct str body)
{
    struct http_header headers[REPLY_MAX_HEADERS];
    size_t n = reply_common_headers(c->settings, STR("application/json"), (struct str){0}, headers);

    http_respond(x, status, headers, n, body);
}
