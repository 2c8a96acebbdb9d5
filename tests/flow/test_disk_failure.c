/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency keys, and a store that fails at every point where a request needs it: a clear error,
 * or an answer that goes on without it; money is never lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80 };

static const struct fake_provider_config plain = {0};
static const struct fake_ask once = {.headers = "Idempotency-Key: once\r\n"};

static size_t holds_ever(struct fake_world *w)
{
    return (size_t)fake_world_query(w, "SELECT count(*) FROM holds");
}

/* --- idempotency --- */

/* That the error names the request of the first hold. */
static bool names_the_first(struct fake_world *w, struct fake_consumer *c)
{
    struct db_stmt *st = db_stmt(w->db, "SELECT request_id FROM holds ORDER BY id LIMIT 1");
    char id[RAND_UUID_BYTES];

    assert_int_equal(db_step(st), 1);
    snprintf(id, sizeof id, "%.*s", STR_ARG(db_col_str(st, 0)));
    db_reset(st);
    return fake_says(fake_consumer_body(c), id);
}

static void a_repetition_while_the_first_runs_is_409(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *first = fake_consumer_ask(w, &once);
    struct fake_consumer *again = fake_consumer_ask(w, &once);

    assert_int_equal(fake_consumer_status(again), 409);
    assert_true(fake_says(fake_consumer_body(again), "still running"));
    assert_true(names_the_first(w, again));
    assert_int_equal(p->n_jobs, 1);
    assert_int_equal(holds_ever(w), 1);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(fake_consumer_done(first));
}

static void a_repetition_after_the_first_ended_is_409(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *again;

    fake_consumer_ask(w, &once);
    fake_provider_serve(p, 0, PROMPT, 40);
    again = fake_consumer_ask(w, &once);
    assert_int_equal(fake_consumer_status(again), 409);
    assert_true(fake_says(fake_consumer_body(again), "has ended"));
    assert_true(fake_says(fake_consumer_body(again), "\"param\":\"Idempotency-Key\""));
    assert_true(names_the_first(w, again));
    assert_int_equal(p->n_jobs, 1);
}

static void the_same_key_with_another_body_is_422(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *other;

    fake_consumer_ask(w, &once);
    other = fake_consumer_ask(w, &(struct fake_ask){.body = FAKE_WHOLE, .headers = once.headers});
    assert_int_equal(fake_consumer_status(other), 422);
    assert_true(fake_says(fake_consumer_body(other), "\"code\":\"idempotency_key_reused\""));
    assert_true(names_the_first(w, other));
    assert_int_equal(p->n_jobs, 1);
}

static void idempotency_keys_of_two_accounts_do_not_meet(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    char key[KEY_TEXT_BYTES];

    fake_world_make_key(w, "bob", FAKE_CREDIT, key);
    fake_consumer_ask(w, &once);
    fake_consumer_ask(w, &(struct fake_ask){.key = key, .headers = once.headers});
    assert_int_equal(p->n_jobs, 2);
}

static void a_refused_request_does_not_use_up_its_key(void **state)
{
    struct fake_world *w = *state;
    char key[KEY_TEXT_BYTES], more[KEY_TEXT_BYTES];
    const struct fake_ask ask = {.key = key, .headers = once.headers};

    fake_world_make_key(w, "poor", 1, key);
    assert_int_equal(fake_consumer_status(fake_consumer_ask(w, &ask)), 402);
    fake_world_make_key(w, "poor", FAKE_CREDIT, more);
    fake_consumer_ask(w, &ask);
    assert_int_equal(holds_ever(w), 1);
}

/* R14: nothing was delivered, nothing charged, so the consumer may try again under its key. */
static void a_request_that_failed_gives_its_key_back(void **state)
{
    struct fake_world *w = *state;
    const struct fake_ask whole = {.body = FAKE_WHOLE, .headers = once.headers};
    struct fake_consumer *failed = fake_consumer_ask(w, &whole);
    struct fake_provider *p;

    fake_world_advance_ms(w, 40000);
    assert_in_range(fake_consumer_status(failed), 429, 503);
    p = fake_provider_join(w, &plain);
    fake_consumer_ask(w, &whole);
    assert_int_equal(p->n_jobs, 1);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_int_equal(fake_consumer_status(fake_consumer_ask(w, &whole)), 409);
    assert_int_equal(holds_ever(w), 2);
}

