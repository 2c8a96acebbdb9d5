/* SPDX-License-Identifier: Apache-2.0 */
/* What a year of production taught about routing, rule by rule (FR-1 to FR-14, R6, R8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/coordinator/fake_fleet.h"

#define S INT64_C(1000000)

static const struct attempt_result served = {.end = ATTEMPT_SERVED};
static const struct route_ask any = {.min_trust = TRUST_NONE};

static struct provider *with_key(struct fake_fleet *f, const char *key)
{
    return fake_fleet_add_with(f, &(struct fake_member){.n_models = 1, .slots = 4, .key = key});
}

/* --- FR-1, R6: the breaker belongs to the key --- */

/* One request a tenth of a second, to whoever is chosen; `broken` fails all of them at once.
 * Returns how many it was given. */
static int requests_to(struct fake_fleet *f, struct provider *broken, int64_t us)
{
    int n = 0;

    for (int64_t end = clock_mono_us(&f->reg->clock) + us; clock_mono_us(&f->reg->clock) < end;) {
        struct offer *o = registry_choose(f->models[0], &any);

        if (o && o->provider == broken) {
            fake_fleet_end(broken, ATTEMPT_FAULT);
            n++;
        }
        loop_fake_advance(f->loop, S / 10);
    }
    return n;
}

static void a_broken_one_beside_full_ones_gets_ten_requests_and_then_one_in_30_s(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *healthy[2], *broken;
    struct attempt a[8];
    char id[8];
    int n;

    for (int i = 0; i < 2; i++)
        healthy[i] = fake_fleet_add(f, TRUST_NONE, 1);
    for (int i = 0; i < 8; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        fake_fleet_take(healthy[i / 4], 0, id, &a[i], NULL);
    }
    broken = with_key(f, "broken");
    n = requests_to(f, broken, 30 * S);
    assert_in_range(n, 3, 10);
    /* Its reconnect washes nothing clean. */
    fake_fleet_leave(f, broken, true);
    broken = with_key(f, "broken");
    n += requests_to(f, broken, 600 * S);
    assert_in_range(n, 4, 10 + 630 / 30);
    for (int i = 0; i < 8; i++)
        registry_detach(&a[i], &served, false);
}

static void a_failing_one_is_not_in_the_index_and_comes_back_by_itself(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);

    for (int i = 0; i < 3; i++)
        fake_fleet_end(p, ATTEMPT_FAULT);
    assert_null(registry_choose(f->models[0], &any));
    f->models[0]->n_waiting = 1;
    loop_fake_advance(f->loop, 4 * S - 1);
    assert_int_equal(f->n_capacity, 0);
    loop_fake_advance(f->loop, 1); /* who waits is called at once, for one probe */
    assert_true(f->n_capacity > 0);
    f->models[0]->n_waiting = 0;
    assert_non_null(registry_choose(f->models[0], &any));
}

static void half_open_is_given_to_one_request_at_a_time(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 2);
    struct attempt probe;

    for (int i = 0; i < 3; i++)
        fake_fleet_end(p, ATTEMPT_FAULT);
    loop_fake_advance(f->loop, 4 * S);
    assert_non_null(registry_choose(f->models[0], &any));
    fake_fleet_take(p, 0, "probe", &probe, NULL);
    assert_true(probe.probe);
    assert_null(registry_choose(f->models[0], &any));
    assert_null(registry_choose(f->models[1], &any));
    registry_detach(&probe, &served, false);
    assert_non_null(registry_choose(f->models[1], &any));
}

static void on_lost(struct attempt *a, const char *why)
{
    (void)a;
    (void)why;
}

static const struct attempt_ops lose = {.lost = on_lost};

/* Three requests run there when the connection ends. */
static void leave_with_work(struct fake_fleet *f, bool fault)
{
    static const char *const ids[] = {"a", "b", "c"};
    struct provider *p = with_key(f, "key");
    struct attempt a[3];

    for (int i = 0; i < 3; i++)
        fake_fleet_take(p, 0, ids[i], &a[i], &lose);
    fake_fleet_leave(f, p, fault);
}

