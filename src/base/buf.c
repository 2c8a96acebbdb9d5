/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

enum { BUF_FIRST_BYTES = 256 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

static void slide(struct buf *b)
{
    if (b->off == 0)
        return;
    memmove(b->mem, b->mem + b->off, b->len);
    b->off = 0;
}

/* A fresh block rather than realloc, so that no unwiped copy stays behind. One byte beyond the
 * maximum is for vsnprintf's NUL. */
static int grow(struct buf *b, size_t need)
{
    size_t limit = b->max_bytes < SIZE_MAX ? b->max_bytes + 1 : SIZE_MAX;
    size_t cap = b->cap ? b->cap : BUF_FIRST_BYTES;
    char *mem;

    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > limit)
        cap = limit;
    mem = malloc(cap);
    if (!mem)
        return ERR_NOMEM;
    if (b->mem) {
        memcpy(mem, b->mem + b->off, b->len);
        sodium_memzero(b->mem, b->cap);
        free(b->mem);
    }
    b->mem = mem;
    b->cap = cap;
    b->off = 0;
    return 0;
}

/* An owner may lower the maximum below what is there. */
static bool may_hold(const struct buf *b, size_t n)
{
    return b->len <= b->max_bytes && n <= b->max_bytes - b->len;
}

/* Room for `n` bytes of data and `spare` more behind them. Data slides down only when that frees
 * half of the memory, so that a steady stream is not moved byte by byte. */
static int make_room(struct buf *b, size_t n, size_t spare)
{
    size_t room;

    if (!may_hold(b, n))
        return ERR_LIMIT;
    if (b->mem && b->cap - b->off - b->len >= n + spare)
        return 0;
    room = b->cap - b->len;
    if (b->mem && room >= n + spare && (b->off >= b->cap / 2 || b->cap >= b->max_bytes)) {
        slide(b);
        return 0;
    }
    return grow(b, b->len + n + spare + 1);
}

char *buf_reserve(struct buf *b, size_t n)
{
    return make_room(b, n, 0) < 0 ? NULL : b->mem + b->off + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    b->len += n;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
    int rc;

    if (n == 0)
        return 0;
    rc = make_room(b, n, 0);
    if (rc < 0)
        return rc;
    memcpy(b->mem + b->off + b->len, p, n);
    b->len += n;
    return 0;
}

int buf_append_str(struct buf *b, struct str s)
{
    return buf_append(b, s.p, s.n);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    size_t used = b->off + b->len, room = b->cap > used ? b->cap - used : 0;
    va_list ap;
    int n, rc;

    /* Most texts fit where there is room already; the others are written again. */
    va_start(ap, fmt);
    n = vsnprintf(room > 0 ? b->mem + used : NULL, room, fmt, ap);
    va_end(ap);
    if (n < 0)
        return ERR_INTERNAL;
    if ((size_t)n >= room || !may_hold(b, (size_t)n)) {
        rc = make_room(b, (size_t)n, 1);
        if (rc < 0)
            return rc;
        va_start(ap, fmt);
        vsnprintf(b->mem + b->off + b->len, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    b->len += (size_t)n;
    return 0;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->len) {
        buf_clear(b);
        return;
    }
    b->off += n;
    b->len -= n;
}

void buf_clear(struct buf *b)
{
    b->off = b->len = 0;
}

void buf_wipe(struct buf *b)
{
    if (b->mem)
        sodium_memzero(b->mem, b->cap);
    buf_clear(b);
}

void buf_free(struct buf *b)
{
    buf_wipe(b);
    free(b->mem);
    b->mem = NULL;
    b->cap = 0;
}
