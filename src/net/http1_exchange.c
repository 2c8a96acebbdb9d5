/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's life: time-outs, one exchange after another, the end, and the way to another loop.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "net/http1_conn.h"

enum {
    LINGER_MS = 2000,
    REJECT_MAX_BYTES = 16 << 10, /* of a refusal's body */
    DROP_BYTES = 64 << 10,
    /* Where some of the body was read, the rest of it may be on its way. */
    DROP_BODY_BYTES = 1 << 20,
    IN_MAX_BYTES = 64 << 10,
    KEEP_BYTES = 4 << 10
};

static const struct conn_ops http_stream_ops;

/* --- TLS --- */

void http_exchange_greeted(struct http_exchange *x, enum tls_greeting how)
{
    struct http_server *s = x->server;

    if (!x->greeting)
        return;
    x->greeting = false;
    list_remove(&x->of_greetings);
    s->n_greetings--;
    if (tls_is_open(conn_tls(x->conn)))
        how = tls_is_resumed(conn_tls(x->conn)) ? TLS_GREETING_RESUMED : TLS_GREETING_DONE;
    if (s->ops->on_greeting)
        s->ops->on_greeting(s->ud, how);
}

static void http_exchange_greet(struct http_exchange *x)
{
    x->greeting = true;
    list_push_back(&x->server->greetings, &x->of_greetings);
    x->server->n_greetings++;
}

/* --- ends --- */

static bool http_exchange_open(const struct http_exchange *x)
{
    return x->state == HTTP_HANDLING || x->state == HTTP_STREAMING;
}

/* Before its connection, to which its memory is charged, is let go. */
static void http_exchange_free(struct http_exchange *x)
{
    struct http_server *s = x->server;

    http_exchange_greeted(x, TLS_GREETING_FAILED);
    if (http_exchange_open(x))
        s->n_open--;
    x->state = HTTP_CLOSED;
    loop_timer_clear(s->loop, &x->timer);
    http_body_release(x);
    list_remove(&x->link);
    buf_free(&x->head);
    buf_free(&x->body);
    budget_release(conn_budget(x->conn), sizeof *x);
    free(x);
}

void http_exchange_abort(struct http_exchange *x, int reason)
{
    void (*cb)(void *ud, int reason) = x->on_abort;

    x->on_abort = NULL;
    if (cb)
        cb(x->abort_ud, reason);
}

void http_exchange_close(struct http_exchange *x)
{
    struct conn *c = x->conn;

    http_exchange_free(x);
    conn_free(c);
}

/* Answer, then close: the peer may still be sending, so the connection lingers to be heard. */
void http_exchange_finish(struct http_exchange *x)
{
    struct conn *c = x->conn;
    size_t drop = x->body.len > 0 ? DROP_BODY_BYTES : DROP_BYTES;

    http_exchange_free(x);
    conn_finish(c, LINGER_MS, drop);
}

void http_reject(struct http_exchange *x)
{
    const struct http_server_ops *ops = x->server->ops;
    struct http_header headers[HTTP_MAX_HEADERS];
    struct buf body;
    const char *type;
    size_t n = 0;

    http_exchange_abort(x, x->reject_status == 408 ? ERR_TIMEOUT : ERR_PROTOCOL);
    buf_init(&body, REJECT_MAX_BYTES);
    type = ops->on_reject(x->server->ud, x->reject_status, x->reject_why, &body);
    headers[n++] = (struct http_header){STR("Content-Type"), str_from(type)};
    if (ops->reject_headers)
        n += ops->reject_headers(x->server->ud, x->reject_status, x->head_done ? &x->request : NULL,
                                 headers + n);
    x->keep_alive = false;
    /* The method may be known where the head is not whole. */
    x->is_head = x->target.n > 0 && x->parser.method == HTTP_HEAD;
    if (http_head_append(x, x->reject_status, headers, n, conn_out(x->conn)) == 0 &&
        http_length_append(body.len, conn_out(x->conn)) == 0)
        (void)buf_append_str(conn_out(x->conn), x->is_head ? STR("") : buf_view(&body));
    buf_free(&body);
    conn_dirty(x->conn);
    http_exchange_finish(x);
}

