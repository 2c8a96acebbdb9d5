/* SPDX-License-Identifier: Apache-2.0 */
/* The gauges, from the state itself. */
#include "base/log_sink.h"
#include "coordinator/api/api.h"
#include "coordinator/api/monitor.h"
#include "coordinator/api/ready.h"
#include "coordinator/metrics.h"
#include "coordinator/registry/registry.h"

/* Models beyond those that have a number of their own add up as "other". */
static void gauges_of_models(struct coord *c)
{
    const struct model *m;
    size_t cursor = 0;

    metrics_clear(c->metrics, M_RUNNING);
    metrics_clear(c->metrics, M_WAITING);
    while ((m = registry_model_next(c->registry, &cursor))) {
        metrics_add(c->metrics, M_RUNNING, m->metric, 0,
                    (int64_t)m->n_requests - (int64_t)m->n_waiting);
        metrics_add(c->metrics, M_WAITING, m->metric, 0, (int64_t)m->n_waiting);
    }
}

static void gauges_of_store(struct coord *c)
{
    struct store_stats stats = store_stats(c->hub->store);

    metrics_set(c->metrics, M_STORE_BATCHES, 0, 0, (int64_t)stats.batches);
    metrics_set(c->metrics, M_STORE_FAILED, 0, 0, (int64_t)stats.failed_batches);
    metrics_set(c->metrics, M_STORE_QUEUED, 0, 0, (int64_t)stats.queued_now);
}

static void gauges_of_log(struct coord *c)
{
    const struct log_sink *sink = c->log->sink;

    if (!sink)
        return;
    metrics_set(c->metrics, M_LOG_DROPPED, METRIC_DROPPED_RATE, 0, (int64_t)sink->dropped_rate);
    metrics_set(c->metrics, M_LOG_DROPPED, METRIC_DROPPED_FULL, 0, (int64_t)sink->dropped_full);
}

/* What there is once. */
static void gauges_of_process(struct coord *c)
{
    gauges_of_store(c);
    metrics_set(c->metrics, M_READY, 0, 0, ready_why_not(c->ready) == NULL);
    metrics_set(c->metrics, M_START_TIME, 0, 0, c->hub->started_wall_us);
}

void monitor_refresh(struct coord *c)
{
    const struct registry_counts providers = registry_counts(c->registry);

    gauges_of_models(c);
    gauges_of_log(c);
    if (c->number == 0)
        gauges_of_process(c);
    metrics_set(c->metrics, M_CONNECTED, 0, 0, (int64_t)providers.connected);
    metrics_set(c->metrics, M_TRUSTED, 0, 0, (int64_t)providers.trusted);
    metrics_set(c->metrics, M_ROUTABLE, 0, 0, (int64_t)providers.routable);
}
