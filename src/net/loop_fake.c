/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual time and in-memory sockets. Sockets come in pairs; what one sends waits at the other.
 * Everything happens in the order in which it was made, so a test runs the same way each time. */
#include "net/loop_fake.h"

#include <stdlib.h>

#include "base/buf.h"
#include "net/loop_ops.h"

enum { SOCKETS_MAX = 4096, SOCKET_BYTES = 64 << 10, ITERATIONS_MAX = 10000000, FIRST_PORT = 40000 };

enum fake_kind { FAKE_FREE, FAKE_LISTENER, FAKE_STREAM };

struct fake_socket {
    enum fake_kind kind;
    int peer;        /* -1: the other end is closed */
    struct buf in;   /* what the peer sent and nobody has read */
    bool peer_ended; /* the peer will send nothing more */
    bool accepted;
    uint16_t port;   /* listener */
    int waiting[64]; /* listener: connections to accept */
    int n_waiting;
    struct loop_watch *watch;
};

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
    int64_t mono_us, wall_us;
    struct loop_fake_faults faults;
    struct fake_socket sockets[SOCKETS_MAX];
    int n_sockets, n_accepted;
    uint16_t next_port;
    struct list_node wakers;
};

static struct loop_fake *loop_fake_of(struct loop *l)
{
    return list_owner(l, struct loop_fake, base);
}

/* --- time --- */

static int64_t loop_fake_mono(void *ud)
{
    return ((struct loop_fake *)ud)->mono_us;
}

static int64_t loop_fake_wall(void *ud)
{
    return ((struct loop_fake *)ud)->wall_us;
}

/* --- sockets --- */

static size_t loop_fake_socket_room(const struct loop_fake *f, const struct fake_socket *s)
{
    size_t cap = f->faults.socket_bytes ? f->faults.socket_bytes : SOCKET_BYTES;

    return s->in.len < cap ? cap - s->in.len : 0;
}

static int loop_fake_new_socket(struct loop_fake *f, enum fake_kind kind)
{
    int i = 0;

    while (i < f->n_sockets && f->sockets[i].kind != FAKE_FREE)
        i++;
    if (i == SOCKETS_MAX)
        return ERR_IO;
    if (i == f->n_sockets)
        f->n_sockets++;
    f->sockets[i] = (struct fake_socket){.kind = kind, .peer = -1};
    buf_init(&f->sockets[i].in, SIZE_MAX / 2);
    return i;
}

static int loop_fake_listen(struct loop *l, const char *host, uint16_t port, int *ret_sock,
                            uint16_t *ret_port, struct err *ret_err)
{
    struct loop_fake *f = loop_fake_of(l);
    int sock = loop_fake_new_socket(f, FAKE_LISTENER);

    (void)host;
    if (sock < 0)
        return err_set(ret_err, ERR_IO, "no fake sockets left");
    f->sockets[sock].port = port ? port : f->next_port++;
    *ret_sock = sock;
    *ret_port = f->sockets[sock].port;
    return 0;
}

static int loop_fake_accept(struct loop *l, int listen_sock, char ret_peer[64])
{
    struct loop_fake *f = loop_fake_of(l);
    struct fake_socket *s = &f->sockets[listen_sock];
    int sock;

    if (s->n_waiting == 0)
        return ERR_AGAIN;
    if (f->faults.max_accepted && f->n_accepted >= f->faults.max_accepted)
        return ERR_IO;
    sock = s->waiting[0];
    f->sockets[sock].accepted = true;
    f->n_accepted++;
    memmove(s->waiting, s->waiting + 1, (size_t)--s->n_waiting * sizeof s->waiting[0]);
    if (ret_peer)
        ret_peer[0] = 0;
    return sock;
}

static struct fake_socket *loop_fake_listener_on(struct loop_fake *f, uint16_t port)
{
    for (int i = 0; i < f->n_sockets; i++) {
        if (f->sockets[i].kind == FAKE_LISTENER && f->sockets[i].port == port)
            return &f->sockets[i];
    }
    return NULL;
}

static int loop_fake_join(struct loop_fake *f, uint16_t port)
{
    struct fake_socket *listener = loop_fake_listener_on(f, port);
    int near_end, far_end;

    if (!listener || listener->n_waiting == 64)
        return ERR_IO;
    near_end = loop_fake_new_socket(f, FAKE_STREAM);
    far_end = near_end < 0 ? near_end : loop_fake_new_socket(f, FAKE_STREAM);
    if (far_end < 0)
        return ERR_IO;
    f->sockets[near_end].peer = far_end;
    f->sockets[far_end].peer = near_end;
    listener->waiting[listener->n_waiting++] = far_end;
    return near_end;
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
    d.cb(d.ud, loop_fake_join(loop_fake_of(d.loop), d.port));
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
    struct loop_fake *f = loop_fake_of(l);
    struct fake_socket *s = &f->sockets[sock];
    size_t n = s->in.len < cap ? s->in.len : cap;

    if (f->faults.recv_max && n > f->faults.recv_max)
        n = f->faults.recv_max;
    if (s->in.len == 0)
        return s->peer_ended || s->peer < 0 ? 0 : ERR_AGAIN;
    memcpy(ret_bytes, buf_view(&s->in).p, n);
    buf_consume(&s->in, n);
    return (ssize_t)n;
}

