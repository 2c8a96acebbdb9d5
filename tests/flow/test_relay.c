/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay makes of what providers send: older forms, odd forms, and garbage, which is the
 * provider's fault and never the consumer's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80 };

static const struct fake_provider_config plain = {0};

#define LINE_OF(delta)                                                                        \
    "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\"," \
    "\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}]}"

/* --- older and odd forms --- */

static void lines_that_carry_no_chunk_are_left_out(void **state)
{
    static const struct str lines[] = {
        STR(""),         STR(": keep-alive"),           STR("event: message"),
        STR("data: {}"), STR("data: {\"choices\":[]}"), STR("data: [DONE]\n\n")};
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 1);
    for (size_t i = 0; i < 6; i++)
        fake_provider_line(p, 0, lines[i], 0);
    fake_provider_complete(p, 0, PROMPT, 1);
    assert_true(fake_consumer_done(c));
    assert_int_equal(fake_consumer_events(c), 3); /* text, receipt, [DONE] */
}

static void a_whole_answer_in_one_chunk_is_taken_as_it_is(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_line(p, 0,
                       STR("data: {\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1,"
                           "\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
                           "\"assistant\",\"content\":\"All at once\"},\"finish_reason\":"
                           "\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3}}"),
                       PROTO_UNSET);
    fake_provider_complete(p, 0, PROMPT, 3);
    assert_int_equal(fake_consumer_status(c), 200);
    assert_true(fake_says(fake_consumer_body(c), "\"content\":\"All at once\""));
    assert_true(fake_says(fake_consumer_body(c), "\"model\":\"" FAKE_MODEL "\""));
    assert_int_equal(fake_number(fake_consumer_body(c), "completion_tokens"), 3);
}

static void reasoning_of_older_peers_gets_its_present_name(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_line(
        p, 0,
        STR(LINE_OF("{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"Hm\"}")), 1);
    assert_true(fake_says(fake_consumer_event(c, 0), "\"reasoning\":\"Hm\""));
    assert_true(fake_says(fake_consumer_event(c, 0), "\"content\":\"\""));
    assert_false(fake_says(fake_consumer_event(c, 0), "reasoning_content"));
}

/* Existing providers write "usage":null into every chunk. */
static void a_long_stream_of_chunks_that_need_rewriting_does_not_run_out_of_room(void **state)
{
    static const struct str line =
        STR("data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":"
            "\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ab\"},\"finish_reason\":"
            "null}],\"usage\":null}");
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    for (int i = 0; i < 20000; i++) {
        fake_provider_line(p, 0, line, 0);
        if (i % 1000 == 0)
            buf_clear(&c->in);
    }
    assert_int_equal(p->jobs[0].cancels, 0);
    assert_true(w->coord->n_requests == 1);
}

/* --- garbage --- */

static const struct str garbage[] = {
    STR(LINE_OF("{\"content\":\"x\",}")),     /* a comma too many */
    STR(LINE_OF("{\"content\":\"\x01\"}")),   /* a control character */
    STR(LINE_OF("{\"content\":\"\xff\"}")),   /* not UTF-8 */
    STR(LINE_OF("{\"content\":\"x\" nope}")), /* no JSON */
};

static void garbage_in_a_whole_answer_is_the_providers_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        void *world;
        struct fake_provider *p;
        struct fake_consumer *c;

        fake_world_up(&world);
        p = fake_provider_join(world, &plain);
        c = fake_consumer_whole(world);
        fake_provider_accept(p, 0, PROMPT);
        fake_provider_text(p, 0, "Hello", 1);
        fake_provider_line(p, 0, garbage[i], 1);
        assert_int_equal(fake_consumer_status(c), 502);
        assert_true(fake_says(fake_consumer_body(c), "\"code\":\"provider_error\""));
        assert_int_equal(p->jobs[0].cancels, 1);
        assert_string_equal(fake_world_hold(world, 0).outcome, "released");
        fake_world_down(&world);
    }
}

/* The answer of a provider that sends this line after "Hello". */
static struct fake_consumer *after_hello(struct fake_world *w, struct str line)
{
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 1);
    fake_provider_line(p, 0, line, 1);
    fake_provider_complete(p, 0, PROMPT, 2);
    assert_true(fake_consumer_done(c));
    return c;
}

/* A line break in a chunk would be the end of an event, and what follows another one. */
static void a_provider_cannot_write_events_of_its_own(void **state)
{
    static const struct str lines[] = {
        STR("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}],\"more\":{\n\n"
            "data: [DONE]\n\n}}"),
        STR("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}],\r\rdata: [DONE]\r\r"
            "\"more\":1}"),
    };
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        void *world;
        struct fake_consumer *c;
        size_t n, done = 0;

        fake_world_up(&world);
        c = after_hello(world, lines[i]);
        n = fake_consumer_events(c);
        for (size_t k = 0; k < n; k++)
            done += str_is(fake_consumer_event(c, k), "[DONE]");
        assert_int_equal(done, 0); /* it cannot be read: an error, no [DONE] */
        assert_true(str_starts(fake_consumer_event(c, n - 1), STR("{\"error\":")));
        assert_false(fake_says(fake_consumer_body(c), "\rdata"));
        fake_world_down(&world);
    }
}

/* The receipt is the coordinator's word: what the answer cost and how far its provider is trusted.
 */
