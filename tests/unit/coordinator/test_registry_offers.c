/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets a request: the routable offer with the least expected wait, and nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/coordinator/fake_fleet.h"

static const struct attempt_result blameless = {.end = ATTEMPT_BLAMELESS};

enum { STEPS = 20000 };

static void the_first_of_equals_then_the_one_with_less_to_do(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *a = fake_fleet_add(f, TRUST_NONE, 1), *b = fake_fleet_add(f, TRUST_NONE, 1);
    struct attempt first, second;

    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), a);
    fake_fleet_take(a, 0, "first", &first, NULL);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), b);
    fake_fleet_take(b, 0, "second", &second, NULL);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), a);
    registry_detach(&second, &blameless, false);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), b);
    registry_detach(&first, &blameless, false);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), a);
}

static void a_model_nobody_offers_has_no_provider(void **state)
{
    struct fake_fleet *f = *state;

    (void)fake_fleet_add(f, TRUST_NONE, 1);
    assert_null(fake_fleet_choose(f, 1, TRUST_NONE));
    assert_null(registry_model(f->reg, STR("m2")));
}

/* --- what an offer needs to be chosen --- */

static void disconnect(struct provider *p)
{
    p->state = PROVIDER_GONE;
}

static void distrust(struct provider *p)
{
    p->untrusted = true;
}

static void forbid_private_text(struct provider *p)
{
    p->private_text = false;
}

static void take_key(struct provider *p)
{
    p->has_key = false;
}

static void fail_challenge(struct provider *p)
{
    p->challenge.passed = false;
}

static void overheat(struct provider *p)
{
    p->thermal_critical = true;
}

static void crash_slot(struct provider *p)
{
    p->offers[0].slot_usable = false;
}

static void close_slots(struct provider *p)
{
    p->max_running = 0;
}

static void lower_trust(struct provider *p)
{
    p->trust = TRUST_NONE; /* the settings demand self_signed */
}

static void (*const obstacles[])(struct provider *p) = {
    disconnect, distrust,   forbid_private_text, take_key,   fail_challenge,
    overheat,   crash_slot, close_slots,         lower_trust};

static void each_obstacle_alone_keeps_a_provider_out_until_it_is_gone(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p, before;
    struct offer offer;

    f->settings.min_trust = TRUST_SELF_SIGNED;
    p = fake_fleet_add(f, TRUST_SELF_SIGNED, 1);
    for (size_t i = 0; i < sizeof obstacles / sizeof obstacles[0]; i++) {
        if (fake_fleet_choose(f, 0, TRUST_NONE) != p)
            fail_msg("before obstacle %zu", i);
        before = *p;
        offer = p->offers[0];
        obstacles[i](p);
        offers_update(p);
        if (fake_fleet_choose(f, 0, TRUST_NONE) || offer_routable(&p->offers[0]))
            fail_msg("obstacle %zu is none", i);
        /* Undo it, but for the offer's place in the index. */
        offer.heap_level = p->offers[0].heap_level;
        offer.model = p->offers[0].model;
        offer.link = p->offers[0].link;
        p->offers[0] = offer;
        before.attempts = p->attempts;
        before.listed = p->listed;
        *p = before;
        offers_update(p);
    }
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), p);
}

static void a_full_provider_is_left_alone_until_a_slot_is_free(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 2);
    static const char *const ids[] = {"0", "1", "2", "3"};
    struct attempt taken[4];

    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), p);
        fake_fleet_take(p, (size_t)i % 2, ids[i], &taken[i],
                        NULL); /* slots are shared by its models */
    }
    assert_null(fake_fleet_choose(f, 0, TRUST_NONE));
    assert_null(fake_fleet_choose(f, 1, TRUST_NONE));
    registry_detach(&taken[2], &blameless, false);
    assert_ptr_equal(fake_fleet_choose(f, 1, TRUST_NONE), p);
    registry_detach(&taken[2], &blameless, false); /* what is detached stays so */
    assert_int_equal(p->n_attempts, 3);
    for (int i = 0; i < 4; i++)
        registry_detach(&taken[i], &blameless, true);
    assert_int_equal(p->n_attempts, 0);
}

