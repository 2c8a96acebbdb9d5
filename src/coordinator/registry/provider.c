/* SPDX-License-Identifier: Apache-2.0 */
/* One provider: its life, its trust, and what others may know of it. */
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/metrics.h"
#include "coordinator/registry/group.h"
#include "coordinator/registry/provider.h"

enum { SERIAL_LOOP_SHIFT = 48 };

/* --- life --- */

static struct str provider_serial_key(const struct provider *p)
{
    return (struct str){(const char *)&p->serial, sizeof p->serial};
}

void provider_init(struct provider *p, struct registry *reg)
{
    p->reg = reg;
    p->serial = (uint64_t)reg->config.number << SERIAL_LOOP_SHIFT | ++reg->last_serial;
    p->state = PROVIDER_CONNECTED;
    p->believed_room = INT64_MAX;
    p->record = &p->own_record;
    record_init(p->record, clock_mono_us(&reg->clock));
    rand_uuid(&reg->config.rand, p->id);
    arena_init(&p->region, PROVIDER_REGION_BYTES);
    list_init(&p->attempts);
    verify_init(p);
    list_push_back(&reg->providers, &p->link);
    if (reg->config.group)
        registry_group_count_socket(reg->config.group, reg->config.number, 1);
    reg->n_changes++;
    /* Without memory it is not found by its serial: a retry may then wait for it in vain. */
    (void)map_put(&reg->by_serial, provider_serial_key(p), p);
}

struct provider *provider_by_serial(const struct registry *reg, uint64_t serial)
{
    return map_get(&reg->by_serial, (struct str){(const char *)&serial, sizeof serial});
}

unsigned registry_loop_of(uint64_t serial)
{
    return (unsigned)(serial >> SERIAL_LOOP_SHIFT);
}

static void provider_reap_dead(void *ud)
{
    registry_reap(ud);
}

/* Forget the provider; its attempts are told last, when nothing can be routed to it any more. A
 * connection that ends with work undone counts against its key, or reconnecting would wash it
 * clean; one that said goodbye, or that we end for our own reasons, does not. */
void provider_end(struct provider *p, const char *why, int code, bool fault)
{
    struct registry *reg = p->reg;

    p->state = PROVIDER_GONE;
    reg->n_changes++;
    challenge_stop(p);
    verify_forget(p);
    provider_session_drop(p);
    loop_timer_clear(reg->loop, &p->silence);
    offers_withdraw(p);
    list_remove(&p->link);
    if (reg->config.group)
        registry_group_count_socket(reg->config.group, reg->config.number, -1);
    (void)map_remove(&reg->by_serial, provider_serial_key(p));
    if (p->attested && map_get(&reg->by_key, str_from(p->blob.key_hash)) == p)
        map_remove(&reg->by_key, str_from(p->blob.key_hash));
    log_event(reg->config.log, LOG_INFO, EV_PROVIDER_DISCONNECTED, KV_CSTR("provider", p->id),
              KV_CSTR("why", why), KV_INT("code", code), KV_INT("running", p->n_attempts),
              KV_INT("ignored_messages", p->ignored_messages));
    provider_drop_attempts(p, fault ? ATTEMPT_FAULT : ATTEMPT_BLAMELESS,
                           "the provider disconnected");
    list_push_back(&reg->dead, &p->link);
    loop_defer_add(reg->loop, &reg->reap, provider_reap_dead, reg);
}

static void provider_free(struct provider *p)
{
    if (p->record != &p->own_record)
        record_release(&p->reg->records, p->record);
    record_clear(&p->own_record);
    arena_free(&p->region);
    map_free(&p->attempts_by_id);
    free(p);
}

void registry_reap(struct registry *reg)
{
    while (!list_empty(&reg->dead)) {
        struct provider *p = list_owner(reg->dead.next, struct provider, link);

        list_remove(&p->link);
        provider_free(p);
    }
}

/* --- counts --- */

static void registry_count(size_t *count, bool *counted, bool now)
{
    if (*counted == now)
        return;
    CHECK(now || *count > 0);
    *count += now ? 1 : -(size_t)1;
    *counted = now;
}

void provider_count(struct provider *p, bool connected, bool trusted, bool routable)
{
    struct registry_counts *c = &p->reg->counts;

    registry_count(&c->connected, &p->counted_connected, connected);
    registry_count(&c->trusted, &p->counted_trusted, connected && trusted);
    registry_count(&c->routable, &p->counted_routable, connected && trusted && routable);
    CHECK(c->routable <= c->trusted && c->trusted <= c->connected);
    if (p->reg->config.group)
        registry_group_set_count(p->reg->config.group, p->reg->config.number, c->connected);
}

/* --- trust --- */

void provider_set_trust(struct provider *p, enum trust_level level, enum trust_reason reason)
{
    bool changed = p->trust != level || p->reason != reason;

    p->trust = level;
    p->reason = reason;
    if (changed)
        log_event(p->reg->config.log, LOG_INFO, EV_PROVIDER_TRUST, KV_CSTR("provider", p->id),
                  KV_CSTR("trust", p->record->distrusted ? "untrusted" : trust_name(level)),
                  KV_CSTR("reason", trust_reason_code(reason)));
    offers_update(p);
}

/* A key that was proven on this socket is distrusted wherever it comes from. One that was only
 * claimed may be somebody else's: then it is this connection alone. */
void provider_distrust(struct provider *p, enum trust_reason reason)
{
    struct record *r = p->record;
    char why[160];

    if (r->distrusted || p->state != PROVIDER_REGISTERED)
        return;
    r->distrusted = true;
    r->reason = reason;
    record_touch(&p->reg->records, r, true);
    metrics_add(p->reg->config.metrics, M_DISTRUSTED, reason, 0, 1);
    challenge_stop(p);
    provider_set_trust(p, TRUST_NONE, reason);
    provider_record_changed(p);
    snprintf(why, sizeof why, "the provider is no longer trusted: %s", trust_reason_help(reason));
    provider_drop_attempts(p, ATTEMPT_FAULT, why);
}

void provider_record_changed(struct provider *p)
{
    struct provider *newer;

    offers_update(p);
    if (p->record->holders < 2)
        return;
    newer = map_get(&p->reg->by_key, str_from(p->record->key));
    if (newer && newer != p)
        offers_update(newer);
}

struct provider *provider_key_proven(struct provider *p)
{
    struct registry *reg = p->reg;
    struct str key = str_from(p->blob.key_hash);
    struct provider *older = map_get(&reg->by_key, key);
    struct record *r;

    if (older == p)
        return NULL;
    CHECK(p->n_attempts == 0 || p->record == &p->own_record);
    snprintf(p->account, sizeof p->account, "provider:%s", p->blob.key_hash);
    /* Without memory the provider serves on, but a later connection will not displace it, and what
     * is learned of it ends with this one. */
    (void)map_put(&reg->by_key, key, p);
    r = record_hold(&reg->records, p->blob.key_hash, clock_mono_us(&reg->clock));
    if (r)
        p->record = r;
    return older;
}

int registry_forgive(struct registry *reg, struct str key)
{
    struct record *r = map_get(&reg->records.by_key, key);
    struct provider *p = map_get(&reg->by_key, key);

    if (!r || !r->distrusted)
        return ERR_NOT_FOUND;
    r->distrusted = false;
    record_touch(&reg->records, r, true);
    if (p) {
        provider_set_trust(p, TRUST_NONE, TRUST_REASON_NEW);
        challenge_start(p);
    }
    return 0;
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
