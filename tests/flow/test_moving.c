/* SPDX-License-Identifier: Apache-2.0 */
/* Two event loops: requests go to the loop that has the provider, those that wait are fetched by
 * who has a slot, and money and memory do not notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "coordinator/flow/flow.h"
#include "coordinator/registry/provider.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80 };

static const struct fake_provider_config plain = {0};
static const struct fake_provider_config one_slot = {.max_running = 1};

static int up(void **state)
{
    struct fake_world *w = fake_world_new();

    w->n_loops = 2;
    fake_world_start(w);
    fake_world_aim(w, 0);
    *state = w;
    return 0;
}

/* Its socket is on the shard that has fewer; of equals on this one. */
static struct fake_provider *join(struct fake_world *w, unsigned shard,
                                  const struct fake_provider_config *config)
{
    fake_world_aim(w, shard);
    return fake_provider_join(w, config);
}

static struct fake_consumer *stream(struct fake_world *w, unsigned shard)
{
    fake_world_aim(w, shard);
    return fake_consumer_stream(w);
}

static size_t n_requests(const struct fake_world *w, unsigned shard)
{
    return w->hub->shards[shard]->n_requests;
}

static size_t n_providers(const struct fake_world *w, unsigned shard)
{
    return registry_counts(w->hub->shards[shard]->registry).connected;
}

/* --- placement --- */

static void a_request_goes_to_the_loop_that_has_the_provider(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 1, &plain);
    struct fake_consumer *c = stream(w, 0);

    assert_int_equal(n_providers(w, 1), 1);
    assert_int_equal(p->n_jobs, 1);
    assert_int_equal(n_requests(w, 0), 0);
    assert_int_equal(n_requests(w, 1), 1);
    fake_provider_serve(p, 0, PROMPT, 30);
    assert_true(fake_consumer_done(c));
    fake_world_advance_ms(w, 1000);
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
}

/* The connection stays where it went: the next request need not move. */
static void the_next_request_on_the_connection_is_served_where_the_first_was(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 1, &plain);
    struct fake_consumer *c = stream(w, 0);

    fake_provider_serve(p, 0, PROMPT, 30);
    assert_true(fake_consumer_done(c));
    fake_consumer_ask_again(c, &(struct fake_ask){.body = FAKE_WHOLE});
    assert_int_equal(n_requests(w, 1), 1);
    fake_provider_serve(p, 1, PROMPT, 30);
    assert_true(fake_consumer_done(c));
}

/* Nothing of it is held yet, so the hold is made once, where it is served. */
static void a_request_is_placed_before_anything_is_held(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 1, &plain);

    fake_world_slow_store(w, 5000);
    stream(w, 0);
    assert_int_equal(n_requests(w, 0), 0); /* its key is looked up */
    fake_world_advance_ms(w, 5);
    assert_int_equal(n_requests(w, 1), 1);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 0);
    fake_world_advance_ms(w, 5);
    assert_int_equal(p->n_jobs, 1);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 1);
    fake_provider_serve(p, 0, PROMPT, 30);
    fake_world_advance_ms(w, 50);
}

static void with_a_provider_of_its_own_it_stays(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p[2] = {join(w, 0, &plain), join(w, 1, &plain)};
    struct fake_consumer *c = stream(w, 0);

    assert_int_equal(p[0]->n_jobs, 1);
    c = stream(w, 1);
    assert_int_equal(p[1]->n_jobs, 1);
    /* Now both are as busy; when one is busier, the other gets the next. */
    stream(w, 0);
    stream(w, 0);
    assert_int_equal(p[0]->n_jobs, 2);
    assert_int_equal(p[1]->n_jobs, 2);
    (void)c;
}

