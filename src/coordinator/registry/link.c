/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's connection: its WebSocket callbacks, the table that says which message is legal in
 * which state and who handles it, and its end. */
#include <stdlib.h>

#include "coordinator/registry/provider.h"

enum { IN_CONNECTED = 1 << PROVIDER_CONNECTED, IN_REGISTERED = 1 << PROVIDER_REGISTERED };

typedef int provider_handler(struct provider *p, struct provider_msg *m, struct err *ret_err);

/* What one connection may send and be sent: little until it has said who it is. A provider that
 * takes nothing of what it is sent is cut as a consumer is. */
static struct ws_conn_config provider_limits(const struct registry *reg, bool registered)
{
    const struct registry_config *config = &reg->config;

    return (struct ws_conn_config){
        .max_message_bytes = registered ? PROVIDER_FRAME_MAX_BYTES : PROVIDER_FIRST_FRAME_MAX_BYTES,
        .out_max_bytes = registered ? PROVIDER_OUT_MAX_BYTES : PROVIDER_FIRST_OUT_MAX_BYTES,
        .rand = config->rand,
        .budget = registered ? &config->memory->providers : &config->memory->unregistered,
        .stall_ms = config->settings->stall_timeout_ms};
}

static int on_register(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    const struct ws_conn_config limits = provider_limits(p->reg, true);
    int rc = ws_conn_set_limits(p->ws, &limits);

    if (rc < 0) {
        (void)budget_refusal(limits.budget, PROVIDER_FIRST_FRAME_MAX_BYTES, ret_err);
        return ERR_BUSY;
    }
    rc = provider_register(p, &m->reg, ret_err);
    if (rc == 0)
        log_event(p->reg->config.log, LOG_INFO, EV_PROVIDER_REGISTERED, KV_CSTR("provider", p->id),
                  KV_STR("backend", p->backend), KV_STR("version", p->version),
                  KV_INT("models", p->n_offers), KV_INT("private_text", p->private_text),
                  KV_INT("usable_key", p->has_key));
    return rc;
}

static int on_heartbeat(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    (void)ret_err;
    provider_heartbeat(p, &m->heartbeat);
    return 0;
}

static int on_attestation(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    (void)ret_err;
    challenge_answer(p, &m->attestation);
    return 0;
}

/* Messages about a request: finished or unknown ones are counted and ignored. */
static int on_accepted(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    struct attempt *a = provider_attempt(p, m->accepted.request_id);

    (void)ret_err;
    if (a)
        a->ops->accepted(a, &m->accepted);
    else
        p->ignored_messages++;
    return 0;
}

static int on_chunk(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    struct attempt *a = provider_attempt(p, m->chunk.request_id);

    (void)ret_err;
    if (a)
        a->ops->chunk(a, &m->chunk);
    else
        p->ignored_messages++;
    return 0;
}

static int on_complete(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    struct attempt *a = provider_attempt(p, m->complete.request_id);

    (void)ret_err;
    if (!a) {
        p->ignored_messages++;
        return 0;
    }
    a->ops->completed(a, &m->complete);
    return 0;
}

static int on_error(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    struct attempt *a = provider_attempt(p, m->error.request_id);

    (void)ret_err;
    if (!a) {
        p->ignored_messages++;
        return 0;
    }
    a->ops->failed(a, &m->error);
    return 0;
}

static int on_ignored(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    (void)m;
    (void)ret_err;
    p->ignored_messages++;
    return 0;
}

static const struct {
    unsigned legal; /* states */
    provider_handler *handle;
} handlers[MSG_COUNT] = {
    [MSG_UNKNOWN] = {IN_REGISTERED, on_ignored},
    [MSG_REGISTER] = {IN_CONNECTED, on_register},
    [MSG_HEARTBEAT] = {IN_REGISTERED, on_heartbeat},
    [MSG_INFERENCE_ACCEPTED] = {IN_REGISTERED, on_accepted},
    [MSG_INFERENCE_RESPONSE_CHUNK] = {IN_REGISTERED, on_chunk},
    [MSG_INFERENCE_COMPLETE] = {IN_REGISTERED, on_complete},
    [MSG_INFERENCE_ERROR] = {IN_REGISTERED, on_error},
    [MSG_ATTESTATION_RESPONSE] = {IN_REGISTERED, on_attestation},
    [MSG_LOAD_MODEL_STATUS] = {IN_REGISTERED, on_ignored},
};

/* One of the coordinator's own messages counts as unknown. */
static int dispatch(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    static const char *const state_names[] = {"before register", "after register", "at the end"};
    enum msg_type type = handlers[m->type].handle ? m->type : MSG_UNKNOWN;

    if (!(handlers[type].legal & (1U << p->state)))
        return err_set(ret_err, ERR_PROTOCOL, "%s is not allowed %s",
                       m->type ? msg_type_name(m->type) : "an unknown message",
                       state_names[p->state]);
    return handlers[type].handle(p, m, ret_err);
}

