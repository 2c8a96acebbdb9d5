/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/null_provider.h"

#include <stdlib.h>

#include "base/list.h"
#include "net/ws.h"
#include "proto/chunk.h"
#include "proto/sealed_msg.h"
#include "proto/provider_msg.h"
#include "seal/box.h"

enum {
    FRAME_MAX_BYTES = 1 << 20,
    OUT_MAX_BYTES = 64 << 20,
    HEARTBEAT_US = 5000000,
    SESSION_SLOTS = 4096,
    ROWS = 1000
};

struct null_provider {
    struct loop *loop;
    const struct null_script *script;
    struct ws_conn *ws;
    struct box_pair *pair;
    struct box_slab *slab;
    struct proto_scratch scratch;
    struct buf out;
    struct loop_timer heartbeat;
    struct list_node jobs;
};

struct job {
    struct null_provider *p;
    struct list_node link;
    char wire_id[64];
    struct box_session *session;
    struct loop_timer timer;
    int sent;
};

static const struct chunk_head head = {
    .id = STR("chatcmpl-bench"), .model = STR("bench-model"), .created_s = 1};

static void null_provider_send_msg(struct null_provider *p, const struct provider_msg *m)
{
    buf_clear(&p->out);
    if (provider_msg_encode(m, &p->out) == 0)
        (void)ws_send(p->ws, buf_view(&p->out));
}

static void null_provider_send_heartbeat(void *ud)
{
    struct null_provider *p = ud;
    struct provider_msg m = {.type = MSG_HEARTBEAT};

    m.heartbeat.status = STR("idle");
    m.heartbeat.stats.forward_passes = PROTO_UNSET;
    m.heartbeat.system_metrics.thermal_state = STR("nominal");
    m.heartbeat.has_backend_capacity = true;
    m.heartbeat.backend_capacity.max_running = ROWS;
    null_provider_send_msg(p, &m);
    loop_timer_set(p->loop, &p->heartbeat, HEARTBEAT_US, null_provider_send_heartbeat, p);
}

static void null_provider_send_register(struct null_provider *p)
{
    struct msg_model model = {.id = STR("bench-model"),
                              .model_type = STR("chat"),
                              .context_length = PROTO_UNSET,
                              .template_overhead_tokens = PROTO_UNSET};
    struct provider_msg m = {.type = MSG_REGISTER};

    m.reg.models = &model;
    m.reg.n_models = 1;
    m.reg.backend = STR("inprocess-llama");
    m.reg.version = STR("bench");
    m.reg.public_key = str_from(box_pair_public_b64(p->pair));
    m.reg.encrypted_response_chunks = true;
    m.reg.has_privacy_capabilities = true;
    m.reg.privacy_capabilities.text_backend_inprocess = true;
    m.reg.privacy_capabilities.text_proxy_disabled = true;
    null_provider_send_msg(p, &m);
}

static void null_provider_on_open(void *ud)
{
    struct null_provider *p = ud;

    null_provider_send_register(p);
    null_provider_send_heartbeat(p);
}

/* --- answers --- */

static void null_provider_seal_line(struct job *j, struct str line, int64_t tokens)
{
    struct null_provider *p = j->p;
    struct str id = str_from(j->wire_id);
    struct str key = str_from(box_pair_public_b64(p->pair));
    size_t n = box_sealed_len(line.n);
    size_t size = msg_chunk_size(id, key, n, tokens);
    char *place = ws_send_begin(p->ws, size);

    if (!place)
        return;
    (void)box_seal(j->session, line, msg_chunk_write(id, key, n, tokens, place));
    ws_send_end(p->ws, place, size);
}

static void null_provider_job_free(struct job *j)
{
    loop_timer_clear(j->p->loop, &j->timer);
    list_remove(&j->link);
    box_session_close(j->session);
    free(j);
}

static void null_provider_finish(struct job *j)
{
    struct provider_msg m = {.type = MSG_INFERENCE_COMPLETE};
    struct buf *out = &j->p->out;

    buf_clear(out);
    (void)chunk_write_finish(&head, CHUNK_FINISH_STOP, out);
    null_provider_seal_line(j, buf_view(out), 0);
    m.complete.request_id = str_from(j->wire_id);
    m.complete.usage = (struct msg_usage){200, j->p->script->chunks};
    null_provider_send_msg(j->p, &m);
    null_provider_job_free(j);
}

static void null_provider_send_chunks(void *ud)
{
    struct job *j = ud;
    const struct null_script *script = j->p->script;
    struct buf *out = &j->p->out;

    do {
        buf_clear(out);
        (void)chunk_write_content(&head, STR(" token"), out);
        null_provider_seal_line(j, buf_view(out), 1);
        j->sent++;
    } while (script->pace_us == 0 && j->sent < script->chunks);
    if (j->sent >= script->chunks)
        null_provider_finish(j);
    else
        loop_timer_set(j->p->loop, &j->timer, script->pace_us, null_provider_send_chunks, j);
}

