/* SPDX-License-Identifier: Apache-2.0 */
/* Why a provider gets no request: one evaluator, one stable code, and the index, the counts and the
 * operator's list all say the same (FR-19, L05). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "coordinator/registry/facts.h"
#include "unit/coordinator/fake_fleet.h"

#define S INT64_C(1000000)

static void end_connection(struct provider *p)
{
    p->state = PROVIDER_CONNECTED; /* as before it registered */
}

static void take_key(struct provider *p)
{
    p->has_key = false;
}

static void forbid_private_text(struct provider *p)
{
    p->private_text = false;
}

static void distrust(struct provider *p)
{
    provider_distrust(p, TRUST_REASON_PLAINTEXT_CHUNK);
}

static void leave_unchallenged(struct provider *p)
{
    p->challenge.passed = p->challenge.ever_passed = false;
}

static void miss_challenge(struct provider *p)
{
    p->challenge.passed = false;
    p->challenge.missed = 1;
}

static void lower_trust(struct provider *p)
{
    p->trust = TRUST_NONE; /* the settings demand self_signed */
}

static void drain(struct provider *p)
{
    p->draining = true;
}

static void fail_thrice(struct provider *p)
{
    for (int i = 0; i < 3; i++)
        fake_fleet_end(p, ATTEMPT_FAULT);
}

static struct attempt running[8];

static void probe(struct provider *p)
{
    fail_thrice(p);
    loop_fake_advance(p->reg->loop, 5 * S);
    fake_fleet_take(p, 0, "probe", &running[0], NULL);
}

static void crash(struct provider *p)
{
    p->offers[0].slot.state = SLOT_CRASHED;
}

static void reload(struct provider *p)
{
    p->offers[0].slot.state = SLOT_RELOADING;
}

static void overheat(struct provider *p)
{
    p->load.thermal_critical = true;
}

static void refuse(struct provider *p)
{
    fake_fleet_end(p, ATTEMPT_REFUSED_LOAD);
}

static void fill(struct provider *p)
{
    static const char *const ids[] = {"0", "1", "2", "3"};

    for (int i = 0; i < 4; i++)
        fake_fleet_take(p, 0, ids[i], &running[i], NULL);
}

static void be_new(struct provider *p)
{
    p->record->breaker.window = 1;
    fake_fleet_take(p, 0, "first", &running[0], NULL);
}

static void be_slow(struct provider *p)
{
    for (int i = 0; i < 5; i++)
        fake_fleet_serve(p, 100, 101, 10);
    fake_fleet_take(p, 0, "first", &running[0], NULL);
}

static const struct obstacle {
    void (*put)(struct provider *p);
    enum gate gate;
    const char *code;
    bool trusted, routable;
} obstacles[] = {
    {end_connection, GATE_REGISTERED, "not_registered", false, false},
    {take_key, GATE_KEY, "no_usable_key", false, false},
    {forbid_private_text, GATE_PRIVATE_TEXT, "no_private_text", false, false},
    {distrust, GATE_DISTRUSTED, "distrusted", false, false},
    {leave_unchallenged, GATE_CHALLENGE_PENDING, "challenge_pending", false, false},
    {miss_challenge, GATE_CHALLENGE_MISSED, "challenge_missed", false, false},
    {lower_trust, GATE_TRUST_LEVEL, "trust_level", false, false},
    {drain, GATE_DRAINING, "draining", true, false},
    {fail_thrice, GATE_BREAKER, "failing", true, false},
    {probe, GATE_BREAKER_PROBE, "being_probed", true, false},
    {crash, GATE_SLOT_CRASHED, "model_crashed", true, false},
    {reload, GATE_SLOT_RELOADING, "model_reloading", true, false},
    {overheat, GATE_THERMAL, "thermal", true, false},
    {refuse, GATE_REFUSED, "refused_load", true, true},
    {fill, GATE_SLOTS, "slots_full", true, true},
    {be_new, GATE_NEW, "proving", true, true},
    {be_slow, GATE_RATE, "stream_rate", true, true},
};

enum { OBSTACLES = sizeof obstacles / sizeof obstacles[0] };

