/* SPDX-License-Identifier: Apache-2.0 */
/* The exposition format of Prometheus, version 0.0.4. */
#include "base/metric_impl.h"

/* One combination of label values of a row, on its way out under one of the row's names. */
struct family {
    const struct metrics *m;
    const struct metric_row *row;
    unsigned number;
    const char *name;
    bool alias;
};

static void metric_put_escaped(struct writer *w, const char *text, bool quoted)
{
    for (; *text; text++) {
        if (*text == '\n') {
            writer_lit(w, "\\n");
            continue;
        }
        if (*text == '\\' || (quoted && *text == '"'))
            writer_char(w, '\\');
        writer_char(w, *text);
    }
}

static void metric_put_label(struct writer *w, const char *name, const char *value, bool *any)
{
    writer_char(w, *any ? ',' : '{');
    writer_str(w, str_from(name));
    writer_lit(w, "=\"");
    metric_put_escaped(w, value, true);
    writer_char(w, '"');
    *any = true;
}

static void metric_put_labels(struct writer *w, const struct family *f, const unsigned *values,
                              bool *any)
{
    for (size_t i = 0; i < METRIC_LABELS; i++) {
        unsigned label = f->row->labels[i];
        const struct metric_label *l = &f->m->table->labels[label];

        if (!l->name)
            continue;
        metric_put_label(w, f->alias && l->alias_name ? l->alias_name : l->name,
                         metric_value_text(f->m, label, values[i]), any);
        if (metric_companion_text(f->m, label, values[i])[0])
            metric_put_label(w, l->companion, metric_companion_text(f->m, label, values[i]), any);
    }
}

static void metric_put_sample(struct writer *w, const struct family *f, const char *suffix,
                              const unsigned *values)
{
    bool any = false;

    writer_str(w, str_from(f->name));
    writer_str(w, str_from(suffix));
    metric_put_labels(w, f, values, &any);
    if (any)
        writer_char(w, '}');
    writer_char(w, ' ');
}

static void metric_put_bucket(struct writer *w, const struct family *f, const unsigned *values,
                              size_t nth, int64_t count)
{
    bool any = false;

    writer_str(w, str_from(f->name));
    writer_lit(w, "_bucket");
    metric_put_labels(w, f, values, &any);
    writer_str(w, any ? STR(",le=\"") : STR("{le=\""));
    if (nth < f->row->n_bounds)
        writer_decimal(w, f->row->bounds[nth], f->row->decimals);
    else
        writer_lit(w, "+Inf");
    writer_lit(w, "\"} ");
    writer_i64(w, count);
    writer_char(w, '\n');
}

static void metric_put_histogram(struct writer *w, const struct family *f, const unsigned *values,
                                 const int64_t *cell)
{
    int64_t count = 0;

    for (size_t i = 0; i <= f->row->n_bounds; i++) {
        count += metric_load(&cell[i]);
        metric_put_bucket(w, f, values, i, count);
    }
    metric_put_sample(w, f, "_sum", values);
    writer_decimal(w, metric_load(&cell[f->row->n_bounds + 1]), f->row->decimals);
    writer_char(w, '\n');
    metric_put_sample(w, f, "_count", values);
    writer_i64(w, count);
    writer_char(w, '\n');
}

static bool metric_is_empty(const int64_t *cell, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        if (metric_load(&cell[i]) != 0)
            return false;
    }
    return true;
}

static bool metric_is_closed(const struct family *f)
{
    for (size_t i = 0; i < METRIC_LABELS; i++) {
        const struct metric_label *l = &f->m->table->labels[f->row->labels[i]];

        if (l->name && !l->values)
            return false;
    }
    return true;
}

static void metric_put_family(struct writer *w, const struct family *f)
{
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    size_t n[METRIC_LABELS] = {metric_values_now(f->m, f->row->labels[0]),
                               metric_values_now(f->m, f->row->labels[1])};
    bool closed = metric_is_closed(f);

    writer_printf(w, "# HELP %s ", f->name);
    metric_put_escaped(w, f->row->help, false);
    writer_printf(w, "\n# TYPE %s %s\n", f->name, kinds[f->row->kind]);
    for (unsigned a = 0; a < n[0]; a++) {
        for (unsigned b = 0; b < n[1]; b++) {
            const unsigned values[METRIC_LABELS] = {a, b};
            const int64_t *cell = metric_cell_at(f->m, f->number, a, b);

            if (!closed && metric_is_empty(cell, f->m->places[f->number].width))
                continue;
            if (f->row->kind == METRIC_HISTOGRAM) {
                metric_put_histogram(w, f, values, cell);
                continue;
            }
            metric_put_sample(w, f, "", values);
            writer_decimal(w, metric_load(cell), f->row->decimals);
            writer_char(w, '\n');
        }
    }
}

void metrics_write(const struct metrics *m, struct writer *w)
{
    for (unsigned i = 0; i < m->table->n_rows && w->rc == 0; i++) {
        const struct metric_row *row = &m->table->rows[i];
        struct family f = {.m = m, .row = row, .number = i, .name = row->name};

        metric_put_family(w, &f);
        if (!row->alias)
            continue;
        f.name = row->alias;
        f.alias = true;
        metric_put_family(w, &f);
    }
}
