/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/memory.h"

enum {
    MIB_SHIFT = 20,
    SHARE_OF_STRANGERS = 32,
    DRAWER_BLOCK_BYTES = 256 << 10,
    DRAWERS_PART = 16 /* all blocks of a class together: at most one of so many of its bytes */
};

void memory_init(struct memory *m, int64_t mib)
{
    size_t all = mib > 0 ? (size_t)mib << MIB_SHIFT : SIZE_MAX;

    budget_init_shared(&m->process, "the process (limits.memory_mib)", all, NULL);
    budget_init_shared(&m->consumers, "all consumers (half of limits.memory_mib)", all / 2,
                       &m->process);
    budget_init_shared(&m->providers, "all providers (half of limits.memory_mib)", all / 2,
                       &m->process);
    budget_init_shared(&m->unregistered, "providers before register (1/32 of limits.memory_mib)",
                       all / SHARE_OF_STRANGERS, &m->process);
}

/* In use, or the class itself where there is nobody to share it with. */
static struct budget *memory_drawer(struct budget *drawer, struct budget *class, unsigned n_loops)
{
    size_t most = class->max_bytes / DRAWERS_PART / n_loops;

    if (n_loops == 1)
        return class;
    budget_init_drawer(drawer, most < DRAWER_BLOCK_BYTES ? most : DRAWER_BLOCK_BYTES, class);
    return drawer;
}

void memory_share_init(struct memory_share *s, struct memory *m, unsigned n_loops)
{
    s->consumers = memory_drawer(&s->drawers[0], &m->consumers, n_loops);
    s->providers = memory_drawer(&s->drawers[1], &m->providers, n_loops);
    s->unregistered = memory_drawer(&s->drawers[2], &m->unregistered, n_loops);
}

void memory_share_close(struct memory_share *s)
{
    for (size_t i = 0; i < sizeof s->drawers / sizeof s->drawers[0]; i++)
        budget_empty_drawer(&s->drawers[i]);
}
