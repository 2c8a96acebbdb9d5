/* SPDX-License-Identifier: Apache-2.0 */
/* An answer that goes well, through all eight stages: what the provider gets, what the consumer
 * gets and in which order, and who has paid whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

static const struct fake_provider_config plain = {0};

/* 50 prompt tokens at 1, 40 completion tokens at 2 micro-USD, and of that 5 % for the platform. */
enum { PROMPT = 50, COMPLETION = 40, COST = 130, FEE = 6 };

#define STREAM_WITH_USAGE                                               \
    "{\"model\":\"" FAKE_MODEL "\",\"max_tokens\":100,\"stream\":true," \
    "\"stream_options\":{\"include_usage\":true}," FAKE_MESSAGES "}"

static void assert_paid(struct fake_world *w, struct fake_provider *p)
{
    struct fake_hold h = fake_world_hold(w, 0);

    fake_world_assert_at_rest(w);
    assert_string_equal(h.outcome, "completed");
    assert_int_equal(h.cost, COST);
    assert_int_equal(h.refund, h.ceiling - COST);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT - COST);
    assert_int_equal(fake_world_balance(w, fake_provider_account(p)), COST - FEE);
    assert_int_equal(fake_world_balance(w, "platform"), FEE);
}

static void the_provider_gets_the_body_sealed_with_a_token_limit(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    fake_consumer_ask(w, &(struct fake_ask){.body = "{\"model\":\"" FAKE_MODEL
                                                    "\",\"max_tokens\":7," FAKE_MESSAGES "}"});
    assert_int_equal(p->n_jobs, 1);
    assert_true(fake_says(buf_view(&p->jobs[0].body), FAKE_MESSAGES));
    assert_int_equal(fake_number(buf_view(&p->jobs[0].body), "max_tokens"), 7);
}

static void
without_a_limit_of_its_own_a_request_gets_what_the_prompt_leaves_of_the_context(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    fake_consumer_ask(
        w, &(struct fake_ask){.body = "{\"model\":\"" FAKE_MODEL "\"," FAKE_MESSAGES "}"});
    assert_int_equal(fake_number(buf_view(&p->jobs[0].body), "max_tokens"),
                     FAKE_CONTEXT - (int64_t)(sizeof FAKE_MESSAGES - sizeof "\"messages\":") / 8 -
                         1);
}

static void a_stream_is_role_content_finish_usage_receipt_done(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_ask(w, &(struct fake_ask){.body = STREAM_WITH_USAGE});

    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    assert_int_equal(fake_consumer_status(c), 200);
    assert_true(fake_consumer_done(c));
    assert_int_equal(fake_consumer_events(c), 7);
    assert_true(fake_says(fake_consumer_event(c, 0), "\"role\":\"assistant\""));
    assert_true(fake_says(fake_consumer_event(c, 1), "\"content\":\"Hello\""));
    assert_true(fake_says(fake_consumer_event(c, 2), "\"content\":\" world\""));
    assert_true(fake_says(fake_consumer_event(c, 3), "\"finish_reason\":\"stop\""));
    assert_true(fake_says(fake_consumer_event(c, 4), "\"choices\":[],\"usage\":{"));
    assert_int_equal(fake_number(fake_consumer_event(c, 4), "prompt_tokens"), PROMPT);
    assert_int_equal(fake_number(fake_consumer_event(c, 4), "completion_tokens"), COMPLETION);
    assert_true(fake_says(fake_consumer_event(c, 5), "\"receipt\":{\"request_id\":"));
    assert_true(str_is(fake_consumer_event(c, 6), "[DONE]"));
    assert_paid(w, p);
}

static void usage_is_an_event_only_where_it_was_asked_for(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    assert_int_equal(fake_consumer_events(c), 6);
    for (size_t i = 0; i < 6; i++)
        assert_false(fake_says(fake_consumer_event(c, i), "\"usage\""));
}

static void a_missing_role_is_added_to_the_first_delta(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 1);
    assert_true(fake_says(fake_consumer_event(c, 0), "\"role\":\"assistant\""));
    assert_string_equal(fake_consumer_text(c), "Hello");
    fake_provider_complete(p, 0, PROMPT, 1);
    assert_true(fake_consumer_done(c));
}

static void a_whole_answer_is_joined_from_the_deltas(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_whole(w);
    struct str body;

    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    assert_int_equal(fake_consumer_status(c), 200);
    assert_true(fake_consumer_done(c));
    body = fake_consumer_body(c);
    assert_true(fake_says(body, "\"object\":\"chat.completion\""));
    assert_true(fake_says(body, "\"content\":\"Hello world\""));
    assert_true(fake_says(body, "\"finish_reason\":\"stop\""));
    assert_int_equal(fake_number(body, "completion_tokens"), COMPLETION);
    assert_int_equal(fake_number(body, "total_tokens"), PROMPT + COMPLETION);
    assert_int_equal(fake_number(body, "cost_micro_usd"), COST);
    assert_paid(w, p);
}

