/* SPDX-License-Identifier: Apache-2.0 */
/* A store that the first version made, with money in it, under this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/migrate.h"
#include "unit/ledger/fake_ledger.h"

/* What version 1 left behind: alice has 10,000 less two open holds and one that was released. */
static const char as_version_1_left_it[] =
    "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;"
    "INSERT INTO schema_version VALUES (1, 'keys and ledger');"
    "INSERT INTO accounts (id, name, balance) VALUES (5, 'alice', 8000);"
    "UPDATE accounts SET balance = -10000 WHERE id = 1;"
    "UPDATE accounts SET balance = 2000 WHERE id = 3;"
    "INSERT INTO holds (id, request_id, account, model, input_price, output_price, ceiling, "
    "boot_id,"
    " created_us, deadline_us, expires_us, idempotency_key, body_hash, provider_account,"
    " prompt_tokens, delivered_tokens, settled_us, outcome, cost, payout, fee, refund) VALUES"
    " (1, 'r1', 5, 'm', 1000000, 2000000, 1000, 'boot-old', 1, 2, 3, 'k1', x'01', 'provider:01ab',"
    "  100, 50, NULL, NULL, NULL, NULL, NULL, NULL),"
    " (2, 'r2', 5, 'm', 1000000, 2000000, 1000, 'boot-old', 1, 2, 3, 'k2', x'02', NULL,"
    "  0, 0, NULL, NULL, NULL, NULL, NULL, NULL),"
    " (3, 'r3', 5, 'm', 1000000, 2000000, 1000, 'boot-old', 1, 2, 3, 'k3', x'03', NULL,"
    "  0, 0, 4, 'released', 0, 0, 0, 1000);"
    "INSERT INTO transfers (id, kind, hold, reference, at_us) VALUES (1, 'credit', NULL, 'c', 1),"
    " (2, 'reserve', 1, NULL, 1), (3, 'reserve', 2, NULL, 1), (4, 'reserve', 3, NULL, 1),"
    " (5, 'settle', 3, NULL, 4);"
    "INSERT INTO entries (transfer, account, amount) VALUES (1, 1, -10000), (1, 5, 10000),"
    " (2, 5, -1000), (2, 3, 1000), (3, 5, -1000), (3, 3, 1000), (4, 5, -1000), (4, 3, 1000),"
    " (5, 3, -1000), (5, 5, 1000);";

static int setup(void **state)
{
    static struct fake_ledger l;

    fake_store_dir(&l.f);
    assert_int_equal(db_open(l.f.path, DB_CREATE, &l.db, NULL), 0);
    if (db_exec(l.db, migration_001_sql) < 0 || db_exec(l.db, as_version_1_left_it) < 0)
        fail_msg("%s", db_message(l.db));
    fake_store_reopen(&l.f);
    *state = &l;
    return 0;
}

static struct ledger_reserve keyed(const char *id, const char *key)
{
    struct ledger_reserve r = reserve_of(id, "alice", 1000);

    snprintf(r.idempotency_key, sizeof r.idempotency_key, "%s", key);
    return r;
}

static void its_open_holds_are_recovered_and_its_ledger_balances(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_sweep w;

    assert_balanced(l, 2, 2000);
    ledger_sweep_init(&w, NULL);
    snprintf(w.boot_id, sizeof w.boot_id, "%s", BOOT_NOW);
    assert_int_equal(run(l, &w.op), 0);
    assert_int_equal(w.settled, 1);
    assert_int_equal(w.released, 1);
    assert_int_equal(balance(l, "alice"), 10000 - 200);
    assert_int_equal(balance(l, PROVIDER), 190);
    assert_balanced(l, 0, 0);
}

/* What was entries of its own is lines of the transfer's row: the same money, line by line. */
static void its_entries_are_the_same(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_report r = audit(l);

    assert_int_equal(r.transfers, 5);
    assert_int_equal(r.entries, 10);
    assert_int_equal(fake_store_number(l->db, "SELECT count(*) FROM entries WHERE transfer = 4 AND"
                                              " ((account = 5 AND amount = -1000) OR"
                                              "  (account = 3 AND amount = 1000)) AND hold = 3"),
                     2);
    assert_int_equal(fake_store_number(l->db, "SELECT count(*) FROM transfers"
                                              " WHERE kind = 'credit' AND reference = 'c'"),
                     1);
}

static void its_keys_of_requests_charged_nothing_are_free(void **state) /* R14 */
{
    struct fake_ledger *l = *state;
    struct ledger_reserve open = keyed("r4", "k1"), released = keyed("r5", "k3");

    assert_int_equal(run(l, &open.op), ERR_CONFLICT);
    assert_int_equal(run(l, &released.op), 0);
}

/* Bringing it up would hide what is wrong. */
static void a_ledger_that_does_not_balance_is_not_brought_up(void **state)
{
    static struct fake_store f;
    struct store_config config;
    struct err e = {0};
    struct db *db = NULL;

    (void)state;
    fake_store_dir(&f);
    assert_int_equal(db_open(f.path, DB_CREATE, &db, NULL), 0);
    assert_int_equal(db_exec(db, migration_001_sql), 0);
    assert_int_equal(db_exec(db, as_version_1_left_it), 0);
    assert_int_equal(db_exec(db, "UPDATE entries SET amount = amount + 1 WHERE account = 3"), 0);
    config = fake_store_config(&f);
    assert_int_equal(store_open(&config, &f.store, &e), ERR_STORE);
    assert_non_null(strstr(e.text, "CHECK constraint failed"));
    assert_int_equal(fake_store_number(db, "SELECT max(version) FROM schema_version"), 1);
    db_close(db);
    fake_store_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, fake_ledger_teardown)
        TEST(its_open_holds_are_recovered_and_its_ledger_balances),
        TEST(its_entries_are_the_same),
        TEST(its_keys_of_requests_charged_nothing_are_free),
        cmocka_unit_test(a_ledger_that_does_not_balance_is_not_brought_up),
    };

    return cmocka_run_group_tests_name("ledger: upgrade", tests, NULL, NULL);
}
