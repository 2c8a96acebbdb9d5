/* SPDX-License-Identifier: Apache-2.0 */
/* The attestation a provider registers with: one recorded from the existing system, and what a
 * dishonest provider may sign with its own key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "attest/blob.h"
#include "base/buf.h"
#include "proto/span.h"
#include "unit/attest/fake_key.h"

enum { REGION_BYTES = 1 << 20, BUF_BYTES = 32 << 20 };

#define X25519 "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8="
#define OTHER  "dEyC9JgZLXM63WMFuAnrtSX4Q2wrU9Z5OJNFaxaKFgs="

static int verify(struct str raw, const char *x25519, enum attest_platform platform,
                  struct attest_blob *ret, struct arena *region, enum trust_reason *ret_reason)
{
    struct err e = {0};
    int rc;

    arena_init(region, REGION_BYTES);
    *ret_reason = TRUST_REASON_NEW;
    rc = attest_blob_verify(raw, str_from(x25519), platform, region, ret, ret_reason, &e);
    assert_int_equal(e.code, rc);
    assert_int_equal(e.text[0] == 0, rc == 0);
    assert_int_equal(*ret_reason == TRUST_REASON_NEW, rc == 0);
    return rc;
}

/* --- recorded --- */

static void a_recorded_attestation_verifies(void **state)
{
    char *frame = fake_golden("register");
    struct attest_blob b;
    struct arena region;
    enum trust_reason reason;
    struct str raw;

    (void)state;
    assert_int_equal(span_get_unique(str_from(frame), "attestation", &raw), 0);
    assert_int_equal(verify(raw, X25519, ATTEST_APPLE, &b, &region, &reason), 0);
    free(frame); /* the claims must not point into it */
    assert_string_equal(b.key_hash,
                        "8c3fa405d0b29142d7fb5cb5b8aea484a4a7cdb1bfd00b5dfb8dc49363fe75e9");
    assert_true(str_is(b.claims.chipName, "Apple M4 Max"));
    assert_true(str_is(b.claims.osVersion, "15.4.0"));
    assert_true(str_is(b.claims.encryptionPublicKey, X25519));
    assert_true(str_is(b.claims.timestamp, "2026-11-23T20:51:36Z"));
    assert_true(b.claims.sipEnabled && b.claims.secureEnclaveAvailable);
    assert_false(b.claims.hypervisorActive);
    assert_int_equal(b.key[0], 4);
    arena_free(&region);
}

static void a_recorded_attestation_with_any_byte_changed_is_refused(void **state)
{
    char *frame = fake_golden("register");
    struct str raw, inner;
    char *changed;

    (void)state;
    assert_int_equal(span_get_unique(str_from(frame), "attestation", &raw), 0);
    assert_int_equal(span_get_unique(raw, "attestation", &inner), 0);
    changed = malloc(raw.n);
    for (size_t i = 0; i < raw.n; i++) {
        struct attest_blob b;
        struct arena region;
        enum trust_reason reason;

        memcpy(changed, raw.p, raw.n);
        changed[i] ^= 1;
        if (verify((struct str){changed, raw.n}, X25519, ATTEST_APPLE, &b, &region, &reason) == 0)
            fail_msg("byte %zu: %.*s", i, (int)raw.n, changed);
        assert_true(reason == TRUST_REASON_BLOB_SIGNATURE || reason == TRUST_REASON_BLOB_MALFORMED);
        arena_free(&region);
    }
    free(changed);
    free(frame);
}

static void a_recorded_attestation_names_another_sessions_key_in_vain(void **state)
{
    static const char *const keys[] = {OTHER, "", "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8"};
    char *frame = fake_golden("register");
    struct str raw;

    (void)state;
    assert_int_equal(span_get_unique(str_from(frame), "attestation", &raw), 0);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct attest_blob b;
        struct arena region;
        enum trust_reason reason;

        assert_int_equal(verify(raw, keys[i], ATTEST_APPLE, &b, &region, &reason), ERR_CONFLICT);
        assert_int_equal(reason, TRUST_REASON_BLOB_KEY_BINDING);
        arena_free(&region);
    }
    free(frame);
}

/* --- signed by the provider itself, whatever it says --- */

#define KEY(k)  "\"publicKey\":\"" k "\""
#define TIME(t) "\"timestamp\":\"" t "\""
#define ENC(k)  "\"encryptionPublicKey\":\"" k "\""
#define BASE    ENC(X25519) "," KEY("%s") "," TIME("2026-11-23T20:51:36Z")
#define APPLE   ",\"secureEnclaveAvailable\":true,\"sipEnabled\":true,\"secureBootEnabled\":true"

