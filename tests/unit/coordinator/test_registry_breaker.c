/* SPDX-License-Identifier: Apache-2.0 */
/* When a provider that fails is asked again (R6, FR-1, FR-2, FR-7). Time is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/registry/breaker.h"

#define S INT64_C(1000000)

static struct breaker fresh(void)
{
    struct breaker b;

    breaker_init(&b, 0);
    return b;
}

/* One request after the other, each judged before the next. */
static void serve(struct breaker *b, int64_t now_us, int n)
{
    for (int i = 0; i < n; i++) {
        bool probe = breaker_started(b, now_us);

        breaker_content(b);
        (void)breaker_served(b, now_us, probe);
    }
}

static void fail_requests(struct breaker *b, int64_t now_us, int n)
{
    for (int i = 0; i < n; i++)
        (void)breaker_failed(b, now_us, breaker_started(b, now_us));
}

static void one_failure_or_two_do_not_open_it(void **state)
{
    struct breaker b = fresh();

    (void)state;
    fail_requests(&b, 0, 2);
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
    serve(&b, 0, 20);
    fail_requests(&b, 0, 2); /* not in a row with the others */
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
    assert_true(breaker_limit(&b, 0, 0) >= 1);
}

static void three_failures_in_a_row_open_it_for_four_seconds(void **state)
{
    struct breaker b = fresh();

    (void)state;
    serve(&b, 0, 100);
    fail_requests(&b, 0, 3);
    assert_int_equal(breaker_state(&b, 0), BREAKER_OPEN);
    assert_int_equal(breaker_limit(&b, 0, 0), 0);
    assert_int_equal(breaker_state(&b, 4 * S - 1), BREAKER_OPEN);
    assert_int_equal(breaker_state(&b, 4 * S), BREAKER_HALF_OPEN);
}

static void who_fails_forty_percent_is_kept_out_by_its_rate_as_of_FR_2(void **state)
{
    struct breaker b = fresh();
    int n = 0;

    (void)state;
    /* Never two failures in a row. */
    while (breaker_state(&b, 0) == BREAKER_CLOSED && n < 100) {
        int of_five = n++ % 5;

        if (of_five == 1 || of_five == 3)
            fail_requests(&b, 0, 1);
        else
            serve(&b, 0, 1);
    }
    assert_int_equal(breaker_state(&b, 0), BREAKER_OPEN);
    assert_true(n <= 10);
}

static void who_fails_one_in_ten_stays_in(void **state)
{
    struct breaker b = fresh();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        serve(&b, i * S, 9);
        fail_requests(&b, i * S, 1);
        assert_int_equal(breaker_state(&b, i * S), BREAKER_CLOSED);
    }
}

static void failures_long_ago_do_not_add_up(void **state)
{
    struct breaker b = fresh();

    (void)state;
    for (int64_t hour = 0; hour < 100; hour++) {
        fail_requests(&b, hour * 3600 * S, 2);
        serve(&b, hour * 3600 * S, 2);
        assert_int_equal(breaker_state(&b, hour * 3600 * S), BREAKER_CLOSED);
    }
}

static void refusals_for_load_are_no_failures_as_of_FR_7(void **state)
{
    struct breaker b = fresh();

    (void)state;
    for (int i = 0; i < 10000; i++)
        assert_false(breaker_spared(&b, 0, breaker_started(&b, 0)));
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
    assert_int_equal(breaker_limit(&b, 0, 0), 6);
    fail_requests(&b, 0, 2);
    (void)breaker_spared(&b, 0, false);
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
}

/* --- half open --- */