static struct provider *well(struct fake_fleet *f)
{
    f->settings.min_trust = TRUST_SELF_SIGNED;
    f->settings.min_stream_tps = 15;
    memset(running, 0, sizeof running);
    return fake_fleet_add(f, TRUST_SELF_SIGNED, 1);
}

static void give_back(void)
{
    for (size_t i = 0; i < sizeof running / sizeof running[0]; i++)
        registry_detach(&running[i], &(struct attempt_result){.end = ATTEMPT_BLAMELESS}, false);
}

static struct provider_facts facts_of(const struct fake_fleet *f)
{
    struct registry_cursor cursor = {0};
    struct provider_facts facts;

    assert_true(registry_provider_next(f->reg, &cursor, &facts));
    return facts;
}

static void assert_kept_out(struct fake_fleet *f, const struct provider *p,
                            const struct obstacle *ob)
{
    struct registry_counts counts = registry_counts(f->reg);
    struct provider_facts facts = facts_of(f);

    if (fake_fleet_choose(f, 0, TRUST_NONE))
        fail_msg("%s keeps nobody out", ob->code);
    if (gate_of_offer(&p->offers[0], clock_mono_us(&f->reg->clock)) != ob->gate)
        fail_msg("%s instead of %s",
                 gate_code(gate_of_offer(&p->offers[0], clock_mono_us(&f->reg->clock))), ob->code);
    assert_int_equal(facts.gate, ob->gate);
    assert_string_equal(gate_code(facts.gate), ob->code);
    assert_int_equal(counts.trusted, ob->trusted);
    assert_int_equal(counts.routable, ob->routable);
    assert_int_equal(facts.trusted, ob->trusted);
    assert_int_equal(facts.routable, ob->routable);
    fake_fleet_check(f);
}

static void each_obstacle_is_told_by_its_code_to_router_counts_and_list_alike(void **state)
{
    (void)state;
    for (size_t i = 0; i < OBSTACLES; i++) {
        void *fleet;
        struct fake_fleet *f;
        struct provider *p;

        (void)fake_fleet_up(&fleet);
        f = fleet;
        p = well(f);
        assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), p);
        assert_int_equal(facts_of(f).gate, GATE_NONE);
        assert_int_equal(registry_counts(f->reg).routable, 1);
        obstacles[i].put(p);
        offers_update(p);
        assert_kept_out(f, p, &obstacles[i]);
        give_back();
        (void)fake_fleet_down(&fleet);
    }
}

static void every_gate_has_a_code_of_its_own_and_words_for_its_owner(void **state)
{
    (void)state;
    for (int g = 0; g < GATE_COUNT; g++) {
        assert_true(strlen(gate_code((enum gate)g)) > 1);
        assert_true(strlen(gate_meaning((enum gate)g)) > 5);
        assert_true(strlen(gate_help((enum gate)g)) > 5);
        for (int other = 0; other < g; other++)
            assert_string_not_equal(gate_code((enum gate)g), gate_code((enum gate)other));
        /* In the order of kinds: the first that fails says what is counted. */
        if (g > 1)
            assert_true(gate_kind((enum gate)g) >= gate_kind((enum gate)(g - 1)));
    }
}

static void the_first_failing_gate_is_the_reason(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = well(f);

    overheat(p);
    drain(p);
    offers_update(p);
    assert_string_equal(gate_code(facts_of(f).gate), "draining");
    forbid_private_text(p);
    offers_update(p);
    assert_string_equal(gate_code(facts_of(f).gate), "no_private_text");
    take_key(p);
    offers_update(p);
    assert_string_equal(gate_code(facts_of(f).gate), "no_usable_key");
}

/* --- the list --- */

