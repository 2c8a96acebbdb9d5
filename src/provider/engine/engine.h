/* SPDX-License-Identifier: Apache-2.0 */
/* A model behind its scheduler: load, prove invariance, serve. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_ENGINE_H
#define DARKBLOOM_PROVIDER_ENGINE_ENGINE_H

#include "provider/engine/llama_model.h"
#include "provider/engine/scheduler.h"

struct engine;

struct engine_config {
    struct llama_model_config model;
    size_t max_waiting;
    uint64_t seed;
    void (*wake)(void *ud); /* scheduler's threads: call engine_port's poll on the loop's */
    void *wake_ud;
};

/* Takes the time of loading and of the proof (seconds for the demo model). Errors name the file or
 * setting and the way out. With `model.invariant` the check must hold: otherwise the engine runs
 * on, and engine_invariant says that it does not. */
int engine_open(const struct engine_config *config, struct engine **ret_engine,
                struct err *ret_err);
/* Ends running requests without events. NULL is allowed. */
void engine_close(struct engine *e);

struct engine_port engine_port(struct engine *e);
struct model_limits engine_limits(const struct engine *e);
struct gguf_info engine_info(const struct engine *e);
bool engine_invariant(const struct engine *e); /* proved at start */
/* Tokens that the template adds to an empty conversation: part of every price ceiling. */
int32_t engine_template_overhead(const struct engine *e);

#endif
