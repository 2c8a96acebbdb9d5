/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets a request: the routable offer with the least expected wait, and nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/coordinator/fake_fleet.h"

static const struct attempt_result blameless = {.end = ATTEMPT_BLAMELESS};

enum { STEPS = 20000, MEMBERS = 64 };

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
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_SELF_SIGNED), software);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_HARDWARE_VIRTUAL), hardware);
    /* The cheapest of all levels that suffice, whichever it has. */
    fake_fleet_take(software, 0, "a", &a, NULL);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_SELF_SIGNED), hardware);
    registry_detach(&a, &blameless, false);
    fake_fleet_take(hardware, 0, "a", &a, NULL);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_SELF_SIGNED), software);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_HARDWARE), hardware);
    provider_set_trust(hardware, TRUST_SELF_SIGNED, TRUST_REASON_CHALLENGE_PASSED);
    assert_null(fake_fleet_choose(f, 0, TRUST_HARDWARE));
    provider_set_trust(open, TRUST_HARDWARE, TRUST_REASON_CHALLENGE_PASSED);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_HARDWARE), open);
    fake_fleet_check(f);
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

static void a_provider_that_was_tried_is_not_chosen_again(void **state)
{
    struct fake_fleet *f = *state;
    uint64_t tried[3];
    struct route_ask ask = {.exclude = tried};

    for (int i = 0; i < 3; i++)
        (void)fake_fleet_add(f, i == 2 ? TRUST_HARDWARE : TRUST_NONE, 1);
    for (; ask.n_exclude < 3; ask.n_exclude++) {
        struct offer *o = registry_choose(f->models[0], &ask);

        assert_non_null(o);
        for (size_t i = 0; i < ask.n_exclude; i++)
            assert_int_not_equal(offer_provider_serial(o), tried[i]);
        assert_true(registry_may_serve(f->models[0], &ask));
        tried[ask.n_exclude] = offer_provider_serial(o);
    }
    assert_null(registry_choose(f->models[0], &ask));
    assert_false(registry_may_serve(f->models[0], &ask));
}

/* A retry waits for one that is busy, but not for one that is left alone for its failures. */
static void who_is_busy_may_serve_and_who_is_failing_may_not(void **state)
{
    struct fake_fleet *f = *state;
    const struct route_ask any = {.min_trust = TRUST_NONE};
    struct provider *p = fake_fleet_add_with(f, &(struct fake_member){.n_models = 1, .slots = 1});
    struct attempt a;

    fake_fleet_take(p, 0, "a", &a, NULL);
    assert_false(registry_has_free(f->models[0], &any));
    assert_true(registry_may_serve(f->models[0], &any));
    assert_false(registry_may_serve(f->models[0],
                                    &(struct route_ask){.exclude = &p->serial, .n_exclude = 1}));
    assert_false(
        registry_may_serve(f->models[0], &(struct route_ask){.min_trust = TRUST_HARDWARE}));
    registry_detach(&a, &blameless, false);
    for (int i = 0; i < 3; i++)
        fake_fleet_end(p, ATTEMPT_FAULT);
    assert_false(registry_may_serve(f->models[0], &any));
}

static void who_has_failed_comes_after_the_others(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *a = fake_fleet_add(f, TRUST_NONE, 1), *b = fake_fleet_add(f, TRUST_NONE, 1);

    fake_fleet_end(a, ATTEMPT_FAULT);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), b);
    fake_fleet_end(b, ATTEMPT_FAULT);
    fake_fleet_end(b, ATTEMPT_FAULT); /* twice is worse */
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
    struct provider *idle = fake_fleet_add(f, TRUST_NONE, 1);

    idle->load.pressure_ms = 1; /* second, but for what the first reports */
    offers_update(idle);
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
    struct provider *liar = fake_fleet_add(f, TRUST_NONE, 1);

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct msg_slot slot = lies[i].slot;
        const struct msg_heartbeat m = {
            .system_metrics = lies[i].metrics,
            .has_backend_capacity = true,
            .backend_capacity = {&slot, 1, lies[i].gpu_active_gb, 0, 0, 64, PROTO_UNSET}};

        provider_heartbeat(liar, &m);
        if (liar->offers[0].cost_ms < honest->offers[0].cost_ms)
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
            assert_int_equal(p->load.max_running, cases[i].slots);
        else
            assert_int_equal(p->load.max_running, provider_max_running(cases[i].memory_gb));
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
    p->load.thermal_critical = true;
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