static void the_list_shows_everybody_once_while_providers_come_and_go(void **state)
{
    struct fake_fleet *f = *state;
    struct registry_cursor cursor = {0};
    struct provider_facts facts;
    struct offer_facts offer;
    struct provider *p[5];

    for (int i = 0; i < 4; i++)
        p[i] = fake_fleet_add(f, TRUST_NONE, 2);
    assert_true(registry_provider_next(f->reg, &cursor, &facts));
    assert_string_equal(facts.id, p[0]->id);
    assert_true(registry_offer_facts(f->reg, &cursor, 1, &offer));
    assert_true(str_is(offer.model, "m1"));
    assert_int_equal(offer.gate, GATE_NONE);
    assert_false(registry_offer_facts(f->reg, &cursor, 2, &offer));
    fake_fleet_leave(f, p[0], false); /* where the walk stands */
    fake_fleet_leave(f, p[1], false); /* what would come next */
    p[4] = fake_fleet_add(f, TRUST_NONE, 1);
    for (int i = 2; i < 5; i++) {
        assert_true(registry_provider_next(f->reg, &cursor, &facts));
        assert_string_equal(facts.id, p[i]->id);
    }
    assert_false(registry_provider_next(f->reg, &cursor, &facts));
    assert_false(registry_provider_next(f->reg, &cursor, &facts));
}

static void the_list_says_how_long_a_failing_one_is_left_alone(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p =
        fake_fleet_add_with(f, &(struct fake_member){.n_models = 1, .slots = 4, .key = "a key"});

    fail_thrice(p);
    loop_fake_advance(f->loop, S);
    assert_int_equal(facts_of(f).back_off_us, 3 * S);
    assert_true(facts_of(f).failed_share > 0.2);
    assert_string_equal(facts_of(f).key_hash, "a key");
}

/* --- one decision --- */

static void a_decision_is_explained_with_its_runner_up_and_those_left_out(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *best, *second, *hot;
    uint64_t tried;
    struct route_ask ask = {.min_trust = TRUST_SELF_SIGNED, .exclude = &tried, .n_exclude = 1};
    struct route_explained e;
    const char *name, *what;
    double ms, sum = 0;

    best = fake_fleet_add(f, TRUST_SELF_SIGNED, 1);
    second = fake_fleet_add(f, TRUST_HARDWARE, 1);
    second->load.pressure_ms = 5000;
    offers_update(second);
    hot = fake_fleet_add(f, TRUST_HARDWARE, 1);
    overheat(hot);
    offers_update(hot);
    (void)fake_fleet_add(f, TRUST_NONE, 1);
    tried = fake_fleet_add(f, TRUST_HARDWARE, 1)->serial;
    registry_explain(f->reg, STR("m0"), &ask, &e);
    assert_int_equal(e.found, 2);
    assert_int_equal(e.near, 1);
    assert_string_equal(e.best.provider.id, best->id);
    assert_string_equal(e.runner_up.provider.id, second->id);
    assert_int_equal(e.by_gate[GATE_NONE], 4);
    assert_int_equal(e.by_gate[GATE_THERMAL], 1);
    assert_int_equal(e.too_little_trust, 1);
    assert_int_equal(e.excluded, 1);
    for (size_t i = 0; cost_term(&e.runner_up.offer.cost, i, &name, &what, &ms); i++)
        sum += ms;
    assert_true(sum >= e.runner_up.offer.cost_ms && sum <= e.runner_up.offer.cost_ms);
    assert_true(e.runner_up.offer.cost.pressure_ms >= 5000);
}

static void a_model_that_nobody_may_serve_is_explained_too(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = well(f);
    struct route_explained e;

    miss_challenge(p);
    offers_update(p);
    registry_explain(f->reg, STR("m0"), &(struct route_ask){0}, &e);
    assert_int_equal(e.found, 0);
    assert_int_equal(e.by_gate[GATE_CHALLENGE_MISSED], 1);
    registry_explain(f->reg, STR("nobody's"), &(struct route_ask){0}, &e);
    assert_int_equal(e.found, 0);
}

/* --- counts: a state machine at random --- */

/* xorshift: the same run every time. */
static uint32_t dice(uint32_t *s, uint32_t bound)
{
    *s ^= *s << 13;
    *s ^= *s >> 17;
    *s ^= *s << 5;
    return *s % bound;
}

