/* SPDX-License-Identifier: Apache-2.0 */
/* What a loop implementation provides, and what loop.c does for all of them: timers, deferred work
 * and the scratch memory that connections read into. Private to net/. */
#ifndef DARKBLOOM_NET_LOOP_OPS_H
#define DARKBLOOM_NET_LOOP_OPS_H

#include "base/list.h"
#include "net/loop.h"
#include "net/timer.h"

enum { LOOP_SCRATCH_BYTES = 64 << 10, LOOP_BACKLOG = 1024 };

struct loop_ops {
    void (*free)(struct loop *l);
    int (*run)(struct loop *l);
    int (*listen)(struct loop *l, const char *host, uint16_t port, bool shared, int *ret_sock,
                  uint16_t *ret_port, struct err *ret_err);
    int (*accept)(struct loop *l, int listen_sock, char ret_peer[64]);
    void (*connect)(struct loop *l, const char *host, uint16_t port, loop_connect_cb *cb, void *ud);
    ssize_t (*recv)(struct loop *l, int sock, void *ret_bytes, size_t cap);
    ssize_t (*sendv)(struct loop *l, int sock, const struct iovec *iov, int n);
    void (*shutdown)(struct loop *l, int sock);
    void (*close)(struct loop *l, int sock);
    int (*watch_add)(struct loop *l, int sock, unsigned events, loop_ready_cb *cb, void *ud,
                     struct loop_watch **ret_watch);
    void (*watch_set)(struct loop *l, struct loop_watch *w, unsigned events);
    void (*watch_remove)(struct loop *l, struct loop_watch *w);
    int (*waker_new)(struct loop *l, void (*cb)(void *ud), void *ud, struct loop_waker **ret_waker);
    void (*waker_wake)(struct loop_waker *w);
    void (*waker_free)(struct loop_waker *w);
    int (*on_signal)(struct loop *l, int signo, void (*cb)(void *ud, int signo), void *ud);
};

/* Deferred work, first in, first out. */
struct loop_queue {
    struct loop_defer *head, **end;
};

/* First member of every implementation. */
struct loop {
    const struct loop_ops *ops;
    struct clock clock;
    struct timer_heap timers;
    struct loop_queue deferred, late, turns;
    uint32_t turn;            /* counts iterations */
    unsigned turn_share;      /* pieces of work that this iteration may still do */
    struct list_node orphans; /* connections that finish on their own: struct loop_orphan */
    char *scratch;            /* LOOP_SCRATCH_BYTES that a connection reads into */
    bool stopped;
};

/* First member of every watch and waker, so that they need not name their loop. */
struct loop_part {
    struct loop *loop;
};

/* Something without an owner that must not outlive the loop. */
struct loop_orphan {
    struct list_node link;
    void (*free)(struct loop_orphan *o);
};

int loop_base_init(struct loop *l, const struct loop_ops *ops, struct clock clock);
/* Ends orphans, releases timers and scratch. Before the implementation closes its own parts. */
void loop_base_free(struct loop *l);

/* Run everything due now, everything deferred and a share of what waits its turn. Returns µs until
 * the next timer: 0 when more is due or waits, -1 when none is set. */
int64_t loop_run_due(struct loop *l);

#endif
