/* SPDX-License-Identifier: Apache-2.0 */
/* Reasoning, tool calls and logprobs on their way out, streamed and in one piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_world.h"
#include "provider/serve/parts.h"

#define BODY(extra) \
    "{\"model\":\"" FAKE_MODEL "\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]" extra "}"

struct said {
    enum engine_channel channel;
    int32_t call;
    const char *text;
    int64_t tokens;
};

static void say(struct fake_world *w, const struct said *said, size_t n, enum chunk_finish finish)
{
    uint64_t tag = w->engine.submitted[w->engine.n_submitted - 1];

    for (size_t i = 0; i < n; i++) {
        fake_engine_text(&w->engine, tag, said[i].text, said[i].tokens);
        w->engine.events[w->engine.n_events - 1].channel = said[i].channel;
        w->engine.events[w->engine.n_events - 1].call = said[i].call;
    }
    fake_engine_done(&w->engine, tag, 9, 7, finish);
    fake_world_run(w);
}

static struct box_session *ask(struct fake_world *w, const char *body)
{
    struct box_session *s = fake_coordinator_request(&w->coordinator, "r1", body);

    loop_fake_settle(w->loop);
    return s;
}

/* The choice of the `nth` chunk, without what comes before it in all chunks. */
static struct str choice_of(struct fake_world *w, struct box_session *s, size_t nth,
                            int64_t *tokens)
{
    struct str line = fake_coordinator_chunk(&w->coordinator, "r1", s, nth, tokens);
    const char *at = memmem(line.p, line.n, "\"index\":0,", 10);

    assert_non_null(at);
    return (struct str){at + 10, line.n - (size_t)(at + 10 - line.p)};
}

static const struct said calls[] = {
    {ENGINE_REASONING, 0, "hm", 1},
    {ENGINE_REASONING, 0, ", \"so\"", 1},
    {ENGINE_CONTENT, 0, "I look.", 1},
    {ENGINE_CALL_ID, 0, "abc123def", 1},
    {ENGINE_CALL_NAME, 0, "weather", 0},
    {ENGINE_CALL_ARGUMENTS, 0, "{\"city\":", 1},
    {ENGINE_CALL_ARGUMENTS, 0, "\"Oslo\"}", 1},
    {ENGINE_CALL_ID, 1, "", 0},
    {ENGINE_CALL_NAME, 1, "time", 1},
    {ENGINE_CALL_ARGUMENTS, 1, "{}", 0},
};

#define ID_OF_RANDOM "call_070707070707070707070707"

static void a_stream_tells_reasoning_content_and_calls_apart(void **state)
{
    static const struct {
        const char *choice;
        int64_t tokens;
    } expected[] = {
        {"\"delta\":{\"reasoning_content\":\"hm\"}", 1},
        {"\"delta\":{\"reasoning_content\":\", \\\"so\\\"\"}", 1},
        {"\"delta\":{\"content\":\"I look.\"}", 1},
        {"\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"abc123def\",\"type\":\"function\","
         "\"function\":{\"name\":\"weather\",\"arguments\":\"\"}}]}",
         1},
        {"\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"city\\\":\"}}]"
         "}",
         1},
        {"\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"Oslo\\\"}\"}}]"
         "}",
         1},
        {"\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"" ID_OF_RANDOM
         "\",\"type\":\"function\",\"function\":{\"name\":\"time\",\"arguments\":\"\"}}]}",
         1},
        {"\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{}\"}}]}", 0},
        {"\"delta\":{},\"finish_reason\":\"tool_calls\"", 0},
    };
    struct fake_world *w = *state;
    struct box_session *s;

    w->rand_byte = 7;
    s = ask(w, BODY(",\"stream\":true"));
    say(w, calls, sizeof calls / sizeof calls[0], CHUNK_FINISH_TOOL_CALLS);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        int64_t tokens = -1;
        struct str choice = choice_of(w, s, i + 1, &tokens);

        if (!str_starts(choice, str_from(expected[i].choice)) || tokens != expected[i].tokens)
            fail_msg("chunk %zu, %lld tokens: %.*s", i, (long long)tokens, STR_ARG(choice));
    }
    box_session_close(s);
}

