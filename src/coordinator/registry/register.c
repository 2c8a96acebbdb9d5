/* SPDX-License-Identifier: Apache-2.0 */
/* What a `register` message claims, what of it is verified, and where the provider earns. */
#include <math.h>
#include <stdio.h>

#include "base/b64.h"
#include "base/num.h"
#include "coordinator/registry/provider.h"
#include "store/account.h"

/* Which self-reported flags a native in-process backend must set before it may serve private text.
 * They are claims: what they are worth at each trust level is in THREAT-MODEL.md. */
enum {
    NEEDS_INPROCESS = 1,
    NEEDS_NO_PROXY = 2,
    NEEDS_PYTHON_LOCKED = 4,
    NEEDS_MODULES_BLOCKED = 8,
    NEEDS_ANTI_DEBUG = 16,
    NEEDS_NO_CORE_DUMPS = 32,
    NEEDS_ENV_SCRUBBED = 64,
};

static const struct {
    const char *backend;
    unsigned needs;
} private_backends[] = {
    {"inprocess-llama", NEEDS_INPROCESS | NEEDS_NO_PROXY},
    {"mlx-swift", NEEDS_INPROCESS | NEEDS_NO_PROXY | NEEDS_ANTI_DEBUG | NEEDS_NO_CORE_DUMPS |
                      NEEDS_ENV_SCRUBBED},
    {"inprocess-mlx", NEEDS_INPROCESS | NEEDS_NO_PROXY | NEEDS_ANTI_DEBUG | NEEDS_NO_CORE_DUMPS |
                          NEEDS_ENV_SCRUBBED | NEEDS_PYTHON_LOCKED | NEEDS_MODULES_BLOCKED},
};

static unsigned register_flags(const struct msg_privacy *c)
{
    return (c->text_backend_inprocess ? NEEDS_INPROCESS : 0) |
           (c->text_proxy_disabled ? NEEDS_NO_PROXY : 0) |
           (c->python_runtime_locked ? NEEDS_PYTHON_LOCKED : 0) |
           (c->dangerous_modules_blocked ? NEEDS_MODULES_BLOCKED : 0) |
           (c->anti_debug_enabled ? NEEDS_ANTI_DEBUG : 0) |
           (c->core_dumps_disabled ? NEEDS_NO_CORE_DUMPS : 0) |
           (c->env_scrubbed ? NEEDS_ENV_SCRUBBED : 0);
}

static bool register_private_text(const struct msg_register *m)
{
    if (!m->encrypted_response_chunks || !m->has_privacy_capabilities)
        return false;
    for (size_t i = 0; i < sizeof private_backends / sizeof private_backends[0]; i++) {
        unsigned needs = private_backends[i].needs;

        if (str_is(m->backend, private_backends[i].backend))
            return (register_flags(&m->privacy_capabilities) & needs) == needs;
    }
    return false;
}

/* A claimed overhead raises the price ceiling of every request for the model: bounded. */
enum {
    OVERHEAD_MAX_TOKENS = 4096,
    LABEL_MAX_BYTES = 128,
    DECODE_TPS_MAX = 500,
    PREFILL_TPS_MAX = 20000
};

static struct str register_keep(struct provider *p, struct str s)
{
    return s.p ? arena_dup(&p->region, s) : s;
}

/* A provider's words about itself stand in response heads, logs and lists: the printable beginning,
 * whole characters, and no more than a line has room for. */
static struct str register_label(struct provider *p, struct str s)
{
    size_t n = 0;

    while (n < s.n && n < LABEL_MAX_BYTES && (unsigned char)s.p[n] >= ' ' && s.p[n] != 127)
        n++;
    while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
        n--;
    return register_keep(p, (struct str){s.p, n});
}

static bool register_has_model(const struct provider *p, struct str id)
{
    for (size_t i = 0; i < p->n_offers; i++) {
        if (str_eq(p->offers[i].id, id))
            return true;
    }
    return false;
}

