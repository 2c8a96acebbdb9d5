/* SPDX-License-Identifier: Apache-2.0 */
/* A model that nobody asks for leaves memory, and comes back when somebody does (seed rows G). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>

#include "provider/model/idle.h"
#include "provider/model/tickets.h"
#include "unit/provider/fake_daemon.h"

#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
enum { TIMEOUT_MS = 3600000, LONG_MS = IDLE_RESIDENT_MS };

/* --- whether: G04 --- */

static void all_met_unloads(void **state)
{
    (void)state;
    assert_true(idle_should_unload(true, 0, TIMEOUT_MS, LONG_MS, TIMEOUT_MS));
}

static void a_request_in_flight_keeps_it(void **state)
{
    (void)state;
    assert_false(idle_should_unload(true, 1, TIMEOUT_MS, LONG_MS, TIMEOUT_MS));
}

static void what_is_not_loaded_is_not_unloaded(void **state)
{
    (void)state;
    assert_false(idle_should_unload(false, 0, TIMEOUT_MS, LONG_MS, TIMEOUT_MS));
}

static void before_the_time_is_over_it_stays(void **state)
{
    (void)state;
    assert_false(idle_should_unload(true, 0, TIMEOUT_MS - 1, LONG_MS, TIMEOUT_MS));
}

static void a_timeout_of_zero_is_never(void **state)
{
    (void)state;
    assert_false(idle_should_unload(true, 0, 0, LONG_MS, 0));
    assert_false(idle_should_unload(true, 0, INT64_MAX, INT64_MAX, 0));
}

static void what_was_just_loaded_stays_for_a_while(void **state)
{
    (void)state;
    assert_false(idle_should_unload(true, 0, TIMEOUT_MS, LONG_MS - 1, TIMEOUT_MS));
}

/* --- when --- */

static void after_the_timeout_without_a_request_the_process_ends(void **state)
{
    struct fake_daemon *w = *state;
    struct idle idle;
    char byte;

    fake_daemon_start(w);
    idle_start(&idle, w->loop, w->model, 10 * INT64_C(60000));
    loop_fake_advance(w->loop, 9 * MINUTE_US);
    fake_daemon_ask(w, 1, "[p]"); /* begins: counted from here … */
    loop_fake_advance(w->loop, 20 * MINUTE_US);
    assert_int_equal(model_state(w->model), MODEL_READY);
    fake_daemon_say(w, ENGINE_DONE, 1, ""); /* … and from its end */
    loop_fake_advance(w->loop, 9 * MINUTE_US);
    assert_int_equal(model_state(w->model), MODEL_READY);
    loop_fake_advance(w->loop, 2 * MINUTE_US);
    assert_int_equal(model_state(w->model), MODEL_ENDING);
    assert_int_equal(fake_daemon_reached(w)[0], '1');
    assert_int_equal(loop_recv(w->loop, w->process.engine_end, &byte, 1), 0);
    fake_process_ends(&w->process, 0);
    assert_int_equal(model_state(w->model), MODEL_DOWN);
    assert_true(fake_daemon_load(w).unloaded && !fake_daemon_load(w).crashed);
    loop_fake_advance(w->loop, 600 * MINUTE_US);
    assert_int_equal(w->process.starts, 1);
    idle_stop(&idle);
}

static void unload(struct fake_daemon *w)
{
    fake_daemon_start(w);
    model_unload(w->model);
    fake_process_ends(&w->process, 0);
    assert_true(fake_daemon_load(w).unloaded);
}

static void the_next_request_loads_it_and_waits(void **state)
{
    struct fake_daemon *w = *state;

    unload(w);
    assert_int_equal(fake_daemon_ask(w, 1, "[p]"), 0);
    assert_int_equal(fake_daemon_ask(w, 2, "[q]"), 0);
    assert_int_equal(w->process.starts, 1); /* never from inside a submit */
    loop_fake_settle(w->loop);
    assert_int_equal(w->process.starts, 2);
    assert_true(fake_daemon_load(w).loading && !fake_daemon_load(w).unloaded);
    assert_int_equal(fake_daemon_load(w).waiting, 2);
    assert_int_equal(w->n_seen, 2); /* each is told that it was taken on */
    assert_int_equal(w->seen[0].event.kind, ENGINE_ADMITTED);
    assert_int_equal(w->seen[0].event.prompt_tokens, 0);
    assert_int_equal(w->seen[1].event.tag, 2);
    assert_string_equal(fake_daemon_reached(w), "");
    fake_daemon_ready(w, "abc");
    assert_string_equal(fake_daemon_reached(w), "1 2 ");
    fake_daemon_say(w, ENGINE_DONE, 1, "");
    assert_int_equal(fake_daemon_last(w)->event.kind, ENGINE_DONE);
}

static void one_that_comes_while_it_goes_starts_the_next_behind_it(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    model_unload(w->model);
    assert_int_equal(fake_daemon_ask(w, 1, "[p]"), 0);
    loop_fake_settle(w->loop);
    assert_int_equal(w->process.starts, 1);
    fake_process_ends(&w->process, 0);
    assert_int_equal(w->process.starts, 2);
    fake_daemon_ready(w, "abc");
    assert_string_equal(fake_daemon_reached(w), "1 ");
}

