/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's connection: its WebSocket callbacks, the table that says which message is legal in
 * which state and who handles it, and its end. */
#include <stdlib.h>

#include "coordinator/metrics.h"
#include "coordinator/registry/provider.h"

enum { IN_CONNECTED = 1 << PROVIDER_CONNECTED, IN_REGISTERED = 1 << PROVIDER_REGISTERED };

/* Some chunks are under way when a request is cancelled; so many say that it was not heard. */
enum { LATE_CHUNKS_A_CANCEL = 32 };

typedef int provider_handler(struct provider *p, struct provider_msg *m, struct err *ret_err);

/* What one connection may send and be sent: little until it has said who it is. A provider that
 * takes nothing of what it is sent is cut as a consumer is. */
static struct ws_conn_config link_limits(const struct registry *reg, bool registered)
{
    const struct registry_config *config = &reg->config;

    return (struct ws_conn_config){
        .max_message_bytes = registered ? PROVIDER_FRAME_MAX_BYTES : PROVIDER_FIRST_FRAME_MAX_BYTES,
        .out_max_bytes = registered ? PROVIDER_OUT_MAX_BYTES : PROVIDER_FIRST_OUT_MAX_BYTES,
        .rand = config->rand,
        .budget = registered ? config->memory->providers : config->memory->unregistered,
        .stall_ms = config->settings->stall_timeout_ms,
        .urgent = registered};
}

