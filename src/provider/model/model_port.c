/* SPDX-License-Identifier: Apache-2.0 */
/* The port that serving uses: requests to the engine's process, its events back. */
#include "provider/model/model.h"

#include <stdio.h>

#include "provider/model/model_impl.h"

/* --- requests --- */

/* A suspect has the engine for itself; until then those behind it wait, and so do those who come
 * while it runs. */
static bool model_may_send(const struct model *m, const struct ticket *t)
{
    return !tickets_one_runs_alone(&m->tickets) && (!t->suspect || m->tickets.n_sent == 0);
}

void model_send_held(struct model *m)
{
    struct ticket *t;

    while (m->state == MODEL_READY && (t = tickets_first_held(&m->tickets)) &&
           model_may_send(m, t)) {
        const struct wire_msg msg = {.type = WIRE_SUBMIT,
                                     .submit = {.tag = t->tag, .body = buf_view(&t->body)}};

        if (line_say(&m->line, &msg) < 0)
            return; /* the engine has ended: what is held is lost with it */
        tickets_sent(&m->tickets, t);
    }
}

static void model_tell(void *ud)
{
    struct model *m = ud;

    m->config.events(m->config.ud);
}

static int model_hold(struct model *m, uint64_t tag, struct str body, bool suspect,
                      const unsigned char *hash)
{
    struct ticket *t;

    if (m->tickets.n_held >= (size_t)m->config.open.max_waiting)
        return ERR_BUSY;
    t = tickets_add(&m->tickets, tag, TICKET_HELD, hash, body);
    if (!t)
        return ERR_NOMEM;
    t->suspect = suspect;
    t->told = !m->resting;
    if (!t->told)
        loop_timer_set(m->config.loop, &m->tell, 0, model_tell, m);
    (void)model_warm(m);
    model_send_held(m);
    return 0;
}

static int model_send(struct model *m, uint64_t tag, struct str body, const unsigned char *hash)
{
    const struct wire_msg msg = {.type = WIRE_SUBMIT, .submit = {.tag = tag, .body = body}};
    struct ticket *t = tickets_add(&m->tickets, tag, TICKET_SENT, hash, body);
    int rc;

    if (!t)
        return ERR_NOMEM;
    rc = line_say(&m->line, &msg);
    if (rc < 0)
        tickets_drop(&m->tickets, t);
    return rc == ERR_CLOSED ? ERR_AGAIN : rc;
}

static int model_submit(void *ud, uint64_t tag, const struct chat_request *chat)
{
    struct model *m = ud;
    unsigned char hash[SUSPECT_HASH_BYTES];
    enum suspicion suspicion;

    if (m->state != MODEL_READY && !m->resting)
        return ERR_AGAIN;
    m->used_us = clock_mono_us(&m->clock);
    suspects_hash(&m->suspects, chat->messages, hash);
    suspicion = suspects_of(&m->suspects, hash);
    if (suspicion == SUSPICION_REFUSED)
        return ERR_DENIED;
    if (m->resting || suspicion == SUSPICION_ALONE || m->tickets.n_held > 0 ||
        tickets_one_runs_alone(&m->tickets))
        return model_hold(m, tag, chat->body, suspicion == SUSPICION_ALONE, hash);
    return model_send(m, tag, chat->body, hash);
}

/* What was cancelled too long ago to be at work any more holds up no suspect. */
static void model_forget(void *ud)
{
    struct model *m = ud;
    const int64_t patience_us = TICKETS_CANCELLED_MS * INT64_C(1000);

    tickets_forget_cancelled(&m->tickets, clock_mono_us(&m->clock) - patience_us + 1);
    if (m->tickets.n_cancelled > 0)
        loop_timer_set(m->config.loop, &m->forget, patience_us, model_forget, m);
    model_send_held(m);
}

static void model_cancel(void *ud, uint64_t tag)
{
    struct model *m = ud;
    const struct wire_msg msg = {.type = WIRE_CANCEL, .cancel = {.tag = tag}};
    struct ticket *t = tickets_find(&m->tickets, tag);

    if (!t)
        return;
    if (t->stage != TICKET_HELD)
        (void)line_say(&m->line, &msg);
    m->used_us = clock_mono_us(&m->clock);
    tickets_cancel(&m->tickets, t, m->used_us);
    if (m->tickets.n_cancelled == 1)
        loop_timer_set(m->config.loop, &m->forget, TICKETS_CANCELLED_MS * INT64_C(1000),
                       model_forget, m);
    model_send_held(m);
}

/* --- what the engine says: 1 where it is an event for serving --- */

static void model_cleared(struct model *m, struct ticket *t)
{
    if (t->suspect)
        suspects_set(&m->suspects, t->hash, SUSPICION_NONE);
}

/* Codes that mean something of their own here come from nobody but us. */
static int model_code_of(int code)
{
    static const int known[] = {ERR_LIMIT, ERR_BUSY, ERR_PARSE, ERR_RANGE, ERR_NOMEM};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (code == known[i])
            return code;
    }
    return ERR_MODEL;
}

