/* SPDX-License-Identifier: Apache-2.0 */
/* The registry itself: its life, its counts, and its records on their way to the store and back. */
#include "coordinator/registry/registry.h"

#include <stdio.h>
#include <stdlib.h>

#include "coordinator/registry/group.h"
#include "coordinator/registry/provider.h"
#include "coordinator/registry/record_saved.h"

enum { OUT_MAX_BYTES = 64 << 10 };

static void registry_records_dirtied(void *ud)
{
    const struct registry_hooks *hooks = &((struct registry *)ud)->config.hooks;

    if (hooks->records)
        hooks->records(hooks->ud);
}

static void registry_record_forgotten(void *ud, const char *key)
{
    const struct registry_config *config = &((struct registry *)ud)->config;

    if (config->group)
        registry_group_forget_key(config->group, key, config->number);
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
    list_init(&reg->freed);
    list_init(&reg->verify);
    record_book_init(&reg->records);
    reg->records.dirtied = registry_records_dirtied;
    reg->records.forgotten = registry_record_forgotten;
    reg->records.ud = reg;
    buf_init(&reg->out, OUT_MAX_BYTES);
    if (proto_scratch_init(&reg->scratch, 2 * (size_t)PROVIDER_FRAME_MAX_BYTES) < 0 ||
        models_configure(reg) < 0) {
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
                       "the coordinator is stopping", false);
}

void registry_free(struct registry *reg)
{
    if (!reg)
        return;
    registry_close_all(reg);
    loop_defer_remove(reg->loop, &reg->reap);
    registry_reap(reg);
    loop_timer_clear(reg->loop, &reg->verify_timer);
    map_free(&reg->by_key);
    map_free(&reg->by_serial);
    record_book_free(&reg->records);
    models_free(reg);
    proto_scratch_free(&reg->scratch);
    buf_free(&reg->out);
    free(reg);
}

int registry_take_settings(struct registry *reg, const struct settings *settings)
{
    int rc;

    reg->config.settings = settings;
    rc = models_configure(reg);
    for (struct list_node *n = reg->providers.next; n != &reg->providers; n = n->next) {
        struct provider *p = list_owner(n, struct provider, link);

        p->rated_us = RATED_NEVER;
        offers_update(p);
    }
    return rc;
}

/* --- counts --- */

struct registry_counts registry_counts(const struct registry *reg)
{
    return reg->counts;
}

size_t registry_provider_count(const struct registry *reg)
{
    return reg->counts.connected;
}

size_t registry_provider_count_everywhere(const struct registry *reg)
{
    return reg->config.group ? registry_group_count(reg->config.group) : reg->counts.connected;
}

struct registry_work registry_work(const struct registry *reg)
{
    return reg->work;
}

/* --- records for the store --- */

int registry_next_record(struct registry *reg, struct buf *out, struct registry_saved *ret_saved)
{
    struct record *r = record_next_dirty(&reg->records);
    int rc;

    if (!r)
        return ERR_NOT_FOUND;
    rc = record_write(r, &reg->clock, out);
    if (rc < 0)
        record_touch(&reg->records, r, r->urgent);
    else
        *ret_saved = (struct registry_saved){str_from(r->key),
                                             r->distrusted ? trust_reason_code(r->reason) : ""};
    return rc;
}

bool registry_has_unsaved(const struct registry *reg)
{
    return !list_empty(&reg->records.dirty) || !list_empty(&reg->records.urgent);
}

void registry_keep_record(struct registry *reg, struct str key)
{
    char name[RECORD_KEY_BYTES];
    struct record *r;

    snprintf(name, sizeof name, "%.*s", STR_ARG(key));
    r = record_find(&reg->records, name);
    if (r)
        record_touch(&reg->records, r, r->urgent);
}

int registry_load_record(struct registry *reg, struct str key, struct str text,
                         struct str distrusted)
{
    char name[RECORD_KEY_BYTES];
    struct record *r;
    int rc;

    if (key.n >= sizeof name)
        return ERR_RANGE;
    snprintf(name, sizeof name, "%.*s", STR_ARG(key));
    if (reg->config.group)
        (void)registry_group_claim_key(reg->config.group, name, reg->config.number);
    r = record_hold(&reg->records, name, clock_mono_us(&reg->clock));
    if (!r)
        return ERR_NOMEM;
    rc = record_read(r, &reg->clock, &reg->scratch, text);
    if (distrusted.n > 0) {
        r->distrusted = true;
        /* One that only a later version knows is a distrust all the same. */
        if (trust_reason_parse(distrusted, &r->reason) < 0)
            r->reason = TRUST_REASON_CHALLENGE_SIGNATURE;
    }
    record_release(&reg->records, r);
    return rc;
}
