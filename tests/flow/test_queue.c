/* SPDX-License-Identifier: Apache-2.0 */
/* No free slot: requests wait in order, with their hold, for 30 s at most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80 };

static const struct fake_provider_config plain = {0};
static const struct fake_provider_config one_slot = {.max_running = 1};

/* A request that can be told from others by what it asks. */
static struct fake_consumer *ask_for(struct fake_world *w, const char *what)
{
    char body[300];

    snprintf(body, sizeof body,
             "{\"model\":\"" FAKE_MODEL "\",\"max_tokens\":100,\"messages\":[{\"role\":\"user\","
             "\"content\":\"%s\"}]}",
             what);
    return fake_consumer_ask(w, &(struct fake_ask){.body = body});
}

static bool asks_for(const struct fake_provider *p, size_t job, const char *what)
{
    return job < p->n_jobs && fake_says(buf_view(&p->jobs[job].body), what);
}

/* --- waiting --- */

static void a_request_without_a_provider_waits_for_one(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = fake_consumer_stream(w);
    struct fake_provider *p;
    struct str timing;

    fake_world_advance_ms(w, 5000);
    assert_int_equal(fake_consumer_status(c), 0);
    assert_true(fake_world_hold(w, 0).open);
    p = fake_provider_join(w, &plain);
    assert_int_equal(p->n_jobs, 1);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
    timing = fake_consumer_header(c, "X-Timing");
    assert_int_equal(fake_number(timing, "queue_us"), 5000000);
    assert_int_equal(fake_number(timing, "provider_us"), 0);
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
}

static void a_slot_that_becomes_free_goes_to_who_waits(void **state)
{
    static void (*const ends[])(struct fake_provider * p, size_t job, int64_t prompt,
                                int64_t completion) = {fake_provider_serve, fake_provider_complete};
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        void *world;
        struct fake_provider *p;

        fake_world_up(&world);
        p = fake_provider_join(world, &one_slot);
        ask_for(world, "first");
        ask_for(world, "second");
        assert_int_equal(p->n_jobs, 1);
        ends[i](p, 0, PROMPT, 40);
        assert_true(asks_for(p, 1, "second"));
        fake_world_down(&world);
    }
}

static void a_slot_freed_by_an_error_goes_to_who_waits(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &one_slot);

    ask_for(w, "first");
    ask_for(w, "second");
    fake_provider_error(p, 0, 400, "no");
    assert_true(asks_for(p, 1, "second"));
}

static void slots_are_given_in_the_order_of_arrival(void **state)
{
    static const char *const names[] = {"first", "second", "third", "fourth"};
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &one_slot);

    for (size_t i = 0; i < 3; i++)
        ask_for(w, names[i]);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(p->n_jobs, i + 1);
        assert_true(asks_for(p, i, names[i]));
        fake_provider_serve(p, i, PROMPT, 40);
        if (i == 0) /* while "third" still waits */
            ask_for(w, names[3]);
    }
}

static void who_leaves_the_queue_gives_up_its_place(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &one_slot);
    struct fake_consumer *second;

    ask_for(w, "first");
    second = ask_for(w, "second");
    ask_for(w, "third");
    fake_consumer_leave(second);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(asks_for(p, 1, "third"));
    assert_int_equal(p->n_jobs, 2);
}

static void several_slots_serve_several_that_wait(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p;

    ask_for(w, "first");
    ask_for(w, "second");
    ask_for(w, "third");
    p = fake_provider_join(w, &(struct fake_provider_config){.max_running = 2});
    assert_int_equal(p->n_jobs, 2);
    assert_true(asks_for(p, 0, "first"));
    assert_true(asks_for(p, 1, "second"));
    p->config.max_running = 3;
    fake_provider_heartbeat(p); /* it has found more memory */
    fake_world_settle(w);
    assert_true(asks_for(p, 2, "third"));
}

static void a_demand_that_nobody_meets_holds_up_nobody(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *demanding = fake_consumer_ask(
        w, &(struct fake_ask){.headers = "X-Min-Trust-Level: hardware\r\n", .body = FAKE_WHOLE});
    struct fake_provider *p;

    ask_for(w, "modest");
    p = fake_provider_join(w, &plain);
    assert_int_equal(p->n_jobs, 1);
    assert_true(asks_for(p, 0, "modest"));
    fake_world_advance_ms(w, 30000);
    assert_int_equal(fake_consumer_status(demanding), 429);
    assert_true(fake_says(fake_consumer_body(demanding), "trust level hardware"));
}

static void who_waits_for_more_trust_leaves_the_free_slots_to_others(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    fake_consumer_ask(w, &(struct fake_ask){.headers = "X-Min-Trust-Level: hardware\r\n"});
    assert_int_equal(p->n_jobs, 0);
    ask_for(w, "modest");
    assert_true(asks_for(p, 0, "modest"));
}

/* --- waiting in vain --- */

