/* SPDX-License-Identifier: Apache-2.0 */
/* A provider fails: before the first token another one is asked, with the same hold and under a new
 * wire id; after it the consumer is told and pays for what it got. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, COMPLETION = 50, COST = 180, PAYOUT = 171 };

/* Three providers; the busier their machine, the later they are asked. */
static struct fake_provider *first_of(struct fake_world *w)
{
    return fake_provider_join(w, &(struct fake_provider_config){.cpu_usage = 0});
}

static struct fake_provider *second_of(struct fake_world *w)
{
    return fake_provider_join(w, &(struct fake_provider_config){.cpu_usage = 0.5});
}

static struct fake_provider *third_of(struct fake_world *w)
{
    return fake_provider_join(w, &(struct fake_provider_config){.cpu_usage = 1});
}

static void assert_served_by(struct fake_world *w, struct fake_provider *p, struct fake_consumer *c)
{
    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    assert_int_equal(fake_consumer_status(c), 200);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_consumer_text(c), "Hello world");
    fake_world_assert_at_rest(w);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 1);
    assert_int_equal(fake_world_hold(w, 0).cost, COST);
    assert_string_equal(fake_world_hold(w, 0).provider_account, fake_provider_account(p));
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT - COST);
}

static void assert_released(struct fake_world *w)
{
    fake_world_assert_at_rest(w);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 1);
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
    assert_int_equal(fake_world_hold(w, 0).cost, 0);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT);
}

/* --- before the first token --- */

static void fails_500(struct fake_provider *p)
{
    fake_provider_error(p, 0, 500, "out of memory");
}

static void sends_garbage(struct fake_provider *p)
{
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_role(p, 0);
    fake_provider_line(p, 0, STR("data: {\"error\":{\"message\":\"out of memory\"}}"), 0);
}

static void fails_without_status(struct fake_provider *p)
{
    fake_provider_error(p, 0, 0, "no idea");
}

static void dies(struct fake_provider *p)
{
    fake_provider_die(p);
    fake_world_settle(p->w);
}

static void accepts_and_dies(struct fake_provider *p)
{
    fake_provider_accept(p, 0, PROMPT);
    dies(p);
}

static void sends_a_role_and_dies(struct fake_provider *p)
{
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_role(p, 0);
    dies(p);
}

static void never_accepts(struct fake_provider *p)
{
    fake_world_advance_ms(p->w, p->w->settings.accept_timeout_ms);
}

static void accepts_and_falls_silent(struct fake_provider *p)
{
    fake_provider_accept(p, 0, PROMPT);
    fake_world_advance_ms(p->w, p->w->settings.first_token_timeout_ms);
}

static void says_it_in_plaintext(struct fake_provider *p)
{
    fake_provider_send(p,
                       &(struct provider_msg){.type = MSG_INFERENCE_RESPONSE_CHUNK,
                                              .chunk = {.request_id = str_from(p->jobs[0].wire_id),
                                                        .data = STR("data: {\"choices\":[]}"),
                                                        .tokens = PROTO_UNSET}});
    fake_world_settle(p->w);
}

static const struct failure {
    void (*happen)(struct fake_provider *p);
    bool running; /* at that provider, when the coordinator turns away from it */
    int status;   /* what the consumer is told when it was the last provider */
    const char *code;
} failures[] = {
    {fails_500, false, 502, "\"code\":\"provider_error\""},
    {sends_garbage, true, 502, "\"code\":\"provider_error\""},
    {fails_without_status, false, 502, "\"code\":\"provider_error\""},
    {dies, false, 502, "\"code\":\"provider_error\""},
    {accepts_and_dies, false, 502, "\"code\":\"provider_error\""},
    {sends_a_role_and_dies, false, 502, "\"code\":\"provider_error\""},
    {never_accepts, true, 504, "\"code\":\"timeout\""},
    {accepts_and_falls_silent, true, 504, "\"code\":\"timeout\""},
    {says_it_in_plaintext, false, 502, "\"code\":\"provider_error\""},
};

enum { FAILURES = sizeof failures / sizeof failures[0] };

/* A world whose requests may outlive a first token that never comes. */
static struct fake_world *patient_world(void)
{
    struct fake_world *w = fake_world_new();

    w->settings.first_token_timeout_ms = 60000;
    w->settings.first_content_ms = 90000;
    w->settings.head_after_ms = 600000;
    fake_world_start(w);
    return w;
}

