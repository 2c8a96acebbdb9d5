/* SPDX-License-Identifier: Apache-2.0 */
/* What a consumer gets where providers fail, wait or have no room, and what is written down about
 * it. Findings of the first state and rules of the field reports, by number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/metrics.h"
#include "coordinator/registry/registry.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, COMPLETION = 20, COST = PROMPT + 2 * COMPLETION, PATIENCE_MS = 10000 };

static const struct fake_provider_config plain = {0};
static const struct fake_provider_config busier = {.cpu_usage = 0.5};
static const struct fake_provider_config busiest = {.cpu_usage = 1};
static const struct fake_provider_config single = {.max_running = 1};

static struct fake_world *product_world(void)
{
    struct fake_world *w = fake_world_new_with_defaults();

    fake_world_start(w);
    return w;
}

static int64_t attempts(const struct fake_world *w, unsigned result)
{
    return metrics_get(w->coord->metrics, M_ATTEMPTS, result, 0);
}

static bool asks(const struct fake_provider *p)
{
    return p->n_jobs > 0;
}

/* The line that the log has of the only request; freed by the caller. */
static char *request_line(const struct fake_world *w)
{
    char *log = fake_world_log(w), *line = strstr(log, "event=request_done");

    assert_non_null(line);
    assert_null(strstr(line + 1, "event=request_done"));
    memmove(log, line, strcspn(line, "\n"));
    log[strcspn(line, "\n")] = 0;
    return log;
}

static void assert_line(const struct fake_world *w, const char *part)
{
    char *line = request_line(w);

    if (!strstr(line, part))
        fail_msg("no %s in %s", part, line);
    free(line);
}

/* --- R3, FR-23, FR-40: one deadline from the receipt --- */

/* Each of the two before it uses up its own limit; the third answers within patience. */
static void after_two_silent_providers_there_is_content_within_ten_seconds(void **state)
{
    struct fake_world *w = product_world();
    struct fake_provider *mute = fake_provider_join(w, &plain);
    struct fake_provider *silent = fake_provider_join(w, &busier);
    struct fake_provider *good = fake_provider_join(w, &busiest);
    struct fake_consumer *c = fake_consumer_stream(w);
    int64_t ms = 0;
    (void)state;

    for (; !asks(silent) && ms < PATIENCE_MS; ms += 100)
        fake_world_advance_ms(w, 100);
    fake_provider_accept(silent, 0, 20);
    for (; !asks(good) && ms < PATIENCE_MS; ms += 100)
        fake_world_advance_ms(w, 100);
    assert_true(ms < PATIENCE_MS);
    fake_provider_serve(good, 0, PROMPT, COMPLETION);
    assert_string_equal(fake_consumer_text(c), "Hello world");
    assert_int_equal(mute->jobs[0].cancels, 1);
    assert_int_equal(silent->jobs[0].cancels, 1);
    fake_world_down((void **)&w);
}

/* The time in the queue is the request's own: it does not begin anew with a provider, nor with the
 * next one. */
static void neither_the_queue_nor_a_retry_begins_the_deadline_anew(void **state)
{
    struct fake_world *w = product_world();
    struct fake_consumer *c = fake_consumer_whole(w);
    struct fake_provider *silent;
    (void)state;

    fake_world_advance_ms(w, 6000);
    silent = fake_provider_join(w, &plain);
    assert_true(asks(silent));
    fake_provider_accept(silent, 0, 20);
    fake_world_advance_ms(w, PATIENCE_MS - 6000);
    assert_int_equal(fake_consumer_status(c), 504);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT);
    fake_world_down((void **)&w);
}

/* An answer may take longer than any limit to its first token or between two. */
static void an_answer_that_goes_on_is_not_cut_by_the_limits_to_its_beginning(void **state)
{
    struct fake_world *w = product_world();
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);
    (void)state;

    fake_provider_accept(p, 0, PROMPT);
    for (int i = 0; i < 50; i++) {
        fake_provider_text(p, 0, "x", 1);
        fake_world_advance_ms(w, 9000);
        fake_provider_heartbeat(p);
    }
    fake_provider_complete(p, 0, PROMPT, 50);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
    fake_world_down((void **)&w);
}

