/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 server (RFC 9112) over conn, parsed by llhttp. One exchange at a time on a connection:
 * the next pipelined request waits until the response has left. A peer that closes (or half-
 * closes) while its response is open is treated as gone.
 *
 * An exchange ends exactly one way: the handler completes the response (http_respond or
 * http_stream_end), or on_abort is called. After either it must not be touched. */
#ifndef DARKBLOOM_NET_HTTP1_H
#define DARKBLOOM_NET_HTTP1_H

#include "net/conn.h"
#include "net/tls.h"
#include "net/ws.h"

enum { HTTP_MAX_HEADERS = 64, HTTP_HEAD_WAIT = -1 };

struct http_header {
    struct str name, value; /* as received, value trimmed */
};

struct http_request {
    struct str method; /* "POST" */
    struct str path;   /* "/v1/chat/completions", without host and query */
    struct str query;  /* after '?', may be empty */
    struct http_header headers[HTTP_MAX_HEADERS];
    size_t n_headers;
    struct str body;     /* whole body; valid until the exchange ends */
    bool wants_upgrade;  /* a well-formed WebSocket upgrade (HTTP/1.1, GET, no body, version 13, one
                            key of 16 bytes) */
    int64_t received_us; /* mono: when the last byte of the request was read */
};

/* Value of the first header of that name (any case), .p NULL when absent. */
struct str http_header_get(const struct http_request *req, const char *name);
/* The same for a field that makes sense once only: 0, also when absent, or ERR_EXISTS where it
 * stands twice (nobody knows which of them counts). */
int http_header_once(const struct http_request *req, const char *name, struct str *ret_value);

/* Whether a comma-separated list of tokens has this one (any case). */
bool http_list_has(struct str list, struct str token);

struct http_server;
struct http_exchange;

/* What the limits on connections and bodies count. Servers on several loops may share one, which
 * outlives them; zero it before the first. */
struct http_totals {
    _Atomic size_t connections;
    _Atomic size_t body_bytes; /* of memory for bodies, arriving or being worked on */
};

struct http_server_config {
    size_t max_head_bytes;    /* 431 beyond; 0: 16 KiB */
    size_t max_body_bytes;    /* 413 beyond, without reading the rest; 0: 6 MiB */
    size_t max_bodies_bytes;  /* of all requests at once; 503 beyond. 0: 256 MiB */
    size_t small_body_bytes;  /* has room in any case: connections bound those. 0: 64 KiB */
    size_t out_max_bytes;     /* response bytes queued beyond the socket; 0: 2 MiB */
    int64_t head_timeout_ms;  /* first byte to end of head; then 408. 0: 10 s */
    int64_t body_timeout_ms;  /* no body byte for this long; then 408. 0: 10 s */
    int64_t body_deadline_ms; /* end of head to end of body; then 408. 0: 60 s */
    int64_t idle_timeout_ms;  /* keep-alive without a request. 0: 60 s */
    int max_connections;      /* until their sockets are closed, WebSockets among them; beyond it
                                 new ones get 503. 0: 65536 */
    int max_lingering; /* of these, that only wait for their peer to close; beyond it the oldest
                          is closed. 0: an eighth of max_connections, at most 1024 */
    int max_greetings; /* of them, that are in a TLS handshake; beyond it the oldest is closed.
                          0: 2048 */
    struct http_totals *totals; /* NULL: of this server alone */
    struct budget *budget;      /* memory of all connections while they speak HTTP, bodies too: 503
                                   beyond. NULL: unbounded; outlives the server */
};

struct http_server_ops {
    /* A complete request. The handler answers now or later. */
    void (*on_request)(void *ud, struct http_exchange *x);
    /* The head of a request whose body is still to come, and not yet asked for: 0 (let it come),
     * the status of a refusal, and *ret_why, or HTTP_HEAD_WAIT: nothing is read of the body until
     * http_body_accept or http_head_refuse, and no time-out runs. May be NULL.
     * What the owner keeps for it (http_set_ud) goes to on_request, or http_on_abort's callback
     * says that none will come. */
    int (*on_head)(void *ud, struct http_exchange *x, const char **ret_why);
    /* A request that cannot be handed over (`status` 400, 408, 413, 431, 501, 503, 505, or
     * on_head's): append the body of the answer to `ret_body` and name its content type. The
     * connection closes after it. */
    const char *(*on_reject)(void *ud, int status, const char *why, struct buf *ret_body);
    /* More headers of that answer, at most HTTP_MAX_HEADERS - 1: how many. `req` is NULL where
     * there is no whole head. May be NULL. */
    size_t (*reject_headers)(void *ud, int status, const struct http_request *req,
                             struct http_header *ret_headers);
    /* A TLS handshake ended. May be NULL. */
    void (*on_greeting)(void *ud, enum tls_greeting how);
};

