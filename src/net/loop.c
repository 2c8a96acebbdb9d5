/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a loop that is the same everywhere, and dispatch to the part that is not. */
#include <stdlib.h>

#include "net/loop_ops.h"

int loop_base_init(struct loop *l, const struct loop_ops *ops, struct clock clock)
{
    l->ops = ops;
    l->clock = clock;
    l->deferred.end = &l->deferred.head;
    l->late.end = &l->late.head;
    l->turns.end = &l->turns.head;
    l->turn_share = LOOP_TURN_SHARE;
    list_init(&l->orphans);
    l->scratch = malloc(LOOP_SCRATCH_BYTES);
    return l->scratch ? 0 : ERR_NOMEM;
}

void loop_base_free(struct loop *l)
{
    while (!list_empty(&l->orphans)) {
        struct loop_orphan *o = list_owner(l->orphans.next, struct loop_orphan, link);

        o->free(o);
    }
    timer_heap_free(&l->timers);
    free(l->scratch);
    l->scratch = NULL;
}

static void loop_run_first(struct loop_queue *q)
{
    struct loop_defer *d = q->head;

    q->head = d->next;
    if (!q->head)
        q->end = &q->head;
    d->next = NULL;
    d->queue = NULL;
    d->cb(d->ud);
}

static void loop_run_deferred(struct loop *l)
{
    /* What is queued while this runs runs too: a flush may end an exchange that lets the next
     * request in. */
    while (l->deferred.head || l->late.head)
        loop_run_first(l->deferred.head ? &l->deferred : &l->late);
}

/* What is queued while this runs is of the next iteration: a connection has one piece in each. */
static void loop_run_turns(struct loop *l)
{
    l->turn++;
    while (l->turns.head && l->turns.head->turn != l->turn && l->turn_share > 0) {
        l->turn_share--;
        loop_run_first(&l->turns);
    }
    l->turn_share = LOOP_TURN_SHARE;
}

int64_t loop_run_due(struct loop *l)
{
    int64_t now = clock_mono_us(&l->clock);
    struct loop_timer *t;
    int64_t next;

    while ((t = timer_heap_pop_due(&l->timers, now)))
        t->cb(t->ud);
    while (l->deferred.head) /* what is ready to leave does not wait for new work */
        loop_run_first(&l->deferred);
    loop_run_turns(l);
    loop_run_deferred(l);
    if (l->turns.head)
        return 0;
    next = timer_heap_next_us(&l->timers);
    if (next == INT64_MAX)
        return -1;
    return next > now ? next - now : 0;
}

void loop_free(struct loop *l)
{
    if (l)
        l->ops->free(l);
}

int loop_run(struct loop *l)
{
    l->stopped = false;
    return l->ops->run(l);
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

struct clock loop_clock(struct loop *l)
{
    return l->clock;
}

int loop_listen(struct loop *l, const char *host, uint16_t port, int *ret_sock, uint16_t *ret_port,
                struct err *ret_err)
{
    return l->ops->listen(l, host, port, false, ret_sock, ret_port, ret_err);
}

int loop_listen_shared(struct loop *l, const char *host, uint16_t port, int *ret_sock,
                       uint16_t *ret_port, struct err *ret_err)
{
    return l->ops->listen(l, host, port, true, ret_sock, ret_port, ret_err);
}

int loop_accept(struct loop *l, int listen_sock, char ret_peer[64])
{
    return l->ops->accept(l, listen_sock, ret_peer);
}

void loop_connect(struct loop *l, const char *host, uint16_t port, loop_connect_cb *cb, void *ud)
{
    l->ops->connect(l, host, port, cb, ud);
}

ssize_t loop_recv(struct loop *l, int sock, void *ret_bytes, size_t cap)
{
    return l->ops->recv(l, sock, ret_bytes, cap);
}

ssize_t loop_sendv(struct loop *l, int sock, const struct iovec *iov, int n)
{
    return l->ops->sendv(l, sock, iov, n);
}

void loop_shutdown(struct loop *l, int sock)
{
    l->ops->shutdown(l, sock);
}

void loop_close(struct loop *l, int sock)
{
    l->ops->close(l, sock);
}

int loop_watch_add(struct loop *l, int sock, unsigned events, loop_ready_cb *cb, void *ud,
                   struct loop_watch **ret_watch)
{
    return l->ops->watch_add(l, sock, events, cb, ud, ret_watch);
}

void loop_watch_set(struct loop_watch *w, unsigned events)
{
    struct loop *l = ((struct loop_part *)(void *)w)->loop;

    l->ops->watch_set(l, w, events);
}

void loop_watch_remove(struct loop_watch *w)
{
    struct loop *l = w ? ((struct loop_part *)(void *)w)->loop : NULL;

    if (l)
        l->ops->watch_remove(l, w);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t delay_us, void (*cb)(void *ud),
                    void *ud)
{
    t->due_us = clock_mono_us(&l->clock) + delay_us;
    t->cb = cb;
    t->ud = ud;
    /* Growing the heap fails only when the machine is out of memory for pointers; a lost timer
     * would then hang its owner, so the process ends instead. */
    if (timer_heap_set(&l->timers, t) < 0)
        abort();
}

void loop_timer_clear(struct loop *l, struct loop_timer *t)
{
    timer_heap_clear(&l->timers, t);
}

static void loop_defer_to(struct loop_queue *q, struct loop_defer *d, void (*cb)(void *ud),
                          void *ud)
{
    if (d->queue)
        return;
    *d = (struct loop_defer){.queue = q, .cb = cb, .ud = ud};
    *q->end = d;
    q->end = &d->next;
}

void loop_defer_add(struct loop *l, struct loop_defer *d, void (*cb)(void *ud), void *ud)
{
    loop_defer_to(&l->deferred, d, cb, ud);
}

void loop_defer_late(struct loop *l, struct loop_defer *d, void (*cb)(void *ud), void *ud)
{
    loop_defer_to(&l->late, d, cb, ud);
}

void loop_defer_turn(struct loop *l, struct loop_defer *d, void (*cb)(void *ud), void *ud)
{
    loop_defer_to(&l->turns, d, cb, ud);
    d->turn = l->turn;
}

bool loop_turn_take(struct loop *l)
{
    if (l->turns.head || l->turn_share == 0)
        return false;
    l->turn_share--;
    return true;
}

void loop_turn_charge(struct loop *l, size_t bytes)
{
    unsigned more = bytes > 0 ? (unsigned)((bytes - 1) / LOOP_TURN_BYTES) : 0;

    l->turn_share -= more < l->turn_share ? more : l->turn_share;
}

void loop_defer_remove(struct loop *l, struct loop_defer *d)
{
    struct loop_queue *q = d->queue;
    struct loop_defer **at;

    (void)l;
    if (!q)
        return;
    for (at = &q->head; *at != d; at = &(*at)->next)
        ;
    *at = d->next;
    if (!d->next)
        q->end = at;
    d->queue = NULL;
}

int loop_waker_new(struct loop *l, void (*cb)(void *ud), void *ud, struct loop_waker **ret_waker)
{
    return l->ops->waker_new(l, cb, ud, ret_waker);
}

void loop_waker_wake(struct loop_waker *w)
{
    ((struct loop_part *)(void *)w)->loop->ops->waker_wake(w);
}

void loop_waker_free(struct loop_waker *w)
{
    if (w)
        ((struct loop_part *)(void *)w)->loop->ops->waker_free(w);
}

int loop_on_signal(struct loop *l, int signo, void (*cb)(void *ud, int signo), void *ud)
{
    return l->ops->on_signal(l, signo, cb, ud);
}
