/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that found no free slot wait here, in order of arrival, one queue a model (between
 * reserve and route). */
#ifndef DARKBLOOM_COORDINATOR_ADMIT_QUEUE_H
#define DARKBLOOM_COORDINATOR_ADMIT_QUEUE_H

#include "coordinator/registry/registry.h"

struct request;

/* Wait for a slot. 0, or ERR_BUSY: the queue is full. A time-out fails the request with 503. */
int queue_wait(struct request *r);

/* Stop waiting (cancelled, or on its way). A request that does not wait is left alone. */
void queue_leave(struct request *r);

/* A slot may have become free: resume waiting requests, in order, while there is something to
 * choose. */
void queue_drain(struct model *m);

#endif
