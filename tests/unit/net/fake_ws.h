/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a WebSocket that notes what it is told, and an HTTP server that upgrades everybody. */
#ifndef TESTS_NET_FAKE_WS_H
#define TESTS_NET_FAKE_WS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_peer.h"
#include "net/http1.h"

enum {
    FAKE_MESSAGE_MAX_BYTES = 100000,
    FAKE_QUEUE_MAX_BYTES = 150000,
    FAKE_MEMORY_BYTES = 8 << 20
};

/* What the owner does inside its next callback. */
enum ws_act { WS_ACT_NONE, WS_ACT_FREE, WS_ACT_CLOSE, WS_ACT_CLOSE_AND_LOOK };

struct fake_end {
    struct ws_conn *ws; /* NULL: let go */
    struct buf got;     /* the payloads, each followed by '|' */
    int opens, messages, pongs, drains, closes, reason;
    char text[200]; /* of on_close */
    enum ws_act act;
    uint8_t next_random; /* the client's masks: 1, 2, 3 ... */
};

extern const struct ws_conn_ops fake_end_ops;

struct fake_ws {
    struct loop *l;
    struct http_server *server;
    uint16_t port;
    struct budget memory; /* of the server's connections; nothing of it is left at the end */
    struct ws_conn_config config;
    struct fake_end at_server, at_client;
};

/* cmocka's setup and teardown: a server, nobody connected. */
int fake_ws_setup(void **state);
int fake_ws_teardown(void **state);

/* The client end connects and was told that it is open. */
void fake_ws_open(struct fake_ws *w);
/* Connect by hand and upgrade: what is sent now are frames, what was read is dropped. */
void fake_ws_open_peer(struct fake_ws *w, struct fake_peer *p);
/* The client end's settings; its masks are those of `e`. */
struct ws_conn_config fake_ws_client_config(const struct fake_ws *w, struct fake_end *e);

#define T(test) cmocka_unit_test_setup_teardown(test, fake_ws_setup, fake_ws_teardown)

#endif