/* %s: the signer's public key. */
static const struct {
    const char *what, *inner;
    enum attest_platform platform;
    int code;
    enum trust_reason reason;
} signed_blobs[] = {
    {"least on Linux", "{" BASE "}", ATTEST_LINUX, 0, TRUST_REASON_NEW},
    {"least on Apple", "{" BASE APPLE "}", ATTEST_APPLE, 0, TRUST_REASON_NEW},
    {"spaces, another order and unknown fields",
     "{ \"later\" : [1,{\"a\":1,\"a\":2}] ,\n" TIME("2026-11-23T20:51:36.123Z") ", " KEY(
         "%s") "," ENC(X25519) "}",
     ATTEST_LINUX, 0, TRUST_REASON_NEW},
    {"a time with an offset",
     "{" ENC(X25519) "," KEY("%s") "," TIME("2026-11-23T20:51:36+01:00") "}", ATTEST_LINUX, 0,
     TRUST_REASON_NEW},
    {"Linux needs no flags",
     "{" BASE ",\"sipEnabled\":false,\"secureBootEnabled\":false,\"secureEnclaveAvailable\":false}",
     ATTEST_LINUX, 0, TRUST_REASON_NEW},
    {"no posture on Apple", "{" BASE "}", ATTEST_APPLE, ERR_DENIED, TRUST_REASON_BLOB_POSTURE},
    {"no enclave", "{" BASE ",\"sipEnabled\":true,\"secureBootEnabled\":true}", ATTEST_APPLE,
     ERR_DENIED, TRUST_REASON_BLOB_POSTURE},
    {"no SIP",
     "{" BASE ",\"secureEnclaveAvailable\":true,\"sipEnabled\":false,\"secureBootEnabled\":true}",
     ATTEST_APPLE, ERR_DENIED, TRUST_REASON_BLOB_POSTURE},
    {"no secure boot",
     "{" BASE ",\"secureEnclaveAvailable\":true,\"sipEnabled\":true,\"secureBootEnabled\":null}",
     ATTEST_APPLE, ERR_DENIED, TRUST_REASON_BLOB_POSTURE},
    {"another encryption key", "{" ENC(OTHER) "," KEY("%s") "," TIME("2026-11-23T20:51:36Z") "}",
     ATTEST_LINUX, ERR_CONFLICT, TRUST_REASON_BLOB_KEY_BINDING},
    {"no encryption key", "{" KEY("%s") "," TIME("2026-11-23T20:51:36Z") "}", ATTEST_LINUX,
     ERR_CONFLICT, TRUST_REASON_BLOB_KEY_BINDING},
    {"a flag of a wrong type", "{" BASE ",\"sipEnabled\":1}", ATTEST_LINUX, ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"a name of a wrong type", "{" BASE ",\"chipName\":[]}", ATTEST_LINUX, ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"a flag twice", "{" BASE ",\"sipEnabled\":true,\"sipEnabled\":false}", ATTEST_LINUX, ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"a flag twice, once in disguise", "{" BASE ",\"sipEnabled\":true,\"sip\\u0045nabled\":false}",
     ATTEST_LINUX, ERR_PARSE, TRUST_REASON_BLOB_MALFORMED},
    {"an unknown field twice", "{" BASE ",\"x\":1,\"x\":1}", ATTEST_LINUX, ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"no key", "{" ENC(X25519) "," TIME("2026-11-23T20:51:36Z") "}", ATTEST_LINUX, ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"a key that is none", "{" ENC(X25519) "," KEY("AAAA") "," TIME("2026-11-23T20:51:36Z") "}",
     ATTEST_LINUX, ERR_PARSE, TRUST_REASON_BLOB_MALFORMED},
    {"no time", "{" ENC(X25519) "," KEY("%s") "}", ATTEST_LINUX, ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"an empty time", "{" ENC(X25519) "," KEY("%s") "," TIME("") "}", ATTEST_LINUX, ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"a time without its zone", "{" ENC(X25519) "," KEY("%s") "," TIME("2026-11-23T20:51:36") "}",
     ATTEST_LINUX, ERR_PARSE, TRUST_REASON_BLOB_MALFORMED},
    {"a time with something behind it",
     "{" ENC(X25519) "," KEY("%s") "," TIME("2026-11-23T20:51:36Z!") "}", ATTEST_LINUX, ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"a time in words", "{" ENC(X25519) "," KEY("%s") "," TIME("yesterday at about noon") "}",
     ATTEST_LINUX, ERR_PARSE, TRUST_REASON_BLOB_MALFORMED},
    {"a list", "[" KEY("%s") "]", ATTEST_LINUX, ERR_PARSE, TRUST_REASON_BLOB_MALFORMED},
};

static struct str sign(struct buf *out, const struct fake_key *k, const char *inner)
{
    const char *at = strstr(inner, "%s");
    size_t before = at ? (size_t)(at - inner) : strlen(inner);
    char signature[FAKE_SIGNATURE_BYTES];
    struct buf text;

