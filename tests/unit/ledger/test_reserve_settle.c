/* SPDX-License-Identifier: Apache-2.0 */
/* Reserve and settle: what moves, what never moves twice, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/ledger/fake_ledger.h"

/* --- reserve --- */

static void a_reserve_moves_the_ceiling_into_the_holds(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);

    assert_int_equal(run(l, &r.op), 0);
    assert_int_equal(r.balance_micro_usd, 9000);
    assert_int_equal(balance(l, "alice"), 9000);
    assert_int_equal(balance(l, "holds"), 1000);
    assert_int_equal(balance(l, "world"), -10000);
    assert_balanced(l, 1, 1000);
}

static void a_reserve_of_more_than_the_balance_is_refused(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve more = reserve_of("r1", "alice", 10001);
    struct ledger_reserve nobody = reserve_of("r2", "nobody", 1);
    struct ledger_reserve all = reserve_of("r3", "alice", 10000);
    struct ledger_reserve one = reserve_of("r4", "alice", 1);

    assert_int_equal(run(l, &more.op), ERR_FUNDS);
    assert_int_equal(more.balance_micro_usd, 10000);
    assert_int_equal(run(l, &nobody.op), ERR_FUNDS);
    assert_int_equal(nobody.balance_micro_usd, 0);
    assert_balanced(l, 0, 0);
    assert_int_equal(run(l, &all.op), 0);
    assert_int_equal(run(l, &one.op), ERR_FUNDS);
    assert_balanced(l, 1, 10000);
}

static void amounts_that_make_no_sense_are_refused(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve zero = reserve_of("r1", "alice", 0);
    struct ledger_reserve negative = reserve_of("r2", "alice", -5);
    struct ledger_reserve most = reserve_of("r3", "alice", INT64_MAX);
    struct ledger_reserve late = reserve_of("r4", "alice", 5);
    struct ledger_reserve priced = reserve_of("r5", "alice", 5);
    struct ledger_reserve gift = reserve_of("r6", "alice", 5);

    late.deadline_mono_us = INT64_MAX;
    priced.price.output_micro_usd_per_mtok = -1;
    assert_int_equal(run(l, &zero.op), ERR_RANGE);
    assert_int_equal(run(l, &negative.op), ERR_RANGE);
    assert_int_equal(run(l, &most.op), ERR_FUNDS);
    assert_int_equal(run(l, &late.op), ERR_RANGE);
    assert_int_equal(run(l, &priced.op), ERR_RANGE);
    assert_int_equal(balance(l, "alice"), 10000);
    assert_balanced(l, 0, 0);
    gift.price = (struct price){0, 0};
    assert_int_equal(run(l, &gift.op), 0);
}

static void the_same_request_reserves_once(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve first = reserve_of("r1", "alice", 1000);
    struct ledger_reserve again = reserve_of("r1", "alice", 1000);
    struct ledger_reserve other_amount = reserve_of("r1", "alice", 2000);
    struct ledger_reserve other_account = reserve_of("r1", "bob", 1000);
    struct ledger_settle s = settle_of("r1", LEDGER_RELEASED);

    assert_int_equal(run(l, &first.op), 0);
    assert_int_equal(run(l, &again.op), 0);
    assert_int_equal(again.balance_micro_usd, 9000);
    assert_int_equal(run(l, &other_amount.op), ERR_CONFLICT);
    assert_string_equal(other_amount.first_request_id, "r1");
    assert_true(other_amount.first_open);
    assert_int_equal(run(l, &other_account.op), ERR_CONFLICT);
    assert_balanced(l, 1, 1000);

    assert_int_equal(run(l, &s.op), 0);
    assert_int_equal(run(l, &again.op), 0); /* and not again after it ended */
    assert_int_equal(run(l, &other_amount.op), ERR_CONFLICT);
    assert_false(other_amount.first_open);
    assert_balanced(l, 0, 0);
}

