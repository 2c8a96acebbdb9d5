/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's side of an engine that comes, serves, ends and comes again, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "provider/model/model.h"
#include "unit/provider/fake_process.h"

enum { EVENTS = 256, WAITING = 4, RESTART_MAX_MS = 8000, TEXT_BYTES = 64, PASSES_FAIL = 3 << 8 };
#define SECOND_US INT64_C(1000000)

struct seen {
    struct engine_event event;
    char text[TEXT_BYTES];
};

struct world {
    struct loop *loop;
    struct fake_process process;
    struct model *model;
    struct log log;
    struct seen seen[EVENTS];
    int n_seen, n_changed;
};

static void on_events(void *ud)
{
    struct world *w = ud;
    const struct engine_port port = model_port(w->model);
    struct engine_event e;

    while (port.poll(port.ud, &e) == 1) {
        struct seen *s = &w->seen[w->n_seen++];

        assert_true(w->n_seen < EVENTS && e.text.n < TEXT_BYTES);
        s->event = e;
        if (e.text.n > 0)
            memcpy(s->text, e.text.p, e.text.n);
    }
}

static void on_changed(void *ud)
{
    ((struct world *)ud)->n_changed++;
}

static void fill(void *ud, void *ret_bytes, size_t n)
{
    (void)ud;
    memset(ret_bytes, 7, n);
}

static int up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct model_config config = {
        .rand = {fill, NULL},
        .open = {.model_path = STR("/m.gguf"), .slots = 8, .max_waiting = WAITING},
        .restart_max_ms = RESTART_MAX_MS,
        .events = on_events,
        .changed = on_changed,
        .ud = w};

    assert_int_equal(loop_fake_new(0, &w->loop), 0);
    fake_process_up(&w->process, w->loop);
    w->log = (struct log){.fd = -1, .level = LOG_ERROR, .clock = loop_clock(w->loop)};
    config.loop = w->loop;
    config.log = &w->log;
    config.process = fake_process_ops(&w->process);
    assert_int_equal(model_new(&config, &w->model), 0);
    *state = w;
    return 0;
}

static int down(void **state)
{
    struct world *w = *state;

    fake_process_down(&w->process);
    model_free(w->model);
    loop_free(w->loop);
    free(w);
    return 0;
}

/* --- what the scripted engine says --- */

static void say_ready(struct world *w, const char *hash)
{
    const struct wire_msg m = {.type = WIRE_READY,
                               .ready = {.version = STR(DARKBLOOM_VERSION),
                                         .context_tokens = 2048,
                                         .max_seqs = 8,
                                         .invariant = true,
                                         .quantization = STR("Q4_1"),
                                         .weight_hash = str_from(hash),
                                         .no_new_files = true,
                                         .no_network = true,
                                         .filtered = true,
                                         .not_dumpable = true}};

    fake_process_says(&w->process, &m);
}

static void start(struct world *w)
{
    struct wire_msg m;

    model_start(w->model);
    assert_true(fake_process_hears(&w->process, &m));
    assert_int_equal(m.type, WIRE_OPEN);
    say_ready(w, "abc");
    assert_int_equal(model_state(w->model), MODEL_READY);
}

static void say(struct world *w, enum engine_event_kind kind, uint64_t tag, const char *text)
{
    const struct wire_msg m = {
        .type = WIRE_EVENT,
        .event = {.kind = kind, .tag = tag, .text = str_from(text), .prompt_tokens = 5}};

    fake_process_says(&w->process, &m);
}

/* The engine comes back after it ended. */
static void come_back(struct world *w)
{
    loop_fake_advance(w->loop, RESTART_MAX_MS * INT64_C(1000));
    assert_int_equal(model_state(w->model), MODEL_LOADING);
    say_ready(w, "abc");
    assert_int_equal(model_state(w->model), MODEL_READY);
}

/* --- what the daemon asks --- */

static int ask(struct world *w, uint64_t tag, const char *prompt)
{
    const struct engine_port port = model_port(w->model);
    const struct chat_request chat = {.body = str_from(prompt), .messages = str_from(prompt)};

    return port.submit(port.ud, tag, &chat);
}

static void cancel(struct world *w, uint64_t tag)
{
    const struct engine_port port = model_port(w->model);

    port.cancel(port.ud, tag);
}

static struct load load_of(struct world *w)
{
    const struct engine_port port = model_port(w->model);
    struct load load = {0};

    port.load(port.ud, &load);
    return load;
}

