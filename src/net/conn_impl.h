/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's inside, shared by its life (conn.c), its input (conn_in.c) and its output
 * (conn_out.c). Private to net/. */
#ifndef DARKBLOOM_NET_CONN_IMPL_H
#define DARKBLOOM_NET_CONN_IMPL_H

#include "net/conn.h"
#include "net/loop_ops.h"

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
/* After a callback into the owner: false when the connection was freed in it. */
bool conn_leave(struct conn *c);
/* Tell the owner once that the stream ended; the owner frees. */
void conn_report_close(struct conn *c, int reason);
/* Have the loop watch the socket for what is wanted now. */
void conn_watch(struct conn *c);
/* All was sent: count it among the lingering ones of its group. */
void conn_linger(struct conn *c);

/* conn_in.c */
/* The socket is readable. */
void conn_read(struct conn *c);

/* conn_out.c */
void conn_flush_out(void *ud);
void conn_timer_in(struct conn *c, int64_t ms);

#endif
