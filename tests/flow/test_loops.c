/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator on two event loops: what it shows is of both, what it is told both do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "coordinator/api/monitor.h"
#include "coordinator/metrics.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, DRAIN_MS = 600000 };

static const struct fake_provider_config plain = {0};

static int up(void **state)
{
    struct fake_world *w = fake_world_new();

    w->n_loops = 2;
    w->settings.metrics_listen = STR("127.0.0.1:0");
    fake_world_start(w);
    fake_world_aim(w, 0);
    *state = w;
    return 0;
}

static struct fake_provider *join(struct fake_world *w, unsigned shard)
{
    fake_world_aim(w, shard);
    return fake_provider_join(w, &plain);
}

static struct fake_consumer *stream(struct fake_world *w, unsigned shard)
{
    fake_world_aim(w, shard);
    return fake_consumer_stream(w);
}

static struct fake_consumer *get(struct fake_world *w, const char *target, uint16_t port)
{
    return fake_consumer_ask(
        w, &(struct fake_ask){.target = target, .body = "", .key = port ? "" : NULL, .port = port});
}

static void assert_says(struct fake_consumer *c, const char *text)
{
    assert_int_equal(fake_consumer_status(c), 200);
    if (!fake_says(fake_consumer_body(c), text))
        fail_msg("%s is not in\n%.*s", text, STR_ARG(fake_consumer_body(c)));
}

static void both_serve_who_is_connected_to_them(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p[2];

    for (unsigned i = 0; i < 2; i++)
        p[i] = join(w, i);
    for (unsigned i = 0; i < 2; i++) {
        struct fake_consumer *c = stream(w, i);

        assert_int_equal(p[i]->n_jobs, 1);
        fake_provider_serve(p[i], 0, PROMPT, 30);
        assert_true(fake_consumer_done(c));
        assert_int_equal(w->hub->shards[i]->ticks, w->hub->shards[0]->ticks);
    }
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 2);
}

static void what_is_shown_is_of_both(void **state)
{
    struct fake_world *w = *state;
    uint16_t port = monitor_port(w->coord->monitor);

    for (unsigned i = 0; i < 2; i++) {
        struct fake_provider *p = join(w, i);
        struct fake_consumer *c = stream(w, i);

        fake_provider_serve(p, 0, PROMPT, 30);
        assert_true(fake_consumer_done(c));
    }
    stream(w, 1);
    assert_says(get(w, "GET /metrics", port), "\ndarkbloom_providers_connected 2\n");
    assert_says(get(w, "GET /metrics", port),
                "\ndarkbloom_requests_total{outcome=\"completed\",model=\"" FAKE_MODEL
                "\",model_type=\"chat\"} 2\n");
    assert_says(get(w, "GET /metrics", port),
                "\ndarkbloom_requests_running{model=\"" FAKE_MODEL "\",model_type=\"chat\"} 1\n");
    assert_says(get(w, "GET /metrics", port), "\ndarkbloom_ready 1\n");
    for (unsigned i = 0; i < 2; i++) {
        fake_world_aim(w, i);
        assert_says(get(w, "GET /health", 0), "\"providers\":2");
        assert_says(get(w, "GET /v1/models", 0), "\"provider_count\":2,\"attested_providers\":2,");
    }
}

static void an_asker_who_leaves_while_the_question_goes_round_harms_nobody(void **state)
{
    struct fake_world *w = *state;

    join(w, 1);
    for (int i = 0; i < 20; i++) {
        struct fake_consumer *c;

        fake_world_aim(w, 0);
        c = fake_consumer_ask(
            w, &(struct fake_ask){.target = "GET /v1/models", .body = "", .deaf = true});
        fake_consumer_leave(c);
    }
    fake_world_settle(w);
}

static void on_taken(void *ud, int rc)
{
    assert_int_equal(rc, 0);
    ++*(int *)ud;
}

