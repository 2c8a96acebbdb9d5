/* SPDX-License-Identifier: Apache-2.0 */
/* Holds that nobody settles: checkpoints, recovery after a crash, expiry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ledger/sweep.h"
#include "unit/ledger/fake_ledger.h"

static void hold(struct fake_ledger *l, const char *id, const char *boot)
{
    struct ledger_reserve r = reserve_of(id, "alice", 1000);

    snprintf(r.boot_id, sizeof r.boot_id, "%s", boot);
    assert_int_equal(run(l, &r.op), 0);
}

static void checkpoint(struct fake_ledger *l, const char *id, int64_t prompt, int64_t delivered)
{
    static struct ledger_checkpoint c;
    struct ledger_checkpoint_row *row = &c.rows[0];

    ledger_checkpoint_init(&c, NULL);
    c.n = 1;
    *row = (struct ledger_checkpoint_row){.prompt_tokens = prompt, .delivered_tokens = delivered};
    snprintf(row->request_id, sizeof row->request_id, "%s", id);
    snprintf(row->provider_account, sizeof row->provider_account, "%s", PROVIDER);
    assert_int_equal(run(l, &c.op), 0);
}

/* At a time of this boot's monotonic clock, whatever the wall clock says. */
static struct ledger_sweep sweep_at(struct fake_ledger *l, int64_t mono_us, int64_t wall_us)
{
    struct ledger_sweep w;

    ledger_sweep_init(&w, NULL);
    w.now_wall_us = wall_us;
    w.now_mono_us = mono_us;
    snprintf(w.boot_id, sizeof w.boot_id, "%s", BOOT_NOW);
    assert_int_equal(run(l, &w.op), 0);
    return w;
}

static struct ledger_sweep sweep(struct fake_ledger *l)
{
    return sweep_at(l, MONO_US, WALL_US);
}

static void holds_of_an_earlier_boot_are_settled_at_their_last_checkpoint(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_sweep w;

    hold(l, "delivered", BOOT_OLD);
    checkpoint(l, "delivered", 100, 20);
    checkpoint(l, "delivered", 100, 50);
    hold(l, "nothing", BOOT_OLD);
    hold(l, "live", BOOT_NOW);
    w = sweep(l);
    assert_int_equal(w.settled, 1);
    assert_int_equal(w.released, 1);
    assert_int_equal(balance(l, "alice"), 10000 - 1000 - 200); /* 100 × 1 + 50 × 2 */
    assert_int_equal(balance(l, PROVIDER), 190);
    assert_int_equal(balance(l, "platform"), 10);
    assert_balanced(l, 1, 1000);
    assert_int_equal(fake_store_number(l->db, "SELECT outcome = 'recovered' FROM holds"
                                              " WHERE request_id = 'delivered'"),
                     1);
    w = sweep(l);
    assert_int_equal(w.settled + w.released, 0);
}

static void a_hold_expires_a_minute_after_its_deadline(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_sweep w;

    hold(l, "r1", BOOT_NOW);
    checkpoint(l, "r1", 100, 50);
    hold(l, "r2", BOOT_NOW);
    w = sweep_at(l, MONO_US + 11 * MINUTE_US - 1, WALL_US + 11 * MINUTE_US - 1);
    assert_int_equal(w.settled + w.released, 0);
    w = sweep_at(l, MONO_US + 11 * MINUTE_US, WALL_US + 11 * MINUTE_US);
    assert_int_equal(w.settled, 1);
    assert_int_equal(w.released, 1);
    assert_int_equal(
        fake_store_number(l->db, "SELECT count(*) FROM holds WHERE outcome = 'expired'"), 2);
    assert_int_equal(balance(l, "alice"), 10000 - 200);
    assert_balanced(l, 0, 0);
}

