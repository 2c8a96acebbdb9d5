/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's life: started, ready, ended, started again. */
#include "provider/model/model.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/state.h"
#include "provider/model/model_impl.h"

static const struct state_row model_states[MODEL_STATES] = {
    [MODEL_DOWN] = {"down", STATE_BIT(MODEL_LOADING)},
    [MODEL_LOADING] = {"loading",
                       STATE_BIT(MODEL_READY) | STATE_BIT(MODEL_ENDING) | STATE_BIT(MODEL_DOWN)},
    [MODEL_READY] = {"ready", STATE_BIT(MODEL_ENDING) | STATE_BIT(MODEL_DOWN)},
    [MODEL_ENDING] = {"ending", STATE_BIT(MODEL_DOWN)},
};
static const struct state_table model_table = {"the engine", model_states, MODEL_STATES};

void model_set_state(struct model *m, enum model_state state)
{
    state_check_move(&model_table, m->state, state);
    m->state = state;
    m->config.changed(m->config.ud);
}

/* --- the end of an engine --- */

static void model_kill(void *ud)
{
    struct model *m = ud;

    m->config.process.kill(m->config.process.ud);
}

void model_end_engine(struct model *m, const char *why)
{
    if (m->state != MODEL_READY && m->state != MODEL_LOADING)
        return;
    if (why) {
        (void)snprintf(m->last_words, sizeof m->last_words, "%s", why);
        model_kill(m);
    } else {
        loop_timer_set(m->config.loop, &m->timer, MODEL_LAST_WORDS_MS * (int64_t)1000, model_kill,
                       m);
    }
    model_set_state(m, MODEL_ENDING);
}

static void model_start_later(void *ud)
{
    model_start(ud);
}

/* Whoever still waits is told to ask elsewhere; the load goes on. */
static void model_lose_patience(void *ud)
{
    struct model *m = ud;

    tickets_lose(&m->tickets, ERR_CLOSED, ERR_AGAIN);
    m->config.events(m->config.ud);
}

/* How long to wait, and twice as long the next time. */
static int64_t model_next_wait_ms(struct model *m)
{
    int64_t served_ms = (clock_mono_us(&m->clock) - m->ready_us) / 1000;
    int64_t wait_ms;

    if (m->ready_us > 0 && served_ms >= MODEL_STABLE_MS)
        m->restart_ms = 0;
    wait_ms = m->restart_ms > 0 ? m->restart_ms : MODEL_RESTART_MS;
    wait_ms = wait_ms < m->config.restart_max_ms ? wait_ms : m->config.restart_max_ms;
    m->restart_ms = wait_ms * 2;
    return wait_ms;
}

static void model_log_end(struct model *m, const char *how, size_t blamed, int64_t wait_ms)
{
    log_event(m->config.log, LOG_ERROR, EV_ENGINE_ENDED, KV_CSTR("how", how),
              KV_CSTR("where", m->last_words), KV_INT("requests", m->tickets.n_sent),
              KV_INT("suspects", blamed), KV_INT("again_in_ms", wait_ms));
}

/* It ended because it was told to, or in a way that has consequences. */
static void model_judge_end(struct model *m, int status)
{
    size_t blamed = 0;
    char how[PROCESS_END_BYTES];

    process_end_text(status, how);
    if (process_end_is_crash(status) && m->was_ready)
        blamed = tickets_blame(&m->tickets, &m->suspects);
    if (m->was_ready) {
        int64_t wait_ms = model_next_wait_ms(m);

        model_log_end(m, how, blamed, wait_ms);
        loop_timer_set(m->config.loop, &m->timer, wait_ms * 1000, model_start_later, m);
    } else if (!m->error.code) {
        (void)err_set(&m->error, ERR_MODEL, "the engine ended with %s while it loaded %.100s%s%s",
                      how, m->config.open.model_path.p, m->last_words[0] ? ", by " : "",
                      m->last_words);
    }
    tickets_lose(&m->tickets, ERR_CLOSED, ERR_AGAIN);
}

/* Nothing of it is left but what its requests are told. */
static void model_bury(struct model *m, int status)
{
    bool unloaded = m->resting && m->ready_us > 0;

    if (!unloaded) {
        m->resting = m->wanted = false;
        loop_timer_clear(m->config.loop, &m->wait);
        model_judge_end(m, status);
    }
    m->passes_before += m->load.forward_passes;
    m->load = (struct load){0};
    m->ready_us = 0;
}

/* What it said before it ended counts. */
static void model_on_exited(void *ud, int status)
{
    struct model *m = ud;
    bool more;

    loop_timer_clear(m->config.loop, &m->timer);
    do {
        more = line_read_rest(&m->line);
        m->config.events(m->config.ud);
    } while (more);
    model_bury(m, status);
    line_close(&m->line);
    model_set_state(m, MODEL_DOWN);
    m->config.events(m->config.ud);
    if (m->resting && m->wanted) /* somebody asked while it went */
        model_start(m);
}

/* --- rest --- */

void model_unload(struct model *m)
{
    if (m->state != MODEL_READY || tickets_in_flight(&m->tickets) > 0)
        return;
    tickets_forget_cancelled(&m->tickets, INT64_MAX);
    m->resting = true;
    m->wanted = false;
    log_event(m->config.log, LOG_INFO, EV_MODEL_UNLOADED,
              KV_INT("unused_s", model_use(m).unused_ms / 1000));
    line_close(&m->line); /* which ends it */
    model_end_engine(m, NULL);
}

