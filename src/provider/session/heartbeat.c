/* SPDX-License-Identifier: Apache-2.0 */
/* The heartbeat. */
#include "provider/session/heartbeat.h"

#include "provider/session/metrics.h"

/* The wire has no word for a provider that stops. "reloading" is one that coordinators of either
 * kind route nothing to, and that, unlike "crashed", is no fault. */
static struct str heartbeat_slot_state(const struct load *load)
{
    if (load->crashed)
        return STR("crashed");
    if (load->draining || load->loading)
        return STR("reloading");
    return load->unloaded ? STR("idle_shutdown") : STR("running");
}

static bool heartbeat_is_warm(const struct load *load)
{
    return !load->crashed && !load->loading && !load->unloaded && !load->draining;
}

int heartbeat_write(const struct machine *machine, const struct load *load, struct buf *out)
{
    bool serving = load->running + load->waiting > 0;
    struct str model = machine->model.id;
    struct msg_slot slot = {
        .model = model,
        .state = heartbeat_slot_state(load),
        .num_running = load->running,
        .num_waiting = load->waiting,
        .active_tokens = load->active_tokens,
        .max_tokens_potential = load->max_tokens_potential,
    };
    struct provider_msg msg = {
        .type = MSG_HEARTBEAT,
        .heartbeat = {
            .status = serving ? STR("serving") : STR("idle"),
            .active_model = serving ? model : (struct str){0},
            .stats = {.requests_served = load->requests_served,
                      .tokens_generated = load->tokens_generated,
                      .forward_passes = load->forward_passes},
            .warm_models = {&model, heartbeat_is_warm(load) ? 1 : 0},
            .system_metrics = metrics_read(machine->root),
            .has_backend_capacity = true,
            .backend_capacity = {.slots = &slot,
                                 .n_slots = 1,
                                 .total_memory_gb = metrics_total_memory_gb(machine->root),
                                 .max_running = load->draining ? 0 : machine->max_running}}};

    return provider_msg_encode(&msg, out);
}
