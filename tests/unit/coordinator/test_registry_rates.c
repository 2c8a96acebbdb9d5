/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider's speed is taken to be, and how many streams that carries (FR-4, FR-10). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/registry/rates.h"

#define S    INT64_C(1000000)
#define HOUR (3600 * S)

enum { FLOOR_TPS = 15 };

/* An answer of 101 tokens at this rate, beside as many others. */
static struct rates_sample answer(double tps, int64_t streams)
{
    return (struct rates_sample){
        .completion_tokens = 101, .decode_us = (int64_t)(100 * 1e6 / tps), .streams = streams};
}

static void measure(struct rates *r, double tps, int64_t streams, int n)
{
    struct rates_sample s = answer(tps, streams);

    for (int i = 0; i < n; i++)
        (void)rates_add(r, &s, r->at_us);
}

static void assert_near(double value, double expected)
{
    if (!(value > expected * 0.99 && value < expected * 1.01))
        fail_msg("%f is not near %f", value, expected);
}

static void without_a_measurement_the_prior_is_all_there_is(void **state)
{
    struct rates r = {0};

    (void)state;
    assert_near(rates_decode_tps(&r, HOUR, 40), 40);
    assert_near(rates_prefill_tps(&r, HOUR, 600), 600);
    assert_near(rates_ttft_us(&r, HOUR, 1e6), 1e6);
    assert_int_equal(rates_stream_limit(&r, HOUR, FLOOR_TPS), INT64_MAX);
}

static void what_is_measured_replaces_the_prior(void **state)
{
    struct rates r = {0};
    struct rates_sample s = {.ttft_us = 2 * S,
                             .prompt_tokens = 1000,
                             .completion_tokens = 101,
                             .decode_us = 2 * S,
                             .streams = 1};

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(rates_add(&r, &s, 0));
    assert_near(rates_decode_tps(&r, 0, 50), 50);
    assert_near(rates_prefill_tps(&r, 0, 500), 500);
    assert_near(rates_ttft_us(&r, 0, 2e6), 2e6);
    assert_true(rates_decode_tps(&r, 0, 1e-9) > 44);
    s.decode_us = 4 * S; /* it has become slower, and is soon known to be */
    for (int i = 0; i < 100; i++)
        assert_true(rates_add(&r, &s, 0));
    assert_near(rates_decode_tps(&r, 0, 25), 25);
}

static void what_no_engine_does_is_dropped_as_of_FR_4(void **state)
{
    static const struct rates_sample bad[] = {
        {0},
        {.completion_tokens = 100, .decode_us = 0, .streams = 1},
        {.completion_tokens = 100, .decode_us = -5, .streams = 1},
        {.completion_tokens = INT64_MAX, .decode_us = S, .streams = 1},
        {.completion_tokens = 2, .decode_us = S, .streams = 1},
        {.completion_tokens = 100, .decode_us = INT64_MAX, .streams = 1},
        {.prompt_tokens = 100000, .ttft_us = 1, .streams = 1},
        {.prompt_tokens = 100, .ttft_us = INT64_MAX, .streams = 1},
        {.prompt_tokens = INT64_MAX, .ttft_us = 0, .streams = 1},
        {.prompt_tokens = -7, .ttft_us = -1, .streams = -1},
    };
    struct rates r = {0};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (rates_add(&r, &bad[i], 0))
            fail_msg("case %zu was taken", i);
    }
    assert_near(rates_decode_tps(&r, 0, 40), 40);
    assert_near(rates_prefill_tps(&r, 0, 600), 600);
}

/* #388: a cached prompt made the prefill look a thousand times as fast. */
static void one_far_off_what_many_agree_on_is_dropped_as_of_FR_4(void **state)
{
    struct rates r = {0};
    struct rates_sample cold = {.ttft_us = 2 * S, .prompt_tokens = 1000, .streams = 1};
    struct rates_sample cached = {.ttft_us = S / 50, .prompt_tokens = 1000, .streams = 1};

    (void)state;
    for (int i = 0; i < 5; i++)
        (void)rates_add(&r, &cold, 0);
    assert_false(rates_add(&r, &cached, 0));
    assert_near(rates_prefill_tps(&r, 0, 500), 500);
}

/* #454, #844: what is not measured any more must not stay as it was last seen. */
static void what_is_known_fades_to_the_prior_as_of_FR_4(void **state)
{
    struct rates r = {0};

    (void)state;
    measure(&r, 2, 1, 20);
    assert_true(rates_decode_tps(&r, 0, 40) < 7);
    assert_true(rates_decode_tps(&r, 2 * HOUR, 40) > 20);
    assert_near(rates_decode_tps(&r, 12 * HOUR, 40), 40);
    /* A new measurement counts for as much as what is left of the old. */
    r.at_us = 0;
    (void)rates_add(&r, &(struct rates_sample){.completion_tokens = 101, .decode_us = S}, 6 * HOUR);
    assert_true(r.decode_tps.mean > 90);
}

/* --- streams at once --- */

static void the_solo_rate_over_the_floor_bounds_the_streams_as_of_FR_10(void **state)
{
    static const struct {
        double solo_tps;
        int64_t streams;
    } cases[] = {{4, 1}, {14, 1}, {16, 1}, {31, 2}, {62, 4}, {100, 6}, {1000, 66}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rates r = {0};

        measure(&r, cases[i].solo_tps, 1, 5);
        assert_int_equal(rates_stream_limit(&r, 0, FLOOR_TPS), cases[i].streams);
        assert_int_equal(rates_stream_limit(&r, 0, 0), INT64_MAX); /* switched off */
    }
}

static void one_measurement_alone_bounds_nothing(void **state)
{
    struct rates r = {0};

    (void)state;
    measure(&r, 1, 1, 1);
    assert_int_equal(rates_stream_limit(&r, 0, FLOOR_TPS), INT64_MAX);
    measure(&r, 1, 1, 5);
    assert_int_equal(rates_stream_limit(&r, 0, FLOOR_TPS), 1);
    assert_int_equal(rates_stream_limit(&r, 24 * HOUR, FLOOR_TPS), INT64_MAX);
}

/* Streams are as many as the bound allows; each gets what the engine gives. */
static int64_t settles_at(double solo_tps, double gain_a_stream)
{
    struct rates r = {0};
    int64_t n = 1;

    measure(&r, solo_tps, 1, 5);
    for (int i = 0; i < 200; i++) {
        n = rates_stream_limit(&r, 0, FLOOR_TPS);
        measure(&r, solo_tps * (1 + gain_a_stream * (double)(n - 1)) / (double)n, n, 1);
    }
    return n;
}

static void an_engine_that_batches_well_gets_streams_until_each_is_at_the_floor(void **state)
{
    (void)state;
    assert_int_equal(settles_at(57, 0), 3); /* nothing gained by batching */
    assert_in_range(settles_at(57, 0.2), 9, 13);
    assert_int_equal(settles_at(10, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_measurement_the_prior_is_all_there_is),
        cmocka_unit_test(what_is_measured_replaces_the_prior),
        cmocka_unit_test(what_no_engine_does_is_dropped_as_of_FR_4),
        cmocka_unit_test(one_far_off_what_many_agree_on_is_dropped_as_of_FR_4),
        cmocka_unit_test(what_is_known_fades_to_the_prior_as_of_FR_4),
        cmocka_unit_test(the_solo_rate_over_the_floor_bounds_the_streams_as_of_FR_10),
        cmocka_unit_test(one_measurement_alone_bounds_nothing),
        cmocka_unit_test(an_engine_that_batches_well_gets_streams_until_each_is_at_the_floor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
