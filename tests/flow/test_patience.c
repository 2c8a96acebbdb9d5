/* SPDX-License-Identifier: Apache-2.0 */
/* How long things may take, with the product's own limits: each counted from progress, all of them
 * inside the consumer's patience, which counts from the receipt of its request (FR-23, FR-40). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80 };

static struct fake_world *product_world(void)
{
    struct fake_world *w = fake_world_new_with_defaults();

    fake_world_start(w);
    return w;
}

static struct fake_provider *join(struct fake_world *w, double cpu_usage)
{
    return fake_provider_join(w, &(struct fake_provider_config){.cpu_usage = cpu_usage});
}

/* R3: it held the request for ten minutes and no other was tried. */
static void one_that_accepts_and_says_nothing_is_left_for_another_within_ten_seconds(void **state)
{
    struct fake_world *w = product_world();
    struct fake_provider *silent = join(w, 0), *other = join(w, 0.5);
    struct fake_consumer *c = fake_consumer_stream(w);

    (void)state;
    fake_provider_accept(silent, 0, 20);
    fake_world_advance_ms(w, 5000);
    assert_int_equal(other->n_jobs, 0);
    fake_world_advance_ms(w, 1000);
    assert_int_equal(other->n_jobs, 1);
    assert_int_equal(silent->jobs[0].cancels, 1);
    fake_provider_serve(other, 0, PROMPT, 5);
    assert_string_equal(fake_consumer_text(c), "Hello world");
    fake_world_down((void **)&w);
}

/* A slow machine is better than none: it is not left while nobody else is free. */
static void alone_it_is_waited_for_and_then_refused_before_patience_ends(void **state)
{
    struct fake_world *w = product_world();
    struct fake_provider *slow = join(w, 0);
    struct fake_consumer *c = fake_consumer_whole(w);

    (void)state;
    fake_provider_accept(slow, 0, 20);
    fake_world_advance_ms(w, 8000);
    assert_int_equal(slow->jobs[0].cancels, 0);
    fake_world_advance_ms(w, 2000);
    assert_int_equal(fake_consumer_status(c), 504);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT);
    fake_world_down((void **)&w);
}

static void a_long_prompt_earns_more_time(void **state)
{
    struct fake_world *w = product_world();
    struct fake_provider *slow = join(w, 0);
    struct fake_consumer *c = fake_consumer_whole(w);

    (void)state;
    fake_provider_accept(slow, 0,
                         1000000); /* as many as were held at most: FAKE_CONTEXT bounds it */
    fake_world_advance_ms(w, 9100);
    assert_int_equal(fake_consumer_status(c), 0);
    fake_provider_serve(slow, 0, PROMPT, 5);
    assert_int_equal(fake_consumer_status(c), 200);
    fake_world_down((void **)&w);
}

/* R3: it held stream, slot and money for ten minutes. */
static void one_that_stops_after_a_chunk_ends_the_stream_with_what_was_delivered(void **state)
{
    struct fake_world *w = product_world();
    struct fake_provider *p = join(w, 0);
    struct fake_consumer *c = fake_consumer_stream(w);

    (void)state;
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hel", 30);
    fake_world_advance_ms(w, 9000);
    fake_provider_text(p, 0, "lo", 20); /* progress: the limit counts anew */
    fake_world_advance_ms(w, 9000);
    assert_false(fake_consumer_done(c));
    fake_world_advance_ms(w, 1001);
    assert_true(fake_consumer_done(c));
    assert_true(fake_says(fake_consumer_event(c, 3), "\"code\":\"timeout\""));
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_string_equal(fake_world_hold(w, 0).outcome, "provider_failed");
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 50);
    fake_world_down((void **)&w);
}

/* A refusal that comes before the head is worth more than a head: 429, not 200 and an error. */
static void want_of_capacity_is_told_before_any_head(void **state)
{
    struct fake_world *w = product_world();
    struct fake_consumer *c = fake_consumer_stream(w);

    (void)state;
    fake_world_advance_ms(w, 8000);
    assert_int_equal(fake_consumer_status(c), 429);
    fake_world_down((void **)&w);
}

static void a_stream_at_a_slow_provider_gets_a_sign_of_life_before_nine_seconds(void **state)
{
    struct fake_world *w = product_world();
    struct fake_provider *slow = join(w, 0);
    struct fake_consumer *c = fake_consumer_stream(w);

    (void)state;
    fake_provider_accept(slow, 0, 20);
    fake_world_advance_ms(w, 8900);
    assert_int_equal(fake_consumer_status(c), 200);
    assert_true(str_starts(fake_consumer_body(c), STR(": ")));
    fake_world_down((void **)&w);
}

/* FR-40: an aggregator that hangs up after four seconds says so. */
static void an_account_may_set_limits_of_its_own(void **state)
{
    struct fake_world *w = product_world();
    struct fake_provider *p = join(w, 0);
    struct fake_consumer *c;

    (void)state;
    fake_world_tamper(
        w, "INSERT INTO account_settings (account, first_content_ms, request_deadline_ms)"
           " SELECT id, 4000, 20000 FROM accounts WHERE name = 'alice'");
    c = fake_consumer_whole(w);
    fake_provider_accept(p, 0, 20);
    fake_world_advance_ms(w, 4500);
    assert_int_equal(fake_consumer_status(c), 504);
    c = fake_consumer_stream(w);
    fake_provider_accept(p, 1, 20);
    fake_provider_text(p, 1, "Hello", 5);
    for (int i = 0; i < 4; i++) {
        fake_world_advance_ms(w, 5000);
        fake_provider_text(p, 1, ".", 1);
    }
    assert_true(fake_says(fake_consumer_body(c), "its deadline of 20000 ms"));
    fake_world_down((void **)&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_accepts_and_says_nothing_is_left_for_another_within_ten_seconds),
        cmocka_unit_test(alone_it_is_waited_for_and_then_refused_before_patience_ends),
        cmocka_unit_test(a_long_prompt_earns_more_time),
        cmocka_unit_test(one_that_stops_after_a_chunk_ends_the_stream_with_what_was_delivered),
        cmocka_unit_test(want_of_capacity_is_told_before_any_head),
        cmocka_unit_test(a_stream_at_a_slow_provider_gets_a_sign_of_life_before_nine_seconds),
        cmocka_unit_test(an_account_may_set_limits_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
