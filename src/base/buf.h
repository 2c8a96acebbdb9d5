/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer that knows its maximum from birth (curl's dynbuf, OpenSSH's sshbuf). Data
 * is consumed from the front without moving it until room is needed. Not thread-safe. */
#ifndef DARKBLOOM_BASE_BUF_H
#define DARKBLOOM_BASE_BUF_H

#include "base/budget.h"
#include "base/str.h"

struct buf {
    char *mem;
    size_t off;            /* first unread byte */
    size_t len;            /* unread bytes */
    size_t cap;            /* bytes allocated */
    size_t max_bytes;      /* len does not grow beyond this; the owner may change it */
    struct budget *budget; /* NULL, or what is charged `cap` bytes (buf_set_budget) */
};

/* Empty buffer of at most `max_bytes` unread bytes. Allocates nothing. */
void buf_init(struct buf *b, size_t max_bytes);

/* Charge the memory to `budget` (NULL: to none) from now on: what is allocated, also where it is
 * not filled. Growing fails with ERR_LIMIT where the budget refuses; freeing gives back. Memory
 * that is there already moves from the old budget to the new one. 0, or ERR_LIMIT: the new one has
 * no room, and nothing has changed. The budget must outlive the buffer's memory. */
int buf_set_budget(struct buf *b, struct budget *budget);

/* Take over the memory and the contents of `from`, which is left empty, without a copy; what `b`
 * held is wiped and freed. Each keeps its maximum and its budget; the charge moves. 0, or ERR_LIMIT
 * (b's maximum or budget): nothing has changed. */
int buf_move(struct buf *b, struct buf *from);

/* The unread bytes (never NULL); valid until the next call that changes the buffer. */
static inline struct str buf_view(const struct buf *b)
{
    return (struct str){b->mem ? b->mem + b->off : "", b->len};
}

/* Make room for `n` more bytes behind the unread ones and return where they go (then call
 * buf_commit), or NULL when the maximum, the budget or memory is exhausted (the contents stay). */
char *buf_reserve(struct buf *b, size_t n);

/* Count `n` bytes written at the place buf_reserve returned as unread data. */
void buf_commit(struct buf *b, size_t n);

/* Append bytes. 0, ERR_LIMIT (maximum or budget) or ERR_NOMEM; nothing is appended on failure. */
static inline int buf_append(struct buf *b, const void *p, size_t n);
static inline int buf_append_str(struct buf *b, struct str s);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Drop `n` bytes (at most len) from the front. */
void buf_consume(struct buf *b, size_t n);

/* Forget the contents, keep the memory. */
void buf_clear(struct buf *b);

/* Wipe the whole memory with sodium_memzero and forget the contents, keep the memory. */
void buf_wipe(struct buf *b);

/* Release the memory; the buffer stays usable with the same maximum and budget. Accepts a zeroed
 * struct. */
void buf_free(struct buf *b);

/* Where memory has to be made for it first. */
int buf_append_slowly(struct buf *b, const void *p, size_t n);

static inline int buf_append(struct buf *b, const void *p, size_t n)
{
    size_t used = b->off + b->len;

    if (n == 0)
        return 0;
    if (n > b->cap - used || b->len + n > b->max_bytes)
        return buf_append_slowly(b, p, n);
    memcpy(b->mem + used, p, n);
    b->len += n;
    return 0;
}

static inline int buf_append_str(struct buf *b, struct str s)
{
    return buf_append(b, s.p, s.n);
}

#endif