static void one_batch_never_overdraws(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve ops[15];
    int held = 0;

    for (int i = 0; i < 15; i++) {
        char id[8];

        snprintf(id, sizeof id, "r%d", i);
        ops[i] = reserve_of(id, "alice", 1000);
        store_submit(l->f.store, &ops[i].op);
    }
    store_pump(l->f.store);
    store_poll(l->f.store);
    for (int i = 0; i < 15; i++) {
        assert_int_equal(ops[i].op.rc, i < 10 ? 0 : ERR_FUNDS);
        held += ops[i].op.rc == 0;
    }
    assert_int_equal(held, 10);
    assert_int_equal(balance(l, "alice"), 0);
    assert_balanced(l, 10, 10000);
}

/* --- idempotency keys --- */

static struct ledger_reserve keyed(const char *id, const char *account, const char *key,
                                   uint8_t body)
{
    struct ledger_reserve r = reserve_of(id, account, 1000);

    snprintf(r.idempotency_key, sizeof r.idempotency_key, "%s", key);
    memset(r.body_hash, body, sizeof r.body_hash);
    return r;
}

static void an_idempotency_key_runs_once_while_open_and_after(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve first = keyed("r1", "alice", "k", 1);
    struct ledger_reserve repeat = keyed("r2", "alice", "k", 1);
    struct ledger_reserve other_body = keyed("r3", "alice", "k", 2);
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);

    assert_int_equal(run(l, &first.op), 0);
    assert_int_equal(run(l, &repeat.op), ERR_EXISTS);
    assert_string_equal(repeat.first_request_id, "r1");
    assert_true(repeat.first_open);
    assert_int_equal(run(l, &other_body.op), ERR_CONFLICT);
    assert_string_equal(other_body.first_request_id, "r1");
    assert_true(other_body.first_open);

    assert_int_equal(run(l, &s.op), 0);
    assert_int_equal(run(l, &repeat.op), ERR_EXISTS);
    assert_false(repeat.first_open);
    assert_int_equal(run(l, &other_body.op), ERR_CONFLICT);
    assert_false(other_body.first_open);
    assert_balanced(l, 0, 0);
}

static void an_idempotency_key_belongs_to_its_account(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve alice = keyed("r1", "alice", "k", 1);
    struct ledger_reserve bob = keyed("r2", "bob", "k", 1);
    struct ledger_reserve other = keyed("r3", "alice", "K", 1);

    assert_int_equal(ledger_credit(l->db, STR("bob"), 5000, STR("bob's"), 0), 0);
    assert_int_equal(run(l, &alice.op), 0);
    assert_int_equal(run(l, &bob.op), 0);
    assert_int_equal(run(l, &other.op), 0);
    assert_balanced(l, 3, 3000);
}

static void a_refused_hold_does_not_use_its_key_up(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve dear = keyed("r1", "alice", "k", 1);
    struct ledger_reserve later = keyed("r2", "alice", "k", 1);

    dear.ceiling_micro_usd = 20000;
    assert_int_equal(run(l, &dear.op), ERR_FUNDS);
    assert_int_equal(run(l, &later.op), 0);
}

static void a_repeat_is_told_so_even_without_money(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve first = keyed("r1", "alice", "k", 1);
    struct ledger_reserve repeat = keyed("r2", "alice", "k", 1);

    first.ceiling_micro_usd = repeat.ceiling_micro_usd = 10000;
    assert_int_equal(run(l, &first.op), 0);
    assert_int_equal(run(l, &repeat.op), ERR_EXISTS);
    assert_int_equal(run(l, &first.op), 0);
}

