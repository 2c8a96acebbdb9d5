/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 3: hold the price ceiling. The hold is submitted to the store and, where the account's
 * known balance covers it, the request goes on at once; the first token waits for the commit
 * (relay). */
#include <sodium.h>
#include <stdio.h>

#include "base/num.h"
#include "coordinator/flow/flow.h"

/* Tokens of the chat template around each message, and of an answer that may become no text: its
 * end, and marks around reasoning or tool calls.
 */
enum { TEMPLATE_TOKENS_PER_MESSAGE = 16, MARK_TOKENS = 16 };

/* A token is at least one byte of the prompt, so its bytes and the template's own tokens bound the
 * prompt; the context bounds both prompt and output. */
static void reserve_bound_tokens(struct request *r)
{
    int64_t context = model_context(r->model);

    int64_t prompt = (int64_t)r->chat.prompt_bytes + model_overhead(r->model) +
                     TEMPLATE_TOKENS_PER_MESSAGE * (int64_t)r->chat.n_messages;
    int64_t output = r->chat.max_tokens > 0 ? r->chat.max_tokens : CHAT_DEFAULT_MAX_TOKENS;

    r->hold.prompt_ceiling = num_min(prompt, context);
    r->hold.output_limit = r->reply.output_limit = num_min(output, context);
}

/* A token is at least one byte of the answer, but for marks and the stop string that ends it. */
static void reserve_bound_silence(struct request *r)
{
    size_t longest = 0;

    for (size_t i = 0; i < r->chat.n_stops; i++)
        longest = r->chat.stops[i].n > longest ? r->chat.stops[i].n : longest;
    r->hold.silent_tokens = MARK_TOKENS + (int64_t)longest;
}

static enum flow_verdict reserve_refused(struct request *r)
{
    const struct ledger_reserve *op = &r->hold.reserve;

    switch (op->op.rc) {
    case ERR_FUNDS:
        api_error_set(&r->error, API_FUNDS, NULL,
                      "the request may cost up to %.6f USD and the account has %.6f USD; ask for "
                      "fewer tokens or add credit",
                      (double)op->ceiling_micro_usd / 1e6, (double)op->balance_micro_usd / 1e6);
        break;
    case ERR_EXISTS:
        api_error_set(&r->error, API_IN_PROGRESS, "Idempotency-Key",
                      "the Idempotency-Key was used by request %s, which %s; it never runs twice",
                      op->first_request_id, op->first_open ? "is still running" : "has ended");
        break;
    case ERR_CONFLICT:
        api_error_set(&r->error, API_IDEMPOTENCY_MISMATCH, "Idempotency-Key",
                      "the Idempotency-Key was used by request %s with another body; use a new key",
                      op->first_request_id);
        break;
    default:
        api_error_set(&r->error, API_STORE, NULL, "the hold could not be stored; try again");
        r->error.retry_after_s = 1;
    }
    return FLOW_FAIL;
}

static void reserve_done(struct store_op *op)
{
    struct request *r = list_owner(op, struct request, hold.reserve.op);
    bool waited = r->stage == STAGE_RESERVE;

    r->hold.decided = true;
    r->reply.timing.reserve_us = op->committed_us - r->times.reserve_start;
    record_reserved(r);
    account_hold_decided(r->account, r->hold.reserve.ceiling_micro_usd,
                         op->rc == 0 || op->rc == ERR_FUNDS ? r->hold.reserve.balance_micro_usd
                                                            : -1);
    if (r->stage >= STAGE_SETTLE) { /* it ended meanwhile, and its settle is on the way */
        flow_release(r);
        return;
    }
    hold_move(r, op->rc == 0 ? HOLD_COMMITTED : HOLD_REFUSED);
    if (waited) {
        flow_resume(r);
    } else if (op->rc < 0) {
        reserve_refused(r);
        flow_fail(r, LEDGER_RELEASED);
    } else if (queue_waits(&r->ticket)) {
        (void)flow_look_elsewhere(r); /* now it may go where a slot is free */
    } else {
        flow_let_out(r);
    }
}

/* An Idempotency-Key is stored with the hold; the request then waits, since it may not run twice.
 */
static int reserve_take_idempotency_key(struct request *r)
{
    struct str key;

    if (request_header(r, "Idempotency-Key", &key) < 0)
        return ERR_DENIED;
    if (!key.p)
        return 0;
    if (key.n == 0 || key.n > LEDGER_IDEMPOTENCY_MAX_BYTES || memchr(key.p, 0, key.n))
        return api_error_set(&r->error, API_BAD_VALUE, "Idempotency-Key",
                             "Idempotency-Key has %zu bytes, allowed are 1 to %d", key.n,
                             LEDGER_IDEMPOTENCY_MAX_BYTES);
    snprintf(r->hold.reserve.idempotency_key, sizeof r->hold.reserve.idempotency_key, "%.*s",
             STR_ARG(key));
    crypto_hash_sha256(r->hold.reserve.body_hash, (const unsigned char *)r->body.p, r->body.n);
    return 0;
}

static int reserve_fill_hold(struct request *r)
{
    struct ledger_reserve *op = &r->hold.reserve;
    const struct coord *c = r->coord;

    ledger_reserve_init(op, reserve_done);
    if (reserve_take_idempotency_key(r) < 0)
        return ERR_DENIED;
    snprintf(op->request_id, sizeof op->request_id, "%s", r->id);
    snprintf(op->account, sizeof op->account, "%s", r->account->name);
    snprintf(op->model, sizeof op->model, "%s", r->model->id);
    snprintf(op->boot_id, sizeof op->boot_id, "%s", c->hub->boot_id);
    op->price = r->model->price;
    op->now_wall_us = clock_wall_us(&c->clock);
    op->now_mono_us = clock_mono_us(&c->clock);
    op->deadline_mono_us = r->times.deadline;
    if (price_cost(&op->price, r->hold.prompt_ceiling, r->hold.output_limit,
                   &op->ceiling_micro_usd) < 0)
        return api_error_set(&r->error, API_BAD_VALUE, "max_tokens",
                             "the price of %lld output tokens cannot be computed; ask for fewer",
                             (long long)r->hold.output_limit);
    return 0;
}

static int reserve_find_model(struct request *r)
{
    r->model = registry_model(r->coord->registry, r->chat.model);
    if (!r->model)
        return api_error_set(&r->error, API_MODEL_NOT_FOUND, "model",
                             "the model `%.*s` does not exist here; GET /v1/models lists what does",
                             STR_ARG(r->chat.model));
    r->model->n_requests++;
    return 0;
}

enum flow_verdict flow_reserve(struct request *r)
{
    bool covered;

    if (r->hold.state == HOLD_REFUSED)
        return reserve_refused(r);
    if (r->hold.state == HOLD_COMMITTED)
        return FLOW_NEXT;
    if (!r->model && reserve_find_model(r) < 0)
        return FLOW_FAIL;
    if (flow_place(r))
        return FLOW_WAIT;
    reserve_bound_tokens(r);
    reserve_bound_silence(r);
    if (reserve_fill_hold(r) < 0)
        return FLOW_FAIL;
    covered = account_covers(r->account, r->hold.reserve.ceiling_micro_usd) &&
              !r->hold.reserve.idempotency_key[0];
    account_hold_submitted(r->account, r->hold.reserve.ceiling_micro_usd);
    r->times.reserve_start = clock_mono_us(&r->coord->clock);
    hold_move(r, HOLD_SUBMITTED);
    flow_watch_head(r);
    coord_submit(r->coord, &r->hold.reserve.op);
    return covered ? FLOW_NEXT : FLOW_WAIT;
}