static void an_idempotency_key_has_1_to_255_bytes(void **state)
{
    struct fake_world *w = *state;
    static const struct {
        int bytes, status;
    } cases[] = {{1, 0}, {255, 0}, {256, 400}};

    for (size_t i = 0; i < 3; i++) {
        char header[300];
        struct fake_consumer *c;

        snprintf(header, sizeof header, "Idempotency-Key: %0*d\r\n", cases[i].bytes, 7);
        c = fake_consumer_ask(w, &(struct fake_ask){.headers = header});
        assert_int_equal(fake_consumer_status(c), cases[i].status); /* 0: it waits for a slot */
    }
    assert_int_equal(holds_ever(w), 2);
}

/* --- failures --- */

static void break_store(struct fake_world *w)
{
    fake_world_tamper(w, "ALTER TABLE holds RENAME TO holds_away");
}

static void mend_store(struct fake_world *w)
{
    fake_world_tamper(w, "ALTER TABLE holds_away RENAME TO holds");
}

static void assert_store_error(struct fake_consumer *c)
{
    assert_int_equal(fake_consumer_status(c), 503);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"store_unavailable\""));
    assert_true(fake_says(fake_consumer_body(c), "try again"));
    assert_true(str_is(fake_consumer_header(c, "Retry-After"), "1"));
    assert_true(fake_consumer_done(c));
}

static void a_key_that_cannot_be_looked_up_is_503(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    fake_world_tamper(w, "ALTER TABLE api_keys RENAME TO api_keys_away");
    assert_store_error(fake_consumer_stream(w));
    fake_world_tamper(w, "ALTER TABLE api_keys_away RENAME TO api_keys");
    fake_consumer_stream(w);
    assert_int_equal(p->n_jobs, 1);
}

static void a_hold_that_cannot_be_stored_is_503_and_cancels(void **state)
{
    static const char *const headers[] = {NULL, "Idempotency-Key: once\r\n"};
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    break_store(w);
    for (size_t i = 0; i < 2; i++)
        assert_store_error(fake_consumer_ask(w, &(struct fake_ask){.headers = headers[i]}));
    /* The first was dispatched on the account's known balance, the second had to wait. */
    assert_int_equal(p->n_jobs, 1);
    assert_int_equal(p->jobs[0].cancels, 1);
    mend_store(w);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT);
    fake_consumer_stream(w);
    fake_provider_serve(p, 1, PROMPT, 40);
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 80);
}

static void no_text_leaves_when_the_hold_fails(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    fake_world_slow_store(w, 20000);
    c = fake_consumer_stream(w);
    fake_world_advance_ms(w, 20);
    break_store(w);
    fake_provider_serve(p, 0, PROMPT, 40);
    fake_world_advance_ms(w, 20);
    assert_store_error(c);
    assert_false(fake_says(fake_consumer_body(c), "Hello"));
    mend_store(w);
}

static void a_lost_checkpoint_is_made_up_for_by_the_next(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    fake_consumer_stream(w);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 30);
    break_store(w);
    fake_world_advance_ms(w, 250);
    mend_store(w);
    fake_world_advance_ms(w, 250);
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 30);
}

/* A stream of 40 tokens that cannot be settled; 30 of them stand in its last checkpoint. */
static struct fake_consumer *unsettled_stream(struct fake_world *w)
{
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 30);
    fake_world_advance_ms(w, 250);
    break_store(w);
    fake_provider_text(p, 0, " world", 10);
    fake_provider_complete(p, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
    assert_true(fake_world_logged(w, "what=settle"));
    return c;
}

static void a_settlement_that_fails_is_tried_until_the_store_takes_it(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = unsettled_stream(w);

    fake_world_advance_ms(w, 120000);
    mend_store(w);
    assert_true(fake_world_hold(w, 0).open);
    fake_world_advance_ms(w, 16000);
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
    assert_int_equal(fake_world_hold(w, 0).cost,
                     fake_number(fake_consumer_body(c), "cost_micro_usd"));
    fake_world_assert_at_rest(w);
}

static void a_hold_that_expires_first_is_settled_at_its_last_checkpoint(void **state)
{
    struct fake_world *w = *state;

    unsettled_stream(w);
    fake_world_advance_ms(w, 600000 + 60000 + 16000); /* deadline, grace, the last try */
    assert_true(fake_world_logged(w, "what=\"settle given up\""));
    mend_store(w);
    fake_world_advance_ms(w, 10000); /* sweep */
    assert_string_equal(fake_world_hold(w, 0).outcome, "expired");
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 60);
}