/* A body as large as many reads, and a socket that takes little at once. */
static void a_large_prompt_and_a_slow_socket_move_as_they_are(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 1, &plain);
    static char body[300000];
    int n =
        snprintf(body, sizeof body,
                 "{\"model\":\"" FAKE_MODEL "\",\"max_tokens\":100,\"stream\":true,\"messages\":[{"
                 "\"role\":\"user\",\"content\":\"%0250000d\"}]}",
                 7);
    struct fake_consumer *c;

    assert_true(n > 250000);
    loop_fake_set_faults(w->loop, (struct loop_fake_faults){.recv_max = 1000, .send_max = 100});
    fake_world_aim(w, 0);
    c = fake_consumer_ask(w, &(struct fake_ask){.body = body});
    assert_int_equal(p->n_jobs, 1);
    fake_provider_serve(p, 0, PROMPT, 30);
    assert_true(fake_consumer_done(c));
}

static void providers_are_spread_over_the_loops_wherever_they_come(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = join(w, 0, &plain);

    for (int i = 0; i < 3; i++)
        join(w, 0, &plain);
    assert_int_equal(n_providers(w, 0), 2);
    assert_int_equal(n_providers(w, 1), 2);
    fake_provider_die(first);
    fake_world_settle(w);
    join(w, 1, &plain);
    assert_int_equal(n_providers(w, 0), 2);
}

static void a_model_of_the_other_loop_is_no_unknown_one(void **state)
{
    static const char body[] = "{\"model\":\"rare\",\"max_tokens\":100," FAKE_MESSAGES "}";
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 1, &(struct fake_provider_config){.model = "rare"});
    struct fake_consumer *c;

    fake_world_aim(w, 0);
    c = fake_consumer_ask(w, &(struct fake_ask){.body = body});
    fake_provider_serve(p, 0, PROMPT, 30);
    assert_int_equal(fake_consumer_status(c), 200);
}

/* --- on the way --- */

/* So many iterations after it is connected. */
static struct fake_consumer *ask_and_take_steps(struct fake_world *w, int steps)
{
    struct fake_consumer *c =
        fake_consumer_ask_unsettled(w, &(struct fake_ask){.body = FAKE_STREAM});

    while (c->sock < 0)
        (void)loop_fake_step(w->loop);
    for (int i = 0; i < steps; i++)
        (void)loop_fake_step(w->loop);
    return c;
}

static void who_hangs_up_on_the_way_leaves_nothing_behind(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 1, &plain);

    /* Cut at every step of the way. */
    for (int steps = 0; steps < 12; steps++) {
        struct fake_consumer *c;

        fake_world_aim(w, 0);
        c = ask_and_take_steps(w, steps);
        fake_consumer_leave(c);
        fake_world_settle(w);
        assert_int_equal(n_requests(w, 0) + n_requests(w, 1), 0);
    }
    fake_world_advance_ms(w, 1000);
    fake_world_assert_at_rest(w);
    assert_non_null(p->ws);
}

static void the_deadline_goes_along(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *p;
    struct fake_consumer *c;

    w->n_loops = 2;
    w->settings.request_deadline_ms = 5000;
    fake_world_start(w);
    p = join(w, 1, &plain);
    c = stream(w, 0);
    fake_provider_accept(p, 0, PROMPT);
    fake_world_advance_ms(w, 5001);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_int_equal(fake_consumer_status(c), 504);
    *state = w;
}

/* --- retries --- */

static void after_a_failure_it_is_tried_on_the_other_loop_with_the_same_hold(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p[2] = {join(w, 0, &plain), join(w, 1, &plain)};
    struct fake_consumer *c = stream(w, 0);

    assert_int_equal(p[0]->n_jobs, 1);
    fake_provider_error(p[0], 0, 500, "it broke");
    assert_int_equal(p[1]->n_jobs, 1);
    fake_provider_serve(p[1], 0, PROMPT, 30);
    assert_true(fake_consumer_done(c));
    fake_world_advance_ms(w, 1000);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 1);
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
    assert_string_equal(fake_world_hold(w, 0).provider_account, fake_provider_account(p[1]));
}

