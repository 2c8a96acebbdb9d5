/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in, sealed answers out: what a coordinator sees of a provider whose engine is scripted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "base/b64.h"
#include "fake_world.h"

#define SECRET "a-secret-that-nobody-may-log"
#define BODY_OF(extra)                                                                     \
    "{\"model\":\"" FAKE_MODEL "\",\"messages\":[{\"role\":\"user\",\"content\":\"" SECRET \
    "\"}],\"max_tokens\":16" extra "}"

static uint64_t last_tag(const struct fake_world *w)
{
    assert_true(w->engine.n_submitted > 0);
    return w->engine.submitted[w->engine.n_submitted - 1];
}

static struct box_session *ask(struct fake_world *w, const char *request_id, const char *body)
{
    struct box_session *session = fake_coordinator_request(&w->coordinator, request_id, body);

    loop_fake_settle(w->loop);
    return session;
}

static void expect_error(struct fake_world *w, size_t nth, int64_t status, const char *code,
                         const char *param)
{
    const struct provider_msg *m = fake_coordinator_got(&w->coordinator, MSG_INFERENCE_ERROR, nth);

    assert_non_null(m);
    assert_int_equal(m->error.status_code, status);
    assert_true(str_is(m->error.code, code));
    assert_true(str_is(m->error.param, param));
    assert_null(memmem(m->error.error.p, m->error.error.n, SECRET, sizeof SECRET - 1));
}

static bool holds(struct str text, const char *part)
{
    return text.p && memmem(text.p, text.n, part, strlen(part));
}

static void a_streamed_request_is_answered_in_sealed_chunks(void **state)
{
    struct fake_world *w = *state;
    struct fake_coordinator *c = &w->coordinator;
    int64_t tokens = -1;
    struct box_session *s =
        ask(w, "r1", BODY_OF(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"));
    uint64_t tag = last_tag(w);
    static const struct {
        const char *part;
        int64_t tokens;
    } expected[] = {{"\"role\":\"assistant\"", 0},  {"\"content\":\"Hel\"", 1},
                    {"\"content\":\"lo\"", 1},      {"\"finish_reason\":\"stop\"", 0},
                    {"\"completion_tokens\":2", 0}, {"data: [DONE]", 0}};
    const struct provider_msg *m;

    assert_int_equal(w->engine.last.max_tokens, 16);
    assert_non_null(strstr(w->engine.last_messages, SECRET));

    fake_engine_admit(&w->engine, tag, 12);
    fake_world_run(w);
    m = fake_coordinator_got(c, MSG_INFERENCE_ACCEPTED, 0);
    assert_non_null(m);
    assert_int_equal(m->accepted.prompt_tokens, 12);

    fake_engine_text(&w->engine, tag, "Hel", 1);
    fake_engine_text(&w->engine, tag, "lo", 1);
    fake_engine_done(&w->engine, tag, 12, 2, CHUNK_FINISH_STOP);
    fake_world_run(w);

    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        struct str line = fake_coordinator_chunk(c, "r1", s, i, &tokens);

        assert_true(str_starts(line, STR("data: ")));
        assert_true(holds(line, expected[i].part));
        assert_int_equal(tokens, expected[i].tokens);
    }
    assert_null(fake_coordinator_chunk(c, "r1", s, 6, NULL).p);

    m = fake_coordinator_got(c, MSG_INFERENCE_COMPLETE, 0);
    assert_non_null(m);
    assert_true(str_is(m->complete.request_id, "r1"));
    assert_int_equal(m->complete.usage.prompt_tokens, 12);
    assert_int_equal(m->complete.usage.completion_tokens, 2);
    box_session_close(s);
}

static void the_completion_is_signed_over_the_hash_of_its_text(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s = ask(w, "r1", BODY_OF(",\"stream\":true"));
    const struct provider_msg *m;
    static const char hashed[] = "r1:2:Hello";
    uint8_t digest[32];
    char hex[65];

    fake_engine_text(&w->engine, last_tag(w), "Hello", 2);
    fake_engine_done(&w->engine, last_tag(w), 12, 2, CHUNK_FINISH_STOP);
    fake_world_run(w);

    SHA256((const uint8_t *)hashed, sizeof hashed - 1, digest);
    hex_encode(digest, sizeof digest, hex);
    m = fake_coordinator_got(&w->coordinator, MSG_INFERENCE_COMPLETE, 0);
    assert_true(str_is(m->complete.response_hash, hex));
    assert_true(fake_verify(str_from(signer_public_b64(w->signer)), str_from(hex),
                            m->complete.se_signature));
    box_session_close(s);
}

static void a_request_that_is_not_streamed_gets_one_whole_chunk(void **state)
{
    struct fake_world *w = *state;
    int64_t tokens;
    struct box_session *s = ask(w, "r1", BODY_OF(""));
    struct str line;

    fake_engine_admit(&w->engine, last_tag(w), 12);
    fake_engine_text(&w->engine, last_tag(w), "Hel", 1);
    fake_engine_text(&w->engine, last_tag(w), "lo", 1);
    fake_engine_done(&w->engine, last_tag(w), 12, 2, CHUNK_FINISH_LENGTH);
    fake_world_run(w);
    line = fake_coordinator_chunk(&w->coordinator, "r1", s, 0, &tokens);
    assert_true(holds(line, "\"object\":\"chat.completion\""));
    assert_true(holds(line, "\"content\":\"Hello\""));
    assert_true(holds(line, "\"finish_reason\":\"length\""));
    assert_int_equal(tokens, 2);
    assert_null(fake_coordinator_chunk(&w->coordinator, "r1", s, 1, NULL).p);
    assert_non_null(fake_coordinator_got(&w->coordinator, MSG_INFERENCE_COMPLETE, 0));
    box_session_close(s);
}

static void a_request_without_an_encrypted_body_is_refused(void **state)
{
    struct fake_world *w = *state;

    fake_coordinator_say(&w->coordinator,
                         STR("{\"type\":\"inference_request\",\"request_id\":\"r1\"}"));
    loop_fake_settle(w->loop);
    expect_error(w, 0, 400, "invalid_request_error", "encrypted_body");
    assert_int_equal(w->engine.n_submitted, 0);
}

static void a_body_that_does_not_open_is_refused(void **state)
{
    static const char *const bodies[] = {
        /* not base64; sealed to another key; a key of the wrong length; a key of low order */
        "{\"ephemeral_public_key\":\"j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8=\","
        "\"ciphertext\":\"!!\"}",
        "{\"ephemeral_public_key\":\"j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8=\","
        "\"ciphertext\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
        "{\"ephemeral_public_key\":\"AAAA\",\"ciphertext\":\"AAAA\"}",
        "{}",
        "{\"ephemeral_public_key\":\"j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8=\"}",
        "{\"ephemeral_public_key\":null,\"ciphertext\":\"AAAA\"}",
        "{\"ephemeral_public_key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
        "\"ciphertext\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
    };
    struct fake_world *w = *state;

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        char frame[512];
        int n = snprintf(frame, sizeof frame,
                         "{\"type\":\"inference_request\",\"request_id\":\"r%zu\","
                         "\"encrypted_body\":%s}",
                         i, bodies[i]);

        fake_coordinator_say(&w->coordinator, (struct str){frame, (size_t)n});
        loop_fake_settle(w->loop);
        expect_error(w, i, 400, "invalid_request_error", "encrypted_body");
    }
    assert_true(provider_is_up(w->provider));
}