/* Submits that reach the engine: their tags, "1 2 ". */
static const char *reached(struct world *w)
{
    static char text[128];
    struct wire_msg m;
    size_t n = 0;

    text[0] = '\0';
    while (fake_process_hears(&w->process, &m)) {
        if (m.type == WIRE_SUBMIT)
            n += (size_t)snprintf(text + n, sizeof text - n, "%d ", (int)m.submit.tag);
    }
    return text;
}

static const struct seen *last_seen(const struct world *w)
{
    assert_true(w->n_seen > 0);
    return &w->seen[w->n_seen - 1];
}

#define ASSERT_FAILED(w, t, why)                                   \
    do {                                                           \
        assert_int_equal(last_seen(w)->event.kind, ENGINE_FAILED); \
        assert_int_equal(last_seen(w)->event.tag, (t));            \
        assert_int_equal(last_seen(w)->event.code, (why));         \
    } while (0)

/* --- a good life --- */

static void it_is_told_what_to_load_and_says_what_it_has(void **state)
{
    struct world *w = *state;
    struct wire_msg m;

    assert_int_equal(ask(w, 1, "[p]"), ERR_AGAIN);
    model_start(w->model);
    assert_true(fake_process_hears(&w->process, &m));
    assert_true(str_is(m.open.model_path, "/m.gguf") && str_is(m.open.version, DARKBLOOM_VERSION));
    assert_int_equal(m.open.slots, 8);
    assert_int_equal(ask(w, 1, "[p]"), ERR_AGAIN);
    assert_true(load_of(w).loading && !load_of(w).crashed);
    say_ready(w, "abc");
    assert_int_equal(model_facts(w->model)->context_tokens, 2048);
    assert_string_equal(model_facts(w->model)->weight_hash, "abc");
    assert_true(model_facts(w->model)->sealed && model_facts(w->model)->invariant);
    assert_false(load_of(w).loading || load_of(w).crashed);
}

static void a_request_crosses_as_its_body_and_events_come_back(void **state)
{
    struct world *w = *state;
    struct wire_msg m;

    start(w);
    assert_int_equal(ask(w, 9, "[prompt]"), 0);
    assert_true(fake_process_hears(&w->process, &m));
    assert_int_equal(m.type, WIRE_SUBMIT);
    assert_int_equal(m.submit.tag, 9);
    assert_true(str_is(m.submit.body, "[prompt]"));
    say(w, ENGINE_ADMITTED, 9, "");
    say(w, ENGINE_TEXT, 9, "hello");
    say(w, ENGINE_DONE, 9, "");
    assert_int_equal(w->n_seen, 3);
    assert_int_equal(w->seen[0].event.prompt_tokens, 5);
    assert_string_equal(w->seen[1].text, "hello");
    assert_int_equal(w->seen[2].event.kind, ENGINE_DONE);
    say(w, ENGINE_TEXT, 9, "more"); /* behind its end: nobody */
    say(w, ENGINE_TEXT, 10, "x");   /* never asked for */
    assert_int_equal(w->n_seen, 3);
}

static void a_cancel_reaches_it_and_what_still_comes_finds_nobody(void **state)
{
    struct world *w = *state;
    struct wire_msg m;

    start(w);
    ask(w, 1, "[p]");
    say(w, ENGINE_ADMITTED, 1, "");
    cancel(w, 1);
    assert_true(fake_process_hears(&w->process, &m) && m.type == WIRE_SUBMIT);
    assert_true(fake_process_hears(&w->process, &m) && m.type == WIRE_CANCEL);
    assert_int_equal(m.cancel.tag, 1);
    say(w, ENGINE_TEXT, 1, "late");
    assert_int_equal(w->n_seen, 1);
}

/* --- ends --- */

static void its_end_fails_what_it_had_behind_what_it_still_said(void **state)
{
    struct world *w = *state;

    start(w);
    ask(w, 1, "[a]");
    ask(w, 2, "[b]");
    say(w, ENGINE_ADMITTED, 1, "");
    say(w, ENGINE_TEXT, 1, "said");
    fake_process_ends(&w->process, SIGKILL);
    assert_int_equal(w->n_seen, 4);
    assert_string_equal(w->seen[1].text, "said");
    assert_int_equal(w->seen[2].event.tag, 1);
    assert_int_equal(w->seen[2].event.code, ERR_CLOSED);
    ASSERT_FAILED(w, 2, ERR_CLOSED);
    assert_int_equal(model_state(w->model), MODEL_DOWN);
    assert_true(load_of(w).crashed);
    assert_int_equal(load_of(w).running + load_of(w).waiting, 0);
    assert_int_equal(ask(w, 3, "[c]"), ERR_AGAIN);
}

