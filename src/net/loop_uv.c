/* SPDX-License-Identifier: Apache-2.0 */
/* The product's loop: libuv waits, everything else is ours. The only file that includes uv.h.
 * Sockets are our own descriptors under uv_poll, so that TLS can own them directly. */
#include <stdlib.h>
#include <uv.h>

#include "net/loop_ops.h"
#include "net/socket.h"

enum { SIGNALS_MAX = 4 };

struct uv_signal {
    uv_signal_t handle;
    void (*cb)(void *ud, int signo);
    void *ud;
};

struct loop_uv {
    struct loop base;
    uv_loop_t uv;
    uv_timer_t timer; /* wakes for the next of our timers */
    int64_t wake_us;  /* mono: when it fires, or a little earlier; INT64_MAX: it is not set */
    struct uv_signal signals[SIGNALS_MAX];
    int n_signals;
};

struct loop_watch {
    struct loop_part part;
    uv_poll_t poll;
    loop_ready_cb *cb;
    void *ud;
};

struct loop_waker {
    struct loop_part part;
    uv_async_t async;
    void (*cb)(void *ud);
    void *ud;
};

static struct loop_uv *loop_uv_of(struct loop *l)
{
    return list_owner(l, struct loop_uv, base);
}

/* --- running --- */

static void loop_uv_on_timer(uv_timer_t *t)
{
    ((struct loop_uv *)t->data)->wake_us = INT64_MAX; /* our timers run after the poll */
}

/* Have libuv return from its poll then, at the latest. Its timer is set anew only for an earlier
 * time: timers that are moved away, as each chunk moves some, cost one wake-up at most. */
static void loop_uv_wake_in(struct loop_uv *u, int64_t wait_us)
{
    int64_t due_us = clock_mono_us(&u->base.clock) + wait_us;

    if (due_us >= u->wake_us)
        return;
    u->wake_us = due_us;
    uv_update_time(&u->uv);
    uv_timer_start(&u->timer, loop_uv_on_timer, (uint64_t)(wait_us + 999) / 1000, 0);
}

static int loop_uv_run(struct loop *l)
{
    struct loop_uv *u = loop_uv_of(l);

    while (!l->stopped) {
        int64_t wait_us = loop_run_due(l);

        if (l->stopped)
            break;
        if (wait_us > 0)
            loop_uv_wake_in(u, wait_us);
        uv_run(&u->uv, wait_us == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    }
    return 0;
}

/* --- watches --- */

static void loop_uv_on_poll(uv_poll_t *p, int status, int events)
{
    struct loop_watch *w = p->data;
    unsigned ready = status < 0 ? LOOP_READABLE | LOOP_WRITABLE : 0; /* the next call says why */

    if (events & (UV_READABLE | UV_DISCONNECT))
        ready |= LOOP_READABLE;
    if (events & UV_WRITABLE)
        ready |= LOOP_WRITABLE;
    w->cb(w->ud, ready);
}

static void loop_uv_start_poll(struct loop_watch *w, unsigned events)
{
    int e = (events & LOOP_READABLE ? UV_READABLE : 0) | (events & LOOP_WRITABLE ? UV_WRITABLE : 0);

    if (e)
        uv_poll_start(&w->poll, e, loop_uv_on_poll);
    else
        uv_poll_stop(&w->poll);
}

static int loop_uv_watch_add(struct loop *l, int sock, unsigned events, loop_ready_cb *cb, void *ud,
                             struct loop_watch **ret_watch)
{
    struct loop_watch *w = calloc(1, sizeof *w);

    if (!w)
        return ERR_NOMEM;
    *w = (struct loop_watch){.part = {l}, .cb = cb, .ud = ud};
    if (uv_poll_init(&loop_uv_of(l)->uv, &w->poll, sock) < 0) {
        free(w);
        return ERR_IO;
    }
    w->poll.data = w;
    loop_uv_start_poll(w, events);
    *ret_watch = w;
    return 0;
}

static void loop_uv_watch_set(struct loop *l, struct loop_watch *w, unsigned events)
{
    (void)l;
    loop_uv_start_poll(w, events);
}

static void loop_uv_free_watch(uv_handle_t *h)
{
    free(h->data);
}

static void loop_uv_watch_remove(struct loop *l, struct loop_watch *w)
{
    (void)l;
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, loop_uv_free_watch);
}

/* --- connecting --- */

/* A name and the addresses that it stands for, tried one after another. */
struct lookup {
    uv_getaddrinfo_t req;
    struct loop_orphan orphan; /* once there are addresses */
    struct loop *loop;
    struct addrinfo *all, *next;
    loop_connect_cb *cb;
    void *ud;
};

static void loop_uv_lookup_free(struct loop_orphan *o)
{
    struct lookup *q = list_owner(o, struct lookup, orphan);

    list_remove(&q->orphan.link);
    uv_freeaddrinfo(q->all);
    free(q);
}

static void loop_uv_on_dialled(void *ud, int sock);

static void loop_uv_dial_next(struct lookup *q)
{
    struct addrinfo *a = q->next;

    q->next = a->ai_next;
    socket_dial(q->loop, a->ai_addr, a->ai_addrlen, loop_uv_on_dialled, q);
}

static void loop_uv_on_dialled(void *ud, int sock)
{
    struct lookup *q = ud;
    loop_connect_cb *cb = q->cb;

    if (sock < 0 && q->next) {
        loop_uv_dial_next(q);
        return;
    }
    ud = q->ud;
    loop_uv_lookup_free(&q->orphan);
    cb(ud, sock);
}

