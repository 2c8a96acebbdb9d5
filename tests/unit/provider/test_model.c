/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's side of an engine that comes, serves, ends and comes again, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>

#include "unit/provider/fake_daemon.h"

enum { PASSES_FAIL = 3 << 8 /* exit status 3 */ };
#define SECOND_US INT64_C(1000000)

#define ASSERT_FAILED(w, t, why)                                          \
    do {                                                                  \
        assert_int_equal(fake_daemon_last(w)->event.kind, ENGINE_FAILED); \
        assert_int_equal(fake_daemon_last(w)->event.tag, (t));            \
        assert_int_equal(fake_daemon_last(w)->event.code, (why));         \
    } while (0)

/* --- a good life --- */

static void it_is_told_what_to_load_and_says_what_it_has(void **state)
{
    struct fake_daemon *w = *state;
    struct wire_msg m;

    assert_int_equal(fake_daemon_ask(w, 1, "[p]"), ERR_AGAIN);
    model_start(w->model);
    assert_true(fake_process_hears(&w->process, &m));
    assert_true(str_is(m.open.model_path, "/m.gguf") && str_is(m.open.version, DARKBLOOM_VERSION));
    assert_int_equal(m.open.slots, 8);
    assert_int_equal(fake_daemon_ask(w, 1, "[p]"), ERR_AGAIN);
    assert_true(fake_daemon_load(w).loading && !fake_daemon_load(w).crashed);
    fake_daemon_ready(w, "abc");
    assert_int_equal(model_facts(w->model)->context_tokens, 2048);
    assert_string_equal(model_facts(w->model)->weight_hash, "abc");
    assert_true(model_facts(w->model)->sealed && model_facts(w->model)->invariant);
    assert_false(fake_daemon_load(w).loading || fake_daemon_load(w).crashed);
}

static void a_request_crosses_as_its_body_and_events_come_back(void **state)
{
    struct fake_daemon *w = *state;
    struct wire_msg m;

    fake_daemon_start(w);
    assert_int_equal(fake_daemon_ask(w, 9, "[prompt]"), 0);
    assert_true(fake_process_hears(&w->process, &m));
    assert_int_equal(m.type, WIRE_SUBMIT);
    assert_int_equal(m.submit.tag, 9);
    assert_true(str_is(m.submit.body, "[prompt]"));
    fake_daemon_say(w, ENGINE_ADMITTED, 9, "");
    fake_daemon_say(w, ENGINE_TEXT, 9, "hello");
    fake_daemon_say(w, ENGINE_DONE, 9, "");
    assert_int_equal(w->n_seen, 3);
    assert_int_equal(w->seen[0].event.prompt_tokens, 5);
    assert_string_equal(w->seen[1].text, "hello");
    assert_int_equal(w->seen[2].event.kind, ENGINE_DONE);
    fake_daemon_say(w, ENGINE_TEXT, 9, "more"); /* behind its end: nobody */
    fake_daemon_say(w, ENGINE_TEXT, 10, "x");   /* never asked for */
    assert_int_equal(w->n_seen, 3);
}

static void a_cancel_reaches_it_and_what_still_comes_finds_nobody(void **state)
{
    struct fake_daemon *w = *state;
    struct wire_msg m;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[p]");
    fake_daemon_say(w, ENGINE_ADMITTED, 1, "");
    fake_daemon_cancel(w, 1);
    assert_true(fake_process_hears(&w->process, &m) && m.type == WIRE_SUBMIT);
    assert_true(fake_process_hears(&w->process, &m) && m.type == WIRE_CANCEL);
    assert_int_equal(m.cancel.tag, 1);
    fake_daemon_say(w, ENGINE_TEXT, 1, "late");
    assert_int_equal(w->n_seen, 1);
}

/* --- ends --- */

