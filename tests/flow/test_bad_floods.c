/* SPDX-License-Identifier: Apache-2.0 */
/* Providers that send far too much, repeat what was said, read nothing, or are gone without a word:
 * what it costs them, and that it costs nobody else anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/metrics.h"
#include "coordinator/registry/registry.h"
#include "fake_bad_frame.h"
#include "net/conn.h"
#include "net/ws_conn.h"
#include "shared/heap.h"

enum { PROMPT = 80, COMPLETION = 30, KIB = 1 << 10, MIB = 1 << 20, FRAME_MAX_BYTES = 10 * MIB };

static const struct fake_provider_config plain = {0};
static const struct fake_provider_config busier = {.cpu_usage = 0.5};

/* `before`, `n` bytes, `after`; freed by the caller. */
static char *padded(const char *before, char pad, size_t n, const char *after, size_t *ret_n)
{
    size_t before_n = strlen(before), after_n = strlen(after);
    char *text = malloc(before_n + n + after_n + 1);

    assert_non_null(text);
    memcpy(text, before, before_n);
    memset(text + before_n, pad, n);
    memcpy(text + before_n + n, after, after_n + 1);
    *ret_n = before_n + n + after_n;
    return text;
}

/* --- too much --- */

/* The largest line that fits into a frame of 10 MiB, sealed and in base64. */
static void says_the_largest_chunk(struct fake_provider *p)
{
    struct provider_msg m;
    size_t n;
    char *line = padded("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"", 'x',
                        FRAME_MAX_BYTES / 4 * 3 - KIB, "\"}}]}", &n);

    m = fake_provider_chunk(p, 0, (struct str){line, n}, 30);
    fake_provider_send(p, &m);
    fake_world_settle(p->w);
    free(line);
}

/* One of a context so long that its tokens may be all that text. */
static const struct fake_provider_config spacious = {.context_length = 128 * KIB};
#define SPACIOUS \
    "{\"model\":\"" FAKE_MODEL "\",\"stream\":true,\"max_tokens\":100000," FAKE_MESSAGES "}"

static void a_chunk_of_10_mib_is_delivered_as_the_tokens_it_says(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &spacious);
    struct fake_consumer *c = fake_consumer_ask(w, &(struct fake_ask){.body = SPACIOUS});

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_role(p, 0);
    says_the_largest_chunk(p);
    fake_provider_complete(p, 0, PROMPT, 30);
    assert_true(fake_consumer_done(c));
    assert_true(fake_consumer_body(c).n > FRAME_MAX_BYTES / 4 * 3 - KIB);
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 2 * 30);
}

/* L4: 100 tokens were asked for. What the consumer's socket did not take of it is free. */
static void more_text_than_the_tokens_asked_for_can_be_is_cut(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_role(p, 0);
    says_the_largest_chunk(p);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"provider_error\""));
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
}

/* R12's kind: to rewrite it, here to add a role, takes more memory than there is for that. It was
 * counted as the provider's fault. */
static void a_chunk_too_large_to_rewrite_is_not_the_providers_fault(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &spacious);
    struct fake_consumer *c = fake_consumer_ask(w, &(struct fake_ask){.body = SPACIOUS});

    says_the_largest_chunk(p);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"overloaded\""));
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
    assert_int_equal(metrics_get(w->coord->metrics, M_ATTEMPTS, METRIC_ATTEMPT_FAILED, 0), 0);
    assert_int_equal(registry_counts(w->coord->registry).routable, 1);
}

static void says_a_frame_of(struct bad_link *b, const char *before, char pad, size_t n,
                            const char *after)
{
    size_t bytes;
    char *text = padded(before, pad, n, after, &bytes);

    fake_provider_say(b->bad, (struct str){text, bytes});
    fake_world_settle(b->w);
    free(text);
}

static void says_10_mib_and_a_byte(struct bad_link *b)
{
    says_a_frame_of(b, "{\"type\":\"novelty\"}", ' ', FRAME_MAX_BYTES - 17, "");
}