static void a_failure_before_the_first_token_goes_to_another_provider(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAILURES; i++) {
        struct fake_world *w = patient_world();
        struct fake_provider *first = first_of(w), *second = second_of(w);
        struct fake_consumer *c = fake_consumer_stream(w);

        assert_int_equal(first->n_jobs, 1);
        assert_int_equal(second->n_jobs, 0);
        failures[i].happen(first);
        assert_int_equal(second->n_jobs, 1);
        assert_string_not_equal(second->jobs[0].wire_id, first->jobs[0].wire_id);
        assert_int_equal(first->jobs[0].cancels, failures[i].running ? 1 : 0);
        assert_served_by(w, second, c);
        fake_world_down((void **)&w);
    }
}

static void without_another_provider_the_consumer_is_told_and_pays_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAILURES; i++) {
        struct fake_world *w = patient_world();
        struct fake_provider *only = first_of(w);
        struct fake_consumer *c = fake_consumer_whole(w);

        failures[i].happen(only);
        fake_world_advance_ms(w, w->settings.first_content_ms); /* it is waited for, not for ever */
        assert_int_equal(only->n_jobs, 1);                      /* not asked again */
        assert_int_equal(fake_consumer_status(c), failures[i].status);
        assert_true(fake_consumer_done(c));
        assert_true(fake_says(fake_consumer_body(c), failures[i].code));
        assert_true(fake_says(fake_consumer_body(c), "{\"error\":{\"message\":\""));
        assert_released(w);
        fake_world_down((void **)&w);
    }
}

static void a_role_alone_does_not_bind_the_answer_to_a_provider(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = first_of(w), *second = second_of(w);
    struct fake_consumer *c = fake_consumer_stream(w);

    sends_a_role_and_dies(first);
    fake_provider_serve(second, 0, PROMPT, COMPLETION);
    assert_int_equal(fake_consumer_events(c), 6); /* one role, not two */
    assert_true(fake_says(fake_consumer_event(c, 0), "\"role\":\"assistant\""));
    assert_false(fake_says(fake_consumer_event(c, 1), "\"role\""));
}

/* The commit opens the way to the consumer, but a role that waited for it is still no answer. */
static void a_role_before_the_commit_does_not_bind_it_either(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = first_of(w), *second = second_of(w);
    struct fake_consumer *c;

    fake_consumer_leave(fake_consumer_stream(w)); /* the account is known now */
    fake_world_slow_store(w, 20000);
    c = fake_consumer_stream(w);
    fake_provider_accept(first, 1, PROMPT);
    fake_provider_role(first, 1);
    fake_world_advance_ms(w, 20);
    assert_int_equal(fake_consumer_status(c), 0);
    dies(first);
    assert_int_equal(second->n_jobs, 1);
    fake_provider_serve(second, 0, PROMPT, COMPLETION);
    assert_string_equal(fake_consumer_text(c), "Hello world");
}

static void three_providers_are_asked_and_no_fourth(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *providers[] = {first_of(w), second_of(w), third_of(w), third_of(w)};
    struct fake_consumer *c = fake_consumer_whole(w);
    bool failed[4] = {false};
    size_t asked = 0;

    for (size_t round = 0; round < 4; round++) {
        for (size_t i = 0; i < 4; i++) {
            if (providers[i]->n_jobs > 0 && !failed[i]) {
                asked++;
                failed[i] = true;
                fails_500(providers[i]);
            }
        }
    }
    assert_int_equal(asked, 3);
    assert_int_equal(fake_consumer_status(c), 502);
    assert_released(w);
}

/* It may be the prompt that kills them. */
static void a_prompt_that_lost_two_providers_is_tried_on_no_third(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = first_of(w), *second = second_of(w), *third = third_of(w);
    struct fake_consumer *c = fake_consumer_whole(w);

    dies(first);
    assert_int_equal(second->n_jobs, 1);
    dies(second);
    assert_int_equal(third->n_jobs, 0);
    assert_int_equal(fake_consumer_status(c), 502);
    assert_released(w);
}

/* --- the next one --- */

/* It is idle all the time, and would be asked first all the time. */
static void the_next_requests_go_to_who_did_not_fail(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *broken = first_of(w), *other = second_of(w);

    for (size_t i = 0; i < 8; i++) {
        struct fake_consumer *c = fake_consumer_stream(w);

        if (i == 0)
            fails_500(broken);
        fake_provider_serve(other, i, PROMPT, COMPLETION);
        assert_true(fake_consumer_done(c));
    }
    assert_int_equal(broken->n_jobs, 1);
    fake_consumer_stream(w);
    assert_int_equal(other->n_jobs, 9);
    fake_consumer_stream(w); /* with the other one busy it is tried again */
    assert_int_equal(broken->n_jobs, 2);
}