    buf_init(&text, BUF_BYTES);
    buf_init(out, BUF_BYTES);
    assert_int_equal(buf_append(&text, inner, before), 0);
    if (at) {
        assert_int_equal(buf_append_str(&text, str_from(fake_key_public(k))), 0);
        assert_int_equal(buf_append_str(&text, str_from(at + 2)), 0);
    }
    fake_key_sign(k, buf_view(&text), signature);
    assert_int_equal(buf_printf(out, "{\"attestation\":%.*s,\"signature\":\"%s\"}",
                                STR_ARG(buf_view(&text)), signature),
                     0);
    buf_free(&text);
    return buf_view(out);
}

static void a_signature_of_its_own_does_not_make_a_claim_acceptable(void **state)
{
    struct fake_key *k = fake_key_new();

    (void)state;
    for (size_t i = 0; i < sizeof signed_blobs / sizeof signed_blobs[0]; i++) {
        struct attest_blob b;
        struct arena region;
        enum trust_reason reason;
        struct buf raw;
        int rc;

        memset(&b, 0x5A, sizeof b);
        rc = verify(sign(&raw, k, signed_blobs[i].inner), X25519, signed_blobs[i].platform, &b,
                    &region, &reason);
        if (rc != signed_blobs[i].code || reason != signed_blobs[i].reason)
            fail_msg("%s: %d %s", signed_blobs[i].what, rc, trust_reason_code(reason));
        if (rc == 0)
            assert_true(str_is(b.claims.publicKey, fake_key_public(k)));
        else
            assert_int_equal(((const uint8_t *)&b)[0], 0x5A);
        arena_free(&region);
        buf_free(&raw);
    }
    fake_key_free(k);
}

/* %s: the signer's public key, then the signature. */
static const struct {
    const char *what, *before, *after;
    int code;
    enum trust_reason reason;
} frames[] = {
    {"as it should be", "\"signature\":\"", "\"", 0, TRUST_REASON_NEW},
    {"no signature", "\"sig\":\"", "\"", ERR_PARSE, TRUST_REASON_BLOB_MALFORMED},
    {"a number for a signature", "\"signature\":7,\"x\":\"", "\"", ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"an empty signature", "\"signature\":\"\",\"x\":\"", "\"", ERR_CRYPTO,
     TRUST_REASON_BLOB_SIGNATURE},
    {"two signatures", "\"signature\":\"AAAA\",\"signature\":\"", "\"", ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"something in front", "\"signature\":\"A", "\"", ERR_CRYPTO, TRUST_REASON_BLOB_SIGNATURE},
    {"something behind", "\"signature\":\"", "AAAA\"", ERR_CRYPTO, TRUST_REASON_BLOB_SIGNATURE},
    {"a second attestation", "\"attestation\":{},\"signature\":\"", "\"", ERR_PARSE,
     TRUST_REASON_BLOB_MALFORMED},
    {"an unknown member", "\"x\":1,\"signature\":\"", "\"", 0, TRUST_REASON_NEW},
};

static void the_wrapping_is_as_strict_as_what_it_wraps(void **state)
{
    struct fake_key *k = fake_key_new();
    char signature[FAKE_SIGNATURE_BYTES];
    struct buf inner, raw;

    (void)state;
    buf_init(&inner, BUF_BYTES);
    buf_init(&raw, BUF_BYTES);
    assert_int_equal(buf_printf(&inner, "{" BASE "}", fake_key_public(k)), 0);
    fake_key_sign(k, buf_view(&inner), signature);
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct attest_blob b;
        struct arena region;
        enum trust_reason reason;
        int rc;

        buf_clear(&raw);
        assert_int_equal(buf_printf(&raw, "{\"attestation\":%.*s,%s%s%s}",
                                    STR_ARG(buf_view(&inner)), frames[i].before, signature,
                                    frames[i].after),
                         0);
        rc = verify(buf_view(&raw), X25519, ATTEST_LINUX, &b, &region, &reason);
        if (rc != frames[i].code || reason != frames[i].reason)
            fail_msg("%s: %d %s", frames[i].what, rc, trust_reason_code(reason));
        arena_free(&region);
    }
    buf_free(&inner);
    buf_free(&raw);
    fake_key_free(k);
}

static void what_somebody_else_signed_is_refused(void **state)
{
    struct fake_key *k = fake_key_new(), *stranger = fake_key_new();
    char inner[512];
    struct attest_blob b;
    struct arena region;
    enum trust_reason reason;
    struct buf raw;

    (void)state;
    (void)snprintf(inner, sizeof inner, "{" BASE "}", fake_key_public(k));
    assert_int_equal(
        verify(sign(&raw, stranger, inner), X25519, ATTEST_LINUX, &b, &region, &reason),
        ERR_CRYPTO);
    assert_int_equal(reason, TRUST_REASON_BLOB_SIGNATURE);
    arena_free(&region);
    buf_free(&raw);
    fake_key_free(k);
    fake_key_free(stranger);
}

