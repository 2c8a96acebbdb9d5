/* SPDX-License-Identifier: Apache-2.0 */
/* What things cost in a fleet of twenty thousand, counted, not timed: a decision looks at a bounded
 * number of offers, a heartbeat that says nothing new moves nothing (FR-8, FR-9). How long they
 * take at 10,000 and 100,000 is measured by `make bench`, section routing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/coordinator/fake_fleet.h"

#define S INT64_C(1000000)

enum { FLEET = 20000, LOOKED_MAX = 150 };

static const struct attempt_result served = {.end = ATTEMPT_SERVED};

static void fill(struct fake_fleet *f, size_t n, int64_t context_length)
{
    for (size_t i = 0; i < n; i++)
        (void)fake_fleet_add_with(f, &(struct fake_member){.trust = TRUST_SELF_SIGNED,
                                                           .n_models = 1,
                                                           .slots = 1,
                                                           .context_length = context_length});
}

static size_t looked(const struct fake_fleet *f, const struct route_ask *ask)
{
    struct route_found found;

    route_search(f->models[0], ask, &found);
    return found.looked;
}

static void a_decision_looks_at_as_many_offers_among_20000_as_among_20(void **state)
{
    struct fake_fleet *f = *state;
    const struct route_ask any = {.min_trust = TRUST_NONE};
    uint64_t exclude[3];
    size_t of_few;

    fill(f, 20, 0);
    of_few = looked(f, &any);
    fill(f, FLEET - 20, 0);
    assert_int_equal(looked(f, &any), of_few);
    for (int i = 0; i < 3; i++)
        exclude[i] = f->providers[i]->serial;
    assert_in_range(looked(f, &(struct route_ask){.exclude = exclude, .n_exclude = 3}), 1,
                    of_few + 3);
}

/* 30 % fail: 500 attempts a second are tried again elsewhere, and nobody is walked by (FR-9). */
static void a_storm_of_failures_looks_at_a_bounded_number_of_offers_each(void **state)
{
    struct fake_fleet *f = *state;
    size_t most = 0;

    fill(f, 2000, 0);
    for (int i = 0; i < 5000; i++) {
        uint64_t tried[3];
        struct route_ask ask = {.exclude = tried};

        for (; ask.n_exclude < 3; ask.n_exclude++) {
            struct offer *o = registry_choose(f->models[0], &ask);
            size_t n = looked(f, &ask);

            assert_non_null(o);
            most = n > most ? n : most;
            tried[ask.n_exclude] = o->provider->serial;
            if (i % 10 >= 3) {
                fake_fleet_end(o->provider, ATTEMPT_SERVED);
                break;
            }
            fake_fleet_end(o->provider, ATTEMPT_FAULT);
            (void)registry_may_serve(f->models[0], &ask);
        }
        loop_fake_advance(f->loop, S / 500);
    }
    assert_in_range(most, 1, 20);
    fake_fleet_check(f);
}

/* One in 2,000 has the context: it is found, whatever it costs, and not by walking. */
static void what_only_few_have_room_for_is_found_without_walking_the_fleet(void **state)
{
    struct fake_fleet *f = *state;
    const struct route_ask ask = {.tokens = 100000};

    fill(f, FLEET - 10, 8192);
    assert_int_equal(looked(f, &ask), 0);
    assert_null(registry_choose(f->models[0], &ask));
    fill(f, 10, 131072);
    for (size_t i = FLEET - 10; i < FLEET; i++) {
        f->providers[i]->load.pressure_ms = 50000;
        offers_update(f->providers[i]);
    }
    assert_in_range(looked(f, &ask), 1, LOOKED_MAX);
    assert_int_equal(registry_choose(f->models[0], &ask)->context_length, 131072);
}

static void a_heartbeat_that_says_nothing_new_moves_nothing(void **state)
{
    struct fake_fleet *f = *state;
    struct registry_work before, after;

    fill(f, FLEET, 0);
    for (size_t i = 0; i < FLEET; i++)
        fake_fleet_heartbeat(f->providers[i]); /* the first one tells of the memory */
    before = registry_work(f->reg);
    for (int round = 0; round < 5; round++) {
        loop_fake_advance(f->loop, 5 * S);
        for (size_t i = 0; i < FLEET; i++)
            fake_fleet_heartbeat(f->providers[i]);
    }
    after = registry_work(f->reg);
    assert_int_equal(after.index_moves, before.index_moves);
    assert_int_equal(after.idle_heartbeats - before.idle_heartbeats, 5 * FLEET);
    loop_fake_advance(f->loop, 60 * S); /* what fades is looked at again; it has not moved */
    for (size_t i = 0; i < FLEET; i++)
        fake_fleet_heartbeat(f->providers[i]);
    after = registry_work(f->reg);
    assert_int_equal(after.index_moves, before.index_moves);
    assert_int_equal(after.idle_heartbeats - before.idle_heartbeats, 5 * FLEET);
}

static void a_request_moves_its_own_provider_and_no_other(void **state)
{
    struct fake_fleet *f = *state;
    struct registry_work before, after;
    struct attempt a;

    fill(f, FLEET, 0);
    before = registry_work(f->reg);
    fake_fleet_take(f->providers[77], 0, "a", &a, NULL);
    registry_detach(&a, &served, false);
    after = registry_work(f->reg);
    assert_in_range(after.index_moves - before.index_moves, 1, 2);
}

static void summaries_and_counts_are_those_of_the_fleet_as_it_comes_and_goes(void **state)
{
    struct fake_fleet *f = *state;
    struct model_summary s;

    fill(f, 1000, 4096);
    (void)fake_fleet_add_with(
        f, &(struct fake_member){.trust = TRUST_HARDWARE, .n_models = 2, .key = "key"});
    assert_true(registry_model_summary(f->models[0], &s));
    assert_int_equal(s.providers, 1001);
    assert_int_equal(s.attested, 1);
    assert_int_equal(s.trust, TRUST_HARDWARE);
    assert_int_equal(s.context_length, 4096);
    fake_fleet_leave(f, f->providers[1000], false);
    assert_true(registry_model_summary(f->models[0], &s));
    assert_int_equal(s.providers, 1000);
    assert_int_equal(s.attested, 0);
    assert_int_equal(s.trust, TRUST_SELF_SIGNED);
    assert_false(registry_model_summary(f->models[1], &s));
    provider_set_trust(f->providers[3], TRUST_HARDWARE_VIRTUAL, TRUST_REASON_CHALLENGE_PASSED);
    assert_true(registry_model_summary(f->models[0], &s));
    assert_int_equal(s.trust, TRUST_HARDWARE_VIRTUAL);
    assert_int_equal(registry_counts(f->reg).routable, 1000);
}

/* The design's budget for an idle provider is 8 KiB with its connection, which takes 2 KiB. */
static void a_provider_takes_little_memory(void **state)
{
    (void)state;
    assert_in_range(sizeof(struct provider) + sizeof(struct record) + 3 * sizeof(struct offer), 1,
                    4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_fleet_up, fake_fleet_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_decision_looks_at_as_many_offers_among_20000_as_among_20),
        TEST(a_storm_of_failures_looks_at_a_bounded_number_of_offers_each),
        TEST(what_only_few_have_room_for_is_found_without_walking_the_fleet),
        TEST(a_heartbeat_that_says_nothing_new_moves_nothing),
        TEST(a_request_moves_its_own_provider_and_no_other),
        TEST(summaries_and_counts_are_those_of_the_fleet_as_it_comes_and_goes),
        cmocka_unit_test(a_provider_takes_little_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