/* The hold is not durable yet: it waits where it is, and goes when it is. */
static void a_retry_waits_for_its_hold_before_it_moves(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p[2] = {join(w, 0, &plain), join(w, 1, &plain)};
    struct fake_consumer *c = stream(w, 0); /* the key and its balance are known afterwards */

    fake_provider_serve(p[0], 0, PROMPT, 30);
    assert_true(fake_consumer_done(c));
    fake_world_advance_ms(w, 1000);
    fake_world_slow_store(w, 50000);
    c = stream(w, 1);
    fake_world_advance_ms(w, 55); /* this loop had to ask for the key */
    assert_int_equal(p[1]->n_jobs, 1);
    fake_provider_error(p[1], 0, 500, "it broke");
    assert_int_equal(p[0]->n_jobs, 1);
    fake_world_advance_ms(w, 60);
    assert_int_equal(p[0]->n_jobs, 2);
    fake_provider_serve(p[0], 1, PROMPT, 30);
    fake_world_advance_ms(w, 200);
    assert_true(fake_consumer_done(c));
}

static void when_all_have_failed_it_ends_wherever_it_is(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p[2] = {join(w, 0, &plain), join(w, 1, &plain)};
    struct fake_consumer *c = stream(w, 0);

    fake_provider_error(p[0], 0, 500, "it broke");
    fake_provider_error(p[1], 0, 500, "it broke too");
    assert_int_equal(fake_consumer_status(c), 502);
    fake_world_advance_ms(w, 1000);
    assert_int_equal(fake_world_hold(w, 0).cost, 0);
}

/* --- waiting --- */

static void who_waits_on_one_loop_is_fetched_by_the_one_that_gets_a_slot(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = stream(w, 0); /* nobody is there at all */
    struct fake_provider *p;

    assert_int_equal(n_requests(w, 0), 1);
    p = join(w, 1, &plain);
    assert_int_equal(n_requests(w, 1), 1);
    assert_int_equal(p->n_jobs, 1);
    fake_provider_serve(p, 0, PROMPT, 30);
    assert_true(fake_consumer_done(c));
}

static void all_who_wait_get_their_turn_as_slots_become_free(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p[2];
    struct fake_consumer *c[8];

    for (int i = 0; i < 8; i++)
        c[i] = stream(w, (unsigned)i % 2);
    p[0] = join(w, 0, &one_slot);
    p[1] = join(w, 1, &one_slot);
    for (int served = 0; served < 8;) {
        int before = served;

        for (int k = 0; k < 2; k++) {
            while ((size_t)served < 8 && p[k]->n_jobs > p[k]->n_served) {
                fake_provider_serve(p[k], p[k]->n_served++, PROMPT, 30);
                served++;
            }
        }
        assert_true(served > before);
    }
    for (int i = 0; i < 8; i++)
        assert_true(fake_consumer_done(c[i]));
    assert_int_equal(p[0]->n_jobs + p[1]->n_jobs, 8);
}

/* All wait on one loop, all slots become free on the other. */
static void a_loop_with_many_slots_fetches_as_many_as_it_can_serve(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p;

    for (int i = 0; i < 6; i++)
        stream(w, 0);
    assert_int_equal(n_requests(w, 0), 6);
    p = join(w, 1, &(struct fake_provider_config){.max_running = 4});
    assert_int_equal(p->n_jobs, 4);
    assert_int_equal(n_requests(w, 0), 2);
}

static void who_waits_in_vain_is_told_in_time_wherever_it_waits(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 1, &one_slot);
    struct fake_consumer *c[2];

    stream(w, 0);
    fake_provider_accept(p, 0, PROMPT);
    for (unsigned i = 0; i < 2; i++) {
        fake_world_aim(w, i);
        c[i] = fake_consumer_whole(w);
    }
    assert_int_equal(p->n_jobs, 1);
    fake_world_advance_ms(w, 30001);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fake_consumer_status(c[i]), 429);
        assert_true(fake_consumer_header(c[i], "Retry-After").n > 0);
    }
}

/* --- one key on both --- */

