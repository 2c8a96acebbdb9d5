/* SPDX-License-Identifier: Apache-2.0 */
/* What a request is expected to wait at an offer, in milliseconds, by term. Only ranks (FR-3). */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_COST_H
#define DARKBLOOM_COORDINATOR_REGISTRY_COST_H

#include <stdint.h>

/* X(term, what it is) */
#define COST_TABLE(X)                                                            \
    X(prefill, "reading a prompt of the model's mean length")                    \
    X(decode, "writing an answer of its mean length, slowed by what runs there") \
    X(load, "loading the model into memory")                                     \
    X(queue, "requests that are there already")                                  \
    X(ours, "of these, ours: what its heartbeat may not know yet")               \
    X(backlog, "tokens that it still has to make")                               \
    X(pressure, "memory, processor, GPU memory and temperature")                 \
    X(failures, "its share of failed answers")

struct cost {
#define COST_FIELD(term, what) double term##_ms;
    COST_TABLE(COST_FIELD)
#undef COST_FIELD
};

struct offer;

/* Set what changes slowly: the offer's rates and stream limit, its prefill and failures terms. */
void cost_rate(struct offer *o, int64_t now_us);
/* Set the other terms; the sum of all. */
double cost_of(struct offer *o);

#endif