/* FR-17: what was signed are bytes, whatever library wrote them: names in any order and case,
 * white space, unknown members. Nothing is sorted or written anew before it is verified. */
static void signed_bytes_are_verified_as_they_came(void **state)
{
    static const char *const forms[] = {"{" BASE ",\"Zeta\":1,\"alpha\":2,\"Alpha\":3}",
                                        "{\"zz\":[1, 2],  " BASE "}", "{ " BASE "\n}",
                                        "{\"\\u0061a\":\"\\u00e9\"," BASE "}"};
    struct fake_key *k = fake_key_new();

    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct attest_blob b;
        struct arena region;
        enum trust_reason reason;
        struct buf raw;
        int rc;

        rc = verify(sign(&raw, k, forms[i]), X25519, ATTEST_LINUX, &b, &region, &reason);
        if (rc != 0)
            fail_msg("%s: %d %s", forms[i], rc, trust_reason_code(reason));
        arena_free(&region);
        buf_free(&raw);
    }
    fake_key_free(k);
}

/* Anybody may register: a blob must not cost more than reading it. */
static void an_attestation_of_a_million_claims_is_refused_at_once(void **state)
{
    struct fake_key *k = fake_key_new();
    struct attest_blob b;
    struct arena region;
    enum trust_reason reason;
    struct buf inner, raw;

    (void)state;
    buf_init(&inner, BUF_BYTES);
    for (int i = 0; i < 1000000; i++)
        assert_int_equal(buf_printf(&inner, "%s\"k%d\":0", i ? "," : "{", i), 0);
    assert_int_equal(buf_append(&inner, "}", 2), 0);
    assert_int_equal(
        verify(sign(&raw, k, buf_view(&inner).p), X25519, ATTEST_LINUX, &b, &region, &reason),
        ERR_PARSE);
    assert_int_equal(reason, TRUST_REASON_BLOB_MALFORMED);
    arena_free(&region);
    buf_free(&raw);
    buf_free(&inner);
    fake_key_free(k);
}

/* L3: neither is one whose bytes are many in few claims, or one with a signature of a megabyte. */
static void an_attestation_of_a_megabyte_is_refused_at_once(void **state)
{
    static const size_t sizes[] = {60 << 10, 70 << 10, 1 << 20};
    struct fake_key *k = fake_key_new();

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct attest_blob b;
        struct arena region;
        enum trust_reason reason;
        struct buf inner, raw;
        int rc;

        buf_init(&inner, BUF_BYTES);
        assert_int_equal(buf_printf(&inner,
                                    "{\"encryptionPublicKey\":\"" X25519 "\",\"publicKey\":\"%s\","
                                    "\"timestamp\":\"2026-11-23T20:51:07Z\",\"chipName\":\"",
                                    fake_key_public(k)),
                         0);
        for (size_t n = 0; n < sizes[i]; n++)
            assert_int_equal(buf_append(&inner, "c", 1), 0);
        assert_int_equal(buf_append(&inner, "\"}", 3), 0);
        rc = verify(sign(&raw, k, buf_view(&inner).p), X25519, ATTEST_LINUX, &b, &region, &reason);
        assert_int_equal(rc, i == 0 ? 0 : ERR_PARSE);
        if (rc < 0)
            assert_int_equal(reason, TRUST_REASON_BLOB_MALFORMED);
        arena_free(&region);
        buf_free(&raw);
        buf_free(&inner);
    }
    fake_key_free(k);
}

static void a_backend_tells_the_platform(void **state)
{
    (void)state;
    assert_int_equal(attest_platform_of(STR("inprocess-mlx")), ATTEST_APPLE);
    assert_int_equal(attest_platform_of(STR("mlx-swift")), ATTEST_APPLE);
    assert_int_equal(attest_platform_of(STR("inprocess-llama")), ATTEST_LINUX);
    assert_int_equal(attest_platform_of(STR("")), ATTEST_LINUX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recorded_attestation_verifies),
        cmocka_unit_test(a_recorded_attestation_with_any_byte_changed_is_refused),
        cmocka_unit_test(a_recorded_attestation_names_another_sessions_key_in_vain),
        cmocka_unit_test(a_signature_of_its_own_does_not_make_a_claim_acceptable),
        cmocka_unit_test(the_wrapping_is_as_strict_as_what_it_wraps),
        cmocka_unit_test(what_somebody_else_signed_is_refused),
        cmocka_unit_test(signed_bytes_are_verified_as_they_came),
        cmocka_unit_test(an_attestation_of_a_million_claims_is_refused_at_once),
        cmocka_unit_test(an_attestation_of_a_megabyte_is_refused_at_once),
        cmocka_unit_test(a_backend_tells_the_platform),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
