/* SPDX-License-Identifier: Apache-2.0 */
/* Prompts on their way into the batch: bounded, prepared beside it, taken in pieces. Runs under
 * TSan as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "unit/provider/fake_batch.h"

/* --- in pieces --- */

static void a_long_prompt_comes_in_pieces(void **state)
{
    struct fake_batch *w = *state;
    char prompt[FAKE_TEXT_BYTES];
    int before;

    fake_batch_start(w, 4);
    before = fake_model_passes(&w->model);
    fake_batch_ask(w, 1, fake_batch_prompt(prompt, 200), 1);
    assert_int_equal(fake_batch_finish(w, 1)->prompt_tokens, 200);
    assert_int_equal(fake_model_passes(&w->model) - before, 4); /* 65 + 65 + 65 + 5 */
}

/* Slots 0 and 1 with a long prompt each, slot 2 with an answer that runs; no sequence may be
 * missing from a pass (tear_down looks), and the first prompt is not held up by the second. */
static void long_prompts_come_in_pieces_beside_running_rows(void **state)
{
    struct fake_batch *w = *state;
    char prompt[FAKE_TEXT_BYTES];

    w->model.gated = true;
    fake_batch_start(w, 8);
    fake_batch_ask(w, 1, "[a]", 2);
    fake_model_wait_at_gate(&w->model);
    fake_batch_ask(w, 2, "[b]", 1);
    fake_batch_ask(w, 3, "[c]", 100);
    fake_batch_prepared(w, 3);
    fake_batch_run(w, 1);
    fake_batch_ask(w, 4, fake_batch_prompt(prompt, 200), 1);
    fake_batch_ask(w, 5, prompt, 1);
    fake_batch_prepared(w, 5);
    fake_batch_run(w, 2); /* 1 and 2 have ended; now 4 and 5 take their slots */
    assert_true(w->answers[1].done && w->answers[2].done);
    fake_batch_run(w, 6); /* 17, for what it costs is unknown; 65 + 65 + 53, for it costs nothing */
    assert_true(w->answers[4].done && !w->answers[5].done);
    assert_int_equal(w->answers[3].tokens, 5); /* one each pass */
}

/* 10 ms a pass and 5 ms a row: beside the running row 25 rows or so keep to 150 ms. */
static void beside_running_rows_a_prompt_takes_what_keeps_a_pass_near_its_target(void **state)
{
    struct fake_batch *w = *state;
    char prompt[FAKE_TEXT_BYTES];

    w->model.pass_us = 10000;
    w->model.token_us = 5000;
    w->model.gated = true;
    fake_batch_start(w, 8);
    fake_batch_ask(w, 1, "[a]", 100);
    fake_batch_prepared(w, 1);
    fake_batch_run(w, 1);
    fake_batch_ask(w, 2, fake_batch_prompt(prompt, 200), 1);
    fake_batch_prepared(w, 2);
    fake_batch_run(w, 10);
    assert_false(w->answers[2].done);
    fake_batch_run(w, 11); /* one for [a] alone, then 16 + 25 + 26 + 26 … */
    assert_true(w->answers[2].done);
    assert_int_equal(w->model.longest_us, 10000 + 27 * 5000);
}

/* E4: a row each for those that wait, taken out of the room: passes stay near their target however
 * many prompts came at once. */
static void prompts_that_wait_take_their_rows_out_of_the_room(void **state)
{
    struct fake_batch *w = *state;
    char prompt[FAKE_TEXT_BYTES];

    w->model.gated = true;
    fake_batch_start(w, 8);
    for (uint64_t tag = 1; tag <= 7; tag++)
        fake_batch_ask(w, tag, fake_batch_prompt(prompt, 150), 1);
    fake_batch_prepared(w, 7);
    fake_model_allow(&w->model, 1000);
    fake_batch_finish(w, 7);
    assert_true(w->model.most_rows <= 64);
}

static void a_prompt_beside_which_nobody_decodes_comes_in_full_chunks(void **state)
{
    struct fake_batch *w = *state;
    char prompt[FAKE_TEXT_BYTES];

    w->model.token_us = 100000;
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, fake_batch_prompt(prompt, 200), 1);
    fake_batch_finish(w, 1);
    assert_int_equal(fake_model_passes(&w->model), 4);
    assert_int_equal(w->model.longest_us, 64 * 100000);
}

static void a_later_prompt_in_a_lower_slot_does_not_overtake(void **state)
{
    struct fake_batch *w = *state;
    char prompt[FAKE_TEXT_BYTES];

    w->model.gated = true;
    fake_batch_start(w, 8);
    fake_batch_ask(w, 1, "[a]", 2);
    fake_model_wait_at_gate(&w->model);
    fake_batch_ask(w, 2, fake_batch_prompt(prompt, 200), 1);
    fake_batch_prepared(w, 2);
    fake_batch_run(w, 1);
    fake_batch_ask(w, 3, prompt, 1);
    fake_batch_prepared(w, 3);
    fake_batch_run(w, 2);
    assert_true(w->answers[1].done); /* 3 takes its slot, below that of 2 */
    fake_batch_run(w, 5);
    assert_true(w->answers[2].done && !w->answers[3].done);
}

