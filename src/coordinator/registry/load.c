/* SPDX-License-Identifier: Apache-2.0 */
/* How busy a provider is: heartbeats, concurrency limits, and the attempts that run there. */
#include <math.h>

#include "base/num.h"
#include "coordinator/registry/provider.h"

enum { MAX_RUNNING_CAP = 1024, TOKENS_CAP = 1000000 };
enum { FAILURE_US = 10000000, FAILURES_MAX_US = 60000000 };

/* A provider that reports no `max_running` gets what its memory suggests, as the existing system
 * has it. */
int64_t provider_max_running(double total_memory_gb)
{
    static const struct {
        double up_to_gb;
        int64_t rows;
    } tiers[] = {{24, 2}, {48, 4}, {96, 6}, {128, 8}};

    for (size_t i = 0; i < sizeof tiers / sizeof tiers[0]; i++) {
        if (total_memory_gb <= tiers[i].up_to_gb)
            return tiers[i].rows;
    }
    return 12;
}

/* A share between 0 and 1; what is no number counts as 0. */
static double share(double v)
{
    return !(v > 0) ? 0 : v > 1 ? 1 : v;
}

static double pressure_cost_ms(const struct msg_heartbeat *m)
{
    static const struct {
        const char *state;
        double cost_ms;
    } thermal[] = {{"fair", 2000}, {"serious", 8000}};
    const struct msg_backend_capacity *cap = &m->backend_capacity;
    double cost =
        share(m->system_metrics.memory_pressure) * 4000 + share(m->system_metrics.cpu_usage) * 1500;

    for (size_t i = 0; i < sizeof thermal / sizeof thermal[0]; i++) {
        if (str_is(m->system_metrics.thermal_state, thermal[i].state))
            cost += thermal[i].cost_ms;
    }
    if (m->has_backend_capacity && cap->total_memory_gb > 0)
        cost += share(cap->gpu_memory_active_gb / cap->total_memory_gb) * 5000;
    return cost;
}

static const struct msg_slot *slot_of(const struct msg_backend_capacity *cap, struct str model)
{
    for (size_t i = 0; i < cap->n_slots; i++) {
        if (str_eq(cap->slots[i].model, model))
            return &cap->slots[i];
    }
    return NULL;
}

static void apply_capacity(struct provider *p, const struct msg_backend_capacity *cap)
{
    double memory = isfinite(cap->total_memory_gb) ? cap->total_memory_gb : 0;

    p->max_running = cap->max_running > 0 ? num_count(cap->max_running, MAX_RUNNING_CAP)
                                          : provider_max_running(memory);
    for (size_t i = 0; i < p->n_offers; i++) {
        struct offer *o = &p->offers[i];
        const struct msg_slot *slot = slot_of(cap, o->id);

        o->slot_usable = true;
        o->slot_cold = false;
        o->num_running = o->num_waiting = o->backlog_tokens = 0;
        if (!slot)
            continue;
        o->slot_usable = !str_is(slot->state, "crashed") && !str_is(slot->state, "reloading");
        o->slot_cold = str_is(slot->state, "idle_shutdown");
        o->num_running = num_count(slot->num_running, MAX_RUNNING_CAP);
        o->num_waiting = num_count(slot->num_waiting, MAX_RUNNING_CAP);
        o->backlog_tokens = num_count(slot->max_tokens_potential, TOKENS_CAP);
    }
}

void provider_heartbeat(struct provider *p, const struct msg_heartbeat *m)
{
    p->pressure_cost_ms = pressure_cost_ms(m);
    p->thermal_critical = str_is(m->system_metrics.thermal_state, "critical");
    if (m->has_backend_capacity)
        apply_capacity(p, &m->backend_capacity);
    else
        p->max_running = DEFAULT_MAX_RUNNING;
    offers_update(p);
}

/* Who fails at once looks idle, and would get every request first. */
static void provider_failed(struct provider *p)
{
    int64_t now = clock_mono_us(&p->reg->clock);
    int64_t from = p->failed_until_us > now ? p->failed_until_us : now;

    p->failed_until_us = num_min(from + FAILURE_US, now + FAILURES_MAX_US);
}

static void provider_record(struct provider *p, const struct attempt_result *result)
{
    if (result->end == ATTEMPT_SERVED)
        p->failed_until_us = 0;
    else if (result->end == ATTEMPT_FAULT)
        provider_failed(p);
    else if (result->end == ATTEMPT_REFUSED_LOAD) /* believed full until its next heartbeat */
        p->max_running = num_min(p->max_running, p->n_attempts);
}

/* --- attempts --- */

int registry_attach(struct attempt *a, struct offer *o)
{
    struct provider *p = o->provider;
    int rc = map_put(&p->attempts_by_id, str_from(a->wire_id), a);

    if (rc < 0)
        return rc;
    a->offer = o;
    a->provider = p;
    list_push_back(&p->attempts, &a->link);
    p->n_attempts++;
    offers_update(p);
    return 0;
}

void registry_detach(struct attempt *a, const struct attempt_result *result, bool cancel)
{
    struct provider *p = a->provider;

    if (!p)
        return;
    if (cancel && p->state == PROVIDER_REGISTERED) {
        struct provider_msg m = {.type = MSG_CANCEL, .cancel = {str_from(a->wire_id)}};

        /* When it cannot be sent the connection is failing and takes the request with it. */
        (void)provider_send(p, &m);
    }
    list_remove(&a->link);
    (void)map_remove(&p->attempts_by_id, str_from(a->wire_id));
    a->provider = NULL;
    a->offer = NULL;
    p->n_attempts--;
    provider_record(p, result);
    offers_update(p);
}

struct attempt *provider_attempt(const struct provider *p, struct str wire_id)
{
    return wire_id.p ? map_get(&p->attempts_by_id, wire_id) : NULL;
}
