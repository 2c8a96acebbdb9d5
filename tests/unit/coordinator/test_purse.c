/* SPDX-License-Identifier: Apache-2.0 */
/* What loops know of an account together. The last test is what TSan looks at. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/admit/purse.h"

enum { S = 1000000 };

static void an_account_has_one_purse_whoever_asks(void **state)
{
    struct purses *ps = purses_new(0, 1);
    struct purse *alice = purses_find(ps, "alice");

    (void)state;
    assert_ptr_equal(purses_find(ps, "alice"), alice);
    assert_ptr_not_equal(purses_find(ps, "bob"), alice);
    assert_string_equal(alice->name, "alice");
    purses_free(ps);
    purses_free(NULL);
}

static void a_balance_covers_what_is_left_beside_pending_holds(void **state)
{
    struct purses *ps = purses_new(0, 1);
    struct purse *p = purses_find(ps, "alice");

    (void)state;
    assert_false(purse_covers(p, 0)); /* not known */
    purse_set_balance(p, 100);
    purse_pend(p, 60);
    assert_true(purse_covers(p, 40));
    assert_false(purse_covers(p, 41));
    purse_pend(p, -60);
    assert_true(purse_covers(p, 100));
    purse_forget_balance(p);
    assert_false(purse_covers(p, 0));
    purses_free(ps);
}

/* As a bucket of tokens that is full at first: `burst` at once, then one a period. */
static void the_rate_allows_a_burst_and_then_one_a_period(void **state)
{
    struct purses *ps = purses_new(2, 3);
    struct purse *p = purses_find(ps, "alice");
    int wait = 0;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(purse_take(ps, p, 100 * S, &wait), 0);
    for (int i = 0; i < 3; i++) /* a refusal leaves no debt */
        assert_int_equal(purse_take(ps, p, 100 * S, &wait), ERR_BUSY);
    assert_int_equal(wait, 1);
    assert_int_equal(purse_take(ps, p, 100 * S + S / 2 - 1, &wait), ERR_BUSY);
    assert_int_equal(purse_take(ps, p, 100 * S + S / 2, &wait), 0);
    assert_int_equal(purse_take(ps, p, 100 * S + S / 2, &wait), ERR_BUSY);
    for (int i = 0; i < 3; i++) /* it never saves more than a burst */
        assert_int_equal(purse_take(ps, p, 900 * INT64_C(1000000), &wait), 0);
    assert_int_equal(purse_take(ps, p, 900 * INT64_C(1000000), &wait), ERR_BUSY);
    purses_free(ps);
}

static void limits_may_change_and_be_as_small_or_large_as_they_like(void **state)
{
    struct purses *ps = purses_new(1e-12, 1000000);
    struct purse *p = purses_find(ps, "alice");
    int wait = 0;

    (void)state;
    assert_int_equal(purse_take(ps, p, S, &wait), 0);
    purses_limit_rate(ps, 1e-12, 1);
    assert_int_equal(purse_take(ps, p, S, &wait), ERR_BUSY);
    assert_int_equal(wait, 60);
    purses_limit_rate(ps, 0, 1);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(purse_take(ps, p, S, &wait), 0);
    purses_free(ps);
}

/* --- threads --- */

enum { THREADS = 4, TRIES = 5000, BURST = 7000 };

struct spender {
    struct purses *ps;
    pthread_t thread;
    int taken;
};

static void *spend(void *ud)
{
    struct spender *s = ud;
    struct purse *p = purses_find(s->ps, "alice");
    int wait;

    for (int i = 0; i < TRIES; i++) {
        s->taken += purse_take(s->ps, p, S, &wait) == 0;
        purse_pend(p, 3);
        (void)purse_covers(p, 1);
        purse_pend(p, -3);
        purse_set_balance(p, i);
    }
    return NULL;
}

static void many_loops_take_no_more_than_the_rate_allows(void **state)
{
    struct spender spenders[THREADS];
    struct purses *ps = purses_new(1, BURST);
    int taken = 0;

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        spenders[i] = (struct spender){.ps = ps};
        assert_int_equal(pthread_create(&spenders[i].thread, NULL, spend, &spenders[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(spenders[i].thread, NULL);
        taken += spenders[i].taken;
    }
    assert_int_equal(taken, BURST);
    assert_int_equal(atomic_load(&purses_find(ps, "alice")->pending_micro_usd), 0);
    purses_free(ps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_account_has_one_purse_whoever_asks),
        cmocka_unit_test(a_balance_covers_what_is_left_beside_pending_holds),
        cmocka_unit_test(the_rate_allows_a_burst_and_then_one_a_period),
        cmocka_unit_test(limits_may_change_and_be_as_small_or_large_as_they_like),
        cmocka_unit_test(many_loops_take_no_more_than_the_rate_allows),
    };

    return cmocka_run_group_tests_name("purses", tests, NULL, NULL);
}
