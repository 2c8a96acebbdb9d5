/* SPDX-License-Identifier: Apache-2.0 */
/* The outbound connection to the coordinator. */
#include "provider/session/link.h"

#include <stdlib.h>

#include "base/check.h"
#include "provider/session/backoff.h"
#include "provider/session/challenge.h"
#include "provider/session/ignored.h"
#include "provider/session/registration.h"

/* Output beyond this means a coordinator that does not read: a little over what all running
 * requests may hold back (see serve/answer.h). */
enum { OUT_MAX_BYTES = 16 * 1024 * 1024, SCRATCH_MAX_BYTES = 192 * 1024 * 1024 };

enum link_state {
    LINK_IDLE,       /* not started, or stopped */
    LINK_WAITING,    /* for the next attempt */
    LINK_CONNECTING, /* until the handshake is done */
    LINK_SIGNING,    /* open; the statement is at the signer */
    LINK_UP,         /* registered */
};

/* A statement at the signer, which holds a pointer to this until it answers. */
struct signing {
    struct link *owner;
    bool taken;
    uint64_t session; /* the connection that it is for */
    char timestamp[CLOCK_RFC3339_BYTES];
};

struct link {
    struct link_config config;
    struct clock clock;
    struct link_ops ops;
    void *ud;
    enum link_state state;
    struct ws_conn *ws;
    uint64_t session;
    int64_t heard_us, registered_us;
    struct loop_timer retry, heartbeat, ping;
    struct backoff backoff;
    struct challenges *challenges;
    struct signing signing;
    struct proto_scratch scratch;
    struct buf out; /* one encoded message */
    struct ignored ignored;
    uint64_t connects;
};

static void link_session_begin(void *ud);

/* --- the end of a session --- */

static void link_session_clear(struct link *l)
{
    struct loop *loop = l->config.loop;

    loop_timer_clear(loop, &l->heartbeat);
    loop_timer_clear(loop, &l->ping);
    loop_timer_clear(loop, &l->retry);
    challenges_drop(l->challenges);
    l->session++;
    l->ws = NULL;
}

static void link_session_lost(struct link *l, int reason, const char *text)
{
    int64_t now_us = clock_mono_us(&l->clock);
    bool was_up = l->state == LINK_UP;
    int64_t wait_ms;

    backoff_session_ended(&l->backoff, was_up ? (now_us - l->registered_us) / 1000 : -1);
    link_session_clear(l);
    l->state = LINK_WAITING;
    wait_ms = backoff_next_ms(&l->backoff, &l->config.rand);
    log_event(l->config.log, LOG_WARN, EV_LINK_LOST, KV_CSTR("host", l->config.url.host),
              KV_INT("port", l->config.url.port), KV_CSTR("reason", err_str(reason)),
              KV_CSTR("detail", text), KV_INT("retry_ms", wait_ms));
    loop_timer_set(l->config.loop, &l->retry, wait_ms * 1000, link_session_begin, l);
    if (was_up)
        l->ops.on_lost(l->ud);
}

/* End the connection from this side. Safe where the socket's callbacks are on the stack. */
static void link_session_drop(struct link *l, int reason, const char *text)
{
    struct ws_conn *ws = l->ws;

    link_session_lost(l, reason, text);
    ws_conn_free(ws);
}

static void link_on_ws_close(void *ud, int reason, const char *text)
{
    link_session_drop(ud, reason, text);
}

/* --- sending --- */

void link_drop(struct link *l, int reason, const char *text)
{
    if (l->state == LINK_UP)
        link_session_drop(l, reason, text);
}

static int link_send_out(struct link *l)
{
    int rc = l->ws ? ws_send(l->ws, buf_view(&l->out)) : ERR_CLOSED;

    if (rc == ERR_LIMIT)
        link_session_drop(l, rc, "the coordinator does not read");
    return rc == 0 ? 0 : ERR_CLOSED;
}

int link_send(struct link *l, const struct provider_msg *msg)
{
    int rc;

    if (l->state != LINK_UP)
        return ERR_CLOSED;
    buf_clear(&l->out);
    rc = provider_msg_encode(msg, &l->out);
    return rc < 0 ? rc : link_send_out(l);
}

char *link_send_begin(struct link *l, size_t n)
{
    char *place;

    if (l->state != LINK_UP)
        return NULL;
    place = ws_send_begin(l->ws, n);
    if (!place)
        link_session_drop(l, ERR_LIMIT, "the coordinator does not read");
    return place;
}

void link_send_end(struct link *l, char *payload, size_t n)
{
    ws_send_end(l->ws, payload, n);
}

size_t link_pending(const struct link *l)
{
    return l->ws ? ws_out_pending(l->ws) : 0;
}