/* --- before a slot --- */

static void a_request_is_admitted_before_a_slot_is_free(void **state)
{
    struct fake_batch *w = *state;

    w->model.gated = true;
    fake_batch_start(w, 16);
    for (uint64_t i = 1; i <= FAKE_SEQS + 1; i++)
        fake_batch_ask(w, i, "[x]", 50);
    fake_batch_admitted(w, FAKE_SEQS + 1);
    assert_int_equal(w->answers[FAKE_SEQS + 1].prompt_tokens, 3);
    assert_true(fake_batch_waiting(w) > 0);
}

static void a_prompt_that_is_slow_to_prepare_holds_up_no_running_row(void **state)
{
    struct fake_batch *w = *state;

    w->model.gated = true;
    fake_batch_start(w, 8);
    fake_batch_ask(w, 1, "[runs]", 50);
    fake_batch_admitted(w, 1);
    fake_model_hold_renders(&w->model, true);
    for (uint64_t i = 2; i <= 8; i++)
        fake_batch_ask(w, i, "[slow]", 1);
    fake_model_wait_at_render(&w->model);
    fake_model_allow(&w->model, 1000);
    assert_int_equal(fake_batch_finish(w, 1)->completion_tokens, 50);
    assert_false(w->answers[2].admitted);
    fake_model_hold_renders(&w->model, false);
    assert_int_equal(fake_batch_finish(w, 8)->completion_tokens, 1);
}

static void messages_that_no_context_can_hold_are_refused_unread(void **state)
{
    struct fake_batch *w = *state;
    char prompt[FAKE_TEXT_BYTES];

    fake_batch_start(w, 4);
    fake_batch_prompt(prompt, FAKE_CONTEXT * FAKE_LONGEST_PIECE + 1);
    assert_int_equal(fake_batch_ask(w, 1, prompt, 1), ERR_LIMIT);
    assert_int_equal(w->model.renders, 0);
}

static void more_messages_than_the_context_has_tokens_are_refused_unread(void **state)
{
    struct fake_batch *w = *state;
    struct chat_request chat = {.messages = STR("[x]"), .n_messages = FAKE_CONTEXT, .top_p = 1};

    fake_batch_start(w, 4);
    assert_int_equal(scheduler_submit(w->scheduler, 1, &chat), ERR_LIMIT);
    assert_int_equal(w->model.renders, 0);
    chat.n_messages--;
    assert_int_equal(scheduler_submit(w->scheduler, 1, &chat), 0);
}

static void one_that_is_cancelled_before_it_is_prepared_is_never_rendered(void **state)
{
    struct fake_batch *w = *state;

    fake_model_hold_renders(&w->model, true);
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[x]", 1);
    fake_model_wait_at_render(&w->model);
    fake_batch_ask(w, 2, "[y]", 1);
    fake_batch_ask(w, 3, "[z]", 1);
    scheduler_cancel(w->scheduler, 2);
    fake_model_hold_renders(&w->model, false);
    fake_batch_finish(w, 3);
    assert_int_equal(w->model.renders, 2);
}

static void a_short_prompt_is_held_up_by_no_long_one(void **state)
{
    struct fake_batch *w = *state;
    char prompt[FAKE_TEXT_BYTES];

    w->preparers = 2;
    w->model.held_over = 100;
    fake_model_hold_renders(&w->model, true);
    fake_batch_start(w, 8);
    fake_batch_prompt(prompt, 200);
    for (uint64_t i = 1; i <= 3; i++)
        fake_batch_ask(w, i, prompt, 1);
    fake_model_wait_at_render(&w->model);
    fake_batch_ask(w, 4, "[short]", 1);
    assert_int_equal(fake_batch_finish(w, 4)->prompt_tokens, 7);
    assert_false(w->answers[1].admitted || w->answers[2].admitted || w->answers[3].admitted);
    fake_model_hold_renders(&w->model, false);
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(fake_batch_finish(w, i)->prompt_tokens, 200);
}

/* 2,048 bytes would fit: each that arrives counts as 16 bytes in favour of those before it. */
static void the_shortest_is_next_but_none_is_overtaken_for_ever(void **state)
{
    struct fake_batch *w = *state;
    static const char *const prompts[] = {"[a]", "[b]", "[c]", "[d]", "[e]"};
    char prompt[FAKE_TEXT_BYTES];

    fake_model_hold_renders(&w->model, true);
    fake_batch_start(w, 8);
    fake_batch_ask(w, 1, "[0]", 1);
    fake_model_wait_at_render(&w->model);
    fake_batch_prompt(prompt, 53);
    prompt[1] = 'L';
    fake_batch_ask(w, 2, prompt, 1);
    for (uint64_t i = 0; i < 5; i++)
        fake_batch_ask(w, 3 + i, prompts[i], 1);
    fake_model_hold_renders(&w->model, false);
    fake_batch_finish(w, 7);
    fake_batch_finish(w, 2);
    assert_string_equal(w->model.rendered, "0abcLde"); /* 53 is 3 + 50: three times 16 and more */
}

