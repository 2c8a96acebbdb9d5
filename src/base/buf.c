/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"

enum { BUF_FIRST_BYTES = 256 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

int buf_set_budget(struct buf *b, struct budget *budget)
{
    int rc = budget == b->budget ? 0 : budget_charge(budget, b->cap, NULL);

    if (rc < 0 || budget == b->budget)
        return rc;
    budget_release(b->budget, b->cap);
    b->budget = budget;
    return 0;
}

int buf_move(struct buf *b, struct buf *from)
{
    int rc;

    CHECK(b != from);
    if (from->len > b->max_bytes)
        return ERR_LIMIT;
    rc = budget_charge(b->budget, from->cap, NULL);
    if (rc < 0)
        return rc;
    buf_free(b);
    b->mem = from->mem;
    b->off = from->off;
    b->len = from->len;
    b->cap = from->cap;
    budget_release(from->budget, from->cap);
    from->mem = NULL;
    from->off = from->len = from->cap = 0;
    return 0;
}

static void buf_slide(struct buf *b)
{
    if (b->off == 0)
        return;
    memmove(b->mem, b->mem + b->off, b->len);
    b->off = 0;
}

/* What the memory grows to: doubled, or just enough where the budget has no room for double.
 * Charges the difference; 0: the budget refuses. */
static size_t buf_charge_growth(struct buf *b, size_t need)
{
    size_t limit = b->max_bytes < SIZE_MAX ? b->max_bytes + 1 : SIZE_MAX;
    size_t cap = b->cap ? b->cap : BUF_FIRST_BYTES;

    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > limit)
        cap = limit;
    need = need < limit ? need : limit;
    CHECK(cap >= b->cap && need >= b->len);
    if (budget_charge(b->budget, cap - b->cap, NULL) == 0)
        return cap;
    return need > b->cap && budget_charge(b->budget, need - b->cap, NULL) == 0 ? need : 0;
}

/* A fresh block rather than realloc, so that no unwiped copy stays behind. One byte beyond the
 * maximum is for vsnprintf's NUL. */
static int buf_grow(struct buf *b, size_t need)
{
    size_t cap = buf_charge_growth(b, need);
    char *mem;

    if (cap == 0)
        return ERR_LIMIT;
    mem = malloc(cap);
    if (!mem) {
        budget_release(b->budget, cap - b->cap);
        return ERR_NOMEM;
    }
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
static bool buf_may_hold(const struct buf *b, size_t n)
{
    return b->len <= b->max_bytes && n <= b->max_bytes - b->len;
}

/* Room for `n` bytes of data and `spare` more behind them. Data slides down only when that frees
 * half of the memory, so that a steady stream is not moved byte by byte. */
static int buf_make_room(struct buf *b, size_t n, size_t spare)
{
    size_t room;
    int rc;

    if (!buf_may_hold(b, n))
        return ERR_LIMIT;
    if (b->mem && b->cap - b->off - b->len >= n + spare)
        return 0;
    room = b->cap - b->len;
    if (b->mem && room >= n + spare && (b->off >= b->cap / 2 || b->cap >= b->max_bytes)) {
        buf_slide(b);
        return 0;
    }
    rc = buf_grow(b, b->len + n + spare + 1);
    if (rc == ERR_LIMIT && b->mem && room >= n + spare) { /* the budget would rather see it moved */
        buf_slide(b);
        rc = 0;
    }
    return rc;
}

char *buf_reserve(struct buf *b, size_t n)
{
    return buf_make_room(b, n, 0) < 0 ? NULL : b->mem + b->off + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    CHECK(n <= b->cap - b->off - b->len);
    b->len += n;
}

int buf_append_slowly(struct buf *b, const void *p, size_t n)
{
    int rc = buf_make_room(b, n, 0);

    if (rc < 0)
        return rc;
    memcpy(b->mem + b->off + b->len, p, n);
    b->len += n;
    return 0;
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
    if ((size_t)n >= room || !buf_may_hold(b, (size_t)n)) {
        rc = buf_make_room(b, (size_t)n, 1);
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
    budget_release(b->budget, b->cap);
    free(b->mem);
    b->mem = NULL;
    b->cap = 0;
}