static void a_connection_that_ends_with_work_undone_has_failed_and_a_goodbye_has_not(void **state)
{
    struct fake_fleet *f = *state;

    leave_with_work(f, false);
    (void)with_key(f, "key");
    assert_non_null(registry_choose(f->models[0], &any));
    leave_with_work(f, true);
    (void)with_key(f, "key");
    assert_null(registry_choose(f->models[0], &any));
}

static void a_distrust_follows_the_key(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = with_key(f, "liar");

    provider_distrust(p, TRUST_REASON_FOREIGN_KEY);
    fake_fleet_leave(f, p, true);
    p = with_key(f, "liar");
    assert_null(registry_choose(f->models[0], &any));
    assert_int_equal(p->offers[0].place.level, -1);
    assert_non_null(with_key(f, "other"));
    assert_non_null(registry_choose(f->models[0], &any));
}

/* --- FR-2, FR-7: a refusal for load --- */

static void a_refusal_closes_what_was_believed_until_a_fresher_heartbeat_as_of_FR_2(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);
    struct attempt runs;

    fake_fleet_take(p, 0, "runs", &runs, NULL);
    fake_fleet_end(p, ATTEMPT_REFUSED_LOAD); /* it runs one, and that is all it can */
    assert_null(registry_choose(f->models[0], &any));
    registry_detach(&runs, &served, false);
    assert_non_null(registry_choose(f->models[0], &any));
    fake_fleet_end(p, ATTEMPT_REFUSED_LOAD);
    assert_null(registry_choose(f->models[0], &any));
    fake_fleet_heartbeat(p);
    assert_non_null(registry_choose(f->models[0], &any));
}

/* #523: heartbeats that said "idle" were believed 11,581 times in six hours. */
static void one_that_refuses_again_and_again_is_believed_less_and_less(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);
    int refused = 0;

    for (int i = 0; i < 3600 / 5; i++) { /* an hour */
        if (registry_choose(f->models[0], &any)) {
            fake_fleet_end(p, ATTEMPT_REFUSED_LOAD);
            refused++;
        }
        loop_fake_advance(f->loop, 5 * S);
        fake_fleet_heartbeat(p);
    }
    assert_in_range(refused, 60, 3600 / 30 + 10);
    while (!registry_choose(f->models[0], &any)) {
        loop_fake_advance(f->loop, 5 * S);
        fake_fleet_heartbeat(p);
    }
    fake_fleet_end(p, ATTEMPT_SERVED); /* forgiven */
    fake_fleet_end(p, ATTEMPT_REFUSED_LOAD);
    fake_fleet_heartbeat(p);
    assert_non_null(registry_choose(f->models[0], &any));
}

static void refusals_for_load_say_nothing_of_health_as_of_FR_7(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = with_key(f, "busy");

    for (int i = 0; i < 1000; i++)
        fake_fleet_end(p, ATTEMPT_REFUSED_LOAD);
    loop_fake_advance(f->loop, 60 * S);
    fake_fleet_heartbeat(p);
    assert_non_null(registry_choose(f->models[0], &any));
    assert_int_equal(breaker_state(&p->record->breaker, 60 * S), BREAKER_CLOSED);
    assert_true(record_failed_share(p->record, 60 * S) <= 0);
    assert_true(p->offers[0].cost.failures_ms <= 0);
}

/* --- FR-3, FR-4, FR-5: estimates --- */

/* #383: an idle fleet refused 71 % of its traffic for an estimate. */
static void an_estimate_however_bad_refuses_nothing_as_of_FR_3(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);

    for (int i = 0; i < 20; i++)
        fake_fleet_serve(p, 10, 20, 0.2); /* tokens a second */
    p->load.pressure_ms = 1e9;
    p->offers[0].slot.backlog_tokens = 1000000;
    offers_update(p);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), p);
}

