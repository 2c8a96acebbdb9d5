/* SPDX-License-Identifier: Apache-2.0 */
/* Audit: recompute everything from the entries and compare. */
#include "ledger/ledger.h"

#include "ledger/balances.h"

#include <stddef.h>

/* Each figure of the report and the one query that finds it. Sums are taken as they are: an
 * overflowing one is an error of the query, not a wrong figure. */
static const struct check_figure {
    size_t offset;
    const char *sql;
} check_figures[] = {
#define AT(field) offsetof(struct ledger_report, field)
    {AT(entries), "SELECT count(*) FROM entries"},
    {AT(transfers), "SELECT count(*) FROM transfers"},
    {AT(accounts), "SELECT count(*) FROM accounts"},
    {AT(sum_micro_usd), "SELECT coalesce(sum(amount), 0) FROM entries"},
    {AT(unbalanced_transfers),
     "SELECT count(*) FROM (SELECT 1 FROM entries GROUP BY transfer"
     " HAVING count(*) < 2 OR count(DISTINCT account) < count(*) OR sum(amount) <> 0)"},
    {AT(balance_mismatches),
     "SELECT (SELECT count(*) FROM (SELECT DISTINCT account FROM entries) e"
     "  WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = e.account))"
     " + (SELECT count(*) FROM accounts a LEFT JOIN (SELECT account, sum(amount) AS total FROM "
     "entries"
     " GROUP BY account) e ON e.account = a.id WHERE a.balance <> coalesce(e.total, 0))"},
    {AT(negative_accounts),
     "SELECT count(*) FROM accounts a LEFT JOIN (SELECT account, sum(amount) AS total FROM entries"
     " GROUP BY account) e ON e.account = a.id"
     " WHERE a.name <> 'world' AND (a.balance < 0 OR e.total < 0)"},
    {AT(open_holds), "SELECT count(*) FROM holds WHERE settled_us IS NULL"},
    {AT(hold_mismatches),
     "SELECT count(*) FROM holds h LEFT JOIN (SELECT hold, sum(amount) AS held FROM entries"
     " WHERE account = 3 AND hold IS NOT NULL GROUP BY hold) m ON m.hold = h.id"
     " WHERE coalesce(m.held, 0) <> CASE WHEN h.settled_us IS NULL THEN h.ceiling ELSE 0 END"
     " OR (h.settled_us IS NOT NULL AND (h.cost + h.refund IS NOT h.ceiling"
     " OR h.payout + h.fee IS NOT h.cost))"},
    {AT(held_micro_usd), "SELECT balance FROM accounts WHERE id = 3"},
#undef AT
};

_Static_assert(ACCOUNT_HOLDS == 3, "the queries above name the account of the holds");

static int check_count(struct db_stmt *st, int64_t *ret_figure)
{
    int rc = db_step(st);

    if (rc > 0)
        *ret_figure = db_col_i64(st, 0);
    db_reset(st);
    return rc > 0 ? 0 : ERR_STORE;
}

int ledger_check(struct db *db, int64_t now_wall_us, struct ledger_report *ret_report)
{
    struct ledger_report report = {0};
    struct db_stmt *st;

    if (balances_write(db) < 0)
        return ERR_STORE;
    for (size_t i = 0; i < sizeof check_figures / sizeof check_figures[0]; i++) {
        int64_t *figure = (int64_t *)(void *)((char *)&report + check_figures[i].offset);

        if (check_count(db_stmt(db, check_figures[i].sql), figure) < 0)
            return ERR_STORE;
    }
    st = db_stmt(db, "SELECT count(*) FROM holds WHERE settled_us IS NULL AND expires_us <= ?1");
    db_bind_i64(st, 1, now_wall_us);
    if (check_count(st, &report.expired_open_holds) < 0)
        return ERR_STORE;
    *ret_report = report;
    return 0;
}

bool ledger_report_ok(const struct ledger_report *r)
{
    return r->sum_micro_usd == 0 && r->unbalanced_transfers == 0 && r->balance_mismatches == 0 &&
           r->negative_accounts == 0 && r->hold_mismatches == 0;
}
