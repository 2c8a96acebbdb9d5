/* SPDX-License-Identifier: Apache-2.0 */
/* The link and the requests that come over it, put together. */
#include "provider/provider.h"

#include <stdlib.h>

#include "provider/serve/serve.h"

struct provider {
    struct loop *loop;
    struct link *link;
    struct serve *serve;
    int64_t drain_timeout_ms;
    struct loop_timer drain; /* the end of its patience; then, of the connection's last moment */
    struct loop_timer sent;
    bool stopping, closed;
    bool preloading, preload_began; /* a load_model is to be answered; the load was seen to run */
    struct engine_port engine;
    struct str model_id;
    void (*stopped)(void *ud);
    void *stopped_ud;
};

static void provider_on_request(void *ud, const struct msg_inference_request *m)
{
    struct provider *p = ud;

    serve_on_request(p->serve, m);
}

static void provider_on_cancel(void *ud, const struct msg_cancel *m)
{
    struct provider *p = ud;

    serve_on_cancel(p->serve, m);
}

static void provider_on_drain(void *ud)
{
    struct provider *p = ud;

    serve_on_drain(p->serve);
}

/* The connection that asked for a model is gone, and so is who wants to know. */
static void provider_on_lost(void *ud)
{
    struct provider *p = ud;

    p->preloading = false;
    serve_on_lost(p->serve);
}

static struct load provider_on_load(void *ud)
{
    struct provider *p = ud;

    return serve_load(p->serve);
}

static int provider_on_load_model(void *ud)
{
    struct provider *p = ud;
    int rc = p->engine.warm ? p->engine.warm(p->engine.ud) : 1;

    p->preloading = rc != 1;
    p->preload_began = false;
    return rc;
}

static const struct link_ops link_ops = {.on_request = provider_on_request,
                                         .on_cancel = provider_on_cancel,
                                         .on_drain = provider_on_drain,
                                         .on_lost = provider_on_lost,
                                         .on_load_model = provider_on_load_model,
                                         .load = provider_on_load};

int provider_new(const struct provider_config *c, struct provider **ret_provider)
{
    const struct serve_config serve = {.loop = c->loop,
                                       .rand = c->rand,
                                       .log = c->log,
                                       .signer = c->signer,
                                       .engine = c->engine,
                                       .pair = c->pair,
                                       .model_id = c->machine->model.id,
                                       .context_tokens = c->machine->model.context_length,
                                       .max_jobs = c->max_jobs};
    const struct link_config link = {.loop = c->loop,
                                     .rand = c->rand,
                                     .log = c->log,
                                     .signer = c->signer,
                                     .machine = c->machine,
                                     .url = c->url,
                                     .tls = c->tls,
                                     .heartbeat_interval_ms = c->heartbeat_interval_ms};
    struct provider *p = calloc(1, sizeof *p);
    int rc;

    if (!p)
        return ERR_NOMEM;
    p->loop = c->loop;
    p->engine = c->engine;
    p->model_id = c->machine->model.id;
    p->drain_timeout_ms = c->drain_timeout_ms;
    rc = serve_new(&serve, &p->serve);
    if (rc == 0)
        rc = link_new(&link, &link_ops, p, &p->link);
    if (rc < 0) {
        provider_free(p);
        return rc;
    }
    serve_set_link(p->serve, p->link);
    *ret_provider = p;
    return 0;
}

void provider_start(struct provider *p)
{
    link_start(p->link);
}

void provider_on_engine(struct provider *p)
{
    serve_on_events(p->serve);
}

/* A load that began before the question may still fail and be tried again: only the one that was
 * seen to run since counts as failed. */
static void provider_tell_preload(struct provider *p)
{
    struct provider_msg m = {.type = MSG_LOAD_MODEL_STATUS, .load_status.model_id = p->model_id};
    struct load load = {0};

    p->engine.load(p->engine.ud, &load);
    if (load.loading || (load.crashed && !p->preload_began)) {
        p->preload_began |= load.loading;
        return;
    }
    p->preloading = false;
    m.load_status.status = load.crashed ? STR("failed") : STR("succeeded");
    if (load.crashed)
        m.load_status.error = STR("the engine ended while it loaded; it is tried again");
    (void)link_send(p->link, &m);
}

void provider_on_engine_changed(struct provider *p)
{
    if (p->preloading)
        provider_tell_preload(p);
    link_send_heartbeat(p->link);
}

static void provider_tell_stopped(void *ud)
{
    struct provider *p = ud;

    p->stopped(p->stopped_ud);
}

/* The close frame leaves at the end of an iteration: whoever ends the loop at once keeps it back.
 */
static void provider_close(struct provider *p)
{
    if (p->closed)
        return;
    p->closed = true;
    loop_timer_clear(p->loop, &p->sent);
    link_stop(p->link);
    loop_timer_set(p->loop, &p->drain, PROVIDER_LINGER_MS * (int64_t)1000, provider_tell_stopped,
                   p);
}

/* The last answers may still wait for a slow socket: closing before they left would cut them. */
static void provider_close_when_sent(void *ud)
{
    struct provider *p = ud;

    if (link_is_up(p->link) && link_pending(p->link) > 0)
        loop_timer_set(p->loop, &p->sent, PROVIDER_SENT_MS * (int64_t)1000,
                       provider_close_when_sent, p);
    else
        provider_close(p);
}

static void provider_on_idle(void *ud)
{
    struct provider *p = ud;

    loop_timer_set(p->loop, &p->sent, 0, provider_close_when_sent, p);
}

static void provider_give_up(void *ud)
{
    struct provider *p = ud;

    if (!p->closed)
        serve_give_up(p->serve);
    provider_close(p);
}

void provider_stop(struct provider *p, void (*stopped)(void *ud), void *ud)
{
    if (p->stopping) {
        provider_give_up(p);
        return;
    }
    p->stopping = true;
    p->stopped = stopped;
    p->stopped_ud = ud;
    loop_timer_set(p->loop, &p->drain, p->drain_timeout_ms * 1000, provider_give_up, p);
    serve_drain(p->serve, provider_on_idle, p);
    link_send_heartbeat(p->link);
}

void provider_free(struct provider *p)
{
    if (!p)
        return;
    loop_timer_clear(p->loop, &p->drain);
    loop_timer_clear(p->loop, &p->sent);
    link_free(p->link);
    serve_free(p->serve);
    free(p);
}

bool provider_is_up(const struct provider *p)
{
    return link_is_up(p->link);
}

struct link_counters provider_link_counters(const struct provider *p)
{
    return link_counters_of(p->link);
}
