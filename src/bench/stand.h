/* SPDX-License-Identifier: Apache-2.0 */
/* A test stand: the coordinator as a child on core 0, and on the loop of the calling thread, pinned
 * to core 1, a null provider and the load. */
#ifndef DARKBLOOM_BENCH_STAND_H
#define DARKBLOOM_BENCH_STAND_H

#include "bench/child.h"
#include "bench/load.h"
#include "bench/null_provider.h"

enum { STAND_COORDINATOR_CORE = 0, STAND_LOAD_CORE = 1 };

struct stand {
    struct loop *loop;
    struct child child;
    struct null_provider *provider;
    struct null_script script; /* read for each request: may be changed between loads */
};

/* Start all of it and wait until a request is answered. On failure too stand_free is due. */
int stand_new(const struct child_config *config, struct stand *ret_stand, struct err *ret_err);
void stand_free(struct stand *s);
/* One load through the coordinator; `config` says how much of what kind. */
int stand_load(struct stand *s, struct load_config config, struct load_result *ret_result);
/* Run the loop for a while. */
void stand_wait(struct stand *s, int64_t us);

/* Pin the calling process to the load's core, and say so in the table where that fails. */
void stand_pin(void);

#endif
