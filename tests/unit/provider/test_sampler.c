/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "provider/engine/sampler.h"

enum { VOCAB = 8, DRAWS = 4000 };

static const float base[VOCAB] = {1, 3, 2, 0, -1, 2.5F, -4, 0.5F};

static int32_t draw(struct sampler *s, struct sampler_scratch *scratch)
{
    float logits[VOCAB];

    memcpy(logits, base, sizeof logits);
    return sampler_next(s, scratch, logits, NULL, 0);
}

static void count(struct sampling how, int ret_counts[VOCAB])
{
    struct sampler_scratch scratch;
    struct sampler s;

    assert_int_equal(sampler_scratch_init(&scratch, VOCAB), 0);
    sampler_init(&s, &how);
    memset(ret_counts, 0, VOCAB * sizeof *ret_counts);
    for (int i = 0; i < DRAWS; i++)
        ret_counts[draw(&s, &scratch)]++;
    sampler_scratch_free(&scratch);
}

static void temperature_zero_is_the_largest_logit_and_ties_go_to_the_lowest_id(void **state)
{
    struct sampler_scratch scratch;
    struct sampler s;
    float tied[VOCAB] = {0, 7, 1, 7, 7, 0, 0, 0};

    (void)state;
    sampler_scratch_init(&scratch, VOCAB);
    sampler_init(&s, &(struct sampling){.top_p = 1});
    assert_int_equal(draw(&s, &scratch), 1);
    assert_int_equal(sampler_next(&s, &scratch, tied, NULL, 0), 1);
    sampler_scratch_free(&scratch);
}

static void a_temperature_near_zero_is_greedy(void **state)
{
    static const double low[] = {1e-3, 1e-30, 1e-300};
    int counts[VOCAB];

    (void)state;
    for (size_t i = 0; i < sizeof low / sizeof *low; i++) {
        count((struct sampling){.temperature = low[i], .top_p = 1}, counts);
        assert_int_equal(counts[1], DRAWS);
        count((struct sampling){.temperature = low[i], .top_p = 0.9, .top_k = 1}, counts);
        assert_int_equal(counts[1], DRAWS);
    }
}

static void top_k_of_one_is_deterministic_and_top_k_masks_the_rest(void **state)
{
    int counts[VOCAB];

    (void)state;
    count((struct sampling){.temperature = 1, .top_p = 1, .top_k = 1}, counts);
    assert_int_equal(counts[1], DRAWS);
    count((struct sampling){.temperature = 2, .top_p = 1, .top_k = 3}, counts);
    assert_int_equal(counts[1] + counts[5] + counts[2], DRAWS);
    assert_true(counts[1] > counts[5] && counts[5] > counts[2] && counts[2] > 0);
}

static void a_small_top_p_leaves_the_dominant_token_and_a_larger_one_the_nucleus(void **state)
{
    int counts[VOCAB];

    (void)state;
    count((struct sampling){.temperature = 1, .top_p = 0.1}, counts);
    assert_int_equal(counts[1], DRAWS);
    count((struct sampling){.temperature = 1, .top_p = 0.8}, counts); /* 0.40 + 0.24 + 0.15 + … */
    assert_int_equal(counts[1] + counts[5] + counts[2] + counts[0], DRAWS);
    assert_true(counts[1] > counts[5] && counts[5] > counts[2]);
    assert_int_equal(counts[6] + counts[4] + counts[3], 0);
}

/* Findings §4, sampler.c:133: the bound that leaves tokens out before the sorting must not reach
 * into the nucleus, at any temperature. Token 6, the least likely, is outside of 0.999 only. */
static void every_token_of_the_nucleus_is_drawn(void **state)
{
    int counts[VOCAB];

    (void)state;
    count((struct sampling){.temperature = 1, .top_p = 0.999, .seed = 1}, counts);
    for (int i = 0; i < VOCAB; i++)
        assert_true(i == 6 ? counts[i] == 0 : counts[i] > 0);
    count((struct sampling){.temperature = 2, .top_p = 0.9999, .seed = 1}, counts);
    for (int i = 0; i < VOCAB; i++)
        assert_true(counts[i] > 0);
    count((struct sampling){.temperature = 0.5, .top_p = 0.8, .seed = 1}, counts);
    assert_int_equal(counts[1] + counts[5], DRAWS); /* 0.64, 0.23 */
    assert_true(counts[5] > 0);
}

