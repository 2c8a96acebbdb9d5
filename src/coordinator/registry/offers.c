/* SPDX-License-Identifier: Apache-2.0 */
/* The routing index: for each model and trust level a heap of the offers that no gate keeps out, by
 * expected cost. An offer moves when its provider's load, trust or state changes, and only if that
 * changes its gate, its level or its cost; a decision looks only at the top (choose.c). */
#include "coordinator/registry/provider.h"

/* What fades with time is looked at again this often, when a heartbeat comes by. */
#define RATE_AGAIN_US INT64_C(60000000)

/* Of one that fails always, lately and in the long run: together about what a retry takes. */
enum { FAILING_COST_MS = 15000, FAILED_COST_MS = 5000 };

/* --- counts of what could serve --- */

static void offer_count_servable(struct offer *o)
{
    int level = gate_kind(o->gate) >= GATE_KIND_BUSY ? (int)o->provider->trust : -1;

    if (level == o->servable_level)
        return;
    if (o->servable_level >= 0) {
        CHECK(o->model->n_servable[o->servable_level] > 0);
        o->model->n_servable[o->servable_level]--;
    }
    if (level >= 0)
        o->model->n_servable[level]++;
    o->servable_level = level;
}

/* --- the index --- */

static void offer_leave_index(struct offer *o)
{
    if (o->place.level < 0)
        return;
    heap_remove(&o->model->heaps[o->place.level], o);
    o->place.level = -1;
}

static void offer_enter_index(struct offer *o, int level)
{
    o->place.level = level;
    o->provider->reg->work.index_moves++;
    if (heap_insert(&o->model->heaps[level], o) < 0) {
        o->place.level = -1;
        o->no_memory = true;
        o->gate = GATE_MEMORY;
    }
}

static void offer_update(struct offer *o, int64_t now_us)
{
    double cost_before = o->cost_ms;
    int level;

    o->no_memory = false;
    o->gate = gate_of_offer(o, now_us);
    o->cost_ms = cost_of(o);
    level = o->gate == GATE_NONE ? (int)o->provider->trust : -1;
    if (o->place.level != level) {
        offer_leave_index(o);
        if (level >= 0)
            offer_enter_index(o, level);
    } else if (level >= 0 && (o->cost_ms < cost_before || o->cost_ms > cost_before)) {
        o->provider->reg->work.index_moves++;
        heap_move(&o->model->heaps[level], o);
    }
    offer_count_servable(o);
    if (o->listed_level != (int)o->provider->trust)
        model_relist(o);
    model_publish(o->model);
}

bool provider_rate_is_due(const struct provider *p, int64_t now_us)
{
    return now_us - p->rated_us >= RATE_AGAIN_US;
}

void provider_rate_failures(struct provider *p, int64_t now_us)
{
    p->failures_ms = record_failing_share(p->record, now_us) * FAILING_COST_MS +
                     record_failed_share(p->record, now_us) * FAILED_COST_MS;
}

static void provider_rate(struct provider *p, int64_t now_us)
{
    if (!provider_rate_is_due(p, now_us))
        return;
    p->rated_us = now_us;
    provider_rate_failures(p, now_us);
    for (size_t i = 0; i < p->n_offers; i++) {
        if (p->offers[i].model)
            cost_rate(&p->offers[i], now_us);
    }
}

/* --- freed slots --- */

/* The models of the provider are asked in turn, one request each, until none of them has one for it
 * (R8). */
static void provider_offer_room(struct provider *p)
{
    const struct registry_hooks *hooks = &p->reg->config.hooks;
    size_t unwanted = 0;

    while (unwanted < p->n_offers) { /* 0 when it is gone */
        struct offer *o = &p->offers[p->turn++ % p->n_offers];

        if (o->gate == GATE_NONE && o->model && o->model->n_waiting > 0 &&
            hooks->capacity(hooks->ud, o->model))
            unwanted = 0;
        else
            unwanted++;
    }
}

/* Who takes a slot or fails at one changes what is free, which leads back here: the outermost call
 * sees to it. */
static void registry_offer_rooms(struct registry *reg)
{
    if (reg->offering)
        return;
    reg->offering = true;
    while (!list_empty(&reg->freed)) {
        struct provider *p = list_owner(reg->freed.next, struct provider, freed);

        list_remove(&p->freed);
        provider_offer_room(p);
        provider_offer_room_elsewhere(p);
    }
    reg->offering = false;
}

static bool provider_is_waited_for(const struct provider *p)
{
    for (size_t i = 0; i < p->n_offers; i++) {
        const struct offer *o = &p->offers[i];

        if (o->gate == GATE_NONE && o->model &&
            (o->model->n_waiting > 0 || model_is_waited_for_elsewhere(o->model, p->trust)))
            return true;
    }
    return false;
}

/* --- the provider as a whole --- */

static void provider_tried_again(void *ud)
{
    offers_update(ud);
}

/* Nothing else happens when a back-off ends. */
static void provider_watch_breaker(struct provider *p, int64_t now_us)
{
    if (breaker_state(&p->record->breaker, now_us) == BREAKER_OPEN && !p->breaker_timer.place)
        loop_timer_set(p->reg->loop, &p->breaker_timer, p->record->breaker.open_until_us - now_us,
                       provider_tried_again, p);
}

void offers_update(struct provider *p)
{
    int64_t now = clock_mono_us(&p->reg->clock);
    bool trusted = gate_kind(gate_of_provider(p, now)) > GATE_KIND_TRUST;
    bool routable = false;

    if (p->state == PROVIDER_GONE)
        return;
    if (trusted && !p->listed)
        models_list(p);
    provider_rate(p, now);
    for (size_t i = 0; i < p->n_offers; i++) {
        struct offer *o = &p->offers[i];

        if (o->model)
            offer_update(o, now);
        routable |= o->servable_level >= 0;
    }
    if (!trusted && p->listed)
        models_unlist(p);
    provider_count(p, p->state == PROVIDER_REGISTERED, trusted, trusted && routable);
    provider_watch_breaker(p, now);
    if (trusted && provider_is_waited_for(p) && !list_linked(&p->freed)) {
        list_push_back(&p->reg->freed, &p->freed);
        registry_offer_rooms(p->reg);
    }
}

void offers_withdraw(struct provider *p)
{
    for (size_t i = 0; i < p->n_offers; i++) {
        struct offer *o = &p->offers[i];

        if (!o->model)
            continue;
        offer_leave_index(o);
        o->gate = GATE_CONNECTION;
        offer_count_servable(o);
        model_publish(o->model);
    }
    models_unlist(p);
    list_remove(&p->freed);
    loop_timer_clear(p->reg->loop, &p->breaker_timer);
    p->n_offers = 0;
    provider_count(p, false, false, false);
}
