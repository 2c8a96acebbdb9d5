/* SPDX-License-Identifier: Apache-2.0 */
/* From messages to prompt tokens, on threads of their own: a template and a tokenizer are fed by
 * consumers and may take seconds, in which the batch goes on. The shortest is next, but each that
 * arrives counts in favour of those before it; and only the first thread takes long ones, so that
 * however many these are, a short one is not held up. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "provider/engine/scheduler_impl.h"
#include "provider/engine/text_runs.h"

enum {
    PREPARERS = 2,
    PROMPT_MAX_BYTES = 64 << 20, /* rendered */
    SHORT_BYTES = 64 << 10,      /* of messages, at most: some 30 ms … */
    SHORT_SHARE = 16,            /* … and such a part of the longest that can fit */
    OVERTAKE_SHARE = 128         /* the longest that can fit is overtaken by so many */
};

static bool prepare_knows_biases(const struct scheduler *s, const struct request *r)
{
    bool known = true;

    for (size_t i = 0; i < r->how.n_biases; i++)
        known &= r->how.biases[i].token < s->limits.vocab;
    return known;
}

/* No prompt of more bytes fits. */
static size_t prepare_most_bytes(const struct scheduler *s)
{
    return (size_t)s->limits.context_tokens * (size_t)s->limits.longest_piece_bytes;
}

/* --- one prompt --- */

/* Prompt tokens in p->tokens, their number in the request; or why it cannot run. */
static int prepare_tokenise(struct preparer *p, struct request *r, enum engine_wrong *ret_wrong)
{
    struct scheduler *s = p->scheduler;
    const struct model_ops *ops = s->config.ops;
    int32_t context = s->limits.context_tokens, most = context - 1; /* the answer has one */
    int32_t n;
    int rc;

    if (!prepare_knows_biases(s, r)) {
        *ret_wrong = ENGINE_WRONG_LOGIT_BIAS;
        return ERR_PARSE;
    }
    rc = ops->render(s->config.model, &r->ask, &p->text, &r->form, ret_wrong);
    if (rc < 0)
        return rc;
    if (p->text.len > prepare_most_bytes(s))
        return ERR_LIMIT;
    n = ops->tokenize(s->config.model, buf_view(&p->text), p->tokens, most, &r->cancelled);
    if (n < 0)
        return n;
    r->n_tokens = n;
    *ret_wrong = ENGINE_WRONG_MESSAGES;
    return n > most ? ERR_LIMIT : n == 0 ? ERR_PARSE : 0;
}

/* Texts that end the answer for its template join those of the request. */
static void prepare_add_stops(struct request *r)
{
    for (size_t i = 0; i < r->form.n_stops; i++)
        r->stops[r->n_stops++] = str_from(r->form.stops[i]);
}

static int prepare(struct preparer *p, struct request *r, enum engine_wrong *ret_wrong)
{
    int rc = prepare_tokenise(p, r, ret_wrong);

    buf_wipe(&p->text);
    buf_free(&p->text);
    if (rc == 0) {
        prepare_add_stops(r);
        r->tokens = arena_array(&r->region, int32_t, (size_t)r->n_tokens);
        if (r->tokens)
            memcpy(r->tokens, p->tokens, (size_t)r->n_tokens * sizeof *r->tokens);
        else
            rc = ERR_NOMEM;
    }
    sodium_memzero(p->tokens, (size_t)p->scheduler->limits.context_tokens * sizeof *p->tokens);
    deep_stack_forget(&p->thread);
    return rc;
}

/* --- the queue --- */

/* Of what is rendered for it. */
static size_t prepare_bytes(const struct request *r)
{
    return r->ask.messages.n + r->ask.tools.n;
}

void scheduler_arrive(struct scheduler *s, struct request *r)
{
    r->order = s->n_arrived++ * (prepare_most_bytes(s) / OVERTAKE_SHARE) + prepare_bytes(r);
    list_push_back(&s->arrived, &r->link);
    s->n_waiting++;
    pthread_cond_broadcast(&s->arrival);
}

struct request *scheduler_in_preparation(struct scheduler *s, uint64_t tag)
{
    for (int32_t i = 0; i < s->n_preparers; i++) {
        struct request *r = s->preparers[i].request;

        if (r && r->tag == tag)
            return r;
    }
    return NULL;
}

/* Of those that this thread takes; NULL: none. */
static struct request *prepare_next(const struct preparer *p)
{
    struct list_node *head = &p->scheduler->arrived;
    struct request *next = NULL;

