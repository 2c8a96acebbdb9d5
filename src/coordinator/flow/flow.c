/* SPDX-License-Identifier: Apache-2.0 */
/* The driver of the request path: runs stage after stage by a table of legal transitions. */
#include "coordinator/flow/flow.h"

#include <stdlib.h>

#include "base/num.h"
#include "base/state.h"

#define TO(stage) STATE_BIT(STAGE_##stage)

/* Stages that may follow; all may fail into settle, and a failed attempt goes back to route. */
static const struct state_row stage_rows[STAGE_COUNT] = {
    [STAGE_ENTER] = {"enter", TO(AUTH) | TO(SETTLE)},
    [STAGE_AUTH] = {"auth", TO(RESERVE) | TO(SETTLE)},
    [STAGE_RESERVE] = {"reserve", TO(ROUTE) | TO(SETTLE)},
    [STAGE_ROUTE] = {"route", TO(SEAL) | TO(SETTLE)},
    [STAGE_SEAL] = {"seal", TO(DISPATCH) | TO(ROUTE) | TO(SETTLE)},
    [STAGE_DISPATCH] = {"dispatch", TO(RELAY) | TO(ROUTE) | TO(SETTLE)},
    [STAGE_RELAY] = {"relay", TO(ROUTE) | TO(SETTLE)},
    [STAGE_SETTLE] = {"settle", TO(DONE)},
    [STAGE_DONE] = {"done", 0},
};
static const struct state_table stage_states = {"flow", stage_rows, STAGE_COUNT};

static const struct {
    enum flow_verdict (*run)(struct request *r);
    enum flow_stage next; /* after FLOW_NEXT */
} stages[STAGE_COUNT] = {
    [STAGE_ENTER] = {flow_enter, STAGE_AUTH},      [STAGE_AUTH] = {flow_auth, STAGE_RESERVE},
    [STAGE_RESERVE] = {flow_reserve, STAGE_ROUTE}, [STAGE_ROUTE] = {flow_route, STAGE_SEAL},
    [STAGE_SEAL] = {flow_seal, STAGE_DISPATCH},    [STAGE_DISPATCH] = {flow_dispatch, STAGE_RELAY},
    [STAGE_RELAY] = {flow_relay, STAGE_SETTLE},    [STAGE_SETTLE] = {flow_settle, STAGE_DONE},
};

static void flow_enter_stage(struct request *r, enum flow_stage next)
{
    state_check_move(&stage_states, r->stage, next);
    r->stage = next;
}

static void flow_run(struct request *r)
{
    r->running = true;
    while (r->stage != STAGE_DONE) {
        enum flow_stage at = r->stage;
        enum flow_verdict v = stages[at].run(r);

        if (v == FLOW_WAIT)
            break;
        if (v == FLOW_FAIL && r->stage < STAGE_SETTLE)
            flow_enter_stage(r, STAGE_SETTLE);
        else if (v == FLOW_NEXT && r->stage == at)
            flow_enter_stage(r, stages[at].next);
    }
    r->running = false;
    flow_release(r);
}

void flow_resume(struct request *r)
{
    /* An event from inside a stage (a send that fails at once, say) only notes what happened: the
     * loop above looks at the stage again. */
    if (!r->running && !flow_is_leaving(r))
        flow_run(r);
}

void flow_move(struct request *r, enum flow_stage next)
{
    flow_enter_stage(r, next);
    flow_resume(r);
}

void flow_fail(struct request *r, enum ledger_outcome outcome)
{
    if (r->stage >= STAGE_SETTLE)
        return;
    flow_transfer_cancel(r);
    r->outcome = outcome;
    flow_move(r, STAGE_SETTLE);
}

static void flow_on_deadline(void *ud);

static void flow_on_abort(void *ud, int reason)
{
    struct request *r = ud;

    (void)reason;
    r->consumer_gone = r->stage < STAGE_SETTLE;
    reply_consumer_gone(&r->reply);
    if (r->stage < STAGE_SETTLE)
        flow_fail(r, LEDGER_CONSUMER_GONE);
    else
        flow_release(r);
}