/* R10: the sweep went by the wall clock, requests by the monotonic one. */
static void a_jump_of_the_wall_clock_ends_no_live_hold(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve late = reserve_of("late", "alice", 1000);
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);
    struct ledger_sweep w;

    hold(l, "r1", BOOT_NOW);
    late.now_wall_us = WALL_US - DAY_US; /* reserved while the clock was a day behind */
    assert_int_equal(run(l, &late.op), 0);
    w = sweep_at(l, MONO_US + MINUTE_US, WALL_US + DAY_US);
    assert_int_equal(w.settled + w.released, 0);
    w = sweep_at(l, MONO_US + MINUTE_US, WALL_US - DAY_US);
    assert_int_equal(w.settled + w.released, 0);
    s.now_wall_us = WALL_US - DAY_US;
    assert_int_equal(run(l, &s.op), 0);
    assert_false(s.already);
    assert_int_equal(s.cost_micro_usd, 500);
    /* Nor does one that went back keep an expired hold alive. */
    w = sweep_at(l, MONO_US + 11 * MINUTE_US, WALL_US - DAY_US);
    assert_int_equal(w.released, 1);
    assert_balanced(l, 0, 0);
}

/* A machine that restarted counts from 0 again: another boot's times mean nothing here. */
static void a_hold_of_another_boot_is_settled_whatever_its_deadline(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);

    snprintf(r.boot_id, sizeof r.boot_id, "%s", BOOT_OLD);
    r.now_mono_us = 1000 * DAY_US;
    r.deadline_mono_us = r.now_mono_us + MINUTE_US;
    assert_int_equal(run(l, &r.op), 0);
    hold(l, "r2", "boot-z"); /* ids before and behind ours */
    assert_int_equal(sweep_at(l, 0, WALL_US).released, 2);
    assert_balanced(l, 0, 0);
}

static void a_sweep_without_a_boot_is_refused(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_sweep w;

    hold(l, "r1", BOOT_NOW);
    ledger_sweep_init(&w, NULL);
    w.now_mono_us = INT64_MAX;
    assert_int_equal(run(l, &w.op), ERR_MISSING);
    assert_balanced(l, 1, 1000);
}

/* R16: with OR, every sweep read all open holds. */
static void a_sweep_searches_the_index_and_scans_nothing(void **state)
{
    static const char *const questions[] = {sweep_other_boots_sql, sweep_expired_sql};
    struct fake_ledger *l = *state;

    for (size_t i = 0; i < 2; i++) {
        static char sql[2][1000];
        struct db_stmt *st;
        int searches = 0;

        snprintf(sql[i], sizeof sql[i], "EXPLAIN QUERY PLAN %s", questions[i]);
        st = db_stmt(l->db, sql[i]);
        while (db_step(st) > 0) {
            char detail[200];

            snprintf(detail, sizeof detail, "%.*s", STR_ARG(db_col_str(st, 3)));
            if (strstr(detail, "SCAN") || strstr(detail, "TEMP B-TREE"))
                fail_msg("%s", detail);
            searches += strstr(detail, "SEARCH holds USING INDEX holds_open (boot_id") != NULL;
        }
        assert_int_equal(searches, i == 0 ? 2 : 1);
    }
}

static void a_settle_after_recovery_moves_nothing(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);

    hold(l, "r1", BOOT_OLD);
    sweep(l);
    assert_int_equal(run(l, &s.op), 0);
    assert_true(s.already);
    assert_int_equal(s.cost_micro_usd, 0);
    assert_int_equal(balance(l, "alice"), 10000);
    assert_balanced(l, 0, 0);
}

static void a_checkpoint_never_goes_back_and_never_touches_a_settled_hold(void **state)
{
    static const char delivered[] = "SELECT delivered_tokens FROM holds WHERE request_id = 'r1'";
    struct fake_ledger *l = *state;
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);

    hold(l, "r1", BOOT_NOW);
    checkpoint(l, "r1", 100, 50);
    checkpoint(l, "r1", 100, 40);
    checkpoint(l, "unknown", 1, 1);
    assert_int_equal(fake_store_number(l->db, delivered), 50);
    assert_int_equal(run(l, &s.op), 0);
    checkpoint(l, "r1", 100, 999);
    assert_int_equal(fake_store_number(l->db, delivered), 200);
    assert_balanced(l, 0, 0);
}

static void a_checkpoint_notes_all_of_its_rows_and_no_more(void **state)
{
    static struct ledger_checkpoint c;
    struct fake_ledger *l = *state;

    ledger_checkpoint_init(&c, NULL);
    for (int i = 0; i < 4; i++) {
        struct ledger_checkpoint_row *row = &c.rows[i];

        *row = (struct ledger_checkpoint_row){.prompt_tokens = 10, .delivered_tokens = 20 + i};
        snprintf(row->request_id, sizeof row->request_id, "r%d", i);
        hold(l, row->request_id, BOOT_NOW);
    }
    c.n = 3;
    assert_int_equal(run(l, &c.op), 0);
    assert_int_equal(fake_store_number(l->db, "SELECT sum(delivered_tokens) FROM holds"),
                     20 + 21 + 22);
}

