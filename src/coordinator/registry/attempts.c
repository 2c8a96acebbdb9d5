/* SPDX-License-Identifier: Apache-2.0 */
/* The attempts that run at a provider: their slots, and what their ends say of it. */
#include "base/num.h"
#include "coordinator/metrics.h"
#include "coordinator/registry/provider.h"

/* After refusals for load in a row: 1, 2, 4 … 30 s in which no heartbeat is believed. */
#define REFUSED_FIRST_US INT64_C(1000000)
#define REFUSED_MAX_US   INT64_C(30000000)
enum { REFUSED_MAX = 16 };

/* Later than all before, and comparable with the turns of other loops. */
static uint64_t registry_next_turn(struct registry *reg, int64_t now_us)
{
    uint64_t next = reg->last_turn + 1;

    reg->last_turn = (uint64_t)now_us > next ? (uint64_t)now_us : next;
    return reg->last_turn;
}

int registry_attach(struct attempt *a, struct offer *o)
{
    struct provider *p = o->provider;
    int64_t now = clock_mono_us(&p->reg->clock);
    int rc = map_put(&p->attempts_by_id, str_from(a->wire_id), a);

    if (rc < 0)
        return rc;
    a->offer = o;
    a->provider = p;
    a->probe = breaker_started(&p->record->breaker, now);
    a->predicted_us = (int64_t)(o->cost_ms * 1000);
    list_push_back(&p->attempts, &a->link);
    a->streams = ++p->n_attempts;
    o->turn = registry_next_turn(p->reg, now);
    offers_update(p);
    return 0;
}

void registry_content(struct attempt *a)
{
    struct breaker *b = &a->provider->record->breaker;

    if (b->window >= BREAKER_WINDOW_MAX)
        return;
    breaker_content(b);
    offers_update(a->provider);
}

/* It said that it had room and had none: believed full, until a heartbeat says otherwise; after
 * several in a row its heartbeats are not believed for a while either (FR-2). Says nothing of its
 * health (FR-7). */
static void attempt_was_refused(struct provider *p, int64_t now_us)
{
    int64_t us = REFUSED_FIRST_US;

    for (int i = 1; i < p->refused_in_row && us < REFUSED_MAX_US; i++)
        us *= 2;
    if (p->refused_in_row > 0)
        p->refused_until_us = now_us + num_min(us, REFUSED_MAX_US);
    if (p->refused_in_row < REFUSED_MAX)
        p->refused_in_row++;
    p->believed_room = p->n_attempts;
}

static void attempt_was_measured(const struct attempt *a, const struct attempt_result *result,
                                 int64_t now_us)
{
    struct provider *p = a->provider;
    struct offer *o = a->offer;
    /* Those that ran there at its beginning or at its end, whichever were fewer. */
    const struct rates_sample s = {.ttft_us = result->ttft_us,
                                   .prompt_tokens = result->prompt_tokens,
                                   .completion_tokens = result->completion_tokens,
                                   .decode_us = result->decode_us,
                                   .streams = num_min(a->streams, p->n_attempts + 1),
                                   .prompt_streams = a->streams};

    if (!o->rates)
        o->rates = record_rates_make(p->record, o->id);
    if (o->rates)
        (void)rates_add(o->rates, &s, now_us);
    if (o->model) {
        model_learn(o->model, &s, now_us);
        cost_rate(o, now_us);
    }
}

/* Estimates only rank; how good they are is for the log (FR-3). */
static void attempt_compare(const struct attempt *a, const struct attempt_result *result)
{
    log_event(a->provider->reg->config.log, LOG_DEBUG, EV_ATTEMPT_ESTIMATED,
              KV_CSTR("provider", a->provider->id), KV_INT("expected_ms", a->predicted_us / 1000),
              KV_INT("took_ms", (result->ttft_us + result->decode_us) / 1000));
}

/* The slot is free already, but offered to nobody yet. */
static void attempt_judge(const struct attempt *a, const struct attempt_result *result)
{
    struct provider *p = a->provider;
    struct record *r = p->record;
    int64_t now = clock_mono_us(&p->reg->clock);
    bool urgent = false;

    switch (result->end) {
    case ATTEMPT_SERVED:
        urgent = record_served(r, now, a->probe);
        p->refused_in_row = 0;
        attempt_compare(a, result);
        attempt_was_measured(a, result, now);
        break;
    case ATTEMPT_FAULT:
        urgent = record_failed(r, now, a->probe);
        if (urgent)
            log_event(p->reg->config.log, LOG_WARN, EV_PROVIDER_FAILING, KV_CSTR("provider", p->id),
                      KV_INT("again_in_ms", (r->breaker.open_until_us - now) / 1000));
        break;
    case ATTEMPT_REFUSED_LOAD:
        (void)breaker_spared(&r->breaker, now, a->probe);
        attempt_was_refused(p, now);
        break;
    case ATTEMPT_BLAMELESS:
        (void)breaker_spared(&r->breaker, now, a->probe);
        return;
    }
    provider_rate_failures(p, now);
    record_touch(&p->reg->records, r, urgent);
}

void registry_detach(struct attempt *a, const struct attempt_result *result, bool cancel)
{
    struct provider *p = a->provider;

    if (!p)
        return;
    if (cancel && p->state == PROVIDER_REGISTERED) {
        struct provider_msg m = {.type = MSG_CANCEL, .cancel = {str_from(a->wire_id)}};

        /* When it cannot be sent the connection is failing and takes the request with it. */
        (void)provider_send(p, &m);
    }
    list_remove(&a->link);
    (void)map_remove(&p->attempts_by_id, str_from(a->wire_id));
    CHECK(p->n_attempts > 0);
    p->n_attempts--;
    attempt_judge(a, result);
    a->provider = NULL;
    a->offer = NULL;
    provider_record_changed(p);
}

struct attempt *provider_attempt(const struct provider *p, struct str wire_id)
{
    return wire_id.p ? map_get(&p->attempts_by_id, wire_id) : NULL;
}

void provider_drop_attempts(struct provider *p, enum attempt_end end, const char *why)
{
    while (!list_empty(&p->attempts)) {
        struct attempt *a = list_owner(p->attempts.next, struct attempt, link);

        registry_detach(a, &(struct attempt_result){.end = end}, false);
        a->ops->lost(a, why);
    }
}
