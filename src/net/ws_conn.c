/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket messages over a connection: the loop of frames, pings answered, closing. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "net/ws_conn.h"

enum {
    CLOSE_LINGER_MS = 2000,
    CLOSE_DROP_BYTES = 1 << 20,
    CLOSE_TEXT_MAX_BYTES = 123,
    FRAME_HEAD_ROOM = 16
};

struct conn *ws_conn_let_go(struct ws_conn *w)
{
    struct conn *c = w->conn;

    (void)buf_set_budget(&w->parser.message, NULL); /* nobody is there to refuse */
    w->conn = NULL;
    return c;
}

/* Tell the owner once; afterwards nothing comes. The owner frees. */
static void ws_conn_ended(struct ws_conn *w, int reason, const char *text)
{
    if (w->over)
        return;
    w->over = true;
    w->ops->on_close(w->ud, reason, text);
}

static const uint8_t *ws_conn_next_mask(struct ws_conn *w)
{
    if (!w->client)
        return NULL;
    rand_fill(&w->config.rand, w->mask, sizeof w->mask);
    return w->mask;
}

static int ws_conn_send_frame(struct ws_conn *w, enum ws_opcode opcode, struct str payload)
{
    int rc;

    if (w->over || !w->conn || !w->open)
        return ERR_CLOSED;
    rc = ws_frame_append(conn_out(w->conn), opcode, payload, ws_conn_next_mask(w));
    if (rc == 0)
        conn_dirty(w->conn);
    return rc;
}

static void ws_conn_send_close(struct ws_conn *w, int code, struct str why)
{
    char payload[2 + CLOSE_TEXT_MAX_BYTES];

    why = str_cut(why, CLOSE_TEXT_MAX_BYTES);
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    if (why.n > 0)
        memcpy(payload + 2, why.p, why.n);
    (void)ws_conn_send_frame(w, WS_CLOSE, (struct str){payload, 2 + why.n});
}

int ws_peer_close_code(const struct ws_conn *w)
{
    return w->peer_code;
}

/* The peer closes: echo its code and end. */
static void ws_conn_on_peer_close(struct ws_conn *w, struct str payload)
{
    char text[160] = "the peer closed the WebSocket";
    int code = payload.n >= 2 ? (uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1] : 0;

    w->peer_code = code;
    if (code)
        snprintf(text, sizeof text, "the peer closed the WebSocket with %d: %.*s", code,
                 (int)(payload.n - 2), payload.p + 2);
    (void)ws_conn_send_frame(w, WS_CLOSE, (struct str){payload.p, payload.n >= 2 ? 2 : 0});
    conn_finish(ws_conn_let_go(w), CLOSE_LINGER_MS, CLOSE_DROP_BYTES);
    ws_conn_ended(w, ERR_CLOSED, text);
}

/* --- receiving --- */

/* The newest ping is answered, the ones before it that still wait are not (RFC 6455 §5.5.3); and
 * not while earlier output waits for a peer that does not read. */
static void ws_conn_pong(struct ws_conn *w)
{
    if (!w->pong_due || conn_blocked(w->conn))
        return;
    w->pong_due = false;
    (void)ws_conn_send_frame(w, WS_PONG, (struct str){(const char *)w->pong, w->pong_n});
}

static void ws_conn_on_ping(struct ws_conn *w, struct str payload)
{
    CHECK(payload.n <= sizeof w->pong);
    w->pong_due = true;
    w->pong_n = (uint8_t)payload.n;
    if (payload.n > 0)
        memcpy(w->pong, payload.p, payload.n);
}

static void ws_conn_frame(struct ws_conn *w, const struct ws_message *m)
{
    switch (m->opcode) {
    case WS_PING:
        ws_conn_on_ping(w, m->payload);
        break;
    case WS_PONG:
        if (w->ops->on_pong)
            w->ops->on_pong(w->ud);
        break;
    case WS_CLOSE:
        ws_conn_on_peer_close(w, m->payload);
        break;
    default:
        w->ops->on_message(w->ud, m->payload);
    }
}

static bool ws_conn_leave(struct ws_conn *w)
{
    w->busy--;
    if (!w->dead || w->busy > 0)
        return !w->dead;
    ws_parser_free(&w->parser);
    free(w->request);
    free(w->host);
    free(w);
    return false;
}

static const char *ws_conn_parse_words(int rc)
{
    return rc == ERR_LIMIT   ? "a message is larger than the limit"
           : rc == ERR_BUSY  ? "no memory is left for messages; try again later"
           : rc == ERR_PARSE ? "a text message is not UTF-8"
                             : "a frame breaks RFC 6455";
}

/* Say why, and end. */
static void ws_conn_break(struct ws_conn *w, int reason, int code, const char *text)
{
    ws_conn_send_close(w, code, str_from(text));
    conn_finish(ws_conn_let_go(w), CLOSE_LINGER_MS, CLOSE_DROP_BYTES);
    ws_conn_ended(w, reason, text);
}

void ws_conn_on_data(void *ud)
{
    struct ws_conn *w = ud;
    struct ws_message m;
    int code = 0, rc = 0;

    w->busy++;
    while (!w->dead && !w->over && w->conn &&
           (rc = ws_parser_next(&w->parser, conn_in(w->conn), &m, &code)) > 0)
        ws_conn_frame(w, &m);
    if (!w->dead && !w->over && w->conn) {
        if (rc < 0)
            ws_conn_break(w, rc, code, ws_conn_parse_words(rc));
        else
            ws_conn_pong(w);
    }
    (void)ws_conn_leave(w);
}