/* Into an account of the longest name. */
static void a_recovered_payment_reaches_its_account(void **state)
{
    static struct ledger_checkpoint c;
    struct fake_ledger *l = *state;
    char name[ACCOUNT_MAX_BYTES + 1] = "";

    memset(name, 'p', ACCOUNT_MAX_BYTES);
    hold(l, "r1", BOOT_OLD);
    ledger_checkpoint_init(&c, NULL);
    c.n = 1;
    c.rows[0] = (struct ledger_checkpoint_row){
        .request_id = "r1", .prompt_tokens = 100, .delivered_tokens = 50};
    memcpy(c.rows[0].provider_account, name, sizeof name);
    assert_int_equal(run(l, &c.op), 0);
    sweep(l);
    assert_int_equal(balance(l, name), 190);
    assert_balanced(l, 0, 0);
}

static void a_recovered_cost_stays_within_the_hold(void **state)
{
    struct fake_ledger *l = *state;

    hold(l, "r1", BOOT_OLD);
    checkpoint(l, "r1", INT64_MAX, INT64_MAX);
    sweep(l);
    assert_int_equal(balance(l, "alice"), 9000);
    assert_balanced(l, 0, 0);
}

/* R14 */
static void a_sweep_that_charges_nothing_frees_the_idempotency_key(void **state)
{
    static const char *const ids[] = {"free", "paid"};
    struct fake_ledger *l = *state;

    for (size_t i = 0; i < 2; i++) {
        struct ledger_reserve r = reserve_of(ids[i], "alice", 1000);

        snprintf(r.boot_id, sizeof r.boot_id, "%s", BOOT_OLD);
        snprintf(r.idempotency_key, sizeof r.idempotency_key, "%s", ids[i]);
        assert_int_equal(run(l, &r.op), 0);
    }
    checkpoint(l, "paid", 100, 50);
    sweep(l);
    for (size_t i = 0; i < 2; i++) {
        struct ledger_reserve again = reserve_of(i == 0 ? "r3" : "r4", "alice", 1000);

        snprintf(again.idempotency_key, sizeof again.idempotency_key, "%s", ids[i]);
        assert_int_equal(run(l, &again.op), i == 0 ? 0 : ERR_EXISTS);
    }
    assert_balanced(l, 1, 1000);
}

static void many_holds_are_recovered_in_one_sweep(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_sweep w;

    for (int i = 0; i < 9; i++) {
        char id[8];

        snprintf(id, sizeof id, "r%d", i);
        hold(l, id, BOOT_OLD);
        if (i % 2)
            checkpoint(l, id, 10, 10);
    }
    w = sweep(l);
    assert_int_equal(w.settled, 4);
    assert_int_equal(w.released, 5);
    assert_int_equal(balance(l, "alice"), 10000 - 4 * 100);
    assert_balanced(l, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, fake_ledger_setup, fake_ledger_teardown)
        TEST(holds_of_an_earlier_boot_are_settled_at_their_last_checkpoint),
        TEST(a_hold_expires_a_minute_after_its_deadline),
        TEST(a_jump_of_the_wall_clock_ends_no_live_hold),
        TEST(a_hold_of_another_boot_is_settled_whatever_its_deadline),
        TEST(a_sweep_without_a_boot_is_refused),
        TEST(a_sweep_searches_the_index_and_scans_nothing),
        TEST(a_settle_after_recovery_moves_nothing),
        TEST(a_checkpoint_never_goes_back_and_never_touches_a_settled_hold),
        TEST(a_checkpoint_notes_all_of_its_rows_and_no_more),
        TEST(a_recovered_payment_reaches_its_account),
        TEST(a_recovered_cost_stays_within_the_hold),
        TEST(a_sweep_that_charges_nothing_frees_the_idempotency_key),
        TEST(many_holds_are_recovered_in_one_sweep),
    };

    return cmocka_run_group_tests_name("ledger: recovery", tests, NULL, NULL);
}
