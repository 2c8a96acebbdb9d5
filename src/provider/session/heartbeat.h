/* SPDX-License-Identifier: Apache-2.0 */
/* The heartbeat: what the engine is doing, measured, and how the machine is. */
#ifndef DARKBLOOM_PROVIDER_SESSION_HEARTBEAT_H
#define DARKBLOOM_PROVIDER_SESSION_HEARTBEAT_H

#include "provider/session/machine.h"

/* The engine's counters at one moment. */
struct load {
    int64_t running, waiting;     /* requests in the batch, requests queued for it */
    int64_t active_tokens;        /* tokens that running requests hold in the KV cache */
    int64_t max_tokens_potential; /* tokens they may come to hold */
    int64_t requests_served, tokens_generated, forward_passes; /* since the process started */
    bool crashed;                                              /* the engine cannot go on */
};

/* Append the frame. 0, ERR_LIMIT or ERR_NOMEM. */
int heartbeat_write(const struct machine *machine, const struct load *load, struct buf *out);

#endif