static void what_cannot_be_honoured_is_refused_by_name(void **state)
{
    static const struct {
        const char *body, *code, *param;
        int64_t status;
    } cases[] = {
        {"{\"model\":\"test-model\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
         "\"image_url\",\"image_url\":{\"url\":\"data:,\"}}]}]}",
         "unsupported_parameter", "messages[0].content[0]", 400},
        {"{\"model\":\"test-model\",\"messages\":[{\"role\":\"assistant\",\"function_call\":{}}]}",
         "unsupported_parameter", "messages[0].function_call", 400},
        {BODY_OF(",\"functions\":[{}]"), "unsupported_parameter", "functions", 400},
        {BODY_OF(",\"n\":2"), "unsupported_parameter", "n", 400},
        {BODY_OF(",\"response_format\":{\"type\":\"grammar\"}"), "unsupported_parameter",
         "response_format", 400},
        {BODY_OF(",\"logit_bias\":{\"50256\":-101}"), "invalid_value", "logit_bias", 400},
        {BODY_OF(",\"tools\":7"), "invalid_type", "tools", 400},
        {BODY_OF(",\"endpoint\":\"/v1/completions\""), "unsupported_parameter", "endpoint", 400},
        {"{\"model\":\"other\",\"messages\":[{\"role\":\"user\",\"content\":\"" SECRET "\"}]}",
         "model_not_found", "model", 404},
        {"{\"model\":\"" FAKE_MODEL "\",\"messages\":[]}", "invalid_value", "messages", 400},
    };
    struct fake_world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char id[16];
        const struct provider_msg *m;

        (void)snprintf(id, sizeof id, "r%zu", i);
        box_session_close(ask(w, id, cases[i].body));
        m = fake_coordinator_got(&w->coordinator, MSG_INFERENCE_ERROR, i);
        assert_non_null(m);
        assert_int_equal(m->error.status_code, cases[i].status);
        assert_true(str_is(m->error.code, cases[i].code));
        assert_true(str_is(m->error.param, cases[i].param));
        assert_null(memmem(m->error.error.p, m->error.error.n, SECRET, sizeof SECRET - 1));
    }
    assert_int_equal(w->engine.n_submitted, 0);
}

