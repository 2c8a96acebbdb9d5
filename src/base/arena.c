/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

enum { ARENA_FIRST_BYTES = 4096, ARENA_GROWN_MAX_BYTES = 1 << 20 };

struct arena_block {
    struct arena_block *older;
    size_t used, cap;
    _Alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes};
}

static size_t arena_next_cap(const struct arena *a, size_t need)
{
    size_t cap = a->head ? a->head->cap * 2 : ARENA_FIRST_BYTES;

    if (cap > ARENA_GROWN_MAX_BYTES)
        cap = ARENA_GROWN_MAX_BYTES;
    return cap < need ? need : cap;
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t align = _Alignof(max_align_t);
    struct arena_block *b = a->head;
    void *p;

    CHECK(a->used_bytes <= a->max_bytes);
    if (n > a->max_bytes - a->used_bytes || n > PTRDIFF_MAX / 2) /* rounding up must not wrap */
        return NULL;
    n = (n + align - 1) / align * align;
    if (!b || b->cap - b->used < n) {
        size_t cap = arena_next_cap(a, n);

        b = malloc(sizeof *b + cap);
        if (!b)
            return NULL;
        *b = (struct arena_block){.older = a->head, .cap = cap};
        a->head = b;
    }
    CHECK(b->used <= b->cap && n <= b->cap - b->used);
    p = b->bytes + b->used;
    b->used += n;
    a->used_bytes = n > a->max_bytes - a->used_bytes ? a->max_bytes : a->used_bytes + n;
    return memset(p, 0, n);
}

void *arena_array_bytes(struct arena *a, size_t size, size_t count)
{
    size_t n;

    return __builtin_mul_overflow(size, count, &n) ? NULL : arena_alloc(a, n);
}

struct str arena_dup(struct arena *a, struct str s)
{
    char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;

    if (!p)
        return (struct str){0};
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char *p;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (!p)
        return (struct str){0};
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return (struct str){p, (size_t)n};
}

static void arena_drop(struct arena_block *b)
{
    while (b) {
        struct arena_block *older = b->older;

        CHECK(b->used <= b->cap);
        sodium_memzero(b->bytes, b->used);
        free(b);
        b = older;
    }
}

void arena_free(struct arena *a)
{
    arena_drop(a->head);
    a->head = NULL;
    a->used_bytes = 0;
}

void arena_reset(struct arena *a)
{
    struct arena_block *b = a->head;

    if (!b)
        return;
    arena_drop(b->older);
    sodium_memzero(b->bytes, b->used);
    b->older = NULL;
    b->used = 0;
    a->used_bytes = 0;
}
