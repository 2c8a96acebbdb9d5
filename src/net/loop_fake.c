/* SPDX-License-Identifier: Apache-2.0 */
/* A loop over the virtual time and the in-memory sockets of fake_net.c.
 * Everything happens in the order in which it was made, so a test runs the same way each time. */
#include "net/loop_fake.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "net/fake_net.h"
#include "net/loop_ops.h"

enum { ITERATIONS_MAX = 10000000 };

struct loop_watch {
    struct loop_part part;
    int sock;
    unsigned events;
    loop_ready_cb *cb;
    void *ud;
};

struct loop_waker {
    struct loop_part part;
    struct list_node link;
    void (*cb)(void *ud);
    void *ud;
    bool woken;
};

struct fake_dial {
    struct loop_orphan orphan;
    struct loop *loop;
    struct loop_defer later;
    uint16_t port;
    loop_connect_cb *cb;
    void *ud;
};

struct loop_fake {
    struct loop base;
    struct list_node link; /* the world's loops */
    struct fake_net *net;
    struct list_node wakers;
};

static struct loop_fake *loop_fake_of(struct loop *l)
{
    return list_owner(l, struct loop_fake, base);
}

/* --- sockets --- */

static int loop_fake_listen(struct loop *l, const char *host, uint16_t port, bool shared,
                            int *ret_sock, uint16_t *ret_port, struct err *ret_err)
{
    int sock = fake_net_listen(loop_fake_of(l)->net, port, shared, ret_port);

    (void)host;
    if (sock < 0)
        return err_set(ret_err, ERR_IO, "port %u is taken, or no fake sockets are left", port);
    *ret_sock = sock;
    return 0;
}

static int loop_fake_accept(struct loop *l, int listen_sock, char ret_peer[64])
{
    char unwanted[64];

    return fake_net_accept(loop_fake_of(l)->net, listen_sock, ret_peer ? ret_peer : unwanted);
}

static void loop_fake_dial_free(struct loop_orphan *o)
{
    struct fake_dial *d = list_owner(o, struct fake_dial, orphan);

    list_remove(&d->orphan.link);
    loop_defer_remove(d->loop, &d->later);
    free(d);
}

static void loop_fake_dial_now(void *ud)
{
    struct fake_dial d = *(struct fake_dial *)ud;

    loop_fake_dial_free(&((struct fake_dial *)ud)->orphan);
    d.cb(d.ud, fake_net_connect(loop_fake_of(d.loop)->net, d.port));
}

static void loop_fake_connect(struct loop *l, const char *host, uint16_t port, loop_connect_cb *cb,
                              void *ud)
{
    struct fake_dial *d = calloc(1, sizeof *d);

    (void)host;
    if (!d)
        abort();
    *d = (struct fake_dial){
        .orphan = {.free = loop_fake_dial_free}, .loop = l, .port = port, .cb = cb, .ud = ud};
    list_push_back(&l->orphans, &d->orphan.link);
    loop_defer_add(l, &d->later, loop_fake_dial_now, d);
}

static ssize_t loop_fake_recv(struct loop *l, int sock, void *ret_bytes, size_t cap)
{
    return fake_net_recv(loop_fake_of(l)->net, sock, ret_bytes, cap);
}

static ssize_t loop_fake_sendv(struct loop *l, int sock, const struct iovec *iov, int n)
{
    return fake_net_sendv(loop_fake_of(l)->net, sock, iov, n);
}

static void loop_fake_shutdown(struct loop *l, int sock)
{
    fake_net_shutdown(loop_fake_of(l)->net, sock);
}

static void loop_fake_close(struct loop *l, int sock)
{
    fake_net_close(loop_fake_of(l)->net, sock);
}

/* --- watches and wakers --- */

static int loop_fake_watch_add(struct loop *l, int sock, unsigned events, loop_ready_cb *cb,
                               void *ud, struct loop_watch **ret_watch)
{
    struct loop_watch *w = calloc(1, sizeof *w);

    if (!w)
        return ERR_NOMEM;
    *w = (struct loop_watch){.part = {l}, .sock = sock, .events = events, .cb = cb, .ud = ud};
    loop_fake_of(l)->net->sockets[sock].watch = w;
    *ret_watch = w;
    return 0;
}

static void loop_fake_watch_set(struct loop *l, struct loop_watch *w, unsigned events)
{
    (void)l;
    w->events = events;
}

static void loop_fake_watch_remove(struct loop *l, struct loop_watch *w)
{
    loop_fake_of(l)->net->sockets[w->sock].watch = NULL;
    free(w);
}

static int loop_fake_waker_new(struct loop *l, void (*cb)(void *ud), void *ud,
                               struct loop_waker **ret_waker)
{
    struct loop_waker *w = calloc(1, sizeof *w);

    if (!w)
        return ERR_NOMEM;
    *w = (struct loop_waker){.part = {l}, .cb = cb, .ud = ud};
    list_push_back(&loop_fake_of(l)->wakers, &w->link);
    *ret_waker = w;
    return 0;
}

static void loop_fake_waker_wake(struct loop_waker *w)
{
    w->woken = true;
}

static void loop_fake_waker_free(struct loop_waker *w)
{
    list_remove(&w->link);
    free(w);
}

static int loop_fake_on_signal(struct loop *l, int signo, void (*cb)(void *ud, int signo), void *ud)
{
    (void)l;
    (void)signo;
    (void)cb;
    (void)ud;
    return 0; /* no signals reach virtual time */
}