static void its_end_fails_what_it_had_behind_what_it_still_said(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[a]");
    fake_daemon_ask(w, 2, "[b]");
    fake_daemon_say(w, ENGINE_ADMITTED, 1, "");
    fake_daemon_say(w, ENGINE_TEXT, 1, "said");
    fake_process_ends(&w->process, SIGKILL);
    assert_int_equal(w->n_seen, 4);
    assert_string_equal(w->seen[1].text, "said");
    assert_int_equal(w->seen[2].event.tag, 1);
    assert_int_equal(w->seen[2].event.code, ERR_CLOSED);
    ASSERT_FAILED(w, 2, ERR_CLOSED);
    assert_int_equal(model_state(w->model), MODEL_DOWN);
    assert_true(fake_daemon_load(w).crashed);
    assert_int_equal(fake_daemon_load(w).running + fake_daemon_load(w).waiting, 0);
    assert_int_equal(fake_daemon_ask(w, 3, "[c]"), ERR_AGAIN);
}

/* 1 s, doubling up to the limit; a minute of service makes it 1 s again. */
static void it_is_started_again_ever_later_until_it_held(void **state)
{
    static const int waits_s[] = {1, 2, 4, 8, 8};
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    for (size_t i = 0; i < sizeof waits_s / sizeof waits_s[0]; i++) {
        int starts = w->process.starts;

        fake_process_ends(&w->process, SIGKILL);
        loop_fake_advance(w->loop, waits_s[i] * SECOND_US - 1000);
        assert_int_equal(w->process.starts, starts);
        loop_fake_advance(w->loop, 1000);
        assert_int_equal(w->process.starts, starts + 1);
        assert_true(fake_daemon_load(w).loading && !fake_daemon_load(w).crashed);
        fake_daemon_ready(w, "abc");
    }
    loop_fake_advance(w->loop, 60 * SECOND_US);
    fake_process_ends(&w->process, SIGKILL);
    loop_fake_advance(w->loop, SECOND_US);
    assert_int_equal(model_state(w->model), MODEL_LOADING);
}

static void a_start_that_fails_later_is_tried_again(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    w->process.start_fails = true;
    fake_process_ends(&w->process, SIGKILL);
    loop_fake_advance(w->loop, 3 * SECOND_US);
    assert_int_equal(w->process.starts, 3);
    w->process.start_fails = false;
    fake_daemon_come_back(w);
}

static void what_keeps_it_from_loading_first_is_final(void **state)
{
    const struct wire_msg refused = {.type = WIRE_REFUSED,
                                     .refused = {ERR_CONFIG, STR("/m.gguf is no model")}};
    struct fake_daemon *w = *state;

    model_start(w->model);
    fake_process_says(&w->process, &refused);
    fake_process_ends(&w->process, 0);
    assert_int_equal(model_state(w->model), MODEL_DOWN);
    assert_int_equal(model_error(w->model)->code, ERR_CONFIG);
    assert_string_equal(model_error(w->model)->text, "/m.gguf is no model");
    loop_fake_advance(w->loop, 600 * SECOND_US);
    assert_int_equal(w->process.starts, 1);
}

static void a_death_while_it_loads_first_is_told_with_its_signal(void **state)
{
    struct fake_daemon *w = *state;

    model_start(w->model);
    fake_process_ends(&w->process, SIGSEGV);
    assert_non_null(strstr(model_error(w->model)->text, "SIGSEGV"));
    assert_non_null(strstr(model_error(w->model)->text, "/m.gguf"));
}

static void forward_passes_of_all_engines_are_summed(void **state)
{
    const struct wire_msg load = {.type = WIRE_LOAD, .load = {.forward_passes = 30, .running = 1}};
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_process_says(&w->process, &load);
    fake_process_ends(&w->process, SIGKILL);
    fake_daemon_come_back(w);
    fake_process_says(&w->process, &load);
    assert_int_equal(fake_daemon_load(w).forward_passes, 60);
}

static void another_model_than_the_announced_serves_nobody(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_process_ends(&w->process, SIGKILL);
    loop_fake_advance(w->loop, SECOND_US);
    fake_daemon_ready(w, "another");
    assert_int_equal(model_state(w->model), MODEL_ENDING);
    assert_int_equal(w->process.kills, 1);
    assert_int_equal(fake_daemon_ask(w, 1, "[p]"), ERR_AGAIN);
}

/* --- an engine that is hostile --- */

