/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger in a store of its own, and its operations in one line each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/ledger/fake_ledger.h"

static int credit_alice(struct db *db, struct store_op *op)
{
    (void)op;
    return ledger_credit(db, STR("alice"), 10000, STR("first deposit"), 0);
}

int fake_ledger_setup(void **state)
{
    static struct fake_ledger l;
    struct store_op credit = {.run = credit_alice};

    fake_store_open(&l.f);
    l.db = fake_store_side_door(&l.f);
    assert_int_equal(run(&l, &credit), 0);
    *state = &l;
    return 0;
}

int fake_ledger_teardown(void **state)
{
    struct fake_ledger *l = *state;

    db_close(l->db);
    fake_store_close(&l->f);
    return 0;
}

struct ledger_reserve reserve_of(const char *request_id, const char *account, int64_t ceiling)
{
    struct ledger_reserve r;

    ledger_reserve_init(&r, NULL);
    snprintf(r.request_id, sizeof r.request_id, "%s", request_id);
    snprintf(r.account, sizeof r.account, "%s", account);
    snprintf(r.model, sizeof r.model, "test-model");
    snprintf(r.boot_id, sizeof r.boot_id, "%s", BOOT_NOW);
    r.price = TEST_PRICE;
    r.ceiling_micro_usd = ceiling;
    r.now_wall_us = WALL_US;
    r.now_mono_us = MONO_US;
    r.deadline_mono_us = MONO_US + 10 * MINUTE_US;
    return r;
}

struct ledger_settle settle_of(const char *request_id, enum ledger_outcome outcome)
{
    struct ledger_settle s;

    ledger_settle_init(&s, NULL);
    snprintf(s.request_id, sizeof s.request_id, "%s", request_id);
    snprintf(s.provider_account, sizeof s.provider_account, "%s", PROVIDER);
    s.outcome = outcome;
    s.price = TEST_PRICE;
    s.prompt_tokens = outcome == LEDGER_RELEASED ? 0 : 100;
    s.completion_tokens = outcome == LEDGER_RELEASED ? 0 : 200;
    s.now_wall_us = WALL_US + MINUTE_US;
    return s;
}

int run(struct fake_ledger *l, struct store_op *op)
{
    return store_run_sync(l->f.store, op);
}

int64_t balance(struct fake_ledger *l, const char *account)
{
    int64_t micro_usd = -1;

    assert_int_equal(ledger_balance(l->db, str_from(account), &micro_usd), 0);
    return micro_usd;
}

struct ledger_report audit(struct fake_ledger *l)
{
    struct ledger_report report;

    assert_int_equal(ledger_check(l->db, 0, &report), 0);
    return report;
}

void assert_balanced(struct fake_ledger *l, int64_t open, int64_t held)
{
    struct ledger_report report = audit(l);

    assert_true(ledger_report_ok(&report));
    assert_int_equal(report.open_holds, open);
    assert_int_equal(report.held_micro_usd, held);
}

void tamper(struct fake_ledger *l, const char *sql)
{
    if (db_exec(l->db, "PRAGMA foreign_keys=OFF; PRAGMA ignore_check_constraints=ON") < 0 ||
        db_exec(l->db, sql) < 0)
        fail_msg("%s: %s", sql, db_message(l->db));
}
