/* SPDX-License-Identifier: Apache-2.0 */
/* Sends the metrics as DogStatsD (base/statsd.h) every 10 s, where the settings name a host for
 * them. Loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_API_EMITTER_H
#define DARKBLOOM_COORDINATOR_API_EMITTER_H

#include "base/err.h"

struct coord;
struct emitter;

enum { EMITTER_EVERY_MS = 10000 };

/* *ret_emitter is NULL where the settings name no host, and where the host cannot be found: that is
 * logged as a warning, nobody's answers depend on it. 0 or ERR_NOMEM. */
int emitter_new(struct coord *c, struct emitter **ret_emitter);
/* Sends what is left. NULL is allowed. */
void emitter_free(struct emitter *e);

#endif