static void says_10_mib_of_lists(struct bad_link *b)
{
    says_a_frame_of(b, "{\"type\":\"novelty\",\"x\":", '[', FRAME_MAX_BYTES - KIB, "");
}

static void says_10_mib_of_commas(struct bad_link *b)
{
    says_a_frame_of(b, "{\"type\":\"novelty\",\"x\":[", ',', FRAME_MAX_BYTES - KIB, "]}");
}

static void nests_10000_lists(struct bad_link *b)
{
    says_a_frame_of(b, "{\"type\":\"novelty\",\"x\":", '[', 10000, "");
}

static void says_10_mib_of_one_string(struct bad_link *b)
{
    says_a_frame_of(b, "{\"type\":\"novelty\",\"x\":\"", 'x', FRAME_MAX_BYTES - KIB, "\"}");
}

static void names_a_request_of_10_mib(struct bad_link *b)
{
    says_a_frame_of(b, "{\"type\":\"inference_complete\",\"request_id\":\"", 'x',
                    FRAME_MAX_BYTES - KIB, "\"}");
}

/* Text for which it claims more tokens than were asked for: 100. */
static void goes_on_past_the_limit(struct bad_link *b)
{
    for (int i = 0; i < 20; i++)
        fake_provider_text(b->bad, 0, "0123456789", 10);
}

#define ROW(say_, close_, ignored_, fate_)                                                       \
    {                                                                                            \
        .name = #say_, .when = BAD_ANSWERING, .say = say_, .close = close_, .ignored = ignored_, \
        .fate = fate_                                                                            \
    }

static const struct bad_frame floods[] = {
    ROW(says_10_mib_and_a_byte, 1009, 0, BAD_BROKEN),
    ROW(says_10_mib_of_lists, 1008, 0, BAD_BROKEN),
    ROW(says_10_mib_of_commas, 1008, 0, BAD_BROKEN),
    ROW(nests_10000_lists, 1007, 0, BAD_BROKEN),
    ROW(says_10_mib_of_one_string, 0, 1, BAD_GOES_ON),
    ROW(names_a_request_of_10_mib, 0, 1, BAD_GOES_ON),
};

static void a_frame_that_is_too_much_closes_or_is_ignored(void **state)
{
    (void)state;
    bad_frames_send(floods, sizeof floods / sizeof floods[0]);
}

/* What was asked for and 64 tokens, and then it is stopped and counts as broken. */
static void who_goes_on_past_the_limit_is_stopped(void **state)
{
    struct fake_world *w = *state;
    struct bad_link b;

    bad_link_up(w, &b, BAD_ANSWERING);
    goes_on_past_the_limit(&b);
    assert_int_equal(b.bad->jobs[0].cancels, 1);
    assert_true(fake_says(fake_consumer_body(b.asker), "\"code\":\"provider_error\""));
    assert_int_equal(fake_world_hold(w, b.holds + 1).cost, PROMPT + 2 * 100);
}

/* L1: after the largest frames nothing of them is kept. */
static void what_was_too_much_leaves_no_memory_behind(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct bad_link b = {.w = w, .bad = p};
    size_t before;

    fake_provider_heartbeat(p);
    fake_world_settle(w);
    before = heap_live_bytes();
    says_10_mib_of_one_string(&b);
    fake_provider_heartbeat(p);
    fake_world_settle(w);
    buf_free(&p->frame);
    assert_true(heap_live_bytes() < before + MIB);
}

/* --- again --- */

/* A line may be what was said before: it is the provider's own stream. */
static void a_repeated_chunk_is_a_chunk_like_any_other(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);
    struct provider_msg m = fake_provider_chunk(
        p, 0, STR("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abc\"}}]}"), 20);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_send(p, &m);
    fake_provider_send(p, &m);
    fake_world_settle(w);
    fake_provider_complete(p, 0, PROMPT, 1000);
    assert_string_equal(fake_consumer_text(c), "abcabc");
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 2 * (6 + 16)); /* by its text */
}

