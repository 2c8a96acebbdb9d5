/* SPDX-License-Identifier: Apache-2.0 */
/* A key was proven on this loop and is known on another. A claim goes there and fetches what is
 * known of the key (its record); until it is back the provider is not asked: nobody works under a
 * key whose breaker or distrust is not known. An older connection of the key, there, takes nothing
 * more from then on and is closed once the newer one may be asked, so that what ran there finds its
 * way to it by the ordinary retry. A claim that finds the key gone is sent on.
 *
 *     home             owner
 *     key proven    →  the older one gives its record up
 *     may be asked  →  the older one is closed */
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/registry/group.h"
#include "coordinator/registry/provider.h"
#include "net/inbox.h"

struct claim {
    struct inbox_item item;
    struct registry_group *group;
    unsigned home, at;
    uint64_t serial; /* of the provider at home, which may be gone by then */
    char key[RECORD_KEY_BYTES];
    struct record *record; /* on its way home; NULL: nothing is known */
    uint64_t older;        /* of the older connection; 0: there is none */
};

static void claim_post(struct claim *c, unsigned to, void (*run)(void *ud))
{
    c->at = to;
    inbox_post(registry_group_inbox(c->group, to), &c->item, run, c);
}

/* Back at the older one's. */
static void claim_close_older(void *ud)
{
    struct claim *c = ud;
    struct provider *older = provider_by_serial(registry_group_member(c->group, c->at), c->older);

    if (older)
        provider_replace(older, "a connection to another loop");
    free(c);
}

/* At home. */
static void claim_came_back(void *ud)
{
    struct claim *c = ud;
    struct registry *reg = registry_group_member(c->group, c->home);
    struct provider *p = provider_by_serial(reg, c->serial);

    if (c->record)
        (void)record_adopt(&reg->records, c->record);
    if (p)
        challenge_key_is_here(p);
    if (!map_get(&reg->by_key, str_from(c->key)) && !record_find(&reg->records, c->key))
        registry_group_forget_key(c->group, c->key, c->home);
    if (c->older)
        claim_post(c, registry_loop_of(c->older), claim_close_older);
    else
        free(c);
}

/* What runs there is lost with the connection, and counts as that does. */
static void claim_fail_attempts(struct provider *older, int64_t now_us)
{
    for (struct list_node *n = older->attempts.next; n != &older->attempts; n = n->next)
        (void)record_failed(older->record, now_us, list_owner(n, struct attempt, link)->probe);
}

/* The record is the key's, not this connection's any more. */
static void claim_give_up_record(struct provider *older)
{
    int64_t now = clock_mono_us(&older->reg->clock);
    struct record *r = older->record;

    claim_fail_attempts(older, now);
    record_init(&older->own_record, now);
    older->record = &older->own_record;
    for (size_t i = 0; i < older->n_offers; i++)
        older->offers[i].rates = NULL;
    older->draining = true;
    offers_update(older);
    record_release(&older->reg->records, r);
}

/* Where the key is known, or was when the claim was sent. */
static void claim_arrived(void *ud)
{
    struct claim *c = ud;
    struct registry *reg = registry_group_member(c->group, c->at);
    struct provider *older;
    unsigned owner;

    if (c->at == c->home) { /* another provider at home had claimed it before */
        claim_came_back(c);
    } else if (registry_group_pass_key(c->group, c->key, c->at, c->home, &owner)) {
        older = map_get(&reg->by_key, str_from(c->key));
        if (older) {
            c->older = older->serial;
            (void)map_remove(&reg->by_key, str_from(older->blob.key_hash));
            claim_give_up_record(older);
        }
        registry_reap(reg); /* what is gone holds the record no longer */
        c->record = record_take(&reg->records, c->key);
        claim_post(c, c->home, claim_came_back);
    } else {
        claim_post(c, owner, claim_arrived);
    }
}

int provider_claim_key(struct provider *p)
{
    const struct registry_config *config = &p->reg->config;
    unsigned owner;
    struct claim *c;

    if (!config->group || map_get(&p->reg->by_key, str_from(p->blob.key_hash)) == p)
        return 0;
    owner = registry_group_claim_key(config->group, p->blob.key_hash, config->number);
    if (owner == config->number)
        return 0;
    c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->group = config->group;
    c->home = config->number;
    c->serial = p->serial;
    (void)snprintf(c->key, sizeof c->key, "%s", p->blob.key_hash);
    claim_post(c, owner, claim_arrived);
    return ERR_AGAIN;
}
