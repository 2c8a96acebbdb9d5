/* SPDX-License-Identifier: Apache-2.0 */
/* A server: accepting, counting, draining. What happens on a connection is in http1_exchange.c. */
#include <stdlib.h>

#include "base/num.h"
#include "net/http1_conn.h"

enum {
    DEFAULT_HEAD_BYTES = 16 << 10,
    DEFAULT_BODY_BYTES = 6 << 20,
    DEFAULT_BODIES_BYTES = 256 << 20,
    DEFAULT_SMALL_BYTES = 64 << 10,
    DEFAULT_OUT_BYTES = 2 << 20,
    DEFAULT_TIMEOUT_MS = 10000,
    DEFAULT_DEADLINE_MS = 60000,
    DEFAULT_IDLE_MS = 60000,
    DEFAULT_CONNECTIONS = 65536,
    LINGERING_MAX = 1024,
    LINGERING_SHARE = 8,      /* of all connections, where that is less */
    DEFAULT_GREETINGS = 2048, /* TLS_GREETING_BYTES each */
    ACCEPT_BATCH = 16,
    ACCEPT_PAUSE_US = 100000
};

static size_t http_server_connections(const struct http_server *s)
{
    return atomic_load_explicit(&s->totals->connections, memory_order_relaxed);
}

void http_count_body(struct http_server *s, ptrdiff_t bytes)
{
    atomic_fetch_add_explicit(&s->totals->body_bytes, (size_t)bytes, memory_order_relaxed);
}

/* A new connection that speaks TLS. */
static void http_server_greet(struct http_server *s, struct http_exchange *x)
{
    if (http_server_connections(s) > (size_t)s->config.max_connections) {
        http_exchange_close(x);
        return;
    }
    http_exchange_watch_time(x, s->config.head_timeout_ms);
    if (s->n_greetings > (size_t)s->config.max_greetings)
        http_exchange_close(list_owner(s->greetings.next, struct http_exchange, of_greetings));
}

static void http_server_serve(struct http_server *s, int sock, const char peer[64])
{
    struct http_exchange *x;

    if (http_server_connections(s) >= (size_t)s->config.max_connections)
        (void)conn_group_evict(&s->conns);
    x = http_exchange_new(s, sock, peer);
    if (!x)
        return;
    http_parse_reset(x);
    if (s->tls) {
        http_server_greet(s, x);
        return;
    }
    http_exchange_watch_time(x, s->config.idle_timeout_ms);
    if (http_server_connections(s) > (size_t)s->config.max_connections) {
        x->reject_status = 503;
        x->reject_why = "too many connections are open; try again later";
        http_reject(x);
    }
}

static void http_server_accept_again(void *ud)
{
    struct http_server *s = ud;

    if (s->watch)
        loop_watch_set(s->watch, LOOP_READABLE);
}

static void http_server_ready(void *ud, unsigned events)
{
    struct http_server *s = ud;

    (void)events;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        char peer[64];
        int sock = loop_accept(s->loop, s->listen_sock, peer);

        if (sock == ERR_AGAIN)
            return;
        if (sock < 0 && conn_group_evict(&s->conns)) /* one descriptor is free again */
            continue;
        if (sock < 0) { /* out of descriptors: let some connections end first */
            loop_watch_set(s->watch, 0);
            loop_timer_set(s->loop, &s->accept_pause, ACCEPT_PAUSE_US, http_server_accept_again, s);
            return;
        }
        http_server_serve(s, sock, peer);
    }
}

static void http_server_defaults(struct http_server_config *c)
{
    c->max_head_bytes = c->max_head_bytes ? c->max_head_bytes : DEFAULT_HEAD_BYTES;
    c->max_body_bytes = c->max_body_bytes ? c->max_body_bytes : DEFAULT_BODY_BYTES;
    c->max_bodies_bytes = c->max_bodies_bytes ? c->max_bodies_bytes : DEFAULT_BODIES_BYTES;
    c->small_body_bytes = c->small_body_bytes ? c->small_body_bytes : DEFAULT_SMALL_BYTES;
    c->out_max_bytes = c->out_max_bytes ? c->out_max_bytes : DEFAULT_OUT_BYTES;
    c->head_timeout_ms = c->head_timeout_ms ? c->head_timeout_ms : DEFAULT_TIMEOUT_MS;
    c->body_timeout_ms = c->body_timeout_ms ? c->body_timeout_ms : DEFAULT_TIMEOUT_MS;
    c->body_deadline_ms = c->body_deadline_ms ? c->body_deadline_ms : DEFAULT_DEADLINE_MS;
    c->idle_timeout_ms = c->idle_timeout_ms ? c->idle_timeout_ms : DEFAULT_IDLE_MS;
    c->max_connections = c->max_connections ? c->max_connections : DEFAULT_CONNECTIONS;
    c->max_greetings = c->max_greetings ? c->max_greetings : DEFAULT_GREETINGS;
    if (!c->max_lingering)
        c->max_lingering =
            (int)num_min(LINGERING_MAX, 1 + (c->max_connections - 1) / LINGERING_SHARE);
}

int http_server_new(struct loop *l, int listen_sock, const struct http_server_config *config,
                    const struct http_server_ops *ops, void *ud, struct http_server **ret_server)
{
    struct http_server *s = calloc(1, sizeof *s);

    if (!s) {
        loop_close(l, listen_sock);
        return ERR_NOMEM;
    }
    *s = (struct http_server){.loop = l,
                              .clock = loop_clock(l),
                              .config = *config,
                              .ops = ops,
                              .ud = ud,
                              .listen_sock = listen_sock,
                              .date_s = -1};
    http_server_defaults(&s->config);
    list_init(&s->exchanges);
    list_init(&s->greetings);
    s->totals = config->totals ? config->totals : &s->own;
    conn_group_init(&s->conns, (size_t)s->config.max_lingering);
    s->conns.total = &s->totals->connections;
    http_parse_init(s);
    if (loop_watch_add(l, listen_sock, LOOP_READABLE, http_server_ready, s, &s->watch) < 0) {
        loop_close(l, listen_sock);
        free(s);
        return ERR_NOMEM;
    }
    *ret_server = s;
    return 0;
}

static void http_server_stop_listening(struct http_server *s)
{
    if (!s->watch)
        return;
    loop_timer_clear(s->loop, &s->accept_pause);
    loop_watch_remove(s->watch);
    loop_close(s->loop, s->listen_sock);
    s->watch = NULL;
}

void http_server_set_tls(struct http_server *s, struct tls_context *ctx)
{
    struct tls_context *before = s->tls;

    s->tls = tls_context_ref(ctx);
    tls_context_free(before);
}

void http_server_drain(struct http_server *s)
{
    struct list_node *n = s->exchanges.next;

    s->draining = true;
    while (n != &s->exchanges) {
        struct http_exchange *x = list_owner(n, struct http_exchange, link);

        n = n->next;
        if (x->state != HTTP_READING || x->got_bytes)
            continue;
        if (conn_out_pending(x->conn) > 0) { /* its last answer is still leaving */
            http_exchange_finish(x);
        } else {
            http_exchange_close(x);
        }
    }
}

size_t http_server_open(const struct http_server *s)
{
    return s->n_open;
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    http_server_stop_listening(s);
    while (!list_empty(&s->exchanges)) {
        struct http_exchange *x = list_owner(s->exchanges.next, struct http_exchange, link);

        http_exchange_abort(x, ERR_CANCELLED);
        http_exchange_close(x);
    }
    conn_group_disband(&s->conns);
    tls_context_free(s->tls);
    free(s);
}
