/* SPDX-License-Identifier: Apache-2.0 */
/* The batch scheduler over a scripted model. Runs under TSan as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "unit/provider/fake_batch.h"

/* --- batching --- */

static void eight_requests_share_passes_and_each_says_what_it_says_alone(void **state)
{
    static const char *const prompts[8] = {
        "[one]",  "[the second]", "[3]",     "[number four is longer]",
        "[five]", "[6 6 6]",      "[seven]", "[eight, the last]"};
    struct fake_batch *w = *state;
    char alone[8][FAKE_TEXT_BYTES];
    int64_t tokens = 0;
    int before;

    fake_batch_start(w, 16);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(fake_batch_ask(w, 1, prompts[i], 10 + 5 * i), 0);
        snprintf(alone[i], sizeof alone[i], "%s", fake_batch_finish(w, 1)->text);
        memset(&w->answers[1], 0, sizeof w->answers[1]);
    }
    before = fake_model_passes(&w->model);
    w->model.gated = true;
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(fake_batch_ask(w, i + 1, prompts[i], 10 + 5 * (int64_t)i), 0);
    fake_batch_admitted(w, 8);
    fake_model_allow(&w->model, 100000);
    for (uint64_t i = 0; i < 8; i++) {
        const struct fake_answer *a = fake_batch_finish(w, i + 1);

        assert_string_equal(a->text, alone[i]);
        assert_int_equal(a->finish, CHUNK_FINISH_LENGTH);
        assert_int_equal(a->completion_tokens, 10 + 5 * (int64_t)i);
        assert_int_equal(a->tokens, a->completion_tokens);
        tokens += a->completion_tokens;
    }
    assert_true((fake_model_passes(&w->model) - before) * 3 < tokens);
    assert_true(w->model.most_seqs > 4);
}

static void a_request_is_admitted_into_a_running_batch_and_disturbs_nobody(void **state)
{
    struct fake_batch *w = *state;
    char alone[FAKE_TEXT_BYTES];

    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[long one]", 60);
    snprintf(alone, sizeof alone, "%s", fake_batch_finish(w, 1)->text);
    memset(&w->answers[1], 0, sizeof w->answers[1]);
    w->model.gated = true;
    fake_batch_ask(w, 1, "[long one]", 60);
    fake_model_allow(&w->model, fake_model_passes(&w->model) + 10);
    fake_model_wait_at_gate(&w->model);
    fake_batch_ask(w, 2, "[late]", 5);
    fake_batch_admitted(w, 2);
    fake_model_allow(&w->model, 1000);
    assert_int_equal(fake_batch_finish(w, 2)->completion_tokens, 5);
    assert_string_equal(fake_batch_finish(w, 1)->text, alone);
}

static void a_gap_between_slots_is_covered_so_that_batches_stay_whole(void **state)
{
    struct fake_batch *w = *state;

    fake_batch_start(w, 8);
    w->model.gated = true; /* the one between ends long before its neighbours */
    fake_batch_ask(w, 1, "[a]", 40);
    fake_batch_ask(w, 2, "[b]", 4);
    fake_batch_ask(w, 3, "[c]", 40);
    fake_batch_admitted(w, 3);
    fake_model_allow(&w->model, 1000);
    assert_int_equal(fake_batch_finish(w, 3)->completion_tokens, 40);
    assert_true(scheduler_counters(w->scheduler).rows_covering > 0);
    assert_false(w->model.broke_order);
}

/* E3: a survivor in the highest slot paid for every free one below it. */
static void free_slots_below_all_that_run_cost_no_row(void **state)
{
    struct fake_batch *w = *state;

    w->model.gated = true;
    fake_batch_start(w, 8);
    for (uint64_t tag = 1; tag <= 8; tag++)
        fake_batch_ask(w, tag, "[a]", tag == 8 ? 60 : 2);
    fake_batch_admitted(w, 8);
    fake_model_allow(&w->model, 1000);
    assert_int_equal(fake_batch_finish(w, 8)->completion_tokens, 60);
    assert_int_equal(scheduler_counters(w->scheduler).rows_covering, 0);
    assert_false(w->model.broke_order);
}

/* --- ends --- */

static void an_answer_ends_where_the_model_ends_it(void **state)
{
    struct fake_batch *w = *state;

    w->model.end_after = 3;
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[x]", 100);
    assert_int_equal(fake_batch_finish(w, 1)->finish, CHUNK_FINISH_STOP);
    assert_int_equal(w->answers[1].n, 3);
    assert_int_equal(w->answers[1].completion_tokens, 4); /* the end is a token too */
}

static void the_context_ends_an_answer_with_length(void **state)
{
    struct fake_batch *w = *state;

    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[x]", 100000);
    assert_int_equal(fake_batch_finish(w, 1)->finish, CHUNK_FINISH_LENGTH);
    assert_int_equal(w->answers[1].completion_tokens, FAKE_CONTEXT - 3);
}

/* Findings §4, step.c:127: only what was generated is seen by the penalties. A negative penalty
 * would lift token 0, which stands behind the newest token in a slot, above every other. */
static void penalties_see_what_was_generated_and_nothing_else(void **state)
{
    struct fake_batch *w = *state;
    char prompt[FAKE_TEXT_BYTES], alone[FAKE_TEXT_BYTES];
    const struct chat_request chat = {.messages = str_from(fake_batch_prompt(prompt, 60)),
                                      .max_tokens = 6,
                                      .top_p = 1,
                                      .frequency_penalty = -1};

    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, prompt, 6);
    snprintf(alone, sizeof alone, "%s", fake_batch_finish(w, 1)->text);
    assert_int_equal(scheduler_submit(w->scheduler, 2, &chat), 0);
    assert_int_equal(fake_batch_finish(w, 2)->n, 6);
    assert_string_equal(w->answers[2].text, alone);
}