static void one_failure_among_many_answers_weighs_little(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = first_of(w), *later;

    fake_consumer_stream(w);
    fails_500(p);
    for (size_t i = 1; i <= 20; i++) {
        fake_consumer_stream(w);
        fake_provider_serve(p, i, PROMPT, COMPLETION);
    }
    later = third_of(w);
    fake_consumer_stream(w);
    assert_int_equal(p->n_jobs, 22);
    assert_int_equal(later->n_jobs, 0);
}

static void a_provider_that_joined_after_a_failure_can_be_asked(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = first_of(w), *second = second_of(w), *later;
    struct fake_consumer *c = fake_consumer_stream(w);

    dies(first);
    later = third_of(w); /* perhaps where the first was in memory */
    fails_500(second);
    assert_served_by(w, later, c);
}

static void a_retry_waits_for_a_slot_where_the_others_are_busy(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *busy =
        fake_provider_join(w, &(struct fake_provider_config){.max_running = 1});
    struct fake_consumer *first = fake_consumer_stream(w), *c;
    struct fake_provider *failing = second_of(w);

    c = fake_consumer_stream(w);
    fake_provider_error(failing, 0, 500, "out of memory");
    assert_int_equal(fake_consumer_status(c), 0);
    fake_provider_serve(busy, 0, PROMPT, COMPLETION);
    assert_true(fake_consumer_done(first));
    assert_int_equal(busy->n_jobs, 2);
    fake_provider_serve(busy, 1, PROMPT, COMPLETION);
    assert_true(fake_consumer_done(c));
    fake_world_assert_at_rest(w);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 2);
}

static void a_late_word_from_the_first_provider_is_ignored(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = first_of(w), *second = second_of(w);
    struct fake_consumer *c = fake_consumer_stream(w);

    never_accepts(first);
    fake_provider_accept(first, 0, PROMPT);
    fake_provider_text(first, 0, "too late", 2);
    fake_provider_complete(first, 0, PROMPT, 2);
    assert_int_equal(fake_consumer_status(c), 0);
    assert_served_by(w, second, c);
}

static void a_chunk_says_that_the_request_was_accepted(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = first_of(w), *second = second_of(w);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_role(first, 0);
    fake_world_advance_ms(w, w->settings.accept_timeout_ms + 1000);
    assert_int_equal(second->n_jobs, 0);
    assert_served_by(w, first, c);
}

static void accepting_again_gains_no_time(void **state)
{
    struct fake_world *w = patient_world();
    struct fake_provider *p = first_of(w);
    struct fake_consumer *c = fake_consumer_whole(w);
    (void)state;

    fake_provider_accept(p, 0, PROMPT);
    fake_world_advance_ms(w, 30000);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_role(p, 0);
    fake_world_advance_ms(w, 60000);
    assert_int_equal(fake_consumer_status(c), 504);
    assert_true(fake_says(fake_consumer_body(c), "no provider answered within 90000 ms"));
    fake_world_down((void **)&w);
}

static void the_error_names_the_limit_that_passed(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = first_of(w);
    struct fake_consumer *c = fake_consumer_whole(w);

    never_accepts(p);
    assert_true(fake_says(fake_consumer_body(c), "no provider answered within 10000 ms"));
}

/* --- the provider says that the request is wrong --- */

/* Only these say something of the request itself; and what stands there is ours (FR-46). */
static void a_request_fault_is_final_and_its_words_are_ours(void **state)
{
    static const int statuses[] = {400, 413, 422};
    (void)state;

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct fake_world *w = patient_world();
        struct fake_provider *first = first_of(w), *second = second_of(w);
        struct fake_consumer *c = fake_consumer_stream(w);

        fake_provider_error(first, 0, statuses[i], "SECRET PROMPT");
        assert_int_equal(second->n_jobs, 0);
        assert_int_equal(fake_consumer_status(c), statuses[i]);
        assert_false(fake_says(fake_consumer_body(c), "SECRET"));
        assert_false(fake_world_logged(w, "SECRET"));
        assert_true(fake_says(fake_consumer_body(c), "\"type\":\"invalid_request_error\""));
        assert_released(w);
        fake_world_down((void **)&w);
    }
}

/* R1: one provider that answers 401 to everything: nobody was served beside a healthy one. */
static void any_other_answer_is_tried_elsewhere_and_says_nothing(void **state)
{
    static const int statuses[] = {0,   200, 401, 402, 403, 404, 408,   418,
                                   429, 451, 499, 500, 503, 599, 999999};
    (void)state;

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct fake_world *w = patient_world();
        struct fake_provider *first = first_of(w), *second = second_of(w);
        struct fake_consumer *c = fake_consumer_stream(w);

        fake_provider_error(first, 0, statuses[i], "SECRET PROMPT");
        assert_false(fake_world_logged(w, "SECRET"));
        assert_served_by(w, second, c);
        assert_false(fake_says(fake_consumer_body(c), "SECRET"));
        fake_world_down((void **)&w);
    }
}

