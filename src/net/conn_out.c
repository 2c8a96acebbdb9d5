/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's output: it gathers in `out`, leaves once an iteration, and waits for the socket.
 * A peer that takes nothing of what waits is given up. */
#include "net/conn_impl.h"

enum { OUT_KEEP_BYTES = 8 << 10 };

/* --- peers that do not read --- */

static void conn_timer_over(void *ud)
{
    struct conn *c = ud;
    int64_t since = c->last_taken_us > c->blocked_us ? c->last_taken_us : c->blocked_us;
    int64_t idle_ms = (clock_mono_us(&c->loop->clock) - since) / 1000;

    if (c->state == CONN_FINISHING)
        conn_free(c);
    else if (c->blocked && c->config.stall_ms > 0 && idle_ms >= c->config.stall_ms)
        conn_report_close(c, ERR_TIMEOUT);
    else if (c->blocked && c->config.stall_ms > 0)
        conn_timer_in(c, c->config.stall_ms - idle_ms);
}

void conn_timer_in(struct conn *c, int64_t ms)
{
    loop_timer_set(c->loop, &c->timer, ms * 1000, conn_timer_over, c);
}

/* The socket takes no more. The timer is set once and looks, when it fires, at how long nothing has
 * moved: slow progress does not move it in the heap. */
static void conn_block(struct conn *c)
{
    if (!c->was_blocked)
        c->blocked_us = clock_mono_us(&c->loop->clock);
    c->blocked = c->was_blocked = true;
    if (c->config.stall_ms > 0 && !c->timer.place)
        conn_timer_in(c, c->config.stall_ms);
    conn_watch(c);
}

/* --- writing --- */

static void conn_sent_all(struct conn *c)
{
    bool drained = c->was_blocked;

    c->was_blocked = false;
    if (c->out.cap > OUT_KEEP_BYTES)
        buf_free(&c->out);
    if (c->state == CONN_FINISHING) {
        if (c->tls && tls_end(c->tls) == ERR_AGAIN) {
            conn_block(c);
            return;
        }
        loop_shutdown(c->loop, c->sock);
        conn_timer_in(c, c->linger_ms);
        conn_linger(c);
        return;
    }
    if (drained && c->ops->on_drain) {
        c->busy++;
        c->ops->on_drain(c->ud);
        (void)conn_leave(c);
    }
}

void conn_flush_out(void *ud)
{
    struct conn *c = ud;

    c->blocked = false;
    while (c->out.len > 0) {
        struct iovec iov = {c->out.mem + c->out.off, c->out.len};
        ssize_t n = c->tls ? conn_tls_send(c) : loop_sendv(c->loop, c->sock, &iov, 1);

        if (n == ERR_AGAIN) {
            conn_block(c);
            return;
        }
        if (n < 0) {
            if (c->state == CONN_FINISHING)
                conn_free(c);
            else
                conn_report_close(c, ERR_CLOSED);
            return;
        }
        c->taken += (uint64_t)n;
        c->last_taken_us = clock_mono_us(&c->loop->clock);
        buf_consume(&c->out, (size_t)n);
        if (c->state == CONN_FINISHING)
            conn_timer_in(c, CONN_FINISH_STALL_MS);
    }
    conn_watch(c);
    conn_sent_all(c);
}

void conn_dirty(struct conn *c)
{
    if (!c->blocked)
        loop_defer_add(c->loop, &c->flush, conn_flush_out, c);
}

void conn_flush(struct conn *c)
{
    if (c->state == CONN_OPEN && !c->blocked && c->out.len > 0)
        conn_flush_out(c);
}

int conn_write(struct conn *c, const struct str *parts, int n)
{
    size_t total = 0;
    char *at;

    if (c->state != CONN_OPEN || c->reported)
        return ERR_CLOSED;
    for (int i = 0; i < n; i++)
        total += parts[i].n;
    if (total == 0)
        return 0;
    at = buf_reserve(&c->out, total);
    if (!at)
        return ERR_LIMIT;
    for (int i = 0; i < n; i++) {
        if (parts[i].n > 0)
            memcpy(at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    buf_commit(&c->out, total);
    conn_dirty(c);
    return 0;
}

/* What an owner's callback is looking at stays until the callback has returned (L11). */
static void conn_drop_input(struct conn *c)
{
    if (c->in.mem == c->loop->scratch)
        buf_clear(&c->in);
    else if (c->busy > 0)
        c->drop_in = true;
    else
        buf_free(&c->in);
}

void conn_finish(struct conn *c, int64_t linger_ms, size_t drop_max_bytes)
{
    if (c->state != CONN_OPEN)
        return;
    c->state = CONN_FINISHING;
    c->paused = false;
    conn_drop_input(c);
    list_push_back(&c->loop->orphans, &c->orphan.link);
    c->linger_ms = linger_ms;
    c->drop_left = drop_max_bytes;
    c->config.urgent = false; /* nobody waits for what it still says */
    conn_timer_in(c, c->eof ? 0 : CONN_FINISH_STALL_MS);
    if (c->eof) /* nobody reads any more, and nobody sends */
        return;
    conn_watch(c);
    conn_dirty(c);
}

struct buf *conn_out(struct conn *c)
{
    return &c->out;
}

size_t conn_out_pending(const struct conn *c)
{
    return c->out.len;
}

bool conn_blocked(const struct conn *c)
{
    return c->blocked;
}

uint64_t conn_taken_total(const struct conn *c)
{
    return c->taken;
}

int64_t conn_last_taken_us(const struct conn *c)
{
    return c->last_taken_us;
}
