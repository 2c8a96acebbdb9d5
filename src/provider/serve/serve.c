/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in, sealed answers out. Every call into answer.h may end the connection, and with it all
 * jobs: after a negative return no job is touched. */
#include "provider/serve/serve.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/b64.h"
#include "provider/serve/admit.h"
#include "provider/serve/answer.h"
#include "provider/serve/refusal.h"

enum {
    LINE_MAX_BYTES = 64 * 1024 * 1024,
    LINE_KEEP_BYTES = 64 * 1024,
    PLAIN_MAX_BYTES = LINK_MAX_FRAME_BYTES,
    REGION_MAX_BYTES = 1 << 20 /* stop sequences and names of one request */
};

static const char *const finish_names[] = {[CHUNK_FINISH_NONE] = "none",
                                           [CHUNK_FINISH_STOP] = "stop",
                                           [CHUNK_FINISH_LENGTH] = "length",
                                           [CHUNK_FINISH_TOOL_CALLS] = "tool_calls"};

/* --- the end of a job --- */

static void serve_log_idle(struct serve *s)
{
    struct load load = serve_load(s);

    log_event(s->config.log, LOG_INFO, EV_ENGINE_IDLE,
              KV_INT("forward_passes", load.forward_passes),
              KV_INT("completion_tokens", s->completion_tokens),
              KV_INT("prompt_tokens", s->prompt_tokens));
}

static void serve_tell_idle(struct serve *s)
{
    void (*on_idle)(void *ud) = s->on_idle;
    s->on_idle = NULL;
    if (on_idle)
        on_idle(s->idle_ud);
}

/* `outcome` is a finish name, "cancelled", "lost" or an error code's name. */
static void serve_job_end(struct job *j, const char *outcome)
{
    struct serve *s = j->serve;
    int64_t ms = (clock_mono_us(&s->clock) - j->taken_us) / 1000;

    log_event(s->config.log, LOG_INFO, EV_JOB_DONE, KV_STR("request", job_id(j)),
              KV_INT("prompt_tokens", j->prompt_tokens),
              KV_INT("completion_tokens", j->completion_tokens), KV_CSTR("finish", outcome),
              KV_INT("ms", ms));
    s->prompt_tokens += j->prompt_tokens; /* also of a cancelled one: the engine made them */
    s->completion_tokens += j->completion_tokens;
    jobs_release(&s->jobs, j);
    if (s->jobs.in_use)
        return;
    serve_log_idle(s);
    serve_tell_idle(s);
}

/* A running job that nobody waits for any more. One at the signer is only marked. */
static void serve_job_abandon(struct job *j, const char *outcome)
{
    struct engine_port *engine = &j->serve->config.engine;

    if (j->state == JOB_SIGNING) {
        j->dropped = true;
        return;
    }
    engine->cancel(engine->ud, job_tag(j));
    serve_job_end(j, outcome);
}

/* --- requests --- */

static void serve_refuse(struct serve *s, struct str request_id, const struct api_error *error)
{
    log_event(s->config.log, LOG_INFO, EV_JOB_REFUSED, KV_STR("request", request_id),
              KV_INT("status", error->status), KV_CSTR("code", error->code),
              KV_CSTR("param", error->param));
    (void)answer_error(s, request_id, error);
}

static int serve_take_place(struct serve *s, struct str request_id, struct job **ret_job,
                            struct api_error *ret_error)
{
    int rc;

    if (s->draining)
        return refusal_set(ret_error, REFUSAL_DRAINING);
    rc = jobs_take(&s->jobs, request_id, ret_job);
    if (rc == ERR_EXISTS)
        return rc;
    if (rc == ERR_LIMIT || rc == ERR_PARSE)
        return refusal_set(ret_error, REFUSAL_REQUEST_ID);
    if (rc == ERR_NOMEM)
        return refusal_set(ret_error, REFUSAL_NO_MEMORY);
    return rc < 0 ? refusal_set(ret_error, REFUSAL_ALL_PLACES_TAKEN) : 0;
}

