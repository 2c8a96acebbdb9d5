/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/model/line.h"

#include <sodium.h>

enum { READ_BYTES = 64 << 10, IN_MAX_BYTES = 1 << 20, KEEP_BYTES = 256 << 10 };

void line_init(struct line *l, struct loop *loop, void (*ready)(void *ud), void *ud)
{
    *l = (struct line){.loop = loop, .sock = -1, .ready = ready, .ud = ud};
    buf_init(&l->in, IN_MAX_BYTES);
    buf_init(&l->out, LINE_OUT_MAX_BYTES);
}

void line_close(struct line *l)
{
    loop_watch_remove(l->watch);
    l->watch = NULL;
    if (l->sock >= 0)
        loop_close(l->loop, l->sock);
    l->sock = -1;
    l->taken_bytes = 0;
    l->ended = false;
    buf_free(&l->in);
    buf_free(&l->out);
}

/* --- out --- */

/* Wiped as far as it has left. */
static void line_sent(struct line *l, size_t n)
{
    sodium_memzero((char *)buf_view(&l->out).p, n);
    buf_consume(&l->out, n);
    if (l->out.len == 0 && l->out.cap > KEEP_BYTES)
        buf_free(&l->out);
}

static void line_flush(struct line *l)
{
    ssize_t n = 1;

    while (l->out.len > 0 && n > 0) {
        struct str v = buf_view(&l->out);
        struct iovec iov = {.iov_base = (char *)v.p, .iov_len = v.n};

        n = loop_sendv(l->loop, l->sock, &iov, 1);
        if (n > 0)
            line_sent(l, (size_t)n);
    }
    if (n == ERR_CLOSED) /* the end is read, behind what it still said */
        line_sent(l, l->out.len);
    loop_watch_set(l->watch, LOOP_READABLE | (l->out.len > 0 ? LOOP_WRITABLE : 0));
}

int line_say(struct line *l, const struct wire_msg *m)
{
    int rc;

    if (l->sock < 0 || l->ended)
        return ERR_CLOSED;
    rc = wire_append(&l->out, m);
    if (rc < 0)
        return rc == ERR_LIMIT ? ERR_BUSY : rc;
    line_flush(l);
    return 0;
}

/* --- in --- */

/* Bytes, 0 at the end, or a negative code. */
static ssize_t line_read(struct line *l)
{
    char *at = buf_reserve(&l->in, READ_BYTES);
    ssize_t n = at ? loop_recv(l->loop, l->sock, at, READ_BYTES) : ERR_AGAIN;

    if (n > 0)
        buf_commit(&l->in, (size_t)n);
    return n;
}

static void line_on_ready(void *ud, unsigned events)
{
    struct line *l = ud;

    if (events & LOOP_WRITABLE)
        line_flush(l);
    if (events & LOOP_READABLE) {
        ssize_t n = line_read(l);

        if (n == 0 || n == ERR_CLOSED) {
            l->ended = true;
            loop_watch_set(l->watch, 0);
        }
        l->ready(l->ud);
    }
}

int line_open(struct line *l, int sock)
{
    l->sock = sock;
    if (loop_watch_add(l->loop, sock, LOOP_READABLE, line_on_ready, l, &l->watch) == 0)
        return 0;
    line_close(l);
    return ERR_NOMEM;
}

static void line_let_go(struct line *l)
{
    sodium_memzero((char *)buf_view(&l->in).p, l->taken_bytes);
    buf_consume(&l->in, l->taken_bytes);
    l->taken_bytes = 0;
}

int line_next(struct line *l, struct wire_msg *ret_msg)
{
    int rc;

    line_let_go(l);
    rc = wire_next(buf_view(&l->in), WIRE_ENGINE, ret_msg, &l->taken_bytes);
    if (rc == 0 && l->ended)
        return ERR_CLOSED;
    return rc;
}

bool line_read_rest(struct line *l)
{
    ssize_t n = l->sock >= 0 && !l->ended ? line_read(l) : 0;

    if (n <= 0)
        l->ended = true;
    return n > 0;
}
