/* SPDX-License-Identifier: Apache-2.0 */
/* Reading goes into the loop's scratch memory and is handed over in place; only what the owner
 * leaves is copied, so an idle connection holds no buffer. Writing gathers in `out` and leaves once
 * an iteration. */
#include "net/conn.h"

#include <stdlib.h>

#include "net/loop_ops.h"

enum {
    OUT_KEEP_BYTES = 8 << 10,
    IN_KEEP_BYTES = 4 << 10,
    DISCARD_MAX_BYTES = 16 << 20,
    STALL_MS = 10000 /* a finishing connection whose peer takes nothing for this long is given up */
};

enum conn_state { CONN_OPEN, CONN_FINISHING, CONN_DEAD };

struct conn {
    struct loop *loop;
    struct loop_watch *watch;
    struct loop_orphan orphan;
    struct loop_defer flush, resume;
    struct loop_timer end; /* of a finishing connection: the peer stalls, or lingers */
    int64_t linger_ms;
    struct list_node of_group;
    struct conn_group *group;
    const struct conn_ops *ops;
    void *ud;
    struct conn_config config;
    struct buf in, out;
    int sock;
    enum conn_state state;
    int busy; /* calls into the owner on the stack */
    bool paused, blocked, was_blocked, eof, reported;
    unsigned watching;
    uint64_t taken;
    int64_t last_taken_us;
    size_t discarded;
};

static void conn_ready(void *ud, unsigned events);
static void conn_flush_out(void *ud);

/* --- life --- */

static void conn_leave_group(struct conn *c)
{
    if (!c->group)
        return;
    list_remove(&c->of_group);
    c->group->n--;
    c->group = NULL;
}

static void conn_destroy(struct conn *c)
{
    loop_defer_remove(c->loop, &c->flush);
    loop_defer_remove(c->loop, &c->resume);
    loop_timer_clear(c->loop, &c->end);
    list_remove(&c->orphan.link);
    conn_leave_group(c);
    loop_watch_remove(c->watch);
    loop_close(c->loop, c->sock);
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
}

void conn_free(struct conn *c)
{
    if (!c)
        return;
    c->state = CONN_DEAD;
    if (c->busy == 0)
        conn_destroy(c);
}

/* Leave a callback; false when the connection was freed in it. */
static bool conn_leave(struct conn *c)
{
    c->busy--;
    if (c->state != CONN_DEAD || c->busy > 0)
        return c->state != CONN_DEAD;
    conn_destroy(c);
    return false;
}

static void conn_orphan_free(struct loop_orphan *o)
{
    conn_destroy(list_owner(o, struct conn, orphan));
}

int conn_new(struct loop *l, int sock, const struct conn_config *config, const struct conn_ops *ops,
             void *ud, struct conn **ret_conn)
{
    struct conn *c = calloc(1, sizeof *c);
    struct clock clock = loop_clock(l);

    if (!c) {
        loop_close(l, sock);
        return ERR_NOMEM;
    }
    c->loop = l;
    c->sock = sock;
    c->orphan.free = conn_orphan_free;
    c->watching = LOOP_READABLE;
    c->last_taken_us = clock_mono_us(&clock);
    conn_set_ops(c, config, ops, ud);
    if (loop_watch_add(l, sock, LOOP_READABLE, conn_ready, c, &c->watch) < 0) {
        conn_destroy(c);
        return ERR_NOMEM;
    }
    *ret_conn = c;
    return 0;
}

void conn_set_ops(struct conn *c, const struct conn_config *config, const struct conn_ops *ops,
                  void *ud)
{
    c->config = *config;
    c->ops = ops;
    c->ud = ud;
    /* Input that is there already may be more than the new owner's maximum; it is still handed
     * over. */
    c->in.max_bytes = c->in.len > config->in_max_bytes ? c->in.len : config->in_max_bytes;
    c->out.max_bytes = config->out_max_bytes;
}

void conn_group_init(struct conn_group *g)
{
    *g = (struct conn_group){0};
    list_init(&g->members);
}

void conn_join(struct conn *c, struct conn_group *g)
{
    conn_leave_group(c);
    c->group = g;
    list_push_back(&g->members, &c->of_group);
    g->n++;
}

void conn_group_disband(struct conn_group *g)
{
    while (!list_empty(&g->members))
        conn_leave_group(list_owner(g->members.next, struct conn, of_group));
}

/* Tell the owner once that the stream ended; the owner frees. */
static void conn_report_close(struct conn *c, int reason)
{
    if (c->state != CONN_OPEN || c->reported)
        return;
    c->reported = true;
    c->busy++;
    c->ops->on_close(c->ud, reason);
    (void)conn_leave(c);
}

static void conn_watch_for(struct conn *c)
{
    unsigned want = (c->eof || c->in.len >= c->config.in_max_bytes ? 0 : LOOP_READABLE) |
                    (c->blocked ? LOOP_WRITABLE : 0);

    if (want != c->watching) {
        c->watching = want;
        loop_watch_set(c->watch, want);
    }
}

/* --- reading --- */

/* What waits in the connection's own buffer; memory that held a large message is not kept. */
static bool conn_hand_over(struct conn *c)
{
    c->busy++;
    c->ops->on_data(c->ud);
    if (!conn_leave(c))
        return false;
    if (c->in.len == 0 && c->in.cap > IN_KEEP_BYTES)
        buf_free(&c->in);
    return true;
}