static void one_that_is_cancelled_while_it_is_rendered_is_not_tokenised(void **state)
{
    struct fake_batch *w = *state;

    fake_model_hold_renders(&w->model, true);
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[x]", 1);
    fake_model_wait_at_render(&w->model);
    scheduler_cancel(w->scheduler, 1);
    fake_batch_ask(w, 2, "[y]", 1);
    fake_model_hold_renders(&w->model, false);
    fake_batch_finish(w, 2);
    assert_int_equal(w->model.tokenised, 1);
    assert_false(w->answers[1].failed);
}

static void a_prompt_that_fills_the_context_is_refused(void **state)
{
    struct fake_batch *w = *state;
    char prompt[FAKE_CONTEXT + 1];

    memset(prompt, 'x', sizeof prompt - 1);
    prompt[FAKE_CONTEXT] = 0;
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, prompt, 1);
    assert_int_equal(fake_batch_finish(w, 1)->code, ERR_LIMIT);
    assert_int_equal(w->answers[1].prompt_tokens, FAKE_CONTEXT);
    assert_false(w->answers[1].admitted);
    fake_batch_ask(w, 2, "\"unrenderable\"", 1);
    assert_int_equal(fake_batch_finish(w, 2)->code, ERR_PARSE);
}

static void a_cancelled_request_leaves_the_queue_at_once(void **state)
{
    struct fake_batch *w = *state;

    w->model.gated = true;
    fake_batch_start(w, 2);
    fake_batch_ask(w, 1, "[runs]", 5);
    fake_model_wait_at_gate(&w->model);
    assert_int_equal(fake_batch_ask(w, 2, "[x]", 1), 0);
    assert_int_equal(fake_batch_ask(w, 3, "[x]", 1), 0);
    fake_batch_admitted(w, 3);
    assert_int_equal(fake_batch_ask(w, 4, "[x]", 1), ERR_BUSY);
    scheduler_cancel(w->scheduler, 2);
    assert_int_equal(fake_batch_waiting(w), 1);
    assert_int_equal(fake_batch_ask(w, 4, "[x]", 1), 0);
    fake_model_allow(&w->model, 1000);
    fake_batch_finish(w, 3);
    fake_batch_finish(w, 4);
    assert_false(w->answers[2].done || w->answers[2].failed);
}

static void one_that_is_cancelled_while_it_is_prepared_leaves_too(void **state)
{
    struct fake_batch *w = *state;

    fake_model_hold_renders(&w->model, true);
    fake_batch_start(w, 1);
    fake_batch_ask(w, 1, "[x]", 1);
    fake_model_wait_at_render(&w->model);
    scheduler_cancel(w->scheduler, 1);
    scheduler_cancel(w->scheduler, 1);
    assert_int_equal(fake_batch_waiting(w), 0);
    assert_int_equal(fake_batch_ask(w, 2, "[y]", 1), 0);
    fake_model_hold_renders(&w->model, false);
    fake_batch_finish(w, 2);
    assert_false(w->answers[1].done);
    assert_int_equal(fake_batch_waiting(w), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_batch_up, fake_batch_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_long_prompt_comes_in_pieces),
        TEST(long_prompts_come_in_pieces_beside_running_rows),
        TEST(beside_running_rows_a_prompt_takes_what_keeps_a_pass_near_its_target),
        TEST(a_prompt_beside_which_nobody_decodes_comes_in_full_chunks),
        TEST(prompts_that_wait_take_their_rows_out_of_the_room),
        TEST(a_later_prompt_in_a_lower_slot_does_not_overtake),
        TEST(a_request_is_admitted_before_a_slot_is_free),
        TEST(a_prompt_that_is_slow_to_prepare_holds_up_no_running_row),
        TEST(messages_that_no_context_can_hold_are_refused_unread),
        TEST(more_messages_than_the_context_has_tokens_are_refused_unread),
        TEST(one_that_is_cancelled_before_it_is_prepared_is_never_rendered),
        TEST(a_short_prompt_is_held_up_by_no_long_one),
        TEST(the_shortest_is_next_but_none_is_overtaken_for_ever),
        TEST(one_that_is_cancelled_while_it_is_rendered_is_not_tokenised),
        TEST(a_prompt_that_fills_the_context_is_refused),
        TEST(a_cancelled_request_leaves_the_queue_at_once),
        TEST(one_that_is_cancelled_while_it_is_prepared_leaves_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
