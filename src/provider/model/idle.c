/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/model/idle.h"

bool idle_should_unload(bool loaded, int64_t in_flight, int64_t unused_ms, int64_t resident_ms,
                        int64_t timeout_ms)
{
    return timeout_ms > 0 && loaded && in_flight == 0 && unused_ms >= timeout_ms &&
           resident_ms >= IDLE_RESIDENT_MS;
}

static void idle_look(void *ud)
{
    struct idle *i = ud;
    const struct model_use use = model_use(i->model);

    if (idle_should_unload(model_state(i->model) == MODEL_READY, use.in_flight, use.unused_ms,
                           use.resident_ms, i->timeout_ms))
        model_unload(i->model);
    loop_timer_set(i->loop, &i->timer, IDLE_PERIOD_MS * INT64_C(1000), idle_look, i);
}

void idle_start(struct idle *i, struct loop *loop, struct model *model, int64_t timeout_ms)
{
    *i = (struct idle){.loop = loop, .model = model, .timeout_ms = timeout_ms};
    if (timeout_ms > 0)
        loop_timer_set(loop, &i->timer, IDLE_PERIOD_MS * INT64_C(1000), idle_look, i);
}

void idle_stop(struct idle *i)
{
    if (i->loop)
        loop_timer_clear(i->loop, &i->timer);
}