static void link_on_heartbeat_due(void *ud)
{
    struct link *l = ud;
    struct load load;

    loop_timer_set(l->config.loop, &l->heartbeat, l->config.heartbeat_interval_ms * 1000,
                   link_on_heartbeat_due, l);
    load = l->ops.load(l->ud);
    buf_clear(&l->out);
    if (heartbeat_write(l->config.machine, &load, &l->out) == 0)
        (void)link_send_out(l);
}

void link_send_heartbeat(struct link *l)
{
    if (l->state == LINK_UP)
        link_on_heartbeat_due(l);
}

static void link_on_ping_due(void *ud)
{
    struct link *l = ud;

    if (clock_mono_us(&l->clock) - l->heard_us >= LINK_SILENCE_MS * (int64_t)1000) {
        link_session_drop(l, ERR_TIMEOUT, "nothing was heard for 30 s");
        return;
    }
    loop_timer_set(l->config.loop, &l->ping, LINK_PING_MS * (int64_t)1000, link_on_ping_due, l);
    if (l->state == LINK_SIGNING || l->state == LINK_UP)
        (void)ws_ping(l->ws, STR("eigeninference"));
}

static void link_on_answer(void *ud, const struct provider_msg *answer)
{
    struct link *l = ud;

    if (link_send(l, answer) == 0)
        log_event(l->config.log, LOG_INFO, EV_CHALLENGE_ANSWERED,
                  KV_CSTR("host", l->config.url.host));
}

/* --- receiving: one handler a type --- */

static void link_take_request(struct link *l, const struct provider_msg *m)
{
    l->ops.on_request(l->ud, &m->request);
}

static void link_take_cancel(struct link *l, const struct provider_msg *m)
{
    l->ops.on_cancel(l->ud, &m->cancel);
}

static void link_take_challenge(struct link *l, const struct provider_msg *m)
{
    int rc = challenges_take(l->challenges, &m->challenge);

    if (rc < 0)
        ignored_add(&l->ignored, l->config.log, m->type_name, err_str(rc));
}

static void link_take_runtime_status(struct link *l, const struct provider_msg *m)
{
    const struct msg_runtime_status *s = &m->runtime_status;

    log_event(l->config.log, s->verified ? LOG_INFO : LOG_WARN, EV_RUNTIME_STATUS,
              KV_INT("verified", s->verified), KV_INT("mismatches", s->n_mismatches),
              KV_STR("first", s->n_mismatches ? s->mismatches[0].component : (struct str){0}));
}

/* Succeeded at once where it is loaded; otherwise the owner says how it went. */
static void link_take_load_model(struct link *l, const struct provider_msg *m)
{
    bool ours = str_eq(m->load_model.model_id, l->config.machine->model.id);
    struct provider_msg answer = {.type = MSG_LOAD_MODEL_STATUS};

    answer.load_status.model_id = m->load_model.model_id;
    if (!ours) {
        answer.load_status.status = STR("failed");
        answer.load_status.error = STR("this provider serves one model, chosen at start");
    } else {
        answer.load_status.status =
            l->ops.on_load_model(l->ud) == 1 ? STR("succeeded") : STR("started");
    }
    (void)link_send(l, &answer);
}

static void (*const handlers[MSG_COUNT])(struct link *l, const struct provider_msg *m) = {
    [MSG_INFERENCE_REQUEST] = link_take_request,
    [MSG_CANCEL] = link_take_cancel,
    [MSG_ATTESTATION_CHALLENGE] = link_take_challenge,
    [MSG_RUNTIME_STATUS] = link_take_runtime_status,
    [MSG_LOAD_MODEL] = link_take_load_model,
};

static void link_on_message(void *ud, struct str payload)
{
    struct link *l = ud;
    struct provider_msg msg = {0};
    int rc;

    l->heard_us = clock_mono_us(&l->clock);
    rc = provider_msg_decode(&l->scratch, payload, &msg, NULL);
    if (rc < 0)
        ignored_add(&l->ignored, l->config.log, STR("(malformed)"), err_str(rc));
    else if (!handlers[msg.type])
        ignored_add(&l->ignored, l->config.log, msg.type_name, "not a type that a provider takes");
    else if (l->state == LINK_UP)
        handlers[msg.type](l, &msg);
    else
        ignored_add(&l->ignored, l->config.log, msg.type_name, "sent before the registration");
}

static void link_on_pong(void *ud)
{
    struct link *l = ud;

    l->heard_us = clock_mono_us(&l->clock);
}

static void link_on_ws_drain(void *ud)
{
    struct link *l = ud;

    if (l->state == LINK_UP)
        l->ops.on_drain(l->ud);
}

/* --- the beginning of a session --- */

