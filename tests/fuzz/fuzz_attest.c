/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider sends to be believed: the attested object, keys and signatures, and its answer to
 * a challenge. The first byte chooses the platform. Invariants: a refusal has a reason and words;
 * what verifies names the session's key; no signature under a key that nobody here holds verifies.
 */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "attest/blob.h"
#include "proto/status.h"

enum { REGION_BYTES = 4 << 20 };

/* Those of the recorded frames among the seeds. */
static const struct str x25519 = STR("j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8=");
static const struct str nonce = STR("n2xMRAhbV9mV8LDvYp4SWiVyXntyE14nNisKRLoJLFs=");
static const struct str timestamp = STR("2026-11-23T20:51:36Z");
/* The generator of P-256: its private number is 1, so it is nobody's key. */
static const uint8_t key[P256_PUBLIC_MAX_BYTES] = {
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5,
    0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4,
    0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a,
    0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33,
    0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};

static void blob(struct str input, enum attest_platform platform)
{
    struct attest_blob b = {0};
    struct arena region;
    enum trust_reason reason = TRUST_REASON_NEW;
    struct err e = {0};
    int rc;

    arena_init(&region, REGION_BYTES);
    rc = attest_blob_verify(input, x25519, platform, &region, &b, &reason, &e);
    if (rc < 0 && (reason == TRUST_REASON_NEW || !e.text[0]))
        abort();
    if (rc == 0 && (!str_eq(b.claims.encryptionPublicKey, x25519) || b.key[0] != 4 ||
                    !status_is_timestamp(b.claims.timestamp)))
        abort();
    arena_free(&region);
}

static void key_and_signature(struct str input)
{
    uint8_t parsed[P256_PUBLIC_MAX_BYTES] = {0};

    if (attest_p256_parse(input, parsed) == 0 && parsed[0] != 4)
        abort();
    if (attest_p256_verify(key, STR("a message"), input) == 0)
        abort();
}

static void answer(struct str input, enum attest_platform platform)
{
    struct proto_scratch scratch;
    struct provider_msg m;
    enum trust_reason reason = TRUST_REASON_NEW;
    struct err e = {0};

    if (proto_scratch_init(&scratch, REGION_BYTES) < 0)
        return;
    if (provider_msg_decode(&scratch, input, &m, NULL) == 0 && m.type == MSG_ATTESTATION_RESPONSE) {
        if (attest_challenge_verify(&m.attestation, nonce, timestamp, x25519, key, platform,
                                    &reason, &e) == 0 ||
            reason == TRUST_REASON_NEW || !e.text[0])
            abort();
        (void)attest_challenge_verify(&m.attestation, nonce, timestamp, x25519, NULL, platform,
                                      &reason, &e);
    }
    proto_scratch_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum attest_platform platform;
    struct str input;

    if (size == 0)
        return 0;
    platform = data[0] & 1 ? ATTEST_APPLE : ATTEST_LINUX;
    input = (struct str){(const char *)data + 1, size - 1};
    blob(input, platform);
    key_and_signature(input);
    answer(input, platform);
    return 0;
}