static void half_open_lets_exactly_one_through(void **state)
{
    struct breaker b = fresh();
    bool probe;

    (void)state;
    fail_requests(&b, 0, 3);
    assert_int_equal(breaker_limit(&b, 4 * S, 0), 1);
    assert_int_equal(breaker_limit(&b, 4 * S, 5), 6); /* five run there from before */
    probe = breaker_started(&b, 4 * S);
    assert_true(probe);
    assert_int_equal(breaker_limit(&b, 4 * S, 1), 0);
    assert_int_equal(breaker_limit(&b, 1000 * S, 1), 0); /* however long it takes */
    assert_false(breaker_started(&b, 4 * S));
    assert_true(breaker_served(&b, 5 * S, probe));
    assert_int_equal(breaker_state(&b, 5 * S), BREAKER_CLOSED);
    assert_int_equal(breaker_limit(&b, 5 * S, 0), 2); /* and then not all at once */
}

static void a_probe_that_is_nobodys_fault_gives_its_turn_back(void **state)
{
    struct breaker b = fresh();

    (void)state;
    fail_requests(&b, 0, 3);
    assert_true(breaker_started(&b, 4 * S));
    assert_true(breaker_spared(&b, 4 * S, true));
    assert_int_equal(breaker_state(&b, 4 * S), BREAKER_HALF_OPEN);
    assert_int_equal(breaker_limit(&b, 4 * S, 0), 1);
}

static void what_began_before_it_opened_neither_closes_nor_doubles_it(void **state)
{
    struct breaker b = fresh();

    (void)state;
    serve(&b, 0, 10);
    fail_requests(&b, 0, 3);
    assert_false(breaker_served(&b, 1 * S, false));
    assert_int_equal(breaker_state(&b, 1 * S), BREAKER_OPEN);
    for (int i = 0; i < 20; i++)
        assert_false(breaker_failed(&b, 2 * S, false));
    assert_int_equal(breaker_state(&b, 4 * S), BREAKER_HALF_OPEN);
    assert_true(breaker_started(&b, 4 * S));
    assert_false(breaker_served(&b, 4 * S, false));
    assert_int_equal(breaker_state(&b, 4 * S), BREAKER_HALF_OPEN);
}

/* When the probe of each opening is due; returns when the last one has failed. */
static int64_t fail_probes(struct breaker *b, int64_t now_us, int n)
{
    for (int i = 0; i < n; i++) {
        now_us = b->open_until_us;
        fail_requests(b, now_us, 1);
    }
    return now_us;
}

static void the_back_off_doubles_to_fifteen_minutes(void **state)
{
    struct breaker b = fresh();
    int64_t now = 0, expected = 4 * S;

    (void)state;
    fail_requests(&b, 0, 3);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(b.open_until_us - now, expected);
        now = fail_probes(&b, now, 1);
        expected = expected * 2 < 900 * S ? expected * 2 : 900 * S;
    }
}

static void after_an_opening_one_failure_is_enough_until_eight_were_served(void **state)
{
    struct breaker b = fresh();
    int64_t now;

    (void)state;
    fail_requests(&b, 0, 3);
    now = fail_probes(&b, 0, 3); /* 32 s from here */
    now += 32 * S;
    serve(&b, now, 7); /* the probe and six more */
    fail_requests(&b, now, 1);
    assert_int_equal(b.open_until_us - now, 64 * S);
    now = b.open_until_us;
    serve(&b, now, 8);
    fail_requests(&b, now, 1);
    assert_int_equal(breaker_state(&b, now), BREAKER_CLOSED);
    fail_requests(&b, now, 2);
    assert_int_equal(b.open_until_us - now, 4 * S);
}

static void after_a_quiet_quarter_of_an_hour_it_starts_anew(void **state)
{
    struct breaker b = fresh();
    int64_t now;

    (void)state;
    fail_requests(&b, 0, 3);
    now = fail_probes(&b, 0, 3) + 32 * S;
    serve(&b, now, 1);
    now += 900 * S;
    fail_requests(&b, now, 1);
    assert_int_equal(breaker_state(&b, now), BREAKER_CLOSED);
    fail_requests(&b, now, 2);
    assert_int_equal(b.open_until_us - now, 4 * S);
}

/* A dead one that is seldom asked has proved nothing meanwhile. */
static void a_back_off_that_nobody_tried_is_not_forgiven(void **state)
{
    struct breaker b = fresh();
    int64_t now;

    (void)state;
    fail_requests(&b, 0, 3);
    now = fail_probes(&b, 0, 3) + 3600 * S;
    fail_requests(&b, now, 1);
    assert_int_equal(b.open_until_us - now, 64 * S);
}