static void a_cancelled_request_stops_within_one_step(void **state)
{
    struct fake_batch *w = *state;
    struct load load;
    int at;

    w->model.gated = true;
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[never ends]", 200);
    fake_model_allow(&w->model, 5);
    fake_model_wait_at_gate(&w->model); /* the sixth pass is under way */
    at = fake_model_passes(&w->model);
    scheduler_cancel(w->scheduler, 1); /* does not wait for it */
    fake_batch_ask(w, 2, "[next]", 1);
    fake_batch_admitted(w, 2);
    fake_model_allow(&w->model, 100);
    fake_batch_finish(w, 2);
    assert_int_equal(fake_model_passes(&w->model),
                     at + 1); /* the rest of the sixth, then only [next] */
    scheduler_load(w->scheduler, &load);
    assert_int_equal(load.waiting, 0);
    fake_batch_drain(w);
    assert_false(w->answers[1].done);
}

static void a_full_queue_refuses_at_once(void **state)
{
    struct fake_batch *w = *state;
    int refused = 0;

    w->model.gated = true;
    fake_batch_start(w, 2);
    for (uint64_t i = 1; i <= 14; i++)
        refused += fake_batch_ask(w, i, "[x]", 2) == ERR_BUSY;
    assert_true(refused >= 14 - FAKE_SEQS - 2);
    fake_model_allow(&w->model, 1000);
    fake_batch_finish(w, 1);
}

static void a_failed_pass_fails_its_requests_and_not_the_next(void **state)
{
    struct fake_batch *w = *state;

    w->model.fail_next = true;
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[x]", 5);
    assert_int_equal(fake_batch_finish(w, 1)->code, ERR_MODEL);
    fake_batch_ask(w, 2, "[x]", 5);
    assert_int_equal(fake_batch_finish(w, 2)->completion_tokens, 5);
}

static void a_model_whose_logits_are_no_numbers_fails_the_request(void **state)
{
    struct fake_batch *w = *state;

    w->model.broken = true;
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[x]", 5);
    assert_int_equal(fake_batch_finish(w, 1)->code, ERR_MODEL);
    w->model.broken = false;
    fake_batch_ask(w, 2, "[x]", 5);
    assert_int_equal(fake_batch_finish(w, 2)->completion_tokens, 5);
}

static void stopping_with_requests_running_and_waiting_leaks_nothing(void **state)
{
    struct fake_batch *w = *state;

    fake_batch_start(w, 16);
    for (uint64_t i = 1; i <= 12; i++)
        fake_batch_ask(w, i, "[x]", 100000);
    /* tear_down stops while they run; ASan and TSan look */
}

/* --- text --- */

static void a_stop_string_split_over_tokens_never_leaves_in_part(void **state)
{
    struct fake_batch *w = *state;
    const struct chat_request chat = {
        .messages = STR("[x]"), .max_tokens = 20, .stops = {STR("STOP")}, .n_stops = 1, .top_p = 1};
    const char *pieces[] = {"one S", "T", "ep two ", "ST", "OP", " never"};

    memcpy(w->model.pieces, pieces, sizeof pieces);
    fake_batch_start(w, 4);
    assert_int_equal(scheduler_submit(w->scheduler, 1, &chat), 0);
    assert_string_equal(fake_batch_finish(w, 1)->text, "one STep two ");
    assert_int_equal(w->answers[1].finish, CHUNK_FINISH_STOP);
}

static void a_character_split_over_tokens_leaves_whole(void **state)
{
    struct fake_batch *w = *state;
    const char *pieces[] = {"a\xE2", "\x82", "\xAC", "b\xF0\x9F"};

    memcpy(w->model.pieces, pieces, sizeof pieces);
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[x]", 20);
    /* every event was UTF-8 (take_event looks); what stayed incomplete is replaced at the end */
    assert_string_equal(fake_batch_finish(w, 1)->text, "a\xE2\x82\xAC"
                                                       "b\xEF\xBF\xBD\xEF\xBF\xBD");
}

static void counters_tell_what_runs(void **state)
{
    struct fake_batch *w = *state;
    struct load load;

    w->model.gated = true;
    fake_batch_start(w, 16);
    for (uint64_t i = 1; i <= FAKE_SEQS + 2; i++)
        fake_batch_ask(w, i, "[x]", 50);
    fake_model_allow(&w->model, 12);
    fake_model_wait_at_gate(&w->model);
    scheduler_load(w->scheduler, &load);
    assert_int_equal(load.running + load.waiting, FAKE_SEQS + 2);
    assert_true(load.forward_passes >= 11);
    assert_true(load.active_tokens > 0 && load.max_tokens_potential >= load.active_tokens);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_batch_up, fake_batch_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(eight_requests_share_passes_and_each_says_what_it_says_alone),
        TEST(a_request_is_admitted_into_a_running_batch_and_disturbs_nobody),
        TEST(a_gap_between_slots_is_covered_so_that_batches_stay_whole),
        TEST(free_slots_below_all_that_run_cost_no_row),
        TEST(an_answer_ends_where_the_model_ends_it),
        TEST(the_context_ends_an_answer_with_length),
        TEST(penalties_see_what_was_generated_and_nothing_else),
        TEST(a_cancelled_request_stops_within_one_step),
        TEST(a_full_queue_refuses_at_once),
        TEST(a_failed_pass_fails_its_requests_and_not_the_next),
        TEST(a_model_whose_logits_are_no_numbers_fails_the_request),
        TEST(stopping_with_requests_running_and_waiting_leaks_nothing),
        TEST(a_stop_string_split_over_tokens_never_leaves_in_part),
        TEST(a_character_split_over_tokens_leaves_whole),
        TEST(counters_tell_what_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