    for (struct list_node *n = head->next; n != head; n = n->next) {
        struct request *r = list_owner(n, struct request, link);

        if (prepare_bytes(r) <= p->most_bytes && (!next || r->order < next->order))
            next = r;
    }
    return next;
}

/* The next request; NULL: stop. */
static struct request *prepare_take_arrived(struct preparer *p)
{
    struct scheduler *s = p->scheduler;
    struct request *r;

    pthread_mutex_lock(&s->lock);
    while (!(r = prepare_next(p)) && !s->stopping)
        pthread_cond_wait(&s->arrival, &s->lock);
    if (s->stopping)
        r = NULL;
    if (r)
        list_remove(&r->link);
    p->request = r;
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Before the batch thread can have it, so that ADMITTED is its first event. */
static void prepare_tell(struct scheduler *s, const struct request *r, int rc,
                         enum engine_wrong wrong)
{
    const struct engine_event e = {.kind = rc < 0 ? ENGINE_FAILED : ENGINE_ADMITTED,
                                   .tag = r->tag,
                                   .code = rc,
                                   .wrong = rc == ERR_PARSE ? wrong : ENGINE_WRONG_NONE,
                                   .prompt_tokens = r->n_tokens};

    events_put(&s->events, &e);
    s->config.wake(s->config.wake_ud);
}

/* To the batch thread, unless it was cancelled meanwhile. */
static void prepare_hand_on(struct preparer *p, struct request *r)
{
    struct scheduler *s = p->scheduler;
    bool cancelled;

    pthread_mutex_lock(&s->lock);
    p->request = NULL;
    cancelled = atomic_load(&r->cancelled);
    if (!cancelled) {
        list_push_back(&s->prepared, &r->link);
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->lock);
    if (cancelled)
        request_free(r);
}

/* Its place in the queue is free before anybody hears of it: who hears may send the next. */
static void prepare_refuse(struct preparer *p, struct request *r, int rc, enum engine_wrong wrong)
{
    struct scheduler *s = p->scheduler;

    pthread_mutex_lock(&s->lock);
    p->request = NULL;
    if (!atomic_load(&r->cancelled)) /* that took it off already */
        s->n_waiting--;
    pthread_mutex_unlock(&s->lock);
    if (rc != ERR_CANCELLED)
        prepare_tell(s, r, rc, wrong);
    request_free(r);
}

/* --- the threads --- */

static void *prepare_run(void *arg)
{
    struct preparer *p = arg;
    struct request *r;

    while ((r = prepare_take_arrived(p))) {
        enum engine_wrong wrong = ENGINE_WRONG_NONE;
        int rc = prepare(p, r, &wrong);

        if (rc < 0) {
            prepare_refuse(p, r, rc, wrong);
            continue;
        }
        prepare_tell(p->scheduler, r, 0, ENGINE_WRONG_NONE);
        prepare_hand_on(p, r);
    }
    return NULL;
}

int scheduler_start_preparing(struct scheduler *s)
{
    int32_t n = s->config.preparers > 0 ? s->config.preparers : PREPARERS;
    size_t few = prepare_most_bytes(s) / SHORT_SHARE;
    int rc = 0;

    for (int32_t i = 0; rc == 0 && i < n && i < SCHEDULER_MAX_PREPARERS; i++) {
        struct preparer *p = &s->preparers[i];

        p->scheduler = s;
        p->most_bytes = i == 0 ? SIZE_MAX : few < SHORT_BYTES ? few : SHORT_BYTES;
        buf_init(&p->text, PROMPT_MAX_BYTES);
        p->tokens = calloc((size_t)s->limits.context_tokens, sizeof *p->tokens);
        pthread_mutex_lock(&s->lock); /* those that run already look at all of them */
        s->n_preparers = i + 1;
        pthread_mutex_unlock(&s->lock);
        rc = p->tokens ? deep_stack_start(&p->thread, TEXT_STACK_BYTES, prepare_run, p) : ERR_NOMEM;
    }
    return rc;
}

void scheduler_stop_preparing(struct scheduler *s)
{
    for (int32_t i = 0; i < s->n_preparers; i++) {
        deep_stack_join(&s->preparers[i].thread);
        buf_free(&s->preparers[i].text);
        free(s->preparers[i].tokens);
    }
    s->n_preparers = 0;
}