static void ws_conn_on_drain(void *ud)
{
    struct ws_conn *w = ud;

    ws_conn_pong(w);
    if (w->ops->on_drain)
        w->ops->on_drain(w->ud);
}

void ws_conn_on_close(void *ud, int reason)
{
    struct ws_conn *w = ud;

    if (reason == ERR_LIMIT && w->open) {
        ws_conn_break(w, ERR_BUSY, WS_CLOSE_TRY_LATER, ws_conn_parse_words(ERR_BUSY));
        return;
    }
    conn_free(ws_conn_let_go(w));
    if (reason == ERR_TIMEOUT) {
        ws_conn_ended(w, reason, "the peer does not read");
        return;
    }
    ws_conn_ended(w, reason,
                  w->open ? "the connection broke"
                          : "the server closed before the WebSocket opened");
}

const struct conn_ops ws_conn_stream_ops = {
    .on_data = ws_conn_on_data, .on_drain = ws_conn_on_drain, .on_close = ws_conn_on_close};

struct ws_conn *ws_conn_alloc(const struct ws_conn_config *config, const struct ws_conn_ops *ops,
                              void *ud, bool client)
{
    struct ws_conn *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->config = *config;
    w->ops = ops;
    w->ud = ud;
    w->client = client;
    ws_parser_init(&w->parser, !client, config->max_message_bytes);
    return w;
}

struct conn_config ws_conn_limits(const struct ws_conn_config *config)
{
    return (struct conn_config){.in_max_bytes = config->max_message_bytes + FRAME_HEAD_ROOM,
                                .out_max_bytes = config->out_max_bytes,
                                .budget = config->budget,
                                .stall_ms = config->stall_ms,
                                .urgent = config->urgent};
}

void ws_conn_take(struct ws_conn *w, struct conn *c)
{
    w->conn = c;
    w->parser.message.budget = conn_budget(c); /* it holds nothing yet */
    conn_set_ops(c, &ws_conn_stream_ops, w);
}

int ws_conn_set_limits(struct ws_conn *w, const struct ws_conn_config *config)
{
    struct conn_config limits = ws_conn_limits(config);

    if (!w->conn || !w->open)
        return ERR_CLOSED;
    if (conn_set_limits(w->conn, &limits) < 0)
        return ERR_LIMIT;
    w->parser.max_message_bytes = w->parser.message.max_bytes = config->max_message_bytes;
    return 0;
}

struct budget *ws_conn_budget(struct ws_conn *w)
{
    return w->conn ? conn_budget(w->conn) : NULL;
}

int ws_conn_accept(struct conn *c, const struct ws_conn_config *config,
                   const struct ws_conn_ops *ops, void *ud, struct ws_conn **ret_ws)
{
    struct conn_config limits = ws_conn_limits(config);
    struct ws_conn *w = ws_conn_alloc(config, ops, ud, false);

    if (!w)
        return ERR_NOMEM;
    if (conn_set_limits(c, &limits) < 0) {
        ws_conn_free(w);
        return ERR_LIMIT;
    }
    w->open = true;
    ws_conn_take(w, c);
    conn_resume(c); /* the first frames may stand behind the upgrade */
    *ret_ws = w;
    return 0;
}

int ws_send(struct ws_conn *w, struct str text)
{
    return ws_conn_send_frame(w, WS_TEXT, text);
}

int ws_ping(struct ws_conn *w, struct str payload)
{
    return ws_conn_send_frame(w, WS_PING, payload);
}

size_t ws_out_pending(const struct ws_conn *w)
{
    return w->conn ? conn_out_pending(w->conn) : 0;
}

char *ws_send_begin(struct ws_conn *w, size_t n)
{
    uint8_t head[WS_HEAD_MAX_BYTES];
    const uint8_t *mask;
    size_t head_n;
    char *at;

    if (w->over || !w->conn || !w->open)
        return NULL;
    mask = ws_conn_next_mask(w);
    head_n = ws_frame_head(WS_TEXT, n, mask, head);
    at = buf_reserve(conn_out(w->conn), head_n + n);
    if (!at)
        return NULL;
    memcpy(at, head, head_n);
    buf_commit(conn_out(w->conn), head_n + n);
    return at + head_n;
}

void ws_send_end(struct ws_conn *w, char *payload, size_t n)
{
    if (w->client)
        ws_mask(payload, n, w->mask);
    conn_dirty(w->conn);
}

void ws_conn_close(struct ws_conn *w, int code, struct str why)
{
    if (!w)
        return;
    if (w->conn && w->open) {
        ws_conn_send_close(w, code, why);
        conn_finish(ws_conn_let_go(w), CLOSE_LINGER_MS, CLOSE_DROP_BYTES);
    }
    ws_conn_free(w);
}

void ws_conn_free(struct ws_conn *w)
{
    if (!w || w->dead)
        return;
    w->over = w->dead = true;
    conn_free(ws_conn_let_go(w));
    if (w->dialling) /* its callback frees what is left */
        return;
    w->busy++;
    (void)ws_conn_leave(w);
}