/* R14: it was 409 for ever. */
static void a_key_whose_request_was_charged_nothing_is_free_again(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve first = keyed("r1", "alice", "k", 1);
    struct ledger_reserve again = keyed("r2", "alice", "k", 1);
    struct ledger_reserve other_body = keyed("r3", "alice", "k", 2);
    struct ledger_settle nothing = settle_of("r1", LEDGER_RELEASED);
    struct ledger_settle something = settle_of("r2", LEDGER_COMPLETED);

    assert_int_equal(run(l, &first.op), 0);
    assert_int_equal(run(l, &again.op), ERR_EXISTS); /* in flight */
    assert_int_equal(run(l, &nothing.op), 0);
    assert_int_equal(run(l, &again.op), 0);
    assert_int_equal(run(l, &other_body.op), ERR_CONFLICT); /* the new one has it now */
    assert_string_equal(other_body.first_request_id, "r2");
    assert_int_equal(run(l, &first.op), 0); /* the first request itself stays known */
    assert_int_equal(run(l, &something.op), 0);
    assert_int_equal(run(l, &other_body.op), ERR_CONFLICT);
    assert_false(other_body.first_open);
    assert_balanced(l, 0, 0);
}

/* R14: a consumer repeats as soon as it has its error, before the settle is durable. */
static void a_release_frees_its_key_for_a_reserve_in_the_same_batch(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve first = keyed("r1", "alice", "k", 1);
    struct ledger_reserve again = keyed("r2", "alice", "k", 2);
    struct ledger_settle nothing = settle_of("r1", LEDGER_RELEASED);

    assert_int_equal(run(l, &first.op), 0);
    store_submit(l->f.store, &nothing.op);
    store_submit(l->f.store, &again.op);
    store_pump(l->f.store);
    store_poll(l->f.store);
    assert_int_equal(nothing.op.rc, 0);
    assert_int_equal(again.op.rc, 0);
    assert_balanced(l, 1, 1000);
}

/* --- settle --- */

static void a_settle_pays_provider_and_platform_and_gives_the_rest_back(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);

    run(l, &r.op);
    assert_int_equal(run(l, &s.op), 0);
    assert_int_equal(s.cost_micro_usd, 500);
    assert_int_equal(s.fee_micro_usd, 25);
    assert_int_equal(s.payout_micro_usd, 475);
    assert_int_equal(s.refund_micro_usd, 500);
    assert_int_equal(s.balance_micro_usd, 9500);
    assert_false(s.already);
    assert_int_equal(balance(l, "alice"), 9500);
    assert_int_equal(balance(l, PROVIDER), 475);
    assert_int_equal(balance(l, "platform"), 25);
    assert_balanced(l, 0, 0);
}

static void a_broken_stream_is_charged_for_what_was_delivered(void **state)
{
    static const enum ledger_outcome outcomes[] = {LEDGER_CONSUMER_GONE, LEDGER_PROVIDER_FAILED,
                                                   LEDGER_DEADLINE};
    struct fake_ledger *l = *state;

    for (size_t i = 0; i < 3; i++) {
        struct ledger_reserve r;
        struct ledger_settle s;
        char id[8];

        snprintf(id, sizeof id, "r%zu", i);
        r = reserve_of(id, "alice", 1000);
        s = settle_of(id, outcomes[i]);
        s.completion_tokens = 7;
        run(l, &r.op);
        assert_int_equal(run(l, &s.op), 0);
        assert_int_equal(s.cost_micro_usd, 114);
        assert_int_equal(s.payout_micro_usd, 109);
        assert_int_equal(s.refund_micro_usd, 886);
    }
    assert_int_equal(balance(l, PROVIDER), 3 * 109);
    assert_balanced(l, 0, 0);
}

static void a_release_gives_everything_back(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);
    struct ledger_settle s = settle_of("r1", LEDGER_RELEASED);

    run(l, &r.op);
    assert_int_equal(run(l, &s.op), 0);
    assert_int_equal(s.cost_micro_usd, 0);
    assert_int_equal(s.refund_micro_usd, 1000);
    assert_int_equal(balance(l, "alice"), 10000);
    assert_int_equal(balance(l, PROVIDER), 0);
    assert_int_equal(audit(l).accounts, 4 + 1); /* no account is opened for nothing */
    assert_balanced(l, 0, 0);
}