/* What we cut by our own deadline is nobody's failure (FR-23). */
static void what_the_deadline_cuts_counts_against_no_provider(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *p;
    (void)state;

    w->settings.request_deadline_ms = 20000;
    fake_world_start(w);
    p = fake_provider_join(w, &plain);
    fake_consumer_stream(w);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 20);
    fake_world_advance_ms(w, 20000);
    assert_string_equal(fake_world_hold(w, 0).outcome, "deadline");
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_int_equal(attempts(w, METRIC_ATTEMPT_FAILED), 0);
    assert_int_equal(attempts(w, METRIC_ATTEMPT_CANCELLED), 1);
    assert_int_equal(registry_counts(w->coord->registry).routable, 1);
    fake_world_down((void **)&w);
}

/* --- R9: bounds per account --- */

/* One account's requests filled the queue, and everybody got 503. */
static void one_account_cannot_fill_the_queue(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_consumer *alice[4], *bob;
    struct fake_provider *p;
    char key[KEY_TEXT_BYTES];
    (void)state;

    w->settings.queue_max = 100;
    w->settings.queue_max_per_account = 3;
    fake_world_start(w);
    fake_world_make_key(w, "bob", FAKE_CREDIT, key);
    for (int i = 0; i < 4; i++)
        alice[i] = fake_consumer_stream(w);
    assert_int_equal(fake_consumer_status(alice[3]), 429);
    assert_true(fake_consumer_header(alice[3], "Retry-After").n > 0);
    assert_true(fake_says(fake_consumer_body(alice[3]), "3 requests of this account already wait"));
    bob = fake_consumer_ask(w, &(struct fake_ask){.key = key});
    assert_int_equal(fake_consumer_status(bob), 0);
    p = fake_provider_join(w, &single);
    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    fake_provider_serve(p, 1, PROMPT, COMPLETION);
    assert_true(fake_consumer_done(alice[0]));
    assert_true(fake_consumer_done(bob)); /* not behind alice's others */
    assert_false(fake_consumer_done(alice[1]));
    fake_world_down((void **)&w);
}

/* --- R15: no event without a choice --- */

/* Every stream ended with one, and loops over choices[0] broke. */
static void no_event_has_empty_choices_unless_it_was_asked_for(void **state)
{
    static const struct {
        const char *body;
        bool no_receipt;
        size_t without_choice;
    } cases[] = {
        {FAKE_STREAM, true, 0},
        {FAKE_STREAM, false, 1},
        {"{\"model\":\"" FAKE_MODEL "\",\"stream\":true,"
         "\"stream_options\":{\"include_usage\":true}," FAKE_MESSAGES "}",
         true, 1},
        {"{\"model\":\"" FAKE_MODEL "\",\"stream\":true,"
         "\"stream_options\":{\"include_usage\":false}," FAKE_MESSAGES "}",
         true, 0},
    };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct fake_ask ask = {.body = cases[i].body, .no_receipt = cases[i].no_receipt};
        struct fake_consumer *c = fake_consumer_ask(w, &ask);
        size_t without_choice = 0;
        struct str event;

        fake_provider_serve(p, i, PROMPT, COMPLETION);
        for (size_t n = 0; (event = fake_consumer_event(c, n)).p; n++)
            without_choice += fake_says(event, "\"choices\":[]");
        assert_true(fake_consumer_done(c));
        assert_int_equal(without_choice, cases[i].without_choice);
    }
}

/* --- R17: what is written down --- */

static void after_a_retry_that_serves_the_log_says_200_and_nothing_of_the_first(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = fake_provider_join(w, &plain);
    struct fake_provider *second = fake_provider_join(w, &busier);

    fake_consumer_stream(w);
    fake_provider_accept(first, 0, 87);
    fake_provider_error(first, 0, 500, "");
    fake_provider_accept(second, 0, PROTO_UNSET); /* an old peer: it reports no prompt */
    fake_provider_text(second, 0, "Hello", COMPLETION);
    fake_provider_complete(second, 0, 0, COMPLETION);
    assert_line(w, "outcome=completed status=200 code=\"\"");
    assert_line(w, "attempts=2 prompt_tokens=10 completion_tokens=20"); /* 39 bytes / 4 + 1 */
}

/* Nobody had seen it, but it was not tried elsewhere. */
static void a_whole_answer_that_breaks_in_the_middle_is_tried_elsewhere(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = fake_provider_join(w, &plain);
    struct fake_provider *second = fake_provider_join(w, &busier);
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_provider_accept(first, 0, PROMPT);
    fake_provider_text(first, 0, "Good bye", 8);
    fake_provider_error(first, 0, 500, "");
    fake_provider_serve(second, 0, PROMPT, COMPLETION);
    assert_int_equal(fake_consumer_status(c), 200);
    assert_true(fake_says(fake_consumer_body(c), "\"content\":\"Hello world\""));
    assert_int_equal(fake_world_hold(w, 0).cost, COST);
    assert_int_equal(fake_world_balance(w, fake_provider_account(first)), 0);
    assert_line(w, "status=200");
}

