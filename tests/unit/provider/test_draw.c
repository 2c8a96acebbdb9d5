/* SPDX-License-Identifier: Apache-2.0 */
/* What a request adds to the logits, and what it is told of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <yyjson.h>

#include "provider/engine/draw.h"
#include "unit/provider/fake_model.h"

struct world {
    struct sampler_scratch scratch;
    float logits[FAKE_VOCAB];
};

static int world_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    assert_int_equal(sampler_scratch_init(&w->scratch, FAKE_VOCAB), 0);
    *state = w;
    return 0;
}

static int world_down(void **state)
{
    struct world *w = *state;

    sampler_scratch_free(&w->scratch);
    free(w);
    return 0;
}

static int32_t draw(struct world *w, const struct draw_how *how, struct sampling sampling,
                    const int32_t *tokens, int32_t n_prompt, int32_t n)
{
    struct sampler sampler;
    struct draw_row row = {
        .how = how, .sampler = &sampler, .tokens = tokens, .n_prompt = n_prompt, .n_tokens = n};

    sampler_init(&sampler, &sampling);
    return draw_token(&row, &w->scratch, w->logits);
}

static void a_bias_is_added_to_its_tokens_logit(void **state)
{
    static const struct chat_bias up[] = {{'b', 3}}, down[] = {{'a', -100}};
    struct world *w = *state;

    w->logits['a'] = 2;
    w->logits['c'] = 1;
    assert_int_equal(
        draw(w, &(struct draw_how){.biases = up, .n_biases = 1}, (struct sampling){0}, NULL, 0, 0),
        'b');
    w->logits['b'] = 0;
    assert_int_equal(draw(w, &(struct draw_how){.biases = down, .n_biases = 1},
                          (struct sampling){0}, NULL, 0, 0),
                     'c');
}

/* Prompt and answer count, each token once, and a negative logit gets more so. */
static void repetition_is_penalised_once_a_token(void **state)
{
    static const int32_t tokens[] = {'a', 'a', 'd', 'b'};
    const struct draw_how how = {.repetition_penalty = 2};
    struct world *w = *state;

    w->logits['a'] = 4;
    w->logits['b'] = 3;
    w->logits['c'] = 1.9F;
    w->logits['d'] = -1;
    assert_int_equal(draw(w, &how, (struct sampling){0}, tokens, 3, 4), 'a');
    assert_true(fabsf(w->logits['a'] - 2) < 1e-6F && fabsf(w->logits['b'] - 1.5F) < 1e-6F);
    assert_true(fabsf(w->logits['c'] - 1.9F) < 1e-6F && fabsf(w->logits['d'] + 2) < 1e-6F);
}

static void without_a_repetition_penalty_nothing_changes(void **state)
{
    static const int32_t tokens[] = {'a'};
    static const double offs[] = {0, 1};
    struct world *w = *state;

    w->logits['a'] = 4;
    for (size_t i = 0; i < sizeof offs / sizeof offs[0]; i++) {
        assert_int_equal(draw(w, &(struct draw_how){.repetition_penalty = offs[i]},
                              (struct sampling){0}, tokens, 1, 1),
                         'a');
        assert_true(fabsf(w->logits['a'] - 4) < 1e-6F);
    }
}

/* At temperature 1, e^-1 = 0.37 of the likeliest stays at min_p 0.3 and goes at 0.4. */
static void min_p_cuts_what_is_less_likely_than_its_share_of_the_likeliest(void **state)
{
    static const struct {
        double min_p, temperature;
        bool kept;
    } cases[] = {{0.3, 1, true}, {0.4, 1, false}, {0.4, 2, true}, {1, 1, false}};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int t = 0; t < FAKE_VOCAB; t++)
            w->logits[t] = -50;
        w->logits['a'] = 5;
        w->logits['b'] = 4;
        (void)draw(w, &(struct draw_how){.min_p = cases[i].min_p},
                   (struct sampling){.temperature = cases[i].temperature, .top_p = 1}, NULL, 0, 0);
        assert_int_equal(isfinite(w->logits['b']) != 0, cases[i].kept);
        assert_true(isfinite(w->logits['a']) && !isfinite(w->logits['c']));
    }
}