static void one_that_breaks_the_protocol_is_ended(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[p]");
    fake_process_says_bytes(&w->process, STR("\xFF\xFF\xFF\xFF\xFF garbage"));
    assert_int_equal(w->process.kills, 1);
    assert_int_equal(model_state(w->model), MODEL_ENDING);
    fake_process_ends(&w->process, SIGKILL);
    ASSERT_FAILED(w, 1, ERR_CLOSED);
}

static void one_that_speaks_out_of_turn_is_ended(void **state)
{
    struct fake_daemon *w = *state;

    model_start(w->model);
    fake_daemon_say(w, ENGINE_TEXT, 1, "too early");
    assert_int_equal(w->process.kills, 1);
    assert_int_equal(w->n_seen, 0);
}

static void one_that_closes_its_wire_has_a_moment_to_end(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    loop_shutdown(w->loop, w->process.engine_end);
    loop_fake_settle(w->loop);
    assert_int_equal(model_state(w->model), MODEL_ENDING);
    assert_int_equal(w->process.kills, 0);
    loop_fake_advance(w->loop, SECOND_US);
    assert_int_equal(w->process.kills, 1);
}

static void codes_of_ours_are_not_believed_from_it(void **state)
{
    const struct wire_msg m = {.type = WIRE_EVENT,
                               .event = {.kind = ENGINE_FAILED, .tag = 1, .code = ERR_DENIED}};
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[p]");
    fake_process_says(&w->process, &m);
    ASSERT_FAILED(w, 1, ERR_MODEL);
}

/* --- who ended it --- */

static void the_prompt_that_was_there_alone_is_not_tried_again(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[deadly]");
    fake_process_ends(&w->process, SIGSEGV);
    fake_daemon_come_back(w);
    assert_int_equal(fake_daemon_ask(w, 2, "[deadly]"), ERR_DENIED);
    assert_int_equal(fake_daemon_ask(w, 3, "[harmless]"), 0);
}

static void beside_answers_that_ran_the_one_without_text_is_the_one(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[runs]");
    fake_daemon_say(w, ENGINE_ADMITTED, 1, "");
    fake_daemon_say(w, ENGINE_TEXT, 1, "x");
    fake_daemon_ask(w, 2, "[deadly]");
    fake_process_ends(&w->process, SIGABRT);
    fake_daemon_come_back(w);
    assert_int_equal(fake_daemon_ask(w, 3, "[deadly]"), ERR_DENIED);
    assert_int_equal(fake_daemon_ask(w, 4, "[runs]"), 0);
}

static void one_that_was_cancelled_in_preparation_is_blamed_too(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[deadly]");
    fake_daemon_cancel(w, 1);
    fake_process_ends(&w->process, SIGSEGV);
    assert_int_equal(w->n_seen, 0);
    fake_daemon_come_back(w);
    assert_int_equal(fake_daemon_ask(w, 2, "[deadly]"), ERR_DENIED);
}

static void what_was_prepared_behind_a_cancelled_one_clears_it(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[first]");
    fake_daemon_ask(w, 2, "[second]");
    fake_daemon_cancel(w, 1);
    fake_daemon_say(w, ENGINE_ADMITTED, 2, "");
    fake_process_ends(&w->process, SIGSEGV);
    fake_daemon_come_back(w);
    assert_int_equal(fake_daemon_ask(w, 3, "[first]"), 0);
    assert_int_equal(fake_daemon_ask(w, 4, "[second]"), ERR_DENIED);
}

static void passes_that_fail_blame_as_a_signal_does(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[p]");
    fake_process_ends(&w->process, PASSES_FAIL);
    fake_daemon_come_back(w);
    assert_int_equal(fake_daemon_ask(w, 2, "[p]"), ERR_DENIED);
}

static void a_kill_from_outside_blames_nobody(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[p]");
    fake_process_ends(&w->process, SIGKILL);
    fake_daemon_come_back(w);
    assert_int_equal(fake_daemon_ask(w, 2, "[p]"), 0);
    assert_string_equal(fake_daemon_reached(w), "2 ");
}

