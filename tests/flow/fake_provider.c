/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted provider: its connection, its registration and its proofs. What it says about requests
 * is in fake_provider_talk.c. */
#include "fake_provider.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/b64.h"

enum { PROVIDER_MAX_BYTES = 32 << 20 };

/* --- "later, on this thread", as the signer wants it --- */

struct posted {
    struct loop_defer defer;
    void (*fn)(void *arg);
    void *arg;
};

static void run_posted(void *ud)
{
    struct posted *d = ud;

    d->fn(d->arg);
    free(d);
}

static void post(void *ud, void (*fn)(void *arg), void *arg)
{
    struct fake_provider *p = ud;
    struct posted *d = calloc(1, sizeof *d);

    assert_non_null(d);
    d->fn = fn;
    d->arg = arg;
    loop_defer_add(p->w->loop, &d->defer, run_posted, d);
}

/* --- registration --- */

static struct msg_model *model_of(struct fake_provider *p)
{
    static struct msg_model model;

    model = (struct msg_model){
        .id = str_from(p->config.model ? p->config.model : FAKE_MODEL),
        .model_type = STR("chat"),
        .quantization = STR("Q4_1"),
        .context_length = p->config.context_length > 0 ? p->config.context_length : FAKE_CONTEXT,
        .numerics = STR("invariant"),
        .template_overhead_tokens = FAKE_OVERHEAD};
    return &model;
}

static struct str public_key(const struct fake_provider *p)
{
    return str_from(p->config.public_key ? p->config.public_key : box_pair_public_b64(p->pair));
}

struct provider_msg fake_provider_register_msg(struct fake_provider *p)
{
    return (struct provider_msg){
        .type = MSG_REGISTER,
        .reg = {
            .hardware = {.machine_model = STR("Testbox"),
                         .chip_name =
                             str_from(p->config.chip_name ? p->config.chip_name : "Test CPU")},
            .models = model_of(p),
            .n_models = 1,
            .backend = STR("inprocess-llama"),
            .version = STR("0.1.0"),
            .public_key = public_key(p),
            .encrypted_response_chunks = true,
            .has_privacy_capabilities = true,
            .privacy_capabilities = {.text_backend_inprocess = true, .text_proxy_disabled = true}}};
}

static void register_with(struct fake_provider *p, struct str attestation)
{
    struct provider_msg m = fake_provider_register_msg(p);

    m.reg.attestation = attestation;
    fake_provider_send(p, &m);
    fake_provider_heartbeat(p);
}

static void on_blob_signed(void *ud, const struct signer_result *result)
{
    struct fake_provider *p = ud;

    if (result->code != ERR_CANCELLED && p->ws)
        register_with(p, result->blob);
}

static void on_open(void *ud)
{
    struct fake_provider *p = ud;
    struct signer_statement statement = {
        .kind = SIGN_BLOB,
        .blob = {.chip_name = STR("Test CPU"),
                 .encryption_public_key = str_from(box_pair_public_b64(p->pair)),
                 .hardware_model = STR("Testbox"),
                 .os_version = STR("Linux 6.1"),
                 .timestamp = STR("2026-09-21T14:13:20Z")}};

    if (p->config.no_register)
        return;
    if (p->config.no_attestation)
        register_with(p, (struct str){0});
    else
        assert_int_equal(signer_sign(p->signer, &statement, on_blob_signed, p), 0);
}

/* --- challenges --- */

static struct msg_attestation_response answer_of(struct fake_provider *p)
{
    return (struct msg_attestation_response){
        .nonce = p->config.answer == FAKE_OTHER_NONCE
                     ? STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
                     : str_from(p->nonce),
        .signature = str_from(p->signature),
        .public_key = p->config.answer == FAKE_OTHER_KEY
                          ? STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
                          : public_key(p),
        .hypervisor_active = PROTO_TRI_FALSE,
        .rdma_disabled = PROTO_TRI_UNSET,
        .sip_enabled = PROTO_TRI_UNSET,
        .secure_boot_enabled = PROTO_TRI_FALSE};
}

static void on_status_signed(void *ud, const struct signer_result *result)
{
    struct fake_provider *p = ud;
    struct provider_msg m = {.type = MSG_ATTESTATION_RESPONSE};

    if (result->code == ERR_CANCELLED || !p->ws)
        return;
    m.attestation = answer_of(p);
    m.attestation.status_signature = result->signature;
    fake_provider_send(p, &m);
}

static void on_challenge_signed(void *ud, const struct signer_result *result)
{
    struct fake_provider *p = ud;
    struct msg_attestation_response answer;
    struct signer_statement statement = {.kind = SIGN_STATUS};

    if (result->code == ERR_CANCELLED || !p->ws)
        return;
    snprintf(p->signature, sizeof p->signature, "%.*s", STR_ARG(result->signature));
    answer = answer_of(p);
    statement.status = status_of_response(&answer, str_from(p->timestamp));
    assert_int_equal(signer_sign(p->signer, &statement, on_status_signed, p), 0);
}

static void on_challenge(struct fake_provider *p, const struct msg_attestation_challenge *m)
{
    struct signer_statement statement = {.kind = SIGN_CHALLENGE};

    p->challenges++;
    snprintf(p->nonce, sizeof p->nonce, "%.*s", STR_ARG(m->nonce));
    snprintf(p->timestamp, sizeof p->timestamp, "%.*s", STR_ARG(m->timestamp));
    if (p->config.answer == FAKE_SILENT)
        return;
    statement.challenge.nonce = str_from(p->nonce);
    statement.challenge.timestamp =
        p->config.answer == FAKE_FORGES ? STR("2020-01-01T00:00:00Z") : str_from(p->timestamp);
    assert_int_equal(signer_sign(p->signer, &statement, on_challenge_signed, p), 0);
}

