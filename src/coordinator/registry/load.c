/* SPDX-License-Identifier: Apache-2.0 */
/* How busy a provider is, as its heartbeats say. One that says what the one before said costs the
 * index nothing. */
#include <math.h>

#include "base/num.h"
#include "coordinator/registry/provider.h"

enum { MAX_RUNNING_CAP = 1024, TOKENS_CAP = 1000000 };

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
static double load_share(double v)
{
    return !(v > 0) ? 0 : v > 1 ? 1 : v;
}

static double load_pressure_ms(const struct msg_heartbeat *m)
{
    static const struct {
        const char *state;
        double cost_ms;
    } thermal[] = {{"fair", 2000}, {"serious", 8000}};
    const struct msg_backend_capacity *cap = &m->backend_capacity;
    double cost = load_share(m->system_metrics.memory_pressure) * 4000 +
                  load_share(m->system_metrics.cpu_usage) * 1500;

    for (size_t i = 0; i < sizeof thermal / sizeof thermal[0]; i++) {
        if (str_is(m->system_metrics.thermal_state, thermal[i].state))
            cost += thermal[i].cost_ms;
    }
    if (m->has_backend_capacity && cap->total_memory_gb > 0)
        cost += load_share(cap->gpu_memory_active_gb / cap->total_memory_gb) * 5000;
    return cost;
}

static int64_t load_max_running(const struct msg_heartbeat *m)
{
    const struct msg_backend_capacity *cap = &m->backend_capacity;

    if (!m->has_backend_capacity)
        return DEFAULT_MAX_RUNNING;
    if (cap->max_running > 0)
        return num_count(cap->max_running, MAX_RUNNING_CAP);
    return provider_max_running(isfinite(cap->total_memory_gb) ? cap->total_memory_gb : 0);
}

static struct provider_load load_of(const struct msg_heartbeat *m)
{
    return (struct provider_load){.max_running = load_max_running(m),
                                  .pressure_ms = load_pressure_ms(m),
                                  .thermal_critical =
                                      str_is(m->system_metrics.thermal_state, "critical")};
}

static bool load_differs(const struct provider_load *a, const struct provider_load *b)
{
    return a->max_running != b->max_running || a->pressure_ms < b->pressure_ms ||
           a->pressure_ms > b->pressure_ms || a->thermal_critical != b->thermal_critical;
}

/* --- slots: each model has its own (FR-6) --- */

static enum slot_state slot_state_of(struct str state)
{
    static const struct {
        const char *name;
        enum slot_state state;
    } names[] = {
        {"idle_shutdown", SLOT_COLD}, {"crashed", SLOT_CRASHED}, {"reloading", SLOT_RELOADING}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (str_is(state, names[i].name))
            return names[i].state;
    }
    return SLOT_RUNNING;
}

static struct offer_slot slot_of(const struct msg_slot *s)
{
    return (struct offer_slot){.state = slot_state_of(s->state),
                               .num_running = num_count(s->num_running, MAX_RUNNING_CAP),
                               .num_waiting = num_count(s->num_waiting, MAX_RUNNING_CAP),
                               .backlog_tokens = num_count(s->max_tokens_potential, TOKENS_CAP)};
}

static bool slot_differs(const struct offer_slot *a, const struct offer_slot *b)
{
    return a->state != b->state || a->num_running != b->num_running ||
           a->num_waiting != b->num_waiting || a->backlog_tokens != b->backlog_tokens;
}

/* Slots usually come in the order of the models: the place is tried first. */
static const struct msg_slot *slot_find(const struct msg_backend_capacity *cap, size_t hint,
                                        struct str model)
{
    size_t n = cap->n_slots < PROVIDER_MAX_MODELS ? cap->n_slots : PROVIDER_MAX_MODELS;

    if (hint < n && str_eq(cap->slots[hint].model, model))
        return &cap->slots[hint];
    for (size_t i = 0; i < n; i++) {
        if (str_eq(cap->slots[i].model, model))
            return &cap->slots[i];
    }
    return NULL;
}

static bool load_take_slots(struct provider *p, const struct msg_backend_capacity *cap)
{
    bool changed = false;

    for (size_t i = 0; i < p->n_offers; i++) {
        struct offer *o = &p->offers[i];
        const struct msg_slot *s = slot_find(cap, i, o->id);
        struct offer_slot now = s ? slot_of(s) : (struct offer_slot){.state = SLOT_RUNNING};

        changed |= slot_differs(&o->slot, &now);
        o->slot = now;
    }
    return changed;
}

/* --- what it says of its room --- */

/* After a refusal the next heartbeat is fresher than the one that promised the room. */
static bool load_believe(struct provider *p, int64_t now_us)
{
    if (p->believed_room == INT64_MAX || now_us < p->refused_until_us)
        return false;
    p->believed_room = INT64_MAX;
    return true;
}

void provider_heartbeat(struct provider *p, const struct msg_heartbeat *m)
{
    int64_t now = clock_mono_us(&p->reg->clock);
    struct provider_load load = load_of(m);
    bool draining = str_is(m->status, "draining");
    bool changed = load_differs(&p->load, &load) || p->draining != draining;

    p->load = load;
    p->draining = draining;
    if (m->has_backend_capacity && load_take_slots(p, &m->backend_capacity))
        changed = true;
    if (load_believe(p, now))
        changed = true;
    if (changed || provider_rate_is_due(p, now))
        offers_update(p);
    else
        p->reg->work.idle_heartbeats++;
}
