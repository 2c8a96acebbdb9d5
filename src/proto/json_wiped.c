/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/json_wiped.h"

#include <sodium.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* yyjson does not say how much it gives back. */
struct block {
    size_t n;
    _Alignas(max_align_t) char bytes[];
};

static struct block *json_wiped_block_of(void *p)
{
    return (struct block *)(void *)((char *)p - offsetof(struct block, bytes));
}

static void *wiped_malloc(void *ctx, size_t n)
{
    struct block *b = n < SIZE_MAX - sizeof *b ? malloc(sizeof *b + n) : NULL;

    (void)ctx;
    if (!b)
        return NULL;
    b->n = n;
    return b->bytes;
}

static void wiped_free(void *ctx, void *p)
{
    struct block *b = p ? json_wiped_block_of(p) : NULL;

    (void)ctx;
    if (b)
        sodium_memzero(b->bytes, b->n);
    free(b);
}

static void *wiped_realloc(void *ctx, void *p, size_t old_n, size_t n)
{
    void *grown = wiped_malloc(ctx, n);

    if (!grown)
        return NULL;
    memcpy(grown, p, old_n < n ? old_n : n);
    wiped_free(ctx, p);
    return grown;
}

yyjson_alc json_wiped_alc(void)
{
    return (yyjson_alc){wiped_malloc, wiped_realloc, wiped_free, NULL};
}