/* --- requests --- */

static void on_request(struct fake_provider *p, const struct msg_inference_request *m)
{
    struct fake_job *j = &p->jobs[p->n_jobs];
    uint8_t key[BOX_KEY_BYTES];

    assert_true(p->n_jobs < FAKE_JOBS);
    p->n_jobs++;
    assert_true(m->has_encrypted_body);
    snprintf(j->wire_id, sizeof j->wire_id, "%.*s", STR_ARG(m->request_id));
    buf_init(&j->body, PROVIDER_MAX_BYTES);
    if (!p->slab) /* locked memory, which a thousand idle ones would use up */
        assert_int_equal(box_slab_new(FAKE_JOBS, &p->slab), 0);
    assert_int_equal(box_public_parse(m->encrypted_body.ephemeral_public_key, key), 0);
    assert_int_equal(box_session_accept(p->slab, p->pair, key, &j->session), 0);
    assert_int_equal(box_open(j->session, m->encrypted_body.ciphertext, &j->body), 0);
}

static void on_cancel(struct fake_provider *p, struct str wire_id)
{
    struct clock clock = loop_clock(p->w->loop);

    for (size_t i = 0; i < p->n_jobs; i++) {
        if (!str_is(wire_id, p->jobs[i].wire_id))
            continue;
        if (p->jobs[i].cancels++ == 0)
            p->jobs[i].cancelled_us = clock_mono_us(&clock);
        return;
    }
    p->stray_cancels++;
}

static void on_message(void *ud, struct str payload)
{
    struct fake_provider *p = ud;
    struct provider_msg m;

    assert_int_equal(provider_msg_decode(&p->w->scratch, payload, &m, NULL), 0);
    if (m.type == MSG_ATTESTATION_CHALLENGE)
        on_challenge(p, &m.challenge);
    else if (m.type == MSG_INFERENCE_REQUEST)
        on_request(p, &m.request);
    else if (m.type == MSG_CANCEL)
        on_cancel(p, m.cancel.request_id);
}

/* --- life --- */

static void on_close(void *ud, int reason, const char *text)
{
    struct fake_provider *p = ud;

    (void)reason;
    snprintf(p->close_text, sizeof p->close_text, "%s", text);
    fake_provider_die(p);
}

static const struct ws_conn_ops ws_ops = {
    .on_open = on_open, .on_message = on_message, .on_close = on_close};

static void open_signer(struct fake_provider *p)
{
    const struct signer_post poster = {post, p};
    char path[160], own[32];
    struct err err = {0};

    snprintf(own, sizeof own, "provider-%zu", p->w->n_providers);
    snprintf(path, sizeof path, "%s/%s.pem", p->w->dir, p->config.key ? p->config.key : own);
    if (signer_soft_open(path, &poster, &p->signer, &err) < 0)
        fail_msg("%s", err.text);
}

void fake_provider_come_back(struct fake_provider *p)
{
    const struct ws_conn_config wc = {.max_message_bytes = PROVIDER_MAX_BYTES,
                                      .out_max_bytes = PROVIDER_MAX_BYTES,
                                      .rand = p->w->coord->rand};

    assert_null(p->ws);
    assert_int_equal(ws_conn_connect(p->w->loop, "127.0.0.1", p->w->coord->port, "/ws/provider",
                                     &wc, &ws_ops, p, &p->ws),
                     0);
}

struct fake_provider *fake_provider_join(struct fake_world *w,
                                         const struct fake_provider_config *config)
{
    struct fake_provider *p = calloc(1, sizeof *p);

    assert_non_null(p);
    assert_true(w->n_providers < FAKE_PROVIDERS);
    p->w = w;
    p->config = *config;
    w->providers[w->n_providers++] = p;
    buf_init(&p->line, PROVIDER_MAX_BYTES);
    buf_init(&p->sealed, PROVIDER_MAX_BYTES);
    buf_init(&p->frame, PROVIDER_MAX_BYTES);
    assert_int_equal(box_pair_new(&p->pair), 0);
    open_signer(p);
    fake_provider_come_back(p);
    fake_world_settle(w);
    return p;
}

void fake_provider_die(struct fake_provider *p)
{
    ws_conn_free(p->ws);
    p->ws = NULL;
}

void fake_provider_close(struct fake_provider *p, int code)
{
    struct ws_conn *ws = p->ws;

    p->ws = NULL;
    ws_conn_close(ws, code, STR("as the test says"));
    fake_world_settle(p->w);
}

void fake_provider_free(struct fake_provider *p)
{
    signer_close(p->signer);
    fake_provider_die(p);
    fake_world_settle(p->w);
    for (size_t i = 0; i < p->n_jobs; i++) {
        box_session_close(p->jobs[i].session);
        buf_free(&p->jobs[i].body);
    }
    box_slab_free(p->slab);
    box_pair_free(p->pair);
    buf_free(&p->line);
    buf_free(&p->sealed);
    buf_free(&p->frame);
    free(p);
}

const char *fake_provider_account(const struct fake_provider *p)
{
    static char account[9 + 64 + 1];
    uint8_t point[66], hash[32];
    size_t n = 0;

    assert_int_equal(b64_decode(str_from(signer_public_b64(p->signer)), point, sizeof point, &n),
                     0);
    crypto_hash_sha256(hash, point, n);
    snprintf(account, sizeof account, "provider:");
    sodium_bin2hex(account + 9, sizeof account - 9, hash, sizeof hash);
    return account;
}