/* Every request has a key pair of its own. */
static void a_chunk_of_an_earlier_request_does_not_open_in_a_later_one(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain), *other = NULL;
    struct fake_consumer *c;
    struct provider_msg m;

    fake_consumer_stream(w);
    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    c = fake_consumer_stream(w);
    other = fake_provider_join(w, &busier);
    m = fake_provider_chunk(p, 0, STR("data: {\"choices\":[]}"), 1);
    m.chunk.request_id = str_from(p->jobs[1].wire_id);
    m.chunk.encrypted_data.ephemeral_public_key =
        str_from(box_session_public_b64(p->jobs[1].session));
    fake_provider_send(p, &m);
    fake_world_settle(w);
    assert_true(fake_world_logged(w, "trust=untrusted reason=undecryptable_chunk"));
    fake_provider_serve(other, 0, PROMPT, COMPLETION);
    assert_string_equal(fake_consumer_text(c), "Hello world");
}

/* The answer to the challenge before proves nothing, and is no lie either. */
static void a_repeated_answer_to_a_challenge_is_ignored(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *p;
    char answer[600];
    (void)state;

    w->settings.challenge_interval_ms = 1000;
    fake_world_start(w);
    p = fake_provider_join(w, &plain);
    snprintf(answer, sizeof answer,
             "{\"type\":\"attestation_response\",\"nonce\":\"%s\",\"signature\":\"%s\","
             "\"public_key\":\"%s\"}",
             p->nonce, p->signature, box_pair_public_b64(p->pair));
    p->config.answer = FAKE_SILENT;
    for (int i = 0; i < 3; i++) {
        fake_world_advance_ms(w, 1000);
        fake_provider_say(p, str_from(answer));
        fake_world_settle(w);
    }
    assert_int_equal(registry_counts(w->coord->registry).trusted, 1);
    fake_world_advance_ms(w, 31000); /* the one that it did not answer */
    assert_int_equal(registry_counts(w->coord->registry).trusted, 0);
    assert_false(fake_world_logged(w, "trust=untrusted"));
    fake_provider_die(p);
    fake_world_settle(w);
    assert_true(fake_world_logged(w, "ignored_messages=3"));
    fake_world_down((void **)&w);
}

/* --- reading nothing --- */

static void stop_reading(struct fake_provider *p)
{
    const struct conn_config nothing = {.in_max_bytes = 1, .out_max_bytes = 64 * MIB};

    conn_pause(p->ws->conn);
    assert_int_equal(conn_set_limits(p->ws->conn, &nothing), 0);
}

/* L1: a pong was queued for each ping, up to 32 MiB a socket. */
static void who_pings_without_reading_is_owed_one_pong_and_cut(void **state)
{
    struct fake_world *w = *state;
    struct bad_link b;
    size_t charged;
    static char pings[127 * 64]; /* of 121 bytes each, under a mask of zeros */

    bad_link_up(w, &b, BAD_ANSWERING);
    charged = budget_used(&w->hub->memory.process);
    stop_reading(b.bad);
    for (size_t i = 0; i < sizeof pings; i += 127)
        memcpy(pings + i, "\x89\xf9\0\0\0\0", 6);
    for (int i = 0; i < 1000; i++) /* 8 MB of them */
        bad_bytes(&b, pings, sizeof pings);
    assert_true(budget_used(&w->hub->memory.process) < charged + 256 * KIB);
    fake_world_advance_ms(w, 2 * w->settings.stall_timeout_ms);
    assert_int_equal(registry_counts(w->coord->registry).connected, 1);
    assert_true(fake_says(fake_consumer_body(b.asker), "\"error\""));
    fake_provider_text(b.neighbour, 0, "lo", 5);
    assert_string_equal(fake_consumer_text(b.bystander), "Hello");
}