/* 1 s, doubling up to the limit; a minute of service makes it 1 s again. */
static void it_is_started_again_ever_later_until_it_held(void **state)
{
    static const int waits_s[] = {1, 2, 4, 8, 8};
    struct world *w = *state;

    start(w);
    for (size_t i = 0; i < sizeof waits_s / sizeof waits_s[0]; i++) {
        int starts = w->process.starts;

        fake_process_ends(&w->process, SIGKILL);
        loop_fake_advance(w->loop, waits_s[i] * SECOND_US - 1000);
        assert_int_equal(w->process.starts, starts);
        loop_fake_advance(w->loop, 1000);
        assert_int_equal(w->process.starts, starts + 1);
        assert_true(load_of(w).loading && !load_of(w).crashed);
        say_ready(w, "abc");
    }
    loop_fake_advance(w->loop, 60 * SECOND_US);
    fake_process_ends(&w->process, SIGKILL);
    loop_fake_advance(w->loop, SECOND_US);
    assert_int_equal(model_state(w->model), MODEL_LOADING);
}

static void a_start_that_fails_later_is_tried_again(void **state)
{
    struct world *w = *state;

    start(w);
    w->process.start_fails = true;
    fake_process_ends(&w->process, SIGKILL);
    loop_fake_advance(w->loop, 3 * SECOND_US);
    assert_int_equal(w->process.starts, 3);
    w->process.start_fails = false;
    come_back(w);
}

static void what_keeps_it_from_loading_first_is_final(void **state)
{
    const struct wire_msg refused = {.type = WIRE_REFUSED,
                                     .refused = {ERR_CONFIG, STR("/m.gguf is no model")}};
    struct world *w = *state;

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
    struct world *w = *state;

    model_start(w->model);
    fake_process_ends(&w->process, SIGSEGV);
    assert_non_null(strstr(model_error(w->model)->text, "SIGSEGV"));
    assert_non_null(strstr(model_error(w->model)->text, "/m.gguf"));
}

static void forward_passes_of_all_engines_are_summed(void **state)
{
    const struct wire_msg load = {.type = WIRE_LOAD, .load = {.forward_passes = 30, .running = 1}};
    struct world *w = *state;

    start(w);
    fake_process_says(&w->process, &load);
    fake_process_ends(&w->process, SIGKILL);
    come_back(w);
    fake_process_says(&w->process, &load);
    assert_int_equal(load_of(w).forward_passes, 60);
}

static void another_model_than_the_announced_serves_nobody(void **state)
{
    struct world *w = *state;

    start(w);
    fake_process_ends(&w->process, SIGKILL);
    loop_fake_advance(w->loop, SECOND_US);
    say_ready(w, "another");
    assert_int_equal(model_state(w->model), MODEL_ENDING);
    assert_int_equal(w->process.kills, 1);
    assert_int_equal(ask(w, 1, "[p]"), ERR_AGAIN);
}

/* --- an engine that is hostile --- */

static void one_that_breaks_the_protocol_is_ended(void **state)
{
    struct world *w = *state;

    start(w);
    ask(w, 1, "[p]");
    fake_process_says_bytes(&w->process, STR("\xFF\xFF\xFF\xFF\xFF garbage"));
    assert_int_equal(w->process.kills, 1);
    assert_int_equal(model_state(w->model), MODEL_ENDING);
    fake_process_ends(&w->process, SIGKILL);
    ASSERT_FAILED(w, 1, ERR_CLOSED);
}

static void one_that_speaks_out_of_turn_is_ended(void **state)
{
    struct world *w = *state;

    model_start(w->model);
    say(w, ENGINE_TEXT, 1, "too early");
    assert_int_equal(w->process.kills, 1);
    assert_int_equal(w->n_seen, 0);
}

static void one_that_closes_its_wire_has_a_moment_to_end(void **state)
{
    struct world *w = *state;

    start(w);
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
    struct world *w = *state;

    start(w);
    ask(w, 1, "[p]");
    fake_process_says(&w->process, &m);
    ASSERT_FAILED(w, 1, ERR_MODEL);
}

/* --- who ended it --- */

static void the_prompt_that_was_there_alone_is_not_tried_again(void **state)
{
    struct world *w = *state;

    start(w);
    ask(w, 1, "[deadly]");
    fake_process_ends(&w->process, SIGSEGV);
    come_back(w);
    assert_int_equal(ask(w, 2, "[deadly]"), ERR_DENIED);
    assert_int_equal(ask(w, 3, "[harmless]"), 0);
}