static void new_settings_are_taken_by_both(void **state)
{
    struct fake_world *w = *state;
    struct settings changed = w->settings;
    int taken = 0;

    changed.min_trust = TRUST_HARDWARE;
    hub_take_settings(w->hub, &changed, on_taken, &taken);
    assert_int_equal(taken, 0); /* not before the other has them */
    fake_world_settle(w);
    assert_int_equal(taken, 1);
    for (unsigned i = 0; i < 2; i++)
        assert_ptr_equal(w->hub->shards[i]->settings, &changed);
    hub_take_settings(w->hub, &w->settings, on_taken, &taken);
    fake_world_settle(w);
    assert_int_equal(taken, 2);
}

static void on_drained(void *ud)
{
    ((struct fake_world *)ud)->drained = true;
}

static void it_is_drained_when_the_last_request_of_any_loop_has_ended(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p[2];
    struct fake_consumer *c[2];

    for (unsigned i = 0; i < 2; i++)
        p[i] = join(w, i);
    for (unsigned i = 0; i < 2; i++)
        c[i] = stream(w, i);
    hub_drain(w->hub, DRAIN_MS, on_drained, w);
    fake_world_settle(w);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(fake_consumer_status(stream(w, i)), 503);
    fake_provider_serve(p[0], 0, PROMPT, 30);
    fake_world_advance_ms(w, 100);
    assert_true(fake_consumer_done(c[0]));
    assert_false(w->drained);
    assert_non_null(p[0]->ws);
    fake_provider_serve(p[1], 0, PROMPT, 30);
    fake_world_advance_ms(w, 100);
    assert_true(fake_consumer_done(c[1]));
    assert_true(w->drained);
    for (unsigned i = 0; i < 2; i++)
        assert_null(p[i]->ws); /* told that it is on purpose */
}

static void what_runs_on_any_loop_is_cut_when_the_time_is_over(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 1);
    struct fake_consumer *c = stream(w, 1);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 1);
    hub_drain(w->hub, 5000, on_drained, w);
    fake_world_advance_ms(w, 5100);
    assert_true(w->drained);
    assert_true(c->ended);
    assert_string_equal(fake_world_hold(w, 0).outcome, "stopped");
}

static void with_nothing_to_do_it_is_drained_at_once(void **state)
{
    struct fake_world *w = *state;

    hub_drain(w->hub, DRAIN_MS, on_drained, w);
    fake_world_settle(w);
    assert_true(w->drained);
}

/* A socket that says little and stays. */
static struct fake_consumer *linger(struct fake_world *w, unsigned shard)
{
    fake_world_aim(w, shard);
    return fake_consumer_ask(w, &(struct fake_ask){.raw = STR("GET /hea")});
}

static void connections_of_all_loops_are_counted_together(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_consumer *first;

    w->n_loops = 2;
    w->settings.max_connections = 5;
    fake_world_start(w);
    first = linger(w, 0);
    for (unsigned i = 1; i < 5; i++)
        linger(w, i % 2);
    for (unsigned i = 0; i < 2; i++) {
        fake_world_aim(w, i);
        assert_int_equal(fake_consumer_status(get(w, "GET /health", 0)), 503);
    }
    fake_consumer_leave(first);
    fake_world_advance_ms(w, 10000); /* also those that were refused have gone */
    fake_world_aim(w, 1);
    assert_int_equal(fake_consumer_status(get(w, "GET /health", 0)), 200);
    *state = w;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_serve_who_is_connected_to_them),
        TEST(what_is_shown_is_of_both),
        TEST(an_asker_who_leaves_while_the_question_goes_round_harms_nobody),
        TEST(new_settings_are_taken_by_both),
        TEST(it_is_drained_when_the_last_request_of_any_loop_has_ended),
        TEST(what_runs_on_any_loop_is_cut_when_the_time_is_over),
        TEST(with_nothing_to_do_it_is_drained_at_once),
        cmocka_unit_test_teardown(connections_of_all_loops_are_counted_together, fake_world_down),
    };

    return cmocka_run_group_tests_name("two loops", tests, NULL, NULL);
}