void http_exchange_release(struct http_exchange *x)
{
    http_exchange_free(x);
}

/* --- time-outs --- */

static void http_exchange_too_slow(void *ud);

void http_exchange_watch_time(struct http_exchange *x, int64_t ms)
{
    loop_timer_set(x->server->loop, &x->timer, ms * 1000, http_exchange_too_slow, x);
}

/* Each piece of body earns more time, up to the deadline of the whole. */
static void http_exchange_watch_body(struct http_exchange *x)
{
    const struct http_server_config *limits = &x->server->config;
    int64_t spent_ms = (clock_mono_us(&x->server->clock) - x->head_done_us) / 1000;

    http_exchange_watch_time(x,
                             num_min(limits->body_timeout_ms, limits->body_deadline_ms - spent_ms));
}

/* Whether the peer is still reading the answer before, and took some of it in the idle time. */
static bool http_exchange_reading(const struct http_exchange *x)
{
    int64_t idle_us = clock_mono_us(&x->server->clock) - conn_last_taken_us(x->conn);

    return conn_out_pending(x->conn) > 0 && idle_us < x->server->config.idle_timeout_ms * 1000;
}

static void http_exchange_too_slow(void *ud)
{
    struct http_exchange *x = ud;
    bool greeting = x->greeting;

    http_exchange_greeted(x, TLS_GREETING_TIMEOUT);
    if (greeting && tls_is_open(conn_tls(x->conn))) { /* and nothing asked yet */
        http_exchange_watch_time(x, x->server->config.idle_timeout_ms);
        return;
    }
    if (!x->got_bytes && http_exchange_reading(x)) {
        http_exchange_watch_time(x, x->server->config.idle_timeout_ms);
        return;
    }
    if (!x->got_bytes) { /* idle between requests: nothing to say */
        http_exchange_close(x);
        return;
    }
    x->reject_status = 408;
    x->reject_why = "the request did not arrive in time";
    http_reject(x);
}

/* --- requests --- */

static void http_exchange_hand_over(struct http_exchange *x)
{
    loop_timer_clear(x->server->loop, &x->timer);
    x->state = HTTP_HANDLING;
    x->server->n_open++;
    conn_pause(x->conn); /* the next request waits; closing is still noticed */
    conn_out(x->conn)->max_bytes = x->server->config.out_max_bytes; /* a large answer raised it */
    x->server->ops->on_request(x->server->ud, x);
}

static void http_exchange_data(void *ud)
{
    struct http_exchange *x = ud;
    bool had_bytes = x->got_bytes, had_head = x->head_done;
    int rc;

    if (x->state != HTTP_READING)
        return;
    http_exchange_greeted(x, TLS_GREETING_DONE);
    if (conn_out_pending(x->conn) > 0) { /* who does not read answers gets no further ones */
        if (!conn_blocked(x->conn))
            conn_resume(x->conn);
        return;
    }
    rc = http_parse(x);
    if (x->state == HTTP_WAITING) {
        loop_timer_clear(x->server->loop, &x->timer);
        conn_pause(x->conn);
    } else if (rc > 0) {
        http_exchange_hand_over(x);
    } else if (rc < 0) {
        http_reject(x);
    } else if (x->head_done) {
        http_exchange_watch_body(x);
    } else if (x->got_bytes && (!had_bytes || had_head)) {
        http_exchange_watch_time(x, x->server->config.head_timeout_ms);
    }
}

void http_body_accept(struct http_exchange *x)
{
    CHECK(x->state == HTTP_WAITING);
    x->state = HTTP_READING;
    x->head_done_us = clock_mono_us(&x->server->clock); /* the wait was not the peer's */
    http_parse_resume(x);
    http_exchange_watch_body(x);
    conn_resume(x->conn);
}