static void beside_answers_that_ran_the_one_without_text_is_the_one(void **state)
{
    struct world *w = *state;

    start(w);
    ask(w, 1, "[runs]");
    say(w, ENGINE_ADMITTED, 1, "");
    say(w, ENGINE_TEXT, 1, "x");
    ask(w, 2, "[deadly]");
    fake_process_ends(&w->process, SIGABRT);
    come_back(w);
    assert_int_equal(ask(w, 3, "[deadly]"), ERR_DENIED);
    assert_int_equal(ask(w, 4, "[runs]"), 0);
}

static void one_that_was_cancelled_in_preparation_is_blamed_too(void **state)
{
    struct world *w = *state;

    start(w);
    ask(w, 1, "[deadly]");
    cancel(w, 1);
    fake_process_ends(&w->process, SIGSEGV);
    assert_int_equal(w->n_seen, 0);
    come_back(w);
    assert_int_equal(ask(w, 2, "[deadly]"), ERR_DENIED);
}

static void what_was_prepared_behind_a_cancelled_one_clears_it(void **state)
{
    struct world *w = *state;

    start(w);
    ask(w, 1, "[first]");
    ask(w, 2, "[second]");
    cancel(w, 1);
    say(w, ENGINE_ADMITTED, 2, "");
    fake_process_ends(&w->process, SIGSEGV);
    come_back(w);
    assert_int_equal(ask(w, 3, "[first]"), 0);
    assert_int_equal(ask(w, 4, "[second]"), ERR_DENIED);
}

static void passes_that_fail_blame_as_a_signal_does(void **state)
{
    struct world *w = *state;

    start(w);
    ask(w, 1, "[p]");
    fake_process_ends(&w->process, PASSES_FAIL);
    come_back(w);
    assert_int_equal(ask(w, 2, "[p]"), ERR_DENIED);
}

static void a_kill_from_outside_blames_nobody(void **state)
{
    struct world *w = *state;

    start(w);
    ask(w, 1, "[p]");
    fake_process_ends(&w->process, SIGKILL);
    come_back(w);
    assert_int_equal(ask(w, 2, "[p]"), 0);
    assert_string_equal(reached(w), "2 ");
}

/* Two could be it: each is run alone, and what comes meanwhile waits. */
static void of_several_each_is_run_alone(void **state)
{
    struct world *w = *state;

    start(w);
    ask(w, 1, "[a]");
    ask(w, 2, "[deadly]");
    fake_process_ends(&w->process, SIGSEGV);
    come_back(w);
    assert_int_equal(ask(w, 3, "[a]"), 0);
    assert_int_equal(ask(w, 4, "[deadly]"), 0);
    assert_int_equal(ask(w, 5, "[c]"), 0);
    assert_string_equal(reached(w), "3 ");
    assert_int_equal(load_of(w).waiting, 2);
    say(w, ENGINE_ADMITTED, 3, "");
    say(w, ENGINE_TEXT, 3, "it was not me");
    assert_string_equal(reached(w), ""); /* the next suspect waits until it is alone */
    say(w, ENGINE_DONE, 3, "");
    assert_string_equal(reached(w), "4 ");
    fake_process_ends(&w->process, SIGSEGV);
    assert_int_equal(w->seen[w->n_seen - 2].event.code, ERR_CLOSED);
    ASSERT_FAILED(w, 5, ERR_AGAIN); /* it was never there */
    come_back(w);
    assert_int_equal(ask(w, 6, "[deadly]"), ERR_DENIED);
    assert_int_equal(ask(w, 7, "[a]"), 0);
    assert_int_equal(ask(w, 8, "[c]"), 0);
    assert_string_equal(reached(w), "7 8 ");
}

static void what_waits_behind_a_suspect_is_bounded_and_can_be_cancelled(void **state)
{
    struct world *w = *state;

    start(w);
    ask(w, 1, "[a]");
    ask(w, 2, "[b]");
    fake_process_ends(&w->process, SIGSEGV);
    come_back(w);
    assert_int_equal(ask(w, 3, "[a]"), 0);
    for (uint64_t i = 0; i < WAITING; i++)
        assert_int_equal(ask(w, 10 + i, "[c]"), 0);
    assert_int_equal(ask(w, 20, "[c]"), ERR_BUSY);
    cancel(w, 11);
    cancel(w, 3); /* it may still be at work: the others go on only when it is past that */
    assert_string_equal(reached(w), "3 ");
    say(w, ENGINE_ADMITTED, 3, "");
    assert_string_equal(reached(w), "10 12 13 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

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
