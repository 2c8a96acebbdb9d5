/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 6: hand the sealed request to the provider's socket and wait for its first content. A
 * provider that fails before that is left out and the request goes back to route, with the same
 * hold; at most FLOW_MAX_ATTEMPTS times. A provider's own 4xx is the request's fault and final. */
#include <stdio.h>

#include "base/num.h"
#include "coordinator/flow/flow.h"
#include "net/ws.h"

static const struct attempt_ops attempt_ops;

static struct request *request_of(struct attempt *a)
{
    return list_owner(a - a->number, struct request, attempts);
}

void flow_attempt_end(struct request *r, bool cancel)
{
    loop_timer_clear(r->coord->loop, &r->attempt_timer);
    if (r->live)
        registry_detach(r->live, cancel);
    r->live = NULL;
    box_session_close(r->session);
    r->session = NULL;
    buf_wipe(&r->early);
    r->early_has_text = false;
}

enum flow_verdict flow_route_again(struct request *r)
{
    if (r->n_attempts >= FLOW_MAX_ATTEMPTS)
        return FLOW_FAIL;
    flow_move(r, STAGE_ROUTE);
    return FLOW_NEXT;
}

/* The attempt failed before any content: try another provider, or report r->error. */
static void try_again(struct request *r, const char *why, bool cancel)
{
    flow_attempt_end(r, cancel);
    if (r->n_attempts >= FLOW_MAX_ATTEMPTS) {
        flow_fail(r);
        return;
    }
    log_event(r->coord->log, LOG_INFO, EV_REQUEST_RETRIED, KV_CSTR("request", r->id),
              KV_CSTR("provider", r->provider_id), KV_CSTR("why", why));
    flow_move(r, STAGE_ROUTE);
}

void flow_attempt_failed(struct request *r, const char *why, bool cancel)
{
    if (r->live) /* otherwise the registry knows */
        provider_failed(r->live->provider);
    if (r->stage == STAGE_RELAY) {
        r->outcome = LEDGER_PROVIDER_FAILED;
        flow_fail(r);
    } else if (r->stage == STAGE_DISPATCH) {
        try_again(r, why, cancel);
    }
}

static void on_timeout(void *ud)
{
    struct request *r = ud;
    const struct settings *s = r->coord->settings;

    if (r->stage != STAGE_DISPATCH)
        return;
    api_error_set(&r->error, API_TIMEOUT, NULL, "no provider answered within %lld ms",
                  (long long)(r->accepted ? s->first_token_timeout_ms : s->accept_timeout_ms));
    flow_attempt_failed(r, "timeout", true);
}

/* The provider has taken the request on, in words or by answering. */
static void note_accepted(struct request *r)
{
    if (r->stage != STAGE_DISPATCH || r->accepted)
        return;
    r->accepted = true;
    loop_timer_set(r->coord->loop, &r->attempt_timer,
                   r->coord->settings->first_token_timeout_ms * 1000, on_timeout, r);
}

static void on_accepted(struct attempt *a, const struct msg_inference_accepted *m)
{
    struct request *r = request_of(a);

    note_accepted(r);
    if (r->stage == STAGE_DISPATCH && m->prompt_tokens > 0)
        r->prompt_tokens = num_min(m->prompt_tokens, r->prompt_ceiling);
}

static void on_chunk(struct attempt *a, const struct msg_inference_response_chunk *m)
{
    struct request *r = request_of(a);

    note_accepted(r);
    flow_chunk(r, m);
}

static void on_completed(struct attempt *a, const struct msg_inference_complete *m)
{
    struct request *r = request_of(a);

    r->live = NULL; /* the registry has let go of it */
    r->provider_done = true;
    loop_timer_clear(r->coord->loop, &r->attempt_timer); /* the hold's commit may take longer */
    if (m->usage.prompt_tokens > 0)
        r->prompt_tokens = m->usage.prompt_tokens;
    r->usage_completion = m->usage.completion_tokens > 0 ? m->usage.completion_tokens : 0;
    r->se_signature = m->se_signature.p ? arena_dup(&r->region, m->se_signature) : m->se_signature;
    r->response_hash =
        m->response_hash.p ? arena_dup(&r->region, m->response_hash) : m->response_hash;
    if (r->stage == STAGE_DISPATCH || r->stage == STAGE_RELAY)
        flow_resume(r);
}

