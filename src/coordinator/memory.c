/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/memory.h"

enum { MIB_SHIFT = 20, SHARE_OF_STRANGERS = 32 };

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
