/* SPDX-License-Identifier: Apache-2.0 */
/* From messages to prompt tokens, on a thread of its own: a template and a tokenizer are fed by
 * consumers and may take a second, in which the batch goes on. One request at a time, in order of
 * arrival. */
#include <sodium.h>
#include <string.h>

#include "provider/engine/scheduler_impl.h"

static bool prepare_knows_biases(const struct scheduler *s, const struct request *r)
{
    bool known = true;

    for (size_t i = 0; i < r->how.n_biases; i++)
        known &= r->how.biases[i].token < s->limits.vocab;
    return known;
}

/* Prompt tokens in s->tokens, their number in the request; or why it cannot run. */
static int prepare_tokenise(struct scheduler *s, struct request *r, enum engine_wrong *ret_wrong)
{
    const struct model_ops *ops = s->config.ops;
    int32_t context = s->limits.context_tokens, most = context - 1; /* the answer has one */
    int32_t n;
    int rc;

    if (!prepare_knows_biases(s, r)) {
        *ret_wrong = ENGINE_WRONG_LOGIT_BIAS;
        return ERR_PARSE;
    }
    rc = ops->render(s->config.model, &r->ask, &s->text, &r->form, ret_wrong);
    if (rc < 0)
        return rc;
    if (s->text.len > (size_t)context * (size_t)s->limits.longest_piece_bytes)
        return ERR_LIMIT;
    n = ops->tokenize(s->config.model, buf_view(&s->text), s->tokens, most);
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

static int prepare(struct scheduler *s, struct request *r, enum engine_wrong *ret_wrong)
{
    int rc = prepare_tokenise(s, r, ret_wrong);
    size_t bytes = (size_t)r->n_tokens * sizeof *r->tokens;

    buf_wipe(&s->text);
    buf_free(&s->text);
    if (rc < 0)
        return rc;
    prepare_add_stops(r);
    r->tokens = arena_array(&r->region, int32_t, (size_t)r->n_tokens);
    if (r->tokens)
        memcpy(r->tokens, s->tokens, bytes);
    sodium_memzero(s->tokens, bytes);
    return r->tokens ? 0 : ERR_NOMEM;
}

/* The next request; NULL: stop. */
static struct request *prepare_take_arrived(struct scheduler *s)
{
    struct request *r = NULL;

    pthread_mutex_lock(&s->lock);
    while (list_empty(&s->arrived) && !s->stopping)
        pthread_cond_wait(&s->arrival, &s->lock);
    if (!s->stopping) {
        r = list_owner(s->arrived.next, struct request, link);
        list_remove(&r->link);
        s->in_preparation = r;
    }
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
static void prepare_hand_on(struct scheduler *s, struct request *r)
{
    bool cancelled;

    pthread_mutex_lock(&s->lock);
    s->in_preparation = NULL;
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
static void prepare_refuse(struct scheduler *s, struct request *r, int rc, enum engine_wrong wrong)
{
    pthread_mutex_lock(&s->lock);
    s->in_preparation = NULL;
    if (!atomic_load(&r->cancelled)) /* that took it off already */
        s->n_waiting--;
    pthread_mutex_unlock(&s->lock);
    prepare_tell(s, r, rc, wrong);
    request_free(r);
}

void *scheduler_prepare(void *arg)
{
    struct scheduler *s = arg;
    struct request *r;

    while ((r = prepare_take_arrived(s))) {
        enum engine_wrong wrong = ENGINE_WRONG_NONE;
        int rc = prepare(s, r, &wrong);

        if (rc < 0) {
            prepare_refuse(s, r, rc, wrong);
            continue;
        }
        prepare_tell(s, r, 0, ENGINE_WRONG_NONE);
        prepare_hand_on(s, r);
    }
    return NULL;
}
