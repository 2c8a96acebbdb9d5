/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop's seam: sockets, readiness, timers, deferred work, wake-ups from other threads and
 * signals. loop_uv.c is the product's loop (libuv; sockets are our own descriptors watched by
 * uv_poll). loop_epoll.c is a bare epoll loop, kept to measure what libuv costs. loop_fake.c runs
 * everything in one process in virtual time over in-memory sockets.
 *
 * One thread owns a loop; only loop_waker_wake may be called from others. Within one iteration:
 * ready sockets and wakers, then due timers, then everything deferred (which is where connections
 * flush, so that chunks that arrive together leave together), then a bounded share of what waits
 * its turn, then what that deferred, then what was deferred late. */
#ifndef DARKBLOOM_NET_LOOP_H
#define DARKBLOOM_NET_LOOP_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };

/* Intrusive one-shot timer; zero it before first use. Lives in its owner, never allocated. */
struct loop_timer {
    int64_t due_us;
    size_t place; /* 1-based place in the heap; 0: not set */
    void (*cb)(void *ud);
    void *ud;
};

/* Intrusive work item that runs once at the end of the iteration in which it was queued. */
struct loop_defer {
    struct loop_defer *next;
    struct loop_queue *queue; /* NULL: not queued */
    void (*cb)(void *ud);
    void *ud;
    uint32_t turn; /* loop_defer_turn: the iteration in which it was queued */
};

struct loop;
struct loop_watch; /* a watched socket */
struct loop_waker; /* a wake-up line from other threads */

typedef void loop_ready_cb(void *ud, unsigned events);
typedef void loop_connect_cb(void *ud, int sock_or_err); /* a socket, or a negative ERR_ code */

/* The product's loop. */
int loop_uv_new(struct loop **ret_loop, struct err *ret_err);
/* A bare epoll loop with the same contract. */
int loop_epoll_new(struct loop **ret_loop, struct err *ret_err);

/* Ends connects under way and connections that finish on their own (conn_finish). Watches and
 * wakers must have been removed. NULL is allowed. */
void loop_free(struct loop *l);

/* Run until loop_stop. 0 or ERR_IO. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Time as this loop sees it (virtual in loop_fake). */
struct clock loop_clock(struct loop *l);

/* --- sockets: non-blocking, close-on-exec, TCP_NODELAY --- */

/* Whether one can listen on `host`, as far as its form goes. */
bool loop_is_address(const char *host);
/* Listen on a numeric address or "localhost" (`port` 0: any). ERR_IO with a text that names the
 * address, and for a port in use says so. */
int loop_listen(struct loop *l, const char *host, uint16_t port, int *ret_sock, uint16_t *ret_port,
                struct err *ret_err);
/* The same, where several loops listen on one address: the system spreads connections over all that
 * were made so (SO_REUSEPORT), and a port that anybody has otherwise is taken. */
int loop_listen_shared(struct loop *l, const char *host, uint16_t port, int *ret_sock,
                       uint16_t *ret_port, struct err *ret_err);
/* Listen on a Unix-domain socket at `path`, which only this user may connect to (mode 0600). A
 * socket that nobody answers at any more is replaced. Not in virtual time. ERR_BUSY: somebody
 * answers there; ERR_CONFIG: the path is too long; ERR_IO. */
int loop_listen_path(const char *path, int *ret_sock, struct err *ret_err);
/* One waiting connection: a socket, ERR_AGAIN, or ERR_IO (descriptors exhausted: the caller stops
 * watching for a while). `ret_peer` (may be NULL) gets the peer's address as text. */
int loop_accept(struct loop *l, int listen_sock, char ret_peer[64]);
/* Resolve and connect without blocking, to the first address that takes the connection; `cb` is
 * called exactly once, never from inside the call. */
void loop_connect(struct loop *l, const char *host, uint16_t port, loop_connect_cb *cb, void *ud);
/* Bytes read (> 0), 0 at end of stream, ERR_AGAIN or ERR_CLOSED. */
ssize_t loop_recv(struct loop *l, int sock, void *ret_bytes, size_t cap);
/* Bytes taken by the socket (> 0), ERR_AGAIN or ERR_CLOSED. */
ssize_t loop_sendv(struct loop *l, int sock, const struct iovec *iov, int n);
/* Say that nothing more will be sent; the peer reads an end of stream. */
void loop_shutdown(struct loop *l, int sock);
/* Close; a watch on it must have been removed. */
void loop_close(struct loop *l, int sock);

/* Call `cb` whenever `sock` is ready for `events` (level-triggered). */
int loop_watch_add(struct loop *l, int sock, unsigned events, loop_ready_cb *cb, void *ud,
                   struct loop_watch **ret_watch);
void loop_watch_set(struct loop_watch *w, unsigned events);
/* No callback after this. NULL is allowed. */
void loop_watch_remove(struct loop_watch *w);

/* --- time and order --- */

/* Set (or move) a timer to fire once `delay_us` from now. */
void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t delay_us, void (*cb)(void *ud),
                    void *ud);
void loop_timer_clear(struct loop *l, struct loop_timer *t);

/* Run at the end of this iteration; queuing a queued item does nothing. */
void loop_defer_add(struct loop *l, struct loop_defer *d, void (*cb)(void *ud), void *ud);
/* The same, behind everything deferred, flushes included: for what nobody on the wire waits for. */
void loop_defer_late(struct loop *l, struct loop_defer *d, void (*cb)(void *ud), void *ud);

/* Work that anybody can cause: LOOP_TURN_SHARE pieces of it an iteration, so that those who wait
 * for something else wait for that much at most. A piece is one request, or one read of up to
 * LOOP_TURN_BYTES; a larger read counts as several. */
enum { LOOP_TURN_SHARE = 16, LOOP_TURN_BYTES = 16 << 10 };
/* Run in a later iteration, first in, first out, as its share allows. */
void loop_defer_turn(struct loop *l, struct loop_defer *d, void (*cb)(void *ud), void *ud);
/* Whether a piece may be done at once: there is some share left and nobody has waited longer. It is
 * then taken. */
bool loop_turn_take(struct loop *l);
/* The piece that was taken last turned out to be a read of `bytes`: take what more that counts. */
void loop_turn_charge(struct loop *l, size_t bytes);
void loop_defer_remove(struct loop *l, struct loop_defer *d);

/* --- other threads and signals --- */

/* `cb` runs on the loop's thread some time after loop_waker_wake; wakes in between coalesce. */
int loop_waker_new(struct loop *l, void (*cb)(void *ud), void *ud, struct loop_waker **ret_waker);
/* The only call that is safe from any thread. */
void loop_waker_wake(struct loop_waker *w);
void loop_waker_free(struct loop_waker *w);

/* Call `cb` on the loop's thread when `signo` arrives. */
int loop_on_signal(struct loop *l, int signo, void (*cb)(void *ud, int signo), void *ud);

#endif
