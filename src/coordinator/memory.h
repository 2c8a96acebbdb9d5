/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's memory for what others make it hold, in classes under one bound
 * (base/budget.h): a class that is used up refuses its own, and leaves the others what is theirs.
 */
#ifndef DARKBLOOM_COORDINATOR_MEMORY_H
#define DARKBLOOM_COORDINATOR_MEMORY_H

#include "base/budget.h"
#include "base/cache_line.h"

struct memory {
    _Alignas(CACHE_LINE_BYTES) struct budget process;
    /* HTTP connections: requests, bodies, answers; 1/2 */
    _Alignas(CACHE_LINE_BYTES) struct budget consumers;
    /* Registered providers: messages both ways; 1/2 */
    _Alignas(CACHE_LINE_BYTES) struct budget providers;
    /* WebSockets that have not said who they are; 1/32 */
    _Alignas(CACHE_LINE_BYTES) struct budget unregistered;
};

/* The classes as one loop charges them: through a drawer each, where it is one of several. */
struct memory_share {
    struct budget *consumers, *providers, *unregistered;
    struct budget drawers[3];
};

/* `mib` for all together; 0: unbounded. Several threads may charge it. */
void memory_init(struct memory *m, int64_t mib);

void memory_share_init(struct memory_share *s, struct memory *m, unsigned n_loops);
/* Nothing is charged through it any more. */
void memory_share_close(struct memory_share *s);

#endif
