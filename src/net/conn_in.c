/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's input: reading goes into the loop's scratch memory and is handed over in place;
 * only what the owner leaves is copied, so an idle connection holds no buffer. */
#include "base/check.h"
#include "net/conn_impl.h"

enum { IN_KEEP_BYTES = 4 << 10, DISCARD_MAX_BYTES = 16 << 20 };

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
    CHECK(c->in.mem == c->loop->scratch);
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

void conn_read(struct conn *c)
{
    size_t max = c->config.in_max_bytes;
    size_t room = c->in.len < max ? max - c->in.len : 0;
    ssize_t n;

    if (room > LOOP_SCRATCH_BYTES || c->state == CONN_FINISHING)
        room = LOOP_SCRATCH_BYTES;
    if (room == 0 && c->watching & LOOP_READABLE) {
        conn_watch(c);
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
            conn_watch(c);
        return;
    }
    c->eof = true;
    conn_watch(c);
    conn_report_close(c, ERR_CLOSED);
}

static void conn_resume_later(void *ud)
{
    struct conn *c = ud;

    if (c->state != CONN_OPEN || c->paused || c->in.len == 0)
        return;
    if (conn_hand_over(c))
        conn_watch(c);
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
