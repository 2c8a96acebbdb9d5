/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/coordinator/fake_fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { REGION_BYTES = 1 << 16 };

static void on_capacity(void *ud, struct model *m)
{
    struct fake_fleet *f = ud;

    f->n_capacity++;
    if (f->on_capacity)
        f->on_capacity(f->on_capacity_ud, m);
}

int fake_fleet_up(void **state)
{
    struct fake_fleet *f = calloc(1, sizeof *f);
    struct registry_config config = {
        .log = &f->log, .rand = rand_system(), .settings = &f->settings, .hooks = {on_capacity, f}};

    f->log = (struct log){.fd = -1};
    f->settings = (struct settings){.min_trust = TRUST_NONE,
                                    .queue_wait_ms = 30000,
                                    .queue_max = 10,
                                    .challenge_interval_ms = 300000,
                                    .challenge_timeout_ms = 30000,
                                    .heartbeat_timeout_ms = 60000};
    assert_int_equal(loop_fake_new(0, &f->loop), 0);
    config.loop = f->loop;
    assert_int_equal(registry_new(&config, &f->reg), 0);
    f->models[0] = model_add(f->reg, STR("m0"));
    f->models[1] = model_add(f->reg, STR("m1"));
    *state = f;
    return 0;
}

int fake_fleet_down(void **state)
{
    struct fake_fleet *f = *state;

    for (size_t i = 0; i < f->n_providers; i++) {
        offers_withdraw(f->providers[i]);
        map_free(&f->providers[i]->attempts_by_id);
        arena_free(&f->providers[i]->region);
        free(f->providers[i]);
    }
    registry_free(f->reg);
    loop_free(f->loop);
    free(f);
    return 0;
}

struct provider *fake_fleet_add_with(struct fake_fleet *f, const struct fake_member *member)
{
    struct provider *p = calloc(1, sizeof *p);

    assert_true(f->n_providers < FLEET_PROVIDERS && member->n_models <= FLEET_MODELS);
    p->reg = f->reg;
    p->serial = f->n_providers + 1;
    p->state = PROVIDER_REGISTERED;
    p->private_text = p->has_key = p->challenge.passed = true;
    p->trust = member->trust;
    p->max_running = member->slots;
    list_init(&p->attempts);
    arena_init(&p->region, REGION_BYTES);
    p->offers = arena_array(&p->region, struct offer, member->n_models + 1);
    for (size_t i = 0; i < member->n_models; i++)
        p->offers[p->n_offers++] = (struct offer){.provider = p,
                                                  .id = str_from(f->models[i]->id),
                                                  .context_length = member->context_length,
                                                  .template_overhead = member->template_overhead,
                                                  .slot_usable = true,
                                                  .heap_level = -1,
                                                  .tie = (uint32_t)f->n_providers};
    f->providers[f->n_providers++] = p;
    offers_update(p);
    return p;
}

struct provider *fake_fleet_add(struct fake_fleet *f, enum trust_level trust, size_t n_models)
{
    return fake_fleet_add_with(
        f, &(struct fake_member){.trust = trust, .n_models = n_models, .slots = 4});
}

struct provider *fake_fleet_choose(struct fake_fleet *f, size_t model, enum trust_level min)
{
    struct offer *o = registry_choose(f->models[model], min, NULL, 0);

    return o ? o->provider : NULL;
}

void fake_fleet_take(struct provider *p, size_t model, const char *wire_id, struct attempt *a,
                     const struct attempt_ops *ops)
{
    *a = (struct attempt){.ops = ops};
    (void)snprintf(a->wire_id, sizeof a->wire_id, "%s", wire_id);
    assert_int_equal(registry_attach(a, &p->offers[model]), 0);
}
