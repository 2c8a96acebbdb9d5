/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a WebSocket that notes what it is told, and an HTTP server that upgrades everybody. */
#include "fake_ws.h"

#include <stdio.h>

static void act(struct fake_end *e)
{
    if (e->act == WS_ACT_FREE)
        ws_conn_free(e->ws);
    else if (e->act != WS_ACT_NONE)
        ws_conn_close(e->ws, WS_CLOSE_POLICY, STR("enough"));
    else
        return;
    e->ws = NULL;
}

static void on_open(void *ud)
{
    struct fake_end *e = ud;

    e->opens++;
    act(e);
}

static void on_message(void *ud, struct str payload)
{
    struct fake_end *e = ud;

    e->messages++;
    if (e->act == WS_ACT_CLOSE_AND_LOOK)
        act(e);
    assert_int_equal(buf_append_str(&e->got, payload), 0);
    assert_int_equal(buf_append(&e->got, "|", 1), 0);
    if (e->ws)
        act(e);
}

static void on_pong(void *ud)
{
    struct fake_end *e = ud;

    e->pongs++;
    act(e);
}

static void on_drain(void *ud)
{
    struct fake_end *e = ud;

    e->drains++;
    act(e);
}

static void on_close(void *ud, int reason, const char *text)
{
    struct fake_end *e = ud;

    e->closes++;
    e->reason = reason;
    (void)snprintf(e->text, sizeof e->text, "%s", text);
    ws_conn_free(e->ws);
    e->ws = NULL;
}

const struct ws_conn_ops fake_end_ops = {.on_open = on_open,
                                         .on_message = on_message,
                                         .on_pong = on_pong,
                                         .on_drain = on_drain,
                                         .on_close = on_close};

static void on_request(void *ud, struct http_exchange *x)
{
    struct fake_ws *w = ud;

    assert_true(http_request_of(x)->wants_upgrade);
    assert_null(w->at_server.ws);
    assert_int_equal(http_upgrade_ws(x, &w->config, &fake_end_ops, &w->at_server, &w->at_server.ws),
                     0);
}

static const char *on_reject(void *ud, int status, const char *why, struct buf *ret_body)
{
    (void)ud;
    (void)ret_body;
    fail_msg("%d: %s", status, why);
    return "text/plain";
}

static const struct http_server_ops ops = {.on_request = on_request, .on_reject = on_reject};

int fake_ws_setup(void **state)
{
    static struct fake_ws w;
    const struct http_server_config config = {.budget = &w.memory};
    int listener;

    w = (struct fake_ws){.config = {.max_message_bytes = FAKE_MESSAGE_MAX_BYTES,
                                    .out_max_bytes = FAKE_QUEUE_MAX_BYTES,
                                    .budget = &w.memory}};
    budget_init(&w.memory, "the test's server", FAKE_MEMORY_BYTES, NULL);
    buf_init(&w.at_server.got, 4 << 20);
    buf_init(&w.at_client.got, 4 << 20);
    if (loop_fake_new(0, &w.l) < 0 ||
        loop_listen(w.l, "127.0.0.1", 0, &listener, &w.port, NULL) < 0 ||
        http_server_new(w.l, listener, &config, &ops, &w, &w.server) < 0)
        return -1;
    *state = &w;
    return 0;
}

int fake_ws_teardown(void **state)
{
    struct fake_ws *w = *state;

    ws_conn_free(w->at_client.ws);
    ws_conn_free(w->at_server.ws);
    http_server_free(w->server);
    buf_free(&w->at_client.got);
    buf_free(&w->at_server.got);
    assert_int_equal(budget_used(&w->memory), 0);
    loop_free(w->l);
    return 0;
}

static void count_up(void *ud, void *ret_bytes, size_t n)
{
    struct fake_end *e = ud;

    for (size_t i = 0; i < n; i++)
        ((uint8_t *)ret_bytes)[i] = ++e->next_random;
}

struct ws_conn_config fake_ws_client_config(const struct fake_ws *w, struct fake_end *e)
{
    struct ws_conn_config config = w->config;

    config.rand = (struct rand_src){count_up, e};
    config.budget = NULL;
    return config;
}

void fake_ws_open(struct fake_ws *w)
{
    const struct ws_conn_config config = fake_ws_client_config(w, &w->at_client);

    assert_int_equal(ws_conn_connect(w->l, "127.0.0.1", w->port, "/ws", &config, &fake_end_ops,
                                     &w->at_client, &w->at_client.ws),
                     0);
    assert_int_equal(w->at_client.opens, 0); /* never from inside the call */
    loop_fake_settle(w->l);
    assert_int_equal(w->at_client.opens, 1);
}

void fake_ws_open_peer(struct fake_ws *w, struct fake_peer *p)
{
    fake_peer_connect(p, w->l, w->port);
    assert_true(fake_peer_send(
        p,
        STR("GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")));
    assert_true(fake_peer_got(p, "HTTP/1.1 101 "));
    fake_peer_forget(p);
    assert_non_null(w->at_server.ws);
}