static void a_second_settle_moves_nothing_and_tells_what_the_first_did(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);
    struct ledger_settle first = settle_of("r1", LEDGER_COMPLETED);
    struct ledger_settle second = settle_of("r1", LEDGER_RELEASED);

    run(l, &r.op);
    run(l, &first.op);
    assert_int_equal(run(l, &second.op), 0);
    assert_true(second.already);
    assert_int_equal(second.cost_micro_usd, 500);
    assert_int_equal(second.payout_micro_usd, 475);
    assert_int_equal(second.fee_micro_usd, 25);
    assert_int_equal(second.refund_micro_usd, 500);
    assert_int_equal(second.balance_micro_usd, 9500);
    assert_int_equal(balance(l, "alice"), 9500);
    assert_balanced(l, 0, 0);
}

static void a_settle_after_a_release_charges_nothing(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);
    struct ledger_settle release = settle_of("r1", LEDGER_RELEASED);
    struct ledger_settle late = settle_of("r1", LEDGER_COMPLETED);

    run(l, &r.op);
    run(l, &release.op);
    assert_int_equal(run(l, &late.op), 0);
    assert_true(late.already);
    assert_int_equal(late.cost_micro_usd, 0);
    assert_int_equal(balance(l, PROVIDER), 0);
    assert_balanced(l, 0, 0);
}

static void a_settle_without_a_hold_is_not_found(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);

    assert_int_equal(run(l, &s.op), ERR_NOT_FOUND);
    assert_balanced(l, 0, 0);
}

static void the_cost_never_exceeds_the_hold(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);
    struct ledger_reserve r2 = reserve_of("r2", "alice", 1000);
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);
    struct ledger_settle s2 = settle_of("r2", LEDGER_COMPLETED);

    s.completion_tokens = 1000000;
    s2.completion_tokens = INT64_MAX;
    s2.price.output_micro_usd_per_mtok = INT64_MAX;
    run(l, &r.op);
    run(l, &r2.op);
    assert_int_equal(run(l, &s.op), 0);
    assert_int_equal(s.cost_micro_usd, 1000);
    assert_int_equal(s.refund_micro_usd, 0);
    assert_int_equal(run(l, &s2.op), 0);
    assert_int_equal(s2.cost_micro_usd, 1000);
    assert_balanced(l, 0, 0);
}

static void a_provider_without_a_key_earns_to_unclaimed(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);
    struct ledger_reserve r2 = reserve_of("r2", "alice", 1000);
    struct ledger_settle named = settle_of("r1", LEDGER_COMPLETED);
    struct ledger_settle empty = settle_of("r2", LEDGER_COMPLETED);

    snprintf(named.provider_account, sizeof named.provider_account, "unclaimed");
    empty.provider_account[0] = '\0';
    run(l, &r.op);
    run(l, &r2.op);
    assert_int_equal(run(l, &named.op), 0);
    assert_int_equal(run(l, &empty.op), 0);
    assert_int_equal(balance(l, "unclaimed"), 2 * 475);
    assert_balanced(l, 0, 0);
}

static void a_consumer_may_pay_its_own_provider(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);

    snprintf(s.provider_account, sizeof s.provider_account, "alice");
    run(l, &r.op);
    assert_int_equal(run(l, &s.op), 0);
    assert_int_equal(s.balance_micro_usd, 10000 - 25);
    assert_int_equal(balance(l, "alice"), 10000 - 25);
    assert_balanced(l, 0, 0);
}

static void reserve_and_settle_may_share_a_batch(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);
    struct ledger_reserve dear = reserve_of("r2", "alice", 20000);
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);
    struct ledger_settle none = settle_of("r2", LEDGER_RELEASED);

    store_submit(l->f.store, &r.op);
    store_submit(l->f.store, &dear.op);
    store_submit(l->f.store, &s.op);
    store_submit(l->f.store, &none.op);
    store_pump(l->f.store);
    store_poll(l->f.store);
    assert_int_equal(r.op.rc, 0);
    assert_int_equal(dear.op.rc, ERR_FUNDS);
    assert_int_equal(s.op.rc, 0);
    assert_int_equal(s.balance_micro_usd, 9500);
    assert_int_equal(none.op.rc, ERR_NOT_FOUND);
    assert_balanced(l, 0, 0);
}

