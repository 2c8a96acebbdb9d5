/* SPDX-License-Identifier: Apache-2.0 */
/* A bare epoll loop with the contract of net/loop.h, kept to measure what libuv costs. It resolves
 * no names: connect takes numeric addresses and "localhost". */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "net/loop_ops.h"
#include "net/socket.h"

enum { EVENTS_MAX = 256, SIGNALS_MAX = 4 };

/* What an epoll event points at. Removed watches are freed at the end of the iteration, since the
 * event list may still name them. */
struct loop_watch {
    struct loop_part part;
    int fd;
    loop_ready_cb *cb;
    void *ud;
    bool removed;
    struct loop_watch *next_removed;
};

struct loop_waker {
    struct loop_part part;
    struct loop_watch *watch;
    int fd;
    void (*cb)(void *ud);
    void *ud;
};

struct epoll_signal {
    struct loop_watch *watch;
    int fd;
    void (*cb)(void *ud, int signo);
    void *ud;
};

struct loop_epoll {
    struct loop base;
    int epoll;
    struct loop_watch *removed;
    struct epoll_signal signals[SIGNALS_MAX];
    int n_signals;
};

static struct loop_epoll *loop_epoll_of(struct loop *l)
{
    return list_owner(l, struct loop_epoll, base);
}

static void loop_epoll_free_removed(struct loop_epoll *e)
{
    while (e->removed) {
        struct loop_watch *w = e->removed;

        e->removed = w->next_removed;
        free(w);
    }
}

/* To the microsecond: libuv and epoll_wait know milliseconds only, and what is measured against
 * this loop's timers should not see their steps. Negative: no timer. */
static int loop_epoll_wait_events(const struct loop_epoll *e, struct epoll_event *events,
                                  int64_t wait_us)
{
    const struct timespec t = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};

    return epoll_pwait2(e->epoll, events, EVENTS_MAX, wait_us < 0 ? NULL : &t, NULL);
}

static int loop_epoll_run(struct loop *l)
{
    struct loop_epoll *e = loop_epoll_of(l);
    struct epoll_event events[EVENTS_MAX];

    while (!l->stopped) {
        int64_t wait_us = loop_run_due(l);
        int n;

        loop_epoll_free_removed(e);
        if (l->stopped)
            break;
        n = loop_epoll_wait_events(e, events, wait_us);
        if (n < 0 && errno != EINTR)
            return ERR_IO;
        for (int i = 0; i < n; i++) {
            struct loop_watch *w = events[i].data.ptr;
            unsigned ready =
                (events[i].events & ~(uint32_t)EPOLLOUT ? LOOP_READABLE : 0) |
                (events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP) ? LOOP_WRITABLE : 0);

            if (!w->removed)
                w->cb(w->ud, ready);
        }
    }
    return 0;
}

static uint32_t loop_epoll_mask_of(unsigned events)
{
    return (events & LOOP_READABLE ? (uint32_t)EPOLLIN | EPOLLRDHUP : 0) |
           (events & LOOP_WRITABLE ? EPOLLOUT : 0);
}

static int loop_epoll_watch_add(struct loop *l, int sock, unsigned events, loop_ready_cb *cb,
                                void *ud, struct loop_watch **ret_watch)
{
    struct loop_watch *w = calloc(1, sizeof *w);
    struct epoll_event ev = {.events = loop_epoll_mask_of(events), .data.ptr = w};

    if (!w)
        return ERR_NOMEM;
    *w = (struct loop_watch){.part = {l}, .fd = sock, .cb = cb, .ud = ud};
    if (epoll_ctl(loop_epoll_of(l)->epoll, EPOLL_CTL_ADD, sock, &ev) < 0) {
        free(w);
        return ERR_IO;
    }
    *ret_watch = w;
    return 0;
}

static void loop_epoll_watch_set(struct loop *l, struct loop_watch *w, unsigned events)
{
    struct epoll_event ev = {.events = loop_epoll_mask_of(events), .data.ptr = w};

    (void)epoll_ctl(loop_epoll_of(l)->epoll, EPOLL_CTL_MOD, w->fd, &ev);
}