static void link_register_now(struct link *l, struct str attestation)
{
    int rc;

    buf_clear(&l->out);
    rc = registration_write(l->config.machine, attestation, &l->out);
    if (rc < 0) {
        link_session_drop(l, rc, "the register message could not be made");
        return;
    }
    if (link_send_out(l) < 0)
        return;
    l->state = LINK_UP;
    l->connects++;
    l->registered_us = clock_mono_us(&l->clock);
    log_event(l->config.log, LOG_INFO, EV_LINK_CONNECTED, KV_CSTR("host", l->config.url.host),
              KV_INT("port", l->config.url.port), KV_STR("model", l->config.machine->model.id));
    link_on_heartbeat_due(l);
}

static void link_on_ws_open(void *ud);

static void link_on_statement_signed(void *ud, const struct signer_result *result)
{
    struct signing *s = ud;
    struct link *l = s->owner;

    s->taken = false;
    if (l->state != LINK_SIGNING)
        return;
    if (s->session != l->session)
        link_on_ws_open(l); /* for an earlier connection, whose timestamp it bears */
    else if (result->code < 0)
        link_session_drop(l, result->code, "the attestation could not be signed");
    else
        link_register_now(l, result->blob);
}

static void link_on_ws_open(void *ud)
{
    struct link *l = ud;
    struct signing *s = &l->signing;
    int rc;
    struct signer_statement statement;

    l->state = LINK_SIGNING;
    l->heard_us = clock_mono_us(&l->clock);
    if (s->taken)
        return; /* link_on_statement_signed comes back here */
    statement = registration_statement(l->config.machine, clock_wall_us(&l->clock), s->timestamp);
    s->session = l->session;
    rc = signer_sign(l->config.signer, &statement, link_on_statement_signed, s);
    s->taken = rc == 0;
    if (rc < 0)
        link_session_drop(l, rc, "the attestation could not be signed");
}

static const struct ws_conn_ops ws_ops = {.on_open = link_on_ws_open,
                                          .on_message = link_on_message,
                                          .on_pong = link_on_pong,
                                          .on_drain = link_on_ws_drain,
                                          .on_close = link_on_ws_close};

static void link_session_begin(void *ud)
{
    struct link *l = ud;
    const struct coordinator_url *url = &l->config.url;
    struct ws_conn_config config = {.max_message_bytes = LINK_MAX_FRAME_BYTES,
                                    .out_max_bytes = OUT_MAX_BYTES,
                                    .rand = l->config.rand,
                                    .tls = url->tls ? l->config.tls : NULL,
                                    .urgent = true};
    int rc;

    l->state = LINK_CONNECTING;
    l->heard_us = clock_mono_us(&l->clock);
    loop_timer_set(l->config.loop, &l->ping, LINK_PING_MS * (int64_t)1000, link_on_ping_due, l);
    rc = ws_conn_connect(l->config.loop, url->host, url->port, url->path, &config, &ws_ops, l,
                         &l->ws);
    if (rc < 0)
        link_session_lost(l, rc, "the connection could not be begun");
}

/* --- life --- */

int link_new(const struct link_config *config, const struct link_ops *ops, void *ud,
             struct link **ret_link)
{
    struct link *l = calloc(1, sizeof *l);
    int rc;

    CHECK(config->tls || !config->url.tls);
    if (!l)
        return ERR_NOMEM;
    l->config = *config;
    l->clock = loop_clock(config->loop);
    l->ops = *ops;
    l->ud = ud;
    l->signing.owner = l;
    buf_init(&l->out, LINK_MAX_FRAME_BYTES);
    rc = proto_scratch_init(&l->scratch, SCRATCH_MAX_BYTES);
    if (rc == 0)
        rc = challenges_new(config->machine, config->signer, link_on_answer, l, &l->challenges);
    if (rc < 0) {
        proto_scratch_free(&l->scratch);
        free(l);
        return rc;
    }
    *ret_link = l;
    return 0;
}

void link_start(struct link *l)
{
    if (l->state == LINK_IDLE)
        link_session_begin(l);
}

void link_stop(struct link *l)
{
    struct ws_conn *ws = l->ws;
    enum link_state was = l->state;

    link_session_clear(l);
    l->state = LINK_IDLE;
    if (was == LINK_UP)
        l->ops.on_lost(l->ud);
    if (was == LINK_UP || was == LINK_SIGNING)
        ws_conn_close(ws, WS_CLOSE_GOING_AWAY, STR("provider stops"));
    else
        ws_conn_free(ws);
}

void link_free(struct link *l)
{
    if (!l)
        return;
    ws_conn_free(l->ws);
    link_session_clear(l);
    challenges_free(l->challenges);
    proto_scratch_free(&l->scratch);
    buf_free(&l->out);
    free(l);
}

bool link_is_up(const struct link *l)
{
    return l->state == LINK_UP;
}

struct link_counters link_counters_of(const struct link *l)
{
    return (struct link_counters){.connects = l->connects, .ignored = l->ignored.count};
}
