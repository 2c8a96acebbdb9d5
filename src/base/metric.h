/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics from a table: a program declares rows (name, kind, labels, unit, help) and records into
 * an array of 64-bit cells. A row's place in that array is known from its number and the numbers of
 * its labels' values, so recording is an array increment: nothing is allocated, hashed or locked.
 *
 * Threads: one instance per loop. Only its loop records into it; any thread may read it
 * (metrics_add_up), the cells are relaxed atomics. What is shown is the sum over the loops.
 *
 * Values are whole numbers in the row's recorded unit (microseconds, micro-USD, tokens). The text
 * divides by 10^decimals, exactly: a row of seconds records microseconds and has 6 decimals.
 *
 * Labels have either a closed set of values, or values found while running: at most `max`, later
 * ones are counted as "other" (value 0). Register such a value once where it appears
 * (metrics_value), keep the number, and never register what an unproven peer says: strangers could
 * use up the places. No label may hold a key, an account, a prompt or an address. */
#ifndef DARKBLOOM_BASE_METRIC_H
#define DARKBLOOM_BASE_METRIC_H

#include "base/check.h"
#include "base/writer.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum { METRIC_LABELS = 2, METRIC_VALUE_BYTES = 96, METRIC_VALUE_OTHER = 0 };

struct metric_label {
    const char *name;          /* NULL: no label; row 0 of every table of labels */
    const char *alias_name;    /* its name in aliases; NULL: the same */
    const char *companion;     /* a second label, whose value is fixed by this one's; or NULL */
    const char *const *values; /* the closed set; NULL: found while running */
    size_t n; /* values of the closed set, or at most so many found while running */
};

struct metric_row {
    const char *name; /* counters end in _total, units are base units: _seconds, _bytes */
    enum metric_kind kind;
    unsigned labels[METRIC_LABELS]; /* rows of the table of labels */
    int decimals;                   /* recorded unit = 10^-decimals of the shown one */
    const int64_t *bounds;          /* histogram: upper bounds in the recorded unit, ascending */
    size_t n_bounds;
    const char *alias;   /* a second name for the same data, or NULL */
    const char *statsd;  /* name for DogStatsD, or NULL: not sent */
    int statsd_decimals; /* as `decimals`, for DogStatsD: 3 shows microseconds as milliseconds */
    const char *help;
};

struct metric_table {
    const struct metric_row *rows;
    size_t n_rows;
    const struct metric_label *labels;
    size_t n_labels;
};

/* Where a row's cells are. A histogram has n_bounds + 1 counts and a sum for each combination of
 * label values, other rows one cell. */
struct metric_place {
    size_t first, second_n, width;
    size_t combinations;
};

struct metrics;

struct metrics *metrics_new(const struct metric_table *table); /* NULL: out of memory */
void metrics_free(struct metrics *m);

/* Register a value of a label that has no closed set. Its number; METRIC_VALUE_OTHER when there
 * are too many. The text is copied, cut at METRIC_VALUE_BYTES - 1 bytes, and bytes that are not
 * printable ASCII become '_'. `companion` (may be empty) is kept from the first time. A search
 * through the known values: not for every request. */
unsigned metrics_value(struct metrics *m, unsigned label, struct str text, struct str companion);

/* Count or set. `a` and `b` are the numbers of the label values, 0 for a label that the row lacks.
 * `m` may be NULL: nothing is recorded. */
static inline void metrics_add(struct metrics *m, unsigned row, unsigned a, unsigned b, int64_t n);
static inline void metrics_set(struct metrics *m, unsigned row, unsigned a, unsigned b, int64_t v);

/* One sample of a histogram. */
void metrics_observe(struct metrics *m, unsigned row, unsigned a, unsigned b, int64_t v);

/* All cells of a gauge to 0, before it is counted anew. */
void metrics_clear(struct metrics *m, unsigned row);

/* The cell of a counter or gauge; a histogram's number of samples and their sum. For tests and for
 * programs that decide by a count. */
int64_t metrics_get(const struct metrics *m, unsigned row, unsigned a, unsigned b);
int64_t metrics_samples(const struct metrics *m, unsigned row, unsigned a, unsigned b,
                        int64_t *ret_sum);

/* Clear `sum`, then add every instance of `parts` to it (values found while running are matched by
 * text). All have one table. The thread of `sum` calls it; the parts may record meanwhile. */
void metrics_add_up(struct metrics *sum, const struct metrics *const *parts, size_t n_parts);

/* The text that Prometheus reads, format 0.0.4. A row of closed labels shows every combination;
 * one with a label found while running shows those that are not zero. */
void metrics_write(const struct metrics *m, struct writer *w);
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* --- recording --- */

struct metrics_found; /* the values of a label that were found while running */

struct metrics {
    const struct metric_table *table;
    struct metric_place *places; /* by row */
    int64_t *cells;
    size_t n_cells;
    struct metrics_found *found; /* by label; those of closed sets are empty */
};

static inline int64_t *metrics_cell(struct metrics *m, unsigned row, unsigned a, unsigned b)
{
    const struct metric_place *place = &m->places[row];
    size_t at = (size_t)a * place->second_n + b;

    CHECK(b < place->second_n && at < place->combinations);
    return &m->cells[place->first + at * place->width];
}

/* One writer a cell: a load and a store, no locked instruction. */
static inline void metrics_cell_add(int64_t *cell, int64_t n)
{
    __atomic_store_n(cell, __atomic_load_n(cell, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline void metrics_add(struct metrics *m, unsigned row, unsigned a, unsigned b, int64_t n)
{
    if (m)
        metrics_cell_add(metrics_cell(m, row, a, b), n);
}

static inline void metrics_set(struct metrics *m, unsigned row, unsigned a, unsigned b, int64_t v)
{
    if (m)
        __atomic_store_n(metrics_cell(m, row, a, b), v, __ATOMIC_RELAXED);
}

#endif