#define DAY_US (24 * 3600 * INT64_C(1000000))

/* The coordinator's clock with a wall clock that has jumped. */
struct jumped {
    struct clock real;
    int64_t by_us;
};

static int64_t jumped_mono(void *ud)
{
    return clock_mono_us(&((struct jumped *)ud)->real);
}

static int64_t jumped_wall(void *ud)
{
    const struct jumped *j = ud;

    return clock_wall_us(&j->real) + j->by_us;
}

static void jump(struct fake_world *w, struct jumped *j)
{
    *j = (struct jumped){.real = loop_clock(w->loop)};
    w->coord->clock = w->hub->clock = (struct clock){jumped_mono, jumped_wall, j};
}

/* R10: sweeps went by the wall clock and settled the holds of running requests. */
static void a_jump_of_the_wall_clock_settles_no_running_request(void **state)
{
    static const int64_t jumps[] = {DAY_US, -DAY_US};
    struct fake_world *w = *state;
    struct jumped j;
    struct fake_provider *p = fake_provider_join(w, &plain);

    fake_consumer_stream(w);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 1);
    jump(w, &j);
    for (size_t i = 0; i < 2; i++) {
        j.by_us = jumps[i];
        fake_world_advance_ms(w, 11000); /* a sweep */
        fake_provider_text(p, 0, " again", 1);
        assert_true(fake_world_hold(w, 0).open);
    }
    fake_provider_complete(p, 0, PROMPT, 3);
    fake_world_advance_ms(w, 1000);
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
    w->coord->clock = w->hub->clock = j.real;
}

/* R10: nor does it make the coordinator give up what the store refuses for a moment. */
static void a_jump_of_the_wall_clock_gives_no_settlement_up(void **state)
{
    struct fake_world *w = *state;
    struct jumped j;

    unsettled_stream(w);
    jump(w, &j);
    j.by_us = DAY_US;
    fake_world_advance_ms(w, 1000);
    assert_false(fake_world_logged(w, "what=\"settle given up\""));
    mend_store(w);
    fake_world_advance_ms(w, 16000);
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
    w->coord->clock = w->hub->clock = j.real;
}

static void on_drained(void *ud)
{
    struct fake_world *w = ud;

    w->drained = true;
}

static void a_stopping_coordinator_waits_for_no_store_longer_than_its_grace(void **state)
{
    struct fake_world *w = *state;

    unsettled_stream(w);
    hub_drain(w->hub, 15000, on_drained, w);
    fake_world_advance_ms(w, 14999);
    assert_false(w->drained);
    fake_world_advance_ms(w, 1);
    assert_true(w->drained);
    fake_world_stop(w);
    mend_store(w);
    fake_world_start(w);
    assert_string_equal(fake_world_hold(w, 0).outcome, "recovered");
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 60);
}

static void a_coordinator_that_ends_at_once_leaves_the_settlement_to_the_next(void **state)
{
    struct fake_world *w = *state;

    unsettled_stream(w);
    fake_world_stop(w);
    mend_store(w);
    fake_world_start(w);
    assert_string_equal(fake_world_hold(w, 0).outcome, "recovered");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_repetition_while_the_first_runs_is_409),
        TEST(a_repetition_after_the_first_ended_is_409),
        TEST(the_same_key_with_another_body_is_422),
        TEST(idempotency_keys_of_two_accounts_do_not_meet),
        TEST(a_refused_request_does_not_use_up_its_key),
        TEST(a_request_that_failed_gives_its_key_back),
        TEST(an_idempotency_key_has_1_to_255_bytes),
        TEST(a_key_that_cannot_be_looked_up_is_503),
        TEST(a_hold_that_cannot_be_stored_is_503_and_cancels),
        TEST(no_text_leaves_when_the_hold_fails),
        TEST(a_lost_checkpoint_is_made_up_for_by_the_next),
        TEST(a_settlement_that_fails_is_tried_until_the_store_takes_it),
        TEST(a_hold_that_expires_first_is_settled_at_its_last_checkpoint),
        TEST(a_jump_of_the_wall_clock_settles_no_running_request),
        TEST(a_jump_of_the_wall_clock_gives_no_settlement_up),
        TEST(a_stopping_coordinator_waits_for_no_store_longer_than_its_grace),
        TEST(a_coordinator_that_ends_at_once_leaves_the_settlement_to_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