static int link_on_register(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    const struct ws_conn_config limits = link_limits(p->reg, true);
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

static int link_on_heartbeat(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    (void)ret_err;
    provider_heartbeat(p, &m->heartbeat);
    return 0;
}

static int link_on_attestation(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    (void)ret_err;
    challenge_answer(p, &m->attestation);
    return 0;
}

static void link_ignore(struct provider *p, enum metrics_IGNORED kind)
{
    p->ignored_messages++;
    metrics_add(p->reg->config.metrics, M_IGNORED, kind, 0, 1);
}

/* Messages about a request: finished or unknown ones are counted and ignored. */
static int link_on_accepted(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    struct attempt *a = provider_attempt(p, m->accepted.request_id);

    (void)ret_err;
    if (a)
        a->ops->accepted(a, &m->accepted);
    else
        link_ignore(p, METRIC_IGNORED_UNKNOWN_REQUEST);
    return 0;
}

/* A chunk for a request that is not here: the provider works for nobody. It is told to stop; the
 * number of such chunks is watched (FR-13). */
static void link_chunk_too_late(struct provider *p, struct str wire_id)
{
    struct provider_msg cancel = {.type = MSG_CANCEL, .cancel = {wire_id}};

    p->reg->work.late_chunks++;
    metrics_add(p->reg->config.metrics, M_LATE_CHUNKS, 0, 0, 1);
    link_ignore(p, METRIC_IGNORED_UNKNOWN_REQUEST);
    if (++p->late_chunks % LATE_CHUNKS_A_CANCEL == 0)
        (void)provider_send(p, &cancel);
}

static int link_on_chunk(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    struct attempt *a = provider_attempt(p, m->chunk.request_id);

    (void)ret_err;
    if (a)
        a->ops->chunk(a, &m->chunk);
    else
        link_chunk_too_late(p, m->chunk.request_id);
    return 0;
}

static int link_on_complete(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    struct attempt *a = provider_attempt(p, m->complete.request_id);

    (void)ret_err;
    if (!a) {
        link_ignore(p, METRIC_IGNORED_UNKNOWN_REQUEST);
        return 0;
    }
    a->ops->completed(a, &m->complete);
    return 0;
}

static int link_on_error(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    struct attempt *a = provider_attempt(p, m->error.request_id);

    (void)ret_err;
    if (!a) {
        link_ignore(p, METRIC_IGNORED_UNKNOWN_REQUEST);
        return 0;
    }
    a->ops->failed(a, &m->error);
    return 0;
}

static int link_on_ignored(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    (void)m;
    (void)ret_err;
    link_ignore(p, METRIC_IGNORED_UNKNOWN_TYPE);
    return 0;
}

static const struct {
    unsigned legal; /* states */
    provider_handler *handle;
} handlers[MSG_COUNT] = {
    [MSG_UNKNOWN] = {IN_REGISTERED, link_on_ignored},
    [MSG_REGISTER] = {IN_CONNECTED, link_on_register},
    [MSG_HEARTBEAT] = {IN_REGISTERED, link_on_heartbeat},
    [MSG_INFERENCE_ACCEPTED] = {IN_REGISTERED, link_on_accepted},
    [MSG_INFERENCE_RESPONSE_CHUNK] = {IN_REGISTERED, link_on_chunk},
    [MSG_INFERENCE_COMPLETE] = {IN_REGISTERED, link_on_complete},
    [MSG_INFERENCE_ERROR] = {IN_REGISTERED, link_on_error},
    [MSG_ATTESTATION_RESPONSE] = {IN_REGISTERED, link_on_attestation},
    [MSG_LOAD_MODEL_STATUS] = {IN_REGISTERED, link_on_ignored},
};

/* One of the coordinator's own messages counts as unknown. */
static int link_handle(struct provider *p, struct provider_msg *m, struct err *ret_err)
{
    static const char *const state_names[] = {"before register", "after register", "at the end"};
    enum msg_type type = handlers[m->type].handle ? m->type : MSG_UNKNOWN;

    if (!(handlers[type].legal & (1U << p->state)))
        return err_set(ret_err, ERR_PROTOCOL, "%s is not allowed %s",
                       m->type ? msg_type_name(m->type) : "an unknown message",
                       state_names[p->state]);
    return handlers[type].handle(p, m, ret_err);
}

static void link_fell_silent(void *ud)
{
    struct provider *p = ud;

    provider_close(p, WS_CLOSE_POLICY,
                   p->state == PROVIDER_CONNECTED ? "no register message in time"
                                                  : "no heartbeat in time",
                   true);
}

static void link_watch_silence(struct provider *p, int64_t ms)
{
    loop_timer_set(p->reg->loop, &p->silence, ms * 1000, link_fell_silent, p);
}

static void link_on_frame(void *ud, struct str payload)
{
    struct provider *p = ud;
    struct registry *reg = p->reg;
    struct provider_msg m;
    struct err e = {0};
    int rc = provider_msg_decode(&reg->scratch, payload, &m, &e);

    if (rc == 0) {
        if (m.type == MSG_HEARTBEAT || m.type == MSG_REGISTER)
            link_watch_silence(p, reg->config.settings->heartbeat_timeout_ms);
        reg->frame = payload;
        rc = link_handle(p, &m, &e);
    }
    if (rc < 0 && p->state != PROVIDER_GONE) {
        const char *why = e.text[0] ? e.text : err_str(rc);

        log_event(reg->config.log, LOG_WARN, EV_PROVIDER_PROTOCOL, KV_CSTR("provider", p->id),
                  KV_CSTR("error", why));
        provider_close(p,
                       rc == ERR_PARSE  ? WS_CLOSE_BAD_DATA
                       : rc == ERR_BUSY ? WS_CLOSE_TRY_LATER
                                        : WS_CLOSE_POLICY,
                       why, true);
    }
}

/* What the peer says of its reasons stays out of the log, but for the code (FR-46). */
static const char *link_close_reason(const struct provider *p, int code)
{
    if (code == WS_CLOSE_GOING_AWAY)
        return "it is going away";
    if (code != 0)
        return "it closed the connection";
    return p->draining ? "it has finished its work" : "the connection was lost";
}

static void link_on_close(void *ud, int reason, const char *text)
{
    struct provider *p = ud;
    struct ws_conn *ws = p->ws;
    int code = ws_peer_close_code(ws);

    (void)reason;
    (void)text;
    p->ws = NULL;
    provider_end(p, link_close_reason(p, code), code, code != WS_CLOSE_GOING_AWAY && !p->draining);
    ws_conn_free(ws);
}

void provider_close(struct provider *p, int ws_code, const char *why, bool fault)
{
    struct ws_conn *ws = p->ws;

    if (p->state == PROVIDER_GONE)
        return;
    p->ws = NULL;
    provider_end(p, why, ws_code, fault);
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

static const struct ws_conn_ops link_ops = {.on_message = link_on_frame, .on_close = link_on_close};

int registry_accept(struct registry *reg, struct http_exchange *x)
{
    const struct ws_conn_config config = link_limits(reg, false);
    struct provider *p = calloc(1, sizeof *p);

    if (!p)
        return ERR_NOMEM;
    if (http_upgrade_ws(x, &config, &link_ops, p, &p->ws) < 0) {
        free(p);
        return ERR_NOMEM;
    }
    provider_init(p, reg);
    link_watch_silence(p, reg->config.settings->register_timeout_ms);
    log_event(reg->config.log, LOG_INFO, EV_PROVIDER_CONNECTED, KV_CSTR("provider", p->id));
    return 0;
}
