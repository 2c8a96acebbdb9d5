/* SPDX-License-Identifier: Apache-2.0 */
/* What is charged is what the consumer's socket has taken, however the pieces come together; and
 * what goes wrong here is not the provider's fault. Findings of the first state, by number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/flow/request.h"
#include "coordinator/metrics.h"
#include "coordinator/registry/registry.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, KIB = 1 << 10, MIB = 1 << 20, TICK_MS = 250, LEAST_COST = 100 };

static const struct fake_provider_config plain = {0};
static const struct fake_provider_config busier = {.cpu_usage = 0.5};
static const struct fake_provider_config spacious = {.context_length = 128 * KIB};

#define MANY_TOKENS "\"max_tokens\":100000,"
#define LONG_STREAM "{\"model\":\"" FAKE_MODEL "\",\"stream\":true," MANY_TOKENS FAKE_MESSAGES "}"
#define LONG_WHOLE  "{\"model\":\"" FAKE_MODEL "\"," MANY_TOKENS FAKE_MESSAGES "}"

/* One frame, which leaves together with others before anything settles. */
static void say_text(struct fake_provider *p, const char *text, size_t times, int64_t tokens)
{
    const struct str end = STR("\"}}]}");
    struct provider_msg m;
    struct buf line;

    buf_init(&line, 16 * MIB);
    assert_int_equal(
        buf_append_str(&line, STR("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"")),
        0);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(buf_append_str(&line, str_from(text)), 0);
    assert_int_equal(buf_append_str(&line, end), 0);
    m = fake_provider_chunk(p, 0, buf_view(&line), tokens);
    fake_provider_send(p, &m);
    buf_free(&line);
}

static void say_error(struct fake_provider *p, int status)
{
    fake_provider_send(p,
                       &(struct provider_msg){.type = MSG_INFERENCE_ERROR,
                                              .error = {.request_id = str_from(p->jobs[0].wire_id),
                                                        .error = STR("x"),
                                                        .status_code = status}});
}

static void say_complete(struct fake_provider *p, int64_t completion)
{
    fake_provider_send(
        p, &(struct provider_msg){.type = MSG_INFERENCE_COMPLETE,
                                  .complete = {.request_id = str_from(p->jobs[0].wire_id),
                                               .usage = {PROMPT, completion}}});
}

static int64_t attempts(const struct fake_world *w, unsigned result)
{
    return metrics_get(w->coord->metrics, M_ATTEMPTS, result, 0);
}

/* The provider is as good as before. */
static void assert_blameless(const struct fake_world *w)
{
    assert_int_equal(registry_counts(w->coord->registry).routable, 1);
    assert_int_equal(attempts(w, METRIC_ATTEMPT_FAILED), 0);
    assert_false(fake_world_logged(w, "trust=untrusted"));
}

/* --- R7: one row a tick --- */

/* The checkpoint behind a commit wrote a second row, and left the next tick without one. */
static void each_tick_writes_one_row_with_what_was_delivered_by_then(void **state)
{
    enum { TICKS = 8, STORE_MS = 20, PIECES = 5 };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    fake_world_tamper(w, "CREATE TABLE rows_written (n)");
    fake_world_tamper(w, "CREATE TRIGGER count_rows AFTER UPDATE OF delivered_tokens ON holds"
                         " BEGIN INSERT INTO rows_written VALUES (1); END");
    fake_consumer_stream(w);
    fake_provider_accept(p, 0, PROMPT);
    fake_world_slow_store(w, STORE_MS * 1000);
    for (int tick = 1; tick <= TICKS; tick++) {
        for (int i = 0; i < PIECES; i++) { /* the first comes before the last tick's commit */
            fake_provider_text(p, 0, "x", 1);
            fake_world_advance_ms(w, TICK_MS / PIECES);
        }
        /* This tick's row is on its way to the disk; the one before is there. */
        assert_int_equal(fake_world_query(w, "SELECT count(*) FROM rows_written"), tick - 1);
        assert_int_equal(fake_world_hold(w, 0).delivered_tokens, PIECES * (tick - 1));
    }
}

/* --- R11: pieces that come in one read --- */

/* What had not been tried on the socket when the failure came was not charged. */
static void chunks_and_a_failure_in_one_read_are_charged_as_taken(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    say_text(p, "Hello world Hello world ", 1, 24);
    say_text(p, "Hello world Hello world ", 1, 24);
    say_error(p, 500);
    fake_world_settle(w);
    assert_true(fake_says(fake_consumer_body(c), "\"error\""));
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 48);
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 2 * 48);
}