static void the_whole_distribution_is_drawn_in_its_proportions(void **state)
{
    int counts[VOCAB];

    (void)state;
    count((struct sampling){.temperature = 1, .top_p = 1, .seed = 3}, counts);
    /* softmax: 1 → 0.427, 5 → 0.259, 2 → 0.157; four standard deviations are 0.03 */
    assert_in_range(counts[1], 1580, 1840);
    assert_in_range(counts[5], 920, 1150);
    assert_in_range(counts[2], 530, 730);
}

/* A vocabulary of several blocks: `likely` tokens weigh the same, the others a millionth or
 * nothing. */
enum { WIDE = 1000, WIDE_DRAWS = 20000 };

static void draw_wide(struct sampling how, int32_t first_likely, int32_t likely, float others,
                      int ret_counts[WIDE])
{
    struct sampler_scratch scratch;
    struct sampler s;
    float logits[WIDE];

    assert_int_equal(sampler_scratch_init(&scratch, WIDE), 0);
    sampler_init(&s, &how);
    memset(ret_counts, 0, WIDE * sizeof *ret_counts);
    for (int32_t i = 0; i < WIDE; i++)
        logits[i] = i >= first_likely && i < first_likely + likely ? 5 : others;
    for (int i = 0; i < WIDE_DRAWS; i++)
        ret_counts[sampler_next(&s, &scratch, logits, NULL, 0)]++;
    sampler_scratch_free(&scratch);
}

static int drawn_within(const int counts[WIDE], int32_t first, int32_t n)
{
    int sum = 0;

    for (int32_t i = first; i < first + n; i++) {
        assert_true(counts[i] > 0);
        sum += counts[i];
    }
    return sum;
}

static void among_equals_the_lower_ids_are_kept(void **state)
{
    int counts[WIDE];

    (void)state;
    draw_wide((struct sampling){.temperature = 1, .top_p = 1, .top_k = 10}, 300, 600, -9, counts);
    assert_int_equal(drawn_within(counts, 300, 10), WIDE_DRAWS);
    draw_wide((struct sampling){.temperature = 1, .top_p = 0.25}, 0, WIDE, 0, counts);
    assert_int_equal(drawn_within(counts, 0, 250), WIDE_DRAWS);
    draw_wide((struct sampling){.temperature = 2, .top_p = 0.5, .top_k = 20}, 500, 500, -9, counts);
    assert_int_equal(drawn_within(counts, 500, 10), WIDE_DRAWS); /* half of what top-k left */
}

static void a_masked_token_is_never_drawn(void **state)
{
    static const struct sampling hows[] = {{.temperature = 1, .top_p = 1},
                                           {.temperature = 2, .top_p = 0.9999},
                                           {.temperature = 2, .top_p = 1, .top_k = 500}};
    int counts[WIDE];

    (void)state;
    for (size_t i = 0; i < sizeof hows / sizeof hows[0]; i++) {
        draw_wide(hows[i], 700, 40, -INFINITY, counts);
        assert_int_equal(drawn_within(counts, 700, 40), WIDE_DRAWS);
    }
}

/* What sorting the whole vocabulary gives. */
static int by_descending_logit(const void *a, const void *b)
{
    const float *x = a, *y = b;

    return (*x < *y) - (*x > *y);
}

static void a_nucleus_is_what_sorting_the_vocabulary_gives(void **state)
{
    static const double top_ps[] = {0.1, 0.5, 0.9, 0.99};
    struct sampler_scratch scratch;
    float logits[WIDE], sorted[WIDE];
    uint32_t random = 1;
    double total = 0;

    (void)state;
    assert_int_equal(sampler_scratch_init(&scratch, WIDE), 0);
    for (int i = 0; i < WIDE; i++) {
        random = random * 1664525U + 1013904223U;
        logits[i] = sorted[i] = (float)(random >> 8) / (1 << 21); /* [0, 8) */
    }
    qsort(sorted, WIDE, sizeof *sorted, by_descending_logit);
    for (int i = 0; i < WIDE; i++)
        total += exp((double)(sorted[i] - sorted[0]));
    for (size_t p = 0; p < sizeof top_ps / sizeof top_ps[0]; p++) {
        struct sampler s;
        double kept = 0;
        int n = 0;

        for (; kept < top_ps[p] * total; n++)
            kept += exp((double)(sorted[n] - sorted[0]));
        sampler_init(&s, &(struct sampling){.temperature = 1, .top_p = top_ps[p], .seed = p});
        assert_true(sampler_next(&s, &scratch, logits, NULL, 0) >= 0);
        assert_in_range(scratch.n, n - 1, n + 1); /* float against double at the edge */
        for (int32_t i = 0; i < scratch.n; i++)
            assert_true(logits[scratch.candidates[i].token] >= sorted[n]);
    }
    sampler_scratch_free(&scratch);
}