/* Requests one after the other; returns the share of the first. */
static int share_of(struct fake_fleet *f, const struct provider *first, int n)
{
    int share = 0;

    for (int i = 0; i < n; i++) {
        struct offer *o = registry_choose(f->models[0], &any);

        assert_non_null(o);
        share += o->provider == first;
        fake_fleet_serve(o->provider, 979, 280, 40);
    }
    return share;
}

static void two_equal_idle_providers_share_within_60_to_40_as_of_FR_5(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *a = fake_fleet_add(f, TRUST_NONE, 1);

    (void)fake_fleet_add(f, TRUST_NONE, 1);
    assert_in_range(share_of(f, a, 1000), 400, 600);
}

static void a_new_one_shares_with_one_that_has_served_long_as_of_FR_5(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *old = with_key(f, "old");

    for (int i = 0; i < 500; i++)
        fake_fleet_serve(old, 979, 280, 40);
    (void)fake_fleet_add_with(f,
                              &(struct fake_member){.n_models = 1, .slots = 4, .newcomer = true});
    assert_in_range(share_of(f, old, 1000), 400, 600);
}

/* Under load, too: as many requests at once as fit into half of their slots. */
static void equals_share_when_they_are_busy_too(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p[4];
    struct attempt a[8] = {0};
    int given[4] = {0};
    char id[8];

    for (int i = 0; i < 4; i++)
        p[i] = fake_fleet_add(f, TRUST_NONE, 1);
    for (int i = 0; i < 4000; i++) {
        struct attempt *at = &a[i % 8];
        struct offer *o;

        registry_detach(at, &served, false);
        o = registry_choose(f->models[0], &any);
        assert_non_null(o);
        (void)snprintf(id, sizeof id, "%d", i % 8);
        fake_fleet_take(o->provider, 0, id, at, NULL);
        for (int k = 0; k < 4; k++)
            given[k] += o->provider == p[k];
    }
    for (int k = 0; k < 4; k++)
        assert_in_range(given[k], 800, 1200);
    for (int i = 0; i < 8; i++)
        registry_detach(&a[i], &served, false);
}

/* #844: what was measured as slow is not asked, so it is never measured again. */
static void one_that_was_once_slow_is_tried_again_as_of_FR_4(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *slow = with_key(f, "slow"), *other = with_key(f, "other");

    for (int i = 0; i < 10; i++) {
        fake_fleet_serve(slow, 979, 280, 4);
        fake_fleet_serve(other, 979, 280, 40);
    }
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), other);
    for (int hours = 0; hours < 24; hours++) {
        loop_fake_advance(f->loop, 3600 * S);
        fake_fleet_heartbeat(slow);
        fake_fleet_heartbeat(other);
    }
    assert_in_range(share_of(f, slow, 50), 5, 45);
}

static void what_a_provider_says_of_its_own_speed_counts_within_a_factor_of_two(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *honest = with_key(f, "honest"), *boaster;

    for (int i = 0; i < 10; i++)
        fake_fleet_serve(honest, 979, 280, 40);
    boaster = fake_fleet_add(f, TRUST_NONE, 1);
    boaster->decode_tps = 500;
    boaster->rated_us = INT64_MIN / 2;
    offers_update(boaster);
    assert_in_range((int)boaster->offers[0].decode_tps, 60, 85);
}

/* --- FR-6: eligibility is of the loaded slot --- */

/* #1121: of two warm models only the last served one was routed. */
static void each_loaded_model_is_routed_by_its_own_slot_as_of_FR_6(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 2);
    struct msg_slot slots[] = {{.model = STR("m1"), .state = STR("running")},
                               {.model = STR("m0"), .state = STR("running")}};
    struct msg_heartbeat m = {.active_model = STR("m1"),
                              .has_backend_capacity = true,
                              .backend_capacity = {.slots = slots, .n_slots = 2, .max_running = 4}};

    provider_heartbeat(p, &m);
    assert_non_null(registry_choose(f->models[0], &any));
    assert_non_null(registry_choose(f->models[1], &any));
    slots[1].state = STR("crashed");
    provider_heartbeat(p, &m);
    assert_null(registry_choose(f->models[0], &any));
    assert_non_null(registry_choose(f->models[1], &any));
    slots[1].state = STR("running");
    provider_heartbeat(p, &m);
    assert_non_null(registry_choose(f->models[0], &any));
}

