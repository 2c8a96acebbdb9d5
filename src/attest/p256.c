/* SPDX-License-Identifier: Apache-2.0 */
/* ECDSA P-256 verification through OpenSSL. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "attest/blob.h"
#include "base/b64.h"

enum { SIGNATURE_MAX_BYTES = 128 };

/* The key as OpenSSL's object; NULL when it is no point on the curve. */
static EVP_PKEY *p256_load_key(const uint8_t *key)
{
    char group[] = "prime256v1";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)key,
                                                             P256_PUBLIC_MAX_BYTES),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pkey = NULL;

    if (ctx && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

int attest_p256_parse(struct str b64, uint8_t ret_key[static P256_PUBLIC_MAX_BYTES])
{
    uint8_t raw[P256_PUBLIC_MAX_BYTES + 3];
    EVP_PKEY *pkey;
    size_t n;

    if (b64_decode(b64, raw, sizeof raw, &n) < 0)
        return ERR_PARSE;
    if (n == P256_PUBLIC_MAX_BYTES - 1) { /* X || Y without the format byte */
        memmove(raw + 1, raw, n++);
        raw[0] = 4;
    }
    if (n != P256_PUBLIC_MAX_BYTES || raw[0] != 4)
        return ERR_PARSE;
    pkey = p256_load_key(raw);
    if (!pkey)
        return ERR_PARSE;
    EVP_PKEY_free(pkey);
    memcpy(ret_key, raw, P256_PUBLIC_MAX_BYTES);
    return 0;
}

int attest_p256_verify(const uint8_t key[static P256_PUBLIC_MAX_BYTES], struct str message,
                       struct str signature_b64)
{
    uint8_t signature[SIGNATURE_MAX_BYTES];
    EVP_MD_CTX *ctx;
    EVP_PKEY *pkey;
    size_t n;
    int ok = 0;

    if (signature_b64.n == 0 || b64_decode(signature_b64, signature, sizeof signature, &n) < 0)
        return ERR_PARSE;
    pkey = p256_load_key(key);
    ctx = EVP_MD_CTX_new();
    if (pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1)
        ok = EVP_DigestVerify(ctx, signature, n, (const unsigned char *)message.p, message.n);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok == 1 ? 0 : ERR_CRYPTO;
}
