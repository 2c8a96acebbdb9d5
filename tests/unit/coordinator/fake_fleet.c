/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/coordinator/fake_fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static bool fleet_on_capacity(void *ud, struct model *m)
{
    struct fake_fleet *f = ud;

    f->n_capacity++;
    return f->on_capacity && f->on_capacity(f->on_capacity_ud, m);
}

static void fleet_on_room(void *ud, struct model *m, enum trust_level level)
{
    struct fake_fleet *f = ud;

    (void)level;
    f->n_room[m == f->models[1]]++;
}

struct fake_fleet *fake_fleet_new(struct fake_fleet *beside, struct registry_group *group,
                                  unsigned number)
{
    struct fake_fleet *f = calloc(1, sizeof *f);
    struct registry_config config = {
        .log = &f->log,
        .rand = rand_system(),
        .settings = &f->settings,
        .group = group,
        .number = number,
        .hooks = {.capacity = fleet_on_capacity, .room = fleet_on_room, .ud = f}};

    f->log = (struct log){.fd = -1};
    f->settings = (struct settings){.min_trust = TRUST_NONE,
                                    .queue_wait_ms = 30000,
                                    .queue_max = 10,
                                    .queue_max_per_account = 100,
                                    .challenge_interval_ms = 300000,
                                    .challenge_timeout_ms = 30000,
                                    .challenge_retry_ms = 30000,
                                    .heartbeat_timeout_ms = 60000};
    assert_int_equal(beside ? loop_fake_beside(beside->loop, &f->loop) : loop_fake_new(0, &f->loop),
                     0);
    config.loop = f->loop;
    assert_int_equal(registry_new(&config, &f->reg), 0);
    f->models[0] = model_add(f->reg, STR("m0"));
    f->models[1] = model_add(f->reg, STR("m1"));
    if (group) {
        assert_int_equal(inbox_new(f->loop, &f->inbox), 0);
        registry_group_join(group, number, f->reg, f->inbox);
    }
    return f;
}

int fake_fleet_up(void **state)
{
    *state = fake_fleet_new(NULL, NULL, 0);
    return 0;
}

void fake_fleet_leave(struct fake_fleet *f, struct provider *p, bool fault)
{
    for (size_t i = 0; i < f->n_providers; i++) {
        if (f->providers[i] == p)
            f->providers[i] = NULL;
    }
    provider_end(p, "it left", 0, fault);
    registry_reap(f->reg);
}

