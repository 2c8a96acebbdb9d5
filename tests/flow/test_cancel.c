/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer leaves, at every stage of its request: nothing stays held, what was delivered is paid,
 * and the provider hears of it only while it still works for the request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, STORE_MS = 10 };

static const struct fake_provider_config plain = {0};
static const struct fake_ask idempotent = {.headers = "Idempotency-Key: once\r\n"};

static void assert_free_of_charge(struct fake_world *w)
{
    fake_world_assert_at_rest(w);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 1);
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
    assert_int_equal(fake_world_hold(w, 0).cost, 0);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT);
}

static void assert_charged(struct fake_world *w, struct fake_provider *p, const char *outcome,
                           int64_t tokens)
{
    struct fake_hold h = fake_world_hold(w, 0);

    fake_world_assert_at_rest(w);
    assert_string_equal(h.outcome, outcome);
    assert_int_equal(h.delivered_tokens, tokens);
    assert_int_equal(h.cost, PROMPT + 2 * tokens);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT - h.cost);
    assert_int_equal(fake_world_balance(w, fake_provider_account(p)), h.cost - h.cost * 5 / 100);
}

/* --- leaving --- */

static void leaving_before_the_key_is_looked_up_makes_no_hold(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_stream(w);
    assert_int_equal(w->coord->n_requests, 0); /* its body has not been read */
    fake_consumer_leave(c);
    fake_world_advance_ms(w, STORE_MS);
    assert_int_equal(w->coord->n_requests, 0);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 0);
    assert_int_equal(p->n_jobs, 0);
}

static void leaving_while_the_hold_is_awaited_releases_it(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_ask(w, &idempotent);
    fake_world_advance_ms(w, STORE_MS); /* the key; the hold is submitted */
    fake_consumer_leave(c);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 0);
    fake_world_advance_ms(w, 3 * STORE_MS);
    assert_int_equal(p->n_jobs, 0);
    assert_free_of_charge(w);
}

static void leaving_before_the_commit_cancels_what_was_dispatched(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_stream(w);
    fake_world_advance_ms(w, STORE_MS);
    assert_int_equal(p->n_jobs, 1);
    fake_consumer_leave(c);
    assert_int_equal(p->jobs[0].cancels, 1);
    fake_world_advance_ms(w, 3 * STORE_MS);
    assert_free_of_charge(w);
}

static void leaving_when_only_the_commit_is_missing_cancels_nothing(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_stream(w);
    fake_world_advance_ms(w, STORE_MS);
    fake_provider_serve(p, 0, PROMPT, 30);
    fake_consumer_leave(c);
    assert_int_equal(p->jobs[0].cancels, 0);
    fake_world_advance_ms(w, 3 * STORE_MS);
    assert_free_of_charge(w);
}

static void leaving_the_queue_releases_the_hold(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = fake_consumer_stream(w);
    struct fake_provider *p;

    assert_true(fake_world_hold(w, 0).open);
    fake_consumer_leave(c);
    assert_free_of_charge(w);
    p = fake_provider_join(w, &plain);
    assert_int_equal(p->n_jobs, 0);
}

static void leaving_after_dispatch_cancels_at_the_provider(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_consumer_leave(c);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_free_of_charge(w);
}

static void leaving_in_mid_stream_pays_for_what_was_taken(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 30);
    fake_consumer_leave(c);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_charged(w, p, "consumer_gone", 30);
    fake_provider_text(p, 0, " world", 30); /* it had not heard yet */
    fake_provider_error(p, 0, 499, "cancelled");
    assert_charged(w, p, "consumer_gone", 30);
    assert_non_null(p->ws);
}

static void leaving_before_a_whole_answer_is_complete_is_free(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 30);
    fake_consumer_leave(c);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_free_of_charge(w);
}

static void leaving_after_the_end_changes_nothing(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_serve(p, 0, PROMPT, 30);
    fake_consumer_leave(c);
    assert_int_equal(p->jobs[0].cancels, 0);
    assert_int_equal(p->stray_cancels, 0);
    assert_charged(w, p, "completed", 30);
}

static void a_provider_that_has_failed_is_not_told_to_cancel(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = fake_provider_join(w, &plain);
    struct fake_provider *second =
        fake_provider_join(w, &(struct fake_provider_config){.cpu_usage = 0.5});
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_error(first, 0, 500, "broken");
    assert_int_equal(second->n_jobs, 1);
    fake_consumer_leave(c);
    assert_int_equal(first->jobs[0].cancels, 0);
    assert_int_equal(second->jobs[0].cancels, 1);
    assert_free_of_charge(w);
}

