/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 4: choose a provider for the next attempt. Without a free slot the request waits in its
 * model's queue (admit/queue.c) and comes back here. */
#include "coordinator/admit/queue.h"
#include "coordinator/flow/flow.h"

enum { BUSY_RETRY_AFTER_S = 5 };

static enum flow_verdict wait_for_slot(struct request *r)
{
    if (queue_wait(r) < 0) {
        api_error_set(&r->error, API_NO_CAPACITY, "model",
                      "%lld requests already wait for `%s`, which is the limit; try again later",
                      (long long)r->coord->settings->queue_max, r->model->id);
        r->error.retry_after_s = BUSY_RETRY_AFTER_S;
        return FLOW_FAIL;
    }
    return FLOW_WAIT;
}

enum flow_verdict flow_route(struct request *r)
{
    int64_t start = clock_mono_us(&r->coord->clock);
    /* Nobody is passed by: those who wait are called as soon as a slot is free that would do for
     * them (queue_drain), so a slot that is free now is none of theirs. */
    struct offer *o = registry_choose(r->model, r->min_trust, r->tried, r->n_attempts);

    r->times.route_us += clock_mono_us(&r->coord->clock) - start;
    if (!o && r->n_attempts > 0 &&
        !registry_may_serve(r->model, r->min_trust, r->tried, r->n_attempts))
        return FLOW_FAIL; /* r->error says what went wrong at the last provider */
    if (!o)
        return wait_for_slot(r);
    queue_leave(r);
    r->chosen = o;
    return FLOW_NEXT;
}
