/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a prompt goes into a pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "provider/engine/pace.h"

enum { CHUNK = 256 };

static void where_nobody_decodes_there_is_room_for_a_chunk(void **state)
{
    struct pace p = {.chunk_tokens = CHUNK};

    (void)state;
    assert_int_equal(pace_room(&p, false), CHUNK);
    pace_learn(&p, CHUNK, 10 * PACE_TARGET_US);
    assert_int_equal(pace_room(&p, false), CHUNK);
}

static void beside_decoding_it_is_little_until_its_cost_is_known(void **state)
{
    struct pace p = {.chunk_tokens = CHUNK};

    (void)state;
    assert_int_equal(pace_room(&p, true), PACE_MIN_TOKENS);
}

static void the_room_is_what_fits_the_target_at_the_measured_cost(void **state)
{
    static const struct {
        int64_t token_us;
        int32_t room;
    } cases[] = {{0, CHUNK}, {500, CHUNK}, {1499, 100}, {2999, 50}, {100000, PACE_MIN_TOKENS}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pace p = {.chunk_tokens = CHUNK};

        pace_learn(&p, CHUNK, cases[i].token_us * CHUNK);
        assert_int_equal(pace_room(&p, true), cases[i].room);
    }
}

static void a_pass_settles_at_the_target_with_the_decoding_rows_in_it(void **state)
{
    struct pace p = {.chunk_tokens = CHUNK};

    (void)state;
    for (int i = 0; i < 12; i++) { /* 50 ms for those who decode, 1 ms a token of prompt */
        int32_t n = pace_room(&p, true);

        assert_true(n <= 101);
        pace_learn(&p, n, 50000 + 1000 * (int64_t)n);
    }
    assert_in_range(pace_room(&p, true), 95, 100);
}

static void one_interrupted_pass_is_forgotten_in_a_few(void **state)
{
    struct pace p = {.chunk_tokens = CHUNK};

    (void)state;
    pace_learn(&p, 100, 149900);
    assert_int_equal(pace_room(&p, true), 100);
    pace_learn(&p, 100, 1000000);
    assert_true(pace_room(&p, true) < 30);
    for (int i = 0; i < 5; i++)
        pace_learn(&p, 100, 149900);
    assert_true(pace_room(&p, true) > 80);
}

static void the_end_of_a_prompt_says_nothing_of_its_cost(void **state)
{
    struct pace p = {.chunk_tokens = CHUNK};

    (void)state;
    pace_learn(&p, 100, 149900);
    pace_learn(&p, 1, 30000);
    pace_learn(&p, 0, 30000);
    assert_int_equal(pace_room(&p, true), 100);
}

static void a_chunk_smaller_than_the_least_is_kept_to(void **state)
{
    struct pace p = {.chunk_tokens = 8};

    (void)state;
    assert_int_equal(pace_room(&p, true), 8);
    assert_int_equal(pace_room(&p, false), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_nobody_decodes_there_is_room_for_a_chunk),
        cmocka_unit_test(beside_decoding_it_is_little_until_its_cost_is_known),
        cmocka_unit_test(the_room_is_what_fits_the_target_at_the_measured_cost),
        cmocka_unit_test(a_pass_settles_at_the_target_with_the_decoding_rows_in_it),
        cmocka_unit_test(one_interrupted_pass_is_forgotten_in_a_few),
        cmocka_unit_test(the_end_of_a_prompt_says_nothing_of_its_cost),
        cmocka_unit_test(a_chunk_smaller_than_the_least_is_kept_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
