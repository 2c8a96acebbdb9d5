/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admit/queue.h"

#include "coordinator/flow/flow.h"

enum { QUEUE_RETRY_AFTER_S = 5 };

static void waited_too_long(void *ud)
{
    struct request *r = ud;
    int64_t wait_ms = r->coord->settings->queue_wait_ms;

    queue_leave(r);
    api_error_set(&r->error, API_NO_CAPACITY, "model",
                  "no provider of `%s` at trust level %s had a free slot within %lld ms; try again "
                  "later",
                  r->model->id, trust_name(r->min_trust), (long long)wait_ms);
    r->error.retry_after_s = QUEUE_RETRY_AFTER_S;
    flow_fail(r);
}

int queue_wait(struct request *r)
{
    if (list_linked(&r->waiting))
        return 0;
    if ((int64_t)r->model->n_waiting >= r->coord->settings->queue_max)
        return ERR_BUSY;
    list_push_back(&r->model->waiting, &r->waiting);
    r->model->n_waiting++;
    r->times.queued_at = clock_mono_us(&r->coord->clock);
    loop_timer_set(r->coord->loop, &r->queue_timer, r->coord->settings->queue_wait_ms * 1000,
                   waited_too_long, r);
    return 0;
}

void queue_leave(struct request *r)
{
    if (!list_linked(&r->waiting))
        return;
    list_remove(&r->waiting);
    r->model->n_waiting--;
    r->times.queue_us += clock_mono_us(&r->coord->clock) - r->times.queued_at;
    loop_timer_clear(r->coord->loop, &r->queue_timer);
}

void queue_drain(struct model *m)
{
    struct list_node *n = m->waiting.next;

    /* Taking a slot reports the slots that are left, which leads back here. */
    if (m->draining)
        return;
    m->draining = true;
    /* One that demands more trust than is free does not block those behind it. */
    while (n != &m->waiting) {
        struct request *r = list_owner(n, struct request, waiting);

        n = n->next;
        if (registry_choose(m, r->min_trust, NULL, 0))
            flow_resume(r);
        else if (!registry_choose(m, TRUST_NONE, NULL, 0))
            break;
    }
    m->draining = false;
}
