/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/registry/facts.h"

#include "coordinator/registry/provider.h"

/* --- one provider, one offer --- */

static enum gate facts_gate(const struct provider *p, int64_t now_us)
{
    enum gate best = gate_of_provider(p, now_us);

    if (gate_kind(best) < GATE_KIND_BUSY)
        return best;
    for (size_t i = 0; i < p->n_offers; i++) {
        enum gate g = gate_of_offer(&p->offers[i], now_us);

        if (i == 0 || gate_kind(g) > gate_kind(best))
            best = g;
    }
    return best;
}

static struct provider_facts facts_of_provider(const struct provider *p)
{
    int64_t now = clock_mono_us(&p->reg->clock);
    const struct record *r = p->record;
    bool alone = breaker_state(&r->breaker, now) == BREAKER_OPEN;

    return (struct provider_facts){.id = p->id,
                                   .key_hash = r->key,
                                   .backend = p->backend,
                                   .version = p->version,
                                   .chip_name = p->chip_name,
                                   .machine_model = p->machine_model,
                                   .trust = p->trust,
                                   .reason = p->reason,
                                   .connected = p->counted_connected,
                                   .trusted = p->counted_trusted,
                                   .routable = p->counted_routable,
                                   .gate = facts_gate(p, now),
                                   .offers = p->n_offers,
                                   .running = p->n_attempts,
                                   .max_running = p->load.max_running,
                                   .missed_challenges = p->challenge.missed,
                                   .failed_share = record_failed_share(r, now),
                                   .back_off_us = alone ? r->breaker.open_until_us - now : 0,
                                   .late_chunks = p->late_chunks,
                                   .ignored_messages = p->ignored_messages};
}

static struct offer_facts facts_of_offer(const struct offer *o)
{
    return (struct offer_facts){.model = o->id,
                                .gate = gate_of_offer(o, clock_mono_us(&o->provider->reg->clock)),
                                .context_length = o->context_length,
                                .num_running = o->slot.num_running,
                                .num_waiting = o->slot.num_waiting,
                                .decode_tps = o->decode_tps,
                                .stream_limit = o->stream_limit,
                                .cost_ms = o->cost_ms,
                                .cost = o->cost};
}

/* --- the list --- */

/* The provider that was shown last, or where it stood; the list is in the order of serials. */
static struct list_node *facts_place(const struct registry *reg, const struct registry_cursor *c)
{
    struct list_node *n = reg->providers.next;

    if (c->at && c->change == reg->n_changes)
        return ((const struct provider *)c->at)->link.next;
    while (n != &reg->providers && list_owner(n, struct provider, link)->serial <= c->serial)
        n = n->next;
    return n;
}

bool registry_provider_next(const struct registry *reg, struct registry_cursor *cursor,
                            struct provider_facts *ret_facts)
{
    struct list_node *n = facts_place(reg, cursor);
    const struct provider *p;

    if (n == &reg->providers)
        return false;
    p = list_owner(n, struct provider, link);
    *cursor = (struct registry_cursor){p->serial, reg->n_changes, p};
    *ret_facts = facts_of_provider(p);
    return true;
}

bool registry_offer_facts(const struct registry *reg, const struct registry_cursor *cursor,
                          size_t i, struct offer_facts *ret_facts)
{
    const struct provider *p = cursor->at;

    if (!p || cursor->change != reg->n_changes || i >= p->n_offers)
        return false;
    *ret_facts = facts_of_offer(&p->offers[i]);
    return true;
}

/* --- a decision --- */

static void explain_offer(const struct offer *o, const struct route_ask *ask, int64_t now_us,
                          struct route_explained *e)
{
    enum gate g = gate_of_offer(o, now_us);

    e->by_gate[g]++;
    if (g != GATE_NONE)
        return;
    if (o->provider->trust < ask->min_trust)
        e->too_little_trust++;
    else if (o->context_length > 0 && o->context_length < ask->tokens)
        e->too_small++;
    else if (route_is_excluded(o, ask))
        e->excluded++;
}

static struct route_choice explain_choice(const struct offer *o)
{
    return (struct route_choice){facts_of_provider(o->provider), facts_of_offer(o)};
}

static void explain_decision(const struct model *m, const struct route_ask *ask,
                             struct route_explained *e)
{
    struct route_found found;
    const struct offer *second;

    route_search(m, ask, &found);
    e->near = found.n;
    e->looked = found.looked;
    if (found.n == 0)
        return;
    second = found.n > 1 ? found.near[1] : found.next;
    e->best = explain_choice(found.near[0]);
    e->found = 1;
    if (second) {
        e->runner_up = explain_choice(second);
        e->found = 2;
    }
}

void registry_explain(const struct registry *reg, struct str model, const struct route_ask *ask,
                      struct route_explained *ret_explained)
{
    const struct model *m = model_find(reg, model);
    int64_t now = clock_mono_us(&reg->clock);

    *ret_explained = (struct route_explained){0};
    for (struct list_node *n = reg->providers.next; n != &reg->providers; n = n->next) {
        const struct provider *p = list_owner(n, struct provider, link);

        for (size_t i = 0; i < p->n_offers; i++) {
            if (str_eq(p->offers[i].id, model))
                explain_offer(&p->offers[i], ask, now, ret_explained);
        }
    }
    if (m)
        explain_decision(m, ask, ret_explained);
}

bool cost_term(const struct cost *c, size_t i, const char **ret_name, const char **ret_what,
               double *ret_ms)
{
    const struct {
        const char *name, *what;
        double ms;
    } terms[] = {
#define COST_ROW(term, what) {#term, what, c->term##_ms},
        COST_TABLE(COST_ROW)
#undef COST_ROW
    };

    if (i >= sizeof terms / sizeof terms[0])
        return false;
    *ret_name = terms[i].name;
    *ret_what = terms[i].what;
    *ret_ms = terms[i].ms;
    return true;
}