/* Serve connections that arrive on `listen_sock` (taken over). */
int http_server_new(struct loop *l, int listen_sock, const struct http_server_config *config,
                    const struct http_server_ops *ops, void *ud, struct http_server **ret_server);
/* Connections accepted from now on speak TLS (NULL: they do not); those there are go on. A
 * handshake has `head_timeout_ms`. Beyond max_connections a new one is closed at once, as the
 * answer would cost a handshake. */
void http_server_set_tls(struct http_server *s, struct tls_context *ctx);
/* Open exchanges go on; each connection closes after its response, idle ones at once, and new ones
 * after the one response that says so. */
void http_server_drain(struct http_server *s);
/* Exchanges open now. */
size_t http_server_open(const struct http_server *s);
/* Close everything at once (on_abort is called for open exchanges). */
void http_server_free(struct http_server *s);

/* Hand an exchange that a handler has, with its connection, to the server of another loop
 * (conn_detach). Detached on the one loop's thread, attached on the other's; in between nothing may
 * be done with it but to look at its request. Not from inside a callback of it. The next request on
 * the connection is the other server's. Both servers have the same configuration, and shared
 * budgets. http_exchange_attach: 0, or ERR_NOMEM or ERR_IO: the exchange is over, its connection
 * closed, and no callback called. */
void http_exchange_detach(struct http_exchange *x);
int http_exchange_attach(struct http_exchange *x, struct http_server *s);

const struct http_request *http_request_of(const struct http_exchange *x);
/* The peer's address as text: "127.0.0.1", "::1". */
const char *http_peer(const struct http_exchange *x);
/* The owner's own pointer for this request, NULL at first. */
void http_set_ud(struct http_exchange *x, void *ud);
void *http_ud(const struct http_exchange *x);

/* End the wait that on_head began, later than inside it: let the body come, or refuse it (on_reject
 * makes the answer, as for on_head's own refusal; `why` is valid during the call). */
void http_body_accept(struct http_exchange *x);
void http_head_refuse(struct http_exchange *x, int status, const char *why);

/* Called at most once, when the consumer is gone or stopped reading for good; set inside on_head,
 * also when the body does not come as it should. */
void http_on_abort(struct http_exchange *x, void (*cb)(void *ud, int reason), void *ud);
/* Called when queued output has all been taken after having had to wait. */
void http_on_drain(struct http_exchange *x, void (*cb)(void *ud), void *ud);

/* The request's body is needed no more: wiped, freed, and counted no longer. */
void http_drop_body(struct http_exchange *x);

/* A whole response with Content-Length. `headers` are extra ones (Content-Type among them). */
void http_respond(struct http_exchange *x, int status, const struct http_header *headers, size_t n,
                  struct str body);

/* A chunked response: head now, then pieces, then the end. Each write is one chunk of the joined
 * parts: 0, or ERR_LIMIT when the output maximum is reached (nothing was queued). */
void http_stream_begin(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t n);
int http_stream_write(struct http_exchange *x, const struct str *parts, int n);
void http_stream_end(struct http_exchange *x);
/* End a stream abnormally: close without the final chunk, after sending what is queued. */
void http_stream_abort(struct http_exchange *x);

/* Hand what is queued to the socket now, not at the end of the iteration: for who is about to count
 * what it took. May call on_abort. */
void http_flush(struct http_exchange *x);

size_t http_out_pending(const struct http_exchange *x);
/* Whether `n` bytes more fit into the budget that the connection is charged to. */
bool http_out_has_room(const struct http_exchange *x, size_t n);
bool http_out_blocked(const struct http_exchange *x);
uint64_t
http_out_taken(const struct http_exchange *x); /* bytes of the connection the socket took */
uint64_t http_out_queued(const struct http_exchange *x); /* bytes ever queued: taken + pending */
int64_t http_out_last_taken_us(const struct http_exchange *x);

/* Answer the upgrade (101) and turn the connection into a WebSocket; ends the exchange. 0, or
 * ERR_NOMEM or ERR_LIMIT (no room in a budget): nothing was said, the exchange goes on. */
int http_upgrade_ws(struct http_exchange *x, const struct ws_conn_config *config,
                    const struct ws_conn_ops *ops, void *ud, struct ws_conn **ret_ws);

/* "Not Found" for 404. */
const char *http_status_text(int status);

#endif