static int model_on_event(struct model *m, const struct wire_msg *msg, struct engine_event *ret)
{
    struct ticket *t;

    if (msg->event.kind != ENGINE_TEXT)
        tickets_prepared(&m->tickets, msg->event.tag);
    t = tickets_find(&m->tickets, msg->event.tag);
    if (t) {
        *ret = msg->event;
        ret->code = ret->kind == ENGINE_FAILED ? model_code_of(ret->code) : 0;
        if (ret->kind == ENGINE_ADMITTED && t->stage == TICKET_SENT)
            t->stage = TICKET_ADMITTED;
        if (ret->kind == ENGINE_TEXT)
            t->stage = TICKET_SPEAKING;
        if (ret->kind != ENGINE_ADMITTED)
            model_cleared(m, t);
        if (ret->kind == ENGINE_DONE || ret->kind == ENGINE_FAILED) {
            m->used_us = clock_mono_us(&m->clock);
            tickets_drop(&m->tickets, t);
        }
    }
    model_send_held(m);
    return t != NULL;
}

static int model_on_load(struct model *m, const struct wire_msg *msg, struct engine_event *ret)
{
    (void)ret;
    m->load = msg->load;
    return 0;
}

static int model_on_last_words(struct model *m, const struct wire_msg *msg,
                               struct engine_event *ret)
{
    (void)ret;
    (void)snprintf(m->last_words, sizeof m->last_words, "%.*s", STR_ARG(msg->last_words.text));
    return 0;
}

static int model_take_ready(struct model *m, const struct wire_msg *msg, struct engine_event *ret)
{
    (void)ret;
    model_on_ready(m, &msg->ready);
    return 0;
}

static int model_on_refused(struct model *m, const struct wire_msg *msg, struct engine_event *ret)
{
    (void)ret;
    (void)err_set(&m->error, msg->refused.code, "%.*s", STR_ARG(msg->refused.text));
    (void)snprintf(m->last_words, sizeof m->last_words, "%s", m->error.text);
    return 0;
}

static const struct {
    unsigned states; /* in which it may be said */
    int (*take)(struct model *m, const struct wire_msg *msg, struct engine_event *ret);
} model_handlers[WIRE_TYPES] = {
    [WIRE_READY] = {1U << MODEL_LOADING, model_take_ready},
    [WIRE_REFUSED] = {1U << MODEL_LOADING | 1U << MODEL_ENDING, model_on_refused},
    [WIRE_EVENT] = {1U << MODEL_READY | 1U << MODEL_ENDING, model_on_event},
    [WIRE_LOAD] = {1U << MODEL_READY | 1U << MODEL_ENDING, model_on_load},
    [WIRE_LAST_WORDS] = {1U << MODEL_READY | 1U << MODEL_LOADING | 1U << MODEL_ENDING,
                         model_on_last_words},
};

static int model_take_lost(struct model *m, struct engine_event *ret_event)
{
    struct ticket *t = tickets_first_lost(&m->tickets);

    if (!t)
        return 0;
    *ret_event = (struct engine_event){.kind = ENGINE_FAILED, .tag = t->tag, .code = t->code};
    tickets_drop(&m->tickets, t);
    return 1;
}

/* A load can take longer than a coordinator waits for a word: who waits for one is accepted before
 * its tokens are known, and once more when they are. */
static int model_take_held(struct model *m, struct engine_event *ret_event)
{
    for (struct list_node *n = m->tickets.held.next; n != &m->tickets.held; n = n->next) {
        struct ticket *t = list_owner(n, struct ticket, link);

        if (!t->told) {
            t->told = true;
            *ret_event = (struct engine_event){.kind = ENGINE_ADMITTED, .tag = t->tag};
            return 1;
        }
    }
    return 0;
}

static int model_poll(void *ud, struct engine_event *ret_event)
{
    struct model *m = ud;
    struct wire_msg msg;
    int rc;

    while ((rc = line_next(&m->line, &msg)) == 1) {
        if (!(model_handlers[msg.type].states & 1U << m->state))
            model_end_engine(m, "it spoke out of turn");
        else if (model_handlers[msg.type].take(m, &msg, ret_event) == 1)
            return 1;
    }
    if (rc < 0)
        model_end_engine(m, rc == ERR_PROTOCOL ? "it broke the protocol of its wire" : NULL);
    return model_take_lost(m, ret_event) || model_take_held(m, ret_event);
}

static void model_load(void *ud, struct load *ret_load)
{
    const struct model *m = ud;

    *ret_load = m->load;
    ret_load->waiting += (int64_t)m->tickets.n_held;
    ret_load->forward_passes += m->passes_before;
    ret_load->unloaded = m->resting && !m->wanted;
    ret_load->loading = m->state == MODEL_LOADING || m->wanted;
    ret_load->crashed = !m->resting && (m->state == MODEL_DOWN || m->state == MODEL_ENDING);
}

static int model_port_warm(void *ud)
{
    return model_warm(ud);
}

struct engine_port model_port(struct model *m)
{
    return (struct engine_port){.submit = model_submit,
                                .cancel = model_cancel,
                                .poll = model_poll,
                                .load = model_load,
                                .warm = model_port_warm,
                                .ud = m};
}
