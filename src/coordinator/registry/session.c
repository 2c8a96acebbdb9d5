/* SPDX-License-Identifier: Apache-2.0 */
/* Encryption sessions with a provider: one is kept ready, made when nobody waits. */
#include "coordinator/registry/provider.h"

/* Sessions ahead of need take at most half of the slab. */
static bool session_may_prepare(const struct provider *p)
{
    return p->state == PROVIDER_REGISTERED && !p->ready &&
           box_slab_left(p->reg->config.slab) > REGISTRY_SESSION_SLOTS / 2;
}

static void session_prepare(void *ud)
{
    struct provider *p = ud;

    /* What goes wrong here goes wrong again, and is told, when a request needs it. */
    if (session_may_prepare(p))
        (void)box_session_open(p->reg->config.slab, p->x25519, &p->ready);
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

    loop_defer_late(p->reg->loop, &p->prepare, session_prepare, p);
    if (!p->ready)
        return box_session_open(p->reg->config.slab, p->x25519, ret_session);
    *ret_session = p->ready;
    p->ready = NULL;
    return 0;
}

void provider_session_drop(struct provider *p)
{
    loop_defer_remove(p->reg->loop, &p->prepare);
    box_session_close(p->ready);
    p->ready = NULL;
}