static void neutral_values_of_unsupported_fields_pass(void **state)
{
    struct fake_world *w = *state;

    box_session_close(
        ask(w, "r1",
            BODY_OF(",\"tools\":[ ],\"logprobs\":false,\"response_format\": {\"type\": "
                    "\"text\"},\"tool_choice\":null,\"user\":\"x\"")));
    assert_int_equal(w->engine.n_submitted, 1);
}

static void a_full_house_answers_503(void **state)
{
    struct fake_world *w = *state;
    char id[16];

    for (int i = 0; i < FAKE_MAX_JOBS; i++) {
        (void)snprintf(id, sizeof id, "r%d", i);
        box_session_close(ask(w, id, BODY_OF("")));
    }
    box_session_close(ask(w, "one-too-many", BODY_OF("")));
    expect_error(w, 0, 503, "no_capacity", "");
    assert_int_equal(w->engine.n_submitted, FAKE_MAX_JOBS);
}

static void a_request_id_that_runs_is_not_run_twice(void **state)
{
    struct fake_world *w = *state;

    box_session_close(ask(w, "r1", BODY_OF("")));
    box_session_close(ask(w, "r1", BODY_OF("")));
    assert_int_equal(w->engine.n_submitted, 1);
    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_INFERENCE_ERROR), 0);
}

static void a_request_id_that_no_chunk_could_carry_is_refused(void **state)
{
    static const char *const ids[] = {
        "",
        "a\\u0000b",
        "a\\nb",
        "a\\\"b",
        "a\\\\b",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        "0123456789abcdef0123456789abcdef0123456789abcdefx"};
    struct fake_world *w = *state;

    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char frame[256];
        int n = snprintf(frame, sizeof frame,
                         "{\"type\":\"inference_request\",\"request_id\":\"%s\"}", ids[i]);

        fake_coordinator_say(&w->coordinator, (struct str){frame, (size_t)n});
        loop_fake_settle(w->loop);
        expect_error(w, i, 400, "invalid_request_error", "request_id");
    }
    assert_true(provider_is_up(w->provider));
}

static void the_engines_refusals_have_their_codes(void **state)
{
    static const struct {
        int code;
        int64_t status;
        const char *api_code, *param;
    } cases[] = {{ERR_LIMIT, 400, "context_length_exceeded", "messages"},
                 {ERR_BUSY, 503, "queue_full", ""},
                 {ERR_NOMEM, 503, "overloaded", ""},
                 {ERR_MODEL, 500, "internal_error", ""}};
    struct fake_world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char id[16];

        (void)snprintf(id, sizeof id, "r%zu", i);
        box_session_close(ask(w, id, BODY_OF("")));
        fake_engine_fail(&w->engine, last_tag(w), cases[i].code);
        fake_world_run(w);
        expect_error(w, 2 * i, cases[i].status, cases[i].api_code, cases[i].param);
        w->engine.submit_answer = cases[i].code; /* at once, or later: the same words */
        box_session_close(ask(w, id, BODY_OF("")));
        expect_error(w, 2 * i + 1, cases[i].status, cases[i].api_code, cases[i].param);
        w->engine.submit_answer = 0;
    }
}

static void a_prompt_that_does_not_fit_is_told_its_tokens_and_the_limit(void **state)
{
    struct fake_world *w = *state;
    const struct provider_msg *second, *first;
    struct str unread, counted;

    box_session_close(ask(w, "r1", BODY_OF("")));
    fake_engine_too_long(&w->engine, last_tag(w), 4010);
    fake_world_run(w);
    expect_error(w, 0, 400, "context_length_exceeded", "messages");
    first = fake_coordinator_got(&w->coordinator, MSG_INFERENCE_ERROR, 0);
    counted = first->error.error;
    assert_int_equal(first->error.prompt_tokens, 4010); /* the words are read by nobody: FR-46 */
    assert_int_equal(first->error.context_tokens, 2048);
    assert_true(holds(counted, "the prompt has 4010 tokens"));
    assert_true(holds(counted, "context holds 2048"));

    w->engine.submit_answer = ERR_LIMIT; /* refused before anybody counted */
    box_session_close(ask(w, "r2", BODY_OF("")));
    expect_error(w, 1, 400, "context_length_exceeded", "messages");
    second = fake_coordinator_got(&w->coordinator, MSG_INFERENCE_ERROR, 1);
    unread = second->error.error;
    assert_int_equal(second->error.prompt_tokens, PROTO_UNSET);
    assert_int_equal(second->error.context_tokens, 2048);
    assert_true(holds(unread, "more tokens than the model's context"));
    assert_true(holds(unread, "2048"));
}