void http_head_refuse(struct http_exchange *x, int status, const char *why)
{
    CHECK(x->state == HTTP_WAITING);
    x->state = HTTP_READING;
    x->on_abort = NULL;
    x->reject_status = status;
    x->reject_why = why;
    http_reject(x);
}

static void http_exchange_drained(void *ud)
{
    struct http_exchange *x = ud;

    if (x->state == HTTP_READING)
        conn_resume(x->conn);
    else if (x->on_drain)
        x->on_drain(x->drain_ud);
}

static void http_exchange_closed(void *ud, int reason)
{
    struct http_exchange *x = ud;

    if (reason == ERR_LIMIT && !http_exchange_open(x)) {
        http_parse_refuse_memory(x, IN_MAX_BYTES);
        http_reject(x);
        return;
    }
    http_exchange_abort(x, reason);
    http_exchange_close(x);
}

static const struct conn_ops http_stream_ops = {.on_data = http_exchange_data,
                                                .on_drain = http_exchange_drained,
                                                .on_close = http_exchange_closed};

void http_exchange_done(struct http_exchange *x)
{
    x->server->n_open--;
    x->state = HTTP_READING;
    if (!x->keep_alive || x->server->draining) {
        http_exchange_finish(x);
        return;
    }
    http_parse_reset(x);
    if (x->head.cap > KEEP_BYTES)
        buf_free(&x->head);
    if (x->body.cap > KEEP_BYTES)
        buf_free(&x->body);
    http_exchange_watch_time(x, x->server->config.idle_timeout_ms);
    conn_resume(x->conn);
}

/* --- from one loop to another --- */

void http_exchange_detach(struct http_exchange *x)
{
    struct http_server *s = x->server;

    CHECK(http_exchange_open(x));
    CHECK(!x->timer.place);
    conn_detach(x->conn);
    list_remove(&x->link);
    s->n_open--;
    http_count_body(s, -(ptrdiff_t)x->body_counted);
    x->server = NULL;
}

int http_exchange_attach(struct http_exchange *x, struct http_server *s)
{
    int rc;

    CHECK(http_exchange_open(x) && !x->server);
    x->server = s;
    s->n_open++;
    http_count_body(s, (ptrdiff_t)x->body_counted);
    list_push_back(&s->exchanges, &x->link);
    x->parser.settings = &s->settings;
    rc = conn_attach(x->conn, s->loop, s->config.budget);
    if (rc < 0) {
        http_exchange_close(x);
        return rc;
    }
    conn_join(x->conn, &s->conns);
    return 0;
}
/* --- the beginning --- */

struct http_exchange *http_exchange_new(struct http_server *s, int sock, const char peer[64])
{
    const struct conn_config config = {.in_max_bytes = IN_MAX_BYTES,
                                       .out_max_bytes = s->config.out_max_bytes,
                                       .budget = s->config.budget};
    struct http_exchange *x = calloc(1, sizeof *x);

    if (!x) {
        loop_close(s->loop, sock);
        return NULL;
    }
    if (conn_new(s->loop, sock, &config, &http_stream_ops, x, &x->conn) < 0) {
        free(x);
        return NULL;
    }
    if ((s->tls && conn_secure(x->conn, s->tls, NULL) < 0) ||
        budget_charge(conn_budget(x->conn), sizeof *x, NULL) < 0) {
        conn_free(x->conn);
        free(x);
        return NULL;
    }
    x->server = s;
    memcpy(x->peer, peer, sizeof x->peer);
    buf_init(&x->head, s->config.max_head_bytes);
    buf_init(&x->body, s->config.max_body_bytes);
    x->head.budget = x->body.budget = conn_budget(x->conn);
    conn_join(x->conn, &s->conns);
    list_push_back(&s->exchanges, &x->link);
    if (s->tls)
        http_exchange_greet(x);
    return x;
}