static ssize_t loop_fake_sendv(struct loop *l, int sock, const struct iovec *iov, int n)
{
    struct loop_fake *f = loop_fake_of(l);
    struct fake_socket *peer;
    size_t room, sent = 0;

    if (f->sockets[sock].peer < 0)
        return ERR_CLOSED;
    peer = &f->sockets[f->sockets[sock].peer];
    room = loop_fake_socket_room(f, peer);
    if (f->faults.send_max && room > f->faults.send_max)
        room = f->faults.send_max;
    for (int i = 0; i < n && room > sent; i++) {
        size_t take = iov[i].iov_len < room - sent ? iov[i].iov_len : room - sent;

        if (buf_append(&peer->in, iov[i].iov_base, take) < 0)
            return ERR_CLOSED;
        sent += take;
    }
    return sent > 0 ? (ssize_t)sent : ERR_AGAIN;
}

static void loop_fake_shutdown(struct loop *l, int sock)
{
    struct loop_fake *f = loop_fake_of(l);
    int peer = f->sockets[sock].peer;

    if (peer >= 0)
        f->sockets[peer].peer_ended = true;
}

static void loop_fake_close(struct loop *l, int sock)
{
    struct loop_fake *f = loop_fake_of(l);
    struct fake_socket *s = &f->sockets[sock];

    if (s->peer >= 0) {
        f->sockets[s->peer].peer = -1;
        f->sockets[s->peer].peer_ended = true;
    }
    for (int i = 0; i < s->n_waiting; i++)
        loop_fake_close(l, s->waiting[i]);
    f->n_accepted -= s->accepted;
    buf_free(&s->in);
    *s = (struct fake_socket){.kind = FAKE_FREE, .peer = -1};
}

/* --- watches and wakers --- */

static int loop_fake_watch_add(struct loop *l, int sock, unsigned events, loop_ready_cb *cb,
                               void *ud, struct loop_watch **ret_watch)
{
    struct loop_watch *w = calloc(1, sizeof *w);

    if (!w)
        return ERR_NOMEM;
    *w = (struct loop_watch){.part = {l}, .sock = sock, .events = events, .cb = cb, .ud = ud};
    loop_fake_of(l)->sockets[sock].watch = w;
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
    loop_fake_of(l)->sockets[w->sock].watch = NULL;
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

static unsigned loop_fake_ready_events(const struct loop_fake *f, const struct fake_socket *s)
{
    unsigned ready = 0;

    if (s->kind == FAKE_LISTENER)
        return s->n_waiting > 0 ? LOOP_READABLE : 0;
    if (s->in.len > 0 || s->peer_ended || s->peer < 0)
        ready |= LOOP_READABLE;
    if (s->peer < 0 || loop_fake_socket_room(f, &f->sockets[s->peer]) > 0)
        ready |= LOOP_WRITABLE;
    return ready;
}

/* One iteration; whether anything happened. */
static bool loop_fake_iterate(struct loop_fake *f)
{
    bool busy = false;

    for (int i = 0; i < f->n_sockets; i++) {
        struct loop_watch *w = f->sockets[i].watch;
        unsigned ready = w ? loop_fake_ready_events(f, &f->sockets[i]) & w->events : 0;

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
            timer_heap_next_us(&f->base.timers) <= f->mono_us;
    (void)loop_run_due(&f->base);
    return busy;
}

bool loop_fake_step(struct loop *l)
{
    return loop_fake_iterate(loop_fake_of(l));
}

void loop_fake_settle(struct loop *l)
{
    for (int i = 0; loop_fake_iterate(loop_fake_of(l)); i++) {
        if (i > ITERATIONS_MAX)
            abort(); /* something is ready forever and nobody takes it */
    }
}

void loop_fake_advance(struct loop *l, int64_t us)
{
    struct loop_fake *f = loop_fake_of(l);
    int64_t end = f->mono_us + us;

    loop_fake_settle(l);
    while (f->mono_us < end) {
        int64_t next = timer_heap_next_us(&l->timers);
        int64_t step = (next < end ? next : end) - f->mono_us;

        f->mono_us += step;
        f->wall_us += step;
        loop_fake_settle(l);
    }
}

static int loop_fake_run(struct loop *l)
{
    struct loop_fake *f = loop_fake_of(l);

    while (!l->stopped) {
        int64_t next;

        if (loop_fake_iterate(f))
            continue;
        next = timer_heap_next_us(&l->timers);
        if (next == INT64_MAX)
            break; /* nothing will ever happen again */
        f->wall_us += next - f->mono_us;
        f->mono_us = next;
    }
    return 0;
}

static void loop_fake_free(struct loop *l)
{
    struct loop_fake *f = loop_fake_of(l);

    loop_base_free(l);
    for (int i = 0; i < f->n_sockets; i++)
        buf_free(&f->sockets[i].in);
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

int loop_fake_new(int64_t wall_us, struct loop **ret_loop)
{
    struct loop_fake *f = calloc(1, sizeof *f);

    if (!f || loop_base_init(&f->base, &loop_fake_ops,
                             (struct clock){loop_fake_mono, loop_fake_wall, f}) < 0) {
        free(f);
        return ERR_NOMEM;
    }
    f->mono_us = 1000000; /* 0 means "never" in many places */
    f->wall_us = wall_us;
    f->next_port = FIRST_PORT;
    list_init(&f->wakers);
    *ret_loop = &f->base;
    return 0;
}

void loop_fake_set_faults(struct loop *l, struct loop_fake_faults faults)
{
    loop_fake_of(l)->faults = faults;
}
