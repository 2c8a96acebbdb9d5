/* SPDX-License-Identifier: Apache-2.0 */
/* A row's inside, for directory.c (what is published) and directory_place.c (what is made of it).
 */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_DIRECTORY_ROW_H
#define DARKBLOOM_COORDINATOR_REGISTRY_DIRECTORY_ROW_H

#include <stdatomic.h>

#include "coordinator/registry/directory.h"

enum { DIRECTORY_LINE = 64 }; /* bytes that move between cores as one */

struct directory_level {
    _Atomic uint32_t free, servable, waiting, cost_ms;
    _Atomic uint64_t turn;
    _Atomic int64_t reach;
};

/* Two cores that write cells of one row do not write the same line. */
struct directory_cell {
    _Alignas(DIRECTORY_LINE) struct directory_level levels[DIRECTORY_LEVELS];
    _Atomic int64_t context, overhead;
    _Atomic uint32_t coming; /* written by all */
};

struct directory_row {
    char *model;      /* NUL-terminated */
    unsigned holders; /* under the directory's lock */
    unsigned n_loops;
    struct directory_cell cells[];
};

#define directory_get(cell)    atomic_load_explicit(&(cell), memory_order_relaxed)
#define directory_set(cell, v) atomic_store_explicit(&(cell), (v), memory_order_relaxed)

static inline uint64_t directory_waiting_at(const struct directory_cell *cell)
{
    uint64_t n = 0;

    for (int level = 0; level < DIRECTORY_LEVELS; level++)
        n += atomic_load(&cell->levels[level].waiting);
    return n;
}

#endif