static void loop_uv_on_address(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct lookup *q = req->data;

    q->all = q->next = res;
    if (status < 0 || !res) {
        socket_dial_failed(q->loop, ERR_NOT_FOUND, q->cb, q->ud);
        loop_uv_lookup_free(&q->orphan);
        return;
    }
    list_push_back(&q->loop->orphans, &q->orphan.link);
    loop_uv_dial_next(q);
}

static void loop_uv_connect(struct loop *l, const char *host, uint16_t port, loop_connect_cb *cb,
                            void *ud)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct sockaddr_storage addr;
    struct lookup *q;
    socklen_t len;
    char service[8];

    if (socket_address(host, port, &addr, &len) == 0) {
        socket_dial(l, (struct sockaddr *)&addr, len, cb, ud);
        return;
    }
    q = calloc(1, sizeof *q);
    if (!q) {
        socket_dial_failed(l, ERR_NOMEM, cb, ud);
        return;
    }
    *q = (struct lookup){.orphan = {.free = loop_uv_lookup_free}, .loop = l, .cb = cb, .ud = ud};
    q->req.data = q;
    snprintf(service, sizeof service, "%u", port);
    if (uv_getaddrinfo(&loop_uv_of(l)->uv, &q->req, loop_uv_on_address, host, service, &hints) <
        0) {
        free(q);
        socket_dial_failed(l, ERR_NOT_FOUND, cb, ud);
    }
}

/* --- wakers and signals --- */

static void loop_uv_on_async(uv_async_t *a)
{
    struct loop_waker *w = a->data;

    w->cb(w->ud);
}

static int loop_uv_waker_new(struct loop *l, void (*cb)(void *ud), void *ud,
                             struct loop_waker **ret_waker)
{
    struct loop_waker *w = calloc(1, sizeof *w);

    if (!w)
        return ERR_NOMEM;
    *w = (struct loop_waker){.part = {l}, .cb = cb, .ud = ud};
    if (uv_async_init(&loop_uv_of(l)->uv, &w->async, loop_uv_on_async) < 0) {
        free(w);
        return ERR_IO;
    }
    w->async.data = w;
    *ret_waker = w;
    return 0;
}

static void loop_uv_waker_wake(struct loop_waker *w)
{
    uv_async_send(&w->async);
}

static void loop_uv_waker_free(struct loop_waker *w)
{
    uv_close((uv_handle_t *)&w->async, loop_uv_free_watch);
}

static void loop_uv_signalled(uv_signal_t *h, int signo)
{
    struct uv_signal *s = h->data;

    s->cb(s->ud, signo);
}

static int loop_uv_on_signal(struct loop *l, int signo, void (*cb)(void *ud, int signo), void *ud)
{
    struct loop_uv *u = loop_uv_of(l);
    struct uv_signal *s;

    if (u->n_signals == SIGNALS_MAX)
        return ERR_LIMIT;
    s = &u->signals[u->n_signals++];
    s->cb = cb;
    s->ud = ud;
    s->handle.data = s;
    uv_signal_init(&u->uv, &s->handle);
    return uv_signal_start(&s->handle, loop_uv_signalled, signo) < 0 ? ERR_IO : 0;
}

/* --- life --- */

static void loop_uv_free(struct loop *l)
{
    struct loop_uv *u = loop_uv_of(l);

    loop_base_free(l);
    uv_close((uv_handle_t *)&u->timer, NULL);
    for (int i = 0; i < u->n_signals; i++)
        uv_close((uv_handle_t *)&u->signals[i].handle, NULL);
    uv_run(&u->uv, UV_RUN_NOWAIT); /* lets the close callbacks run */
    /* A name that is still being resolved is written to from libuv's pool: then the memory is left
     * to the end of the process, which is near. */
    if (uv_loop_close(&u->uv) == 0)
        free(u);
}

static const struct loop_ops loop_uv_ops = {.free = loop_uv_free,
                                            .run = loop_uv_run,
                                            .listen = socket_listen,
                                            .accept = socket_accept,
                                            .connect = loop_uv_connect,
                                            .recv = socket_recv,
                                            .sendv = socket_sendv,
                                            .shutdown = socket_shutdown,
                                            .close = socket_close,
                                            .watch_add = loop_uv_watch_add,
                                            .watch_set = loop_uv_watch_set,
                                            .watch_remove = loop_uv_watch_remove,
                                            .waker_new = loop_uv_waker_new,
                                            .waker_wake = loop_uv_waker_wake,
                                            .waker_free = loop_uv_waker_free,
                                            .on_signal = loop_uv_on_signal};

int loop_uv_new(struct loop **ret_loop, struct err *ret_err)
{
    struct loop_uv *u = calloc(1, sizeof *u);

    if (!u || loop_base_init(&u->base, &loop_uv_ops, clock_system()) < 0) {
        free(u);
        return err_set(ret_err, ERR_NOMEM, "out of memory for the event loop");
    }
    if (uv_loop_init(&u->uv) < 0) {
        free(u->base.scratch);
        free(u);
        return err_set(ret_err, ERR_IO, "libuv could not make a loop (open files exhausted?)");
    }
    uv_timer_init(&u->uv, &u->timer);
    u->timer.data = u;
    u->wake_us = INT64_MAX;
    *ret_loop = &u->base;
    return 0;
}
