/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that write metrics out share with the one that keeps them (metric.c). */
#ifndef DARKBLOOM_BASE_METRIC_IMPL_H
#define DARKBLOOM_BASE_METRIC_IMPL_H

#include "base/metric.h"

struct metrics_value {
    char text[METRIC_VALUE_BYTES], companion[METRIC_VALUE_BYTES];
};

struct metrics_found {
    struct metrics_value *values; /* NULL: the label has a closed set, or there is none */
    size_t n;                     /* atomic: read by other threads */
};

static inline int64_t metric_load(const int64_t *cell)
{
    return __atomic_load_n(cell, __ATOMIC_RELAXED);
}

static inline const int64_t *metric_cell_at(const struct metrics *m, unsigned row, unsigned a,
                                            unsigned b)
{
    const struct metric_place *place = &m->places[row];
    size_t at = (size_t)a * place->second_n + b;

    CHECK(b < place->second_n && at < place->combinations);
    return &m->cells[place->first + at * place->width];
}

/* Values that a label has now, "other" included; 1 for no label. */
static inline size_t metric_values_now(const struct metrics *m, unsigned label)
{
    const struct metric_label *l = &m->table->labels[label];

    if (!l->name)
        return 1;
    return l->values ? l->n : __atomic_load_n(&m->found[label].n, __ATOMIC_ACQUIRE);
}

/* Words of a value; the companion's are empty where there is none. */
static inline const char *metric_value_text(const struct metrics *m, unsigned label, unsigned v)
{
    const struct metric_label *l = &m->table->labels[label];

    return l->values ? l->values[v] : m->found[label].values[v].text;
}

static inline const char *metric_companion_text(const struct metrics *m, unsigned label, unsigned v)
{
    const struct metric_label *l = &m->table->labels[label];

    return l->values || !l->companion ? "" : m->found[label].values[v].companion;
}

#endif
