/* SPDX-License-Identifier: Apache-2.0 */
/* Passes that nobody waits for, and passes that fail. Runs under TSan as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "unit/provider/fake_batch.h"

/* Findings E11: a cancel that leaves nobody does not wait for the pass. */
static void a_pass_that_all_have_left_is_given_up(void **state)
{
    struct fake_batch *w = *state;

    w->model.gated = true;
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[a]", 100);
    fake_model_wait_at_gate(&w->model);
    scheduler_cancel(w->scheduler, 1);
    fake_batch_ask(w, 2, "[next]", 2);
    fake_model_allow(&w->model, 100);
    assert_int_equal(fake_batch_finish(w, 2)->completion_tokens, 2);
    assert_int_equal(w->model.given_up, 1);
    assert_int_equal(w->answers[1].n, 0);
    assert_false(w->answers[1].done || w->answers[1].failed);
}

static void a_pass_that_somebody_still_waits_for_goes_on(void **state)
{
    struct fake_batch *w = *state;

    w->model.gated = true;
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[a]", 100);
    fake_batch_ask(w, 2, "[b]", 3);
    fake_batch_prepared(w, 2);
    fake_batch_run(w, 2);
    scheduler_cancel(w->scheduler, 1);
    fake_model_allow(&w->model, 100);
    assert_int_equal(fake_batch_finish(w, 2)->completion_tokens, 3);
    assert_int_equal(w->model.given_up, 0);
}

static void *stop_it(void *arg)
{
    scheduler_stop(arg);
    return NULL;
}

static void stopping_gives_up_the_pass_that_runs(void **state)
{
    struct fake_batch *w = *state;
    struct scheduler *s;
    pthread_t stopper;

    w->model.gated = true;
    fake_batch_start(w, 4);
    fake_batch_ask(w, 1, "[a]", 100);
    fake_model_wait_at_gate(&w->model);
    s = w->scheduler;
    w->scheduler = NULL;
    assert_int_equal(pthread_create(&stopper, NULL, stop_it, s), 0);
    while (
        !atomic_load(w->model.give_up)) /* the flag is the scheduler's, which waits for the pass */
        sched_yield();
    fake_model_allow(&w->model, 100);
    pthread_join(stopper, NULL);
    assert_int_equal(w->model.given_up, 1);
}

/* Findings E7: an engine of which every pass fails says so, instead of failing all that come. */
static void passes_that_fail_one_after_another_are_a_crash(void **state)
{
    struct fake_batch *w = *state;
    struct load load;

    w->model.fail_all = true;
    fake_batch_start(w, 4);
    for (uint64_t i = 1; i <= SCHEDULER_FAILED_PASSES; i++) {
        scheduler_load(w->scheduler, &load);
        assert_false(load.crashed);
        fake_batch_ask(w, i, "[a]", 1);
        assert_int_equal(fake_batch_finish(w, i)->code, ERR_MODEL);
    }
    scheduler_load(w->scheduler, &load);
    assert_true(load.crashed);
}

static void one_pass_that_succeeds_makes_the_next_failure_the_first(void **state)
{
    struct fake_batch *w = *state;
    struct load load;

    fake_batch_start(w, 4);
    for (uint64_t i = 1; i <= 2 * SCHEDULER_FAILED_PASSES; i++) {
        w->model.fail_next = i % SCHEDULER_FAILED_PASSES != 0;
        fake_batch_ask(w, i, "[a]", 1);
        (void)fake_batch_finish(w, i);
    }
    scheduler_load(w->scheduler, &load);
    assert_false(load.crashed);
}

/* Findings E13: who hears of a refusal may send the next request at once. */
struct asker {
    struct fake_batch *batch;
    atomic_int rc;
};

static void ask_again(void *ud)
{
    struct asker *a = ud;
    const struct chat_request chat = {.messages = STR("\"unrenderable\""), .max_tokens = 1};
    int none = 1;

    if (atomic_compare_exchange_strong(&a->rc, &none, 2))
        atomic_store(&a->rc, scheduler_submit(a->batch->scheduler, 2, &chat));
}

static void the_place_of_a_refused_prompt_is_free_when_it_is_told(void **state)
{
    struct fake_batch *w = *state;
    struct asker a = {.batch = w};
    const struct scheduler_config config = {.ops = &fake_model_ops,
                                            .model = &w->model,
                                            .chunk_tokens = 64,
                                            .max_waiting = 1,
                                            .clock = fake_model_clock(&w->model),
                                            .wake = ask_again,
                                            .wake_ud = &a};

    atomic_init(&a.rc, 1);
    assert_int_equal(scheduler_start(&config, &w->scheduler, NULL), 0);
    assert_int_equal(fake_batch_ask(w, 1, "\"unrenderable\"", 1), 0);
    while (!w->answers[2].failed)
        fake_batch_drain(w);
    assert_int_equal(atomic_load(&a.rc), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_batch_up, fake_batch_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pass_that_all_have_left_is_given_up),
        TEST(a_pass_that_somebody_still_waits_for_goes_on),
        TEST(stopping_gives_up_the_pass_that_runs),
        TEST(passes_that_fail_one_after_another_are_a_crash),
        TEST(one_pass_that_succeeds_makes_the_next_failure_the_first),
        TEST(the_place_of_a_refused_prompt_is_free_when_it_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