/* The other way round: what came in one read with the end was charged as if it had been taken. */
static void chunks_and_the_end_in_one_read_wait_for_a_deaf_consumer(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &spacious);
    struct fake_consumer *c =
        fake_consumer_ask(w, &(struct fake_ask){.body = LONG_STREAM, .deaf = true});
    struct fake_hold h;

    for (int i = 0; i < 5; i++) {
        say_text(p, "0123456789", KIB, 1000);
        fake_world_settle(w);
    }
    say_text(p, "0123456789", 3 * KIB, 3000); /* of these 30 KiB the socket takes 14 */
    say_complete(p, 8000);
    fake_world_settle(w);
    assert_true(fake_world_hold(w, 0).open);
    fake_world_advance_ms(w, w->settings.stall_timeout_ms + TICK_MS);
    h = fake_world_hold(w, 0);
    assert_string_equal(h.outcome, "consumer_gone");
    assert_int_equal(h.delivered_tokens, 5000);
    assert_int_equal(h.cost, PROMPT + 2 * 5000);
    assert_int_equal(p->jobs[0].cancels, 0); /* it was done */
    fake_consumer_leave(c);
}

/* Behind the end the consumer reads on, and pays for all. */
static void one_that_reads_in_time_gets_and_pays_the_whole_answer(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &spacious);
    struct fake_consumer *c =
        fake_consumer_ask(w, &(struct fake_ask){.body = LONG_STREAM, .deaf = true});

    for (int i = 0; i < 20; i++)
        say_text(p, "0123456789", KIB, 1000);
    say_complete(p, 20000);
    fake_world_advance_ms(w, 5000);
    fake_consumer_listen(c);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 2 * 20000);
}

/* --- R12: our own want of memory --- */

static void fill_consumers_budget(struct fake_world *w)
{
    struct budget *b = &w->hub->memory.consumers;

    b->max_bytes = budget_used(b);
}

static void empty_consumers_budget(struct fake_world *w)
{
    w->hub->memory.consumers.max_bytes = SIZE_MAX;
}

static void a_stream_that_we_have_no_room_for_is_no_fault_of_its_provider(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 20);
    fill_consumers_budget(w);
    say_text(p, "0123456789", 1000, 20);
    fake_world_settle(w);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_string_equal(fake_world_hold(w, 0).outcome, "stopped");
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 2 * 20);
    assert_blameless(w);
    empty_consumers_budget(w);
    fake_consumer_leave(c);
    c = fake_consumer_stream(w);
    fake_provider_serve(p, 1, PROMPT, 20);
    assert_string_equal(fake_consumer_text(c), "Hello world");
}

static void a_whole_answer_that_we_have_no_room_for_is_no_fault_of_its_provider(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_provider_accept(p, 0, PROMPT);
    fill_consumers_budget(w);
    say_text(p, "0123456789", 1000, 20);
    fake_world_settle(w);
    empty_consumers_budget(w);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
    assert_blameless(w);
    fake_consumer_leave(c);
}

/* It cost the provider its trust. */
static void a_chunk_that_we_have_no_room_to_open_is_no_fault_of_its_provider(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);
    struct request *r = list_owner(w->coord->requests.next, struct request, link);

    buf_free(&r->tries.plain);
    r->tries.plain.max_bytes = 16;
    say_text(p, "0123456789", 10, 20);
    fake_world_settle(w);
    assert_blameless(w);
    assert_int_equal(fake_consumer_status(c), 503);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"overloaded\""));
    assert_true(fake_consumer_header(c, "Retry-After").n > 0);
}

