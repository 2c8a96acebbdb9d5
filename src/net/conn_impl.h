/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's inside, shared by its life (conn.c), its input (conn_in.c) and its output
 * (conn_out.c). Private to net/. */
#ifndef DARKBLOOM_NET_CONN_IMPL_H
#define DARKBLOOM_NET_CONN_IMPL_H

#include "base/check.h"
#include "net/conn.h"
#include "net/loop_ops.h"
#include "net/tls.h"

enum { CONN_FINISH_STALL_MS = 10000 }; /* of a connection that nobody owns any more */

enum conn_state { CONN_OPEN, CONN_FINISHING, CONN_DEAD };

struct conn {
    struct loop *loop;
    struct loop_watch *watch;
    struct loop_orphan orphan;
    struct loop_defer flush, turn; /* output; input */
    struct loop_timer timer;       /* open: output stalls; finishing: output stalls, or lingers */
    int64_t linger_ms;             /* finishing */
    size_t drop_left; /* finishing: bytes of input that may still be read and dropped */
    struct list_node of_group;
    struct conn_group *group;
    const struct conn_ops *ops;
    void *ud;
    struct conn_config config;
    struct budget memory; /* this connection's level: in, out and what the owner charges */
    struct buf in, out;
    int sock;
    struct tls *tls;  /* between the buffers and the socket; NULL: nothing is */
    size_t tls_bytes; /* charged for it */
    enum conn_state state;
    int busy; /* calls into the owner on the stack */
    bool paused, blocked, was_blocked, eof, reported;
    bool drop_in; /* finished inside a callback, which may still look at the input */
    unsigned watching;
    bool lingering; /* all was sent; on the group's list of these */
    uint64_t taken;
    int64_t last_taken_us, blocked_us; /* mono */
};

/* conn.c */
/* What a callback into the owner left to be done once none is on the stack. */
void conn_leave_last(struct conn *c);
/* Tell the owner once that the stream ended; the owner frees. */
void conn_report_close(struct conn *c, int reason);
/* All was sent: count it among the lingering ones of its group. */
void conn_linger(struct conn *c);

/* conn_in.c */
/* The socket is readable. */
void conn_read(struct conn *c);

/* conn_tls.c: the socket, where the stream is sealed */
/* Whether it also has to wait for, or to be read because of, what OpenSSL does inside. */
unsigned conn_tls_events(const struct conn *c, unsigned want);
ssize_t conn_tls_recv(struct conn *c, size_t room);
ssize_t conn_tls_send(struct conn *c);
void conn_tls_free(struct conn *c);
void conn_read_pending(struct conn *c);

/* conn_out.c */
void conn_flush_out(void *ud);
void conn_timer_in(struct conn *c, int64_t ms);

/* After a callback into the owner: false when the connection was freed in it. */
static inline bool conn_leave(struct conn *c)
{
    bool alive = c->state != CONN_DEAD;

    CHECK(c->busy > 0);
    c->busy--;
    if (c->busy == 0 && (c->drop_in || !alive))
        conn_leave_last(c);
    return alive;
}

/* Have the loop watch the socket for what is wanted now. */
static inline void conn_watch(struct conn *c)
{
    bool room = c->state == CONN_FINISHING ? c->drop_left > 0 : c->in.len < c->config.in_max_bytes;
    unsigned want = (room && !c->eof ? LOOP_READABLE : 0) | (c->blocked ? LOOP_WRITABLE : 0);

    if (c->tls)
        want = conn_tls_events(c, want);
    if (want != c->watching) {
        c->watching = want;
        loop_watch_set(c->watch, want);
    }
    if (c->tls)
        conn_read_pending(c);
}

#endif
