/* SPDX-License-Identifier: Apache-2.0 */
/* The batch thread and the calls that reach it from the loop. */
#include "provider/engine/scheduler.h"

#include <stdlib.h>

#include "provider/engine/scheduler_impl.h"

enum { LOGPROBS_MAX_BYTES = 256 << 10 /* of one token */ };

void scheduler_emit(struct scheduler *s, const struct engine_event *e)
{
    events_put(&s->events, e);
    s->put_events = true;
}

static void scheduler_wake_once(struct scheduler *s)
{
    if (s->put_events)
        s->config.wake(s->config.wake_ud);
    s->put_events = false;
}

/* --- the batch thread --- */

static struct slot *scheduler_free_slot(struct scheduler *s)
{
    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        if (!s->slots[i].request)
            return &s->slots[i];
    }
    return NULL;
}

/* The next prepared request, moved to the running ones. */
static struct request *scheduler_take_prepared(struct scheduler *s)
{
    struct request *r = NULL;

    pthread_mutex_lock(&s->lock);
    if (!list_empty(&s->prepared)) {
        r = list_owner(s->prepared.next, struct request, link);
        list_remove(&r->link);
        list_push_back(&s->running, &r->link);
        s->n_waiting--;
        s->n_running++;
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

static void scheduler_admit(struct scheduler *s)
{
    struct slot *slot;
    struct request *r;

    while ((slot = scheduler_free_slot(s)) && (r = scheduler_take_prepared(s)))
        slot_admit(s, slot, r);
}

/* Sleep until there is work; false: stop. */
static bool scheduler_wait_for_work(struct scheduler *s, bool idle)
{
    bool go_on;

    pthread_mutex_lock(&s->lock);
    while (idle && list_empty(&s->prepared) && !s->stopping)
        pthread_cond_wait(&s->work, &s->lock);
    go_on = !s->stopping;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void *scheduler_run(void *arg)
{
    struct scheduler *s = arg;
    bool idle = true;

    while (scheduler_wait_for_work(s, idle)) {
        scheduler_admit(s);
        idle = !scheduler_step(s);
        scheduler_wake_once(s);
    }
    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        if (s->slots[i].request)
            slot_drop(s, &s->slots[i]);
    }
    return NULL;
}

/* --- from the loop --- */

/* What no context can hold is not even copied: a template takes a token at least for each message,
 * and a token stands for so much text at most. */
static bool scheduler_can_fit(const struct scheduler *s, const struct chat_request *chat)
{
    size_t context = (size_t)s->limits.context_tokens;

    return chat->n_messages < context &&
           chat->messages.n + chat->tools.n <= context * (size_t)s->limits.longest_piece_bytes;
}

int scheduler_submit(struct scheduler *s, uint64_t tag, const struct chat_request *chat)
{
    struct request *r;
    int rc = 0;

    if (!scheduler_can_fit(s, chat))
        return ERR_LIMIT;
    pthread_mutex_lock(&s->lock);
    if (s->n_waiting >= s->config.max_waiting)
        rc = ERR_BUSY;
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        return rc;
    /* Requests without a seed differ from one another. */
    r = request_new(tag, chat, s->config.seed ^ (tag * 0x9E3779B97F4A7C15ULL),
                    s->limits.context_tokens);
    if (!r)
        return ERR_NOMEM;
    pthread_mutex_lock(&s->lock);
    scheduler_arrive(s, r);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static struct request *scheduler_find(struct list_node *head, uint64_t tag)
{
    for (struct list_node *n = head->next; n != head; n = n->next) {
        struct request *r = list_owner(n, struct request, link);

        if (r->tag == tag)
            return r;
    }
    return NULL;
}

/* One that no thread looks at leaves the queue at once; returned for the caller to free. */
static struct request *scheduler_unlink_waiting(struct scheduler *s, uint64_t tag)
{
    struct request *r = scheduler_find(&s->arrived, tag);

    if (!r)
        r = scheduler_find(&s->prepared, tag);
    if (r) {
        list_remove(&r->link);
        s->n_waiting--;
    }
    return r;
}

/* A pass is for nobody when all that run have been cancelled; then the model ends it early. */
void scheduler_judge_pass(struct scheduler *s)
{
    bool wanted = list_empty(&s->running) && !s->stopping;

    for (struct list_node *n = s->running.next; n != &s->running; n = n->next)
        wanted |= !s->stopping && !atomic_load(&list_owner(n, struct request, link)->cancelled);
    atomic_store(&s->give_up, !wanted);
}

static void scheduler_mark_cancelled(struct scheduler *s, uint64_t tag)
{
    struct request *r = scheduler_in_preparation(s, tag),
                   *running = scheduler_find(&s->running, tag);

    if (running)
        atomic_store(&running->cancelled, true);
    if (r && !atomic_exchange(&r->cancelled, true))
        s->n_waiting--;
    scheduler_judge_pass(s);
}

void scheduler_cancel(struct scheduler *s, uint64_t tag)
{
    struct request *r;

    pthread_mutex_lock(&s->lock);
    r = scheduler_unlink_waiting(s, tag);
    if (!r)
        scheduler_mark_cancelled(s, tag);
    pthread_mutex_unlock(&s->lock);
    request_free(r);
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

static int scheduler_alloc(struct scheduler *s)
{
    int32_t seqs = s->limits.max_seqs;
    size_t context = (size_t)s->limits.context_tokens;

    s->slots = calloc((size_t)seqs, sizeof *s->slots);
    s->rows = calloc((size_t)(s->config.chunk_tokens + seqs), sizeof *s->rows);
    if (!s->slots || !s->rows || sampler_scratch_init(&s->scratch, s->limits.vocab) < 0)
        return ERR_NOMEM;
    for (int32_t i = 0; i < seqs; i++) {
        s->slots[i].tokens = calloc(context + 1, sizeof(int32_t));
        if (!s->slots[i].tokens)
            return ERR_NOMEM;
    }
    return events_init(&s->events);
}

static void scheduler_free_requests(struct list_node *head)
{
    while (!list_empty(head)) {
        struct request *r = list_owner(head->next, struct request, link);

        list_remove(&r->link);
        request_free(r);
    }
}

static void scheduler_release(struct scheduler *s)
{
    scheduler_free_requests(&s->arrived);
    scheduler_free_requests(&s->prepared);
    for (int32_t i = 0; s->slots && i < s->limits.max_seqs; i++)
        free(s->slots[i].tokens);
    free(s->slots);
    free(s->rows);
    sampler_scratch_free(&s->scratch);
    buf_free(&s->logprobs);
    free(s->raw_logits);
    events_free(&s->events);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->arrival);
    pthread_cond_destroy(&s->work);
    free(s);
}

static void scheduler_tell_to_stop(struct scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    scheduler_judge_pass(s);
    pthread_cond_broadcast(&s->arrival);
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    events_abandon(&s->events);
}

static int scheduler_start_threads(struct scheduler *s)
{
    if (scheduler_start_preparing(s) == 0 &&
        pthread_create(&s->batch_thread, NULL, scheduler_run, s) == 0)
        return 0;
    scheduler_tell_to_stop(s);
    scheduler_stop_preparing(s);
    return ERR_NOMEM;
}

int scheduler_start(const struct scheduler_config *config, struct scheduler **ret_scheduler,
                    struct err *ret_err)
{
    struct scheduler *s = calloc(1, sizeof *s);

    if (!s)
        return err_set(ret_err, ERR_NOMEM, "out of memory for the scheduler");
    s->config = *config;
    s->limits = config->ops->limits(config->model);
    s->pace.chunk_tokens = config->chunk_tokens;
    config->ops->heed(config->model, &s->give_up);
    list_init(&s->arrived);
    list_init(&s->prepared);
    list_init(&s->running);
    buf_init(&s->logprobs, LOGPROBS_MAX_BYTES);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->arrival, NULL);
    pthread_cond_init(&s->work, NULL);
    if (scheduler_alloc(s) < 0 || scheduler_start_threads(s) < 0) {
        scheduler_release(s);
        return err_set(ret_err, ERR_NOMEM, "out of memory for the scheduler's slots");
    }
    *ret_scheduler = s;
    return 0;
}

void scheduler_stop(struct scheduler *s)
{
    if (!s)
        return;
    scheduler_tell_to_stop(s);
    scheduler_stop_preparing(s);
    pthread_join(s->batch_thread, NULL);
    s->config.ops->heed(s->config.model, NULL); /* the model outlives what it looks at */
    scheduler_release(s);
}