/* What waits for its hold's commit has a bound. */
static void an_answer_that_outgrows_the_wait_for_its_hold_is_no_fault_either(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &spacious);
    struct fake_consumer *c;

    fake_consumer_leave(fake_consumer_stream(w)); /* the account is known from now on */
    fake_provider_error(p, 0, 400, "");
    fake_world_slow_store(w, 60000000);
    c = fake_consumer_ask(w, &(struct fake_ask){.body = LONG_STREAM});
    assert_int_equal(p->n_jobs, 2);
    snprintf(p->jobs[0].wire_id, sizeof p->jobs[0].wire_id, "%s", p->jobs[1].wire_id);
    box_session_close(p->jobs[0].session);
    p->jobs[0].session = p->jobs[1].session;
    p->jobs[1].session = NULL;
    for (int i = 0; i < 3; i++)
        say_text(p, "0123456789", 700 * KIB, 1000);
    fake_world_settle(w);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"overloaded\""));
    assert_blameless(w);
}

/* --- R2's kind: nothing delivered costs nothing --- */

/* It comes in 6 bytes a character, is joined to one, and would leave in six again: 38 MiB. The
 * consumer got 500 and paid for all of it. */
static void a_whole_answer_that_cannot_be_put_together_costs_nothing(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &spacious);
    struct fake_consumer *c = fake_consumer_ask(w, &(struct fake_ask){.body = LONG_WHOLE});

    for (int i = 0; i < 6; i++) {
        say_text(p, "\\u0001", MIB + 100 * KIB, 1000);
        fake_world_settle(w);
    }
    say_complete(p, 6000);
    fake_world_settle(w);
    assert_int_equal(fake_consumer_status(c), 503);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"overloaded\""));
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT);
    assert_blameless(w);
}

static void a_whole_answer_that_does_not_fit_its_connection_costs_nothing(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &spacious);
    struct fake_consumer *c = fake_consumer_ask(w, &(struct fake_ask){.body = LONG_WHOLE});

    say_text(p, "0123456789", 100 * KIB, 1000);
    fake_world_settle(w);
    fill_consumers_budget(w);
    say_complete(p, 1000);
    fake_world_settle(w);
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT);
    assert_blameless(w);
    empty_consumers_budget(w);
    fake_consumer_leave(c);
}

/* --- FR-38: nothing commits before content --- */

static void a_role_and_a_finish_are_no_content(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = fake_provider_join(w, &plain);
    struct fake_provider *second = fake_provider_join(w, &busier);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(first, 0, PROMPT);
    fake_provider_role(first, 0);
    fake_provider_text(first, 0, "", 0);
    fake_provider_finish(first, 0);
    assert_int_equal(fake_consumer_status(c), 0);
    fake_provider_error(first, 0, 500, "");
    fake_provider_serve(second, 0, PROMPT, 20);
    assert_string_equal(fake_consumer_text(c), "Hello world");
    assert_int_equal(fake_consumer_events(c), 6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_tick_writes_one_row_with_what_was_delivered_by_then),
        TEST(chunks_and_a_failure_in_one_read_are_charged_as_taken),
        TEST(chunks_and_the_end_in_one_read_wait_for_a_deaf_consumer),
        TEST(one_that_reads_in_time_gets_and_pays_the_whole_answer),
        TEST(a_stream_that_we_have_no_room_for_is_no_fault_of_its_provider),
        TEST(a_whole_answer_that_we_have_no_room_for_is_no_fault_of_its_provider),
        TEST(a_chunk_that_we_have_no_room_to_open_is_no_fault_of_its_provider),
        TEST(an_answer_that_outgrows_the_wait_for_its_hold_is_no_fault_either),
        TEST(a_whole_answer_that_cannot_be_put_together_costs_nothing),
        TEST(a_whole_answer_that_does_not_fit_its_connection_costs_nothing),
        TEST(a_role_and_a_finish_are_no_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
