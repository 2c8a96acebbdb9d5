/* SPDX-License-Identifier: Apache-2.0 */
/* Prices: truncation, the minimum, and numbers that would overflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ledger/ledger.h"

static void a_cost_is_two_truncated_products_and_at_least_the_minimum(void **state)
{
    static const struct {
        int64_t input, output, prompt, completion, cost;
    } cases[] = {
        {50000, 200000, 0, 0, 100},
        {50000, 200000, 1999, 0, 100}, /* 99.95 */
        {50000, 200000, 2020, 0, 101},
        {50000, 200000, 100000, 10000, 7000},
        {999999, 999999, 1001, 1001, 2000}, /* 1000.998999 twice, each cut */
        {0, 0, 1000000000, 1000000000, 100},
        {1, 1, 999999999, 999999999, 1998},
        {100000, 780000, 12000000000000, 0, 1200000000000},
        {1000000, 0, INT64_MAX, 0, INT64_MAX}, /* the product needs 83 bits, the quotient fits */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct price p = {cases[i].input, cases[i].output};
        int64_t cost = -1;

        assert_int_equal(price_cost(&p, cases[i].prompt, cases[i].completion, &cost), 0);
        assert_int_equal(cost, cases[i].cost);
    }
}

static void what_cannot_be_priced_is_refused(void **state)
{
    static const struct {
        int64_t input, output, prompt, completion;
    } cases[] = {
        {50000, 200000, -1, 0},
        {50000, 200000, 0, -1},
        {-1, 200000, 1, 1},
        {50000, -1, 1, 1},
        {1000001, 0, INT64_MAX, 0},
        {1000000, 1000000, INT64_MAX, 1},
        {INT64_MAX, 0, INT64_MAX, 0},
        {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX},
        {50000, 200000, INT64_MIN, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct price p = {cases[i].input, cases[i].output};
        int64_t cost = -1;

        assert_int_equal(price_cost(&p, cases[i].prompt, cases[i].completion, &cost), ERR_RANGE);
        assert_int_equal(cost, -1);
    }
}

static void the_fee_is_five_percent_rounded_down(void **state)
{
    static const struct {
        int64_t cost, fee;
    } cases[] = {{0, 0}, {19, 0}, {20, 1}, {100, 5}, {119, 5}, {INT64_MAX, INT64_MAX / 20}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(price_fee(cases[i].cost), cases[i].fee);
}

static void a_charge_stays_between_nothing_and_the_hold(void **state)
{
    const struct price p = {1000000, 2000000};

    (void)state;
    assert_int_equal(ledger_charge(&p, 1000, 100, 200, true), 500);
    assert_int_equal(ledger_charge(&p, 1000, 100, 200, false), 0);
    assert_int_equal(ledger_charge(&p, 400, 100, 200, true), 400);
    assert_int_equal(ledger_charge(&p, 60, 1, 1, true), 60); /* the hold bounds the minimum too */
    assert_int_equal(ledger_charge(&p, 1000, -5, -5, true), 100);
    assert_int_equal(ledger_charge(&p, 1000, INT64_MAX, INT64_MAX, true), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cost_is_two_truncated_products_and_at_least_the_minimum),
        cmocka_unit_test(what_cannot_be_priced_is_refused),
        cmocka_unit_test(the_fee_is_five_percent_rounded_down),
        cmocka_unit_test(a_charge_stays_between_nothing_and_the_hold),
    };

    return cmocka_run_group_tests_name("ledger: prices", tests, NULL, NULL);
}
