/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 6: hand the sealed request to the provider's socket and wait for its first content. A
 * provider that fails while the consumer has seen nothing is left out and the request goes back to
 * route with the same hold: FLOW_MAX_ATTEMPTS attempts at most, and FLOW_MAX_LOST of them at
 * providers that vanished with the prompt. What a provider says of a failure is judged by its
 * closed code alone (proto/provider_error.h); its words go nowhere. */
#include "base/num.h"
#include "coordinator/flow/flow.h"
#include "net/ws.h"
#include "proto/provider_error.h"

enum {
    DISPATCH_BYTES_PER_TOKEN = 4,
    DISPATCH_LOOK_AGAIN_US = 500000 /* for another provider, past the limit to the first token */
};

static struct request *dispatch_request_of(struct attempt *a)
{
    return list_owner(a - a->number, struct request, tries.items);
}

/* --- the end of an attempt --- */

static struct attempt_result dispatch_result(const struct request *r, enum attempt_end end)
{
    const struct request_attempts *t = &r->tries;
    int64_t now = clock_mono_us(&r->coord->clock);
    struct attempt_result result = {
        .end = end, .prompt_tokens = t->prompt_tokens, .completion_tokens = t->relayed_tokens};

    if (t->first_content_us > 0) {
        result.ttft_us = t->first_content_us - t->sent_us;
        result.decode_us = now - t->first_content_us;
    }
    return result;
}

static void dispatch_end(struct request *r, enum attempt_end end, bool cancel)
{
    struct request_attempts *t = &r->tries;
    struct attempt *live = request_live(r);
    const struct attempt_result result = dispatch_result(r, end);

    loop_timer_clear(r->coord->loop, &t->timer);
    attempt_move(r, ATTEMPT_NONE);
    if (live)
        registry_detach(live, &result, cancel);
    box_session_close(t->session);
    t->session = NULL;
    buf_wipe(&t->early);
    t->early_has_text = false;
}

void flow_attempt_end(struct request *r, enum metrics_ATTEMPT result, bool cancel)
{
    bool answering = r->tries.state == ATTEMPT_ANSWERING;

    if (request_live(r))
        record_attempt(r, result);
    /* Whoever was cut in the middle of an answer was serving. */
    dispatch_end(r, answering ? ATTEMPT_SERVED : record_end_of(result), cancel);
}

/* Whether the consumer has seen a part of this answer: no other provider can go on with it. */
static bool dispatch_seen(const struct request *r)
{
    return r->reply.state == REPLY_CONTENT && !r->reply.ops->restart;
}

/* A prompt takes its time to be read: each token earns a little more. */
static int64_t dispatch_prompt_us(const struct request *r)
{
    int64_t tokens = r->tries.prompt_tokens > 0
                         ? r->tries.prompt_tokens
                         : (int64_t)r->chat.prompt_bytes / DISPATCH_BYTES_PER_TOKEN;

    return tokens * r->coord->settings->first_token_per_token_us;
}

/* When the consumer's patience ends. */
static int64_t dispatch_content_limit(const struct request *r)
{
    return num_min(r->times.content_limit + dispatch_prompt_us(r), r->times.deadline);
}

static bool dispatch_may_retry(const struct request *r)
{
    return !dispatch_seen(r) && clock_mono_us(&r->coord->clock) < dispatch_content_limit(r) &&
           r->reply.x && !r->coord->stopping && r->tries.n < FLOW_MAX_ATTEMPTS &&
           r->tries.n_lost < FLOW_MAX_LOST;
}

void flow_attempt_failed(struct request *r, enum metrics_ATTEMPT result, const char *why,
                         bool cancel)
{
    struct request_attempts *t = &r->tries;
    enum attempt_end end = record_end_of(result);

    record_attempt(r, result);
    /* One that refused for load may be asked again once it has room; one that failed may not. */
    if (end == ATTEMPT_FAULT)
        t->tried[t->n_tried++] = t->serial;
    dispatch_end(r, end, cancel);
    if (!dispatch_may_retry(r)) {
        flow_fail(r, LEDGER_PROVIDER_FAILED);
        return;
    }
    log_event(r->coord->log, LOG_INFO, EV_REQUEST_RETRIED, KV_CSTR("request", r->id),
              KV_CSTR("provider", r->reply.source.provider_id), KV_CSTR("why", why));
    if (r->reply.ops->restart)
        r->reply.ops->restart(&r->reply);
    r->reply.answering = false;
    flow_move(r, STAGE_ROUTE);
}

/* --- limits of time --- */

static void dispatch_arm(struct request *r, int64_t us);

