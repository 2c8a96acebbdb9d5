/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 8: charge what was delivered, release the rest, and end the answer with its receipt. Every
 * request passes here, however it ended. The settle is submitted before the receipt is written and
 * not waited for; ledger_charge says beforehand what it will charge. */
#include <stdio.h>

#include "base/num.h"
#include "coordinator/flow/flow.h"
#include "store/account.h"

enum { SETTLE_AGAIN_MS = 250, SETTLE_WAIT_MAX_MS = 16000 };

/* The provider's own count, bounded by what it delivered: by what its chunks stood for or, where
 * they did not say, by their text. */
static int64_t settle_completed_tokens(const struct request *r)
{
    const struct request_attempts *t = &r->tries;
    int64_t most = t->chunks_uncounted ? t->text_bytes + r->hold.silent_tokens : t->relayed_tokens;
    int64_t count =
        t->usage_completion > 0 ? num_min(t->usage_completion, most) : t->relayed_tokens;

    return num_min(count, r->hold.output_limit);
}

/* What is charged for: a completed answer, or what the consumer's socket has taken of a broken one.
 * Nothing taken, nothing charged. */
static void settle_count(struct request *r)
{
    struct reply_bill *bill = &r->reply.bill;

    bill->prompt_tokens = request_prompt_tokens(r);
    bill->completion_tokens =
        r->outcome == LEDGER_COMPLETED ? settle_completed_tokens(r) : request_delivered(r);
    if (r->outcome != LEDGER_COMPLETED && bill->completion_tokens == 0)
        r->outcome = LEDGER_RELEASED;
    record_clamped(r);
    bill->cost_micro_usd =
        ledger_charge(&r->hold.reserve.price, r->hold.reserve.ceiling_micro_usd,
                      bill->prompt_tokens, bill->completion_tokens, r->outcome != LEDGER_RELEASED);
}

/* An answer that cannot be put together here is not delivered, and costs nothing. */
static void settle_prepare(struct request *r)
{
    struct reply *rp = &r->reply;

    if (r->outcome != LEDGER_COMPLETED || !rp->x || !rp->ops->prepare || rp->ops->prepare(rp) == 0)
        return;
    api_error_set(&r->error, API_OVERLOADED, NULL,
                  "the coordinator has no room to put this answer together; ask for fewer tokens, "
                  "or for a stream");
    r->outcome = LEDGER_STOPPED;
    settle_count(r);
}

static void settle_send(struct request *r);

static void settle_again(void *ud)
{
    settle_send(ud);
}

static void settle_log(const struct request *r, const char *what)
{
    log_event(r->coord->log, LOG_ERROR, EV_STORE_FAILED, KV_CSTR("request", r->id),
              KV_CSTR("what", what), KV_CSTR("error", err_str(r->hold.settle.op.rc)));
}

/* A settle moves money once however often it is sent, so it is sent until the store takes it or the
 * hold expires: the consumer was told the price and the provider has worked for it. */
static void settle_failed(struct request *r)
{
    const struct coord *c = r->coord;
    int64_t expires = r->times.deadline + LEDGER_HOLD_GRACE_US;

    if (c->stopping || clock_mono_us(&c->clock) >= expires) {
        settle_log(r, "settle given up");
        hold_move(r, HOLD_SETTLED);
        return;
    }
    if (r->hold.settle_wait_ms == 0) {
        settle_log(r, "settle");
        request_drop_text(r);
    }
    r->hold.settle_wait_ms = r->hold.settle_wait_ms == 0
                                 ? SETTLE_AGAIN_MS
                                 : num_min(2 * r->hold.settle_wait_ms, SETTLE_WAIT_MAX_MS);
    loop_timer_set(c->loop, &r->hold.settle_timer, r->hold.settle_wait_ms * 1000, settle_again, r);
}

void flow_settle_give_up(struct request *r)
{
    if (!r->hold.settle_timer.place)
        return;
    loop_timer_clear(r->coord->loop, &r->hold.settle_timer);
    settle_log(r, "settle given up");
    hold_move(r, HOLD_SETTLED);
    flow_release(r);
}

static void settle_done(struct store_op *op)
{
    struct request *r = list_owner(op, struct request, hold.settle.op);

    if (op->rc == 0) {
        account_balance_is(r->account, r->hold.settle.balance_micro_usd);
        record_settled(r);
    }
    if (op->rc == 0 || op->rc == ERR_NOT_FOUND) /* not found: the reserve failed, nothing is held */
        hold_move(r, HOLD_SETTLED);
    else
        settle_failed(r);
    flow_release(r);
}

static void settle_send(struct request *r)
{
    const struct reply_bill *bill = &r->reply.bill;
    struct ledger_settle *op = &r->hold.settle;
    bool released = r->outcome == LEDGER_RELEASED;

    ledger_settle_init(op, settle_done);
    snprintf(op->request_id, sizeof op->request_id, "%s", r->id);
    snprintf(op->provider_account, sizeof op->provider_account, "%s",
             r->tries.account[0] ? r->tries.account : ACCOUNT_UNCLAIMED_NAME);
    op->outcome = r->outcome;
    op->price = r->hold.reserve.price;
    op->prompt_tokens = released ? 0 : bill->prompt_tokens;
    op->completion_tokens = released ? 0 : bill->completion_tokens;
    op->now_wall_us = clock_wall_us(&r->coord->clock);
    r->times.settle_start = clock_mono_us(&r->coord->clock);
    coord_submit_soon(r->coord, &op->op);
}

static void settle_answer(struct request *r)
{
    struct reply *rp = &r->reply;

    if (!rp->x)
        return;
    if (r->outcome == LEDGER_COMPLETED) {
        rp->ops->end(rp);
        return;
    }
    if (r->error.id == API_OK)
        api_error_set(&r->error, API_INTERNAL, NULL, "the request ended without an answer");
    rp->ops->error(rp, &r->error);
}

/* Of a stream that breaks, the consumer gets what was queued, and only what its socket takes counts
 * as delivered: chunks that came in the same read as the failure have not been tried yet (R11). */
static void settle_flush(struct request *r)
{
    if (r->reply.x && r->reply.state == REPLY_CONTENT && r->outcome != LEDGER_COMPLETED)
        http_flush(r->reply.x);
}

enum flow_verdict flow_settle(struct request *r)
{
    queue_leave(&r->ticket);
    loop_timer_clear(r->coord->loop, &r->deadline_timer);
    loop_timer_clear(r->coord->loop, &r->head_timer);
    settle_flush(r);
    if (r->hold.state == HOLD_SUBMITTED || r->hold.state == HOLD_COMMITTED) {
        settle_count(r);
        settle_prepare(r);
        hold_move(r, HOLD_SETTLING);
        settle_send(r);
    } else {
        r->outcome = LEDGER_RELEASED; /* nothing was ever held */
    }
    /* Only what we cut ourselves is still live here. */
    flow_attempt_end(r, METRIC_ATTEMPT_CANCELLED, true);
    settle_answer(r);
    record_end(r);
    return FLOW_NEXT;
}
