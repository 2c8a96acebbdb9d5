/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of accounts: which holds a balance covers; and of keys that are nobody's. */
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

static void unknown_key(uint32_t n, uint8_t ret_hash[static KEY_HASH_BYTES])
{
    memset(ret_hash, 7, KEY_HASH_BYTES);
    memcpy(ret_hash, &n, sizeof n);
}

/* Findings L2: each use of an unknown key asked the store. */
static void an_unknown_key_is_remembered_for_ten_seconds(void **state)
{
    struct one_loop l = {.now_us = 1};
    (void)state;

    up(&l);
    assert_false(accounts_is_unknown(l.as, key));
    accounts_learn_unknown(l.as, key);
    assert_true(accounts_is_unknown(l.as, key));
    assert_false(accounts_is_unknown(l.as, other_key));
    l.now_us += ACCOUNTS_UNKNOWN_S * INT64_C(1000000) - 1;
    assert_true(accounts_is_unknown(l.as, key));
    l.now_us += 1;
    assert_false(accounts_is_unknown(l.as, key));
    down(&l);
}

static void a_change_of_the_store_makes_unknown_keys_be_asked_for_again(void **state)
{
    struct one_loop l = {.now_us = 1};
    (void)state;

    up(&l);
    accounts_learn_unknown(l.as, key);
    accounts_forget(l.as);
    assert_false(accounts_is_unknown(l.as, key));
    down(&l);
}

static void of_too_many_unknown_keys_the_oldest_are_forgotten(void **state)
{
    struct one_loop l = {.now_us = 1};
    uint8_t hash[KEY_HASH_BYTES];
    uint32_t known = 0;
    (void)state;

    up(&l);
    for (uint32_t i = 0; i < 4 * ACCOUNTS_UNKNOWN_MAX; i++) {
        unknown_key(i, hash);
        accounts_learn_unknown(l.as, hash);
        l.now_us++;
    }
    for (uint32_t i = 0; i < 4 * ACCOUNTS_UNKNOWN_MAX; i++) {
        unknown_key(i, hash);
        assert_int_equal(accounts_is_unknown(l.as, hash), i >= 3 * ACCOUNTS_UNKNOWN_MAX);
        known += accounts_is_unknown(l.as, hash);
    }
    assert_int_equal(known, ACCOUNTS_UNKNOWN_MAX);
    down(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_is_covered_by_what_is_known_less_what_is_on_its_way),
        cmocka_unit_test(a_decided_hold_is_on_its_way_no_more),
        cmocka_unit_test(what_was_forgotten_covers_nothing_until_it_is_known_again),
        cmocka_unit_test(an_unknown_key_is_remembered_for_ten_seconds),
        cmocka_unit_test(a_change_of_the_store_makes_unknown_keys_be_asked_for_again),
        cmocka_unit_test(of_too_many_unknown_keys_the_oldest_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