static void one_piece_holds_the_same(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s;
    struct str choice;

    w->rand_byte = 7;
    s = ask(w, BODY(""));
    say(w, calls, sizeof calls / sizeof calls[0], CHUNK_FINISH_TOOL_CALLS);
    choice = choice_of(w, s, 0, NULL);
    assert_true(str_starts(
        choice,
        STR("\"message\":{\"role\":\"assistant\",\"content\":\"I look.\",\"reasoning_content\":"
            "\"hm, \\\"so\\\"\",\"tool_calls\":[{\"id\":\"abc123def\",\"type\":\"function\","
            "\"function\":{\"name\":\"weather\",\"arguments\":\"{\\\"city\\\":\\\"Oslo\\\"}\"}},"
            "{\"id\":\"" ID_OF_RANDOM "\",\"type\":\"function\",\"function\":{\"name\":\"time\","
            "\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":")));
    box_session_close(s);
}

/* The entries of a token come before its text, in pieces; those of a token that waits for its text
 * leave with the next. */
static const struct said logprobs[] = {
    {ENGINE_LOGPROBS, 0, "{\"token\":\"a\",", 0},
    {ENGINE_LOGPROBS, 0, "\"logprob\":-1}", 0},
    {ENGINE_CONTENT, 0, "a", 1},
    {ENGINE_LOGPROBS, 0, ",{\"token\":\"b\"}", 0},
    {ENGINE_LOGPROBS, 0, ",{\"token\":\"c\"}", 0},
    {ENGINE_CONTENT, 0, "bc", 2},
    {ENGINE_LOGPROBS, 0, ",{\"token\":\"\\n\"}", 0},
};

static void logprobs_leave_with_the_text_of_their_tokens(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s = ask(w, BODY(",\"stream\":true,\"logprobs\":true"));

    say(w, logprobs, sizeof logprobs / sizeof logprobs[0], CHUNK_FINISH_STOP);
    assert_true(
        str_starts(choice_of(w, s, 1, NULL),
                   STR("\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[{\"token\":"
                       "\"a\",\"logprob\":-1}],\"refusal\":null},\"finish_reason\":null}")));
    assert_true(
        str_starts(choice_of(w, s, 2, NULL),
                   STR("\"delta\":{\"content\":\"bc\"},\"logprobs\":{\"content\":[{\"token\":"
                       "\"b\"},{\"token\":\"c\"}],\"refusal\":null}")));
    /* cut with a stop string, say */
    assert_true(str_starts(choice_of(w, s, 3, NULL),
                           STR("\"delta\":{},\"logprobs\":{\"content\":[{\"token\":\"\\n\"}],"
                               "\"refusal\":null},\"finish_reason\":\"stop\"}")));
    box_session_close(s);
}

static void logprobs_stand_in_one_piece_too(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s = ask(w, BODY(",\"logprobs\":true"));

    say(w, logprobs, sizeof logprobs / sizeof logprobs[0], CHUNK_FINISH_STOP);
    assert_true(
        str_starts(choice_of(w, s, 0, NULL),
                   STR("\"message\":{\"role\":\"assistant\",\"content\":\"abc\"},\"logprobs\":{"
                       "\"content\":[{\"token\":\"a\",\"logprob\":-1},{\"token\":\"b\"},{"
                       "\"token\":\"c\"},{\"token\":\"\\n\"}],\"refusal\":null},\"finish_reason\":"
                       "\"stop\"}")));
    box_session_close(s);
}

static void an_engine_that_makes_too_many_calls_fails_its_request(void **state)
{
    const struct said too_many[] = {{ENGINE_CALL_ID, PARTS_MAX_CALLS, "x", 1}};
    struct fake_world *w = *state;
    struct box_session *s = ask(w, BODY(",\"stream\":true"));

    say(w, too_many, 1, CHUNK_FINISH_STOP);
    assert_non_null(fake_coordinator_got(&w->coordinator, MSG_INFERENCE_ERROR, 0));
    assert_int_equal(w->engine.n_cancelled, 1);
    box_session_close(s);
}

/* Each reason has a code and a parameter of its own, and the coordinator words it. */
static void what_the_engine_finds_wrong_is_told_by_code(void **state)
{
    static const struct {
        enum engine_wrong wrong;
        const char *code, *param, *words;
    } cases[] = {
        {ENGINE_WRONG_MESSAGES, "invalid_value", "messages", "chat template cannot render"},
        {ENGINE_WRONG_TOOLS, "invalid_value", "tools", "at most 128 functions"},
        {ENGINE_WRONG_TOOL_SCHEMA, "schema_limits", "tools", "simplify"},
        {ENGINE_WRONG_TOOL_CHOICE, "invalid_value", "tool_choice", "names no function"},
        {ENGINE_WRONG_NO_TOOLS, "tools_unknown", "tools", "does not know tools"},
        {ENGINE_WRONG_KWARGS, "invalid_value", "chat_template_kwargs", "4096 bytes"},
        {ENGINE_WRONG_SCHEMA, "schema_unusable", "response_format", "cannot be made a grammar"},
        {ENGINE_WRONG_SCHEMA_SIZE, "schema_size", "response_format", "64 KiB"},
        {ENGINE_WRONG_SCHEMA_DEPTH, "schema_depth", "response_format", "32 levels"},
        {ENGINE_WRONG_SCHEMA_REPEATS, "schema_repeats", "response_format", "1000 repetitions"},
        {ENGINE_WRONG_SCHEMA_REFERENCE, "schema_reference", "response_format", "$ref"},
        {ENGINE_WRONG_SCHEMA_PATTERN, "schema_pattern", "response_format", "write [0-9]"},
        {ENGINE_WRONG_SCHEMA_WORD, "schema_word", "response_format", "leave it out"},
        {ENGINE_WRONG_GRAMMAR_SLOW, "grammar_slow", "response_format", "20 ms a token"},
        {ENGINE_WRONG_LOGIT_BIAS, "invalid_value", "logit_bias", "does not have"},
    };
    struct fake_world *w = *state;

    _Static_assert(sizeof cases / sizeof cases[0] == ENGINE_WRONG_COUNT - 1, "all of them");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct provider_msg *m;

        box_session_close(ask(w, BODY("")));
        fake_engine_fail(&w->engine, w->engine.submitted[i], ERR_PARSE);
        w->engine.events[w->engine.n_events - 1].wrong = cases[i].wrong;
        fake_world_run(w);
        m = fake_coordinator_got(&w->coordinator, MSG_INFERENCE_ERROR, i);
        assert_non_null(m);
        assert_int_equal(m->error.status_code, 400);
        if (!str_is(m->error.code, cases[i].code) || !str_is(m->error.param, cases[i].param) ||
            !memmem(m->error.error.p, m->error.error.n, cases[i].words, strlen(cases[i].words)))
            fail_msg("%s: %.*s", cases[i].code, STR_ARG(m->error.error));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stream_tells_reasoning_content_and_calls_apart),
        TEST(one_piece_holds_the_same),
        TEST(logprobs_leave_with_the_text_of_their_tokens),
        TEST(logprobs_stand_in_one_piece_too),
        TEST(an_engine_that_makes_too_many_calls_fails_its_request),
        TEST(what_the_engine_finds_wrong_is_told_by_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
