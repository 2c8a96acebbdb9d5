/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's input: reading goes into the loop's scratch memory and is handed over in place;
 * only what the owner leaves is copied, so an idle connection holds no buffer. */
#include "net/conn_impl.h"

enum { IN_KEEP_BYTES = 4 << 10 };

/* Fresh bytes go into the loop's scratch. */
static ssize_t conn_recv(struct conn *c, size_t room)
{
    return c->tls ? conn_tls_recv(c, room) : loop_recv(c->loop, c->sock, c->loop->scratch, room);
}

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

/* Finishing: what still comes is dropped. The peer's end is the connection's. */
static void conn_drop(struct conn *c)
{
    size_t room = c->drop_left < LOOP_SCRATCH_BYTES ? c->drop_left : LOOP_SCRATCH_BYTES;
    ssize_t n = room > 0 ? conn_recv(c, room) : ERR_AGAIN;

    if (n > 0) {
        c->drop_left -= (size_t)n;
        conn_watch(c);
    } else if (n != ERR_AGAIN) {
        conn_free(c);
    }
}

static void conn_ended(struct conn *c)
{
    c->eof = true;
    conn_watch(c);
    conn_report_close(c, ERR_CLOSED);
}

static void conn_receive(struct conn *c)
{
    size_t max = c->config.in_max_bytes;
    size_t room = c->in.len < max ? max - c->in.len : 0;
    ssize_t n;

    if (room > LOOP_SCRATCH_BYTES)
        room = LOOP_SCRATCH_BYTES;
    if (room == 0) {
        conn_watch(c);
        return;
    }
    n = conn_recv(c, room);
    if (n == ERR_AGAIN)
        return;
    if (n > 0 && !c->config.urgent)
        loop_turn_charge(c->loop, (size_t)n);
    if (n <= 0)
        conn_ended(c);
    else if (conn_take_scratch(c, (size_t)n) && c->state == CONN_OPEN)
        conn_watch(c);
}

static void conn_take_turn(void *ud);

/* What OpenSSL has opened and the socket will not report again; it goes with what waits. */
static bool conn_has_pending(const struct conn *c)
{
    return c->tls && c->watching & LOOP_READABLE && tls_pending(c->tls) > 0;
}

void conn_read_pending(struct conn *c)
{
    if (conn_has_pending(c))
        loop_defer_turn(c->loop, &c->turn, conn_take_turn, c);
}

/* One piece of work: what waits is handed over, or else what has come is read. */
static void conn_take_turn(void *ud)
{
    struct conn *c = ud;

    c->busy++;
    if (c->state == CONN_FINISHING) {
        conn_drop(c);
    } else if (c->state == CONN_OPEN && !c->paused && c->in.len > 0 && !conn_has_pending(c)) {
        if (conn_hand_over(c))
            conn_watch(c);
    } else if (c->state == CONN_OPEN && c->watching & LOOP_READABLE) {
        conn_receive(c);
    }
    (void)conn_leave(c);
}

void conn_read(struct conn *c)
{
    if (!(c->watching & LOOP_READABLE)) { /* ready without having been asked for: it broke */
        if (c->state == CONN_FINISHING)
            conn_free(c);
        else
            conn_ended(c);
    } else if (!c->config.urgent && !loop_turn_take(c->loop)) {
        loop_defer_turn(c->loop, &c->turn, conn_take_turn, c);
    } else if (c->state == CONN_FINISHING) {
        conn_drop(c);
    } else {
        conn_receive(c);
    }
}

void conn_pause(struct conn *c)
{
    c->paused = true;
}

void conn_resume(struct conn *c)
{
    c->paused = false;
    if (c->in.len > 0)
        loop_defer_turn(c->loop, &c->turn, conn_take_turn, c);
}

struct buf *conn_in(struct conn *c)
{
    return &c->in;
}