/* A code stands in the log: a word, in which no text of a prompt can hide. */
static bool is_code(struct str code)
{
    bool ok = code.n > 0 && code.n < sizeof((struct api_error *)0)->code;

    for (size_t i = 0; ok && i < code.n; i++)
        ok = (code.p[i] >= 'a' && code.p[i] <= 'z') || (code.p[i] >= '0' && code.p[i] <= '9') ||
             code.p[i] == '_';
    return ok;
}

/* Of a provider's words, behind ours and alone. */
enum { PROVIDER_FAILURE_BYTES = 200, PROVIDER_ERROR_BYTES = 300 };

/* A client error of the provider is passed on; anything else says nothing about the request. */
static bool final_error(struct request *r, const struct msg_inference_error *m)
{
    if (m->status_code < 400 || m->status_code > 499) {
        api_error_set(&r->error, API_PROVIDER, NULL, "the provider failed: %.*s",
                      STR_ARG(str_cut(m->error, PROVIDER_FAILURE_BYTES)));
        return false;
    }
    api_error_set(&r->error, API_BAD_REQUEST, NULL, "%.*s",
                  STR_ARG(str_cut(m->error, PROVIDER_ERROR_BYTES)));
    r->error.status = (int)m->status_code;
    if (is_code(m->code))
        snprintf(r->error.code, sizeof r->error.code, "%.*s", STR_ARG(m->code));
    snprintf(r->error.param, sizeof r->error.param, "%.*s",
             STR_ARG(str_cut(m->param, sizeof r->error.param - 1)));
    return true;
}

static void on_failed(struct attempt *a, const struct msg_inference_error *m)
{
    struct request *r = request_of(a);
    bool final = final_error(r, m);

    r->live = NULL;
    if (final)
        flow_cancel(r, LEDGER_PROVIDER_FAILED);
    else
        flow_attempt_failed(r, "provider error", false);
}

static void on_lost(struct attempt *a, const char *why)
{
    struct request *r = request_of(a);

    r->live = NULL;
    api_error_set(&r->error, API_PROVIDER, NULL, "%s", why);
    flow_attempt_failed(r, "provider lost", false);
}

static const struct attempt_ops attempt_ops = {.accepted = on_accepted,
                                               .chunk = on_chunk,
                                               .completed = on_completed,
                                               .failed = on_failed,
                                               .lost = on_lost};

static enum flow_verdict hand_over(struct request *r)
{
    int64_t start = clock_mono_us(&r->coord->clock);
    struct attempt *a = &r->attempts[r->n_attempts];
    int rc;

    a->ops = &attempt_ops;
    a->number = r->n_attempts;
    r->tried[r->n_attempts++] = offer_provider_serial(r->chosen);
    r->accepted = false;
    r->provider_done = false;
    r->chunks_uncounted = false;
    rc = registry_attach(a, r->chosen);
    if (rc == 0) {
        r->live = a;
        rc = ws_send(provider_ws(a->provider), buf_view(&r->frame));
    }
    r->times.sent_at = clock_mono_us(&r->coord->clock);
    r->times.dispatch_us += r->times.sent_at - start;
    buf_clear(&r->frame);
    if (rc < 0) {
        flow_attempt_end(r, false);
        api_error_set(&r->error, API_PROVIDER, NULL, "the provider's connection takes no more");
        return flow_route_again(r);
    }
    loop_timer_set(r->coord->loop, &r->attempt_timer, r->coord->settings->accept_timeout_ms * 1000,
                   on_timeout, r);
    return FLOW_WAIT;
}

enum flow_verdict flow_dispatch(struct request *r)
{
    if (r->provider_done) /* finished without any content */
        return FLOW_NEXT;
    return r->live ? FLOW_WAIT : hand_over(r);
}