/* --- FR-10: streams at once --- */

static int64_t streams_that_fit(struct fake_fleet *f, struct provider *p)
{
    static struct attempt a[64];
    int64_t n = 0;
    char id[32];

    while (n < 64 && registry_choose(f->models[0], &any)) {
        (void)snprintf(id, sizeof id, "%lld", (long long)n);
        fake_fleet_take(p, 0, id, &a[n++], NULL);
    }
    for (int64_t i = 0; i < n; i++)
        registry_detach(&a[i], &(struct attempt_result){.end = ATTEMPT_BLAMELESS}, false);
    return n;
}

static void streams_at_once_are_the_measured_rate_over_the_floor_as_of_FR_10(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add_with(f, &(struct fake_member){.n_models = 1, .slots = 24});

    f->settings.min_stream_tps = 15;
    assert_int_equal(streams_that_fit(f, p), 24); /* not measured: as the engine says */
    for (int i = 0; i < 5; i++)
        fake_fleet_serve(p, 979, 281, 62);
    assert_int_equal(streams_that_fit(f, p), 4);
    p->load.max_running = 3; /* never above what the engine confirms */
    offers_update(p);
    assert_int_equal(streams_that_fit(f, p), 3);
}

/* --- FR-12: admit on the bound, rank on what is expected --- */

static void an_offer_that_surely_has_no_room_is_not_chosen_as_of_FR_12(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *large;

    for (int i = 0; i < 20; i++)
        (void)fake_fleet_add_with(
            f, &(struct fake_member){.n_models = 1, .slots = 4, .context_length = 2048});
    large = fake_fleet_add_with(
        f, &(struct fake_member){.n_models = 1, .slots = 4, .context_length = 8192});
    large->load.pressure_ms = 9000; /* and it is by far the dearest */
    offers_update(large);
    for (int i = 0; i < 100; i++) {
        struct offer *o = registry_choose(f->models[0], &(struct route_ask){.tokens = 4000});

        assert_ptr_equal(o->provider, large);
        assert_ptr_not_equal(registry_choose(f->models[0], &any)->provider, large);
    }
    assert_null(registry_choose(f->models[0], &(struct route_ask){.tokens = 8193}));
}

/* A reserved 32,768 tokens once dominated every cost: what is asked for at most plays no part. */
static void offers_are_ranked_by_the_length_that_requests_have_as_of_FR_12(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);
    double before = p->offers[0].cost.decode_ms;

    for (int i = 0; i < 500; i++)
        fake_fleet_serve(p, 100, 20, 40);
    assert_true(f->models[0]->mean_completion < 25);
    assert_true(p->offers[0].cost.decode_ms < before / 5);
}

/* Each request that runs beside it slows a stream by 27 % of what it takes alone. */
static void a_busy_engine_is_expected_to_be_slower(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);
    double alone = p->offers[0].cost.decode_ms;

    p->offers[0].slot.num_running = 2;
    p->offers[0].slot.backlog_tokens = 40;
    offers_update(p);
    assert_in_range((int)(p->offers[0].cost.decode_ms / alone * 1000), 1530, 1550);
    assert_in_range((int)p->offers[0].cost.backlog_ms, 1530, 1550); /* 40 tokens a second alone */
    assert_in_range((int)p->offers[0].cost.queue_ms, 6000, 6000);
}

/* --- FR-14: prefer, never partition --- */

