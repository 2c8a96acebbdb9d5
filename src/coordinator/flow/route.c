/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 4: choose a provider for the next attempt. Without a free slot the request waits in its
 * model's queue (admit/queue.c) and comes back here. */
#include "base/num.h"
#include "coordinator/flow/flow.h"

enum { ROUTE_RETRY_AFTER_S = 5 };

static enum flow_verdict route_no_capacity(struct request *r)
{
    r->error.retry_after_s = ROUTE_RETRY_AFTER_S;
    return FLOW_FAIL;
}

static void route_called(struct queue_ticket *t)
{
    flow_resume(list_owner(t, struct request, ticket));
}

static void route_expired(struct queue_ticket *t)
{
    struct request *r = list_owner(t, struct request, ticket);

    r->reply.timing.queue_us += clock_mono_us(&r->coord->clock) - r->times.queued_at;
    api_error_set(&r->error, API_NO_CAPACITY, "model",
                  "no provider of `%s` at trust level %s had a free slot within %lld ms; try again "
                  "later",
                  r->model->id, trust_name(r->min_trust),
                  (long long)(clock_mono_us(&r->coord->clock) - r->times.received) / 1000);
    (void)route_no_capacity(r);
    flow_fail(r, LEDGER_RELEASED);
}

/* The time in the queue counts from the receipt of the request, also after a failed attempt, so
 * that the refusal leaves before the consumer gives up. */
static enum flow_verdict route_wait(struct request *r)
{
    const struct settings *s = r->coord->settings;
    const struct queue_limits limits = {s->queue_max, s->queue_max_per_account};
    int64_t now = clock_mono_us(&r->coord->clock);
    int64_t until = num_min(r->times.received + s->queue_wait_ms * 1000,
                            num_min(r->times.content_limit, r->times.deadline));
    int rc;

    if (queue_waits(&r->ticket))
        return FLOW_WAIT;
    r->ticket = (struct queue_ticket){.loop = r->coord->loop,
                                      .model = r->model,
                                      .account = r->account,
                                      .min_trust = r->min_trust,
                                      .called = route_called,
                                      .expired = route_expired};
    rc = queue_wait(&r->ticket, &limits, until > now ? until - now : 0);
    if (rc == 0) {
        r->times.queued_at = now;
        (void)flow_look_elsewhere(r); /* after it has published that it waits: directory.h */
        return FLOW_WAIT;
    }
    if (rc == ERR_LIMIT)
        api_error_set(&r->error, API_NO_CAPACITY, NULL,
                      "%lld requests of this account already wait for a free slot, which is the "
                      "limit; try again when some of them have ended",
                      (long long)s->queue_max_per_account);
    else
        api_error_set(&r->error, API_NO_CAPACITY, "model",
                      "%lld requests already wait for `%s`, which is the limit; try again later",
                      (long long)s->queue_max, r->model->id);
    return route_no_capacity(r);
}

/* From here on there is a present attempt. What an earlier one left behind is not its own. */
static void route_begin_attempt(struct request *r, struct offer *o)
{
    struct request_attempts *t = &r->tries;

    if (queue_waits(&r->ticket)) {
        queue_leave(&r->ticket);
        record_queue_left(r);
    }
    t->chosen = o;
    t->items[t->n] = (struct attempt){.number = t->n};
    t->serial = offer_provider_serial(o);
    t->n++;
    t->chunks_uncounted = false;
    t->text_bytes = t->claimed_tokens = t->relayed_tokens = 0;
    t->prompt_tokens = t->usage_completion = 0;
    t->sent_us = t->first_content_us = t->last_chunk_us = r->times.first_content = 0;
    r->error = (struct api_error){0};
}

enum flow_verdict flow_route(struct request *r)
{
    const struct request_attempts *t = &r->tries;
    int64_t start = clock_mono_us(&r->coord->clock);
    /* Nobody is passed by: those who wait are called as soon as a slot is free that would do for
     * them (queue_call), so a slot that is free now is none of theirs. */
    const struct route_ask ask = {.min_trust = r->min_trust,
                                  .tokens = flow_prompt_tokens_least(r),
                                  .exclude = t->tried,
                                  .n_exclude = t->n_tried};
    struct offer *o = registry_choose(r->model, &ask);

    start = clock_mono_us(&r->coord->clock) - start;
    r->reply.timing.route_us += start;
    metrics_observe(r->coord->metrics, M_ROUTING_TIME, 0, 0, start);
    if (o) {
        route_begin_attempt(r, o);
        return FLOW_NEXT;
    }
    if (!queue_waits(&r->ticket) && flow_place_again(r))
        return FLOW_WAIT;
    if (t->n_tried > 0 && !registry_may_serve(r->model, &ask) && !flow_may_be_served_elsewhere(r))
        return FLOW_FAIL; /* r->error says what went wrong at the last provider */
    return route_wait(r);
}
