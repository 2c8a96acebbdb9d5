/* SPDX-License-Identifier: Apache-2.0 */
/* A region: many small allocations with one life, freed once (after unbound's regional and h2o's
 * pools). A request owns one. Regions hold prompts, so freeing one wipes what was used. Not
 * thread-safe: a region belongs to one thread at a time. */
#ifndef DARKBLOOM_BASE_ARENA_H
#define DARKBLOOM_BASE_ARENA_H

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *head; /* newest block */
    size_t used_bytes;        /* handed out so far */
    size_t max_bytes;         /* arena_alloc refuses beyond this */
};

/* Make an empty region that will hand out at most `max_bytes`. Allocates nothing. */
void arena_init(struct arena *a, size_t max_bytes);

/* `n` zeroed bytes aligned for any type, or NULL when memory or the limit is exhausted. They live
 * until arena_free. */
void *arena_alloc(struct arena *a, size_t n);

/* A NUL-terminated copy of `s`; the result's .p is NULL when allocation failed. */
struct str arena_dup(struct arena *a, struct str s);

/* printf into the region; .p is NULL when allocation failed. NUL-terminated. */
struct str arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Wipe and release everything; the region is empty and usable again afterwards. */
void arena_free(struct arena *a);

/* The newest block is kept (wiped) for reuse, the rest released: for per-connection regions that
 * serve one request after another. */
void arena_reset(struct arena *a);

#define arena_new(a, type)          ((type *)arena_alloc((a), sizeof(type)))
#define arena_array(a, type, count) ((type *)arena_array_bytes((a), sizeof(type), (count)))

/* `count * size` zeroed bytes with the multiplication checked; NULL on overflow or exhaustion. */
void *arena_array_bytes(struct arena *a, size_t size, size_t count);

#endif