void serve_on_request(struct serve *s, const struct msg_inference_request *m)
{
    struct api_error error = {0};
    struct job *j = NULL;
    int rc;

    if (tombs_take(&s->tombs,
                   m->request_id)) { /* nobody waits for an answer, not even for an error */
        log_event(s->config.log, LOG_INFO, EV_JOB_DONE, KV_STR("request", m->request_id),
                  KV_CSTR("finish", "cancelled_before_it_came"));
        return;
    }
    rc = serve_take_place(s, m->request_id, &j, &error);
    if (rc == ERR_EXISTS)
        return; /* the first of that id goes on, and answers */
    if (rc < 0 || !j) {
        serve_refuse(s, m->request_id, &error);
        return;
    }
    j->taken_us = clock_mono_us(&s->clock);
    if (admit_request(j, m, &error) == 0)
        return;
    jobs_release(&s->jobs, j);
    serve_refuse(s, m->request_id, &error);
}

void serve_on_cancel(struct serve *s, const struct msg_cancel *m)
{
    struct job *j = jobs_find(&s->jobs, m->request_id);

    if (j)
        serve_job_abandon(j, "cancelled");
    else
        tombs_add(&s->tombs, m->request_id);
}

void serve_on_lost(struct serve *s)
{
    tombs_clear(&s->tombs);
    for (uint32_t i = 0; i < s->jobs.n; i++) {
        if (s->jobs.items[i].state != JOB_FREE)
            serve_job_abandon(&s->jobs.items[i], "lost");
    }
}

void serve_on_drain(struct serve *s)
{
    for (uint32_t i = 0; i < s->jobs.n; i++) {
        if (s->jobs.items[i].state == JOB_RUNNING && answer_text(&s->jobs.items[i], false) < 0)
            return;
    }
    buf_wipe(&s->line);
}

/* --- events of the engine --- */

static int serve_on_admitted(struct job *j, const struct engine_event *e)
{
    j->prompt_tokens = e->prompt_tokens;
    return answer_accepted(j);
}

static int serve_fail(struct job *j, const struct api_error *error)
{
    struct serve *s = j->serve;
    int rc;

    log_event(s->config.log, LOG_WARN, EV_JOB_REFUSED, KV_STR("request", job_id(j)),
              KV_INT("status", error->status), KV_CSTR("code", error->code));
    rc = answer_error(s, job_id(j), error);
    if (rc == 0)
        serve_job_end(j, "failed");
    return rc;
}

/* Calls that the model gave no id get one: the consumer names them by it in its next request. */
static int serve_add_text(struct job *j, const struct engine_event *e)
{
    struct engine_event with_id = *e;
    uint8_t random[12];
    char id[sizeof "call_" + 2 * sizeof random] = "call_";

    if (e->channel != ENGINE_CALL_ID || e->text.n > 0)
        return parts_add(&j->answer, e);
    rand_fill(&j->serve->config.rand, random, sizeof random);
    hex_encode(random, sizeof random, id + strlen(id));
    with_id.text = str_from(id);
    return parts_add(&j->answer, &with_id);
}

static int serve_on_text(struct job *j, const struct engine_event *e)
{
    struct engine_port *engine = &j->serve->config.engine;

    if (serve_add_text(j, e) < 0) {
        struct api_error error = {0};

        (void)refusal_set(&error, REFUSAL_NO_MEMORY);
        engine->cancel(engine->ud, job_tag(j));
        return serve_fail(j, &error);
    }
    j->completion_tokens += e->tokens;
    return answer_text(j, false);
}

static void serve_complete(struct job *j, struct str signature)
{
    struct serve *s = j->serve;

    if (!j->dropped) {
        s->requests_served++;
        if (answer_complete(j, signature) < 0)
            j->dropped = true;
    }
    serve_job_end(j, j->dropped ? "lost" : finish_names[j->finish]);
}

static void serve_on_signed(void *ud, const struct signer_result *result)
{
    struct job *j = ud;

    if (result->code == 0)
        (void)snprintf(j->hash, sizeof j->hash, "%.*s", STR_ARG(result->response_hash));
    serve_complete(j, result->code == 0 ? result->signature : (struct str){0});
}

