/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/blob.h"
#include "proto/status.h"

/* Of a status: the keys and values of its maps (256 models with names of 256 bytes and a hash), and
 * its text, in which a byte may stand as six. */
enum {
    STATUS_MAX_BYTES = 128 << 10,
    STATUS_TEXT_MAX_BYTES = 1 << 20,
    MESSAGE_MAX_BYTES = 256,
};

struct challenge_check {
    const struct msg_attestation_response *answer;
    struct str nonce, timestamp;
    const uint8_t *key;
    enum attest_platform platform;
    enum trust_reason *ret_reason;
    struct err *e;
};

static int challenge_fail(const struct challenge_check *c, int code, enum trust_reason reason)
{
    *c->ret_reason = reason;
    return err_set(c->e, code, "%s", trust_reason_help(reason));
}

static int challenge_check_signature(const struct challenge_check *c)
{
    char text[MESSAGE_MAX_BYTES];
    size_t n = c->nonce.n + c->timestamp.n;

    if (n > sizeof text)
        return challenge_fail(c, ERR_CRYPTO, TRUST_REASON_CHALLENGE_SIGNATURE);
    memcpy(text, c->nonce.p, c->nonce.n);
    memcpy(text + c->nonce.n, c->timestamp.p, c->timestamp.n);
    if (attest_p256_verify(c->key, (struct str){text, n}, c->answer->signature) < 0)
        return challenge_fail(c, ERR_CRYPTO, TRUST_REASON_CHALLENGE_SIGNATURE);
    return 0;
}

/* Rust's form first, since that is what providers sign; Go's for those that follow Go, where it
 * differs. */
static int challenge_verify_status(const struct challenge_check *c, struct buf *canonical,
                                   struct buf *go)
{
    struct status_input in = status_of_response(c->answer, c->timestamp);
    struct str signature = c->answer->status_signature;

    if (status_map_bytes(&in) > STATUS_MAX_BYTES || status_canonical(&in, canonical) < 0)
        return ERR_LIMIT;
    if (attest_p256_verify(c->key, buf_view(canonical), signature) == 0)
        return 0;
    if (status_go_form(buf_view(canonical), go) < 0 || go->len == canonical->len)
        return ERR_CRYPTO;
    return attest_p256_verify(c->key, buf_view(go), signature);
}

static int challenge_check_status(const struct challenge_check *c)
{
    struct buf canonical, go;
    int rc;

    if (c->answer->status_signature.n == 0)
        return c->platform == ATTEST_LINUX
                   ? challenge_fail(c, ERR_MISSING, TRUST_REASON_STATUS_SIGNATURE)
                   : 0;
    buf_init(&canonical, STATUS_TEXT_MAX_BYTES);
    buf_init(&go, STATUS_TEXT_MAX_BYTES);
    rc = challenge_verify_status(c, &canonical, &go);
    buf_free(&canonical);
    buf_free(&go);
    return rc < 0 ? challenge_fail(c, ERR_CRYPTO, TRUST_REASON_STATUS_SIGNATURE) : 0;
}

/* What an Apple machine must say of itself; a proven "off" is final. */
static int challenge_check_posture(const struct challenge_check *c)
{
    const struct msg_attestation_response *a = c->answer;

    if (c->platform != ATTEST_APPLE)
        return 0;
    if (a->sip_enabled == PROTO_TRI_FALSE || a->secure_boot_enabled == PROTO_TRI_FALSE ||
        (a->rdma_disabled == PROTO_TRI_FALSE && a->hypervisor_active != PROTO_TRI_TRUE))
        return challenge_fail(c, ERR_DENIED, TRUST_REASON_POSTURE);
    if (a->sip_enabled == PROTO_TRI_UNSET || a->rdma_disabled == PROTO_TRI_UNSET)
        return challenge_fail(c, ERR_MISSING, TRUST_REASON_POSTURE);
    return 0;
}

int attest_challenge_verify(const struct msg_attestation_response *answer, struct str nonce,
                            struct str timestamp, struct str x25519_b64, const uint8_t *key,
                            enum attest_platform platform, enum trust_reason *ret_reason,
                            struct err *ret_err)
{
    struct challenge_check c = {answer, nonce, timestamp, key, platform, ret_reason, ret_err};
    int rc = 0;

    if (!str_eq(answer->nonce, nonce))
        return challenge_fail(&c, ERR_CRYPTO, TRUST_REASON_CHALLENGE_SIGNATURE);
    if (x25519_b64.n > 0 && !str_eq(answer->public_key, x25519_b64))
        return challenge_fail(&c, ERR_CONFLICT, TRUST_REASON_CHALLENGE_KEY);
    if (answer->signature.n == 0)
        return challenge_fail(&c, ERR_MISSING, TRUST_REASON_CHALLENGE_SIGNATURE);
    if (key)
        rc = challenge_check_signature(&c);
    if (rc == 0 && key)
        rc = challenge_check_status(&c);
    if (rc == 0)
        rc = challenge_check_posture(&c);
    if (rc == 0)
        *ret_reason = TRUST_REASON_CHALLENGE_PASSED;
    return rc;
}
