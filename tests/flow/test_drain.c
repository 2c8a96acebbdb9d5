/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator that was told to stop (FR-35, FR-49): what runs goes on, who comes is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, DRAIN_MS = 600000 };

static const struct fake_provider_config plain = {0};

static void on_drained(void *ud)
{
    struct fake_world *w = ud;

    w->drained = true;
}

static struct fake_consumer *drain_beside_a_stream(struct fake_world *w)
{
    struct fake_consumer *c = fake_consumer_stream(w);

    hub_drain(w->hub, DRAIN_MS, on_drained, w);
    fake_world_settle(w);
    assert_false(w->drained);
    return c;
}

static void who_comes_while_it_drains_is_told_to_come_again(void **state)
{
    static const struct {
        const char *target, *body;
        int status;
    } cases[] = {
        {"POST /v1/chat/completions", FAKE_WHOLE, 503},
        {"GET /ws/provider", "", 503},
        {"GET /ready", "", 503},
        {"GET /health", "", 200},
        {"GET /v1/models", "", 200},
    };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *stream = drain_beside_a_stream(w);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_consumer *c = fake_consumer_ask(
            w, &(struct fake_ask){.target = cases[i].target, .body = cases[i].body});

        if (fake_consumer_status(c) != cases[i].status)
            fail_msg("%s: %d", cases[i].target, fake_consumer_status(c));
        assert_true(c->ended); /* nobody stays */
        if (i < 2)
            assert_true(fake_consumer_header(c, "Retry-After").n > 0);
    }
    assert_int_equal(p->n_jobs, 1);
    fake_provider_serve(p, 0, PROMPT, 30);
    assert_true(fake_consumer_done(stream));
    assert_true(w->drained);
}

static void an_answer_may_take_minutes_to_its_end(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = drain_beside_a_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    for (int i = 0; i < 30; i++) {
        fake_provider_text(p, 0, "x", 1);
        fake_world_advance_ms(w, 10000);
    }
    assert_false(w->drained);
    fake_provider_finish(p, 0);
    fake_provider_complete(p, 0, PROMPT, 30);
    fake_world_settle(w);
    assert_true(fake_consumer_done(c));
    fake_world_advance_ms(w, 100);
    assert_true(w->drained);
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
}

static void a_connection_between_two_requests_is_closed(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *idle =
        fake_consumer_ask(w, &(struct fake_ask){.target = "GET /health", .body = ""});

    assert_false(idle->ended);
    fake_provider_join(w, &plain);
    fake_consumer_leave(drain_beside_a_stream(w));
    assert_true(idle->ended);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_comes_while_it_drains_is_told_to_come_again),
        TEST(an_answer_may_take_minutes_to_its_end),
        TEST(a_connection_between_two_requests_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