int model_warm(struct model *m)
{
    if (m->state == MODEL_READY)
        return 1;
    if (!m->resting)
        return ERR_AGAIN;
    if (m->wanted)
        return 0;
    m->wanted = true;
    loop_timer_set(m->config.loop, &m->wait, MODEL_WAIT_MS * INT64_C(1000), model_lose_patience, m);
    if (m->state == MODEL_DOWN) /* not from inside a submit: it tells others, who may do anything */
        loop_timer_set(m->config.loop, &m->timer, 0, model_start_later, m);
    return 0;
}

struct model_use model_use(const struct model *m)
{
    int64_t now_us = clock_mono_us(&m->clock);

    return (struct model_use){.in_flight = (int64_t)tickets_in_flight(&m->tickets),
                              .unused_ms = (now_us - m->used_us) / 1000,
                              .resident_ms = (now_us - m->ready_us) / 1000};
}

/* --- the beginning of one --- */

static void model_say_open(struct model *m)
{
    struct wire_msg msg = {.type = WIRE_OPEN, .open = m->config.open};

    msg.open.version = str_from(DARKBLOOM_VERSION);
    rand_fill(&m->config.rand, &msg.open.seed, sizeof msg.open.seed);
    if (line_say(&m->line, &msg) < 0)
        model_end_engine(m, "it could not be told what to load");
}

/* A start that fails later on is one more end of an engine. */
static void model_start_failed(struct model *m)
{
    int64_t wait_ms;

    if (!m->was_ready) {
        m->config.changed(m->config.ud);
        return;
    }
    m->resting = m->wanted = false;
    loop_timer_set(m->config.loop, &m->wait, 0, model_lose_patience, m);
    wait_ms = model_next_wait_ms(m);
    log_event(m->config.log, LOG_ERROR, EV_ENGINE_ENDED, KV_CSTR("how", "it did not start"),
              KV_CSTR("where", m->error.text), KV_INT("again_in_ms", wait_ms));
    loop_timer_set(m->config.loop, &m->timer, wait_ms * 1000, model_start_later, m);
}

void model_start(struct model *m)
{
    const struct process_ops *p = &m->config.process;
    int sock = -1;
    int rc;

    m->last_words[0] = '\0';
    m->error = (struct err){0};
    rc = p->start(p->ud, model_on_exited, m, &sock, &m->error);
    if (rc < 0) {
        model_start_failed(m);
        return;
    }
    model_set_state(m, MODEL_LOADING);
    if (line_open(&m->line, sock) < 0)
        model_end_engine(m, "out of memory for its wire");
    else
        model_say_open(m);
}

static struct model_facts model_facts_of(const struct wire_ready *r)
{
    struct model_facts f = {.context_tokens = r->context_tokens,
                            .max_seqs = r->max_seqs,
                            .template_overhead = r->template_overhead,
                            .invariant = r->invariant,
                            .size_bytes = r->size_bytes,
                            .sealed =
                                r->no_new_files && r->no_network && r->filtered && r->not_dumpable,
                            .landlock_abi = r->landlock_abi};

    (void)snprintf(f.quantization, sizeof f.quantization, "%.*s", STR_ARG(r->quantization));
    (void)snprintf(f.weight_hash, sizeof f.weight_hash, "%.*s", STR_ARG(r->weight_hash));
    return f;
}

/* What the coordinator was told of the model still holds. */
static bool model_is_the_announced(const struct model_facts *a, const struct model_facts *b)
{
    return a->context_tokens == b->context_tokens && a->max_seqs == b->max_seqs &&
           a->template_overhead == b->template_overhead && a->invariant == b->invariant &&
           a->sealed == b->sealed && strcmp(a->weight_hash, b->weight_hash) == 0;
}

void model_on_ready(struct model *m, const struct wire_ready *ready)
{
    struct model_facts facts = model_facts_of(ready);

    if (!str_is(ready->version, DARKBLOOM_VERSION)) {
        model_end_engine(m, "it is of another version; install both programs of one");
        return;
    }
    if (m->was_ready && !model_is_the_announced(&m->facts, &facts)) {
        model_end_engine(m, "the model is another than the one announced; start darkbloom again");
        return;
    }
    m->facts = facts;
    m->was_ready = true;
    m->ready_us = m->used_us = clock_mono_us(&m->clock);
    m->resting = m->wanted = false;
    loop_timer_clear(m->config.loop, &m->wait);
    model_set_state(m, MODEL_READY);
    model_send_held(m);
}

/* --- life --- */

static void model_on_line(void *ud)
{
    struct model *m = ud;

    m->config.events(m->config.ud);
}

int model_new(const struct model_config *config, struct model **ret_model)
{
    struct model *m = calloc(1, sizeof *m);

    if (!m)
        return ERR_NOMEM;
    m->config = *config;
    m->clock = loop_clock(config->loop);
    line_init(&m->line, config->loop, model_on_line, m);
    tickets_init(&m->tickets);
    suspects_init(&m->suspects, &config->rand);
    *ret_model = m;
    return 0;
}

void model_free(struct model *m)
{
    if (!m)
        return;
    loop_timer_clear(m->config.loop, &m->timer);
    loop_timer_clear(m->config.loop, &m->wait);
    loop_timer_clear(m->config.loop, &m->tell);
    loop_timer_clear(m->config.loop, &m->forget);
    line_close(&m->line);
    tickets_free(&m->tickets);
    sodium_memzero(&m->suspects, sizeof m->suspects);
    free(m);
}

enum model_state model_state(const struct model *m)
{
    return m->state;
}

const struct err *model_error(const struct model *m)
{
    return &m->error;
}

const struct model_facts *model_facts(const struct model *m)
{
    return &m->facts;
}