/* Two could be it: each is run alone, and what comes meanwhile waits. */
static void of_several_each_is_run_alone(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[a]");
    fake_daemon_ask(w, 2, "[deadly]");
    fake_process_ends(&w->process, SIGSEGV);
    fake_daemon_come_back(w);
    assert_int_equal(fake_daemon_ask(w, 3, "[a]"), 0);
    assert_int_equal(fake_daemon_ask(w, 4, "[deadly]"), 0);
    assert_int_equal(fake_daemon_ask(w, 5, "[c]"), 0);
    assert_string_equal(fake_daemon_reached(w), "3 ");
    assert_int_equal(fake_daemon_load(w).waiting, 2);
    fake_daemon_say(w, ENGINE_ADMITTED, 3, "");
    fake_daemon_say(w, ENGINE_TEXT, 3, "it was not me");
    assert_string_equal(fake_daemon_reached(w), ""); /* the next suspect waits until it is alone */
    fake_daemon_say(w, ENGINE_DONE, 3, "");
    assert_string_equal(fake_daemon_reached(w), "4 ");
    fake_process_ends(&w->process, SIGSEGV);
    assert_int_equal(w->seen[w->n_seen - 2].event.code, ERR_CLOSED);
    ASSERT_FAILED(w, 5, ERR_AGAIN); /* it was never there */
    fake_daemon_come_back(w);
    assert_int_equal(fake_daemon_ask(w, 6, "[deadly]"), ERR_DENIED);
    assert_int_equal(fake_daemon_ask(w, 7, "[a]"), 0);
    assert_int_equal(fake_daemon_ask(w, 8, "[c]"), 0);
    assert_string_equal(fake_daemon_reached(w), "7 8 ");
}

static void what_waits_behind_a_suspect_is_bounded_and_can_be_cancelled(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[a]");
    fake_daemon_ask(w, 2, "[b]");
    fake_process_ends(&w->process, SIGSEGV);
    fake_daemon_come_back(w);
    assert_int_equal(fake_daemon_ask(w, 3, "[a]"), 0);
    for (uint64_t i = 0; i < FAKE_DAEMON_WAITING; i++)
        assert_int_equal(fake_daemon_ask(w, 10 + i, "[c]"), 0);
    assert_int_equal(fake_daemon_ask(w, 20, "[c]"), ERR_BUSY);
    fake_daemon_cancel(w, 11);
    fake_daemon_cancel(w,
                       3); /* it may still be at work: the others go on only when it is past that */
    assert_string_equal(fake_daemon_reached(w), "3 ");
    fake_daemon_say(w, ENGINE_ADMITTED, 3, "");
    assert_string_equal(fake_daemon_reached(w), "10 12 13 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_daemon_up, fake_daemon_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_told_what_to_load_and_says_what_it_has),
        TEST(a_request_crosses_as_its_body_and_events_come_back),
        TEST(a_cancel_reaches_it_and_what_still_comes_finds_nobody),
        TEST(its_end_fails_what_it_had_behind_what_it_still_said),
        TEST(it_is_started_again_ever_later_until_it_held),
        TEST(a_start_that_fails_later_is_tried_again),
        TEST(what_keeps_it_from_loading_first_is_final),
        TEST(a_death_while_it_loads_first_is_told_with_its_signal),
        TEST(forward_passes_of_all_engines_are_summed),
        TEST(another_model_than_the_announced_serves_nobody),
        TEST(one_that_breaks_the_protocol_is_ended),
        TEST(one_that_speaks_out_of_turn_is_ended),
        TEST(one_that_closes_its_wire_has_a_moment_to_end),
        TEST(codes_of_ours_are_not_believed_from_it),
        TEST(the_prompt_that_was_there_alone_is_not_tried_again),
        TEST(beside_answers_that_ran_the_one_without_text_is_the_one),
        TEST(one_that_was_cancelled_in_preparation_is_blamed_too),
        TEST(what_was_prepared_behind_a_cancelled_one_clears_it),
        TEST(passes_that_fail_blame_as_a_signal_does),
        TEST(a_kill_from_outside_blames_nobody),
        TEST(of_several_each_is_run_alone),
        TEST(what_waits_behind_a_suspect_is_bounded_and_can_be_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
