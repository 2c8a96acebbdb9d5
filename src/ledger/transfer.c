/* SPDX-License-Identifier: Apache-2.0 */
/* One movement of money: a few lines that sum to zero, posted together. */
#include "ledger/transfer.h"

#include <assert.h>

void transfer_add(struct transfer *t, int64_t account, int64_t micro_usd)
{
    struct transfer_line *line = t->lines;

    if (micro_usd == 0)
        return;
    while (line < t->lines + t->n_lines && line->account != account)
        line++;
    if (line == t->lines + t->n_lines) {
        assert(t->n_lines < TRANSFER_MAX_LINES);
        t->n_lines++;
        line->account = account;
    }
    line->micro_usd += micro_usd;
}

int64_t transfer_of(const struct transfer *t, int64_t account)
{
    for (size_t i = 0; i < t->n_lines; i++) {
        if (t->lines[i].account == account)
            return t->lines[i].micro_usd;
    }
    return 0;
}

static bool balanced(const struct transfer *t)
{
    int64_t sum = 0;

    for (size_t i = 0; i < t->n_lines; i++) {
        if (__builtin_add_overflow(sum, t->lines[i].micro_usd, &sum))
            return false;
    }
    return sum == 0;
}

static int insert_transfer(struct db *db, const struct transfer *t, int64_t *ret_id)
{
    struct db_stmt *st = db_stmt(db, "INSERT INTO transfers (kind, hold, reference, at_us)"
                                     " VALUES (?1, ?2, ?3, ?4)");
    int rc;

    db_bind_str(st, 1, str_from(t->kind));
    if (t->hold)
        db_bind_i64(st, 2, t->hold);
    db_bind_str(st, 3, t->reference);
    db_bind_i64(st, 4, t->at_us);
    rc = db_run(st);
    if (rc == 0)
        *ret_id = db_last_id(db);
    return rc;
}

/* All lines in one statement: a statement costs more than its rows. */
static int insert_entries(struct db *db, const struct transfer *t, int64_t id)
{
#define INSERT "INSERT INTO entries (transfer, account, amount) VALUES (?1, ?2, ?3), (?1, ?4, ?5)"
    static const char *const sql[TRANSFER_MAX_LINES + 1] = {
        [2] = INSERT,
        [3] = INSERT ", (?1, ?6, ?7)",
        [4] = INSERT ", (?1, ?6, ?7), (?1, ?8, ?9)",
    };
#undef INSERT
    struct db_stmt *st = db_stmt(db, sql[t->n_lines]);

    db_bind_i64(st, 1, id);
    for (int i = 0; i < (int)t->n_lines; i++) {
        db_bind_i64(st, 2 * i + 2, t->lines[i].account);
        db_bind_i64(st, 2 * i + 3, t->lines[i].micro_usd);
    }
    return db_run(st);
}

static int change_balance(struct db *db, const struct transfer_line *line)
{
    struct db_stmt *st = db_stmt(db, "UPDATE accounts SET balance = balance + ?2 WHERE id = ?1");

    db_bind_i64(st, 1, line->account);
    db_bind_i64(st, 2, line->micro_usd);
    return db_run(st);
}

int transfer_post(struct db *db, const struct transfer *t)
{
    int64_t id = 0;
    int rc;

    if (t->n_lines < 2 || !balanced(t))
        return ERR_INTERNAL;
    rc = insert_transfer(db, t, &id);
    if (rc < 0)
        return rc;
    rc = insert_entries(db, t, id);
    for (size_t i = 0; rc == 0 && i < t->n_lines; i++)
        rc = change_balance(db, &t->lines[i]);
    return rc < 0 ? ERR_STORE : 0;
}