/* --- trust --- */

static void a_demand_for_trust_is_met_or_nobody_is_chosen(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *open = fake_fleet_add(f, TRUST_NONE, 1);
    struct provider *hardware = fake_fleet_add(f, TRUST_HARDWARE, 1);
    struct provider *software = fake_fleet_add(f, TRUST_SELF_SIGNED, 1);
    struct attempt a;

    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), open);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_SELF_SIGNED), hardware);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_HARDWARE_VIRTUAL), hardware);
    /* The cheapest of all levels that suffice, not the highest. */
    fake_fleet_take(hardware, 0, "a", &a, NULL);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_SELF_SIGNED), software);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_HARDWARE), hardware);
    provider_set_trust(hardware, TRUST_SELF_SIGNED, TRUST_REASON_CHALLENGE_PASSED);
    assert_null(fake_fleet_choose(f, 0, TRUST_HARDWARE));
    provider_set_trust(open, TRUST_HARDWARE, TRUST_REASON_CHALLENGE_PASSED);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_HARDWARE), open);
    registry_detach(&a, &blameless, false);
}

static int n_lost;

static void lost(struct attempt *a, const char *why)
{
    assert_null(a->provider);
    (void)why;
    n_lost++;
}

static const struct attempt_ops lose = {.lost = lost};

static void a_distrusted_provider_loses_its_requests_and_no_heartbeat_revives_it(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_HARDWARE, 2);
    const struct msg_heartbeat idle = {.system_metrics = {.thermal_state = STR("nominal")}};
    struct attempt a, b;

    n_lost = 0;
    fake_fleet_take(p, 0, "a", &a, &lose);
    fake_fleet_take(p, 1, "b", &b, &lose);
    provider_distrust(p, TRUST_REASON_PLAINTEXT_CHUNK);
    assert_int_equal(n_lost, 2);
    assert_int_equal(p->trust, TRUST_NONE);
    assert_int_equal(p->reason, TRUST_REASON_PLAINTEXT_CHUNK);
    provider_heartbeat(p, &idle);
    assert_null(fake_fleet_choose(f, 0, TRUST_NONE));
    assert_null(fake_fleet_choose(f, 1, TRUST_NONE));
    provider_distrust(p, TRUST_REASON_POSTURE); /* the first reason stays */
    assert_int_equal(p->reason, TRUST_REASON_PLAINTEXT_CHUNK);
}

/* --- retry and removal --- */

static void a_provider_that_failed_is_not_chosen_again(void **state)
{
    struct fake_fleet *f = *state;
    uint64_t failed[3];

    for (int i = 0; i < 3; i++)
        failed[i] = fake_fleet_add(f, i == 2 ? TRUST_HARDWARE : TRUST_NONE, 1)->serial;
    for (size_t n = 0; n < 3; n++) {
        struct offer *o = registry_choose(f->models[0], TRUST_NONE, failed, n);

        assert_non_null(o);
        assert_int_equal(offer_provider_serial(o), failed[n]);
    }
    assert_null(registry_choose(f->models[0], TRUST_NONE, failed, 3));
}

static void fails_one(struct provider *p)
{
    struct attempt a = {.wire_id = "fails"};

    assert_int_equal(registry_attach(&a, &p->offers[0]), 0);
    registry_detach(&a, &(struct attempt_result){.end = ATTEMPT_FAULT}, false);
}

static void who_fails_comes_after_the_others_for_a_while(void **state)
{
    struct fake_fleet *f = *state;
    const struct msg_heartbeat idle = {.system_metrics = {.thermal_state = STR("nominal")}};
    struct provider *a = fake_fleet_add(f, TRUST_NONE, 1), *b = fake_fleet_add(f, TRUST_NONE, 1);

    fails_one(a);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), b);
    fails_one(b);
    fails_one(b); /* twice is worse */
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), a);
    for (int i = 0; i < 1000; i++)
        fails_one(a);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), b);
    loop_fake_advance(f->loop, 60000000); /* however often */
    provider_heartbeat(a, &idle);
    provider_heartbeat(b, &idle);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), a);
}