/* Requests go out to it until its socket is full; then it is cut, and they go elsewhere. */
static void who_does_not_read_its_requests_loses_them(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *deaf, *other;
    struct fake_consumer *c[4];
    size_t n;
    char *body = padded("{\"model\":\"" FAKE_MODEL "\",\"stream\":true,\"max_tokens\":30,\"x\":\"",
                        'x', MIB, "\"," FAKE_MESSAGES "}", &n);

    (void)state;
    w->settings.accept_timeout_ms = 60000;
    fake_world_start(w);
    deaf = fake_provider_join(w, &plain);
    stop_reading(deaf);
    for (size_t i = 0; i < 4; i++)
        c[i] = fake_consumer_ask(w, &(struct fake_ask){.body = body});
    other = fake_provider_join(w, &busier);
    assert_int_equal(other->n_jobs, 0);
    fake_world_advance_ms(w, 2 * w->settings.stall_timeout_ms);
    for (size_t i = 0; i < 4; i++) {
        fake_provider_serve(other, i, PROMPT, COMPLETION);
        assert_string_equal(fake_consumer_text(c[i]), "Hello world");
    }
    assert_int_equal(registry_counts(w->coord->registry).connected, 1);
    free(body);
    fake_world_down((void **)&w);
}

/* --- gone without a word --- */

/* Its cable was pulled: no end of the stream ever comes. */
static void a_half_open_socket_loses_its_requests_and_then_itself(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *gone, *other;
    struct fake_consumer *asked, *answering;
    (void)state;

    w->settings.accept_timeout_ms = 2500;
    w->settings.token_gap_timeout_ms = 10000;
    w->settings.heartbeat_timeout_ms = 90000;
    fake_world_start(w);
    gone = fake_provider_join(w, &plain);
    answering = fake_consumer_stream(w);
    fake_provider_accept(gone, 0, PROMPT);
    fake_provider_text(gone, 0, "Hel", 15);
    stop_reading(gone);
    asked = fake_consumer_stream(w);
    other = fake_provider_join(w, &busier);
    fake_world_advance_ms(w, 2500);
    fake_provider_serve(other, 0, PROMPT, COMPLETION);
    assert_string_equal(fake_consumer_text(asked), "Hello world");
    fake_world_advance_ms(w, 7500);
    assert_true(fake_says(fake_consumer_body(answering), "\"code\":\"timeout\""));
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 2 * 15);
    fake_world_advance_ms(w, 70000);
    fake_provider_heartbeat(other);
    fake_world_advance_ms(w, 10000);
    assert_int_equal(registry_counts(w->coord->registry).connected, 1);
    fake_world_down((void **)&w);
}

/* It sends no more, though it might still read: no provider is of use that way. */
static void who_ends_its_half_of_the_stream_is_gone(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_provider *other = fake_provider_join(w, &busier);
    struct fake_consumer *c = fake_consumer_stream(w);

    conn_finish(p->ws->conn, 60000, 0);
    p->ws->conn = NULL;
    fake_world_settle(w);
    assert_int_equal(registry_counts(w->coord->registry).connected, 1);
    fake_provider_serve(other, 0, PROMPT, COMPLETION);
    assert_string_equal(fake_consumer_text(c), "Hello world");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_chunk_of_10_mib_is_delivered_as_the_tokens_it_says),
        TEST(more_text_than_the_tokens_asked_for_can_be_is_cut),
        TEST(a_chunk_too_large_to_rewrite_is_not_the_providers_fault),
        cmocka_unit_test(a_frame_that_is_too_much_closes_or_is_ignored),
        TEST(who_goes_on_past_the_limit_is_stopped),
        TEST(what_was_too_much_leaves_no_memory_behind),
        TEST(a_repeated_chunk_is_a_chunk_like_any_other),
        TEST(a_chunk_of_an_earlier_request_does_not_open_in_a_later_one),
        cmocka_unit_test(a_repeated_answer_to_a_challenge_is_ignored),
        TEST(who_pings_without_reading_is_owed_one_pong_and_cut),
        cmocka_unit_test(who_does_not_read_its_requests_loses_them),
        cmocka_unit_test(a_half_open_socket_loses_its_requests_and_then_itself),
        TEST(who_ends_its_half_of_the_stream_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
