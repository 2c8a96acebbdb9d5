/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/metrics.h"

/* Four readings of one table: the sets of values, the labels, the bounds, the rows. */

#define LABEL(id, name, alias) static const char *const metrics_values_##id[] = {
#define VALUE(id, text)        [METRIC_##id] = (text),
#define END \
    }       \
    ;
#define DYNAMIC(id, name, alias, companion, max)
#include "coordinator/metrics.def"
#undef LABEL
#undef VALUE
#undef END
#undef DYNAMIC

#define METRICS_COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static const struct metric_label metrics_labels[] = {
    [ML_NONE] = {NULL},
#define LABEL(id, name_, alias)                 \
    [ML_##id] = {.name = (name_),               \
                 .alias_name = (alias),         \
                 .values = metrics_values_##id, \
                 .n = METRICS_COUNT_OF(metrics_values_##id)},
#define VALUE(id, text)
#define END
#define DYNAMIC(id, name_, alias, companion_, max) \
    [ML_##id] = {.name = (name_), .alias_name = (alias), .companion = (companion_), .n = (max)},
#include "coordinator/metrics.def"
#undef LABEL
#undef VALUE
#undef END
#undef DYNAMIC
};

#define BOUNDS(id, ...) static const int64_t metrics_bounds_##id[] = {__VA_ARGS__};
#include "coordinator/metrics.def"
#undef BOUNDS

/* Counters and gauges have no buckets; nobody reads their bounds. */
#define METRICS_BOUNDS(id)     METRICS_BOUNDS_(metrics_bounds_##id)
#define METRICS_BOUNDS_(array) .bounds = (array), .n_bounds = METRICS_COUNT_OF(array)
static const int64_t metrics_bounds_NONE[] = {0};

static const struct metric_row metrics_rows[] = {
#define METRIC(id, kind_, name_, first, second, bounds_, decimals_, alias_, statsd_, dd_decimals, \
               help_)                                                                             \
    [M_##id] = {.name = "darkbloom_" name_,                                                       \
                .kind = METRIC_##kind_,                                                           \
                .labels = {ML_##first, ML_##second},                                              \
                .decimals = (decimals_),                                                          \
                METRICS_BOUNDS(bounds_),                                                          \
                .alias = (alias_),                                                                \
                .statsd = (statsd_),                                                              \
                .statsd_decimals = (dd_decimals),                                                 \
                .help = (help_)},
#include "coordinator/metrics.def"
#undef METRIC
};

const struct metric_table metrics_table = {metrics_rows, M_COUNT, metrics_labels, ML_COUNT};
