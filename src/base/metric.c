/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metric.h"

#include <stdlib.h>

#include "base/metric_impl.h"

/* Cells that this label makes of one. A dynamic label has one more than its values: "other". */
static size_t metric_label_cells(const struct metric_label *l)
{
    return !l->name ? 1 : l->values ? l->n : l->n + 1;
}

static void metric_make_places(struct metrics *m)
{
    const struct metric_table *t = m->table;

    for (size_t i = 0; i < t->n_rows; i++) {
        const struct metric_row *row = &t->rows[i];
        size_t first_n = metric_label_cells(&t->labels[row->labels[0]]);
        size_t second_n = metric_label_cells(&t->labels[row->labels[1]]);
        size_t width = row->kind == METRIC_HISTOGRAM ? row->n_bounds + 2 : 1;

        m->places[i] = (struct metric_place){m->n_cells, second_n, width, first_n * second_n};
        m->n_cells += first_n * second_n * width;
    }
}

static int metric_make_found(struct metrics *m)
{
    const struct metric_table *t = m->table;

    m->found = calloc(t->n_labels, sizeof *m->found);
    if (!m->found)
        return -1;
    for (size_t i = 0; i < t->n_labels; i++) {
        const struct metric_label *l = &t->labels[i];

        if (!l->name || l->values)
            continue;
        m->found[i].values = calloc(l->n + 1, sizeof *m->found[i].values);
        if (!m->found[i].values)
            return -1;
        memcpy(m->found[i].values[METRIC_VALUE_OTHER].text, "other", sizeof "other");
        m->found[i].n = 1;
    }
    return 0;
}

struct metrics *metrics_new(const struct metric_table *table)
{
    struct metrics *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->table = table;
    m->places = calloc(table->n_rows, sizeof *m->places);
    if (m->places)
        metric_make_places(m);
    if (m->n_cells > 0)
        m->cells = calloc(m->n_cells, sizeof *m->cells);
    if (!m->places || !m->cells || metric_make_found(m) < 0) {
        metrics_free(m);
        return NULL;
    }
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    for (size_t i = 0; m->found && i < m->table->n_labels; i++)
        free(m->found[i].values);
    free(m->found);
    free(m->cells);
    free(m->places);
    free(m);
}

/* --- values found while running --- */

static void metric_copy_text(char ret_text[static METRIC_VALUE_BYTES], struct str s)
{
    size_t n = s.n < METRIC_VALUE_BYTES ? s.n : METRIC_VALUE_BYTES - 1;

    for (size_t i = 0; i < n; i++)
        ret_text[i] = s.p[i] >= ' ' && s.p[i] < 127 ? s.p[i] : '_';
    ret_text[n] = 0;
}

/* Other threads read the list: an entry is complete before the count says that it is there, and
 * never changes again. */
unsigned metrics_value(struct metrics *m, unsigned label, struct str text, struct str companion)
{
    struct metrics_value fresh;
    struct metrics_found *found;
    size_t n;

    if (!m)
        return METRIC_VALUE_OTHER;
    CHECK(label < m->table->n_labels && m->found[label].values);
    found = &m->found[label];
    n = found->n;
    metric_copy_text(fresh.text, text);
    metric_copy_text(fresh.companion, companion);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(found->values[i].text, fresh.text) == 0)
            return (unsigned)i;
    }
    if (n > m->table->labels[label].n)
        return METRIC_VALUE_OTHER;
    found->values[n] = fresh;
    __atomic_store_n(&found->n, n + 1, __ATOMIC_RELEASE);
    return (unsigned)n;
}

/* --- recording and reading --- */

void metrics_observe(struct metrics *m, unsigned row, unsigned a, unsigned b, int64_t v)
{
    const struct metric_row *r;
    int64_t *cell;
    size_t i = 0;

    if (!m)
        return;
    r = &m->table->rows[row];
    CHECK(r->kind == METRIC_HISTOGRAM);
    while (i < r->n_bounds && v > r->bounds[i])
        i++;
    cell = metrics_cell(m, row, a, b);
    metrics_cell_add(&cell[i], 1);
    metrics_cell_add(&cell[r->n_bounds + 1], v);
}

static void metric_clear_cells(struct metrics *m, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++)
        __atomic_store_n(&m->cells[i], 0, __ATOMIC_RELAXED);
}

void metrics_clear(struct metrics *m, unsigned row)
{
    if (m)
        metric_clear_cells(m, m->places[row].first,
                           m->places[row].combinations * m->places[row].width);
}

int64_t metrics_get(const struct metrics *m, unsigned row, unsigned a, unsigned b)
{
    return metric_load(metric_cell_at(m, row, a, b));
}

int64_t metrics_samples(const struct metrics *m, unsigned row, unsigned a, unsigned b,
                        int64_t *ret_sum)
{
    const int64_t *cell = metric_cell_at(m, row, a, b);
    size_t n_counts = m->table->rows[row].n_bounds + 1;
    int64_t samples = 0;

    for (size_t i = 0; i < n_counts; i++)
        samples += metric_load(&cell[i]);
    *ret_sum = metric_load(&cell[n_counts]);
    return samples;
}

/* --- the sum over the loops --- */

/* The number in `sum` of value `v` of a label of `part`. */
static unsigned metric_same_value(struct metrics *sum, const struct metrics *part, unsigned label,
                                  size_t v)
{
    const struct metrics_value *value;

    if (!part->found[label].values || v == METRIC_VALUE_OTHER)
        return (unsigned)v;
    value = &part->found[label].values[v];
    return metrics_value(sum, label, str_from(value->text), str_from(value->companion));
}

static void metric_add_cells(int64_t *to, const int64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        metrics_cell_add(&to[i], metric_load(&from[i]));
}

static void metric_add_row(struct metrics *sum, const struct metrics *part, unsigned row)
{
    const unsigned *labels = sum->table->rows[row].labels;
    size_t first_n = metric_values_now(part, labels[0]);
    size_t second_n = metric_values_now(part, labels[1]);

    for (size_t a = 0; a < first_n; a++) {
        unsigned to_a = metric_same_value(sum, part, labels[0], a);

        for (size_t b = 0; b < second_n; b++)
            metric_add_cells(
                metrics_cell(sum, row, to_a, metric_same_value(sum, part, labels[1], b)),
                metric_cell_at(part, row, (unsigned)a, (unsigned)b), sum->places[row].width);
    }
}

void metrics_add_up(struct metrics *sum, const struct metrics *const *parts, size_t n_parts)
{
    metric_clear_cells(sum, 0, sum->n_cells);
    for (size_t p = 0; p < n_parts; p++) {
        CHECK(parts[p]->table == sum->table);
        for (unsigned row = 0; row < sum->table->n_rows; row++)
            metric_add_row(sum, parts[p], row);
    }
}
