/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/provider/fake_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void on_wake(void *ud)
{
    struct fake_batch *w = ud;

    pthread_mutex_lock(&w->lock);
    w->wake = true;
    pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
}

int fake_batch_up(void **state)
{
    struct fake_batch *w = calloc(1, sizeof *w);

    fake_model_init(&w->model);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->woken, NULL);
    *state = w;
    return 0;
}

int fake_batch_down(void **state)
{
    struct fake_batch *w = *state;

    fake_model_allow(&w->model, 1000000);
    scheduler_stop(w->scheduler);
    assert_false(w->model.broke_order);
    assert_null(w->model.give_up); /* the model may be used on: what it looked at is gone */
    free(w);
    return 0;
}

void fake_batch_start(struct fake_batch *w, size_t max_waiting)
{
    const struct scheduler_config config = {.ops = &fake_model_ops,
                                            .model = &w->model,
                                            .chunk_tokens = 64,
                                            .max_waiting = max_waiting,
                                            .preparers = w->preparers ? w->preparers : 1,
                                            .seed = 1,
                                            .clock = fake_model_clock(&w->model),
                                            .wake = on_wake,
                                            .wake_ud = w};

    assert_int_equal(scheduler_start(&config, &w->scheduler, NULL), 0);
}

int fake_batch_ask(struct fake_batch *w, uint64_t tag, const char *messages, int64_t max_tokens)
{
    const struct chat_request chat = {
        .messages = str_from(messages), .max_tokens = max_tokens, .temperature = 0, .top_p = 1};

    return scheduler_submit(w->scheduler, tag, &chat);
}

static void take_event(struct fake_batch *w, const struct engine_event *e)
{
    struct fake_answer *a = &w->answers[e->tag];

    switch (e->kind) {
    case ENGINE_ADMITTED:
        a->admitted = true;
        a->prompt_tokens = e->prompt_tokens;
        break;
    case ENGINE_TEXT:
        assert_true(str_is_utf8(e->text));
        assert_true(a->n + e->text.n < FAKE_TEXT_BYTES);
        memcpy(a->text + a->n, e->text.p, e->text.n);
        a->n += e->text.n;
        a->tokens += e->tokens;
        break;
    case ENGINE_DONE:
        a->done = true;
        a->finish = e->finish;
        a->completion_tokens = e->completion_tokens;
        break;
    case ENGINE_FAILED:
        a->failed = true;
        a->code = e->code;
        a->prompt_tokens = e->prompt_tokens;
        break;
    }
}

void fake_batch_drain(struct fake_batch *w)
{
    struct engine_event e;

    while (scheduler_poll(w->scheduler, &e))
        take_event(w, &e);
}

static void await_events(struct fake_batch *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->wake)
        pthread_cond_wait(&w->woken, &w->lock);
    w->wake = false;
    pthread_mutex_unlock(&w->lock);
    fake_batch_drain(w);
}

const struct fake_answer *fake_batch_finish(struct fake_batch *w, uint64_t tag)
{
    fake_batch_drain(w);
    while (!w->answers[tag].done && !w->answers[tag].failed)
        await_events(w);
    return &w->answers[tag];
}

void fake_batch_admitted(struct fake_batch *w, uint64_t tag)
{
    fake_batch_drain(w);
    while (!w->answers[tag].admitted)
        await_events(w);
}

/* The preparing thread takes the next only when it has handed on the one before. */
void fake_batch_prepared(struct fake_batch *w, uint64_t tag)
{
    fake_batch_admitted(w, tag);
    assert_int_equal(fake_batch_ask(w, FAKE_ANSWERS, "\"unrenderable\"", 1), 0);
    fake_batch_finish(w, FAKE_ANSWERS);
    memset(&w->answers[FAKE_ANSWERS], 0, sizeof w->answers[FAKE_ANSWERS]);
}

const char *fake_batch_prompt(char ret_text[FAKE_TEXT_BYTES], size_t n)
{
    memset(ret_text, 'x', n);
    ret_text[0] = '[';
    ret_text[n - 1] = ']';
    ret_text[n] = 0;
    return ret_text;
}

void fake_batch_run(struct fake_batch *w, int n)
{
    fake_model_allow(&w->model, n - w->model.allowed);
    fake_model_wait_at_gate(&w->model);
    fake_batch_drain(w);
}

int64_t fake_batch_waiting(struct fake_batch *w)
{
    struct load load;

    scheduler_load(w->scheduler, &load);
    return load.waiting;
}