static void those_who_wait_are_bounded_and_may_leave(void **state)
{
    struct fake_daemon *w = *state;

    unload(w);
    for (uint64_t i = 1; i <= FAKE_DAEMON_WAITING; i++)
        assert_int_equal(fake_daemon_ask(w, i, "[p]"), 0);
    assert_int_equal(fake_daemon_ask(w, 9, "[p]"), ERR_BUSY);
    fake_daemon_cancel(w, 1);
    assert_int_equal(fake_daemon_ask(w, 9, "[p]"), 0);
    loop_fake_settle(w->loop);
    fake_daemon_ready(w, "abc");
    assert_string_equal(fake_daemon_reached(w), "2 3 4 9 ");
}

static void who_waits_too_long_is_sent_elsewhere_and_the_load_goes_on(void **state)
{
    struct fake_daemon *w = *state;

    unload(w);
    fake_daemon_ask(w, 1, "[p]");
    loop_fake_advance(w->loop, MODEL_WAIT_MS * INT64_C(1000));
    assert_int_equal(fake_daemon_last(w)->event.kind, ENGINE_FAILED);
    assert_int_equal(fake_daemon_last(w)->event.code, ERR_AGAIN);
    assert_int_equal(model_state(w->model), MODEL_LOADING);
    fake_daemon_ready(w, "abc");
    assert_int_equal(fake_daemon_ask(w, 2, "[p]"), 0);
}

static void an_engine_that_ends_while_it_loads_again_has_crashed(void **state)
{
    struct fake_daemon *w = *state;

    unload(w);
    fake_daemon_ask(w, 1, "[p]");
    loop_fake_settle(w->loop);
    fake_process_ends(&w->process, SIGSEGV);
    assert_int_equal(fake_daemon_last(w)->event.code, ERR_AGAIN);
    assert_true(fake_daemon_load(w).crashed && !fake_daemon_load(w).unloaded);
    assert_int_equal(fake_daemon_ask(w, 2, "[p]"), ERR_AGAIN);
    fake_daemon_come_back(w);
    assert_int_equal(fake_daemon_ask(w, 3, "[p]"), 0); /* it was not there: not its fault */
}

static void a_start_that_fails_sends_those_who_wait_elsewhere(void **state)
{
    struct fake_daemon *w = *state;

    unload(w);
    w->process.start_fails = true;
    fake_daemon_ask(w, 1, "[p]");
    loop_fake_settle(w->loop);
    assert_int_equal(fake_daemon_last(w)->event.code, ERR_AGAIN);
    w->process.start_fails = false;
    fake_daemon_come_back(w);
}

static void a_preload_loads_it_without_a_request(void **state)
{
    struct fake_daemon *w = *state;
    const struct engine_port port = model_port(w->model);

    unload(w);
    assert_int_equal(port.warm(port.ud), 0);
    assert_int_equal(port.warm(port.ud), 0);
    loop_fake_settle(w->loop);
    assert_int_equal(w->process.starts, 2);
    fake_daemon_ready(w, "abc");
    assert_int_equal(port.warm(port.ud), 1);
}

static void with_a_request_in_flight_it_is_not_unloaded(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[p]");
    model_unload(w->model);
    assert_int_equal(model_state(w->model), MODEL_READY);
    fake_daemon_cancel(w, 1); /* one that was cancelled does not count */
    model_unload(w->model);
    assert_int_equal(model_state(w->model), MODEL_ENDING);
    fake_process_ends(&w->process, 0);
}

/* A cancelled request that the engine never came to prepare says nothing any more. */
static void one_that_was_cancelled_unprepared_holds_up_a_suspect_for_seconds(void **state)
{
    struct fake_daemon *w = *state;

    fake_daemon_start(w);
    fake_daemon_ask(w, 1, "[a]");
    fake_daemon_ask(w, 2, "[b]");
    fake_process_ends(&w->process, SIGSEGV);
    fake_daemon_come_back(w);
    fake_daemon_ask(w, 3, "[other]");
    fake_daemon_cancel(w, 3);
    assert_int_equal(fake_daemon_ask(w, 4, "[a]"), 0);
    assert_string_equal(fake_daemon_reached(w), "3 ");
    loop_fake_advance(w->loop, (TICKETS_CANCELLED_MS + 1) * INT64_C(1000));
    assert_string_equal(fake_daemon_reached(w), "4 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_daemon_up, fake_daemon_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_met_unloads),
        cmocka_unit_test(a_request_in_flight_keeps_it),
        cmocka_unit_test(what_is_not_loaded_is_not_unloaded),
        cmocka_unit_test(before_the_time_is_over_it_stays),
        cmocka_unit_test(a_timeout_of_zero_is_never),
        cmocka_unit_test(what_was_just_loaded_stays_for_a_while),
        TEST(after_the_timeout_without_a_request_the_process_ends),
        TEST(the_next_request_loads_it_and_waits),
        TEST(one_that_comes_while_it_goes_starts_the_next_behind_it),
        TEST(those_who_wait_are_bounded_and_may_leave),
        TEST(who_waits_too_long_is_sent_elsewhere_and_the_load_goes_on),
        TEST(an_engine_that_ends_while_it_loads_again_has_crashed),
        TEST(a_start_that_fails_sends_those_who_wait_elsewhere),
        TEST(a_preload_loads_it_without_a_request),
        TEST(with_a_request_in_flight_it_is_not_unloaded),
        TEST(one_that_was_cancelled_unprepared_holds_up_a_suspect_for_seconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
