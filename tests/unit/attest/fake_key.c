/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/attest/fake_key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/b64.h"

enum { FRAME_MAX_BYTES = 1 << 16 };

struct fake_key {
    EVP_PKEY *pkey;
    char public_b64[B64_LEN(64) + 1];
};

/* A test that cannot make its key has nothing to say. */
static void must(bool ok)
{
    if (!ok)
        abort();
}

struct fake_key *fake_key_new(void)
{
    struct fake_key *k = calloc(1, sizeof *k);
    uint8_t point[65];
    size_t n;

    must(k && (k->pkey = EVP_EC_gen("P-256")));
    must(EVP_PKEY_get_octet_string_param(k->pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point,
                                         &n) == 1 &&
         n == sizeof point);
    b64_encode(point + 1, sizeof point - 1, k->public_b64);
    return k;
}

void fake_key_free(struct fake_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    free(k);
}

const char *fake_key_public(const struct fake_key *k)
{
    return k->public_b64;
}

void fake_key_sign(const struct fake_key *k, struct str text,
                   char ret_signature[static FAKE_SIGNATURE_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[80];
    size_t n = sizeof der;

    must(ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
         EVP_DigestSign(ctx, der, &n, (const unsigned char *)text.p, text.n) == 1);
    EVP_MD_CTX_free(ctx);
    b64_encode(der, n, ret_signature);
}

char *fake_golden(const char *name)
{
    char path[512];
    char *text = calloc(1, FRAME_MAX_BYTES);
    FILE *f;
    size_t n;

    (void)snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/unit/attest/golden/%s.json", name);
    f = fopen(path, "r");
    must(f && text);
    n = fread(text, 1, FRAME_MAX_BYTES - 1, f);
    must(n > 1 && fclose(f) == 0);
    return text;
}