static bool would_do(const struct offer *o, const struct model *m, const struct route_ask *ask)
{
    for (size_t k = 0; k < ask->n_exclude; k++) {
        if (ask->exclude[k] == o->provider->serial)
            return false;
    }
    return o->model == m && o->provider->trust >= ask->min_trust &&
           gate_of_offer(o, clock_mono_us(&o->provider->reg->clock)) == GATE_NONE &&
           (o->context_length == 0 || o->context_length >= ask->tokens);
}

static const struct offer *cheapest_by_search(const struct fake_fleet *f, const struct model *m,
                                              const struct route_ask *ask)
{
    const struct offer *best = NULL;

    for (size_t i = 0; i < f->n_providers; i++) {
        const struct provider *p = f->providers[i];

        for (size_t k = 0; k < p->n_offers; k++) {
            const struct offer *o = &p->offers[k];

            if (would_do(o, m, ask) && (!best || o->cost_ms < best->cost_ms))
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
        p->load.pressure_ms = next(seed, 3) * 1000;
        break;
    case 3:
        o->slot.num_running = next(seed, 4);
        break;
    case 4:
        o->slot.backlog_tokens = next(seed, 1000);
        break;
    default:
        o->slot.state = next(seed, 4) > 0 ? SLOT_RUNNING : SLOT_CRASHED;
        break;
    }
    offers_update(p);
}

static struct provider *some_member(struct fake_fleet *f, uint32_t *seed)
{
    return fake_fleet_add_with(
        f, &(struct fake_member){.trust = (enum trust_level)next(seed, TRUST_LEVELS),
                                 .n_models = 1 + next(seed, 2),
                                 .slots = 4,
                                 .context_length = next(seed, 5) * 2048}); /* or not known */
}

static void the_index_finds_what_a_search_of_everything_finds(void **state)
{
    struct fake_fleet *f = *state;
    uint32_t seed = 20261124;

    while (f->n_providers < MEMBERS)
        (void)some_member(f, &seed);
    for (int step = 0; step < STEPS; step++) {
        uint64_t exclude[3];
        struct route_ask ask = {.min_trust = (enum trust_level)next(&seed, TRUST_LEVELS),
                                .tokens = next(&seed, 10000),
                                .exclude = exclude};
        struct model *m = f->models[next(&seed, FLEET_MODELS)];
        const struct offer *best;
        struct route_found found;

        change_something(f->providers[next(&seed, MEMBERS)], &seed);
        for (size_t n = next(&seed, 4); n > 0; n--) {
            /* Excluding those on top is what a retry does. */
            struct offer *o = registry_choose(m, &ask);

            exclude[ask.n_exclude] = o ? offer_provider_serial(o) : 1 + next(&seed, MEMBERS);
            ask.n_exclude++;
        }
        best = cheapest_by_search(f, m, &ask);
        route_search(m, &ask, &found);
        assert_int_equal(found.n > 0, best != NULL);
        assert_int_equal(registry_has_free(m, &ask), best != NULL);
        if (best)
            assert_true(found.near[0]->cost_ms <= best->cost_ms);
        for (size_t i = 0; i < found.n; i++) {
            assert_true(would_do(found.near[i], m, &ask));
            assert_true(found.near[i]->cost_ms <= best->cost_ms * 1.05 + 100);
        }
        if (step % 100 == 0)
            fake_fleet_check(f);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_fleet_up, fake_fleet_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_of_equals_then_the_one_with_less_to_do),
        TEST(a_model_nobody_offers_has_no_provider),
        TEST(a_full_provider_is_left_alone_until_a_slot_is_free),
        TEST(a_demand_for_trust_is_met_or_nobody_is_chosen),
        TEST(a_distrusted_provider_loses_its_requests_and_no_heartbeat_revives_it),
        TEST(a_provider_that_was_tried_is_not_chosen_again),
        TEST(who_is_busy_may_serve_and_who_is_failing_may_not),
        TEST(who_has_failed_comes_after_the_others),
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