/* --- at once --- */

static void a_key_that_has_shown_nothing_gets_six_at_once_and_fewer_with_each_failure(void **state)
{
    struct breaker b = fresh();

    (void)state;
    assert_int_equal(breaker_limit(&b, 0, 0), 6);
    fail_requests(&b, 0, 1);
    assert_int_equal(breaker_limit(&b, 0, 0), 5);
    fail_requests(&b, 0, 1);
    assert_int_equal(breaker_limit(&b, 0, 0), 4);
    for (int i = 0; i < 20; i++)
        breaker_content(&b);
    assert_int_equal(breaker_limit(&b, 0, 0), BREAKER_WINDOW_MAX);
}

/* Requests come all the time, `room` fit in there, and each fails `after_us` later. */
static int requests_of_a_dead_one(int64_t room, int64_t after_us, int64_t until_us,
                                  int64_t *ret_last_quick)
{
    struct breaker b = fresh();
    struct {
        int64_t ends_us;
        bool probe;
    } running[64];
    int64_t n = 0, last_quick = 0, last_start = 0;
    int total = 0;

    for (int64_t now = 0; now < until_us; now += 10000) {
        while (n > 0 && running[0].ends_us <= now) {
            (void)breaker_failed(&b, now, running[0].probe);
            n--;
            for (int64_t i = 0; i < n; i++)
                running[i] = running[i + 1];
        }
        while (n < room && n < breaker_limit(&b, now, n)) {
            running[n].probe = breaker_started(&b, now);
            running[n++].ends_us = now + after_us;
            if (now - last_start < 30 * S)
                last_quick = total + 1;
            last_start = now;
            total++;
        }
    }
    *ret_last_quick = last_quick;
    return total;
}

static void
a_dead_provider_costs_ten_requests_and_then_one_in_thirty_seconds_as_of_FR_1(void **state)
{
    static const struct {
        int64_t room, after_us;
    } cases[] = {{1, 0}, {4, 0}, {64, 0}, {1, 10 * S}, {4, 10 * S}, {64, 10 * S}, {64, 600 * S}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t quick;
        int total = requests_of_a_dead_one(cases[i].room, cases[i].after_us, 24 * 3600 * S, &quick);

        if (quick > 10)
            fail_msg("case %zu: request %lld came within 30 s of the one before", i,
                     (long long)quick);
        assert_true(total >= 50); /* it is tried again and again */
        assert_true(total <= 120);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failure_or_two_do_not_open_it),
        cmocka_unit_test(three_failures_in_a_row_open_it_for_four_seconds),
        cmocka_unit_test(who_fails_forty_percent_is_kept_out_by_its_rate_as_of_FR_2),
        cmocka_unit_test(who_fails_one_in_ten_stays_in),
        cmocka_unit_test(failures_long_ago_do_not_add_up),
        cmocka_unit_test(refusals_for_load_are_no_failures_as_of_FR_7),
        cmocka_unit_test(half_open_lets_exactly_one_through),
        cmocka_unit_test(a_probe_that_is_nobodys_fault_gives_its_turn_back),
        cmocka_unit_test(what_began_before_it_opened_neither_closes_nor_doubles_it),
        cmocka_unit_test(the_back_off_doubles_to_fifteen_minutes),
        cmocka_unit_test(after_an_opening_one_failure_is_enough_until_eight_were_served),
        cmocka_unit_test(after_a_quiet_quarter_of_an_hour_it_starts_anew),
        cmocka_unit_test(a_back_off_that_nobody_tried_is_not_forgiven),
        cmocka_unit_test(a_key_that_has_shown_nothing_gets_six_at_once_and_fewer_with_each_failure),
        cmocka_unit_test(
            a_dead_provider_costs_ten_requests_and_then_one_in_thirty_seconds_as_of_FR_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