static int serve_on_done(struct job *j, const struct engine_event *e)
{
    struct serve *s = j->serve;
    struct signer_statement statement;
    int rc;

    j->prompt_tokens = e->prompt_tokens;
    j->completion_tokens = e->completion_tokens;
    j->finish = e->finish;
    rc = answer_finish(j);
    if (rc < 0)
        return rc;
    statement = (struct signer_statement){.kind = SIGN_COMPLETION,
                                          .completion = {.request_id = job_id(j),
                                                         .completion_tokens = j->completion_tokens,
                                                         .text = buf_view(&j->answer.text)}};
    j->state = JOB_SIGNING;
    rc = signer_sign(s->config.signer, &statement, serve_on_signed, j);
    parts_free(&j->answer);
    if (rc < 0) /* a completion without a signature is one that the coordinator still settles */
        serve_complete(j, (struct str){0});
    return 0;
}

static int serve_on_failed(struct job *j, const struct engine_event *e)
{
    struct api_error error = {0};

    if (e->code == ERR_PARSE && e->wrong != ENGINE_WRONG_NONE)
        (void)refusal_of_wrong(e->wrong, &error);
    else
        (void)refusal_of_engine(e->code, e->prompt_tokens, j->serve->config.context_tokens, &error);
    return serve_fail(j, &error);
}

static int (*const event_handlers[])(struct job *j, const struct engine_event *e) = {
    [ENGINE_ADMITTED] = serve_on_admitted,
    [ENGINE_TEXT] = serve_on_text,
    [ENGINE_DONE] = serve_on_done,
    [ENGINE_FAILED] = serve_on_failed,
};

void serve_on_events(struct serve *s)
{
    struct engine_port *engine = &s->config.engine;
    struct engine_event event;

    /* A lost connection releases the jobs; their remaining events then find nobody. */
    while (engine->poll(engine->ud, &event) == 1) {
        struct job *j = jobs_of_tag(&s->jobs, event.tag);

        if (j)
            (void)event_handlers[event.kind](j, &event);
    }
    buf_wipe(&s->line);
    if (s->line.cap > LINE_KEEP_BYTES)
        buf_free(&s->line);
}

/* --- life --- */

int serve_new(const struct serve_config *config, struct serve **ret_serve)
{
    struct serve *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return ERR_NOMEM;
    s->config = *config;
    s->clock = loop_clock(config->loop);
    buf_init(&s->line, LINE_MAX_BYTES);
    buf_init(&s->plain, PLAIN_MAX_BYTES);
    arena_init(&s->region, REGION_MAX_BYTES);
    rc = jobs_init(&s->jobs, config->max_jobs, s);
    if (rc == 0)
        rc = box_slab_new(config->max_jobs, &s->slab);
    if (rc < 0) {
        jobs_free(&s->jobs);
        free(s);
        return rc;
    }
    *ret_serve = s;
    return 0;
}

void serve_set_link(struct serve *s, struct link *link)
{
    s->link = link;
}

struct load serve_load(const struct serve *s)
{
    const struct engine_port *engine = &s->config.engine;
    struct load load = {0};

    engine->load(engine->ud, &load);
    load.requests_served = s->requests_served;
    load.tokens_generated = s->completion_tokens;
    load.draining = s->draining;
    return load;
}

void serve_drain(struct serve *s, void (*idle)(void *ud), void *ud)
{
    s->draining = true;
    s->on_idle = idle;
    s->idle_ud = ud;
    if (!s->jobs.in_use)
        serve_tell_idle(s);
}

void serve_give_up(struct serve *s)
{
    struct api_error error = {0};

    (void)refusal_set(&error, REFUSAL_DRAINING);
    for (uint32_t i = 0; i < s->jobs.n; i++) {
        struct job *j = &s->jobs.items[i];

        if (j->state != JOB_RUNNING)
            continue; /* free, or its answer is out and its completion follows by itself */
        s->config.engine.cancel(s->config.engine.ud, job_tag(j));
        if (serve_fail(j, &error) < 0)
            return; /* the connection is gone, and all jobs with it */
    }
}

void serve_free(struct serve *s)
{
    if (!s)
        return;
    s->on_idle = NULL;
    serve_on_lost(s);
    jobs_free(&s->jobs);
    box_slab_free(s->slab);
    buf_wipe(&s->line);
    buf_free(&s->line);
    buf_free(&s->plain);
    arena_free(&s->region);
    free(s);
}
