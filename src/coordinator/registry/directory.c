/* SPDX-License-Identifier: Apache-2.0 */
/* The rows themselves: who holds them, what is published in them. */
#include "coordinator/registry/directory.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"
#include "coordinator/registry/directory_row.h"

struct directory {
    unsigned n_loops;
    pthread_mutex_t lock; /* rows, and who holds them */
    struct map rows;      /* model → struct directory_row */
};

struct directory *directory_new(unsigned n_loops)
{
    struct directory *d = calloc(1, sizeof *d);

    CHECK(n_loops >= 1 && n_loops <= DIRECTORY_LOOPS_MAX);
    if (!d)
        return NULL;
    d->n_loops = n_loops;
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

void directory_free(struct directory *d)
{
    if (!d)
        return;
    CHECK(d->rows.used == 0);
    map_free(&d->rows);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

unsigned directory_loops(const struct directory *d)
{
    return d->n_loops;
}

/* --- who holds a row --- */

/* With the lock held. */
static struct directory_row *directory_add(struct directory *d, struct str model)
{
    size_t cells = sizeof(struct directory_cell) * d->n_loops;
    struct directory_row *row = aligned_alloc(DIRECTORY_LINE, sizeof *row + cells);

    if (!row)
        return NULL;
    memset(row, 0, sizeof *row + cells);
    row->n_loops = d->n_loops;
    row->model = strndup(model.p, model.n);
    if (!row->model || map_put(&d->rows, str_from(row->model), row) < 0) {
        free(row->model);
        free(row);
        return NULL;
    }
    return row;
}

static struct directory_row *directory_row_of(struct directory *d, struct str model, bool add)
{
    struct directory_row *row;

    pthread_mutex_lock(&d->lock);
    row = map_get(&d->rows, model);
    if (!row && add)
        row = directory_add(d, model);
    if (row)
        row->holders++;
    pthread_mutex_unlock(&d->lock);
    return row;
}

struct directory_row *directory_hold(struct directory *d, struct str model)
{
    return directory_row_of(d, model, true);
}

struct directory_row *directory_find(struct directory *d, struct str model)
{
    return directory_row_of(d, model, false);
}

void directory_release(struct directory *d, struct directory_row *row)
{
    bool last;

    if (!row)
        return;
    pthread_mutex_lock(&d->lock);
    CHECK(row->holders > 0);
    last = --row->holders == 0;
    if (last)
        (void)map_remove(&d->rows, str_from(row->model));
    pthread_mutex_unlock(&d->lock);
    if (!last)
        return;
    free(row->model);
    free(row);
}

/* --- publishing --- */

static struct directory_cell *directory_cell_of(struct directory_row *row, unsigned loop)
{
    CHECK(loop < row->n_loops);
    return &row->cells[loop];
}

static uint32_t directory_whole_ms(double ms)
{
    return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static bool directory_same_offers(const struct directory_level *l,
                                  const struct directory_offers *offers)
{
    return directory_get(l->free) == offers->free &&
           directory_get(l->servable) == offers->servable &&
           directory_get(l->cost_ms) == directory_whole_ms(offers->cost_ms) &&
           directory_get(l->turn) == offers->turn && directory_get(l->reach) == offers->reach;
}

void directory_set_offers(struct directory_row *row, unsigned loop, enum trust_level level,
                          const struct directory_offers *offers)
{
    struct directory_level *l = &directory_cell_of(row, loop)->levels[level];

    if (directory_same_offers(l, offers))
        return;
    directory_set(l->cost_ms, directory_whole_ms(offers->cost_ms));
    directory_set(l->turn, offers->turn);
    directory_set(l->reach, offers->reach);
    directory_set(l->servable, offers->servable);
    atomic_store(&l->free, offers->free); /* in the one order that the header speaks of */
}

void directory_set_bounds(struct directory_row *row, unsigned loop, int64_t context,
                          int64_t overhead)
{
    struct directory_cell *cell = directory_cell_of(row, loop);

    directory_set(cell->context, context);
    directory_set(cell->overhead, overhead);
}

void directory_set_waiting(struct directory_row *row, unsigned loop, enum trust_level demanded,
                           uint32_t n)
{
    struct directory_level *l = &directory_cell_of(row, loop)->levels[demanded];

    if (directory_get(l->waiting) != n)
        atomic_store(&l->waiting, n);
}

void directory_depart(struct directory_row *row, unsigned to)
{
    atomic_fetch_add_explicit(&directory_cell_of(row, to)->coming, 1, memory_order_relaxed);
}

void directory_arrive(struct directory_row *row, unsigned here)
{
    uint32_t before =
        atomic_fetch_sub_explicit(&directory_cell_of(row, here)->coming, 1, memory_order_relaxed);

    CHECK(before > 0);
}

/* --- reading what all loops have --- */

int64_t directory_context(const struct directory_row *row, int64_t otherwise)
{
    int64_t most = 0;

    for (unsigned i = 0; i < row->n_loops; i++) {
        int64_t context = directory_get(row->cells[i].context);

        most = context > most ? context : most;
    }
    return most > 0 ? most : otherwise;
}

int64_t directory_overhead(const struct directory_row *row, int64_t otherwise)
{
    int64_t most = 0;

    for (unsigned i = 0; i < row->n_loops; i++) {
        int64_t overhead = directory_get(row->cells[i].overhead);

        most = overhead > most ? overhead : most;
    }
    return most > 0 ? most : otherwise;
}

uint64_t directory_waiting(const struct directory_row *row)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < row->n_loops; i++)
        n += directory_waiting_at(&row->cells[i]);
    return n;
}
