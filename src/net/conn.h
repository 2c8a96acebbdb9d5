/* SPDX-License-Identifier: Apache-2.0 */
/* A buffered byte stream over a loop's socket: what was read waits in `in`, what is to be written
 * waits in `out` and leaves in one send at the end of the iteration. Knows nothing of HTTP or
 * WebSocket. Belongs to its loop's thread. */
#ifndef DARKBLOOM_NET_CONN_H
#define DARKBLOOM_NET_CONN_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/list.h"
#include "net/loop.h"

struct conn;
struct tls;
struct tls_context;

struct conn_ops {
    /* New bytes are in conn_in(); consume what is understood. May close the connection. */
    void (*on_data)(void *ud);
    /* All output was taken by the socket after some of it had to wait. May be NULL. */
    void (*on_drain)(void *ud);
    /* The peer closed or the connection broke (`reason`: ERR_CLOSED), there was no memory for its
     * input (ERR_NOMEM) or no room in its budget (ERR_LIMIT; budget_refusal says whose), or it took
     * no output for `stall_ms` (ERR_TIMEOUT). Called at most once and never after conn_free; the
     * owner calls conn_free. */
    void (*on_close)(void *ud, int reason);
};

struct conn_config {
    size_t in_max_bytes;     /* unread input beyond this stops reading until consumed */
    size_t out_max_bytes;    /* conn_write refuses beyond this */
    size_t memory_max_bytes; /* of all that conn_budget is charged; 0: no bound of its own */
    struct budget *budget;   /* of its class: charged what the connection's level is charged. NULL:
                                none; else it outlives the connection */
    int64_t stall_ms; /* output waits and the socket takes none of it for this long: on_close.
                         0: never */
    bool urgent;      /* read as soon as it is ready; else in turn with the others, a bounded
                         number in one iteration (loop_defer_turn) */
};

/* Takes over `sock`. 0, or ERR_NOMEM or ERR_LIMIT (no room in the budget); then `sock` is closed.
 */
int conn_new(struct loop *l, int sock, const struct conn_config *config, const struct conn_ops *ops,
             void *ud, struct conn **ret_conn);

/* Seal the stream from its first byte on (net/tls.h, tls_new: `host` NULL is the server's end):
 * right after conn_new. The owner goes on as before; what it reads, writes and counts is what is
 * sealed, and reading and writing do the handshake. What OpenSSL may hold is charged to the
 * connection. 0, ERR_NOMEM or ERR_LIMIT: it can only be freed. */
int conn_secure(struct conn *c, struct tls_context *ctx, const char *host);
/* NULL: it is not sealed. */
const struct tls *conn_tls(const struct conn *c);

/* Hand the stream to another owner (an HTTP connection becomes a WebSocket). */
void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *ud);
/* Other limits, and another class whose budget takes over what the connection holds. Limits below
 * what it holds refuse more. 0, or ERR_LIMIT: that budget has no room, and nothing has changed. */
int conn_set_limits(struct conn *c, const struct conn_config *config);

/* The connection's own level of memory, to which itself and its buffers are charged. The owner
 * charges to it what it keeps for the connection (a request's body, a message in pieces), and
 * releases that before conn_free or conn_finish. */
struct budget *conn_budget(struct conn *c);

/* Counts connections, whoever owns them, until their sockets are closed. Those that have sent all
 * and only wait for the peer's end (conn_finish) are at most `max_lingering`: the oldest is closed
 * for the newest. */
struct conn_group {
    struct list_node members, lingering;
    size_t n; /* of both */
    size_t n_lingering, max_lingering;
    _Atomic size_t *total; /* of all groups that share it; NULL: nobody counts */
};

void conn_group_init(struct conn_group *g, size_t max_lingering);
/* Close the one that has lingered longest; false: none does. */
bool conn_group_evict(struct conn_group *g);
void conn_join(struct conn *c, struct conn_group *g); /* a connection is in one group at most */
/* The connections go on, and are charged to nobody any more: the budgets may go. */
void conn_group_disband(struct conn_group *g);

/* Take the connection off its loop, with what it holds: from then on it belongs to nobody's thread,
 * until one attaches it to its loop. Between the two nothing else may be done with it. Not from
 * inside one of its callbacks, nor after on_close or conn_finish. It leaves its group; the budgets
 * above its own must be shared ones, or a drawer of one. */
void conn_detach(struct conn *c);
/* Go on there: what was queued is sent, and what is unread is handed over if it is not paused. The
 * owner and its callbacks stay; `budget` is that loop's drawer of the shared budget, or that
 * budget. 0, ERR_NOMEM or ERR_IO: then it can only be freed. */
int conn_attach(struct conn *c, struct loop *l, struct budget *budget);

/* Close at once, unsent output is dropped. NULL is allowed. Safe from inside a callback. */
void conn_free(struct conn *c);
/* Send what is queued, then the end of the stream, then wait up to `linger_ms` for the peer's own
 * end; no callback after this call. What still comes is read and dropped, so that the peer is not
 * told of a reset before it has read the answer, but `drop_max_bytes` of it at most: the rest stays
 * with the sender. A peer that takes nothing for 10 s is given up. */
void conn_finish(struct conn *c, int64_t linger_ms, size_t drop_max_bytes);

/* Unread input. Consume with buf_consume; after consuming outside on_data call conn_resume. */
struct buf *conn_in(struct conn *c);
void conn_pause(struct conn *c);  /* stop handing over data (closing is still noticed) */
void conn_resume(struct conn *c); /* on_data is called again for what is there, in its turn; never
                                     from inside the call */

/* Queue bytes. 0, ERR_LIMIT (the output maximum or the budget: nothing was queued) or ERR_CLOSED.
 */
int conn_write(struct conn *c, const struct str *parts, int n);
/* The output buffer itself, for encoders that append in place; then conn_dirty(). */
struct buf *conn_out(struct conn *c);
void conn_dirty(struct conn *c);
/* Send what is queued now. May call on_close or on_drain. */
void conn_flush(struct conn *c);

size_t conn_out_pending(const struct conn *c);    /* queued, not yet taken by the socket */
bool conn_blocked(const struct conn *c);          /* the last send could not take everything */
uint64_t conn_taken_total(const struct conn *c);  /* bytes ever taken by the socket */
int64_t conn_last_taken_us(const struct conn *c); /* when the socket last took bytes (mono) */

#endif