static void a_providers_error_code_and_parameter_reach_the_consumer(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = first_of(w);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_send(p,
                       &(struct provider_msg){.type = MSG_INFERENCE_ERROR,
                                              .error = {.request_id = str_from(p->jobs[0].wire_id),
                                                        .error = STR("the prompt is too long"),
                                                        .status_code = 400,
                                                        .code = STR("context_length_exceeded"),
                                                        .param = STR("messages")}});
    fake_world_settle(w);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"context_length_exceeded\""));
    assert_true(fake_says(fake_consumer_body(c), "\"param\":\"messages\""));
}

/* A provider could write a prompt there. */
static void what_is_no_code_is_neither_logged_nor_passed_on(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = first_of(w);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_send(p,
                       &(struct provider_msg){.type = MSG_INFERENCE_ERROR,
                                              .error = {.request_id = str_from(p->jobs[0].wire_id),
                                                        .error = STR("no"),
                                                        .status_code = 400,
                                                        .code = STR("Say hello")}});
    fake_world_settle(w);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"invalid_request_error\""));
    assert_false(fake_world_logged(w, "Say hello"));
}

/* --- after the first token --- */

static void fails_with_4xx(struct fake_provider *p)
{
    fake_provider_error(p, 0, 400, "changed its mind");
}

static void a_failure_after_the_first_token_ends_the_stream_with_an_error_event(void **state)
{
    static void (*const happen[])(struct fake_provider * p) = {dies, fails_500, fails_with_4xx,
                                                               says_it_in_plaintext};
    (void)state;

    for (size_t i = 0; i < 4; i++) {
        struct fake_world *w = patient_world();
        struct fake_provider *first = first_of(w), *second = second_of(w);
        struct fake_consumer *c = fake_consumer_stream(w);
        struct fake_hold h;

        fake_provider_accept(first, 0, PROMPT);
        fake_provider_text(first, 0, "Hel", 30);
        fake_provider_text(first, 0, "lo", 20);
        happen[i](first);
        assert_int_equal(second->n_jobs, 0);
        assert_int_equal(fake_consumer_status(c), 200);
        assert_true(fake_consumer_done(c));
        assert_string_equal(fake_consumer_text(c), "Hello");
        assert_int_equal(fake_consumer_events(c), 4); /* two texts, receipt, error; no [DONE] */
        assert_int_equal(fake_number(fake_consumer_event(c, 2), "cost_micro_usd"), COST);
        assert_true(fake_says(fake_consumer_event(c, 3), "{\"error\":{\"message\":\""));
        h = fake_world_hold(w, 0);
        assert_string_equal(h.outcome, "provider_failed");
        assert_int_equal(h.cost, COST);
        assert_int_equal(h.refund, h.ceiling - COST);
        assert_int_equal(fake_world_balance(w, fake_provider_account(first)), PAYOUT);
        fake_world_assert_at_rest(w);
        fake_world_down((void **)&w);
    }
}

static void a_whole_answer_that_breaks_is_an_error_and_free(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = first_of(w);
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hel", 3);
    dies(p);
    assert_int_equal(fake_consumer_status(c), 502);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"provider_error\""));
    assert_released(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_before_the_first_token_goes_to_another_provider),
        cmocka_unit_test(without_another_provider_the_consumer_is_told_and_pays_nothing),
        TEST(a_role_alone_does_not_bind_the_answer_to_a_provider),
        TEST(a_role_before_the_commit_does_not_bind_it_either),
        TEST(three_providers_are_asked_and_no_fourth),
        TEST(a_prompt_that_lost_two_providers_is_tried_on_no_third),
        cmocka_unit_test(any_other_answer_is_tried_elsewhere_and_says_nothing),
        TEST(the_next_requests_go_to_who_did_not_fail),
        TEST(one_failure_among_many_answers_weighs_little),
        TEST(a_provider_that_joined_after_a_failure_can_be_asked),
        TEST(a_retry_waits_for_a_slot_where_the_others_are_busy),
        TEST(a_late_word_from_the_first_provider_is_ignored),
        TEST(a_chunk_says_that_the_request_was_accepted),
        cmocka_unit_test(accepting_again_gains_no_time),
        TEST(the_error_names_the_limit_that_passed),
        cmocka_unit_test(a_request_fault_is_final_and_its_words_are_ours),
        TEST(a_providers_error_code_and_parameter_reach_the_consumer),
        TEST(what_is_no_code_is_neither_logged_nor_passed_on),
        cmocka_unit_test(a_failure_after_the_first_token_ends_the_stream_with_an_error_event),
        TEST(a_whole_answer_that_breaks_is_an_error_and_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