static void cancel_stops_the_engine_and_nothing_more_is_sent(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s = ask(w, "r1", BODY_OF(",\"stream\":true"));
    uint64_t tag = last_tag(w);
    const struct provider_msg *m;
    size_t before;

    fake_engine_text(&w->engine, tag, "Hel", 1);
    fake_world_run(w);
    before = w->coordinator.n_frames;

    fake_coordinator_say(&w->coordinator, STR("{\"type\":\"cancel\",\"request_id\":\"r1\"}"));
    loop_fake_settle(w->loop);
    assert_int_equal(w->engine.n_cancelled, 1);
    assert_true(w->engine.cancelled[0] == tag);

    fake_engine_text(&w->engine, tag, "lo", 1);
    fake_engine_done(&w->engine, tag, 12, 2, CHUNK_FINISH_STOP);
    fake_world_run(w);
    assert_int_equal(w->coordinator.n_frames, before);

    /* the token that was made counts, in what was generated though not in what was served */
    fake_world_advance_ms(w, 5000);
    m = fake_coordinator_got(&w->coordinator, MSG_HEARTBEAT, 1);
    assert_non_null(m);
    assert_int_equal(m->heartbeat.stats.tokens_generated, 1);
    assert_int_equal(m->heartbeat.stats.requests_served, 0);
    box_session_close(s);
}

static void cancel_of_an_unknown_request_is_ignored(void **state)
{
    struct fake_world *w = *state;

    fake_coordinator_say(&w->coordinator, STR("{\"type\":\"cancel\",\"request_id\":\"gone\"}"));
    loop_fake_settle(w->loop);
    assert_true(provider_is_up(w->provider));
    assert_int_equal(w->engine.n_cancelled, 0);
}

static void a_lost_connection_cancels_its_requests(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s1 = ask(w, "r1", BODY_OF(",\"stream\":true"));
    struct box_session *s2 = ask(w, "r2", BODY_OF(",\"stream\":true"));
    uint64_t old = last_tag(w);

    fake_coordinator_hang_up(&w->coordinator);
    fake_world_advance_ms(w, 1500);
    assert_int_equal(w->engine.n_cancelled, 2);
    assert_true(provider_is_up(w->provider));
    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_REGISTER), 2);

    /* what the engine still yields for them does not reach the new connection */
    fake_engine_text(&w->engine, old, "late", 1);
    fake_world_run(w);
    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_INFERENCE_RESPONSE_CHUNK), 0);
    box_session_close(s1);
    box_session_close(s2);
}

static void a_slow_coordinator_gets_all_of_the_text_in_fewer_chunks(void **state)
{
    struct fake_world *w = *state;
    enum { STEPS = 1000, PIECE = 1024 };
    char piece[PIECE + 1];
    size_t chunks;
    int64_t tokens, total = 0;
    size_t text = 0;
    struct box_session *s;
    uint64_t tag;

    memset(piece, 'x', PIECE);
    piece[PIECE] = '\0';
    s = ask(w, "r1", BODY_OF(",\"stream\":true"));
    tag = last_tag(w);
    for (int i = 0; i < STEPS; i++) { /* the loop does not run: nobody reads */
        fake_engine_text(&w->engine, tag, piece, 1);
        provider_on_engine(w->provider);
    }
    fake_engine_done(&w->engine, tag, 12, STEPS, CHUNK_FINISH_LENGTH);
    fake_world_run(w);

    chunks = fake_coordinator_count(&w->coordinator, MSG_INFERENCE_RESPONSE_CHUNK);
    for (size_t i = 0; i < chunks; i++) {
        struct str line = fake_coordinator_chunk(&w->coordinator, "r1", s, i, &tokens);

        total += tokens;
        for (size_t k = 1; k < line.n; k++) /* pieces are runs of x; "index" has a single one */
            text += line.p[k] == 'x' && (line.p[k - 1] == 'x' || line.p[k + 1] == 'x');
    }
    assert_true(chunks < STEPS);
    assert_int_equal(total, STEPS);
    assert_int_equal(text, (size_t)STEPS * PIECE);
    box_session_close(s);
}

