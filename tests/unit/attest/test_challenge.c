/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to a challenge: a recorded one, and every way in which one can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "attest/blob.h"
#include "proto/status.h"
#include "unit/attest/fake_key.h"

enum { SCRATCH_BYTES = 1 << 20, BUF_BYTES = 1 << 20 };

#define X25519 "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8="
#define OTHER  "dEyC9JgZLXM63WMFuAnrtSX4Q2wrU9Z5OJNFaxaKFgs="
#define NONCE  "n2xMRAhbV9mV8LDvYp4SWiVyXntyE14nNisKRLoJLFs="
#define STALE  "fpadX14/42+iBckN3sZbOSH9xyuGPU4CF2Y+toB7k7U="
#define TIME   "2026-11-23T20:51:36Z"

/* --- recorded: signed by the key of the recorded attestation --- */

static void key_of_the_recorded_attestation(uint8_t *ret_key)
{
    char *frame = fake_golden("register");
    const char *at = strstr(frame, "\"publicKey\":\"");
    char b64[128];
    size_t n = 0;

    assert_non_null(at);
    for (at += strlen("\"publicKey\":\""); *at != '"'; at++) {
        if (*at != '\\')
            b64[n++] = *at;
    }
    assert_int_equal(attest_p256_parse((struct str){b64, n}, ret_key), 0);
    free(frame);
}

/* What each field of the recorded answer is replaced by. */
static const struct {
    const char *field, *by;
    int code;
    enum trust_reason reason;
} changed_fields[] = {
    {"", "", 0, TRUST_REASON_CHALLENGE_PASSED},
    {"\"nonce\": \"" NONCE, "\"nonce\": \"" STALE, ERR_CRYPTO, TRUST_REASON_CHALLENGE_SIGNATURE},
    {"\"public_key\": \"" X25519, "\"public_key\": \"" OTHER, ERR_CONFLICT,
     TRUST_REASON_CHALLENGE_KEY},
    {"\"signature\": \"MEQC", "\"signature\": \"MEQD", ERR_CRYPTO,
     TRUST_REASON_CHALLENGE_SIGNATURE},
    {"\"status_signature\": \"MEUC", "\"status_signature\": \"MEUD", ERR_CRYPTO,
     TRUST_REASON_STATUS_SIGNATURE},
    {"\"binary_hash\": \"abab", "\"binary_hash\": \"abac", ERR_CRYPTO,
     TRUST_REASON_STATUS_SIGNATURE},
    {"\"sip_enabled\": true", "\"sip_enabled\": null", ERR_CRYPTO, TRUST_REASON_STATUS_SIGNATURE},
    {"\"secure_boot_enabled\": true", "\"secure_boot_enabled\": false", ERR_CRYPTO,
     TRUST_REASON_STATUS_SIGNATURE},
    {"\"rdma_disabled\": true", "\"rdma_disabled\": false", ERR_CRYPTO,
     TRUST_REASON_STATUS_SIGNATURE},
    {"\"hypervisor_active\": true", "\"runtime_hash\": \"x\"", ERR_CRYPTO,
     TRUST_REASON_STATUS_SIGNATURE},
};

static void replace(struct buf *out, const char *text, const char *field, const char *by)
{
    const char *at = strstr(text, field);

    assert_non_null(at);
    buf_init(out, BUF_BYTES);
    assert_int_equal(buf_append(out, text, (size_t)(at - text)), 0);
    assert_int_equal(buf_append_str(out, str_from(by)), 0);
    assert_int_equal(buf_append_str(out, str_from(at + strlen(field))), 0);
}

