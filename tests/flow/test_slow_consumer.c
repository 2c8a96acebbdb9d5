/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer that does not read: its own stream waits, up to 1 MiB and 10 s, then it is cut and
 * pays for what its socket took. Nobody else notices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

/* The consumer's socket holds 64 KiB: a head and three of these texts whole. */
enum { PROMPT = 80, TEXT_BYTES = 16 << 10, TOKENS = 10, TAKEN_TEXTS = 3 };

#define LONG_STREAM \
    "{\"model\":\"" FAKE_MODEL "\",\"max_tokens\":30000,\"stream\":true," FAKE_MESSAGES "}"

/* Room for megabytes: text beyond what the tokens asked for can stand for is not relayed. */
static const struct fake_provider_config roomy = {.context_length = 32768};

static void say_much(struct fake_provider *p, size_t job, int texts)
{
    static char text[TEXT_BYTES + 1];

    memset(text, 'x', TEXT_BYTES);
    for (int i = 0; i < texts; i++)
        fake_provider_text(p, job, text, TOKENS);
}

static struct fake_consumer *deaf_consumer(struct fake_world *w)
{
    return fake_consumer_ask(w, &(struct fake_ask){.body = LONG_STREAM, .deaf = true});
}

static void assert_cut(struct fake_world *w, struct fake_provider *p)
{
    struct fake_hold h = fake_world_hold(w, 0);

    assert_int_equal(p->jobs[0].cancels, 1);
    assert_true(fake_world_logged(w, "slow_consumer"));
    assert_string_equal(h.outcome, "consumer_gone");
    assert_int_equal(h.delivered_tokens, TAKEN_TEXTS * TOKENS);
    assert_int_equal(h.cost, PROMPT + 2 * TAKEN_TEXTS * TOKENS);
    fake_world_assert_at_rest(w);
}

/* The last event of a stream that was cut. */
static void assert_told(struct fake_consumer *c)
{
    size_t n = fake_consumer_events(c);

    assert_true(fake_consumer_done(c));
    assert_true(fake_says(fake_consumer_event(c, n - 1), "\"code\":\"slow_consumer\""));
}

static void nothing_read_for_ten_seconds_cuts_the_stream(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});
    struct fake_consumer *c = deaf_consumer(w);

    fake_provider_accept(p, 0, PROMPT);
    say_much(p, 0, 8);
    fake_world_advance_ms(w, 9900);
    assert_int_equal(p->jobs[0].cancels, 0);
    fake_world_advance_ms(w, 600);
    assert_cut(w, p);
    fake_consumer_listen(c);
    assert_told(c);
}

static void a_megabyte_unread_cuts_the_stream_at_once(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &roomy);
    struct fake_consumer *c = deaf_consumer(w);

    fake_provider_accept(p, 0, PROMPT);
    say_much(p, 0, 64);
    assert_int_equal(p->jobs[0].cancels, 0);
    say_much(p, 0, 8);
    assert_cut(w, p);
    fake_consumer_listen(c);
    assert_told(c);
}

/* More pieces wait than there are marks for what the socket has taken. */
static void a_stream_in_many_small_pieces_is_counted_as_far_as_it_was_taken(void **state)
{
    enum { SOCKET_BYTES = 64 << 10, PIECES = 1500 };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});
    struct fake_consumer *c = deaf_consumer(w);
    int64_t taken;

    fake_provider_accept(p, 0, PROMPT);
    for (int i = 0; i < PIECES; i++)
        fake_provider_text(p, 0, "word ", 1);
    fake_world_advance_ms(w, 11000);
    assert_string_equal(fake_world_hold(w, 0).outcome, "consumer_gone");
    fake_consumer_listen(c);
    taken = (int64_t)(SOCKET_BYTES * fake_consumer_events(c) / c->in.len);
    assert_in_range(fake_world_hold(w, 0).delivered_tokens, taken * 9 / 10, taken);
}

/* Who reads half as fast as the provider writes, and then hangs up, has taken half. */
static void who_reads_too_slowly_is_counted_as_far_as_it_came(void **state)
{
    enum { SOCKET_BYTES = 64 << 10, PIECES = 1900, PIECE_BYTES = 200, LATE_BYTES = 20 << 10 };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});
    struct fake_consumer *c = deaf_consumer(w);
    size_t events, bytes;
    int64_t taken;

    fake_provider_accept(p, 0, PROMPT);
    for (int i = 0; i < PIECES; i++) {
        fake_provider_text(p, 0, "word ", 1);
        fake_consumer_take(c, PIECE_BYTES / 2);
    }
    events = fake_consumer_events(c);
    bytes = c->in.len;
    taken = (int64_t)((bytes + SOCKET_BYTES) * events / bytes);
    fake_consumer_leave(c);
    fake_world_settle(w);
    assert_string_equal(fake_world_hold(w, 0).outcome, "consumer_gone");
    assert_in_range(taken, 900, PIECES - 200); /* enough wait that not each can have a mark */
    assert_in_range(fake_world_hold(w, 0).delivered_tokens,
                    taken - (int64_t)(LATE_BYTES * events / bytes), taken + 5);
}