static int null_provider_unseal(struct null_provider *p, struct job *j,
                                const struct msg_inference_request *m)
{
    uint8_t peer[BOX_KEY_BYTES];
    int rc = box_public_parse(m->encrypted_body.ephemeral_public_key, peer);

    if (rc == 0)
        rc = box_session_accept(p->slab, p->pair, peer, &j->session);
    return rc < 0 ? rc : box_open(j->session, m->encrypted_body.ciphertext, &p->out);
}

/* The time to the first token runs from here: unsealing is part of it. */
static void null_provider_on_request(struct null_provider *p, const struct msg_inference_request *m)
{
    struct job *j = calloc(1, sizeof *j);

    if (!j || m->request_id.n >= sizeof j->wire_id) {
        free(j);
        return;
    }
    j->p = p;
    memcpy(j->wire_id, m->request_id.p, m->request_id.n);
    list_push_back(&p->jobs, &j->link);
    if (p->script->first_us > 0)
        loop_timer_set(p->loop, &j->timer, p->script->first_us, null_provider_send_chunks, j);
    if (null_provider_unseal(p, j, m) < 0)
        null_provider_job_free(j);
    else if (p->script->first_us == 0)
        null_provider_send_chunks(j);
}

static void null_provider_on_cancel(struct null_provider *p, struct str id)
{
    for (struct list_node *n = p->jobs.next; n != &p->jobs; n = n->next) {
        struct job *j = list_owner(n, struct job, link);

        if (str_is(id, j->wire_id)) {
            null_provider_job_free(j);
            return;
        }
    }
}

static void null_provider_on_message(void *ud, struct str payload)
{
    struct null_provider *p = ud;
    struct provider_msg m;

    if (provider_msg_decode(&p->scratch, payload, &m, NULL) < 0)
        return;
    if (m.type == MSG_INFERENCE_REQUEST) {
        null_provider_on_request(p, &m.request);
    } else if (m.type == MSG_CANCEL) {
        null_provider_on_cancel(p, m.cancel.request_id);
    } else if (m.type == MSG_ATTESTATION_CHALLENGE) {
        struct provider_msg a = {.type = MSG_ATTESTATION_RESPONSE};

        a.attestation.nonce = m.challenge.nonce;
        a.attestation.public_key = str_from(box_pair_public_b64(p->pair));
        a.attestation.signature = STR("c2ln");
        a.attestation.hypervisor_active = a.attestation.rdma_disabled = a.attestation.sip_enabled =
            a.attestation.secure_boot_enabled = PROTO_TRI_FALSE;
        null_provider_send_msg(p, &a);
    }
}

static void null_provider_on_close(void *ud, int reason, const char *text)
{
    struct null_provider *p = ud;

    (void)reason;
    (void)text;
    ws_conn_free(p->ws);
    p->ws = NULL;
    loop_stop(p->loop);
}

int null_provider_new(struct loop *l, uint16_t port, const struct null_script *script,
                      struct null_provider **ret_provider)
{
    static const struct ws_conn_ops ops = {.on_open = null_provider_on_open,
                                           .on_message = null_provider_on_message,
                                           .on_close = null_provider_on_close};
    const struct ws_conn_config config = {.max_message_bytes = FRAME_MAX_BYTES,
                                          .out_max_bytes = OUT_MAX_BYTES,
                                          .rand = rand_system(),
                                          .urgent = true};
    struct null_provider *p = calloc(1, sizeof *p);
    int rc = p ? 0 : ERR_NOMEM;

    if (rc == 0) {
        p->loop = l;
        p->script = script;
        list_init(&p->jobs);
        buf_init(&p->out, FRAME_MAX_BYTES);
        rc = box_pair_new(&p->pair);
    }
    if (rc == 0)
        rc = box_slab_new(SESSION_SLOTS, &p->slab);
    if (rc == 0)
        rc = proto_scratch_init(&p->scratch, 4 * FRAME_MAX_BYTES);
    if (rc == 0)
        rc = ws_conn_connect(l, "127.0.0.1", port, "/ws/provider", &config, &ops, p, &p->ws);
    if (rc < 0) {
        null_provider_free(p);
        return rc;
    }
    *ret_provider = p;
    return 0;
}

void null_provider_free(struct null_provider *p)
{
    if (!p)
        return;
    loop_timer_clear(p->loop, &p->heartbeat);
    while (p->jobs.next && !list_empty(&p->jobs))
        null_provider_job_free(list_owner(p->jobs.next, struct job, link));
    ws_conn_free(p->ws);
    proto_scratch_free(&p->scratch);
    box_slab_free(p->slab);
    box_pair_free(p->pair);
    buf_free(&p->out);
    free(p);
}