static void the_receipt_says_who_served_and_what_it_cost(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);
    char provider_id[80];
    struct str receipt;

    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    snprintf(provider_id, sizeof provider_id, "\"provider_id\":\"%.*s\"",
             STR_ARG(fake_consumer_header(c, "X-Provider-Id")));
    receipt = fake_consumer_event(c, 4);
    assert_int_equal(fake_number(receipt, "cost_micro_usd"), COST);
    assert_true(fake_says(receipt, provider_id));
    assert_true(fake_says(receipt, "\"trust_level\":\"self_signed\""));
    assert_true(fake_says(receipt, "\"se_signature\":\"c2lnbmF0dXJl\""));
    assert_true(fake_says(receipt, "\"response_hash\":\"0123456789abcdef\""));
    assert_true(fake_says(receipt, "\"id\":\"chatcmpl-fake\""));
}

static void the_head_names_the_provider_and_its_trust(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c =
        fake_consumer_ask(w, &(struct fake_ask){.headers = "X-Request-Id: trace-7\r\n"});
    const struct {
        const char *name, *value;
    } expected[] = {{"Content-Type", "text/event-stream"},
                    {"X-Request-Id", "trace-7"},
                    {"X-Provider-Trust-Level", "self_signed"},
                    {"X-Provider-Attested", "true"},
                    {"X-Provider-Encrypted", "true"},
                    {"X-Provider-Chip", "Test CPU"},
                    {"X-Provider-Model", "Testbox"},
                    {"X-Attestation-Se-Public-Key", signer_public_b64(p->signer)},
                    {"X-Inference-Job-Id", p->jobs[0].wire_id}};

    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        struct str value = fake_consumer_header(c, expected[i].name);

        if (!str_is(value, expected[i].value))
            fail_msg("%s is \"%.*s\"", expected[i].name, STR_ARG(value));
    }
    assert_int_equal(fake_consumer_header(c, "X-Provider-Id").n, RAND_UUID_BYTES - 1);
}

static void x_timing_says_where_the_time_went(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;
    struct str timing;

    fake_world_slow_store(w, 4000);
    c = fake_consumer_stream(w);
    fake_world_advance_ms(w, 4); /* the key is looked up */
    fake_world_advance_ms(w, 16);
    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    timing = fake_consumer_header(c, "X-Timing");
    assert_int_equal(fake_number(timing, "parse_us"), 0); /* no virtual time goes by */
    assert_int_equal(fake_number(timing, "reserve_us"), 4000);
    assert_int_equal(fake_number(timing, "route_us"), 0);
    assert_int_equal(fake_number(timing, "queue_us"), 0);
    assert_int_equal(fake_number(timing, "encrypt_us"), 0);
    assert_int_equal(fake_number(timing, "dispatch_us"), 0);
    assert_int_equal(fake_number(timing, "provider_us"), 16000);
}

static void frames_in_pieces_make_the_same_answer(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    loop_fake_set_faults(w->loop, (struct loop_fake_faults){.recv_max = 7, .send_max = 11});
    c = fake_consumer_stream(w);
    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_consumer_text(c), "Hello world");
    assert_paid(w, p);
}

static void neither_prompt_nor_answer_reaches_log_or_store(void **state)
{
    static const char *const secrets[] = {"Say hello", "quokka"};
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    fake_consumer_stream(w);
    fake_provider_text(p, 0, "quokka", 1);
    fake_provider_complete(p, 0, PROMPT, 1);
    assert_true(fake_world_logged(w, "request_done"));
    for (size_t i = 0; i < 2; i++) {
        char command[160];

        assert_false(fake_world_logged(w, secrets[i]));
        snprintf(command, sizeof command, "grep -q '%s' %s/test.db*", secrets[i], w->dir);
        assert_int_not_equal(system(command), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_provider_gets_the_body_sealed_with_a_token_limit),
        TEST(without_a_limit_of_its_own_a_request_gets_what_the_prompt_leaves_of_the_context),
        TEST(a_stream_is_role_content_finish_usage_receipt_done),
        TEST(usage_is_an_event_only_where_it_was_asked_for),
        TEST(a_missing_role_is_added_to_the_first_delta),
        TEST(a_whole_answer_is_joined_from_the_deltas),
        TEST(the_receipt_says_who_served_and_what_it_cost),
        TEST(the_head_names_the_provider_and_its_trust),
        TEST(x_timing_says_where_the_time_went),
        TEST(frames_in_pieces_make_the_same_answer),
        TEST(neither_prompt_nor_answer_reaches_log_or_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
