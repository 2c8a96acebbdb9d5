/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"

enum { MAP_MIN_CAP = 16 };

static size_t map_home(const struct map *m, struct str key)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t h;

    crypto_shorthash(out, (const unsigned char *)key.p, key.n, m->seed);
    memcpy(&h, out, sizeof h);
    return (size_t)h & (m->cap - 1);
}

/* The slot that holds `key`, or the empty one where it would go. */
static struct map_slot *map_find(const struct map *m, struct str key)
{
    size_t i = map_home(m, key);

    CHECK(m->used < m->cap); /* else a probe for what is not there never ends */
    while (m->slots[i].key.p && !str_eq(m->slots[i].key, key))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_free(struct map *m)
{
    free(m->slots);
    map_init(m);
}

void *map_get(const struct map *m, struct str key)
{
    return m->cap ? map_find(m, key)->value : NULL;
}

static int map_grow(struct map *m)
{
    struct map next = {.cap = m->cap ? m->cap * 2 : MAP_MIN_CAP, .used = m->used};

    next.slots = calloc(next.cap, sizeof *next.slots);
    if (!next.slots)
        return ERR_NOMEM;
    randombytes_buf(next.seed, sizeof next.seed);
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].key.p)
            *map_find(&next, m->slots[i].key) = m->slots[i];
    }
    free(m->slots);
    *m = next;
    return 0;
}

int map_put(struct map *m, struct str key, void *value)
{
    struct map_slot *slot;

    CHECK(key.p);
    /* At most 3/4 full, so that a probe always ends at an empty slot. */
    if (4 * (m->used + 1) > 3 * m->cap && map_grow(m) < 0)
        return ERR_NOMEM;
    slot = map_find(m, key);
    if (!slot->key.p)
        m->used++;
    *slot = (struct map_slot){.key = key, .value = value};
    return 0;
}

void *map_remove(struct map *m, struct str key)
{
    struct map_slot *slot = m->cap ? map_find(m, key) : NULL;
    size_t hole, i;
    void *value;

    if (!slot || !slot->key.p)
        return NULL;
    value = slot->value;
    hole = (size_t)(slot - m->slots);
    /* Close the gap: pull back every follower whose home is not between the hole and itself. */
    for (i = (hole + 1) & (m->cap - 1); m->slots[i].key.p; i = (i + 1) & (m->cap - 1)) {
        size_t home = map_home(m, m->slots[i].key);

        if (((i - home) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){0};
    m->used--;
    return value;
}

void *map_next(const struct map *m, size_t *cursor)
{
    while (*cursor < m->cap) {
        const struct map_slot *slot = &m->slots[(*cursor)++];

        if (slot->key.p)
            return slot->value;
    }
    return NULL;
}
