/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map from byte strings to pointers: open addressing, linear probing, SipHash with a random
 * key, so that names chosen by strangers cannot collide on purpose. Keys are borrowed: they must
 * live as long as their entry (usually they stand in the value). Not thread-safe. */
#ifndef DARKBLOOM_BASE_MAP_H
#define DARKBLOOM_BASE_MAP_H

#include "base/str.h"

struct map_slot {
    struct str key; /* .p NULL: empty */
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t cap, used;
    uint8_t seed[16];
};

/* An empty map that allocates nothing; zeroing the struct does the same. */
void map_init(struct map *m);
void map_free(struct map *m);

/* The value, or NULL. */
void *map_get(const struct map *m, struct str key);

/* Insert or replace. 0 or ERR_NOMEM; key.p must not be NULL. */
int map_put(struct map *m, struct str key, void *value);

/* Remove and return the value, or NULL. */
void *map_remove(struct map *m, struct str key);

/* Walk: start with *cursor = 0; NULL at the end. Removing the entry just returned is not allowed.
 */
void *map_next(const struct map *m, size_t *cursor);

#endif