static void a_provider_that_left_is_not_chosen(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *a = fake_fleet_add(f, TRUST_NONE, 2), *b = fake_fleet_add(f, TRUST_NONE, 1);

    offers_withdraw(a);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), b);
    assert_null(fake_fleet_choose(f, 1, TRUST_NONE));
    offers_withdraw(a);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), b);
}

/* --- load --- */

#define SLOT(state_, running, waiting, tokens)                              \
    {                                                                       \
        .model = STR("m0"), .state = STR(state_), .num_running = (running), \
        .num_waiting = (waiting), .max_tokens_potential = (tokens)          \
    }

#define NOMINAL                         \
    {                                   \
        .thermal_state = STR("nominal") \
    }

/* Of two providers the second reports this; the first, idle one must be chosen. */
static const struct {
    const char *what;
    struct msg_slot slot;
    struct msg_system_metrics metrics;
    double gpu_active_gb;
    bool alone; /* without the first one it is chosen */
} loads[] = {
    {"running", SLOT("running", 1, 0, 0), NOMINAL, 0, true},
    {"waiting", SLOT("running", 0, 1, 0), NOMINAL, 0, true},
    {"backlog", SLOT("running", 0, 0, 100), NOMINAL, 0, true},
    {"cold", SLOT("idle_shutdown", 0, 0, 0), NOMINAL, 0, true},
    {"memory", SLOT("running", 0, 0, 0), {.memory_pressure = 0.01}, 0, true},
    {"processor", SLOT("running", 0, 0, 0), {.cpu_usage = 0.01}, 0, true},
    {"warm", SLOT("running", 0, 0, 0), {.thermal_state = STR("fair")}, 0, true},
    {"hot", SLOT("running", 0, 0, 0), {.thermal_state = STR("serious")}, 0, true},
    {"full GPU", SLOT("running", 0, 0, 0), NOMINAL, 32, true},
    {"more than can be",
     SLOT("running", INT64_MAX, INT64_MAX, INT64_MAX),
     {.memory_pressure = 1e300, .cpu_usage = 1e300},
     1e300,
     true},
    {"crashed", SLOT("crashed", 0, 0, 0), NOMINAL, 0, false},
    {"reloading", SLOT("reloading", 0, 0, 0), NOMINAL, 0, false},
    {"critical", SLOT("running", 0, 0, 0), {.thermal_state = STR("critical")}, 0, false},
};

static void a_loaded_provider_comes_after_an_idle_one(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *loaded = fake_fleet_add(f, TRUST_NONE, 1);
    struct provider *idle = fake_fleet_add(f, TRUST_NONE, 1); /* second among equals */

    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        struct msg_slot slot = loads[i].slot;
        struct msg_heartbeat m = {
            .system_metrics = loads[i].metrics,
            .has_backend_capacity = true,
            .backend_capacity = {&slot, 1, loads[i].gpu_active_gb, 0, 0, 64, PROTO_UNSET}};
        const struct msg_heartbeat nothing = {.has_backend_capacity = true,
                                              .backend_capacity = {.total_memory_gb = 64}};

        provider_heartbeat(loaded, &nothing);
        if (fake_fleet_choose(f, 0, TRUST_NONE) != loaded)
            fail_msg("before %s", loads[i].what);
        provider_heartbeat(loaded, &m);
        if (fake_fleet_choose(f, 0, TRUST_NONE) != idle)
            fail_msg("%s costs nothing", loads[i].what);
        idle->private_text = false;
        offers_update(idle);
        if (fake_fleet_choose(f, 0, TRUST_NONE) != (loads[i].alone ? loaded : NULL))
            fail_msg("%s alone", loads[i].what);
        idle->private_text = true;
        offers_update(idle);
    }
}

