/* SPDX-License-Identifier: Apache-2.0 */
/* A provider answers with nothing, or has no room: neither costs the consumer anything, and only
 * the first counts against the provider. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, COMPLETION = 50, COST = 180 };

/* The busier its machine, the later a provider is asked. */
static struct fake_provider *join(struct fake_world *w, double cpu_usage)
{
    return fake_provider_join(w, &(struct fake_provider_config){.cpu_usage = cpu_usage});
}

static struct fake_world *new_world(void)
{
    void *world;

    assert_int_equal(fake_world_up(&world), 0);
    return world;
}

static void assert_served_by(struct fake_world *w, struct fake_provider *p, struct fake_consumer *c)
{
    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    assert_int_equal(fake_consumer_status(c), 200);
    assert_string_equal(fake_consumer_text(c), "Hello world");
    fake_world_assert_at_rest(w);
    assert_int_equal(fake_world_hold(w, 0).cost, COST);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT - COST);
}

static void assert_released(struct fake_world *w)
{
    fake_world_assert_at_rest(w);
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
    assert_int_equal(fake_world_hold(w, 0).cost, 0);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT);
}

/* --- nothing delivered (R2) --- */

static void finishes_with_nothing(struct fake_provider *p)
{
    fake_provider_complete(p, 0, 100000000, 100000000);
}

static void finishes_with_a_role(struct fake_provider *p)
{
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_role(p, 0);
    fake_provider_complete(p, 0, 100000000, 100000000);
}

static void finishes_with_a_finish(struct fake_provider *p)
{
    fake_provider_role(p, 0);
    fake_provider_finish(p, 0);
    fake_provider_complete(p, 0, 100000000, 100000000);
}

/* R2: 200 with nothing in it, and the whole prompt ceiling charged. */
static void an_answer_without_content_is_tried_elsewhere_and_free(void **state)
{
    static void (*const happen[])(struct fake_provider * p) = {
        finishes_with_nothing, finishes_with_a_role, finishes_with_a_finish};
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        struct fake_world *w = new_world();
        struct fake_provider *first = join(w, 0), *second = join(w, 0.5);
        struct fake_consumer *c = fake_consumer_stream(w);

        happen[i](first);
        assert_served_by(w, second, c);
        assert_int_equal(fake_world_balance(w, fake_provider_account(first)), 0);
        fake_world_down((void **)&w);
    }
}

static void with_nobody_else_it_is_an_error_and_free(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *only = join(w, 0);
    struct fake_consumer *c = fake_consumer_stream(w);

    finishes_with_nothing(only);
    assert_int_equal(fake_consumer_status(c), 502);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"provider_error\""));
    assert_released(w);
}

/* --- want of capacity (R4) --- */

/* R4: 502 without Retry-After. */
static void when_all_refuse_for_load_it_is_429_with_when_to_come_back(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = join(w, 0), *second = join(w, 0.5);
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_provider_error(first, 0, 503, "no capacity");
    fake_provider_error(second, 0, 429, "busy");
    fake_world_advance_ms(w, w->settings.queue_wait_ms);
    assert_int_equal(fake_consumer_status(c), 429);
    assert_true(fake_consumer_header(c, "Retry-After").n > 0);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"model_not_available\""));
    assert_released(w);
}

/* FR-11: it waits while its own deadline allows, and is served once there is room. */
static void who_was_refused_for_load_waits_for_fresh_words(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 0);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_error(p, 0, 503, "no capacity");
    assert_int_equal(p->n_jobs, 1); /* believed full */
    fake_world_advance_ms(w, 1000);
    assert_int_equal(p->n_jobs, 1);
    fake_provider_heartbeat(p);
    fake_world_settle(w);
    assert_int_equal(p->n_jobs, 2);
    fake_provider_serve(p, 1, PROMPT, COMPLETION);
    assert_string_equal(fake_consumer_text(c), "Hello world");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_without_content_is_tried_elsewhere_and_free),
        TEST(with_nobody_else_it_is_an_error_and_free),
        TEST(when_all_refuse_for_load_it_is_429_with_when_to_come_back),
        TEST(who_was_refused_for_load_waits_for_fresh_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
