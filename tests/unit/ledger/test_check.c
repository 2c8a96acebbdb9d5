/* SPDX-License-Identifier: Apache-2.0 */
/* The audit finds each kind of damage, and nothing where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/ledger/fake_ledger.h"

/* One request settled, one open. */
static int setup(void **state)
{
    struct ledger_reserve done = reserve_of("done", "alice", 1000);
    struct ledger_reserve open = reserve_of("open", "alice", 2000);
    struct ledger_settle s = settle_of("done", LEDGER_COMPLETED);
    struct fake_ledger *l;

    fake_ledger_setup(state);
    l = *state;
    assert_int_equal(run(l, &done.op), 0);
    assert_int_equal(run(l, &s.op), 0);
    assert_int_equal(run(l, &open.op), 0);
    return 0;
}

static void a_sound_ledger_is_counted_and_passes(void **state)
{
    struct ledger_report r = audit(*state);

    assert_true(ledger_report_ok(&r));
    assert_int_equal(r.transfers, 4);
    assert_int_equal(r.entries, 2 + 2 + 4 + 2);
    assert_int_equal(r.accounts, 4 + 2);
    assert_int_equal(r.open_holds, 1);
    assert_int_equal(r.held_micro_usd, 2000);
    assert_int_equal(r.expired_open_holds, 0);
    assert_int_equal(
        ledger_check(((struct fake_ledger *)*state)->db, 1700000000000000 + 11 * MINUTE_US, &r), 0);
    assert_int_equal(r.expired_open_holds, 1);
    tamper(*state, "UPDATE holds SET expires_us = 5 WHERE request_id = 'done'");
    r = audit(*state); /* at 0: nothing has expired, and what is settled never does */
    assert_int_equal(r.expired_open_holds, 0);
    assert_int_equal(ledger_check(((struct fake_ledger *)*state)->db, 6, &r), 0);
    assert_int_equal(r.expired_open_holds, 0);
}

/* The figures that must be 0, in the order of `damage`'s columns. */
struct wrong {
    bool sum, transfers, balances, negative, holds;
};

static void each_kind_of_damage_is_found(void **state)
{
    static const struct {
        const char *what, *sql;
        struct wrong wrong;
    } cases[] = {
        {"a line changed",
         "UPDATE transfers SET amount_1 = amount_1 + 1 WHERE id = 3",
         {.sum = true, .transfers = true, .balances = true, .holds = true}},
        {"a line deleted",
         "UPDATE transfers SET account_4 = NULL, amount_4 = NULL WHERE id = 3",
         {.sum = true, .transfers = true, .balances = true}},
        {"a line given to an account that is not there",
         "UPDATE transfers SET account_4 = 99 WHERE id = 3",
         {.balances = true}},
        {"an account twice in one transfer",
         "UPDATE transfers SET account_4 = account_3 WHERE id = 3",
         {.transfers = true, .balances = true}},
        {"money moved between transfers",
         "UPDATE transfers SET amount_1 = amount_1 + CASE id WHEN 1 THEN 5 ELSE -5 END"
         " WHERE id IN (1, 3)",
         {.transfers = true, .balances = true, .holds = true}},
        {"a transfer deleted",
         "DELETE FROM transfers WHERE id = 3",
         {.balances = true, .holds = true}},
        {"a balance changed",
         "UPDATE accounts SET balance = balance + 1 WHERE name = 'alice'",
         {.balances = true}},
        {"an account below zero, in balance and lines",
         "INSERT INTO accounts (id, name, balance) VALUES (90, 'x', -5), (91, 'y', 5);"
         "INSERT INTO transfers (kind, at_us, account_1, amount_1, account_2, amount_2)"
         " VALUES ('credit', 0, 90, -5, 91, 5)",
         {.negative = true}},
        {"an open hold marked settled",
         "UPDATE holds SET settled_us = 1, cost = 0, payout = 0, fee = 0, refund = 2000"
         " WHERE request_id = 'open'",
         {.holds = true}},
        {"a settled hold opened again",
         "UPDATE holds SET settled_us = NULL WHERE request_id = 'done'",
         {.holds = true}},
        {"an open hold's ceiling changed",
         "UPDATE holds SET ceiling = 1999 WHERE request_id = 'open'",
         {.holds = true}},
        {"a settled hold's cost changed",
         "UPDATE holds SET cost = 499 WHERE request_id = 'done'",
         {.holds = true}},
        {"a hold without a reserve",
         "INSERT INTO holds (request_id, account, model, input_price, output_price, ceiling,"
         " boot_id, created_us, deadline_us, expires_us)"
         " VALUES ('forged', 5, 'm', 1, 1, 100, 'b', 0, 0, 0)",
         {.holds = true}},
    };
    struct fake_ledger *l = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct wrong *w = &cases[i].wrong;
        struct ledger_report r;

        tamper(l, "BEGIN");
        tamper(l, cases[i].sql);
        r = audit(l);
        tamper(l, "ROLLBACK");
        if (ledger_report_ok(&r) || (r.sum_micro_usd != 0) != w->sum ||
            (r.unbalanced_transfers != 0) != w->transfers ||
            (r.balance_mismatches != 0) != w->balances ||
            (r.negative_accounts != 0) != w->negative || (r.hold_mismatches != 0) != w->holds)
            fail_msg("%s: sum %lld, transfers %lld, balances %lld, negative %lld, holds %lld",
                     cases[i].what, (long long)r.sum_micro_usd, (long long)r.unbalanced_transfers,
                     (long long)r.balance_mismatches, (long long)r.negative_accounts,
                     (long long)r.hold_mismatches);
    }
    assert_balanced(l, 1, 2000);
}

static void the_table_itself_refuses_an_overdraft(void **state)
{
    struct fake_ledger *l = *state;

    assert_int_equal(db_exec(l->db, "UPDATE accounts SET balance = -1 WHERE name = 'alice'"),
                     ERR_STORE);
    assert_int_equal(db_exec(l->db, "UPDATE accounts SET balance = 9223372036854775807 + balance"
                                    " WHERE name = 'alice'"),
                     ERR_STORE);
    assert_balanced(l, 1, 2000);
}

static void the_table_itself_refuses_a_transfer_that_does_not_balance(void **state)
{
    struct fake_ledger *l = *state;

    assert_int_equal(db_exec(l->db, "UPDATE transfers SET amount_4 = amount_4 + 1 WHERE id = 3"),
                     ERR_STORE);
    assert_int_equal(db_exec(l->db, "UPDATE transfers SET account_4 = NULL, amount_4 = NULL"
                                    " WHERE id = 3"),
                     ERR_STORE);
    assert_balanced(l, 1, 2000);
}

static void entries_beyond_64_bits_are_an_error_not_a_number(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_report r;

    tamper(l, "BEGIN; UPDATE transfers SET amount_2 = 9223372036854775807");
    assert_int_equal(ledger_check(l->db, 0, &r), ERR_STORE);
    tamper(l, "ROLLBACK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, fake_ledger_teardown)
        TEST(a_sound_ledger_is_counted_and_passes),
        TEST(each_kind_of_damage_is_found),
        TEST(the_table_itself_refuses_an_overdraft),
        TEST(the_table_itself_refuses_a_transfer_that_does_not_balance),
        TEST(entries_beyond_64_bits_are_an_error_not_a_number),
    };

    return cmocka_run_group_tests_name("ledger: audit", tests, NULL, NULL);
}
