/* SPDX-License-Identifier: Apache-2.0 */
/* What our own signer makes, seen from the other side: it verifies, and only for what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/blob.h"
#include "base/b64.h"
#include "base/buf.h"
#include "identity/signer.h"

enum { REGION_BYTES = 1 << 20, BUF_BYTES = 1 << 16 };

#define X25519 "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8="
#define NONCE  "n2xMRAhbV9mV8LDvYp4SWiVyXntyE14nNisKRLoJLFs="
#define TIME   "2026-11-23T20:51:36Z"
#define HASH   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* A signer whose answers wait until the test lets them come. */
struct desk {
    char dir[64], path[96];
    struct signer *signer;
    uint8_t key[P256_PUBLIC_MAX_BYTES];
    void (*fn)(void *arg);
    void *arg;
    int n_answers, code;
    struct buf signature, blob, hash;
};

static void post(void *ud, void (*fn)(void *arg), void *arg)
{
    struct desk *d = ud;

    d->fn = fn;
    d->arg = arg;
}

static int up(void **state)
{
    struct desk *d = calloc(1, sizeof *d);
    const struct signer_post how = {post, d};

    (void)snprintf(d->dir, sizeof d->dir, "/tmp/darkbloom-attest-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    (void)snprintf(d->path, sizeof d->path, "%s/key", d->dir);
    assert_int_equal(signer_soft_open(d->path, &how, &d->signer, NULL), 0);
    assert_int_equal(attest_p256_parse(str_from(signer_public_b64(d->signer)), d->key), 0);
    buf_init(&d->signature, BUF_BYTES);
    buf_init(&d->blob, BUF_BYTES);
    buf_init(&d->hash, BUF_BYTES);
    *state = d;
    return 0;
}

static int down(void **state)
{
    struct desk *d = *state;

    signer_close(d->signer);
    (void)unlink(d->path);
    (void)rmdir(d->dir);
    buf_free(&d->signature);
    buf_free(&d->blob);
    buf_free(&d->hash);
    free(d);
    return 0;
}

static void on_signed(void *ud, const struct signer_result *r)
{
    struct desk *d = ud;

    d->n_answers++;
    d->code = r->code;
    buf_clear(&d->signature);
    buf_clear(&d->blob);
    buf_clear(&d->hash);
    assert_int_equal(buf_append_str(&d->signature, r->signature), 0);
    assert_int_equal(buf_append_str(&d->blob, r->blob), 0);
    assert_int_equal(buf_append_str(&d->hash, r->response_hash), 0);
}

static void sign(struct desk *d, const struct signer_statement *st)
{
    d->n_answers = 0;
    assert_int_equal(signer_sign(d->signer, st, on_signed, d), 0);
    assert_int_equal(d->n_answers, 0); /* never from inside the call */
    d->fn(d->arg);
    assert_int_equal(d->n_answers, 1);
    assert_int_equal(d->code, 0);
}

static void our_attestation_verifies_and_says_what_we_measured(void **state)
{
    struct desk *d = *state;
    const struct signer_statement st = {.kind = SIGN_BLOB,
                                        .blob = {.binary_hash = STR(HASH),
                                                 .chip_name = STR("a \"chip\"\n<&> \xC3\xA9"),
                                                 .encryption_public_key = STR(X25519),
                                                 .hardware_model = STR("x86"),
                                                 .os_version = STR("Debian 12"),
                                                 .timestamp = STR(TIME),
                                                 .hypervisor_active = true,
                                                 .secure_boot = true}};
    enum trust_reason reason = TRUST_REASON_NEW;
    struct attest_blob b;
    struct arena region;
    struct err e = {0};

    arena_init(&region, REGION_BYTES);
    sign(d, &st);
    if (attest_blob_verify(buf_view(&d->blob), STR(X25519), ATTEST_LINUX, &region, &b, &reason,
                           &e) < 0)
        fail_msg("%s", e.text);
    assert_true(str_is(b.claims.publicKey, signer_public_b64(d->signer)));
    assert_memory_equal(b.key, d->key, sizeof d->key);
    assert_true(str_is(b.claims.chipName, "a \"chip\"\n<&> \xC3\xA9"));
    assert_true(str_is(b.claims.binaryHash, HASH));
    assert_true(b.claims.secureBootEnabled && b.claims.hypervisorActive);
    /* A key in a file is in no enclave, whatever else is claimed. */
    assert_false(b.claims.secureEnclaveAvailable || b.claims.sipEnabled ||
                 b.claims.authenticatedRootEnabled);
    assert_int_equal(
        attest_blob_verify(buf_view(&d->blob), STR(X25519), ATTEST_APPLE, &region, &b, &reason, &e),
        ERR_DENIED);
    arena_free(&region);
}

static void our_answer_to_a_challenge_verifies(void **state)
{
    static struct proto_pair models[] = {{STR("b"), STR(HASH)}, {STR("a<&>"), STR(HASH)}};
    struct desk *d = *state;
    struct msg_attestation_response answer = {
        .nonce = STR(NONCE),
        .public_key = STR(X25519),
        .hypervisor_active = PROTO_TRI_FALSE,
        .rdma_disabled = PROTO_TRI_UNSET,
        .sip_enabled = PROTO_TRI_FALSE,
        .secure_boot_enabled = PROTO_TRI_TRUE,
        .binary_hash = STR(HASH),
        .model_hashes = {models, 2},
    };
    struct signer_statement st = {.kind = SIGN_CHALLENGE, .challenge = {STR(NONCE), STR(TIME)}};
    enum trust_reason reason = TRUST_REASON_NEW;
    char challenge_signature[128];
    struct err e = {0};

    sign(d, &st);
    (void)snprintf(challenge_signature, sizeof challenge_signature, "%.*s",
                   STR_ARG(buf_view(&d->signature)));
    answer.signature = str_from(challenge_signature);
    st = (struct signer_statement){.kind = SIGN_STATUS,
                                   .status = status_of_response(&answer, STR(TIME))};
    sign(d, &st);
    answer.status_signature = buf_view(&d->signature);
    if (attest_challenge_verify(&answer, STR(NONCE), STR(TIME), STR(X25519), d->key, ATTEST_LINUX,
                                &reason, &e) < 0)
        fail_msg("%s", e.text);
    answer.secure_boot_enabled = PROTO_TRI_FALSE;
    assert_int_equal(attest_challenge_verify(&answer, STR(NONCE), STR(TIME), STR(X25519), d->key,
                                             ATTEST_LINUX, &reason, &e),
                     ERR_CRYPTO);
    assert_int_equal(reason, TRUST_REASON_STATUS_SIGNATURE);
}

/* L9: whoever asks says what was answered, and gets no say in the digits that are signed. */
static void our_completion_is_a_signature_over_the_hashs_digits(void **state)
{
    struct desk *d = *state;
    const struct signer_statement st = {.kind = SIGN_COMPLETION,
                                        .completion = {STR("r1"), 2, STR("Hello")}};
    static const char hashed[] = "r1:2:Hello";
    uint8_t digest[32];
    char hex[65];

    assert_int_equal(EVP_Digest(hashed, sizeof hashed - 1, digest, NULL, EVP_sha256(), NULL), 1);
    hex_encode(digest, sizeof digest, hex);
    sign(d, &st);
    assert_true(str_is(buf_view(&d->hash), hex));
    assert_int_equal(attest_p256_verify(d->key, str_from(hex), buf_view(&d->signature)), 0);
    assert_int_equal(attest_p256_verify(d->key, STR("00"), buf_view(&d->signature)), ERR_CRYPTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(our_attestation_verifies_and_says_what_we_measured, up,
                                        down),
        cmocka_unit_test_setup_teardown(our_answer_to_a_challenge_verifies, up, down),
        cmocka_unit_test_setup_teardown(our_completion_is_a_signature_over_the_hashs_digits, up,
                                        down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