int fake_fleet_down(void **state)
{
    struct fake_fleet *f = *state;

    for (size_t i = 0; i < f->n_providers; i++) {
        if (f->providers[i])
            provider_end(f->providers[i], "the test is over", 0, false);
    }
    loop_defer_remove(f->loop, &f->reg->reap);
    registry_free(f->reg);
    inbox_free(f->inbox);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void fleet_offer(struct provider *p, const struct model *m, const struct fake_member *member)
{
    p->offers[p->n_offers++] = (struct offer){.provider = p,
                                              .id = str_from(m->id),
                                              .context_length = member->context_length,
                                              .template_overhead = member->template_overhead,
                                              .stream_limit = INT64_MAX,
                                              .place = {.level = -1},
                                              .servable_level = -1,
                                              .listed_level = -1};
}

static void fleet_claim(struct provider *p, const char *key)
{
    p->attested = true;
    (void)snprintf(p->blob.key_hash, sizeof p->blob.key_hash, "%s", key);
}

void fake_fleet_prove(struct provider *p, const char *key)
{
    p->challenge.passed = false;
    fleet_claim(p, key);
    if (provider_claim_key(p) == 0)
        challenge_key_is_here(p);
}

struct provider *fake_fleet_add_with(struct fake_fleet *f, const struct fake_member *member)
{
    struct provider *p = calloc(1, sizeof *p), *older = NULL;

    assert_true(f->n_providers < FLEET_PROVIDERS && member->n_models <= FLEET_MODELS);
    provider_init(p, f->reg);
    p->state = PROVIDER_REGISTERED;
    p->private_text = p->has_key = p->challenge.passed = p->challenge.ever_passed = true;
    p->trust = member->trust;
    p->load.max_running = member->slots;
    p->offers = arena_array(&p->region, struct offer, member->n_models + 1);
    for (size_t i = 0; i < member->n_models; i++)
        fleet_offer(p, f->models[i], member);
    if (member->key) {
        fleet_claim(p, member->key);
        older = provider_key_proven(p);
    }
    if (!member->newcomer)
        p->record->breaker.window = BREAKER_WINDOW_MAX;
    f->providers[f->n_providers++] = p;
    offers_update(p);
    if (older)
        fake_fleet_leave(f, older, true);
    return p;
}

struct provider *fake_fleet_add(struct fake_fleet *f, enum trust_level trust, size_t n_models)
{
    return fake_fleet_add_with(
        f, &(struct fake_member){.trust = trust, .n_models = n_models, .slots = 4});
}

struct provider *fake_fleet_choose(struct fake_fleet *f, size_t model, enum trust_level min)
{
    struct route_found found;

    route_search(f->models[model], &(struct route_ask){.min_trust = min}, &found);
    return found.n > 0 ? found.near[0]->provider : NULL;
}

void fake_fleet_take(struct provider *p, size_t model, const char *wire_id, struct attempt *a,
                     const struct attempt_ops *ops)
{
    *a = (struct attempt){.ops = ops};
    (void)snprintf(a->wire_id, sizeof a->wire_id, "%s", wire_id);
    assert_int_equal(registry_attach(a, &p->offers[model]), 0);
}

void fake_fleet_end(struct provider *p, enum attempt_end end)
{
    struct attempt a;

    fake_fleet_take(p, 0, "one of many", &a, NULL);
    registry_detach(&a, &(struct attempt_result){.end = end}, false);
}

void fake_fleet_serve(struct provider *p, int64_t prompt, int64_t completion, double tps)
{
    struct attempt_result result = {.end = ATTEMPT_SERVED,
                                    .ttft_us = (int64_t)((double)prompt * 1e6 / (tps * 15)),
                                    .prompt_tokens = prompt,
                                    .completion_tokens = completion,
                                    .decode_us = (int64_t)((double)(completion - 1) * 1e6 / tps)};
    struct attempt a;

    fake_fleet_take(p, 0, "one of many", &a, NULL);
    registry_content(&a);
    registry_detach(&a, &result, false);
}

void fake_fleet_heartbeat(struct provider *p)
{
    const struct msg_heartbeat idle = {
        .status = STR("idle"),
        .system_metrics = {.thermal_state = STR("nominal")},
        .has_backend_capacity = true,
        .backend_capacity = {.max_running = p->load.max_running, .total_memory_gb = 64}};

    provider_heartbeat(p, &idle);
}

/* --- the state against itself --- */

static void fleet_check_heap(const struct offer_heap *h, int level)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct heap_item *item = &h->items[i];
        int64_t own = item->offer->context_length > 0 ? item->offer->context_length : INT64_MAX;
        int64_t reach = own;

        assert_int_equal(item->offer->place.level, level);
        assert_int_equal(item->offer->place.index, i);
        assert_true(item->cost_ms >= item->offer->cost_ms && item->cost_ms <= item->offer->cost_ms);
        assert_false(i > 0 && heap_before(item, &h->items[(i - 1) / 2]));
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < h->n; child++)
            reach = h->items[child].reach > reach ? h->items[child].reach : reach;
        assert_int_equal(item->reach, reach);
    }
}

static void fleet_check_model(const struct fake_fleet *f, const struct model *m)
{
    size_t servable[TRUST_LEVELS] = {0}, listed[TRUST_LEVELS] = {0};
    int64_t now = clock_mono_us(&f->reg->clock);

    for (size_t i = 0; i < f->n_providers; i++) {
        const struct provider *p = f->providers[i];

        for (size_t k = 0; p && k < p->n_offers; k++) {
            const struct offer *o = &p->offers[k];
            enum gate g = gate_of_offer(o, now);

            if (o->model != m)
                continue;
            assert_int_equal(o->gate, g);
            assert_int_equal(o->place.level, g == GATE_NONE ? (int)p->trust : -1);
            servable[p->trust] += gate_kind(g) >= GATE_KIND_BUSY;
            listed[p->trust]++;
        }
    }
    for (int level = 0; level < TRUST_LEVELS; level++) {
        fleet_check_heap(&m->heaps[level], level);
        assert_int_equal(m->n_servable[level], servable[level]);
        assert_int_equal(m->n_listed[level], listed[level]);
    }
}

static bool fleet_is_routable(const struct provider *p, int64_t now_us)
{
    bool routable = false;

    for (size_t k = 0; k < p->n_offers; k++)
        routable |=
            p->offers[k].model && gate_kind(gate_of_offer(&p->offers[k], now_us)) >= GATE_KIND_BUSY;
    return routable;
}

void fake_fleet_check(const struct fake_fleet *f)
{
    struct registry_counts found = {0}, kept = registry_counts(f->reg);
    int64_t now = clock_mono_us(&f->reg->clock);

    for (size_t i = 0; i < f->n_providers; i++) {
        const struct provider *p = f->providers[i];
        bool trusted;

        if (!p || p->state != PROVIDER_REGISTERED)
            continue;
        trusted = gate_kind(gate_of_provider(p, now)) > GATE_KIND_TRUST;
        found.connected++;
        found.trusted += trusted;
        found.routable += trusted && fleet_is_routable(p, now);
    }
    for (size_t i = 0; i < FLEET_MODELS; i++)
        fleet_check_model(f, f->models[i]);
    assert_int_equal(kept.connected, found.connected);
    assert_int_equal(kept.trusted, found.trusted);
    assert_int_equal(kept.routable, found.routable);
}
