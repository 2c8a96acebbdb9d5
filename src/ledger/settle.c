/* SPDX-License-Identifier: Apache-2.0 */
/* Settle: charge what was delivered, pay the provider, give the rest back. */
#include "ledger/settle.h"

#include "base/check.h"
#include "base/list.h"
#include "ledger/balances.h"
#include "ledger/transfer.h"

const char *ledger_outcome_name(enum ledger_outcome o)
{
    static const char *const names[LEDGER_OUTCOME_COUNT] = {
        [LEDGER_RELEASED] = "released",
        [LEDGER_COMPLETED] = "completed",
        [LEDGER_CONSUMER_GONE] = "consumer_gone",
        [LEDGER_PROVIDER_FAILED] = "provider_failed",
        [LEDGER_DEADLINE] = "deadline",
        [LEDGER_RECOVERED] = "recovered",
        [LEDGER_EXPIRED] = "expired",
        [LEDGER_STOPPED] = "stopped",
    };

    return (unsigned)o < LEDGER_OUTCOME_COUNT ? names[o] : "unknown";
}

static int64_t settle_not_negative(int64_t v)
{
    return v < 0 ? 0 : v;
}

int64_t ledger_charge(const struct price *p, int64_t ceiling_micro_usd, int64_t prompt_tokens,
                      int64_t completion_tokens, bool delivered)
{
    int64_t cost;

    if (!delivered)
        return 0;
    if (price_cost(p, settle_not_negative(prompt_tokens), settle_not_negative(completion_tokens),
                   &cost) < 0 ||
        cost > ceiling_micro_usd)
        return ceiling_micro_usd;
    return cost;
}

/* Who was charged nothing may send the request again under its Idempotency-Key: the row lets go of
 * it. Charged ones do not touch the key's index. */
#define SETTLE_SQL(also)                                                                         \
    "UPDATE holds SET settled_us = ?2, outcome = ?3, provider_account = ?4, prompt_tokens = ?5," \
    " delivered_tokens = ?6, cost = ?7, payout = ?8, fee = ?9, refund = ?10" also " WHERE id = ?1"

static int settle_mark(struct db *db, const struct settlement *s, int64_t fee)
{
    struct db_stmt *st =
        s->cost_micro_usd > 0
            ? db_stmt(db, SETTLE_SQL(""))
            : db_stmt(db, SETTLE_SQL(", idempotency_key = NULL, body_hash = NULL"));

    db_bind_i64(st, 1, s->hold);
    db_bind_i64(st, 2, s->at_us);
    db_bind_str(st, 3, str_from(ledger_outcome_name(s->outcome)));
    db_bind_str(st, 4, s->provider_account);
    db_bind_i64(st, 5, s->prompt_tokens);
    db_bind_i64(st, 6, s->completion_tokens);
    db_bind_i64(st, 7, s->cost_micro_usd);
    db_bind_i64(st, 8, s->cost_micro_usd - fee);
    db_bind_i64(st, 9, fee);
    db_bind_i64(st, 10, s->ceiling_micro_usd - s->cost_micro_usd);
    return db_run(st) < 0 ? ERR_STORE : 0;
}

int settlement_post(struct db *db, struct settlement *s)
{
    struct transfer t = {.kind = "settle", .hold = s->hold, .at_us = s->at_us};
    int64_t fee = price_fee(s->cost_micro_usd);
    int64_t provider = ACCOUNT_UNCLAIMED;

    if (s->ceiling_micro_usd <= 0) /* a damaged row */
        return ERR_STORE;
    CHECK(s->cost_micro_usd >= 0 && s->cost_micro_usd <= s->ceiling_micro_usd);
    if (s->cost_micro_usd > 0 && s->provider_account.n > 0 &&
        account_ensure(db, s->provider_account, &provider) < 0)
        return ERR_STORE;
    if (settle_mark(db, s, fee) < 0)
        return ERR_STORE;
    transfer_add(&t, ACCOUNT_HOLDS, -s->ceiling_micro_usd);
    transfer_add(&t, provider, s->cost_micro_usd - fee);
    transfer_add(&t, ACCOUNT_PLATFORM, fee);
    transfer_add(&t, s->account, s->ceiling_micro_usd - s->cost_micro_usd);
    if (transfer_post(db, &t) < 0)
        return ERR_STORE;
    s->balance_micro_usd += transfer_of(&t, s->account);
    return 0;
}

/* The hold of a request; fills what the first settle did when there was one. */
static int settle_find_hold(struct db *db, struct ledger_settle *s, struct settlement *ret_hold)
{
    struct db_stmt *st =
        db_stmt(db, "SELECT h.id, h.account, h.ceiling, h.settled_us IS NOT NULL, h.cost, h.payout,"
                    " h.fee, h.refund, a.balance FROM holds h JOIN accounts a ON a.id = h.account"
                    " WHERE h.request_id = ?1");
    int rc;

    db_bind_str(st, 1, str_from(s->request_id));
    rc = db_step(st);
    if (rc > 0) {
        ret_hold->hold = db_col_i64(st, 0);
        ret_hold->account = db_col_i64(st, 1);
        ret_hold->ceiling_micro_usd = db_col_i64(st, 2);
        s->already = db_col_i64(st, 3);
        s->cost_micro_usd = db_col_i64(st, 4);
        s->payout_micro_usd = db_col_i64(st, 5);
        s->fee_micro_usd = db_col_i64(st, 6);
        s->refund_micro_usd = db_col_i64(st, 7);
        ret_hold->balance_micro_usd = db_col_i64(st, 8) + balances_unwritten(db, ret_hold->account);
    }
    db_reset(st);
    return rc > 0 ? 0 : rc < 0 ? ERR_STORE : ERR_NOT_FOUND;
}

static int settle_open(struct db *db, struct ledger_settle *s, struct settlement *hold)
{
    hold->outcome = s->outcome;
    hold->provider_account = str_from(s->provider_account);
    hold->prompt_tokens = settle_not_negative(s->prompt_tokens);
    hold->completion_tokens = settle_not_negative(s->completion_tokens);
    hold->at_us = s->now_wall_us;
    hold->cost_micro_usd = ledger_charge(&s->price, hold->ceiling_micro_usd, s->prompt_tokens,
                                         s->completion_tokens, s->outcome != LEDGER_RELEASED);
    s->cost_micro_usd = hold->cost_micro_usd;
    s->fee_micro_usd = price_fee(s->cost_micro_usd);
    s->payout_micro_usd = s->cost_micro_usd - s->fee_micro_usd;
    s->refund_micro_usd = hold->ceiling_micro_usd - s->cost_micro_usd;
    return settlement_post(db, hold);
}

static int settle_run(struct db *db, struct store_op *op)
{
    struct ledger_settle *s = list_owner(op, struct ledger_settle, op);
    struct settlement hold = {0};
    int rc = settle_find_hold(db, s, &hold);

    if (rc == 0 && !s->already)
        rc = settle_open(db, s, &hold);
    if (rc == 0)
        s->balance_micro_usd = hold.balance_micro_usd;
    return rc;
}

void ledger_settle_init(struct ledger_settle *s, void (*done)(struct store_op *op))
{
    *s = (struct ledger_settle){
        .op = {.run = settle_run, .done = done, .flags = STORE_REFUSES_CLEAN}};
}