/* Numbers below zero are a lie that must not buy requests. */
static const struct {
    struct msg_slot slot;
    struct msg_system_metrics metrics;
    double gpu_active_gb;
} lies[] = {
    {SLOT("running", 0, 0, -1000), NOMINAL, 0},
    {SLOT("running", -3, 0, 1), NOMINAL, 0},
    {SLOT("running", INT64_MIN, INT64_MIN, INT64_MIN), NOMINAL, 0},
    {SLOT("running", 0, 0, 0), {.memory_pressure = -1, .thermal_state = STR("nominal")}, 0},
    {SLOT("running", 0, 0, 0), {.cpu_usage = -1e300, .thermal_state = STR("nominal")}, 0},
    {SLOT("running", 0, 0, 0), NOMINAL, -64},
};

static void numbers_below_zero_are_no_discount(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *honest = fake_fleet_add(f, TRUST_NONE, 1);
    struct provider *liar = fake_fleet_add(f, TRUST_NONE, 1); /* second among equals */

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct msg_slot slot = lies[i].slot;
        const struct msg_heartbeat m = {
            .system_metrics = lies[i].metrics,
            .has_backend_capacity = true,
            .backend_capacity = {&slot, 1, lies[i].gpu_active_gb, 0, 0, 64, PROTO_UNSET}};

        provider_heartbeat(liar, &m);
        if (fake_fleet_choose(f, 0, TRUST_NONE) != honest)
            fail_msg("lie %zu", i);
    }
}

static void slots_are_as_many_as_announced_or_as_the_memory_suggests(void **state)
{
    static const struct {
        int64_t max_running;
        double memory_gb;
        int64_t slots;
    } cases[] = {{16, 8, 16}, {1, 512, 1},   {INT64_MAX, 8, 1024}, {PROTO_UNSET, 0, -1},
                 {0, 64, -1}, {-5, 512, -1}, {PROTO_UNSET, 8, -1}, {PROTO_UNSET, 1e300, -1}};
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct msg_heartbeat m = {.has_backend_capacity = true,
                                        .backend_capacity = {.total_memory_gb = cases[i].memory_gb,
                                                             .max_running = cases[i].max_running}};

        provider_heartbeat(p, &m);
        if (cases[i].slots > 0)
            assert_int_equal(p->max_running, cases[i].slots);
        else
            assert_int_equal(p->max_running, provider_max_running(cases[i].memory_gb));
    }
    assert_true(provider_max_running(0) >= 1);
    assert_true(provider_max_running(8) <= provider_max_running(64));
    assert_true(provider_max_running(64) < provider_max_running(1e300));
}

/* --- the queue's hook, attempts by name --- */

static void a_free_slot_is_reported_only_while_somebody_waits(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);

    offers_update(p);
    assert_int_equal(f->n_capacity, 0);
    f->models[0]->n_waiting = 1;
    offers_update(p);
    assert_int_equal(f->n_capacity, 1);
    f->models[0]->n_waiting = 0;
    f->models[1]->n_waiting = 1; /* not its model */
    offers_update(p);
    assert_int_equal(f->n_capacity, 1);
    f->models[0]->n_waiting = 1;
    overheat(p);
    offers_update(p);
    assert_int_equal(f->n_capacity, 1);
}

static void an_attempt_is_found_by_its_wire_id_while_it_runs(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);
    struct attempt a, b;

    fake_fleet_take(p, 0, "first", &a, NULL);
    fake_fleet_take(p, 0, "second", &b, NULL);
    assert_ptr_equal(provider_attempt(p, STR("first")), &a);
    assert_ptr_equal(provider_attempt(p, STR("second")), &b);
    assert_null(provider_attempt(p, STR("third")));
    assert_null(provider_attempt(p, (struct str){0}));
    registry_detach(&a, &blameless, false);
    assert_null(provider_attempt(p, STR("first")));
    registry_detach(&b, &blameless, false);
}

/* --- the heaps against a search of everything --- */

