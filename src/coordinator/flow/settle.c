/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 8: charge what was delivered, release the rest, and end the answer with its receipt. Every
 * request passes here, however it ended. The settle is submitted before the receipt is written and
 * not waited for; ledger_charge says beforehand what it will charge. */
#include <stdio.h>

#include "base/num.h"
#include "coordinator/admit/queue.h"
#include "coordinator/flow/flow.h"
#include "store/account.h"

enum { SETTLE_AGAIN_MS = 250, SETTLE_WAIT_MAX_MS = 16000 };

int64_t flow_delivered(const struct request *r)
{
    int64_t taken = r->x ? r->reply->delivered((struct request *)r) : r->reply_state.taken_tokens;

    return num_min(taken, r->output_limit);
}

int64_t flow_prompt_tokens(const struct request *r)
{
    int64_t guess = (int64_t)r->chat.prompt_bytes / 4 + 1;

    return num_min(r->prompt_tokens > 0 ? r->prompt_tokens : guess, r->prompt_ceiling);
}

/* The provider's own count, bounded by what it delivered: by what its chunks stood for or, where
 * they did not say, by their text. */
static int64_t completed(const struct request *r)
{
    int64_t most =
        r->chunks_uncounted ? r->relayed_text_bytes + r->silent_tokens : r->relayed_tokens;
    int64_t count =
        r->usage_completion > 0 ? num_min(r->usage_completion, most) : r->relayed_tokens;

    return num_min(count, r->output_limit);
}

/* What is charged for: a completed answer, or what the consumer's socket has taken of a broken one.
 * Nothing taken, nothing charged. */
static void count_tokens(struct request *r)
{
    r->prompt_tokens = flow_prompt_tokens(r);
    r->usage_completion = r->outcome == LEDGER_COMPLETED ? completed(r) : flow_delivered(r);
    if (r->outcome != LEDGER_COMPLETED && r->usage_completion == 0)
        r->outcome = LEDGER_RELEASED;
    r->cost_micro_usd =
        ledger_charge(&r->reserve.price, r->reserve.ceiling_micro_usd, r->prompt_tokens,
                      r->usage_completion, r->outcome != LEDGER_RELEASED);
}

static void submit_settle(struct request *r);

static void try_settle_again(void *ud)
{
    submit_settle(ud);
}

static void log_settle(const struct request *r, const char *what)
{
    log_event(r->coord->log, LOG_ERROR, EV_STORE_FAILED, KV_CSTR("request", r->id),
              KV_CSTR("what", what), KV_CSTR("error", err_str(r->settle.op.rc)));
}

/* A settle moves money once however often it is sent, so it is sent until the store takes it or the
 * hold expires: the consumer was told the price and the provider has worked for it. */
static void settle_failed(struct request *r)
{
    const struct coord *c = r->coord;
    int64_t expires = r->reserve.deadline_wall_us + LEDGER_HOLD_GRACE_US;

    if (c->stopping || clock_wall_us(&c->clock) >= expires) {
        log_settle(r, "settle given up");
        return;
    }
    if (r->settle_wait_ms == 0) {
        log_settle(r, "settle");
        flow_drop_text(r);
    }
    r->settle_wait_ms = r->settle_wait_ms == 0 ? SETTLE_AGAIN_MS
                                               : num_min(2 * r->settle_wait_ms, SETTLE_WAIT_MAX_MS);
    r->settle_pending = true;
    loop_timer_set(c->loop, &r->settle_timer, r->settle_wait_ms * 1000, try_settle_again, r);
}

void flow_settle_give_up(struct request *r)
{
    if (!r->settle_timer.place)
        return;
    loop_timer_clear(r->coord->loop, &r->settle_timer);
    log_settle(r, "settle given up");
    r->settle_pending = false;
    flow_release(r);
}

static void settle_done(struct store_op *op)
{
    struct request *r = list_owner(op, struct request, settle.op);

    r->settle_pending = false;
    if (op->rc == 0)
        account_balance_is(r->account, r->settle.balance_micro_usd);
    else if (op->rc != ERR_NOT_FOUND) /* the reserve failed: nothing was held */
        settle_failed(r);
    flow_release(r);
}

static void submit_settle(struct request *r)
{
    struct ledger_settle *op = &r->settle;
    bool released = r->outcome == LEDGER_RELEASED;

    ledger_settle_init(op, settle_done);
    snprintf(op->request_id, sizeof op->request_id, "%s", r->id);
    snprintf(op->provider_account, sizeof op->provider_account, "%s",
             r->provider_account[0] ? r->provider_account : ACCOUNT_UNCLAIMED_NAME);
    op->outcome = r->outcome;
    op->price = r->reserve.price;
    op->prompt_tokens = released ? 0 : r->prompt_tokens;
    op->completion_tokens = released ? 0 : r->usage_completion;
    op->now_wall_us = clock_wall_us(&r->coord->clock);
    r->settle_pending = true;
    coord_submit_soon(r->coord, &op->op);
}

static void answer(struct request *r)
{
    if (!r->x)
        return;
    if (r->outcome == LEDGER_COMPLETED) {
        r->reply->head(r);
        r->reply->end(r);
        return;
    }
    if (r->error.id == API_OK)
        api_error_set(&r->error, API_INTERNAL, NULL, "the request ended without an answer");
    r->reply->error(r, &r->error);
}

static void log_request(const struct request *r)
{
    log_event(r->coord->log, LOG_INFO, EV_REQUEST_DONE, KV_CSTR("request", r->id),
              KV_CSTR("trace", r->trace_id), KV_CSTR("outcome", ledger_outcome_name(r->outcome)),
              KV_INT("status", r->error.id == API_OK ? 200 : r->error.status),
              KV_CSTR("code", r->error.code), KV_CSTR("model", r->model ? r->model->id : ""),
              KV_CSTR("provider", r->provider_id), KV_INT("attempts", r->n_attempts),
              KV_INT("prompt_tokens", r->prompt_tokens),
              KV_INT("completion_tokens", r->usage_completion),
              KV_INT("cost_micro_usd", r->cost_micro_usd),
              KV_INT("total_us", clock_mono_us(&r->coord->clock) - r->times.received));
}

enum flow_verdict flow_settle(struct request *r)
{
    queue_leave(r);
    loop_timer_clear(r->coord->loop, &r->deadline_timer);
    loop_timer_clear(r->coord->loop, &r->head_timer);
    if (r->hold == HOLD_SUBMITTED || r->hold == HOLD_COMMITTED) {
        count_tokens(r);
        submit_settle(r);
    }
    flow_attempt_end(r, true);
    answer(r);
    log_request(r);
    return FLOW_NEXT;
}