static void a_recorded_answer_verifies_and_not_with_any_field_changed(void **state)
{
    char *recorded = fake_golden("answer");
    uint8_t key[P256_PUBLIC_MAX_BYTES];
    struct proto_scratch scratch;

    (void)state;
    key_of_the_recorded_attestation(key);
    assert_int_equal(proto_scratch_init(&scratch, SCRATCH_BYTES), 0);
    for (size_t i = 0; i < sizeof changed_fields / sizeof changed_fields[0]; i++) {
        enum trust_reason reason = TRUST_REASON_NEW;
        struct provider_msg m;
        struct buf frame;
        struct err e = {0};
        int rc;

        replace(&frame, recorded, changed_fields[i].field, changed_fields[i].by);
        assert_int_equal(provider_msg_decode(&scratch, buf_view(&frame), &m, &e), 0);
        rc = attest_challenge_verify(&m.attestation, STR(NONCE), STR(TIME), STR(X25519), key,
                                     ATTEST_APPLE, &reason, &e);
        if (rc != changed_fields[i].code || reason != changed_fields[i].reason)
            fail_msg("%s: %d %s", changed_fields[i].by, rc, trust_reason_code(reason));
        buf_free(&frame);
    }
    proto_scratch_free(&scratch);
    free(recorded);
}

/* --- answers signed by a key of our own --- */

struct answer {
    struct msg_attestation_response m;
    char signature[FAKE_SIGNATURE_BYTES], status_signature[FAKE_SIGNATURE_BYTES];
};

static struct msg_attestation_response unsigned_answer(void)
{
    return (struct msg_attestation_response){
        .nonce = STR(NONCE),
        .public_key = STR(X25519),
        .hypervisor_active = PROTO_TRI_UNSET,
        .rdma_disabled = PROTO_TRI_TRUE,
        .sip_enabled = PROTO_TRI_TRUE,
        .secure_boot_enabled = PROTO_TRI_TRUE,
        .runtime_hash = STR("<a&b>"), /* written differently by the two forms */
    };
}

enum form { RUST, GO };

static void sign(struct answer *a, const struct fake_key *k, const char *timestamp, enum form form)
{
    struct status_input in = status_of_response(&a->m, str_from(timestamp));
    struct buf text, go;

    buf_init(&text, BUF_BYTES);
    buf_init(&go, BUF_BYTES);
    assert_int_equal(buf_append_str(&text, a->m.nonce), 0);
    assert_int_equal(buf_append_str(&text, str_from(timestamp)), 0);
    fake_key_sign(k, buf_view(&text), a->signature);
    buf_clear(&text);
    assert_int_equal(status_canonical(&in, &text), 0);
    assert_int_equal(status_go_form(buf_view(&text), &go), 0);
    fake_key_sign(k, buf_view(form == GO ? &go : &text), a->status_signature);
    buf_free(&text);
    buf_free(&go);
    a->m.signature = str_from(a->signature);
    a->m.status_signature = str_from(a->status_signature);
}

static int verify(const struct answer *a, const struct fake_key *k, enum attest_platform platform,
                  enum trust_reason *ret_reason)
{
    uint8_t key[P256_PUBLIC_MAX_BYTES];
    struct err e = {0};
    int rc;

    if (k)
        assert_int_equal(attest_p256_parse(str_from(fake_key_public(k)), key), 0);
    *ret_reason = TRUST_REASON_NEW;
    rc = attest_challenge_verify(&a->m, STR(NONCE), STR(TIME), STR(X25519), k ? key : NULL,
                                 platform, ret_reason, &e);
    assert_int_equal(e.code, rc);
    return rc;
}

static void both_forms_of_the_status_are_accepted(void **state)
{
    struct fake_key *k = fake_key_new();
    enum trust_reason reason;

    (void)state;
    for (int form = RUST; form <= GO; form++) {
        struct answer a = {unsigned_answer(), "", ""};

        sign(&a, k, TIME, (enum form)form);
        assert_int_equal(verify(&a, k, ATTEST_LINUX, &reason), 0);
        assert_int_equal(reason, TRUST_REASON_CHALLENGE_PASSED);
    }
    fake_key_free(k);
}

/* L3: 600,000 pairs were sorted, twice, before their text was found too long: a second of the loop
 * a connection. Nothing of them is looked at now. */
