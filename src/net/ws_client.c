/* SPDX-License-Identifier: Apache-2.0 */
/* The client's end of the opening handshake (RFC 6455 §4.1). */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/b64.h"
#include "net/http1.h"
#include "net/tls.h"
#include "net/ws_conn.h"

enum { RESPONSE_MAX_BYTES = 16 << 10 };

/* What the answer's head must show. */
struct answer {
    const struct ws_conn *w;
    struct str field;
    bool upgrade_ok, connection_ok, accept_ok, complete;
    bool unasked; /* an extension or a subprotocol, of which none was offered */
};

static void ws_client_failed(struct ws_conn *w, int reason, const char *text)
{
    conn_free(ws_conn_let_go(w));
    if (w->over)
        return;
    w->over = true;
    w->ops->on_close(w->ud, reason, text);
}

static int ws_client_on_field(llhttp_t *p, const char *at, size_t n)
{
    struct answer *a = p->data;

    a->field = (struct str){at, n};
    return 0;
}

static int ws_client_on_value(llhttp_t *p, const char *at, size_t n)
{
    struct answer *a = p->data;
    struct str v = str_trim((struct str){at, n});

    if (str_ieq(a->field, STR("Upgrade")) && str_ieq(v, STR("websocket")))
        a->upgrade_ok = true;
    if (str_ieq(a->field, STR("Connection")) && http_list_has(v, STR("upgrade")))
        a->connection_ok = true;
    if (str_ieq(a->field, STR("Sec-WebSocket-Extensions")) ||
        str_ieq(a->field, STR("Sec-WebSocket-Protocol")))
        a->unasked = true;
    if (str_ieq(a->field, STR("Sec-WebSocket-Accept")) && str_is(v, a->w->accept))
        a->accept_ok = true;
    return 0;
}

static int ws_client_on_complete(llhttp_t *p)
{
    struct answer *a = p->data;

    a->complete = true;
    return 0;
}

/* Parse a head that stands whole in the input; what follows it are frames. */
static void ws_client_check_answer(struct ws_conn *w, struct str head)
{
    struct answer a = {.w = w};
    llhttp_settings_t settings;
    llhttp_t parser;
    char text[96];

    llhttp_settings_init(&settings);
    settings.on_header_field = ws_client_on_field;
    settings.on_header_value = ws_client_on_value;
    settings.on_headers_complete = ws_client_on_complete;
    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    parser.data = &a;
    (void)llhttp_execute(&parser, head.p, head.n); /* judged by what was seen */
    if (!a.complete) {
        ws_client_failed(w, ERR_PROTOCOL, "the server's answer is not HTTP");
    } else if (parser.status_code != 101) {
        snprintf(text, sizeof text, "the server answered %d to the WebSocket upgrade",
                 parser.status_code);
        ws_client_failed(w, ERR_PROTOCOL, text);
    } else if (!a.upgrade_ok || !a.connection_ok || !a.accept_ok || parser.http_minor == 0) {
        ws_client_failed(
            w, ERR_PROTOCOL,
            "the server's upgrade lacks HTTP/1.1, Upgrade, Connection or a right Accept "
            "header");
    } else if (a.unasked) {
        ws_client_failed(
            w, ERR_PROTOCOL,
            "the server's upgrade has an extension or a protocol that was not offered");
    } else {
        w->open = true;
        w->ops->on_open(w->ud);
    }
}

static void ws_client_on_data(void *ud)
{
    struct ws_conn *w = ud;
    struct buf *in = conn_in(w->conn);
    struct str v = buf_view(in);
    const char *end = memmem(v.p, v.n, "\r\n\r\n", 4);
    struct conn_config limits = ws_conn_limits(&w->config);

    if (!end) {
        if (v.n > RESPONSE_MAX_BYTES)
            ws_client_failed(w, ERR_LIMIT, "the server's answer to the upgrade has no end");
        return;
    }
    v.n = (size_t)(end - v.p) + 4;
    w->busy++;
    ws_client_check_answer(w, v);
    if (!w->dead && !w->over && w->conn) {
        buf_consume(in, v.n);
        (void)conn_set_limits(w->conn, &limits); /* the same budget: it cannot refuse */
        ws_conn_take(w, w->conn);
        ws_conn_on_data(w);
    }
    w->busy--;
    if (w->dead && w->busy == 0) {
        w->dead = false;
        ws_conn_free(w);
    }
}

/* Where TLS refused, why: a wrong certificate is for people to put right. */
static void ws_client_on_close(void *ud, int reason)
{
    struct ws_conn *w = ud;
    const struct tls *t = conn_tls(w->conn);
    char text[160];

    if (!t || !tls_why(t)) {
        ws_conn_on_close(w, reason);
        return;
    }
    snprintf(text, sizeof text, "TLS to the server failed: %s", tls_why(t));
    ws_client_failed(w, reason, text);
}

static void ws_client_on_connect(void *ud, int sock)
{
    static const struct conn_ops ops = {.on_data = ws_client_on_data,
                                        .on_close = ws_client_on_close};
    struct conn_config limits;
    struct ws_conn *w = ud;
    struct str request = str_from(w->request);
    int rc;

    w->dialling = false;
    limits = ws_conn_limits(&w->config);
    if (limits.in_max_bytes <= RESPONSE_MAX_BYTES) /* until the answer to the upgrade was read */
        limits.in_max_bytes = RESPONSE_MAX_BYTES + 1;
    if (w->dead) { /* let go meanwhile */
        if (sock >= 0)
            loop_close(w->loop, sock);
        w->dead = false;
        ws_conn_free(w);
        return;
    }
    if (sock < 0) {
        ws_client_failed(w, sock,
                         sock == ERR_NOT_FOUND ? "the server's name does not resolve"
                                               : "the server refuses the connection");
        return;
    }
    rc = conn_new(w->loop, sock, &limits, &ops, w, &w->conn);
    if (rc < 0) {
        ws_client_failed(w, rc, "out of memory for the connection");
        return;
    }
    if (w->config.tls)
        rc = conn_secure(w->conn, w->config.tls, w->host);
    if (rc < 0) {
        ws_client_failed(w, rc, "out of memory for TLS to the server");
        return;
    }
    (void)conn_write(w->conn, &request, 1);
}

int ws_conn_connect(struct loop *l, const char *host, uint16_t port, const char *path,
                    const struct ws_conn_config *config, const struct ws_conn_ops *ops, void *ud,
                    struct ws_conn **ret_ws)
{
    struct ws_conn *w = ws_conn_alloc(config, ops, ud, true);
    bool v6 = strchr(host, ':') != NULL; /* its colons are not the port's (RFC 3986 §3.2.2) */
    uint8_t nonce[WS_KEY_BYTES];
    char key[WS_KEY_TEXT_BYTES + 1];

    if (!w)
        return ERR_NOMEM;
    rand_fill(&config->rand, nonce, sizeof nonce);
    b64_encode(nonce, sizeof nonce, key);
    ws_accept_key(str_from(key), w->accept);
    if (asprintf(&w->request,
                 "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                 "Sec-WebSocket-Version: 13\r\n\r\n",
                 path, v6 ? "[" : "", host, v6 ? "]" : "", port, key) < 0) {
        w->request = NULL;
        ws_conn_free(w);
        return ERR_NOMEM;
    }
    w->host = config->tls ? strdup(host) : NULL;
    if (config->tls && !w->host) {
        ws_conn_free(w);
        return ERR_NOMEM;
    }
    w->loop = l;
    w->dialling = true;
    loop_connect(l, host, port, ws_client_on_connect, w);
    *ret_ws = w;
    return 0;
}