static void seeds_reproduce_and_differ(void **state)
{
    struct sampler_scratch scratch;
    struct sampler a, b, c;
    int differences = 0;

    (void)state;
    sampler_scratch_init(&scratch, VOCAB);
    sampler_init(&a, &(struct sampling){.temperature = 1, .top_p = 1, .seed = 5});
    sampler_init(&b, &(struct sampling){.temperature = 1, .top_p = 1, .seed = 5});
    sampler_init(&c, &(struct sampling){.temperature = 1, .top_p = 1, .seed = 6});
    for (int i = 0; i < 100; i++) {
        int32_t x = draw(&a, &scratch);

        assert_int_equal(x, draw(&b, &scratch));
        differences += x != draw(&c, &scratch);
    }
    assert_true(differences > 20);
    sampler_scratch_free(&scratch);
}

static void penalties_lower_what_was_said(void **state)
{
    struct sampler_scratch scratch;
    struct sampler s;
    float logits[VOCAB];
    const int32_t seen[] = {1, 1, 1};

    (void)state;
    sampler_scratch_init(&scratch, VOCAB);
    sampler_init(&s, &(struct sampling){.top_p = 1, .frequency_penalty = 0.2});
    memcpy(logits, base, sizeof logits);
    assert_int_equal(sampler_next(&s, &scratch, logits, seen, 3), 5); /* 3 − 0.6 < 2.5 */
    sampler_init(&s, &(struct sampling){.top_p = 1, .presence_penalty = 0.4});
    memcpy(logits, base, sizeof logits);
    assert_int_equal(sampler_next(&s, &scratch, logits, seen, 3), 1); /* 3 − 0.4 > 2.5, once */
    sampler_scratch_free(&scratch);
}

static void logits_that_are_no_numbers_choose_no_token(void **state)
{
    static const struct sampling hows[] = {{.temperature = 0, .top_p = 1},
                                           {.temperature = 1, .top_p = 1},
                                           {.temperature = 1, .top_p = 0.5},
                                           {.temperature = 1, .top_p = 1, .top_k = 3}};
    static const float values[] = {NAN, INFINITY, -INFINITY};
    struct sampler_scratch scratch;

    (void)state;
    sampler_scratch_init(&scratch, VOCAB);
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 3; k++) {
            struct sampler s;
            float logits[VOCAB];

            for (int t = 0; t < VOCAB; t++)
                logits[t] = values[k];
            sampler_init(&s, &hows[i]);
            assert_int_equal(sampler_next(&s, &scratch, logits, NULL, 0), ERR_MODEL);
        }
    }
    sampler_scratch_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(temperature_zero_is_the_largest_logit_and_ties_go_to_the_lowest_id),
        cmocka_unit_test(a_temperature_near_zero_is_greedy),
        cmocka_unit_test(top_k_of_one_is_deterministic_and_top_k_masks_the_rest),
        cmocka_unit_test(a_small_top_p_leaves_the_dominant_token_and_a_larger_one_the_nucleus),
        cmocka_unit_test(every_token_of_the_nucleus_is_drawn),
        cmocka_unit_test(the_whole_distribution_is_drawn_in_its_proportions),
        cmocka_unit_test(seeds_reproduce_and_differ),
        cmocka_unit_test(among_equals_the_lower_ids_are_kept),
        cmocka_unit_test(a_masked_token_is_never_drawn),
        cmocka_unit_test(a_nucleus_is_what_sorting_the_vocabulary_gives),
        cmocka_unit_test(penalties_lower_what_was_said),
        cmocka_unit_test(logits_that_are_no_numbers_choose_no_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
