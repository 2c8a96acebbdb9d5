/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/blob.h"
#include "proto/status.h"

enum { STATUS_MAX_BYTES = 1 << 20, MESSAGE_MAX_BYTES = 256 };

struct check {
    const struct msg_attestation_response *answer;
    struct str nonce, timestamp;
    const uint8_t *key;
    enum attest_platform platform;
    enum trust_reason *ret_reason;
    struct err *e;
};

static int fail(const struct check *c, int code, enum trust_reason reason)
{
    *c->ret_reason = reason;
    return err_set(c->e, code, "%s", trust_reason_help(reason));
}

static int check_signature(const struct check *c)
{
    char text[MESSAGE_MAX_BYTES];
    size_t n = c->nonce.n + c->timestamp.n;

    if (n > sizeof text)
        return fail(c, ERR_CRYPTO, TRUST_REASON_CHALLENGE_SIGNATURE);
    memcpy(text, c->nonce.p, c->nonce.n);
    memcpy(text + c->nonce.n, c->timestamp.p, c->timestamp.n);
    if (attest_p256_verify(c->key, (struct str){text, n}, c->answer->signature) < 0)
        return fail(c, ERR_CRYPTO, TRUST_REASON_CHALLENGE_SIGNATURE);
    return 0;
}

/* Rust's form first, since that is what providers sign; Go's for those that follow Go. */
static int check_status(const struct check *c)
{
    struct status_input in = status_of_response(c->answer, c->timestamp);
    int rc = ERR_CRYPTO;

    if (c->answer->status_signature.n == 0)
        return c->platform == ATTEST_LINUX ? fail(c, ERR_MISSING, TRUST_REASON_STATUS_SIGNATURE)
                                           : 0;
    for (int form = STATUS_RUST; rc < 0 && form <= STATUS_GO; form++) {
        struct buf canonical;

        buf_init(&canonical, STATUS_MAX_BYTES);
        if (status_canonical(&in, (enum status_form)form, &canonical) == 0)
            rc = attest_p256_verify(c->key, buf_view(&canonical), c->answer->status_signature);
        buf_free(&canonical);
    }
    return rc < 0 ? fail(c, ERR_CRYPTO, TRUST_REASON_STATUS_SIGNATURE) : 0;
}

/* What an Apple machine must say of itself; a proven "off" is final. */
static int check_posture(const struct check *c)
{
    const struct msg_attestation_response *a = c->answer;

    if (c->platform != ATTEST_APPLE)
        return 0;
    if (a->sip_enabled == PROTO_TRI_FALSE || a->secure_boot_enabled == PROTO_TRI_FALSE ||
        (a->rdma_disabled == PROTO_TRI_FALSE && a->hypervisor_active != PROTO_TRI_TRUE))
        return fail(c, ERR_DENIED, TRUST_REASON_POSTURE);
    if (a->sip_enabled == PROTO_TRI_UNSET || a->rdma_disabled == PROTO_TRI_UNSET)
        return fail(c, ERR_MISSING, TRUST_REASON_POSTURE);
    return 0;
}

int attest_challenge_verify(const struct msg_attestation_response *answer, struct str nonce,
                            struct str timestamp, struct str x25519_b64, const uint8_t *key,
                            enum attest_platform platform, enum trust_reason *ret_reason,
                            struct err *ret_err)
{
    struct check c = {answer, nonce, timestamp, key, platform, ret_reason, ret_err};
    int rc = 0;

    if (!str_eq(answer->nonce, nonce))
        return fail(&c, ERR_CRYPTO, TRUST_REASON_CHALLENGE_SIGNATURE);
    if (x25519_b64.n > 0 && !str_eq(answer->public_key, x25519_b64))
        return fail(&c, ERR_CONFLICT, TRUST_REASON_CHALLENGE_KEY);
    if (answer->signature.n == 0)
        return fail(&c, ERR_MISSING, TRUST_REASON_CHALLENGE_SIGNATURE);
    if (key)
        rc = check_signature(&c);
    if (rc == 0 && key)
        rc = check_status(&c);
    if (rc == 0)
        rc = check_posture(&c);
    if (rc == 0)
        *ret_reason = TRUST_REASON_CHALLENGE_PASSED;
    return rc;
}
