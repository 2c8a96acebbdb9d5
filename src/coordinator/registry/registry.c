/* SPDX-License-Identifier: Apache-2.0 */
/* The registry itself: its life, trust changes, what others may know of a provider. */
#include "coordinator/registry/registry.h"

#include <stdio.h>
#include <stdlib.h>

#include "coordinator/registry/provider.h"

enum { OUT_MAX_BYTES = 64 << 10 };

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
        models_add_configured(reg) < 0) {
        registry_free(reg);
        return ERR_NOMEM;
    }
    *ret_registry = reg;
    return 0;
}

void registry_close_all(struct registry *reg)
{
    while (!list_empty(&reg->providers))
        provider_close(list_owner(reg->providers.next, struct provider, link), WS_CLOSE_GOING_AWAY,
                       "the coordinator is stopping");
}

void registry_free(struct registry *reg)
{
    if (!reg)
        return;
    registry_close_all(reg);
    loop_defer_remove(reg->loop, &reg->reap);
    registry_reap(reg);
    map_free(&reg->by_key);
    models_free(reg);
    proto_scratch_free(&reg->scratch);
    buf_free(&reg->out);
    free(reg);
}

size_t registry_provider_count(const struct registry *reg)
{
    return reg->n_registered;
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

void provider_drop_attempts(struct provider *p, const char *why)
{
    while (!list_empty(&p->attempts)) {
        struct attempt *a = list_owner(p->attempts.next, struct attempt, link);

        registry_detach(a, &(struct attempt_result){.end = ATTEMPT_FAULT}, false);
        a->ops->lost(a, why);
    }
}

void provider_distrust(struct provider *p, enum trust_reason reason)
{
    char why[160];

    if (p->untrusted || p->state != PROVIDER_REGISTERED)
        return;
    p->untrusted = true;
    challenge_stop(p);
    provider_set_trust(p, TRUST_NONE, reason);
    snprintf(why, sizeof why, "the provider is no longer trusted: %s", trust_reason_help(reason));
    provider_drop_attempts(p, why);
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
        .secure_enclave = p->attested && p->blob.claims.secureEnclaveAvailable,
        .chip_name = p->chip_name,
        .machine_model = p->machine_model,
        .signing_key = p->attested ? p->blob.claims.publicKey : (struct str){0},
        .context_length = o->context_length,
    };
}