static void when_the_wait_is_over_it_is_429_and_free(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_world_advance_ms(w, 29999);
    assert_int_equal(fake_consumer_status(c), 0);
    fake_world_advance_ms(w, 1);
    assert_int_equal(fake_consumer_status(c), 429);
    assert_true(str_is(fake_consumer_header(c, "Retry-After"), "5"));
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"model_not_available\""));
    assert_true(fake_says(fake_consumer_body(c), "within 30000 ms"));
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT);
    fake_world_assert_at_rest(w);
}

static void a_full_queue_refuses_at_once_and_names_its_limit(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_consumer *c;
    (void)state;

    w->settings.queue_max = 2;
    fake_world_start(w);
    ask_for(w, "first");
    ask_for(w, "second");
    c = ask_for(w, "third");
    assert_int_equal(fake_consumer_status(c), 429);
    assert_true(fake_says(fake_consumer_body(c), "2 requests already wait"));
    assert_true(str_is(fake_consumer_header(c, "Retry-After"), "5"));
    assert_string_equal(fake_world_hold(w, 2).outcome, "released");
    fake_world_down((void **)&w);
}

/* --- the early head --- */

static void a_stream_gets_its_head_and_a_comment_after_15_seconds(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_world_advance_ms(w, 14999);
    assert_int_equal(fake_consumer_status(c), 0);
    fake_world_advance_ms(w, 1);
    assert_int_equal(fake_consumer_status(c), 200);
    assert_true(str_is(fake_consumer_header(c, "Content-Type"), "text/event-stream"));
    assert_true(str_starts(fake_consumer_body(c), STR(": ")));
    assert_int_equal(fake_consumer_events(c), 0);
    /* Nobody serves yet, so nobody's trust is claimed. */
    assert_null(fake_consumer_header(c, "X-Provider-Trust-Level").p);
    assert_null(fake_consumer_header(c, "X-Timing").p);
}

static void after_an_early_head_trust_and_timing_come_in_the_receipt(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = fake_consumer_stream(w);
    struct fake_provider *p;

    fake_world_advance_ms(w, 20000);
    p = fake_provider_join(w, &plain);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_consumer_text(c), "Hello world");
    assert_true(fake_says(fake_consumer_event(c, 4), "\"trust_level\":\"self_signed\""));
    assert_int_equal(fake_number(fake_consumer_event(c, 4), "queue_us"), 20000000);
}

static void after_an_early_head_a_failure_is_an_event(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_world_advance_ms(w, 30000);
    assert_int_equal(fake_consumer_status(c), 200);
    assert_true(fake_consumer_done(c));
    assert_int_equal(fake_consumer_events(c), 1); /* no [DONE] after an error */
    assert_true(fake_says(fake_consumer_event(c, 0), "\"code\":\"model_not_available\""));
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
}

static void an_early_head_can_still_be_retried(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = fake_provider_join(w, &plain);
    struct fake_provider *second =
        fake_provider_join(w, &(struct fake_provider_config){.cpu_usage = 0.5});
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(first, 0, PROMPT);
    fake_world_advance_ms(w, 16000);
    assert_int_equal(fake_consumer_status(c), 200);
    fake_provider_error(first, 0, 500, "broken");
    fake_provider_serve(second, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_consumer_text(c), "Hello world");
}

static void no_head_leaves_before_the_hold_is_committed(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    fake_world_slow_store(w, 20000000);
    c = fake_consumer_stream(w);
    fake_world_advance_ms(w, 20000); /* the key */
    fake_provider_accept(p, 0, PROMPT);
    fake_world_advance_ms(w, 19000);
    assert_int_equal(fake_consumer_status(c), 0);
    fake_world_slow_store(w, 0);
    fake_world_advance_ms(w, 12000);
    assert_int_equal(fake_consumer_status(c), 200);
}

static void a_whole_answer_has_no_early_head(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_world_advance_ms(w, 29000);
    assert_int_equal(fake_consumer_status(c), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_without_a_provider_waits_for_one),
        cmocka_unit_test(a_slot_that_becomes_free_goes_to_who_waits),
        TEST(a_slot_freed_by_an_error_goes_to_who_waits),
        TEST(slots_are_given_in_the_order_of_arrival),
        TEST(who_leaves_the_queue_gives_up_its_place),
        TEST(several_slots_serve_several_that_wait),
        TEST(a_demand_that_nobody_meets_holds_up_nobody),
        TEST(who_waits_for_more_trust_leaves_the_free_slots_to_others),
        TEST(when_the_wait_is_over_it_is_429_and_free),
        cmocka_unit_test(a_full_queue_refuses_at_once_and_names_its_limit),
        TEST(a_stream_gets_its_head_and_a_comment_after_15_seconds),
        TEST(after_an_early_head_trust_and_timing_come_in_the_receipt),
        TEST(after_an_early_head_a_failure_is_an_event),
        TEST(an_early_head_can_still_be_retried),
        TEST(no_head_leaves_before_the_hold_is_committed),
        TEST(a_whole_answer_has_no_early_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
