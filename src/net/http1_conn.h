/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP connection's inside: one exchange at a time. Shared by the parser (http1_parse.c), its
 * life (http1_exchange.c), the server (http1_server.c) and the writer (http1_response.c). */
#ifndef DARKBLOOM_NET_HTTP1_CONN_H
#define DARKBLOOM_NET_HTTP1_CONN_H

#include <llhttp.h>

#include "base/list.h"
#include "net/http1.h"

enum http_state {
    HTTP_READING,   /* between requests, or inside one */
    HTTP_WAITING,   /* for the owner's word on a head, before its body is read */
    HTTP_HANDLING,  /* the handler has the request */
    HTTP_STREAMING, /* a chunked response has begun */
    HTTP_CLOSED     /* the connection was given up */
};

/* A string inside `head`, by offsets, since the buffer may move while it grows. */
struct http_span {
    size_t at, n;
};

struct http_exchange {
    struct http_server *server;
    struct list_node link;
    struct conn *conn;
    enum http_state state;
    struct loop_timer timer; /* head, body or idle time-out */
    struct list_node of_greetings;
    bool greeting; /* its TLS handshake has not ended */

    /* parsing */
    llhttp_t parser;
    struct buf head, body;
    struct http_span target, names[HTTP_MAX_HEADERS], values[HTTP_MAX_HEADERS];
    size_t n_headers, trailer_bytes;
    bool in_value, got_bytes, head_done, complete;
    int reject_status;
    const char *reject_why;
    char limit_text[240]; /* a reason that names a number */
    int64_t head_done_us; /* mono */
    size_t body_counted;  /* of the server's body_bytes */

    /* the request and its answer */
    struct http_request request;
    bool keep_alive, http10, is_head;
    void (*on_abort)(void *ud, int reason);
    void *abort_ud;
    void (*on_drain)(void *ud);
    void *drain_ud;
    void *ud;
    char peer[64];
};

struct http_server {
    struct loop *loop;
    struct clock clock;
    struct http_server_config config;
    const struct http_server_ops *ops;
    void *ud;
    int listen_sock;
    struct loop_watch *watch;
    struct loop_timer accept_pause;
    llhttp_settings_t settings;
    struct list_node exchanges; /* one a connection that speaks HTTP */
    size_t n_open;              /* that a handler has */
    struct http_totals own, *totals;
    struct conn_group conns; /* those, WebSockets that they became, and what is finishing */
    bool draining;
    struct tls_context *tls;    /* of connections accepted from now on */
    struct list_node greetings; /* exchanges in their TLS handshake, oldest first */
    size_t n_greetings;
    int64_t date_s; /* the second that `date` shows */
    char date[64];  /* the whole line */
    size_t date_n;
};

/* http1_parse.c */
void http_parse_init(struct http_server *s);
void http_parse_reset(struct http_exchange *x);
/* Feed what stands in the connection's input. 1: a request is complete; 0: more is needed;
 * negative: reject_status says how to refuse. */
int http_parse(struct http_exchange *x);
/* The owner lets the body come: it is asked for, and parsed from here on. */
void http_parse_resume(struct http_exchange *x);
/* Set the refusal of a request for whose next `n` bytes there is no memory: 503, and whose budget
 * is used up. */
void http_parse_refuse_memory(struct http_exchange *x, size_t n);
/* The body is not needed any more: it counts no longer. */
void http_body_release(struct http_exchange *x);
/* http1_server.c: add to what the bodies hold. */
void http_count_body(struct http_server *s, ptrdiff_t bytes);

/* http1_exchange.c */
/* A connection that was accepted, with nothing read yet; the server counts it. NULL: no memory, or
 * no room in its budget; then `sock` is closed. */
struct http_exchange *http_exchange_new(struct http_server *s, int sock, const char peer[64]);
/* Its TLS handshake has ended, if it was in one. */
void http_exchange_greeted(struct http_exchange *x, enum tls_greeting how);
/* Do something about a peer that is silent for so long. */
void http_exchange_watch_time(struct http_exchange *x, int64_t ms);
void http_exchange_done(struct http_exchange *x); /* the answer is queued */
void http_reject(struct http_exchange *x);        /* as reject_status says, and close */
/* The connection belongs to somebody else now. */
void http_exchange_release(struct http_exchange *x);
/* Tell who waits for it that it will not come. */
void http_exchange_abort(struct http_exchange *x, int reason);
void http_exchange_close(struct http_exchange *x);  /* at once */
void http_exchange_finish(struct http_exchange *x); /* once what is queued has left */

/* http1_response.c */
/* Status line, Date, `headers`, Connection where it closes; a value that cannot stand in a line is
 * left out. 0 or ERR_LIMIT. */
int http_head_append(struct http_exchange *x, int status, const struct http_header *headers,
                     size_t n, struct buf *out);
/* Content-Length and the end of the head. */
int http_length_append(size_t n, struct buf *out);

#endif