static void fell_silent(void *ud)
{
    struct provider *p = ud;

    provider_close(p, WS_CLOSE_POLICY,
                   p->state == PROVIDER_CONNECTED ? "no register message in time"
                                                  : "no heartbeat in time");
}

static void watch_silence(struct provider *p, int64_t ms)
{
    loop_timer_set(p->reg->loop, &p->silence, ms * 1000, fell_silent, p);
}

static void on_message(void *ud, struct str payload)
{
    struct provider *p = ud;
    struct registry *reg = p->reg;
    struct provider_msg m;
    struct err e = {0};
    int rc = provider_msg_decode(&reg->scratch, payload, &m, &e);

    if (rc == 0) {
        if (m.type == MSG_HEARTBEAT || m.type == MSG_REGISTER)
            watch_silence(p, reg->config.settings->heartbeat_timeout_ms);
        rc = dispatch(p, &m, &e);
    }
    if (rc < 0 && p->state != PROVIDER_GONE) {
        const char *why = e.text[0] ? e.text : err_str(rc);

        log_event(reg->config.log, LOG_WARN, EV_PROVIDER_PROTOCOL, KV_CSTR("provider", p->id),
                  KV_CSTR("error", why));
        provider_close(p,
                       rc == ERR_PARSE  ? WS_CLOSE_BAD_DATA
                       : rc == ERR_BUSY ? WS_CLOSE_TRY_LATER
                                        : WS_CLOSE_POLICY,
                       why);
    }
}

static void reap(void *ud)
{
    registry_reap(ud);
}

/* Forget the provider; its attempts are told last, when nothing can be routed to it any more. */
static void gone(struct provider *p, const char *why)
{
    struct registry *reg = p->reg;
    bool registered = p->state == PROVIDER_REGISTERED;

    p->state = PROVIDER_GONE;
    if (registered)
        reg->n_registered--;
    challenge_stop(p);
    provider_session_drop(p);
    loop_timer_clear(reg->loop, &p->silence);
    offers_withdraw(p);
    list_remove(&p->link);
    if (p->attested && map_get(&reg->by_key, str_from(p->blob.key_hash)) == p)
        map_remove(&reg->by_key, str_from(p->blob.key_hash));
    log_event(reg->config.log, LOG_INFO, EV_PROVIDER_DISCONNECTED, KV_CSTR("provider", p->id),
              KV_CSTR("why", why), KV_INT("running", p->n_attempts),
              KV_INT("ignored_messages", p->ignored_messages));
    provider_drop_attempts(p, "the provider disconnected");
    list_push_back(&reg->dead, &p->link);
    loop_defer_add(reg->loop, &reg->reap, reap, reg);
}

void registry_reap(struct registry *reg)
{
    while (!list_empty(&reg->dead)) {
        struct provider *p = list_owner(reg->dead.next, struct provider, link);

        list_remove(&p->link);
        arena_free(&p->region);
        map_free(&p->attempts_by_id);
        free(p);
    }
}

static void on_close(void *ud, int reason, const char *text)
{
    struct provider *p = ud;
    struct ws_conn *ws = p->ws;

    (void)reason;
    p->ws = NULL;
    gone(p, text);
    ws_conn_free(ws);
}

void provider_close(struct provider *p, int ws_code, const char *why)
{
    struct ws_conn *ws = p->ws;

    if (p->state == PROVIDER_GONE)
        return;
    p->ws = NULL;
    gone(p, why);
    ws_conn_close(ws, ws_code, str_from(why));
}

int provider_send(struct provider *p, const struct provider_msg *m)
{
    int rc;

    if (!p->ws)
        return ERR_CLOSED;
    buf_clear(&p->reg->out);
    rc = provider_msg_encode(m, &p->reg->out);
    return rc < 0 ? rc : ws_send(p->ws, buf_view(&p->reg->out));
}

static const struct ws_conn_ops link_ops = {.on_message = on_message, .on_close = on_close};

int registry_accept(struct registry *reg, struct http_exchange *x)
{
    const struct ws_conn_config config = provider_limits(reg, false);
    struct provider *p = calloc(1, sizeof *p);

    if (!p)
        return ERR_NOMEM;
    if (http_upgrade_ws(x, &config, &link_ops, p, &p->ws) < 0) {
        free(p);
        return ERR_NOMEM;
    }
    p->reg = reg;
    p->serial = ++reg->last_serial;
    p->state = PROVIDER_CONNECTED;
    rand_uuid(&reg->config.rand, p->id);
    arena_init(&p->region, PROVIDER_REGION_BYTES);
    list_init(&p->attempts);
    list_push_back(&reg->providers, &p->link);
    watch_silence(p, reg->config.settings->register_timeout_ms);
    log_event(reg->config.log, LOG_INFO, EV_PROVIDER_CONNECTED, KV_CSTR("provider", p->id));
    return 0;
}
