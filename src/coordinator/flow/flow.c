/* SPDX-License-Identifier: Apache-2.0 */
/* The driver of the request path: runs stage after stage by a table of legal transitions. */
#include "coordinator/flow/flow.h"

#include <stdio.h>
#include <stdlib.h>

#include "coordinator/admit/queue.h"

#define TO(stage) (1U << STAGE_##stage)

static const struct {
    const char *name;
    enum flow_verdict (*run)(struct request *r);
    enum flow_stage next; /* after FLOW_NEXT */
    unsigned legal;       /* stages that may follow; all may fail into settle */
} stages[STAGE_COUNT] = {
    [STAGE_ENTER] = {"enter", flow_enter, STAGE_AUTH, TO(AUTH) | TO(SETTLE)},
    [STAGE_AUTH] = {"auth", flow_auth, STAGE_RESERVE, TO(RESERVE) | TO(SETTLE)},
    [STAGE_RESERVE] = {"reserve", flow_reserve, STAGE_ROUTE, TO(ROUTE) | TO(SETTLE)},
    [STAGE_ROUTE] = {"route", flow_route, STAGE_SEAL, TO(SEAL) | TO(SETTLE)},
    [STAGE_SEAL] = {"seal", flow_seal, STAGE_DISPATCH, TO(DISPATCH) | TO(ROUTE) | TO(SETTLE)},
    [STAGE_DISPATCH] = {"dispatch", flow_dispatch, STAGE_RELAY, TO(RELAY) | TO(ROUTE) | TO(SETTLE)},
    [STAGE_RELAY] = {"relay", flow_relay, STAGE_SETTLE, TO(SETTLE)},
    [STAGE_SETTLE] = {"settle", flow_settle, STAGE_DONE, TO(DONE)},
    [STAGE_DONE] = {"done", NULL, STAGE_DONE, 0},
};

static void enter_stage(struct request *r, enum flow_stage next)
{
    if (!(stages[r->stage].legal & (1U << next))) {
        /* A rule of this program is broken; going on could charge twice. */
        fprintf(stderr, "flow: no way from %s to %s\n", stages[r->stage].name, stages[next].name);
        abort();
    }
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
        if (v == FLOW_FAIL)
            enter_stage(r, STAGE_SETTLE);
        else if (r->stage == at)
            enter_stage(r, stages[at].next);
    }
    r->running = false;
    flow_release(r);
}

void flow_resume(struct request *r)
{
    /* An event from inside a stage (a send that fails at once, say) only notes what happened: the
     * loop above looks at the stage again. */
    if (!r->running)
        flow_run(r);
}

void flow_move(struct request *r, enum flow_stage next)
{
    enter_stage(r, next);
    flow_resume(r);
}

void flow_fail(struct request *r)
{
    if (r->stage < STAGE_SETTLE)
        flow_move(r, STAGE_SETTLE);
}

void flow_cancel(struct request *r, enum ledger_outcome outcome)
{
    if (r->stage >= STAGE_SETTLE)
        return;
    r->outcome = outcome;
    flow_move(r, STAGE_SETTLE);
}

static void on_abort(void *ud, int reason)
{
    struct request *r = ud;

    (void)reason;
    r->reply_state.taken_tokens = r->reply ? r->reply->delivered(r) : 0;
    r->x = NULL;
    if (r->stage < STAGE_SETTLE)
        flow_cancel(r, LEDGER_CONSUMER_GONE);
    else
        flow_release(r);
}

static void on_deadline(void *ud)
{
    struct request *r = ud;

    api_error_set(&r->error, API_TIMEOUT, NULL,
                  "the request was cut at its deadline of %lld ms; ask for fewer tokens",
                  (long long)r->coord->settings->request_deadline_ms);
    flow_cancel(r, LEDGER_DEADLINE);
}

void flow_start(struct coord *c, struct http_exchange *x)
{
    struct request *r = calloc(1, sizeof *r);

    if (!r) {
        answer_no_memory(c, x);
        return;
    }
    r->coord = c;
    r->x = x;
    r->outcome = LEDGER_RELEASED;
    arena_init(&r->region, FLOW_REGION_MAX_BYTES);
    buf_init(&r->frame, FLOW_REGION_MAX_BYTES);
    buf_init(&r->plain, FLOW_REGION_MAX_BYTES);
    buf_init(&r->early, FLOW_EARLY_MAX_BYTES);
    buf_init(&r->reply_state.text, FLOW_REGION_MAX_BYTES);
    arena_init(&r->reply_state.rewrite, FLOW_REGION_MAX_BYTES);
    rand_uuid_ordered(&c->rand, clock_wall_us(&c->clock), r->id);
    list_push_back(&c->requests, &r->link);
    c->n_requests++;
    http_on_abort(x, on_abort, r);
    loop_timer_set(c->loop, &r->deadline_timer, c->settings->request_deadline_ms * 1000,
                   on_deadline, r);
    flow_run(r);
}

static bool referred_to(const struct request *r)
{
    return r->running || r->stage != STAGE_DONE || r->x || r->live || r->identify.pending ||
           r->hold == HOLD_SUBMITTED || r->settle_pending;
}

void flow_drop_text(struct request *r)
{
    reply_state_free(&r->reply_state);
    buf_free(&r->frame);
    buf_free(&r->plain);
    buf_free(&r->early);
    arena_free(&r->region);
}

void flow_release(struct request *r)
{
    struct coord *c = r->coord;

    if (referred_to(r))
        return;
    loop_timer_clear(c->loop, &r->deadline_timer);
    loop_timer_clear(c->loop, &r->attempt_timer);
    loop_timer_clear(c->loop, &r->queue_timer);
    loop_timer_clear(c->loop, &r->head_timer);
    loop_timer_clear(c->loop, &r->settle_timer);
    list_remove(&r->link);
    c->n_requests--;
    if (r->model)
        r->model->n_requests--;
    flow_drop_text(r);
    free(r);
    coord_request_gone(c);
}

void flow_stop_all(struct coord *c)
{
    struct list_node *n = c->requests.next;

    c->stopping = true;
    while (n != &c->requests) {
        struct request *r = list_owner(n, struct request, link);

        n = n->next; /* cancelling may free this one, never another */
        if (r->stage < STAGE_SETTLE) {
            api_error_set(&r->error, API_OVERLOADED, NULL,
                          "the coordinator is stopping; try again");
            r->error.retry_after_s = 5;
            flow_cancel(r, LEDGER_PROVIDER_FAILED);
        } else {
            flow_settle_give_up(r);
        }
    }
}
