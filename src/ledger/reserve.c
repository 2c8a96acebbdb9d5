/* SPDX-License-Identifier: Apache-2.0 */
/* Reserve: hold the price ceiling of a request out of the consumer's balance. */
#include "ledger/ledger.h"

#include <stdio.h>

#include "base/check.h"
#include "base/list.h"
#include "ledger/balances.h"
#include "ledger/transfer.h"

static int reserve_account_of(struct db *db, const char *name, int64_t *ret_id,
                              int64_t *ret_balance)
{
    struct db_stmt *st = db_stmt(db, "SELECT id, balance FROM accounts WHERE name = ?1");
    int rc;

    db_bind_str(st, 1, str_from(name));
    rc = db_step(st);
    if (rc > 0) {
        *ret_id = db_col_i64(st, 0);
        *ret_balance = db_col_i64(st, 1) + balances_unwritten(db, *ret_id);
    }
    db_reset(st);
    return rc > 0 ? 0 : rc < 0 ? ERR_STORE : ERR_NOT_FOUND;
}

/* When the hold expires, and what the wall clock would say then if it ran on as it does. */
struct reserve_times {
    int64_t expires_mono_us, deadline_wall_us, expires_wall_us;
};

static int reserve_times_of(const struct ledger_reserve *r, struct reserve_times *ret_times)
{
    int64_t left;

    if (__builtin_add_overflow(r->deadline_mono_us, LEDGER_HOLD_GRACE_US,
                               &ret_times->expires_mono_us) ||
        __builtin_sub_overflow(r->deadline_mono_us, r->now_mono_us, &left) ||
        __builtin_add_overflow(r->now_wall_us, left, &ret_times->deadline_wall_us) ||
        __builtin_add_overflow(ret_times->deadline_wall_us, LEDGER_HOLD_GRACE_US,
                               &ret_times->expires_wall_us))
        return ERR_RANGE;
    return 0;
}

/* The hold's row, made only where neither the request nor the idempotency key is known: changes one
 * row or none. */
static int reserve_insert(struct db *db, const struct ledger_reserve *r, int64_t account,
                          const struct reserve_times *times)
{
    struct db_stmt *st =
        db_stmt(db, "INSERT INTO holds (request_id, account, model, input_price, output_price,"
                    " ceiling, boot_id, created_us, deadline_us, expires_us, expires_mono_us,"
                    " idempotency_key, body_hash)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
                    " ON CONFLICT DO NOTHING");

    db_bind_str(st, 1, str_from(r->request_id));
    db_bind_i64(st, 2, account);
    db_bind_str(st, 3, str_from(r->model));
    db_bind_i64(st, 4, r->price.input_micro_usd_per_mtok);
    db_bind_i64(st, 5, r->price.output_micro_usd_per_mtok);
    db_bind_i64(st, 6, r->ceiling_micro_usd);
    db_bind_str(st, 7, str_from(r->boot_id));
    db_bind_i64(st, 8, r->now_wall_us);
    db_bind_i64(st, 9, times->deadline_wall_us);
    db_bind_i64(st, 10, times->expires_wall_us);
    db_bind_i64(st, 11, times->expires_mono_us);
    if (r->idempotency_key[0]) {
        db_bind_str(st, 12, str_from(r->idempotency_key));
        db_bind_blob(st, 13, (struct str){(const char *)r->body_hash, sizeof r->body_hash});
    }
    return db_run(st);
}

/* 0: this request holds this already; ERR_CONFLICT: it holds something else; ERR_NOT_FOUND. */
static int reserve_same_request(struct db *db, struct ledger_reserve *r, int64_t account)
{
    struct db_stmt *st = db_stmt(db, "SELECT account = ?2 AND ceiling = ?3, settled_us IS NULL"
                                     " FROM holds WHERE request_id = ?1");
    int rc;

    db_bind_str(st, 1, str_from(r->request_id));
    db_bind_i64(st, 2, account);
    db_bind_i64(st, 3, r->ceiling_micro_usd);
    rc = db_step(st);
    if (rc == 0)
        rc = ERR_NOT_FOUND;
    if (rc > 0) {
        rc = db_col_i64(st, 0) ? 0 : ERR_CONFLICT;
        r->first_open = db_col_i64(st, 1);
        memcpy(r->first_request_id, r->request_id, sizeof r->first_request_id);
    }
    db_reset(st);
    return rc;
}