static void leaving_frees_the_slot_for_the_next(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p =
        fake_provider_join(w, &(struct fake_provider_config){.max_running = 1});
    struct fake_consumer *first = fake_consumer_stream(w), *second = fake_consumer_stream(w);

    assert_int_equal(p->n_jobs, 1);
    fake_consumer_leave(first);
    assert_int_equal(p->n_jobs, 2);
    fake_provider_serve(p, 1, PROMPT, 30);
    assert_string_equal(fake_consumer_text(second), "Hello world");
}

/* --- the deadline --- */

static void the_deadline_cuts_a_stream_that_still_runs(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 30);
    fake_world_advance_ms(w, 599999);
    assert_false(fake_consumer_done(c));
    assert_int_equal(p->jobs[0].cancels, 0);
    fake_world_advance_ms(w, 1);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_true(fake_consumer_done(c));
    assert_true(fake_says(fake_consumer_event(c, 2), "\"code\":\"timeout\""));
    assert_true(fake_says(fake_consumer_event(c, 2), "600000 ms"));
    assert_charged(w, p, "deadline", 30);
}

static void a_whole_answer_cut_at_its_deadline_is_504_and_free(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 30);
    fake_world_advance_ms(w, 600000);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_int_equal(fake_consumer_status(c), 504);
    assert_free_of_charge(w);
}

/* --- the coordinator stops --- */

static void on_drained(void *ud)
{
    struct fake_world *w = ud;

    w->drained = true;
}

static void a_stopping_coordinator_lets_running_answers_end(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    hub_drain(w->hub, 5000, on_drained, w);
    fake_world_advance_ms(w, 4000);
    assert_false(w->drained);
    fake_provider_serve(p, 0, PROMPT, 30);
    assert_true(w->drained);
    assert_true(fake_consumer_done(c));
    assert_true(c->ended);
    assert_non_null(strstr(p->close_text, "1001"));
    assert_charged(w, p, "completed", 30);
}

/* Whoever waits to stop the loop is called when nothing is left to say. */
static void a_stopping_coordinator_takes_leave_of_its_providers_first(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    hub_drain(w->hub, 5000, on_drained, w);
    assert_false(w->drained);
    fake_world_settle(w);
    assert_true(w->drained);
    assert_null(p->ws);
    assert_non_null(strstr(p->close_text, "1001"));
}

static void what_outlasts_the_grace_is_cut_and_settled(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 30);
    hub_drain(w->hub, 5000, on_drained, w);
    fake_world_advance_ms(w, 5000);
    assert_true(w->drained);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_true(fake_consumer_done(c));
    assert_true(fake_says(fake_consumer_event(c, 2), "\"code\":\"overloaded\""));
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 60);
}

/* One request at each stage. */
static void a_coordinator_that_ends_at_once_settles_what_runs(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p =
        fake_provider_join(w, &(struct fake_provider_config){.max_running = 3});
    struct fake_consumer *streaming = fake_consumer_stream(w);
    char key[KEY_TEXT_BYTES];

    fake_consumer_stream(w); /* accepted */
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 30);
    fake_provider_accept(p, 1, PROMPT);
    fake_consumer_whole(w);                /* dispatched */
    fake_consumer_stream(w);               /* queued */
    fake_world_make_key(w, "bob", 1, key); /* not in memory */
    fake_world_slow_store(w, STORE_MS * 1000);
    fake_consumer_ask(w, &idempotent);                    /* waits for its hold */
    fake_consumer_ask(w, &(struct fake_ask){.key = key}); /* waits for its key */
    assert_int_equal(w->coord->n_requests, 5);
    fake_world_stop(w);
    fake_world_assert_at_rest(w);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 5);
    assert_int_equal(fake_world_query(w, "SELECT sum(cost) FROM holds"), PROMPT + 60);
    assert_true(streaming->ended);
    assert_non_null(strstr(p->close_text, "1001"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(leaving_before_the_key_is_looked_up_makes_no_hold),
        TEST(leaving_while_the_hold_is_awaited_releases_it),
        TEST(leaving_before_the_commit_cancels_what_was_dispatched),
        TEST(leaving_when_only_the_commit_is_missing_cancels_nothing),
        TEST(leaving_the_queue_releases_the_hold),
        TEST(leaving_after_dispatch_cancels_at_the_provider),
        TEST(leaving_in_mid_stream_pays_for_what_was_taken),
        TEST(leaving_before_a_whole_answer_is_complete_is_free),
        TEST(leaving_after_the_end_changes_nothing),
        TEST(a_provider_that_has_failed_is_not_told_to_cancel),
        TEST(leaving_frees_the_slot_for_the_next),
        TEST(the_deadline_cuts_a_stream_that_still_runs),
        TEST(a_whole_answer_cut_at_its_deadline_is_504_and_free),
        TEST(a_stopping_coordinator_lets_running_answers_end),
        TEST(a_stopping_coordinator_takes_leave_of_its_providers_first),
        TEST(what_outlasts_the_grace_is_cut_and_settled),
        TEST(a_coordinator_that_ends_at_once_settles_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
