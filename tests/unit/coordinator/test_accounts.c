/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of accounts: which holds a balance covers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/admit/accounts.h"

static const uint8_t key[KEY_HASH_BYTES] = {1}, other_key[KEY_HASH_BYTES] = {2};
static const struct account_settings no_settings;

static int64_t clock_now(void *ud)
{
    return *(const int64_t *)ud;
}

struct one_loop {
    struct purses *purses;
    struct accounts *as;
    int64_t now_us;
};

static void up(struct one_loop *l)
{
    const struct clock clock = {.mono_us = clock_now, .wall_us = clock_now, .ud = &l->now_us};

    l->purses = purses_new(0, 10);
    l->as = accounts_new(&clock, l->purses);
    assert_non_null(l->as);
}

static void down(struct one_loop *l)
{
    accounts_free(l->as);
    purses_free(l->purses);
}

static void a_hold_is_covered_by_what_is_known_less_what_is_on_its_way(void **state)
{
    struct one_loop l = {.now_us = 1};
    struct account *a;
    (void)state;

    up(&l);
    a = accounts_learn(l.as, key, "alice", 1000, &no_settings);
    assert_true(account_covers(a, 1000));
    assert_false(account_covers(a, 1001));
    account_hold_submitted(a, 600);
    assert_true(account_covers(a, 400));
    assert_false(account_covers(a, 401));
    account_hold_submitted(a, 300);
    assert_true(account_covers(a, 100));
    assert_false(account_covers(a, 101));
    down(&l);
}

/* Findings §4: decided with `+=` nobody noticed that holds stayed pending for ever. */
static void a_decided_hold_is_on_its_way_no_more(void **state)
{
    struct one_loop l = {.now_us = 1};
    struct account *a;
    (void)state;

    up(&l);
    a = accounts_learn(l.as, key, "alice", 1000, &no_settings);
    account_hold_submitted(a, 600);
    account_hold_submitted(a, 300);
    account_hold_decided(a, 600, 400); /* committed: the balance is less it */
    assert_true(account_covers(a, 100));
    assert_false(account_covers(a, 101));
    account_hold_decided(a, 300, -1); /* not taken; the balance is as it was known */
    assert_true(account_covers(a, 400));
    assert_false(account_covers(a, 401));
    down(&l);
}

static void what_was_forgotten_covers_nothing_until_it_is_known_again(void **state)
{
    struct one_loop l = {.now_us = 1};
    struct account *a;
    (void)state;

    up(&l);
    a = accounts_learn(l.as, key, "alice", 1000, &no_settings);
    accounts_forget(l.as);
    assert_null(accounts_by_key(l.as, key));
    assert_false(account_covers(a, 1));
    assert_ptr_equal(accounts_learn(l.as, other_key, "alice", 50, &no_settings), a);
    assert_true(account_covers(a, 50));
    assert_ptr_equal(accounts_by_key(l.as, other_key), a);
    down(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_is_covered_by_what_is_known_less_what_is_on_its_way),
        cmocka_unit_test(a_decided_hold_is_on_its_way_no_more),
        cmocka_unit_test(what_was_forgotten_covers_nothing_until_it_is_known_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
