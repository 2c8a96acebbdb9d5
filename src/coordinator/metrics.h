/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's metrics: the rows of metrics.def. Recording is an array increment
 * (base/metric.h):
 *
 *     metrics_add(c->metrics, M_REQUESTS, metrics_outcome(r->error.id), r->model->metric, 1);
 *     metrics_observe(c->metrics, M_TTFT, model->metric, 0, first_content_us - received_us);
 *     metrics_add(reg->metrics, M_CHALLENGES, TRUST_REASON_CHALLENGE_TIMEOUT, 0, 1);
 *
 * The two numbers behind the row are its labels' values in the order of the table, 0 where it has
 * no label: enumerators METRIC_… of a closed set, or the number that metrics_value gave when the
 * model, version or provider appeared (keep it there; register what a *trusted* peer says only). A
 * NULL instance records nothing, so that parts can be tested without one.
 *
 * Rules. A request is counted once, at its end, wherever it ended (FR-43). Gauges are not counted
 * up and down but set from the state itself, by metrics_refresh, before anybody looks: a count that
 * is kept twice drifts (L05). */
#ifndef DARKBLOOM_COORDINATOR_METRICS_H
#define DARKBLOOM_COORDINATOR_METRICS_H

#include "attest/trust.h"
#include "base/metric.h"
#include "proto/api_error.h"

enum metrics_label {
    ML_NONE,
#define LABEL(id, name, alias) ML_##id,
#define VALUE(id, text)
#define END
#define DYNAMIC(id, name, alias, companion, max) ML_##id,
#include "coordinator/metrics.def"
#undef LABEL
#undef VALUE
#undef END
#undef DYNAMIC
    ML_COUNT
};

/* enum metrics_ATTEMPT { METRIC_ATTEMPT_COMPLETED, … } for each closed set. */
#define LABEL(id, name, alias) \
    enum metrics_##id          \
    {
#define VALUE(id, text) METRIC_##id,
#define END \
    }       \
    ;
#define DYNAMIC(id, name, alias, companion, max)
#include "coordinator/metrics.def"
#undef LABEL
#undef VALUE
#undef END
#undef DYNAMIC

enum metrics_row {
#define METRIC(id, ...) M_##id,
#include "coordinator/metrics.def"
#undef METRIC
    M_COUNT
};

extern const struct metric_table metrics_table;

/* The outcome of a request that ended with this error; API_OK: it was answered in full. */
static inline unsigned metrics_outcome(enum api_error_id id)
{
    return id == API_OK ? METRIC_OUTCOME_COMPLETED
                        : (unsigned)METRIC_OUTCOME_CANCELLED + (unsigned)id;
}

#endif