static void a_key_that_connects_to_the_other_loop_replaces_the_older_connection(void **state)
{
    static const struct fake_provider_config same = {.key = "same"};
    struct fake_world *w = *state;
    struct fake_provider *older = join(w, 0, &same), *newer;
    struct fake_consumer *c = stream(w, 0);

    assert_int_equal(older->n_jobs, 1);
    fake_provider_accept(older, 0, PROMPT);
    newer = join(w, 0, &same);
    assert_null(older->ws);
    assert_int_equal(n_providers(w, 0), 0);
    assert_int_equal(n_providers(w, 1), 1);
    assert_int_equal(newer->n_jobs, 1); /* what ran there found its way */
    fake_provider_serve(newer, 0, PROMPT, 30);
    assert_true(fake_consumer_done(c));
    fake_world_advance_ms(w, 1000);
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
}

/* --- the end --- */

static void the_coordinator_may_stop_while_requests_move(void **state)
{
    struct fake_world *w = *state;

    for (int steps = 0; steps < 12; steps++) {
        struct fake_consumer *c;

        join(w, 1, &plain);
        fake_world_aim(w, 0);
        c = ask_and_take_steps(w, steps);
        fake_world_stop(w);
        fake_consumer_leave(c);
        fake_world_start(w);
    }
    fake_world_assert_at_rest(w);
}

static void money_is_balanced_after_a_crowd_has_moved_about(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p[4];
    struct fake_consumer *c[60];
    size_t done = 0;

    for (unsigned i = 0; i < 4; i++)
        p[i] = join(w, i % 2, &(struct fake_provider_config){.max_running = 3});
    for (unsigned i = 0; i < 60; i++) {
        c[i] = stream(w, (i / 7) % 2);
        if (i % 5 == 4)
            fake_consumer_leave(c[i - 2]);
        for (unsigned k = 0; k < 4; k++) {
            if (p[k]->n_jobs <= p[k]->n_served)
                continue;
            if ((i + k) % 9 == 0)
                fake_provider_error(p[k], p[k]->n_served++, 500, "now and then");
            else
                fake_provider_serve(p[k], p[k]->n_served++, PROMPT, 30);
        }
    }
    for (int round = 0; round < 200; round++) {
        for (unsigned k = 0; k < 4; k++) {
            if (p[k]->n_jobs > p[k]->n_served)
                fake_provider_serve(p[k], p[k]->n_served++, PROMPT, 30);
        }
        fake_world_advance_ms(w, 50);
    }
    for (unsigned i = 0; i < 60; i++)
        done += fake_consumer_done(c[i]);
    assert_true(done > 40);
    fake_world_advance_ms(w, 31000);
    fake_world_assert_at_rest(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_goes_to_the_loop_that_has_the_provider),
        TEST(the_next_request_on_the_connection_is_served_where_the_first_was),
        TEST(a_request_is_placed_before_anything_is_held),
        TEST(with_a_provider_of_its_own_it_stays),
        TEST(a_large_prompt_and_a_slow_socket_move_as_they_are),
        TEST(providers_are_spread_over_the_loops_wherever_they_come),
        TEST(a_model_of_the_other_loop_is_no_unknown_one),
        TEST(who_hangs_up_on_the_way_leaves_nothing_behind),
        cmocka_unit_test_teardown(the_deadline_goes_along, fake_world_down),
        TEST(after_a_failure_it_is_tried_on_the_other_loop_with_the_same_hold),
        TEST(a_retry_waits_for_its_hold_before_it_moves),
        TEST(when_all_have_failed_it_ends_wherever_it_is),
        TEST(who_waits_on_one_loop_is_fetched_by_the_one_that_gets_a_slot),
        TEST(all_who_wait_get_their_turn_as_slots_become_free),
        TEST(a_loop_with_many_slots_fetches_as_many_as_it_can_serve),
        TEST(who_waits_in_vain_is_told_in_time_wherever_it_waits),
        TEST(a_key_that_connects_to_the_other_loop_replaces_the_older_connection),
        TEST(the_coordinator_may_stop_while_requests_move),
        TEST(money_is_balanced_after_a_crowd_has_moved_about),
    };

    return cmocka_run_group_tests_name("requests between loops", tests, NULL, NULL);
}