static void who_comes_last_is_still_asked_when_the_others_are_full_as_of_FR_14(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *first =
        fake_fleet_add_with(f, &(struct fake_member){.n_models = 1, .slots = 1});
    struct provider *last =
        fake_fleet_add_with(f, &(struct fake_member){.n_models = 1, .slots = 1});
    struct attempt a;

    last->load.pressure_ms = 100000;
    offers_update(last);
    assert_ptr_equal(registry_choose(f->models[0], &any)->provider, first);
    fake_fleet_take(first, 0, "a", &a, NULL);
    assert_ptr_equal(registry_choose(f->models[0], &any)->provider, last);
    registry_detach(&a, &served, false);
}

/* --- R8: freed slots go fairly over a provider's models --- */

struct takers {
    struct fake_fleet *f;
    struct attempt a[64];
    size_t n, of_model[FLEET_MODELS];
};

static bool take_one(void *ud, struct model *m)
{
    struct takers *t = ud;
    struct offer *o = registry_choose(m, &any);

    assert_non_null(o);
    (void)snprintf(t->a[t->n].wire_id, RAND_UUID_BYTES, "%zu", t->n);
    m->n_waiting--;
    t->of_model[m == t->f->models[1]]++;
    assert_int_equal(registry_attach(&t->a[t->n++], o), 0);
    return true;
}

static void freed_slots_go_to_its_models_in_turn_as_of_R8(void **state)
{
    struct fake_fleet *f = *state;
    static struct takers t;

    t = (struct takers){.f = f};
    f->on_capacity = take_one;
    f->on_capacity_ud = &t;
    f->models[0]->n_waiting = f->models[1]->n_waiting = 30;
    (void)fake_fleet_add_with(f, &(struct fake_member){.n_models = 2, .slots = 8});
    assert_int_equal(t.of_model[0], 4); /* all at once: half and half */
    assert_int_equal(t.of_model[1], 4);
    for (size_t i = 0; i < 40; i++) /* and one by one */
        registry_detach(&t.a[i], &served, false);
    assert_int_equal(t.of_model[0], 24);
    assert_int_equal(t.of_model[1], 24);
    f->models[0]->n_waiting = f->models[1]->n_waiting = 0;
    for (size_t i = 40; i < t.n; i++)
        registry_detach(&t.a[i], &served, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_fleet_up, fake_fleet_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_broken_one_beside_full_ones_gets_ten_requests_and_then_one_in_30_s),
        TEST(a_failing_one_is_not_in_the_index_and_comes_back_by_itself),
        TEST(half_open_is_given_to_one_request_at_a_time),
        TEST(a_connection_that_ends_with_work_undone_has_failed_and_a_goodbye_has_not),
        TEST(a_distrust_follows_the_key),
        TEST(a_refusal_closes_what_was_believed_until_a_fresher_heartbeat_as_of_FR_2),
        TEST(one_that_refuses_again_and_again_is_believed_less_and_less),
        TEST(refusals_for_load_say_nothing_of_health_as_of_FR_7),
        TEST(an_estimate_however_bad_refuses_nothing_as_of_FR_3),
        TEST(two_equal_idle_providers_share_within_60_to_40_as_of_FR_5),
        TEST(a_new_one_shares_with_one_that_has_served_long_as_of_FR_5),
        TEST(equals_share_when_they_are_busy_too),
        TEST(one_that_was_once_slow_is_tried_again_as_of_FR_4),
        TEST(what_a_provider_says_of_its_own_speed_counts_within_a_factor_of_two),
        TEST(each_loaded_model_is_routed_by_its_own_slot_as_of_FR_6),
        TEST(streams_at_once_are_the_measured_rate_over_the_floor_as_of_FR_10),
        TEST(an_offer_that_surely_has_no_room_is_not_chosen_as_of_FR_12),
        TEST(offers_are_ranked_by_the_length_that_requests_have_as_of_FR_12),
        TEST(a_busy_engine_is_expected_to_be_slower),
        TEST(who_comes_last_is_still_asked_when_the_others_are_full_as_of_FR_14),
        TEST(freed_slots_go_to_its_models_in_turn_as_of_R8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