static void outcomes_have_names(void **state)
{
    (void)state;
    assert_string_equal(ledger_outcome_name(LEDGER_RELEASED), "released");
    assert_string_equal(ledger_outcome_name(LEDGER_OUTCOME_COUNT - 1), "stopped");
    assert_string_equal(ledger_outcome_name(LEDGER_OUTCOME_COUNT), "unknown");
}

/* --- credit --- */

static void a_credit_of_one_reference_counts_once(void **state)
{
    struct fake_ledger *l = *state;

    assert_int_equal(ledger_credit(l->db, STR("bob"), 700, STR("x"), 0), 0);
    assert_int_equal(ledger_credit(l->db, STR("bob"), 700, STR("x"), 0), 0);
    assert_int_equal(balance(l, "bob"), 700);
    assert_int_equal(ledger_credit(l->db, STR("bob"), 1, STR("y"), 0), 0);
    assert_int_equal(balance(l, "bob"), 701);
    assert_balanced(l, 0, 0);
}

static void a_credit_has_limits(void **state)
{
    struct fake_ledger *l = *state;
    char reference[16];

    assert_int_equal(ledger_credit(l->db, STR("bob"), 0, STR("a"), 0), ERR_RANGE);
    assert_int_equal(ledger_credit(l->db, STR("bob"), -1, STR("a"), 0), ERR_RANGE);
    assert_int_equal(ledger_credit(l->db, STR("bob"), 1, STR(""), 0), ERR_MISSING);
    assert_int_equal(ledger_credit(l->db, STR("bob"), INT64_MAX, STR("a"), 0), ERR_RANGE);
    assert_int_equal(db_begin(l->db), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(reference, sizeof reference, "n%d", i);
        assert_int_equal(
            ledger_credit(l->db, STR("bob"), LEDGER_CREDIT_MAX_MICRO_USD, str_from(reference), 0),
            0);
    }
    assert_int_equal(db_commit(l->db), 0);
    assert_int_equal(balance(l, "bob"), LEDGER_BALANCE_MAX_MICRO_USD);
    assert_int_equal(ledger_credit(l->db, STR("bob"), 1, STR("a"), 0), ERR_RANGE);
    assert_balanced(l, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, fake_ledger_setup, fake_ledger_teardown)
        TEST(a_reserve_moves_the_ceiling_into_the_holds),
        TEST(a_reserve_of_more_than_the_balance_is_refused),
        TEST(amounts_that_make_no_sense_are_refused),
        TEST(the_same_request_reserves_once),
        TEST(one_batch_never_overdraws),
        TEST(an_idempotency_key_runs_once_while_open_and_after),
        TEST(an_idempotency_key_belongs_to_its_account),
        TEST(a_refused_hold_does_not_use_its_key_up),
        TEST(a_repeat_is_told_so_even_without_money),
        TEST(a_key_whose_request_was_charged_nothing_is_free_again),
        TEST(a_release_frees_its_key_for_a_reserve_in_the_same_batch),
        TEST(a_settle_pays_provider_and_platform_and_gives_the_rest_back),
        TEST(a_broken_stream_is_charged_for_what_was_delivered),
        TEST(a_release_gives_everything_back),
        TEST(a_second_settle_moves_nothing_and_tells_what_the_first_did),
        TEST(a_settle_after_a_release_charges_nothing),
        TEST(a_settle_without_a_hold_is_not_found),
        TEST(the_cost_never_exceeds_the_hold),
        TEST(a_provider_without_a_key_earns_to_unclaimed),
        TEST(a_consumer_may_pay_its_own_provider),
        TEST(reserve_and_settle_may_share_a_batch),
        TEST(outcomes_have_names),
        TEST(a_credit_of_one_reference_counts_once),
        TEST(a_credit_has_limits),
    };

    return cmocka_run_group_tests_name("ledger: reserve and settle", tests, NULL, NULL);
}
