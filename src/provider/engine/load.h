/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine is doing, in numbers. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_LOAD_H
#define DARKBLOOM_PROVIDER_ENGINE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

/* The engine's counters at one moment. */
struct load {
    int64_t running, waiting;     /* requests in the batch, requests queued for it */
    int64_t active_tokens;        /* tokens that running requests hold in the KV cache */
    int64_t max_tokens_potential; /* tokens they may come to hold */
    int64_t requests_served, tokens_generated, forward_passes; /* since the process started */
    bool crashed;                                              /* the engine cannot go on */
    bool loading;                                              /* it is not ready yet */
    bool unloaded; /* nobody asked for the model for a while: the next request loads it */
    bool draining; /* the provider stops: nothing new is taken */
};

#endif