/* ERR_EXISTS or ERR_CONFLICT: the idempotency key was used before; ERR_NOT_FOUND. */
static int reserve_same_key(struct db *db, struct ledger_reserve *r, int64_t account)
{
    struct db_stmt *st = db_stmt(db, "SELECT request_id, settled_us IS NULL, body_hash = ?3"
                                     " FROM holds WHERE account = ?1 AND idempotency_key = ?2");
    int rc;

    if (!r->idempotency_key[0])
        return ERR_NOT_FOUND;
    db_bind_i64(st, 1, account);
    db_bind_str(st, 2, str_from(r->idempotency_key));
    db_bind_blob(st, 3, (struct str){(const char *)r->body_hash, sizeof r->body_hash});
    rc = db_step(st);
    if (rc == 0)
        rc = ERR_NOT_FOUND;
    if (rc > 0) {
        snprintf(r->first_request_id, sizeof r->first_request_id, "%.*s",
                 STR_ARG(db_col_str(st, 0)));
        r->first_open = db_col_i64(st, 1);
        rc = db_col_i64(st, 2) ? ERR_EXISTS : ERR_CONFLICT;
    }
    db_reset(st);
    return rc;
}

/* Why no hold was made. A known request or key comes before the balance: a repeat is answered the
 * same however much money is left. */
static int reserve_why_not(struct db *db, struct ledger_reserve *r, int64_t account)
{
    int rc = reserve_same_request(db, r, account);

    if (rc == ERR_NOT_FOUND)
        rc = reserve_same_key(db, r, account);
    return rc == ERR_NOT_FOUND ? ERR_FUNDS : rc;
}

static int reserve_hold(struct db *db, struct ledger_reserve *r, int64_t account,
                        const struct reserve_times *times)
{
    struct transfer t = {.kind = "reserve", .at_us = r->now_wall_us};

    if (reserve_insert(db, r, account, times) < 0)
        return ERR_STORE;
    if (db_changes(db) == 0)
        return reserve_why_not(db, r, account);
    t.hold = db_last_id(db);
    transfer_add(&t, account, -r->ceiling_micro_usd);
    transfer_add(&t, ACCOUNT_HOLDS, r->ceiling_micro_usd);
    if (transfer_post(db, &t) < 0)
        return ERR_STORE;
    r->balance_micro_usd -= r->ceiling_micro_usd;
    CHECK(r->balance_micro_usd >= 0);
    return 0;
}

/* Reading the balance and then taking from it is one step: the transaction has the only write lock,
 * and the table's own check refuses a balance below zero. */
static int reserve_run(struct db *db, struct store_op *op)
{
    struct ledger_reserve *r = list_owner(op, struct ledger_reserve, op);
    struct reserve_times times;
    int64_t account = 0;
    int rc;

    if (r->ceiling_micro_usd <= 0 || r->price.input_micro_usd_per_mtok < 0 ||
        r->price.output_micro_usd_per_mtok < 0 || reserve_times_of(r, &times) < 0)
        return ERR_RANGE;
    r->balance_micro_usd = 0;
    rc = reserve_account_of(db, r->account, &account, &r->balance_micro_usd);
    if (rc == ERR_STORE)
        return rc;
    if (r->balance_micro_usd < r->ceiling_micro_usd)
        return reserve_why_not(db, r, account);
    return reserve_hold(db, r, account, &times);
}

void ledger_reserve_init(struct ledger_reserve *r, void (*done)(struct store_op *op))
{
    *r = (struct ledger_reserve){
        .op = {.run = reserve_run, .done = done, .flags = STORE_REFUSES_CLEAN}};
}
