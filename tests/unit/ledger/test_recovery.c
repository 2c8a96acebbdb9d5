/* SPDX-License-Identifier: Apache-2.0 */
/* Holds that nobody settles: checkpoints, recovery after a crash, expiry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

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

static struct ledger_sweep sweep(struct fake_ledger *l, int64_t now_us, const char *boot)
{
    struct ledger_sweep w;

    ledger_sweep_init(&w, NULL);
    w.now_wall_us = now_us;
    snprintf(w.boot_id, sizeof w.boot_id, "%s", boot);
    assert_int_equal(run(l, &w.op), 0);
    return w;
}

static const int64_t start_us = 1700000000000000;

static void holds_of_an_earlier_boot_are_settled_at_their_last_checkpoint(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_sweep w;

    hold(l, "delivered", BOOT_OLD);
    checkpoint(l, "delivered", 100, 20);
    checkpoint(l, "delivered", 100, 50);
    hold(l, "nothing", BOOT_OLD);
    hold(l, "live", BOOT_NOW);
    w = sweep(l, start_us, BOOT_NOW);
    assert_int_equal(w.settled, 1);
    assert_int_equal(w.released, 1);
    assert_int_equal(balance(l, "alice"), 10000 - 1000 - 200); /* 100 × 1 + 50 × 2 */
    assert_int_equal(balance(l, PROVIDER), 190);
    assert_int_equal(balance(l, "platform"), 10);
    assert_balanced(l, 1, 1000);
    assert_int_equal(fake_store_number(l->db, "SELECT outcome = 'recovered' FROM holds"
                                              " WHERE request_id = 'delivered'"),
                     1);
    w = sweep(l, start_us, BOOT_NOW);
    assert_int_equal(w.settled + w.released, 0);
}

static void a_hold_expires_a_minute_after_its_deadline(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_sweep w;

    hold(l, "r1", BOOT_NOW);
    checkpoint(l, "r1", 100, 50);
    hold(l, "r2", BOOT_OLD); /* without a boot's id the sweep takes only what has expired */
    w = sweep(l, start_us + 11 * MINUTE_US - 1, "");
    assert_int_equal(w.settled + w.released, 0);
    w = sweep(l, start_us + 11 * MINUTE_US, "");
    assert_int_equal(w.settled, 1);
    assert_int_equal(w.released, 1);
    assert_int_equal(
        fake_store_number(l->db, "SELECT count(*) FROM holds WHERE outcome = 'expired'"), 2);
    assert_balanced(l, 0, 0);
}

static void a_settle_after_recovery_moves_nothing(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);

    hold(l, "r1", BOOT_OLD);
    sweep(l, start_us, BOOT_NOW);
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

static void a_recovered_cost_stays_within_the_hold(void **state)
{
    struct fake_ledger *l = *state;

    hold(l, "r1", BOOT_OLD);
    checkpoint(l, "r1", INT64_MAX, INT64_MAX);
    sweep(l, start_us, BOOT_NOW);
    assert_int_equal(balance(l, "alice"), 9000);
    assert_balanced(l, 0, 0);
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
    w = sweep(l, start_us, BOOT_NOW);
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
        TEST(a_settle_after_recovery_moves_nothing),
        TEST(a_checkpoint_never_goes_back_and_never_touches_a_settled_hold),
        TEST(a_recovered_cost_stays_within_the_hold),
        TEST(many_holds_are_recovered_in_one_sweep),
    };

    return cmocka_run_group_tests_name("ledger: recovery", tests, NULL, NULL);
}
