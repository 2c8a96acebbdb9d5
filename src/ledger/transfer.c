/* SPDX-License-Identifier: Apache-2.0 */
/* One movement of money: a few lines that sum to zero, posted together. */
#include "ledger/transfer.h"

#include "base/check.h"
#include "ledger/balances.h"

void transfer_add(struct transfer *t, int64_t account, int64_t micro_usd)
{
    struct transfer_line *line = t->lines;

    if (micro_usd == 0)
        return;
    while (line < t->lines + t->n_lines && line->account != account)
        line++;
    if (line == t->lines + t->n_lines) {
        CHECK(t->n_lines < TRANSFER_MAX_LINES);
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

static bool transfer_balanced(const struct transfer *t)
{
    int64_t sum = 0;

    for (size_t i = 0; i < t->n_lines; i++) {
        if (__builtin_add_overflow(sum, t->lines[i].micro_usd, &sum))
            return false;
    }
    return sum == 0;
}

/* Lines that it has not stay unbound, which is NULL. */
static int transfer_insert(struct db *db, const struct transfer *t)
{
    struct db_stmt *st =
        db_stmt(db, "INSERT INTO transfers (kind, hold, reference, at_us, account_1, amount_1,"
                    " account_2, amount_2, account_3, amount_3, account_4, amount_4)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");

    db_bind_str(st, 1, str_from(t->kind));
    if (t->hold)
        db_bind_i64(st, 2, t->hold);
    db_bind_str(st, 3, t->reference);
    db_bind_i64(st, 4, t->at_us);
    for (int i = 0; i < (int)t->n_lines; i++) {
        db_bind_i64(st, 2 * i + 5, t->lines[i].account);
        db_bind_i64(st, 2 * i + 6, t->lines[i].micro_usd);
    }
    return db_run(st);
}

int transfer_post(struct db *db, const struct transfer *t)
{
    int rc;

    CHECK(t->n_lines >= 2 && transfer_balanced(t));
    rc = transfer_insert(db, t);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < t->n_lines; i++)
        rc = balances_add(db, t->lines[i].account, t->lines[i].micro_usd);
    return rc < 0 ? ERR_STORE : 0;
}