static void loop_epoll_watch_remove(struct loop *l, struct loop_watch *w)
{
    struct loop_epoll *e = loop_epoll_of(l);

    (void)epoll_ctl(e->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    w->removed = true;
    w->next_removed = e->removed;
    e->removed = w;
}

static void loop_epoll_connect(struct loop *l, const char *host, uint16_t port, loop_connect_cb *cb,
                               void *ud)
{
    struct sockaddr_storage addr;
    socklen_t len;

    if (socket_address(host, port, &addr, &len) == 0)
        socket_dial(l, (struct sockaddr *)&addr, len, cb, ud);
    else
        socket_dial_failed(l, ERR_NOT_FOUND, cb, ud);
}

static void loop_epoll_on_eventfd(void *ud, unsigned events)
{
    struct loop_waker *w = ud;
    uint64_t count;

    (void)events;
    if (read(w->fd, &count, sizeof count) == sizeof count)
        w->cb(w->ud);
}

static int loop_epoll_waker_new(struct loop *l, void (*cb)(void *ud), void *ud,
                                struct loop_waker **ret_waker)
{
    struct loop_waker *w = calloc(1, sizeof *w);

    if (!w)
        return ERR_NOMEM;
    *w = (struct loop_waker){.part = {l}, .cb = cb, .ud = ud};
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->fd < 0 ||
        loop_epoll_watch_add(l, w->fd, LOOP_READABLE, loop_epoll_on_eventfd, w, &w->watch) < 0) {
        if (w->fd >= 0)
            close(w->fd);
        free(w);
        return ERR_IO;
    }
    *ret_waker = w;
    return 0;
}

static void loop_epoll_waker_wake(struct loop_waker *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->fd, &one, sizeof one);

    (void)n; /* a full counter is a wake-up that is already there */
}

static void loop_epoll_waker_free(struct loop_waker *w)
{
    loop_watch_remove(w->watch);
    close(w->fd);
    free(w);
}

static void loop_epoll_on_signalfd(void *ud, unsigned events)
{
    struct epoll_signal *s = ud;
    struct signalfd_siginfo info;

    (void)events;
    if (read(s->fd, &info, sizeof info) == sizeof info)
        s->cb(s->ud, (int)info.ssi_signo);
}

static int loop_epoll_on_signal(struct loop *l, int signo, void (*cb)(void *ud, int signo),
                                void *ud)
{
    struct loop_epoll *e = loop_epoll_of(l);
    struct epoll_signal *s;
    sigset_t set;

    if (e->n_signals == SIGNALS_MAX)
        return ERR_LIMIT;
    s = &e->signals[e->n_signals];
    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    *s = (struct epoll_signal){.cb = cb, .ud = ud};
    s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->fd < 0)
        return ERR_IO;
    if (loop_epoll_watch_add(l, s->fd, LOOP_READABLE, loop_epoll_on_signalfd, s, &s->watch) < 0) {
        close(s->fd);
        return ERR_IO;
    }
    e->n_signals++;
    return 0;
}

static void loop_epoll_free(struct loop *l)
{
    struct loop_epoll *e = loop_epoll_of(l);

    loop_base_free(l);
    for (int i = 0; i < e->n_signals; i++) {
        loop_epoll_watch_remove(l, e->signals[i].watch);
        close(e->signals[i].fd);
    }
    loop_epoll_free_removed(e);
    close(e->epoll);
    free(e);
}

static const struct loop_ops loop_epoll_ops = {.free = loop_epoll_free,
                                               .run = loop_epoll_run,
                                               .listen = socket_listen,
                                               .accept = socket_accept,
                                               .connect = loop_epoll_connect,
                                               .recv = socket_recv,
                                               .sendv = socket_sendv,
                                               .shutdown = socket_shutdown,
                                               .close = socket_close,
                                               .watch_add = loop_epoll_watch_add,
                                               .watch_set = loop_epoll_watch_set,
                                               .watch_remove = loop_epoll_watch_remove,
                                               .waker_new = loop_epoll_waker_new,
                                               .waker_wake = loop_epoll_waker_wake,
                                               .waker_free = loop_epoll_waker_free,
                                               .on_signal = loop_epoll_on_signal};

int loop_epoll_new(struct loop **ret_loop, struct err *ret_err)
{
    struct loop_epoll *e = calloc(1, sizeof *e);

    if (!e || loop_base_init(&e->base, &loop_epoll_ops, clock_system()) < 0) {
        free(e);
        return err_set(ret_err, ERR_NOMEM, "out of memory for the event loop");
    }
    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (e->epoll < 0) {
        int saved = errno;

        free(e->base.scratch);
        free(e);
        return err_errno(ret_err, ERR_IO, saved, "epoll is not available");
    }
    *ret_loop = &e->base;
    return 0;
}
