/* SPDX-License-Identifier: Apache-2.0 */
/* What of a request is counted and logged, and where its time went. One outcome a request, at its
 * end (FR-43); never a word of its text. */
#include "coordinator/flow/flow.h"

static const enum attempt_end record_ends[] = {
    [METRIC_ATTEMPT_COMPLETED] = ATTEMPT_SERVED,
    [METRIC_ATTEMPT_EMPTY] = ATTEMPT_FAULT,
    [METRIC_ATTEMPT_CANCELLED] = ATTEMPT_BLAMELESS,
    [METRIC_ATTEMPT_REFUSED_REQUEST] = ATTEMPT_BLAMELESS,
    [METRIC_ATTEMPT_REFUSED_BUSY] = ATTEMPT_REFUSED_LOAD,
    [METRIC_ATTEMPT_FAILED] = ATTEMPT_FAULT,
    [METRIC_ATTEMPT_ACCEPT_TIMEOUT] = ATTEMPT_FAULT,
    [METRIC_ATTEMPT_FIRST_TOKEN_TIMEOUT] = ATTEMPT_FAULT,
    [METRIC_ATTEMPT_TOKEN_TIMEOUT] = ATTEMPT_FAULT,
    [METRIC_ATTEMPT_DISCONNECTED] = ATTEMPT_FAULT,
    [METRIC_ATTEMPT_DISTRUSTED] = ATTEMPT_FAULT,
    [METRIC_ATTEMPT_NOT_SENT] = ATTEMPT_FAULT,
};

enum attempt_end record_end_of(enum metrics_ATTEMPT result)
{
    return record_ends[result];
}

void record_attempt(struct request *r, enum metrics_ATTEMPT result)
{
    metrics_add(r->coord->metrics, M_ATTEMPTS, result, 0, 1);
}

void record_queue_left(struct request *r)
{
    int64_t waited_us = clock_mono_us(&r->coord->clock) - r->times.queued_at;

    r->reply.timing.queue_us += waited_us;
    metrics_observe(r->coord->metrics, M_QUEUE_TIME, r->model->metric, 0, waited_us);
}

void record_first_content(struct request *r)
{
    r->times.first_content = clock_mono_us(&r->coord->clock);
    r->reply.timing.provider_us = r->times.first_content - r->tries.sent_us;
    metrics_observe(r->coord->metrics, M_TTFT, r->model->metric, 0,
                    r->times.first_content - r->times.received);
}

void record_reserved(struct request *r)
{
    struct metrics *m = r->coord->metrics;

    metrics_observe(m, M_STORE_DEBIT, 0, 0, r->reply.timing.reserve_us);
    if (r->hold.reserve.op.rc == 0)
        metrics_observe(m, M_RESERVED, 0, 0, r->hold.reserve.ceiling_micro_usd);
}

void record_clamped(struct request *r)
{
    const struct reply_bill *bill = &r->reply.bill;
    int64_t cost;
    int rc =
        price_cost(&r->hold.reserve.price, bill->prompt_tokens, bill->completion_tokens, &cost);

    if (rc < 0 || cost > r->hold.reserve.ceiling_micro_usd)
        metrics_add(r->coord->metrics, M_CLAMPED, 0, 0, 1);
}

void record_settled(struct request *r)
{
    const struct ledger_settle *s = &r->hold.settle;
    struct metrics *m = r->coord->metrics;

    metrics_observe(m, M_STORE_CREDIT, 0, 0, s->op.committed_us - r->times.settle_start);
    metrics_observe(m, M_REFUNDED, 0, 0, s->refund_micro_usd);
    if (r->outcome == LEDGER_RELEASED) {
        metrics_add(m, M_REFUNDS, 0, 0, 1);
        return;
    }
    metrics_observe(m, M_CREDITED, 0, 0, s->payout_micro_usd);
    metrics_observe(m, M_FEE, 0, 0, s->fee_micro_usd);
}

/* --- the end --- */

static unsigned record_outcome(const struct request *r)
{
    if (r->outcome == LEDGER_COMPLETED)
        return METRIC_OUTCOME_COMPLETED;
    if (r->consumer_gone)
        return METRIC_OUTCOME_CANCELLED;
    if (r->outcome != LEDGER_RELEASED)
        return METRIC_OUTCOME_PARTIAL;
    return metrics_outcome(r->error.id);
}

static void record_completed(const struct request *r, unsigned model, int64_t total_us)
{
    const struct reply_bill *bill = &r->reply.bill;
    struct metrics *m = r->coord->metrics;

    metrics_add(m, M_ANSWERS, r->tries.finish, model, 1);
    metrics_observe(m, M_LATENCY, model, 0, total_us);
    metrics_observe(m, M_REQUEST_PROMPT, model, 0, bill->prompt_tokens);
    metrics_observe(m, M_REQUEST_COMPLETION, model, 0, bill->completion_tokens);
    if (bill->completion_tokens > 1)
        metrics_observe(m, M_TOKEN_TIME, model, 0,
                        (r->tries.last_chunk_us - r->tries.first_content_us) /
                            (bill->completion_tokens - 1));
}

void record_end(struct request *r)
{
    const struct reply_bill *bill = &r->reply.bill;
    int64_t total_us = clock_mono_us(&r->coord->clock) - r->times.received;
    unsigned model = r->model ? r->model->metric : METRIC_VALUE_OTHER;
    struct metrics *m = r->coord->metrics;

    metrics_add(m, M_REQUESTS, record_outcome(r), model, 1);
    if (r->outcome != LEDGER_RELEASED) {
        metrics_add(m, M_PROMPT_TOKENS, model, 0, bill->prompt_tokens);
        metrics_add(m, M_COMPLETION_TOKENS, model, 0, bill->completion_tokens);
    }
    if (r->outcome == LEDGER_COMPLETED)
        record_completed(r, model, total_us);
    /* Strangers can cause any number of refusals: their lines have a limit (L8). */
    log_event(r->coord->log, LOG_INFO, r->account ? EV_REQUEST_DONE : EV_REQUEST_REFUSED,
              KV_CSTR("request", r->id), KV_CSTR("trace", r->trace_id),
              KV_CSTR("outcome", ledger_outcome_name(r->outcome)),
              KV_INT("status", r->error.id == API_OK ? 200 : r->error.status),
              KV_CSTR("code", r->error.code), KV_CSTR("model", r->model ? r->model->id : ""),
              KV_CSTR("provider", r->reply.source.provider_id), KV_INT("attempts", r->tries.n),
              KV_INT("prompt_tokens", bill->prompt_tokens),
              KV_INT("completion_tokens", bill->completion_tokens),
              KV_INT("cost_micro_usd", bill->cost_micro_usd), KV_INT("total_us", total_us));
}
