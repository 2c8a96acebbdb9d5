/* SPDX-License-Identifier: Apache-2.0 */
/* The WebSocket connection's inside, shared by its two ends (ws_conn.c, ws_client.c). */
#ifndef DARKBLOOM_NET_WS_CONN_H
#define DARKBLOOM_NET_WS_CONN_H

#include "net/ws.h"

struct ws_conn {
    struct conn *conn; /* NULL: not connected yet, or over */
    struct ws_parser parser;
    struct ws_conn_config config;
    const struct ws_conn_ops *ops;
    void *ud;
    bool client, open;
    bool over;     /* the owner was told, or let go */
    bool dead;     /* free when nothing of it is on the stack */
    bool dialling; /* a connect is under way and will call back */
    int peer_code; /* of the peer's close frame; 0: none came, or without one */
    int busy;
    uint8_t mask[4];
    bool pong_due; /* a ping waits for its answer */
    uint8_t pong_n, pong[WS_CONTROL_MAX_BYTES];
    /* client handshake */
    struct loop *loop;
    char *request;
    char *host; /* whose certificate is demanded */
    char accept[29];
};

extern const struct conn_ops ws_conn_stream_ops;

struct ws_conn *ws_conn_alloc(const struct ws_conn_config *config, const struct ws_conn_ops *ops,
                              void *ud, bool client);
struct conn_config ws_conn_limits(const struct ws_conn_config *config);
/* Nothing is sent or received any more: what belongs to the connection is charged to it no longer.
 * Returns it, to be freed or finished. */
struct conn *ws_conn_let_go(struct ws_conn *w);
/* The connection's bytes are frames from here on. */
void ws_conn_take(struct ws_conn *w, struct conn *c);
void ws_conn_on_data(void *ud);
void ws_conn_on_close(void *ud, int reason);

#endif