/* Fresh bytes stand in the scratch. With nothing waiting the owner reads them there. */
static bool conn_take_scratch(struct conn *c, size_t n)
{
    struct buf own;
    int rc = 0;

    if (c->in.len > 0 || c->paused) {
        rc = buf_append(&c->in, c->loop->scratch, n);
        if (rc < 0) {
            conn_report_close(c, rc);
            return false;
        }
        return c->paused || conn_hand_over(c);
    }
    own = c->in;
    c->in = (struct buf){.mem = c->loop->scratch,
                         .len = n,
                         .cap = LOOP_SCRATCH_BYTES,
                         .max_bytes = c->config.in_max_bytes};
    c->busy++;
    c->ops->on_data(c->ud);
    /* Whatever happened to the connection, its buffer must be its own again. */
    own.max_bytes = c->in.max_bytes;
    n = c->in.len;
    if (n > 0 && c->state == CONN_OPEN)
        rc = buf_append(&own, c->in.mem + c->in.off, n);
    c->in = own;
    if (rc < 0)
        conn_report_close(c, rc);
    return conn_leave(c) && rc == 0;
}

static void conn_discard(struct conn *c, ssize_t n)
{
    if (n > 0)
        c->discarded += (size_t)n;
    if (n == 0 || n == ERR_CLOSED || c->discarded > DISCARD_MAX_BYTES)
        conn_free(c);
}

static void conn_read_some(struct conn *c)
{
    size_t max = c->config.in_max_bytes;
    size_t room = c->in.len < max ? max - c->in.len : 0;
    ssize_t n;

    if (room > LOOP_SCRATCH_BYTES || c->state == CONN_FINISHING)
        room = LOOP_SCRATCH_BYTES;
    if (room == 0 && c->watching & LOOP_READABLE) {
        conn_watch_for(c);
        return;
    }
    /* Ready without having been asked for: the connection broke. */
    n = room == 0 ? ERR_CLOSED : loop_recv(c->loop, c->sock, c->loop->scratch, room);
    if (n == ERR_AGAIN)
        return;
    if (c->state == CONN_FINISHING) {
        conn_discard(c, n);
        return;
    }
    if (n > 0) {
        if (conn_take_scratch(c, (size_t)n) && c->state == CONN_OPEN)
            conn_watch_for(c);
        return;
    }
    c->eof = true;
    conn_watch_for(c);
    conn_report_close(c, ERR_CLOSED);
}

static void conn_resume_later(void *ud)
{
    struct conn *c = ud;

    if (c->state != CONN_OPEN || c->paused || c->in.len == 0)
        return;
    if (conn_hand_over(c))
        conn_watch_for(c);
}

void conn_pause(struct conn *c)
{
    c->paused = true;
}

void conn_resume(struct conn *c)
{
    c->paused = false;
    loop_defer_add(c->loop, &c->resume, conn_resume_later, c);
}

struct buf *conn_in(struct conn *c)
{
    return &c->in;
}

/* --- writing --- */

static void conn_end_over(void *ud)
{
    conn_free(ud);
}

static void conn_end_in(struct conn *c, int64_t ms)
{
    loop_timer_set(c->loop, &c->end, ms * 1000, conn_end_over, c);
}

static void conn_sent_all(struct conn *c)
{
    bool drained = c->was_blocked;

    c->was_blocked = false;
    if (c->out.cap > OUT_KEEP_BYTES)
        buf_free(&c->out);
    if (c->state == CONN_FINISHING) {
        loop_shutdown(c->loop, c->sock);
        conn_end_in(c, c->linger_ms);
        return;
    }
    if (drained && c->ops->on_drain) {
        c->busy++;
        c->ops->on_drain(c->ud);
        (void)conn_leave(c);
    }
}

static void conn_flush_out(void *ud)
{
    struct conn *c = ud;
    struct clock clock = loop_clock(c->loop);

    c->blocked = false;
    while (c->out.len > 0) {
        struct iovec iov = {c->out.mem + c->out.off, c->out.len};
        ssize_t n = loop_sendv(c->loop, c->sock, &iov, 1);

        if (n == ERR_AGAIN) {
            c->blocked = c->was_blocked = true;
            conn_watch_for(c);
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
        c->last_taken_us = clock_mono_us(&clock);
        buf_consume(&c->out, (size_t)n);
        if (c->state == CONN_FINISHING)
            conn_end_in(c, STALL_MS);
    }
    conn_watch_for(c);
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

struct buf *conn_out(struct conn *c)
{
    return &c->out;
}

void conn_finish(struct conn *c, int64_t linger_ms)
{
    if (c->state != CONN_OPEN)
        return;
    c->state = CONN_FINISHING;
    c->paused = false;
    if (c->in.mem == c->loop->scratch) /* called from on_data */
        buf_clear(&c->in);
    else
        buf_free(&c->in);
    list_push_back(&c->loop->orphans, &c->orphan.link);
    c->linger_ms = linger_ms;
    conn_end_in(c, c->eof ? 0 : STALL_MS);
    if (c->eof) /* nobody reads any more, and nobody sends */
        return;
    conn_watch_for(c);
    conn_dirty(c);
}

static void conn_ready(void *ud, unsigned events)
{
    struct conn *c = ud;

    c->busy++; /* both halves run before the connection may go */
    if (events & LOOP_WRITABLE && c->blocked)
        conn_flush_out(c);
    if (events & LOOP_READABLE && c->state != CONN_DEAD)
        conn_read_some(c);
    (void)conn_leave(c);
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