static bool dispatch_another_is_free(const struct request *r)
{
    uint64_t exclude[FLOW_MAX_ATTEMPTS + 1];
    size_t n = r->tries.n_tried;

    for (size_t i = 0; i < n; i++)
        exclude[i] = r->tries.tried[i];
    exclude[n++] = r->tries.serial;
    return registry_has_free(r->model, &(struct route_ask){.min_trust = r->min_trust,
                                                           .exclude = exclude,
                                                           .n_exclude = n}) ||
           flow_is_free_elsewhere(r);
}

static void dispatch_timed_out(struct request *r, enum metrics_ATTEMPT result, const char *why,
                               int64_t limit_us)
{
    api_error_set(&r->error, API_TIMEOUT, NULL, "no provider answered within %lld ms",
                  (long long)limit_us / 1000);
    flow_attempt_failed(r, result, why, true);
}

/* Past its limit a provider is left for another one that is free. Where there is none it is waited
 * for, up to the request's own limit: a slow machine is better than none. */
static void dispatch_first_content_overdue(struct request *r)
{
    int64_t now = clock_mono_us(&r->coord->clock);
    int64_t until = dispatch_content_limit(r);

    if (now >= until || (dispatch_may_retry(r) && dispatch_another_is_free(r)))
        dispatch_timed_out(r, METRIC_ATTEMPT_FIRST_TOKEN_TIMEOUT, "first_token_timeout",
                           now - r->times.received);
    else
        dispatch_arm(r, num_min(DISPATCH_LOOK_AGAIN_US, until - now));
}

/* Between chunks the timer is not moved with each: when it fires it looks when the last one came.
 */
static void dispatch_gap_check(struct request *r)
{
    int64_t limit_us = r->coord->settings->token_gap_timeout_ms * 1000;
    int64_t gap_us = clock_mono_us(&r->coord->clock) - r->tries.last_chunk_us;

    if (gap_us >= limit_us) {
        api_error_set(&r->error, API_TIMEOUT, NULL,
                      "the provider stopped in the middle of its answer: nothing came for %lld ms",
                      (long long)gap_us / 1000);
        flow_attempt_failed(r, METRIC_ATTEMPT_TOKEN_TIMEOUT, "token_gap_timeout", true);
        return;
    }
    dispatch_arm(r, limit_us - gap_us);
}

static void dispatch_on_timer(void *ud)
{
    struct request *r = ud;

    if (r->tries.state == ATTEMPT_SENT)
        dispatch_timed_out(r, METRIC_ATTEMPT_ACCEPT_TIMEOUT, "accept_timeout",
                           r->coord->settings->accept_timeout_ms * 1000);
    else if (r->tries.state == ATTEMPT_ACCEPTED)
        dispatch_first_content_overdue(r);
    else if (r->tries.state == ATTEMPT_ANSWERING)
        dispatch_gap_check(r);
}

static void dispatch_arm(struct request *r, int64_t us)
{
    loop_timer_set(r->coord->loop, &r->tries.timer, us, dispatch_on_timer, r);
}

/* --- what the provider says --- */

/* It has taken the request on, in words or by answering. */
static void dispatch_note_accepted(struct request *r)
{
    int64_t limit_us, left_us;

    if (r->tries.state != ATTEMPT_SENT)
        return;
    attempt_move(r, ATTEMPT_ACCEPTED);
    limit_us = r->coord->settings->first_token_timeout_ms * 1000 + dispatch_prompt_us(r);
    left_us = dispatch_content_limit(r) - clock_mono_us(&r->coord->clock);
    dispatch_arm(r, num_count(left_us, limit_us));
}

void flow_note_content(struct request *r)
{
    if (r->tries.state != ATTEMPT_ACCEPTED)
        return;
    attempt_move(r, ATTEMPT_ANSWERING);
    r->tries.first_content_us = clock_mono_us(&r->coord->clock);
    registry_content(request_live(r));
    dispatch_arm(r, r->coord->settings->token_gap_timeout_ms * 1000);
}

static void dispatch_on_accepted(struct attempt *a, const struct msg_inference_accepted *m)
{
    struct request *r = dispatch_request_of(a);

    if (m->prompt_tokens > 0 && r->tries.state <= ATTEMPT_ACCEPTED)
        r->tries.prompt_tokens = num_min(m->prompt_tokens, r->hold.prompt_ceiling);
    dispatch_note_accepted(r);
}

static void dispatch_on_chunk(struct attempt *a, const struct msg_inference_response_chunk *m)
{
    struct request *r = dispatch_request_of(a);

    dispatch_note_accepted(r);
    flow_chunk(r, m);
}