/* It is the provider that hands over so much at once. */
static void a_chunk_beyond_the_limit_does_not_cut_who_keeps_up(void **state)
{
    enum { LARGE_BYTES = 3 << 20 };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &roomy);
    struct fake_consumer *c = fake_consumer_ask(w, &(struct fake_ask){.body = LONG_STREAM});
    char *text = calloc(1, LARGE_BYTES + 1);

    assert_non_null(text);
    memset(text, 'x', LARGE_BYTES);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 1);
    fake_provider_text(p, 0, text, 10);
    fake_provider_text(p, 0, text, 10);
    fake_provider_complete(p, 0, PROMPT, 21);
    assert_true(fake_consumer_done(c));
    assert_true(fake_consumer_body(c).n > 2 * LARGE_BYTES);
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 21);
    free(text);
}

static void reading_again_in_time_loses_nothing(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});
    struct fake_consumer *c = deaf_consumer(w);

    fake_provider_accept(p, 0, PROMPT);
    for (int i = 0; i < 3; i++) {
        c->deaf = true;
        say_much(p, 0, 10);
        fake_world_advance_ms(w, 9000);
        fake_consumer_listen(c);
    }
    fake_provider_complete(p, 0, PROMPT, 30 * TOKENS);
    assert_true(fake_consumer_done(c));
    assert_int_equal(fake_consumer_events(c), 32); /* receipt and [DONE] */
    assert_int_equal(p->jobs[0].cancels, 0);
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
}

static void the_end_waits_for_a_consumer_that_is_behind(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});
    struct fake_consumer *c = deaf_consumer(w);

    fake_provider_accept(p, 0, PROMPT);
    say_much(p, 0, 8);
    fake_provider_complete(p, 0, PROMPT, 8 * TOKENS);
    assert_true(fake_world_hold(w, 0).open);
    fake_consumer_listen(c);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 8 * TOKENS);
}

static void a_provider_that_is_done_is_not_cancelled_for_a_slow_consumer(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});

    deaf_consumer(w);
    fake_provider_accept(p, 0, PROMPT);
    say_much(p, 0, 8);
    fake_provider_complete(p, 0, PROMPT, 8 * TOKENS);
    fake_world_advance_ms(w, 11000);
    assert_int_equal(p->jobs[0].cancels, 0);
    assert_string_equal(fake_world_hold(w, 0).outcome, "consumer_gone");
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, TAKEN_TEXTS * TOKENS);
}

static void a_slow_consumer_slows_nobody_else(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});
    struct fake_consumer *quick;

    deaf_consumer(w);
    quick = fake_consumer_stream(w);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_accept(p, 1, PROMPT);
    say_much(p, 0, 20);
    fake_provider_text(p, 1, "Hello", 1);
    assert_string_equal(fake_consumer_text(quick), "Hello");
    fake_world_advance_ms(w, 11000);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_int_equal(p->jobs[1].cancels, 0);
    fake_provider_text(p, 1, " again", 1);
    fake_provider_complete(p, 1, PROMPT, 2);
    assert_true(fake_consumer_done(quick));
    assert_string_equal(fake_consumer_text(quick), "Hello again");
}

static void a_stream_that_has_nothing_to_say_is_not_slow(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});

    fake_consumer_stream(w);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 1);
    fake_world_advance_ms(w, 60000);
    assert_int_equal(p->jobs[0].cancels, 0);
    assert_true(fake_world_hold(w, 0).open);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_read_for_ten_seconds_cuts_the_stream),
        TEST(a_megabyte_unread_cuts_the_stream_at_once),
        TEST(a_stream_in_many_small_pieces_is_counted_as_far_as_it_was_taken),
        TEST(who_reads_too_slowly_is_counted_as_far_as_it_came),
        TEST(a_chunk_beyond_the_limit_does_not_cut_who_keeps_up),
        TEST(reading_again_in_time_loses_nothing),
        TEST(the_end_waits_for_a_consumer_that_is_behind),
        TEST(a_provider_that_is_done_is_not_cancelled_for_a_slow_consumer),
        TEST(a_slow_consumer_slows_nobody_else),
        TEST(a_stream_that_has_nothing_to_say_is_not_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