static void a_status_of_too_many_hashes_is_refused_before_it_is_sorted(void **state)
{
    struct fake_key *k = fake_key_new();
    struct answer a = {unsigned_answer(), "", ""};
    enum trust_reason reason;

    (void)state;
    sign(&a, k, TIME, RUST);
    a.m.model_hashes = (struct proto_map){NULL, 600000};
    assert_int_equal(verify(&a, k, ATTEST_LINUX, &reason), ERR_CRYPTO);
    assert_int_equal(reason, TRUST_REASON_STATUS_SIGNATURE);
    fake_key_free(k);
}

static void a_status_of_too_many_bytes_is_refused_before_it_is_sorted(void **state)
{
    static char name[1024];
    static struct proto_pair pairs[PROTO_LIST_MAX];
    struct fake_key *k = fake_key_new();
    enum trust_reason reason;

    (void)state;
    memset(name, 'm', sizeof name);
    for (size_t n = 127; n <= 129; n += 2) { /* KiB; 128 are allowed */
        struct answer a = {unsigned_answer(), "", ""};

        for (size_t i = 0; i < n; i++)
            pairs[i] = (struct proto_pair){{name, sizeof name}, STR("")};
        a.m.template_hashes = (struct proto_map){pairs, n};
        sign(&a, k, TIME, RUST);
        assert_int_equal(verify(&a, k, ATTEST_LINUX, &reason), n == 127 ? 0 : ERR_CRYPTO);
    }
    fake_key_free(k);
}

/* A signature over another time is that of an earlier challenge. */
static void an_answer_to_an_earlier_challenge_is_refused(void **state)
{
    struct fake_key *k = fake_key_new();
    struct answer a = {unsigned_answer(), "", ""};
    enum trust_reason reason;

    (void)state;
    sign(&a, k, "2026-11-23T20:46:36Z", RUST);
    assert_int_equal(verify(&a, k, ATTEST_LINUX, &reason), ERR_CRYPTO);
    assert_int_equal(reason, TRUST_REASON_CHALLENGE_SIGNATURE);

    a.m.nonce = STR(STALE);
    sign(&a, k, TIME, RUST);
    assert_int_equal(verify(&a, k, ATTEST_LINUX, &reason), ERR_CRYPTO);
    a.m.nonce = STR(NONCE); /* the right nonce over a signature of the other */
    assert_int_equal(verify(&a, k, ATTEST_LINUX, &reason), ERR_CRYPTO);
    assert_int_equal(reason, TRUST_REASON_CHALLENGE_SIGNATURE);
    fake_key_free(k);
}

static void an_answer_of_another_key_is_refused(void **state)
{
    struct fake_key *k = fake_key_new(), *stranger = fake_key_new();
    struct answer a = {unsigned_answer(), "", ""}, b = a;
    enum trust_reason reason;

    (void)state;
    sign(&a, stranger, TIME, RUST);
    assert_int_equal(verify(&a, k, ATTEST_LINUX, &reason), ERR_CRYPTO);
    assert_int_equal(reason, TRUST_REASON_CHALLENGE_SIGNATURE);
    sign(&b, k, TIME, RUST);
    b.m.status_signature = a.m.status_signature;
    assert_int_equal(verify(&b, k, ATTEST_LINUX, &reason), ERR_CRYPTO);
    assert_int_equal(reason, TRUST_REASON_STATUS_SIGNATURE);
    fake_key_free(k);
    fake_key_free(stranger);
}

static void a_status_signed_over_a_challenge_or_the_other_way_is_refused(void **state)
{
    struct fake_key *k = fake_key_new();
    struct answer a = {unsigned_answer(), "", ""};
    enum trust_reason reason;
    struct str swap;

    (void)state;
    sign(&a, k, TIME, RUST);
    swap = a.m.signature;
    a.m.signature = a.m.status_signature;
    a.m.status_signature = swap;
    assert_int_equal(verify(&a, k, ATTEST_LINUX, &reason), ERR_CRYPTO);
    fake_key_free(k);
}

