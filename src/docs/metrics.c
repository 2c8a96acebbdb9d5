/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/metrics.h"
#include "docs/docs.h"

static const char *const docs_metric_kinds[] = {
    [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

static void docs_metric_labels(struct page *p, const struct metric_row *row)
{
    const char *before = "";

    for (size_t i = 0; i < METRIC_LABELS; i++) {
        const struct metric_label *l = &metrics_table.labels[row->labels[i]];

        if (!l->name)
            continue;
        page_add(p, "%s[`%s`](#%s)", before, l->name, l->name);
        before = ", ";
    }
}

static void docs_metric_row(struct page *p, const struct metric_row *row)
{
    page_add(p, "| `%s` | %s | ", row->name, docs_metric_kinds[row->kind]);
    docs_metric_labels(p, row);
    page_add(p, " | ");
    if (row->alias)
        page_add(p, "`%s`", row->alias);
    page_add(p, " | ");
    if (row->statsd)
        page_add(p, "`darkbloom.%s`", row->statsd);
    page_add(p, " | %s |\n", row->help);
}

static void docs_metric_label(struct page *p, const struct metric_label *l)
{
    page_add(p, "## %s\n\n", l->name);
    if (l->alias_name)
        page_add(p, "`%s` in vLLM's names. ", l->alias_name);
    if (l->companion)
        page_add(p, "Beside it stands `%s`. ", l->companion);
    if (!l->values) {
        page_add(p, "Values found while running, at most %zu; later ones count as `other`.\n\n",
                 l->n);
        return;
    }
    for (size_t i = 0; i < l->n; i++)
        page_add(p, "%s`%s`", i ? ", " : "", l->values[i]);
    page_add(p, "\n\n");
}

void docs_metrics(struct page *p)
{
    page_add(p, "# Metrics of the coordinator\n\nOn `GET /metrics` in Prometheus' text format, and "
                "sent as DogStatsD if the settings say where to. No label holds a key, an account, "
                "a prompt or an address.\n\n"
                "| metric | kind | labels | as vLLM calls it | DogStatsD | means |\n"
                "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < metrics_table.n_rows; i++)
        docs_metric_row(p, &metrics_table.rows[i]);
    page_add(p, "\n# Labels\n\n");
    for (size_t i = 1; i < metrics_table.n_labels; i++)
        docs_metric_label(p, &metrics_table.labels[i]);
}