/* --- running --- */

/* One iteration of one loop; whether anything happened. */
static bool loop_fake_iterate(struct loop_fake *f)
{
    struct fake_net *net = f->net;
    bool busy = false;

    for (int i = 0; i < net->n_sockets; i++) {
        struct loop_watch *w = net->sockets[i].watch;
        unsigned ready =
            w && w->part.loop == &f->base ? fake_net_ready(net, &net->sockets[i]) & w->events : 0;

        if (ready) {
            busy = true;
            w->cb(w->ud, ready);
        }
    }
    for (struct list_node *n = f->wakers.next, *next; n != &f->wakers; n = next) {
        struct loop_waker *w = list_owner(n, struct loop_waker, link);

        next = n->next; /* the callback may free its waker */
        if (w->woken) {
            w->woken = false;
            busy = true;
            w->cb(w->ud);
        }
    }
    busy |= f->base.deferred.head || f->base.late.head || f->base.turns.head ||
            timer_heap_next_us(&f->base.timers) <= net->mono_us;
    (void)loop_run_due(&f->base);
    return busy;
}

/* One of each loop of the world. */
static bool loop_fake_iterate_all(struct fake_net *net)
{
    bool busy = false;

    for (struct list_node *n = net->loops.next; n != &net->loops; n = n->next)
        busy |= loop_fake_iterate(list_owner(n, struct loop_fake, link));
    return busy;
}

static int64_t loop_fake_next_us(const struct fake_net *net)
{
    int64_t next = INT64_MAX;

    for (const struct list_node *n = net->loops.next; n != &net->loops; n = n->next)
        next =
            num_min(next, timer_heap_next_us(&list_owner(n, struct loop_fake, link)->base.timers));
    return next;
}

bool loop_fake_step(struct loop *l)
{
    return loop_fake_iterate(loop_fake_of(l));
}

void loop_fake_settle(struct loop *l)
{
    for (int i = 0; loop_fake_iterate_all(loop_fake_of(l)->net); i++) {
        if (i > ITERATIONS_MAX)
            abort(); /* something is ready forever and nobody takes it */
    }
}

void loop_fake_advance(struct loop *l, int64_t us)
{
    struct fake_net *net = loop_fake_of(l)->net;
    int64_t end = net->mono_us + us;

    loop_fake_settle(l);
    while (net->mono_us < end) {
        int64_t step = num_min(loop_fake_next_us(net), end) - net->mono_us;

        net->mono_us += step;
        net->wall_us += step;
        loop_fake_settle(l);
    }
}

static int loop_fake_run(struct loop *l)
{
    struct fake_net *net = loop_fake_of(l)->net;

    while (!l->stopped) {
        int64_t next;

        if (loop_fake_iterate_all(net))
            continue;
        next = loop_fake_next_us(net);
        if (next == INT64_MAX)
            break; /* nothing will ever happen again */
        net->wall_us += next - net->mono_us;
        net->mono_us = next;
    }
    return 0;
}

static void loop_fake_free(struct loop *l)
{
    struct loop_fake *f = loop_fake_of(l);

    loop_base_free(l);
    list_remove(&f->link);
    if (list_empty(&f->net->loops))
        fake_net_free(f->net);
    free(f);
}

static const struct loop_ops loop_fake_ops = {.free = loop_fake_free,
                                              .run = loop_fake_run,
                                              .listen = loop_fake_listen,
                                              .accept = loop_fake_accept,
                                              .connect = loop_fake_connect,
                                              .recv = loop_fake_recv,
                                              .sendv = loop_fake_sendv,
                                              .shutdown = loop_fake_shutdown,
                                              .close = loop_fake_close,
                                              .watch_add = loop_fake_watch_add,
                                              .watch_set = loop_fake_watch_set,
                                              .watch_remove = loop_fake_watch_remove,
                                              .waker_new = loop_fake_waker_new,
                                              .waker_wake = loop_fake_waker_wake,
                                              .waker_free = loop_fake_waker_free,
                                              .on_signal = loop_fake_on_signal};

static int loop_fake_in(struct fake_net *net, struct loop **ret_loop)
{
    struct loop_fake *f = calloc(1, sizeof *f);

    if (!f || loop_base_init(&f->base, &loop_fake_ops, fake_net_clock(net)) < 0) {
        free(f);
        return ERR_NOMEM;
    }
    f->net = net;
    list_init(&f->wakers);
    list_push_back(&net->loops, &f->link);
    *ret_loop = &f->base;
    return 0;
}

int loop_fake_new(int64_t wall_us, struct loop **ret_loop)
{
    struct fake_net *net = fake_net_new(wall_us);
    int rc = net ? loop_fake_in(net, ret_loop) : ERR_NOMEM;

    if (rc < 0 && net)
        fake_net_free(net);
    return rc;
}

int loop_fake_beside(struct loop *l, struct loop **ret_loop)
{
    return loop_fake_in(loop_fake_of(l)->net, ret_loop);
}

void loop_fake_set_faults(struct loop *l, struct loop_fake_faults faults)
{
    loop_fake_of(l)->net->faults = faults;
}

void loop_fake_aim(struct loop *l)
{
    loop_fake_of(l)->net->aim = l;
}

void loop_fake_set_address(struct loop *l, const char *address)
{
    struct fake_net *net = loop_fake_of(l)->net;

    snprintf(net->address, sizeof net->address, "%s", address);
}