static const struct offer *cheapest_by_search(const struct fake_fleet *f, const struct model *m,
                                              enum trust_level min, const uint64_t *exclude,
                                              size_t n_exclude)
{
    const struct offer *best = NULL;

    for (size_t i = 0; i < f->n_providers; i++) {
        const struct provider *p = f->providers[i];
        bool skip = p->trust < min;

        for (size_t k = 0; k < n_exclude; k++)
            skip |= exclude[k] == p->serial;
        for (size_t k = 0; !skip && k < p->n_offers; k++) {
            const struct offer *o = &p->offers[k];

            if (o->model == m && offer_routable(o) &&
                (!best || o->cost_ms < best->cost_ms ||
                 (!(best->cost_ms < o->cost_ms) && o->tie < best->tie)))
                best = o;
        }
    }
    return best;
}

/* xorshift: the same fleet on every run. */
static uint32_t next(uint32_t *s, uint32_t bound)
{
    *s ^= *s << 13;
    *s ^= *s >> 17;
    *s ^= *s << 5;
    return *s % bound;
}

static void change_something(struct provider *p, uint32_t *seed)
{
    struct offer *o = &p->offers[next(seed, (uint32_t)p->n_offers)];

    switch (next(seed, 6)) {
    case 0:
        p->challenge.passed = next(seed, 4) > 0;
        break;
    case 1:
        p->trust = (enum trust_level)next(seed, TRUST_LEVELS);
        break;
    case 2:
        p->pressure_cost_ms = next(seed, 3) * 1000;
        break;
    case 3:
        o->num_running = next(seed, 4);
        break;
    case 4:
        o->backlog_tokens = next(seed, 1000);
        break;
    default:
        o->slot_usable = next(seed, 4) > 0;
        break;
    }
    offers_update(p);
}

static void the_index_finds_what_a_search_of_everything_finds(void **state)
{
    struct fake_fleet *f = *state;
    uint32_t seed = 20261124;

    while (f->n_providers < FLEET_PROVIDERS)
        (void)fake_fleet_add(f, (enum trust_level)next(&seed, TRUST_LEVELS), 1 + next(&seed, 2));
    for (int step = 0; step < STEPS; step++) {
        uint64_t exclude[3];
        enum trust_level min = (enum trust_level)next(&seed, TRUST_LEVELS);
        const struct model *m = f->models[next(&seed, FLEET_MODELS)];
        size_t n_exclude = next(&seed, 4);

        change_something(f->providers[next(&seed, FLEET_PROVIDERS)], &seed);
        for (size_t i = 0; i < n_exclude; i++) {
            /* Excluding those on top is what a retry does. */
            struct offer *o = registry_choose(m, min, exclude, i);

            exclude[i] = o ? offer_provider_serial(o) : 1 + next(&seed, FLEET_PROVIDERS);
        }
        assert_ptr_equal(registry_choose(m, min, exclude, n_exclude),
                         cheapest_by_search(f, m, min, exclude, n_exclude));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_fleet_up, fake_fleet_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_of_equals_then_the_one_with_less_to_do),
        TEST(a_model_nobody_offers_has_no_provider),
        TEST(each_obstacle_alone_keeps_a_provider_out_until_it_is_gone),
        TEST(a_full_provider_is_left_alone_until_a_slot_is_free),
        TEST(a_demand_for_trust_is_met_or_nobody_is_chosen),
        TEST(a_distrusted_provider_loses_its_requests_and_no_heartbeat_revives_it),
        TEST(a_provider_that_failed_is_not_chosen_again),
        TEST(who_fails_comes_after_the_others_for_a_while),
        TEST(a_provider_that_left_is_not_chosen),
        TEST(a_loaded_provider_comes_after_an_idle_one),
        TEST(numbers_below_zero_are_no_discount),
        TEST(slots_are_as_many_as_announced_or_as_the_memory_suggests),
        TEST(a_free_slot_is_reported_only_while_somebody_waits),
        TEST(an_attempt_is_found_by_its_wire_id_while_it_runs),
        TEST(the_index_finds_what_a_search_of_everything_finds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
