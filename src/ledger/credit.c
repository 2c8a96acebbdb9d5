/* SPDX-License-Identifier: Apache-2.0 */
/* Credit: money that comes into the system, and what an account has. */
#include "ledger/balances.h"
#include "ledger/ledger.h"
#include "ledger/transfer.h"

/* 1 when a credit of this reference exists, 0 or ERR_STORE. */
static int credit_exists(struct db *db, struct str reference)
{
    struct db_stmt *st = db_stmt(db, "SELECT 1 FROM transfers WHERE reference = ?1");
    int rc;

    db_bind_str(st, 1, reference);
    rc = db_step(st);
    db_reset(st);
    return rc;
}

int ledger_credit(struct db *db, struct str account, int64_t amount_micro_usd, struct str reference,
                  int64_t wall_us)
{
    struct transfer t = {.kind = "credit", .reference = reference, .at_us = wall_us};
    int64_t id, balance = 0;
    int rc;

    if (amount_micro_usd <= 0 || amount_micro_usd > LEDGER_CREDIT_MAX_MICRO_USD)
        return ERR_RANGE;
    if (reference.n == 0)
        return ERR_MISSING;
    rc = credit_exists(db, reference);
    if (rc != 0)
        return rc < 0 ? ERR_STORE : 0;
    if (account_ensure(db, account, &id) < 0 || ledger_balance(db, account, &balance) < 0)
        return ERR_STORE;
    if (balance > LEDGER_BALANCE_MAX_MICRO_USD - amount_micro_usd)
        return ERR_RANGE;
    transfer_add(&t, ACCOUNT_WORLD, -amount_micro_usd);
    transfer_add(&t, id, amount_micro_usd);
    return transfer_post(db, &t) < 0 ? ERR_STORE : 0;
}

int ledger_balance(struct db *db, struct str account, int64_t *ret_micro_usd)
{
    struct db_stmt *st;
    int rc = balances_write(db);

    if (rc < 0)
        return ERR_STORE;
    st = db_stmt(db, "SELECT balance FROM accounts WHERE name = ?1");
    db_bind_str(st, 1, account);
    rc = db_step(st);
    if (rc >= 0)
        *ret_micro_usd = rc > 0 ? db_col_i64(st, 0) : 0;
    db_reset(st);
    return rc < 0 ? ERR_STORE : 0;
}
