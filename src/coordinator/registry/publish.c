/* SPDX-License-Identifier: Apache-2.0 */
/* What other loops may see of this registry's models (directory.h), and whether they wait for what
 * is free here. Without a group there is nobody to tell. */
#include "coordinator/registry/directory.h"
#include "coordinator/registry/group.h"
#include "coordinator/registry/provider.h"

void model_publish(const struct model *m)
{
    for (int level = 0; m->row && level < TRUST_LEVELS; level++) {
        const struct offer_heap *h = &m->heaps[level];
        struct directory_offers now = {.free = (uint32_t)h->n,
                                       .servable = (uint32_t)m->n_servable[level]};

        if (h->n > 0) {
            now.cost_ms = h->items[0].cost_ms;
            now.turn = h->items[0].offer->turn;
            now.reach = h->items[0].reach;
        }
        directory_set_offers(m->row, m->reg->config.number, (enum trust_level)level, &now);
    }
}

void model_publish_bounds(const struct model *m)
{
    bool any = !list_empty(&m->offers);
    bool known = m->n_unbounded == 0;

    if (m->row)
        directory_set_bounds(m->row, m->reg->config.number,
                             !any    ? 0
                             : known ? m->max_context
                                     : INT64_MAX,
                             any ? m->max_overhead : 0);
}

void model_publish_waiting(const struct model *m, enum trust_level demanded)
{
    if (m->row)
        directory_set_waiting(m->row, m->reg->config.number, demanded,
                              (uint32_t)m->n_waiting_at[demanded]);
}

bool model_is_waited_for_elsewhere(const struct model *m, enum trust_level level)
{
    unsigned here = m->reg->config.number;

    return m->row && directory_waiting_elsewhere(m->row, here, level, here) != here;
}

void provider_offer_room_elsewhere(const struct provider *p)
{
    const struct registry_hooks *hooks = &p->reg->config.hooks;

    for (size_t i = 0; i < p->n_offers; i++) {
        const struct offer *o = &p->offers[i];

        if (o->gate == GATE_NONE && o->model && model_is_waited_for_elsewhere(o->model, p->trust))
            hooks->room(hooks->ud, o->model, p->trust);
    }
}
