/* SPDX-License-Identifier: Apache-2.0 */
/* Sweep: settle the holds that nobody will settle any more, at their last checkpoint. */
#include <stdio.h>

#include "base/list.h"
#include "ledger/settle.h"
#include "ledger/sweep.h"

#define SWEEP_COLUMNS                                                                          \
    "SELECT id, account, ceiling, prompt_tokens, delivered_tokens, input_price, output_price," \
    " coalesce(provider_account, '') FROM holds WHERE settled_us IS NULL AND "

/* Two searches: a comparison by <> or OR would read every open hold. */
const char sweep_other_boots_sql[] =
    SWEEP_COLUMNS "boot_id < ?1 UNION ALL " SWEEP_COLUMNS "boot_id > ?1 LIMIT 1";
const char sweep_expired_sql[] =
    SWEEP_COLUMNS "boot_id = ?1 AND expires_mono_us <= ?2 ORDER BY expires_mono_us LIMIT 1";

/* One hold that is due, with what its row says was delivered. Text columns are copied: settling
 * uses other statements. */
struct sweep_due {
    struct settlement s;
    struct price price;
    char provider[ACCOUNT_MAX_BYTES + 1];
};

/* Step, copy, reset: 1 and a hold, 0 when none is due, ERR_STORE. */
static int sweep_take(struct db_stmt *st, struct sweep_due *ret_due)
{
    int rc = db_step(st);

    if (rc > 0) {
        *ret_due = (struct sweep_due){
            .s = {.hold = db_col_i64(st, 0),
                  .account = db_col_i64(st, 1),
                  .ceiling_micro_usd = db_col_i64(st, 2),
                  .prompt_tokens = db_col_i64(st, 3),
                  .completion_tokens = db_col_i64(st, 4)},
            .price = {db_col_i64(st, 5), db_col_i64(st, 6)},
        };
        snprintf(ret_due->provider, sizeof ret_due->provider, "%.*s", STR_ARG(db_col_str(st, 7)));
        ret_due->s.provider_account = str_from(ret_due->provider);
    }
    db_reset(st);
    return rc < 0 ? ERR_STORE : rc;
}

static int sweep_next(struct db *db, const struct ledger_sweep *w, enum ledger_outcome outcome,
                      struct sweep_due *ret_due)
{
    struct db_stmt *st =
        db_stmt(db, outcome == LEDGER_EXPIRED ? sweep_expired_sql : sweep_other_boots_sql);

    db_bind_str(st, 1, str_from(w->boot_id));
    if (outcome == LEDGER_EXPIRED)
        db_bind_i64(st, 2, w->now_mono_us);
    return sweep_take(st, ret_due);
}

static int sweep_all(struct db *db, struct ledger_sweep *w, enum ledger_outcome outcome)
{
    struct sweep_due due;
    int rc;

    while ((rc = sweep_next(db, w, outcome, &due)) > 0) {
        struct settlement *s = &due.s;

        s->outcome = outcome;
        s->at_us = w->now_wall_us;
        s->cost_micro_usd = ledger_charge(&due.price, s->ceiling_micro_usd, s->prompt_tokens,
                                          s->completion_tokens, s->completion_tokens > 0);
        if (settlement_post(db, s) < 0)
            return ERR_STORE;
        if (s->cost_micro_usd > 0)
            w->settled++;
        else
            w->released++;
    }
    return rc;
}

static int sweep_run(struct db *db, struct store_op *op)
{
    struct ledger_sweep *w = list_owner(op, struct ledger_sweep, op);
    int rc;

    w->settled = w->released = 0;
    if (!w->boot_id[0])
        return ERR_MISSING;
    rc = sweep_all(db, w, LEDGER_RECOVERED);
    return rc == 0 ? sweep_all(db, w, LEDGER_EXPIRED) : rc;
}

void ledger_sweep_init(struct ledger_sweep *w, void (*done)(struct store_op *op))
{
    *w =
        (struct ledger_sweep){.op = {.run = sweep_run, .done = done, .flags = STORE_REFUSES_CLEAN}};
}
