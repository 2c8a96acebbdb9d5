/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's thread and the calls that reach it from the loop. */
#include "provider/engine/scheduler.h"

#include <stdlib.h>

#include "provider/engine/scheduler_impl.h"

void scheduler_emit(struct scheduler *s, const struct engine_event *e)
{
    events_put(&s->events, e);
    s->put_events = true;
}

static void wake_once(struct scheduler *s)
{
    if (s->put_events)
        s->config.wake(s->config.wake_ud);
    s->put_events = false;
}

/* --- the thread --- */

static struct slot *free_slot(struct scheduler *s)
{
    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        if (!s->slots[i].request)
            return &s->slots[i];
    }
    return NULL;
}

/* The next waiting request, moved to the running ones; cancelled ones end here. */
static struct request *take_waiting(struct scheduler *s)
{
    struct request *r = NULL;

    pthread_mutex_lock(&s->lock);
    while (!r && !list_empty(&s->waiting)) {
        r = list_owner(s->waiting.next, struct request, link);
        list_remove(&r->link);
        s->n_waiting--;
        if (atomic_load(&r->cancelled)) {
            request_free(r);
            r = NULL;
        }
    }
    if (r) {
        list_push_back(&s->running, &r->link);
        s->n_running++;
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

static void admit(struct scheduler *s)
{
    struct slot *slot;
    struct request *r;

    while ((slot = free_slot(s)) && (r = take_waiting(s)))
        slot_admit(s, slot, r);
}

/* Sleep until there is work; false: stop. */
static bool wait_for_work(struct scheduler *s, bool idle)
{
    bool go_on;

    pthread_mutex_lock(&s->lock);
    while (idle && list_empty(&s->waiting) && !s->stopping)
        pthread_cond_wait(&s->work, &s->lock);
    go_on = !s->stopping;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct scheduler *s = arg;
    bool idle = true;

    while (wait_for_work(s, idle)) {
        admit(s);
        wake_once(s);
        idle = !scheduler_step(s);
        wake_once(s);
    }
    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        if (s->slots[i].request)
            slot_drop(s, &s->slots[i]);
    }
    return NULL;
}

/* --- from the loop --- */

int scheduler_submit(struct scheduler *s, uint64_t tag, const struct chat_request *chat)
{
    struct request *r;
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    if (s->n_waiting >= s->config.max_waiting)
        rc = ERR_BUSY;
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        return rc;
    /* Requests without a seed differ from one another. */
    r = request_new(tag, chat, s->config.seed ^ (tag * 0x9E3779B97F4A7C15ULL));
    if (!r)
        return ERR_NOMEM;
    pthread_mutex_lock(&s->lock);
    list_push_back(&s->waiting, &r->link);
    s->n_waiting++;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static void mark(struct list_node *head, uint64_t tag)
{
    for (struct list_node *n = head->next; n != head; n = n->next) {
        struct request *r = list_owner(n, struct request, link);

        if (r->tag == tag)
            atomic_store(&r->cancelled, true);
    }
}

void scheduler_cancel(struct scheduler *s, uint64_t tag)
{
    pthread_mutex_lock(&s->lock);
    mark(&s->waiting, tag);
    mark(&s->running, tag);
    pthread_mutex_unlock(&s->lock);
}

int scheduler_poll(struct scheduler *s, struct engine_event *ret_event)
{
    return events_take(&s->events, ret_event);
}

void scheduler_load(struct scheduler *s, struct load *ret_load)
{
    pthread_mutex_lock(&s->lock);
    *ret_load = s->load;
    ret_load->running = (int64_t)s->n_running;
    ret_load->waiting = (int64_t)s->n_waiting;
    if (s->n_running == 0)
        ret_load->active_tokens = ret_load->max_tokens_potential = 0;
    pthread_mutex_unlock(&s->lock);
}

struct scheduler_counters scheduler_counters(struct scheduler *s)
{
    struct scheduler_counters c;

    pthread_mutex_lock(&s->lock);
    c = s->counters;
    pthread_mutex_unlock(&s->lock);
    return c;
}

/* --- life --- */

static int alloc(struct scheduler *s)
{
    int32_t seqs = s->limits.max_seqs;

    s->slots = calloc((size_t)seqs, sizeof *s->slots);
    s->rows = calloc((size_t)(s->config.chunk_tokens + seqs), sizeof *s->rows);
    if (!s->slots || !s->rows || sampler_scratch_init(&s->scratch, s->limits.vocab) < 0)
        return ERR_NOMEM;
    for (int32_t i = 0; i < seqs; i++) {
        s->slots[i].tokens = calloc((size_t)s->limits.context_tokens + 1, sizeof(int32_t));
        if (!s->slots[i].tokens)
            return ERR_NOMEM;
    }
    return events_init(&s->events);
}

static void release(struct scheduler *s)
{
    while (!list_empty(&s->waiting)) {
        struct request *r = list_owner(s->waiting.next, struct request, link);

        list_remove(&r->link);
        request_free(r);
    }
    for (int32_t i = 0; s->slots && i < s->limits.max_seqs; i++)
        free(s->slots[i].tokens);
    free(s->slots);
    free(s->rows);
    sampler_scratch_free(&s->scratch);
    buf_free(&s->prompt);
    events_free(&s->events);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->work);
    free(s);
}

int scheduler_start(const struct scheduler_config *config, struct scheduler **ret_scheduler,
                    struct err *ret_err)
{
    struct scheduler *s = calloc(1, sizeof *s);

    if (!s)
        return err_set(ret_err, ERR_NOMEM, "out of memory for the scheduler");
    s->config = *config;
    s->limits = config->ops->limits(config->model);
    list_init(&s->waiting);
    list_init(&s->running);
    buf_init(&s->prompt, 64U << 20);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    if (alloc(s) < 0 || pthread_create(&s->thread, NULL, run, s) != 0) {
        release(s);
        return err_set(ret_err, ERR_NOMEM, "out of memory for the scheduler's slots");
    }
    *ret_scheduler = s;
    return 0;
}

void scheduler_stop(struct scheduler *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    events_abandon(&s->events);
    pthread_join(s->thread, NULL);
    release(s);
}