static void what_was_served_shows_in_the_next_heartbeat(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s = ask(w, "r1", BODY_OF(",\"stream\":true"));
    const struct provider_msg *m;

    fake_engine_text(&w->engine, last_tag(w), "Hello", 2);
    fake_engine_done(&w->engine, last_tag(w), 12, 2, CHUNK_FINISH_STOP);
    fake_world_run(w);
    fake_world_advance_ms(w, 5000);
    m = fake_coordinator_got(&w->coordinator, MSG_HEARTBEAT, 1);
    assert_non_null(m);
    assert_int_equal(m->heartbeat.stats.requests_served, 1);
    assert_int_equal(m->heartbeat.stats.tokens_generated, 2);
    box_session_close(s);
}

static void nothing_of_prompt_or_answer_is_logged(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s = ask(w, "r1", BODY_OF(",\"stream\":true"));
    char *log;

    fake_engine_admit(&w->engine, last_tag(w), 12);
    fake_engine_text(&w->engine, last_tag(w), "an-answer-nobody-may-log", 3);
    fake_engine_done(&w->engine, last_tag(w), 12, 3, CHUNK_FINISH_STOP);
    fake_world_run(w);
    box_session_close(s);
    box_session_close(
        ask(w, "r2", "{\"model\":\"" SECRET "\",\"messages\":[{\"role\":\"" SECRET "\"}]}"));
    log = fake_world_log(w);
    assert_non_null(strstr(log, "job_done"));
    assert_non_null(strstr(log, "engine_idle"));
    assert_non_null(strstr(log, "job_refused"));
    assert_null(strstr(log, SECRET));
    assert_null(strstr(log, "an-answer-nobody-may-log"));
    free(log);
}

/* FR-13: work that was cancelled before it came is not done. */
static void a_request_that_comes_after_its_cancel_is_not_run(void **state)
{
    struct fake_world *w = *state;
    size_t before;

    fake_coordinator_say(&w->coordinator, STR("{\"type\":\"cancel\",\"request_id\":\"r1\"}"));
    loop_fake_settle(w->loop);
    before = w->coordinator.n_frames;
    box_session_close(ask(w, "r1", BODY_OF("")));
    assert_int_equal(w->engine.n_submitted, 0);
    assert_int_equal(w->coordinator.n_frames, before); /* nobody waits for an answer */
    box_session_close(ask(w, "r2", BODY_OF("")));
    assert_int_equal(w->engine.n_submitted, 1);
    box_session_close(ask(w, "r1", BODY_OF(""))); /* the cancel has done its work */
    assert_int_equal(w->engine.n_submitted, 2);
}

static void a_cancel_is_forgotten_with_its_connection(void **state)
{
    struct fake_world *w = *state;

    fake_coordinator_say(&w->coordinator, STR("{\"type\":\"cancel\",\"request_id\":\"r1\"}"));
    loop_fake_settle(w->loop);
    fake_coordinator_hang_up(&w->coordinator);
    fake_world_advance_ms(w, 1500);
    assert_true(provider_is_up(w->provider));
    box_session_close(ask(w, "r1", BODY_OF("")));
    assert_int_equal(w->engine.n_submitted, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_streamed_request_is_answered_in_sealed_chunks),
        TEST(the_completion_is_signed_over_the_hash_of_its_text),
        TEST(a_request_that_is_not_streamed_gets_one_whole_chunk),
        TEST(a_request_without_an_encrypted_body_is_refused),
        TEST(a_body_that_does_not_open_is_refused),
        TEST(what_cannot_be_honoured_is_refused_by_name),
        TEST(neutral_values_of_unsupported_fields_pass),
        TEST(a_full_house_answers_503),
        TEST(a_request_id_that_runs_is_not_run_twice),
        TEST(a_request_id_that_no_chunk_could_carry_is_refused),
        TEST(the_engines_refusals_have_their_codes),
        TEST(a_prompt_that_does_not_fit_is_told_its_tokens_and_the_limit),
        TEST(cancel_stops_the_engine_and_nothing_more_is_sent),
        TEST(cancel_of_an_unknown_request_is_ignored),
        TEST(a_lost_connection_cancels_its_requests),
        TEST(a_slow_coordinator_gets_all_of_the_text_in_fewer_chunks),
        TEST(what_was_served_shows_in_the_next_heartbeat),
        TEST(nothing_of_prompt_or_answer_is_logged),
        TEST(a_request_that_comes_after_its_cancel_is_not_run),
        TEST(a_cancel_is_forgotten_with_its_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
