/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket (RFC 6455), both ends: framing without I/O, and a message connection on top of conn.
 * No extensions, no subprotocols. Masking is required from clients and refused from servers. */
#ifndef DARKBLOOM_NET_WS_H
#define DARKBLOOM_NET_WS_H

#include "base/rand.h"
#include "net/conn.h"

/* --- framing (sans I/O) --- */

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};

enum {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_BAD_DATA = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_TRY_LATER = 1013
};

struct ws_parser {
    bool expect_mask;         /* true at the server's end */
    size_t max_message_bytes; /* a message over this is WS_CLOSE_TOO_BIG, seen at its header */
    struct buf message;       /* fragments collected so far */
    enum ws_opcode opcode;    /* of the fragmented message; WS_CONTINUATION: none open */
    bool joined;              /* `message` was handed out: forget it at the next call */
    size_t consume;           /* bytes of the last frame still to drop from the input */
};

struct ws_message {
    enum ws_opcode opcode; /* never WS_CONTINUATION: fragments arrive joined */
    struct str payload;    /* unmasked; valid until the next ws_parser_next on the same parser */
};

void ws_parser_init(struct ws_parser *p, bool expect_mask, size_t max_message_bytes);
void ws_parser_free(struct ws_parser *p);

/* The next message or control frame of `in`, unmasked in place. 1: *ret_message is set; 0: more
 * bytes are needed; ERR_PROTOCOL / ERR_LIMIT / ERR_PARSE (text or a close's reason that is not
 * UTF-8) / ERR_BUSY (no memory, or no room in its budget, for fragments): close with the code in
 * *ret_close_code. */
int ws_parser_next(struct ws_parser *p, struct buf *in, struct ws_message *ret_message,
                   int *ret_close_code);

/* Append one unfragmented frame; `mask` NULL at the server's end. 0, ERR_LIMIT or ERR_NOMEM. */
int ws_frame_append(struct buf *out, enum ws_opcode opcode, struct str payload,
                    const uint8_t mask[4]);

/* The two halves of it, for payloads written in place: the head of a frame of `n` payload bytes
 * (returns its length), and masking. */
enum { WS_HEAD_MAX_BYTES = 14, WS_CONTROL_MAX_BYTES = 125 };
size_t ws_frame_head(enum ws_opcode opcode, size_t n, const uint8_t mask[4],
                     uint8_t ret_head[static WS_HEAD_MAX_BYTES]);
void ws_mask(char *payload, size_t n, const uint8_t mask[4]);

enum { WS_KEY_BYTES = 16, WS_KEY_TEXT_BYTES = 24 }; /* a client's nonce, and in base64 */
/* Sec-WebSocket-Accept of a key (RFC 6455 §4.2.2): 28 characters and NUL. */
void ws_accept_key(struct str key, char ret_accept[29]);

/* --- a message connection --- */

struct ws_conn;

struct ws_conn_ops {
    void (*on_open)(void *ud); /* client end only: the handshake succeeded */
    /* A text or binary message; `payload` is valid during the call. May call ws_conn_close. */
    void (*on_message)(void *ud, struct str payload);
    void (*on_pong)(void *ud);  /* may be NULL */
    void (*on_drain)(void *ud); /* may be NULL */
    /* The connection ended: `reason` is an ERR_ code, `text` says it in words. Called exactly once
     * unless the owner called ws_conn_free first; the owner then calls ws_conn_free. */
    void (*on_close)(void *ud, int reason, const char *text);
};

struct ws_conn_config {
    size_t max_message_bytes; /* of the peer; a larger one ends the connection with 1009 */
    size_t out_max_bytes;     /* queued output; beyond it ws_send refuses */
    struct rand_src rand;     /* client masks */
    struct budget *budget;    /* of its class (conn_config); NULL: none */
    int64_t stall_ms;         /* a peer that takes no output for this long is cut; 0: never */
    struct tls_context *tls;  /* client: wss, borrowed until it is over; NULL: ws */
    bool urgent; /* read as soon as it is ready; else in turn with others (conn_config) */
};

/* Server end: the HTTP side has sent the 101 (see http_upgrade_ws); takes over the stream. */
int ws_conn_accept(struct conn *c, const struct ws_conn_config *config,
                   const struct ws_conn_ops *ops, void *ud, struct ws_conn **ret_ws);

/* Client end: connect to ws://host:port/path, or wss; on_open or on_close follows. */
int ws_conn_connect(struct loop *l, const char *host, uint16_t port, const char *path,
                    const struct ws_conn_config *config, const struct ws_conn_ops *ops, void *ud,
                    struct ws_conn **ret_ws);

/* Other limits, from the next frame on: a peer that has shown who it is may send and get more.
 * `rand` is not looked at. 0, ERR_CLOSED, or ERR_LIMIT: the new budget has no room for what the
 * connection holds, and nothing has changed. */
int ws_conn_set_limits(struct ws_conn *w, const struct ws_conn_config *config);
/* The connection's level of memory (conn_budget); NULL when it is over. */
struct budget *ws_conn_budget(struct ws_conn *w);

/* Queue one text message. 0, ERR_LIMIT (output maximum or budget) or ERR_CLOSED. The connection
 * itself answers pings: the newest one, once what was queued before has left (RFC 6455 §5.5.3), so
 * that a peer which pings without reading gets one answer queued at most. */
int ws_send(struct ws_conn *w, struct str text);
int ws_ping(struct ws_conn *w, struct str payload);
size_t ws_out_pending(const struct ws_conn *w);
/* In on_close: the code that the peer's close frame bore; 0: there was none. */
int ws_peer_close_code(const struct ws_conn *w);

/* For encoders that write straight into the output: begin reserves a header for a payload of
 * exactly `n` bytes and returns the place for it (NULL: limit); end masks (client) and queues. */
char *ws_send_begin(struct ws_conn *w, size_t n);
void ws_send_end(struct ws_conn *w, char *payload, size_t n);

/* Send a close frame and finish; no callback after this. The owner's pointer is gone. */
void ws_conn_close(struct ws_conn *w, int code, struct str why);
/* Drop the connection at once. NULL is allowed. Safe from inside a callback. */
void ws_conn_free(struct ws_conn *w);

#endif