static void register_offer(struct provider *p, const struct msg_model *m)
{
    int64_t overhead = num_count(m->template_overhead_tokens, OVERHEAD_MAX_TOKENS);
    struct offer *o = &p->offers[p->n_offers++];

    *o = (struct offer){.provider = p,
                        .id = register_keep(p, m->id),
                        .model_type = register_label(p, m->model_type),
                        .quantization = register_label(p, m->quantization),
                        .numerics = register_label(p, m->numerics),
                        .context_length = num_count(m->context_length, INT32_MAX),
                        .template_overhead = overhead > 0 ? overhead : TEMPLATE_OVERHEAD_TOKENS,
                        .stream_limit = INT64_MAX,
                        .place = {.level = -1},
                        .servable_level = -1,
                        .listed_level = -1};
}

/* A model listed twice counts once; ids that no request could name are left out. */
static int register_models(struct provider *p, const struct msg_register *m, struct err *ret_err)
{
    if (m->n_models > PROVIDER_MAX_MODELS)
        return err_set(ret_err, ERR_LIMIT, "register lists %zu models, the limit is %d",
                       m->n_models, PROVIDER_MAX_MODELS);
    p->offers = arena_array(&p->region, struct offer, m->n_models + 1);
    if (!p->offers)
        return ERR_NOMEM;
    for (size_t i = 0; i < m->n_models; i++) {
        struct str id = m->models[i].id;

        if (id.n > 0 && id.n <= MODEL_ID_MAX_BYTES && !memchr(id.p, 0, id.n) &&
            !register_has_model(p, id))
            register_offer(p, &m->models[i]);
    }
    return 0;
}

void provider_verify_attestation(struct provider *p)
{
    enum trust_reason reason = TRUST_REASON_NEW;
    struct str raw = p->verify.attestation;
    struct err e = {0};

    p->verify.attestation = (struct str){0};
    p->attested = attest_blob_verify(raw, str_from(p->x25519_b64), p->platform, &p->region,
                                     &p->blob, &reason, &e) == 0;
    provider_set_trust(p, TRUST_NONE, p->attested ? TRUST_REASON_NEW : reason);
    challenge_start(p);
}

/* The first challenge goes out once the attestation has been looked at. */
static void register_attest(struct provider *p, struct str raw)
{
    /* Until a challenge proves the key on this socket, earnings are nobody's. */
    snprintf(p->account, sizeof p->account, "%s", ACCOUNT_UNCLAIMED_NAME);
    if (!raw.p) {
        provider_set_trust(p, TRUST_NONE, TRUST_REASON_NO_BLOB);
        challenge_start(p);
        return;
    }
    p->verify.attestation = register_keep(p, raw);
    if (!p->verify.attestation.p) {
        provider_set_trust(p, TRUST_NONE, TRUST_REASON_BLOB_MALFORMED);
        challenge_start(p);
    } else if (verify_attestation_now(p)) {
        provider_verify_attestation(p);
    }
}

static double register_tps(double tps, double max)
{
    return isfinite(tps) && tps > 0 ? (tps > max ? max : tps) : 0;
}

/* Without a key that can be encrypted to a provider is known, but never asked. */
static void register_key(struct provider *p, struct str b64)
{
    if (b64.n != BOX_KEY_B64 || box_public_parse(b64, p->x25519) < 0 ||
        provider_key_check(p) == ERR_CRYPTO)
        return;
    p->has_key = true;
    memcpy(p->x25519_b64, b64.p, BOX_KEY_B64);
}

int provider_register(struct provider *p, const struct msg_register *m, struct err *ret_err)
{
    int rc;

    p->platform = attest_platform_of(m->backend);
    p->private_text = register_private_text(m);
    p->backend = register_label(p, m->backend);
    p->version = register_label(p, m->version);
    p->chip_name = register_label(p, m->hardware.chip_name);
    p->machine_model = register_label(p, m->hardware.machine_model);
    p->decode_tps = register_tps(m->decode_tps, DECODE_TPS_MAX);
    p->prefill_tps = register_tps(m->prefill_tps, PREFILL_TPS_MAX);
    p->load.max_running = DEFAULT_MAX_RUNNING;
    register_key(p, m->public_key);
    rc = register_models(p, m, ret_err);
    if (rc < 0)
        return rc;
    models_announce(p);
    p->state = PROVIDER_REGISTERED;
    register_attest(p, m->attestation);
    return 0;
}
