/* SPDX-License-Identifier: Apache-2.0 */
/* An engine for tests. */
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int engine_submit(void *ud, uint64_t tag, const struct chat_request *chat)
{
    struct fake_engine *e = ud;

    if (e->submit_answer < 0)
        return e->submit_answer;
    assert_true(e->n_submitted < FAKE_ENGINE_JOBS);
    e->submitted[e->n_submitted++] = tag;
    e->last = *chat;
    (void)snprintf(e->last_messages, sizeof e->last_messages, "%.*s", STR_ARG(chat->messages));
    return 0;
}

static void engine_cancel(void *ud, uint64_t tag)
{
    struct fake_engine *e = ud;

    assert_true(e->n_cancelled < FAKE_ENGINE_JOBS);
    e->cancelled[e->n_cancelled++] = tag;
}

static int engine_poll(void *ud, struct engine_event *ret_event)
{
    struct fake_engine *e = ud;

    if (e->next_event == e->n_events) {
        e->next_event = e->n_events = 0;
        return 0;
    }
    *ret_event = e->events[e->next_event++];
    return 1;
}

static void engine_load(void *ud, struct load *ret_load)
{
    const struct fake_engine *e = ud;

    *ret_load = e->load;
}

static int engine_warm(void *ud)
{
    struct fake_engine *e = ud;

    e->n_warmed++;
    return e->cold ? 0 : 1;
}

struct engine_port fake_engine_port(struct fake_engine *e)
{
    return (struct engine_port){.submit = engine_submit,
                                .cancel = engine_cancel,
                                .poll = engine_poll,
                                .load = engine_load,
                                .warm = engine_warm,
                                .ud = e};
}

static void add(struct fake_engine *e, struct engine_event event)
{
    assert_true(e->n_events < FAKE_ENGINE_EVENTS);
    e->events[e->n_events++] = event;
}

void fake_engine_admit(struct fake_engine *e, uint64_t tag, int64_t prompt_tokens)
{
    add(e,
        (struct engine_event){.kind = ENGINE_ADMITTED, .tag = tag, .prompt_tokens = prompt_tokens});
}

void fake_engine_text(struct fake_engine *e, uint64_t tag, const char *text, int64_t tokens)
{
    add(e, (struct engine_event){
               .kind = ENGINE_TEXT, .tag = tag, .text = str_from(text), .tokens = tokens});
}

void fake_engine_done(struct fake_engine *e, uint64_t tag, int64_t prompt_tokens,
                      int64_t completion_tokens, enum chunk_finish finish)
{
    add(e, (struct engine_event){.kind = ENGINE_DONE,
                                 .tag = tag,
                                 .prompt_tokens = prompt_tokens,
                                 .completion_tokens = completion_tokens,
                                 .finish = finish});
}

void fake_engine_fail(struct fake_engine *e, uint64_t tag, int code)
{
    add(e, (struct engine_event){.kind = ENGINE_FAILED, .tag = tag, .code = code});
}

void fake_engine_too_long(struct fake_engine *e, uint64_t tag, int64_t prompt_tokens)
{
    add(e,
        (struct engine_event){
            .kind = ENGINE_FAILED, .tag = tag, .code = ERR_LIMIT, .prompt_tokens = prompt_tokens});
}