static void min_p_of_logits_that_are_no_numbers_draws_nothing(void **state)
{
    struct world *w = *state;

    for (int t = 0; t < FAKE_VOCAB; t++)
        w->logits[t] = NAN;
    assert_true(draw(w, &(struct draw_how){.min_p = 0.5},
                     (struct sampling){.temperature = 1, .top_p = 1}, NULL, 0, 0) < 0);
}

static double number(yyjson_val *object, const char *name)
{
    return yyjson_get_num(yyjson_obj_get(object, name));
}

/* Three tokens of 1/2, 1/4 and 1/8; all others share the last eighth. */
static void logprobs_are_those_of_the_model(void **state)
{
    const struct draw_how how = {.logprobs = true, .top_logprobs = 3};
    static const char *const names[] = {"a", "b", "c"};
    struct fake_model model;
    struct world *w = *state;
    yyjson_val *root, *tops, *at;
    yyjson_doc *doc;
    struct buf out;
    size_t i, n;

    fake_model_init(&model);
    buf_init(&out, 1 << 16);
    for (int t = 0; t < FAKE_VOCAB; t++)
        w->logits[t] = (float)log(0.125 / (FAKE_VOCAB - 3));
    w->logits['a'] = (float)log(0.5);
    w->logits['b'] = (float)log(0.25);
    w->logits['c'] = (float)log(0.125);
    assert_int_equal(draw_write_logprobs(&how, &fake_model_ops, &model, w->logits, 'b', &out), 0);
    doc = yyjson_read(buf_view(&out).p, out.len, 0);
    root = yyjson_doc_get_root(doc);
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "token")), "b");
    assert_true(fabs(number(root, "logprob") - log(0.25)) < 1e-3);
    assert_int_equal(yyjson_get_int(yyjson_arr_get_first(yyjson_obj_get(root, "bytes"))), 'b');
    tops = yyjson_obj_get(root, "top_logprobs");
    assert_int_equal(yyjson_arr_size(tops), 3);
    yyjson_arr_foreach(tops, i, n, at)
    {
        assert_string_equal(yyjson_get_str(yyjson_obj_get(at, "token")), names[i]);
        assert_true(fabs(number(at, "logprob") - log(0.5 / (double)(1 << i))) < 1e-3);
    }
    yyjson_doc_free(doc);
    buf_free(&out);
}

/* JSON has no infinity and no broken character. */
static void a_token_that_is_no_character_and_never_drawn_is_still_json(void **state)
{
    const struct draw_how how = {.logprobs = true};
    struct fake_model model;
    struct world *w = *state;
    yyjson_doc *doc;
    struct buf out;

    fake_model_init(&model);
    buf_init(&out, 1 << 16);
    w->logits[0xC3] = -INFINITY;
    assert_int_equal(draw_write_logprobs(&how, &fake_model_ops, &model, w->logits, 0xC3, &out), 0);
    doc = yyjson_read(buf_view(&out).p, out.len, 0);
    assert_non_null(doc);
    assert_true(fabs(number(yyjson_doc_get_root(doc), "logprob") - DRAW_NEVER_LOGPROB) < 1e-6);
    assert_int_equal(
        yyjson_get_int(yyjson_arr_get_first(yyjson_obj_get(yyjson_doc_get_root(doc), "bytes"))),
        0xC3);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), "top_logprobs")), 0);
    yyjson_doc_free(doc);
    buf_free(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bias_is_added_to_its_tokens_logit),
        TEST(repetition_is_penalised_once_a_token),
        TEST(without_a_repetition_penalty_nothing_changes),
        TEST(min_p_cuts_what_is_less_likely_than_its_share_of_the_likeliest),
        TEST(min_p_of_logits_that_are_no_numbers_draws_nothing),
        TEST(logprobs_are_those_of_the_model),
        TEST(a_token_that_is_no_character_and_never_drawn_is_still_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
