/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/blob.h"

#include <openssl/evp.h>

#include "base/b64.h"
#include "proto/span.h"
#include "proto/status.h"

/* A blob has some 700 bytes, its signature less than 100. */
enum { BLOB_MAX_BYTES = 64 << 10, BLOB_SIGNATURE_MAX_BYTES = 256, SCRATCH_BYTES = 1 << 20 };

enum attest_platform attest_platform_of(struct str backend)
{
    return str_is(backend, "inprocess-mlx") || str_is(backend, "mlx-swift") ? ATTEST_APPLE
                                                                            : ATTEST_LINUX;
}

static int blob_malformed(enum trust_reason *ret_reason, struct err *ret_err, const char *what)
{
    *ret_reason = TRUST_REASON_BLOB_MALFORMED;
    return err_set(ret_err, ERR_PARSE, "the attestation's %s cannot be read", what);
}

static void blob_keep_strings(struct attestation *a, struct arena *region)
{
    for (const struct shape_field *f = attestation_shape.fields; f->name; f++) {
        struct str *s = (struct str *)(void *)((char *)a + f->offset);

        if (f->type == SHAPE_STR && s->p)
            *s = arena_dup(region, *s);
    }
}

/* Take the two halves apart, by span: what is verified are the bytes as they came. */
static int blob_split(struct str raw, struct arena *region, struct str *ret_inner,
                      struct str *ret_signature, struct attest_blob *b, struct err *ret_err)
{
    struct proto_scratch scratch;
    struct str quoted = {0};
    int rc = raw.n > BLOB_MAX_BYTES ? ERR_LIMIT : span_get_unique(raw, "attestation", ret_inner);

    if (rc == 0)
        rc = span_get_unique(raw, "signature", &quoted);
    if (rc == 0)
        rc = span_check_unique(*ret_inner);
    if (rc < 0 || quoted.n < 2 || quoted.p[0] != '"' || quoted.n > BLOB_SIGNATURE_MAX_BYTES)
        return ERR_PARSE;
    *ret_signature = (struct str){quoted.p + 1, quoted.n - 2};
    if (proto_scratch_init(&scratch, SCRATCH_BYTES) < 0)
        return ERR_NOMEM;
    rc = shape_decode(&scratch, &attestation_shape, *ret_inner, &b->claims, ret_err);
    if (rc == 0)
        blob_keep_strings(&b->claims, region);
    proto_scratch_free(&scratch);
    return rc;
}

static void blob_hash_key(struct attest_blob *b)
{
    uint8_t digest[32];

    EVP_Digest(b->key + 1, P256_PUBLIC_MAX_BYTES - 1, digest, NULL, EVP_sha256(), NULL);
    hex_encode(digest, sizeof digest, b->key_hash);
}

/* Base64 in JSON may stand with escaped slashes; the signature is no attested byte. */
static struct str blob_without_escapes(struct str s, struct arena *region)
{
    char *out = arena_alloc(region, s.n + 1);
    size_t n = 0;

    for (size_t i = 0; out && i < s.n; i++) {
        if (s.p[i] != '\\')
            out[n++] = s.p[i];
    }
    return (struct str){out, n};
}

int attest_blob_verify(struct str raw, struct str x25519_b64, enum attest_platform platform,
                       struct arena *region, struct attest_blob *ret_blob,
                       enum trust_reason *ret_reason, struct err *ret_err)
{
    struct attest_blob b = {0};
    struct str inner = {0}, signature = {0};

    if (blob_split(raw, region, &inner, &signature, &b, ret_err) < 0)
        return blob_malformed(ret_reason, ret_err, "form");
    if (!status_is_timestamp(b.claims.timestamp))
        return blob_malformed(ret_reason, ret_err, "timestamp");
    if (attest_p256_parse(b.claims.publicKey, b.key) < 0)
        return blob_malformed(ret_reason, ret_err, "public key");
    if (attest_p256_verify(b.key, inner, blob_without_escapes(signature, region)) < 0) {
        *ret_reason = TRUST_REASON_BLOB_SIGNATURE;
        return err_set(ret_err, ERR_CRYPTO, "the attestation's signature does not verify");
    }
    if (x25519_b64.n == 0 || !str_eq(b.claims.encryptionPublicKey, x25519_b64)) {
        *ret_reason = TRUST_REASON_BLOB_KEY_BINDING;
        return err_set(ret_err, ERR_CONFLICT,
                       "the attestation does not name the registered encryption key");
    }
    if (platform == ATTEST_APPLE &&
        (!b.claims.secureEnclaveAvailable || !b.claims.sipEnabled || !b.claims.secureBootEnabled)) {
        *ret_reason = TRUST_REASON_BLOB_POSTURE;
        return err_set(ret_err, ERR_DENIED, "Secure Enclave, SIP or Secure Boot is off");
    }
    blob_hash_key(&b);
    *ret_blob = b;
    return 0;
}