static struct str dispatch_keep(struct request *r, struct str s)
{
    return s.p ? arena_dup(&r->region, s) : s;
}

/* Whatever usage it claims, an answer without content is none (R2). */
static void dispatch_on_completed(struct attempt *a, const struct msg_inference_complete *m)
{
    struct request *r = dispatch_request_of(a);
    struct request_attempts *t = &r->tries;
    const struct attempt_result result = dispatch_result(r, ATTEMPT_SERVED);

    if (t->state != ATTEMPT_ANSWERING) {
        api_error_set(&r->error, API_PROVIDER, NULL, "the provider finished without an answer");
        flow_attempt_failed(r, METRIC_ATTEMPT_EMPTY, "empty_answer", false);
        return;
    }
    record_attempt(r, METRIC_ATTEMPT_COMPLETED);
    registry_detach(a, &result, false);
    attempt_move(r, ATTEMPT_COMPLETED);
    loop_timer_clear(r->coord->loop, &t->timer); /* the hold's commit may take longer */
    if (m->usage.prompt_tokens > 0)
        t->prompt_tokens = num_min(m->usage.prompt_tokens, r->hold.prompt_ceiling);
    t->usage_completion = m->usage.completion_tokens > 0 ? m->usage.completion_tokens : 0;
    r->reply.bill.se_signature = dispatch_keep(r, m->se_signature);
    r->reply.bill.response_hash = dispatch_keep(r, m->response_hash);
    flow_resume(r);
}

static void dispatch_on_failed(struct attempt *a, const struct msg_inference_error *m)
{
    struct request *r = dispatch_request_of(a);
    bool answered = r->tries.state == ATTEMPT_ANSWERING;
    struct provider_verdict v;

    provider_error_judge(m, &v);
    r->error = v.error;
    if (answered || v.class == PROVIDER_FAULT) { /* whoever has begun to answer could have */
        if (answered)
            api_error_set(&r->error, API_PROVIDER, NULL,
                          "the provider failed in the middle of its answer");
        flow_attempt_failed(r, METRIC_ATTEMPT_FAILED, v.reason, false);
    } else if (v.class == PROVIDER_REFUSED_LOAD) {
        flow_attempt_failed(r, METRIC_ATTEMPT_REFUSED_BUSY, v.reason, false);
    } else {
        flow_attempt_end(r, METRIC_ATTEMPT_REFUSED_REQUEST, false);
        flow_fail(r, LEDGER_RELEASED);
    }
}

static void dispatch_on_lost(struct attempt *a, const char *why)
{
    struct request *r = dispatch_request_of(a);

    attempt_move(r, ATTEMPT_NONE); /* the registry has let go of it */
    r->tries.n_lost++;
    api_error_set(&r->error, API_PROVIDER, NULL, "%s", why);
    flow_attempt_failed(r, METRIC_ATTEMPT_DISCONNECTED, "lost", false);
}

static const struct attempt_ops dispatch_ops = {.accepted = dispatch_on_accepted,
                                                .chunk = dispatch_on_chunk,
                                                .completed = dispatch_on_completed,
                                                .failed = dispatch_on_failed,
                                                .lost = dispatch_on_lost};

/* --- the hand-over --- */

static enum flow_verdict dispatch_hand_over(struct request *r)
{
    struct request_attempts *t = &r->tries;
    struct attempt *a = &t->items[t->n - 1];
    int64_t start = clock_mono_us(&r->coord->clock);
    int rc;

    a->ops = &dispatch_ops;
    rc = registry_attach(a, t->chosen);
    if (rc < 0) {
        api_error_set(&r->error, API_OVERLOADED, NULL,
                      "the coordinator has no memory left; try again");
        return FLOW_FAIL;
    }
    attempt_move(r, ATTEMPT_SENT);
    rc = ws_send(provider_ws(a->provider), buf_view(&t->frame));
    t->sent_us = clock_mono_us(&r->coord->clock);
    r->reply.timing.dispatch_us += t->sent_us - start;
    buf_clear(&t->frame);
    if (rc < 0) {
        api_error_set(&r->error, API_PROVIDER, NULL, "the provider's connection takes no more");
        flow_attempt_failed(r, METRIC_ATTEMPT_NOT_SENT, "connection_full", false);
        return FLOW_NEXT;
    }
    dispatch_arm(r, r->coord->settings->accept_timeout_ms * 1000);
    return FLOW_WAIT;
}

enum flow_verdict flow_dispatch(struct request *r)
{
    return r->tries.state == ATTEMPT_NONE ? dispatch_hand_over(r) : FLOW_WAIT;
}