/* --- FR-13: abandoned work --- */

/* It was told to stop and goes on: counted, told again, and nobody pays. */
static void chunks_for_a_request_that_was_left_are_counted_and_cancelled_again(void **state)
{
    enum { CHUNKS = 40 };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_consumer_leave(c);
    assert_int_equal(p->jobs[0].cancels, 1);
    for (int i = 0; i < CHUNKS; i++)
        fake_provider_text(p, 0, "x", 1);
    assert_int_equal(metrics_get(w->coord->metrics, M_LATE_CHUNKS, 0, 0), CHUNKS);
    assert_int_equal(p->jobs[0].cancels, 2);
    assert_int_equal(fake_world_hold(w, 0).cost, 0);
}

/* --- FR-41: want of capacity is no failure --- */

static void all_are_busy(struct fake_world *w)
{
    struct fake_provider *p = fake_provider_join(w, &single);

    fake_consumer_stream(w);
    fake_provider_text(p, 0, "Hello", COMPLETION);
}

static void nobody_is_trusted(struct fake_world *w)
{
    fake_provider_join(w, &(struct fake_provider_config){.answer = FAKE_SILENT});
}

static void nobody_is_there(struct fake_world *w)
{
    (void)w;
}

static void one_has_no_room(struct fake_world *w)
{
    fake_provider_join(w, &plain);
}

static void want_of_capacity_is_429_with_when_to_come_again(void **state)
{
    static void (*const reasons[])(struct fake_world * w) = {all_are_busy, nobody_is_trusted,
                                                             nobody_is_there, one_has_no_room};
    (void)state;

    for (size_t i = 0; i < 4; i++) {
        struct fake_world *w = product_world();
        struct fake_consumer *c;

        reasons[i](w);
        c = fake_consumer_whole(w);
        if (reasons[i] == one_has_no_room)
            fake_provider_error(w->providers[0], 0, 503, "");
        fake_world_advance_ms(w, 9000);
        if (fake_consumer_status(c) != 429 || fake_consumer_header(c, "Retry-After").n == 0)
            fail_msg("%zu: %.*s", i, STR_ARG(buf_view(&c->in)));
        assert_true(fake_says(fake_consumer_body(c), "\"code\":\"model_not_available\""));
        fake_world_down((void **)&w);
    }
}

/* Only what is our failure is 5xx, and what can never be is 4xx. */
static void a_failure_is_502_and_what_can_never_be_is_4xx(void **state)
{
    struct fake_world *w = product_world();
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_whole(w);
    (void)state;

    fake_provider_error(p, 0, 500, "");
    assert_int_equal(fake_consumer_status(c), 502);
    c = fake_consumer_whole(w);
    fake_provider_error(p, 1, 400, "");
    assert_int_equal(fake_consumer_status(c), 400);
    c = fake_consumer_ask(w,
                          &(struct fake_ask){.body = "{\"model\":\"nobodys\"," FAKE_MESSAGES "}"});
    assert_int_equal(fake_consumer_status(c), 404);
    fake_world_down((void **)&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_two_silent_providers_there_is_content_within_ten_seconds),
        cmocka_unit_test(neither_the_queue_nor_a_retry_begins_the_deadline_anew),
        cmocka_unit_test(an_answer_that_goes_on_is_not_cut_by_the_limits_to_its_beginning),
        cmocka_unit_test(what_the_deadline_cuts_counts_against_no_provider),
        cmocka_unit_test(one_account_cannot_fill_the_queue),
        TEST(no_event_has_empty_choices_unless_it_was_asked_for),
        TEST(after_a_retry_that_serves_the_log_says_200_and_nothing_of_the_first),
        TEST(a_whole_answer_that_breaks_in_the_middle_is_tried_elsewhere),
        TEST(chunks_for_a_request_that_was_left_are_counted_and_cancelled_again),
        cmocka_unit_test(want_of_capacity_is_429_with_when_to_come_again),
        cmocka_unit_test(a_failure_is_502_and_what_can_never_be_is_4xx),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
