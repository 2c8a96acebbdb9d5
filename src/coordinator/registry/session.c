/* SPDX-License-Identifier: Apache-2.0 */
/* Encryption sessions with a provider: some are kept ready, made when nobody waits. */
#include "coordinator/registry/provider.h"

/* Sessions ahead of need take at most half of the slab, and more than one a provider at most a
 * quarter: a few that are asked often must not leave the others without. In the loop more than one
 * would only move the work. */
static unsigned session_target(const struct provider *p)
{
    size_t left = box_slab_left(p->reg->config.slab);

    if (p->state != PROVIDER_REGISTERED || left <= REGISTRY_SESSION_SLOTS / 2)
        return 0;
    if (!p->reg->config.session_port || left <= REGISTRY_SESSION_SLOTS / 4 * 3)
        return 1;
    return p->stock.wanted;
}

static void session_prepare(void *ud)
{
    struct provider *p = ud;

    /* What goes wrong here goes wrong again, and is told, when a request needs it. */
    box_stock_order(&p->stock, p->reg->config.slab, p->reg->config.session_port, p->x25519,
                    session_target(p));
}

int provider_key_check(struct provider *p)
{
    struct box_session *session = NULL;
    int rc = box_session_open(p->reg->config.slab, p->x25519, &session);

    box_session_close(session);
    return rc;
}

int registry_session(struct offer *o, struct box_session **ret_session)
{
    struct provider *p = o->provider;
    struct box_session *ready = box_stock_take(&p->stock, p->reg->config.session_port);

    loop_defer_late(p->reg->loop, &p->prepare, session_prepare, p);
    if (!ready)
        return box_session_open(p->reg->config.slab, p->x25519, ret_session);
    *ret_session = ready;
    return 0;
}

void provider_session_drop(struct provider *p)
{
    loop_defer_remove(p->reg->loop, &p->prepare);
    box_stock_drop(&p->stock, p->reg->config.session_port);
}
