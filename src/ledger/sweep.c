/* SPDX-License-Identifier: Apache-2.0 */
/* Sweep: settle the holds that nobody will settle any more, at their last checkpoint. */
#include <stdio.h>

#include "base/list.h"
#include "ledger/settle.h"

/* One hold that is due, with what its row says was delivered. Text columns are copied: settling
 * uses other statements. */
struct due {
    struct settlement s;
    struct price price;
    char provider[ACCOUNT_MAX_BYTES + 1];
};

/* 1 and a hold, 0 when none is due, ERR_STORE. */
static int next_due(struct db *db, const struct ledger_sweep *w, struct due *ret_due)
{
    struct db_stmt *st =
        db_stmt(db, "SELECT id, account, ceiling, prompt_tokens, delivered_tokens, input_price,"
                    " output_price, expires_us <= ?1, coalesce(provider_account, '') FROM holds"
                    " WHERE settled_us IS NULL AND (expires_us <= ?1 OR boot_id <> ?2)"
                    " ORDER BY expires_us LIMIT 1");
    int rc;

    db_bind_i64(st, 1, w->now_wall_us);
    db_bind_str(st, 2, w->boot_id[0] ? str_from(w->boot_id) : (struct str){0}); /* <> NULL: never */
    rc = db_step(st);
    if (rc > 0) {
        *ret_due = (struct due){
            .s = {.hold = db_col_i64(st, 0),
                  .account = db_col_i64(st, 1),
                  .ceiling_micro_usd = db_col_i64(st, 2),
                  .prompt_tokens = db_col_i64(st, 3),
                  .completion_tokens = db_col_i64(st, 4),
                  .outcome = db_col_i64(st, 7) ? LEDGER_EXPIRED : LEDGER_RECOVERED,
                  .at_us = w->now_wall_us},
            .price = {db_col_i64(st, 5), db_col_i64(st, 6)},
        };
        snprintf(ret_due->provider, sizeof ret_due->provider, "%.*s", STR_ARG(db_col_str(st, 8)));
        ret_due->s.provider_account = str_from(ret_due->provider);
    }
    db_reset(st);
    return rc < 0 ? ERR_STORE : rc;
}

static int sweep_run(struct db *db, struct store_op *op)
{
    struct ledger_sweep *w = list_owner(op, struct ledger_sweep, op);
    struct due due;
    int rc;

    w->settled = w->released = 0;
    while ((rc = next_due(db, w, &due)) > 0) {
        struct settlement *s = &due.s;

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

void ledger_sweep_init(struct ledger_sweep *w, void (*done)(struct store_op *op))
{
    *w = (struct ledger_sweep){.op = {.run = sweep_run, .done = done}};
}