static void a_provider_cannot_write_a_receipt(void **state)
{
    static const struct str lines[] = {
        STR("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" world\"}}],\"receipt\":{"
            "\"trust_level\":\"forged\"},\"se_signature\":\"forged\",\"response_hash\":"
            "\"forged\"}"),
        STR("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" "
            "world\"}}],\"rec\\u0065ipt\":"
            "{\"trust_level\":\"forged\"},\"receipt\":{\"trust_level\":\"forged\"}}"),
    };
    (void)state;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        void *world;
        struct fake_consumer *c;

        fake_world_up(&world);
        c = after_hello(world, lines[i]);
        assert_string_equal(fake_consumer_text(c), "Hello world");
        assert_false(fake_says(fake_consumer_body(c), "forged"));
        assert_true(fake_says(fake_consumer_event(c, 2), "\"receipt\":{\"request_id\":"));
        fake_world_down(&world);
    }
}

/* Left out silently, they would be charged as delivered. */
static void a_line_that_cannot_be_read_ends_the_stream_with_an_error(void **state)
{
    static const struct str lines[] = {
        STR(LINE_OF("{\"content\":\"B\"}") "\n\n" LINE_OF("{\"content\":\"C\"}")),
        STR("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"B\"}}]}"),
        STR("event: message\n" LINE_OF("{\"content\":\"B\"}")),
        STR("data: {\"error\":{\"message\":\"out of memory\"}}"),
    };
    (void)state;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        void *world;
        struct fake_consumer *c;

        fake_world_up(&world);
        c = after_hello(world, lines[i]);
        assert_string_equal(fake_consumer_text(c), "Hello");
        assert_true(fake_says(fake_consumer_body(c), "\"code\":\"provider_error\""));
        assert_string_equal(fake_world_hold(world, 0).outcome, "provider_failed");
        assert_int_equal(fake_world_hold(world, 0).delivered_tokens, 1);
        fake_world_down(&world);
    }
}

static void line_breaks_between_the_members_of_a_chunk_do_no_harm(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c =
        after_hello(w, STR("data: {\"choices\":\n\n[{\"index\":0,\r\n\"delta\":{\"content\":\" "
                           "world\"}}]}"));

    assert_string_equal(fake_consumer_text(c), "Hello world");
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
}

/* --- one connection, several requests --- */

static void a_connection_serves_one_request_after_another(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
    fake_consumer_ask_again(c, &(struct fake_ask){.body = FAKE_WHOLE});
    fake_provider_serve(p, 1, PROMPT, 40);
    assert_true(fake_consumer_done(c));
    assert_true(fake_says(fake_consumer_body(c), "Hello world"));
    fake_consumer_ask_again(c, &(struct fake_ask){.body = FAKE_STREAM});
    fake_provider_accept(p, 2, PROMPT);
    fake_provider_text(p, 2, "Hello", 30);
    fake_consumer_leave(c);
    assert_int_equal(p->jobs[2].cancels, 1);
    assert_int_equal(fake_world_hold(w, 2).delivered_tokens, 30);
    assert_int_equal(fake_world_hold(w, 2).cost, PROMPT + 60);
}

/* L4: one that claims no token for its text would go on for ever. 100 tokens were asked for, which
 * stand for 256 bytes of text each at most, and 64 more are overlooked. */
static void text_without_tokens_ends_where_no_tokens_could_go_on(void **state)
{
    enum { PIECE_BYTES = 1024, MOST_BYTES = (100 + 64) * 256 };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    char text[PIECE_BYTES + 1];

    memset(text, 'x', PIECE_BYTES);
    text[PIECE_BYTES] = 0;
    for (size_t form = 0; form < 2; form++) {
        struct fake_consumer *c = form ? fake_consumer_whole(w) : fake_consumer_stream(w);
        int i = 0;

        fake_provider_accept(p, form, PROMPT);
        for (; i < 100 && p->jobs[form].cancels == 0; i++)
            fake_provider_text(p, form, text, 0);
        assert_int_equal(i, MOST_BYTES / PIECE_BYTES + 1);
        assert_true(fake_consumer_done(c) || form);
    }
}

/* An SDK reads no message in a stream: what is paid for is what it shows (L5). */
static void a_whole_answer_to_a_stream_arrives_as_a_chunk_of_it(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_line(
        p, 0,
        STR("data: {\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1,\"model\":"
            "\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
            "\"content\":\"Hello world\"},\"finish_reason\":\"stop\"}]}"),
        11);
    fake_provider_complete(p, 0, PROMPT, 11);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_consumer_text(c), "Hello world");
    assert_false(fake_says(fake_consumer_body(c), "\"message\""));
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 22);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_that_carry_no_chunk_are_left_out),
        TEST(a_whole_answer_in_one_chunk_is_taken_as_it_is),
        TEST(reasoning_of_older_peers_gets_its_present_name),
        TEST(a_long_stream_of_chunks_that_need_rewriting_does_not_run_out_of_room),
        cmocka_unit_test(garbage_in_a_whole_answer_is_the_providers_fault),
        cmocka_unit_test(a_provider_cannot_write_events_of_its_own),
        cmocka_unit_test(a_provider_cannot_write_a_receipt),
        cmocka_unit_test(a_line_that_cannot_be_read_ends_the_stream_with_an_error),
        TEST(line_breaks_between_the_members_of_a_chunk_do_no_harm),
        TEST(text_without_tokens_ends_where_no_tokens_could_go_on),
        TEST(a_whole_answer_to_a_stream_arrives_as_a_chunk_of_it),
        TEST(a_connection_serves_one_request_after_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
