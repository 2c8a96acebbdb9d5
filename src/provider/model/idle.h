/* SPDX-License-Identifier: Apache-2.0 */
/* A model that nobody asks for leaves memory: looked at once a minute, on a timer of the loop. The
 * engine's process ends; the next request, or a load_model of the coordinator, starts it again
 * (model.h). Belongs to the loop's thread. */
#ifndef DARKBLOOM_PROVIDER_MODEL_IDLE_H
#define DARKBLOOM_PROVIDER_MODEL_IDLE_H

#include "provider/model/model.h"

enum {
    IDLE_PERIOD_MS = 60000,
    IDLE_RESIDENT_MS = 300000 /* a model stays for so long at least, whatever the timeout */
};

/* Loaded, nothing in flight, and both long enough since the last request began or ended and since
 * it was loaded. A timeout of 0: never. */
bool idle_should_unload(bool loaded, int64_t in_flight, int64_t unused_ms, int64_t resident_ms,
                        int64_t timeout_ms);

struct idle {
    struct loop *loop;
    struct loop_timer timer;
    struct model *model;
    int64_t timeout_ms;
};

/* Watch `model` from now on. A timeout of 0 watches nothing. */
void idle_start(struct idle *i, struct loop *loop, struct model *model, int64_t timeout_ms);
/* A zeroed struct is allowed. */
void idle_stop(struct idle *i);

#endif