static void linux_must_sign_its_status_and_apple_may(void **state)
{
    struct fake_key *k = fake_key_new();
    struct answer a = {unsigned_answer(), "", ""};
    enum trust_reason reason;

    (void)state;
    sign(&a, k, TIME, RUST);
    a.m.status_signature = (struct str){0};
    assert_int_equal(verify(&a, k, ATTEST_LINUX, &reason), ERR_MISSING);
    assert_int_equal(reason, TRUST_REASON_STATUS_SIGNATURE);
    assert_int_equal(verify(&a, k, ATTEST_APPLE, &reason), 0);
    a.m.status_signature = STR("AAAA");
    assert_int_equal(verify(&a, k, ATTEST_APPLE, &reason), ERR_CRYPTO);
    fake_key_free(k);
}

static void without_a_key_a_signature_must_stand_but_is_not_checked(void **state)
{
    struct answer a = {unsigned_answer(), "", ""};
    enum trust_reason reason;

    (void)state;
    assert_int_equal(verify(&a, NULL, ATTEST_LINUX, &reason), ERR_MISSING);
    assert_int_equal(reason, TRUST_REASON_CHALLENGE_SIGNATURE);
    a.m.signature = STR("c2ln");
    assert_int_equal(verify(&a, NULL, ATTEST_LINUX, &reason), 0);
    assert_int_equal(reason, TRUST_REASON_CHALLENGE_PASSED);
    a.m.public_key = STR(OTHER);
    assert_int_equal(verify(&a, NULL, ATTEST_LINUX, &reason), ERR_CONFLICT);
    assert_int_equal(reason, TRUST_REASON_CHALLENGE_KEY);
}

#define Y PROTO_TRI_TRUE
#define N PROTO_TRI_FALSE
#define U PROTO_TRI_UNSET

/* What is proven off is final, what is not said only fails. */
static const struct {
    int sip, secure_boot, rdma_disabled, hypervisor, code;
} postures[] = {
    {Y, Y, Y, U, 0},          {Y, U, Y, U, 0},           {Y, Y, N, Y, 0},
    {N, Y, Y, U, ERR_DENIED}, {Y, N, Y, U, ERR_DENIED},  {Y, Y, N, N, ERR_DENIED},
    {Y, Y, N, U, ERR_DENIED}, {U, Y, Y, U, ERR_MISSING}, {Y, Y, U, Y, ERR_MISSING},
    {U, N, U, U, ERR_DENIED},
};

static void apple_must_say_that_its_protections_are_on(void **state)
{
    struct fake_key *k = fake_key_new();

    (void)state;
    for (size_t i = 0; i < sizeof postures / sizeof postures[0]; i++) {
        struct answer a = {unsigned_answer(), "", ""};
        enum trust_reason reason;

        a.m.sip_enabled = postures[i].sip;
        a.m.secure_boot_enabled = postures[i].secure_boot;
        a.m.rdma_disabled = postures[i].rdma_disabled;
        a.m.hypervisor_active = postures[i].hypervisor;
        sign(&a, k, TIME, RUST);
        if (verify(&a, k, ATTEST_APPLE, &reason) != postures[i].code)
            fail_msg("posture %zu: %s", i, trust_reason_code(reason));
        assert_int_equal(reason,
                         postures[i].code ? TRUST_REASON_POSTURE : TRUST_REASON_CHALLENGE_PASSED);
        assert_int_equal(verify(&a, k, ATTEST_LINUX, &reason), 0);
    }
    fake_key_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recorded_answer_verifies_and_not_with_any_field_changed),
        cmocka_unit_test(both_forms_of_the_status_are_accepted),
        cmocka_unit_test(a_status_of_too_many_hashes_is_refused_before_it_is_sorted),
        cmocka_unit_test(a_status_of_too_many_bytes_is_refused_before_it_is_sorted),
        cmocka_unit_test(an_answer_to_an_earlier_challenge_is_refused),
        cmocka_unit_test(an_answer_of_another_key_is_refused),
        cmocka_unit_test(a_status_signed_over_a_challenge_or_the_other_way_is_refused),
        cmocka_unit_test(linux_must_sign_its_status_and_apple_may),
        cmocka_unit_test(without_a_key_a_signature_must_stand_but_is_not_checked),
        cmocka_unit_test(apple_must_say_that_its_protections_are_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