static void toggle(struct provider *p, uint32_t *seed)
{
    switch (dice(seed, 8)) {
    case 0:
        p->challenge.passed = !p->challenge.passed;
        break;
    case 1:
        p->trust = (enum trust_level)dice(seed, TRUST_LEVELS);
        break;
    case 2:
        p->draining = !p->draining;
        break;
    case 3:
        p->offers[dice(seed, (uint32_t)p->n_offers)].slot.state = (enum slot_state)dice(seed, 4);
        break;
    case 4:
        p->load.thermal_critical = !p->load.thermal_critical;
        break;
    case 5:
        p->load.max_running = dice(seed, 3);
        break;
    case 6:
        fake_fleet_heartbeat(p);
        return;
    default:
        provider_distrust(p, TRUST_REASON_POSTURE);
        return;
    }
    offers_update(p);
}

static void on_lost(struct attempt *a, const char *why)
{
    (void)why;
    assert_null(a->provider);
}

static struct attempt pool[24]; /* requests under way */

/* One of the requests begins, at somebody that is free, or shows content, or ends. */
static void route_one(struct fake_fleet *f, uint32_t *seed)
{
    static const enum attempt_end ends[] = {ATTEMPT_SERVED, ATTEMPT_SERVED, ATTEMPT_FAULT,
                                            ATTEMPT_REFUSED_LOAD, ATTEMPT_BLAMELESS};
    static const struct attempt_ops ops = {.lost = on_lost};
    uint32_t i = dice(seed, sizeof pool / sizeof pool[0]);
    struct attempt *a = &pool[i];
    struct offer *o;

    if (a->provider) {
        if (dice(seed, 3) == 0)
            registry_content(a);
        else
            registry_detach(a, &(struct attempt_result){.end = ends[dice(seed, 5)]}, false);
        return;
    }
    o = registry_choose(f->models[dice(seed, FLEET_MODELS)], &(struct route_ask){0});
    if (!o)
        return;
    assert_int_equal(o->gate, GATE_NONE);
    *a = (struct attempt){.ops = &ops};
    (void)snprintf(a->wire_id, sizeof a->wire_id, "%u", i);
    assert_int_equal(registry_attach(a, o), 0);
}

static void come(struct fake_fleet *f, uint32_t *seed)
{
    char key[8];

    (void)snprintf(key, sizeof key, "%u", dice(seed, 100));
    (void)fake_fleet_add_with(f, &(struct fake_member){.trust = TRUST_SELF_SIGNED,
                                                       .n_models = 1 + dice(seed, 2),
                                                       .slots = 2,
                                                       .key = dice(seed, 4) ? key : NULL,
                                                       .newcomer = dice(seed, 2)});
}

static void whatever_happens_nothing_is_counted_twice_or_forgotten_as_of_L05(void **state)
{
    struct fake_fleet *f = *state;
    uint32_t seed = 20261126;

    f->settings.min_trust = TRUST_SELF_SIGNED;
    memset(pool, 0, sizeof pool);
    for (int step = 0; step < 20000; step++) {
        struct provider *p =
            f->n_providers > 0 ? f->providers[dice(&seed, (uint32_t)f->n_providers)] : NULL;
        uint32_t what = dice(&seed, 20);

        if (what == 0 || !p)
            come(f, &seed);
        else if (what == 1)
            fake_fleet_leave(f, p, dice(&seed, 2));
        else if (what < 12)
            toggle(p, &seed);
        else if (what < 19)
            route_one(f, &seed);
        else
            loop_fake_advance(f->loop, dice(&seed, 5) * S);
        if (step % 50 == 0)
            fake_fleet_check(f);
    }
    fake_fleet_check(f);
    for (size_t i = 0; i < sizeof pool / sizeof pool[0]; i++)
        registry_detach(&pool[i], &(struct attempt_result){.end = ATTEMPT_BLAMELESS}, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_fleet_up, fake_fleet_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_obstacle_is_told_by_its_code_to_router_counts_and_list_alike),
        cmocka_unit_test(every_gate_has_a_code_of_its_own_and_words_for_its_owner),
        TEST(the_first_failing_gate_is_the_reason),
        TEST(the_list_shows_everybody_once_while_providers_come_and_go),
        TEST(the_list_says_how_long_a_failing_one_is_left_alone),
        TEST(a_decision_is_explained_with_its_runner_up_and_those_left_out),
        TEST(a_model_that_nobody_may_serve_is_explained_too),
        TEST(whatever_happens_nothing_is_counted_twice_or_forgotten_as_of_L05),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