void flow_set_limits(struct request *r)
{
    const struct settings *s = r->coord->settings;
    const struct account_settings *own = r->account ? &r->account->settings : NULL;
    int64_t content_ms =
        own && own->first_content_ms > 0 ? own->first_content_ms : s->first_content_ms;
    int64_t deadline_ms =
        own && own->request_deadline_ms > 0 ? own->request_deadline_ms : s->request_deadline_ms;

    r->times.content_limit = r->times.received + content_ms * 1000;
    r->times.deadline = r->times.received + deadline_ms * 1000;
    flow_arm_deadline(r);
}

void flow_arm_deadline(struct request *r)
{
    loop_timer_set(r->coord->loop, &r->deadline_timer,
                   num_count(r->times.deadline - clock_mono_us(&r->coord->clock), INT64_MAX),
                   flow_on_deadline, r);
}

static void flow_on_deadline(void *ud)
{
    struct request *r = ud;

    api_error_set(&r->error, API_TIMEOUT, NULL,
                  "the request was cut at its deadline of %lld ms; ask for fewer tokens",
                  (long long)(r->times.deadline - r->times.received) / 1000);
    flow_fail(r, LEDGER_DEADLINE);
}

void flow_start(struct coord *c, struct http_exchange *x)
{
    struct request *r = calloc(1, sizeof *r);

    if (!r) {
        answer_no_memory(c, x);
        return;
    }
    r->coord = c;
    r->outcome = LEDGER_RELEASED;
    arena_init(&r->region, FLOW_REGION_MAX_BYTES);
    buf_init(&r->tries.frame, FLOW_REGION_MAX_BYTES);
    buf_init(&r->tries.plain, FLOW_REGION_MAX_BYTES);
    buf_init(&r->tries.early, FLOW_EARLY_MAX_BYTES);
    reply_init(&r->reply, c, x, &r->region);
    rand_uuid_ordered(&c->rand, clock_wall_us(&c->clock), r->id);
    r->times.received = http_request_of(x)->received_us;
    list_push_back(&c->requests, &r->link);
    c->n_requests++;
    hub_request_begun(c->hub);
    http_on_abort(x, flow_on_abort, r);
    flow_set_limits(r);
    flow_run(r);
}

static bool flow_referred_to(const struct request *r)
{
    return r->running || r->stage != STAGE_DONE || r->reply.x || r->identify.pending ||
           r->tries.state != ATTEMPT_NONE || r->hold.state == HOLD_SETTLING ||
           (r->hold.state != HOLD_NONE && !r->hold.decided);
}

void flow_release(struct request *r)
{
    struct coord *c = r->coord;

    if (flow_referred_to(r))
        return;
    loop_timer_clear(c->loop, &r->deadline_timer);
    loop_timer_clear(c->loop, &r->head_timer);
    loop_timer_clear(c->loop, &r->tries.timer);
    loop_timer_clear(c->loop, &r->hold.settle_timer);
    list_remove(&r->link);
    c->n_requests--;
    if (r->model)
        r->model->n_requests--;
    request_drop_text(r);
    free(r);
    hub_request_gone(c->hub);
}

void flow_stop(struct request *r)
{
    api_error_set(&r->error, API_OVERLOADED, NULL, COORD_STOPPING);
    r->error.retry_after_s = 5;
    flow_fail(r, LEDGER_STOPPED);
}

void flow_stop_all(struct coord *c)
{
    struct list_node *n = c->requests.next;

    c->stopping = true;
    while (n != &c->requests) {
        struct request *r = list_owner(n, struct request, link);

        n = n->next; /* cancelling may free this one, never another */
        if (r->stage < STAGE_SETTLE)
            flow_stop(r);
        else
            flow_settle_give_up(r);
    }
}
