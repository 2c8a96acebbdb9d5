/* SPDX-License-Identifier: Apache-2.0 */
/* The registry itself: models, lookups, trust changes, summaries. */
#include "coordinator/registry/registry.h"

#include <stdio.h>
#include <stdlib.h>

#include "coordinator/registry/provider.h"

enum { MODELS_MAX = 10000, OUT_MAX_BYTES = 64 << 10 };

static void free_models(struct registry *reg)
{
    struct model *m;
    size_t cursor = 0;

    while ((m = map_next(&reg->models, &cursor))) {
        for (int level = 0; level < TRUST_LEVELS; level++)
            free(m->heaps[level].items);
        free(m);
    }
    map_free(&reg->models);
}

static int add_configured_models(struct registry *reg)
{
    const struct settings *s = reg->config.settings;

    for (size_t i = 0; i < s->n_models; i++) {
        const struct settings_model *sm = &s->models[i];
        struct model *m = model_get_or_add(reg, sm->id);

        if (!m)
            return ERR_NOMEM;
        m->price = (struct price){sm->input_price_micro_usd, sm->output_price_micro_usd};
        snprintf(m->display_name, sizeof m->display_name, "%.*s", STR_ARG(sm->display_name));
    }
    return 0;
}

int registry_new(const struct registry_config *config, struct registry **ret_registry)
{
    struct registry *reg = calloc(1, sizeof *reg);

    if (!reg)
        return ERR_NOMEM;
    reg->config = *config;
    reg->loop = config->loop;
    reg->clock = loop_clock(config->loop);
    list_init(&reg->providers);
    list_init(&reg->dead);
    buf_init(&reg->out, OUT_MAX_BYTES);
    if (proto_scratch_init(&reg->scratch, 2 * (size_t)PROVIDER_FRAME_MAX_BYTES) < 0 ||
        add_configured_models(reg) < 0) {
        registry_free(reg);
        return ERR_NOMEM;
    }
    *ret_registry = reg;
    return 0;
}

void registry_free(struct registry *reg)
{
    if (!reg)
        return;
    while (!list_empty(&reg->providers))
        provider_close(list_owner(reg->providers.next, struct provider, link), WS_CLOSE_GOING_AWAY,
                       "the coordinator is stopping");
    loop_defer_remove(reg->loop, &reg->reap);
    registry_reap(reg);
    map_free(&reg->by_key);
    free_models(reg);
    proto_scratch_free(&reg->scratch);
    buf_free(&reg->out);
    free(reg);
}

size_t registry_provider_count(const struct registry *reg)
{
    return reg->n_registered;
}

/* --- models --- */

struct model *registry_model(const struct registry *reg, struct str id)
{
    return map_get(&reg->models, id);
}

struct model *registry_model_next(const struct registry *reg, size_t *cursor)
{
    return map_next(&reg->models, cursor);
}

struct model *model_get_or_add(struct registry *reg, struct str id)
{
    struct model *m = registry_model(reg, id);

    if (m)
        return m;
    if (reg->models.used >= MODELS_MAX || id.n > MODEL_ID_MAX_BYTES)
        return NULL;
    m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    memcpy(m->id, id.p, id.n);
    m->price = (struct price){PRICE_DEFAULT_INPUT, PRICE_DEFAULT_OUTPUT};
    list_init(&m->waiting);
    if (map_put(&reg->models, str_from(m->id), m) < 0) {
        free(m);
        return NULL;
    }
    return m;
}

/* Whether this offer is one that consumers may count on, busy or not. */
static bool offer_counts(const struct offer *o, enum trust_level min)
{
    const struct provider *p = o->provider;

    return p->state == PROVIDER_REGISTERED && !p->untrusted && p->private_text && p->has_key &&
           p->challenge.passed && p->trust >= min;
}

static const struct offer *offer_of(const struct provider *p, const struct model *m)
{
    for (size_t i = 0; i < p->n_offers; i++) {
        if (p->offers[i].model == m)
            return &p->offers[i];
    }
    return NULL;
}

bool registry_model_summary(const struct registry *reg, const struct model *m,
                            struct model_summary *ret_summary)
{
    struct model_summary s = {0};

    for (struct list_node *n = reg->providers.next; n != &reg->providers; n = n->next) {
        const struct provider *p = list_owner(n, struct provider, link);
        const struct offer *o = offer_of(p, m);

        if (!o || !offer_counts(o, (enum trust_level)reg->config.settings->min_trust))
            continue;
        s.providers++;
        s.attested += p->attested;
        if (p->trust > s.trust)
            s.trust = p->trust;
        s.model_type = o->model_type;
        s.quantization = o->quantization;
        s.numerics = o->numerics;
        if (o->context_length > s.context_length)
            s.context_length = o->context_length;
    }
    *ret_summary = s;
    return s.providers > 0;
}

/* --- trust --- */

void provider_set_trust(struct provider *p, enum trust_level level, enum trust_reason reason)
{
    bool changed = p->trust != level || p->reason != reason;

    p->trust = level;
    p->reason = reason;
    if (changed)
        log_event(p->reg->config.log, LOG_INFO, EV_PROVIDER_TRUST, KV_CSTR("provider", p->id),
                  KV_CSTR("trust", p->untrusted ? "untrusted" : trust_name(level)),
                  KV_CSTR("reason", trust_reason_code(reason)));
    offers_update(p);
}

void provider_drop_attempts(struct provider *p)
{
    while (!list_empty(&p->attempts)) {
        struct attempt *a = list_owner(p->attempts.next, struct attempt, link);

        registry_detach(a, false);
        a->ops->lost(a);
    }
}

void provider_distrust(struct provider *p, enum trust_reason reason)
{
    if (p->untrusted || p->state != PROVIDER_REGISTERED)
        return;
    p->untrusted = true;
    challenge_stop(p);
    provider_set_trust(p, TRUST_NONE, reason);
    provider_drop_attempts(p);
}

/* --- views --- */

uint64_t offer_provider_serial(const struct offer *o)
{
    return o->provider->serial;
}

struct ws_conn *provider_ws(const struct provider *p)
{
    return p->ws;
}

struct provider_view provider_view(const struct offer *o)
{
    const struct provider *p = o->provider;

    return (struct provider_view){
        .id = p->id,
        .account = p->account,
        .x25519_b64 = p->x25519_b64,
        .trust = p->trust,
        .attested = p->attested,
        .chip_name = p->chip_name,
        .machine_model = p->machine_model,
        .signing_key = p->attested ? p->blob.claims.publicKey : (struct str){0},
        .context_length = o->context_length,
        .template_overhead = o->template_overhead,
    };
}
