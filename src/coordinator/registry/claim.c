/* SPDX-License-Identifier: Apache-2.0 */
/* A key was proven on this loop and is known on another. A claim goes there: that loop closes the
 * older connection of the key, whose requests find their way by the ordinary retry, and sends what
 * is known of the key (its record) along. Until it is back the provider is not asked: nobody works
 * under a key whose breaker or distrust is not known. A claim that finds the key gone is sent on.
 */
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
};

static void claim_post(struct claim *c, unsigned to, void (*run)(void *ud))
{
    c->at = to;
    inbox_post(registry_group_inbox(c->group, to), &c->item, run, c);
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
    free(c);
}

/* Whoever has the key here gives way. Nothing of that provider is on the stack. */
static void claim_close_older(struct registry *reg, const char *key)
{
    struct provider *older = map_get(&reg->by_key, str_from(key));

    if (older)
        provider_replace(older, "on another loop");
    registry_reap(reg); /* it holds its record no longer */
}

/* Where the key is known, or was when the claim was sent. */
static void claim_arrived(void *ud)
{
    struct claim *c = ud;
    struct registry *reg = registry_group_member(c->group, c->at);
    unsigned owner;

    if (c->at == c->home) { /* another provider at home had claimed it before */
        claim_came_back(c);
    } else if (registry_group_pass_key(c->group, c->key, c->at, c->home, &owner)) {
        claim_close_older(reg, c->key);
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
