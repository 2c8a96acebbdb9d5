/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP server whose handler answers by path. */
#include "fake_http.h"

#include <stdio.h>

static void on_abort(void *ud, int reason)
{
    struct fake_http *h = ud;

    h->aborts++;
    h->abort_reason = reason;
    h->waiting = h->asked = NULL;
}

static void on_drain(void *ud)
{
    ((struct fake_http *)ud)->drains++;
}

static void see(struct fake_http *h, const struct http_request *req)
{
    struct buf *b = &h->seen;

    h->requests++;
    assert_int_equal(buf_printf(b, "%.*s %.*s?%.*s|%.*s", STR_ARG(req->method), STR_ARG(req->path),
                                STR_ARG(req->query), STR_ARG(req->body)),
                     0);
    for (size_t i = 0; i < req->n_headers; i++)
        assert_int_equal(buf_printf(b, "|%.*s=%.*s", STR_ARG(req->headers[i].name),
                                    STR_ARG(req->headers[i].value)),
                         0);
    assert_int_equal(buf_append(b, "\n", 1), 0);
}

static void ignore_message(void *ud, struct str payload)
{
    (void)ud;
    (void)payload;
}

static void ws_closed(void *ud, int reason, const char *text)
{
    struct ws_conn **slot = ud;

    (void)reason;
    (void)text;
    ws_conn_free(*slot);
    *slot = NULL;
}

static void upgrade(struct fake_http *h, struct http_exchange *x)
{
    static const struct ws_conn_ops ws_ops = {.on_message = ignore_message, .on_close = ws_closed};
    const struct ws_conn_config config = {
        .max_message_bytes = 1000, .out_max_bytes = 1000, .budget = &h->memory};
    struct ws_conn **slot = &h->sockets[h->n_sockets++];

    assert_true(h->n_sockets <= FAKE_SOCKETS_MAX);
    assert_int_equal(http_upgrade_ws(x, &config, &ws_ops, slot, slot), 0);
}

static void on_request(void *ud, struct http_exchange *x)
{
    static const struct http_header headers[] = {{{"Content-Type", 12}, {"text/plain", 10}}};
    struct fake_http *h = ud;
    const struct http_request *req = http_request_of(x);
    char echo[FAKE_BODY_MAX_BYTES + FAKE_HEAD_MAX_BYTES + 16];
    int n;

    assert_ptr_equal(http_ud(x), str_is(req->path, "/ask") ? h : NULL);
    see(h, req);
    if (str_is(req->path, "/later") || str_is(req->path, "/stream")) {
        assert_null(h->waiting);
        h->waiting = x;
        http_on_abort(x, on_abort, h);
        http_on_drain(x, on_drain, h);
        if (str_is(req->path, "/stream"))
            http_stream_begin(x, 200, headers, 1);
        return;
    }
    if (str_is(req->path, "/ws")) {
        upgrade(h, x);
        return;
    }
    n = snprintf(echo, sizeof echo, "%.*s %.*s?%.*s|%.*s", STR_ARG(req->method), STR_ARG(req->path),
                 STR_ARG(req->query), STR_ARG(req->body));
    assert_true(n >= 0 && (size_t)n < sizeof echo);
    http_respond(x, 200, headers, 1, (struct str){echo, (size_t)n});
}

static const char *on_reject(void *ud, int status, const char *why, struct buf *ret_body)
{
    struct fake_http *h = ud;

    h->rejects++;
    assert_int_equal(buf_printf(ret_body, "refused %d: %s", status, why), 0);
    return "text/plain";
}

static int on_head(void *ud, struct http_exchange *x, const char **ret_why)
{
    const struct http_request *req = http_request_of(x);
    struct fake_http *h = ud;

    *ret_why = "forbidden";
    if (str_is(req->path, "/ask")) {
        assert_null(h->asked);
        h->asked = x;
        http_set_ud(x, h);
        http_on_abort(x, on_abort, h);
        return HTTP_HEAD_WAIT;
    }
    return str_is(req->path, "/forbidden") && str_is(req->method, "POST") ? 401 : 0;
}

static void on_greeting(void *ud, enum tls_greeting how)
{
    ((struct fake_http *)ud)->greetings[how]++;
}

static const struct http_server_ops ops = {.on_request = on_request,
                                           .on_head = on_head,
                                           .on_reject = on_reject,
                                           .on_greeting = on_greeting};

int fake_http_setup(void **state)
{
    static struct fake_http h;
    const struct http_server_config config = {.max_head_bytes = FAKE_HEAD_MAX_BYTES,
                                              .max_body_bytes = FAKE_BODY_MAX_BYTES,
                                              .out_max_bytes = FAKE_OUT_MAX_BYTES,
                                              .head_timeout_ms = 10000,
                                              .body_timeout_ms = 5000,
                                              .body_deadline_ms = 30000,
                                              .max_bodies_bytes = FAKE_BODIES_MAX_BYTES,
                                              .small_body_bytes = FAKE_SMALL_BYTES,
                                              .idle_timeout_ms = 60000,
                                              .max_connections = FAKE_CONNECTIONS_MAX,
                                              .max_lingering = FAKE_LINGERING_MAX,
                                              .max_greetings = FAKE_GREETINGS_MAX,
                                              .budget = &h.memory};
    int listener;

    h = (struct fake_http){0};
    budget_init(&h.memory, "the test's server", FAKE_MEMORY_BYTES, NULL);
    buf_init(&h.seen, 1 << 20);
    if (loop_fake_new(1795467067000000, &h.l) < 0 ||
        loop_listen(h.l, "127.0.0.1", 0, &listener, &h.port, NULL) < 0 ||
        http_server_new(h.l, listener, &config, &ops, &h, &h.server) < 0)
        return -1;
    fake_peer_connect(&h.peer, h.l, h.port);
    *state = &h;
    return 0;
}

int fake_http_teardown(void **state)
{
    struct fake_http *h = *state;

    http_server_free(h->server);
    for (int i = 0; i < h->n_sockets; i++)
        ws_conn_free(h->sockets[i]);
    fake_peer_close(&h->peer);
    buf_free(&h->seen);
    assert_int_equal(budget_used(&h->memory), 0);
    loop_free(h->l);
    return 0;
}

void fake_http_again(struct fake_http *h)
{
    fake_peer_close(&h->peer);
    fake_peer_connect(&h->peer, h->l, h->port);
    buf_clear(&h->seen);
    h->requests = h->rejects = h->aborts = h->drains = 0;
    h->waiting = h->asked = NULL;
}

const char *fake_http_answer(struct fake_http *h)
{
    (void)fake_peer_read(&h->peer);
    assert_int_equal(buf_append(&h->peer.got, "", 1), 0); /* the NUL is not counted */
    h->peer.got.len--;
    return buf_view(&h->peer.got).p;
}

bool fake_http_status(struct fake_http *h, int status)
{
    char start[24];

    (void)snprintf(start, sizeof start, "HTTP/1.1 %d ", status);
    return str_starts(fake_peer_read(&h->peer), str_from(start));
}
