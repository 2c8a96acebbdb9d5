/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/key_pem.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>

#include "base/b64.h"

enum { NUMBER_BYTES = 32, POINT_BYTES = 65, DER_MAX_BYTES = 1024, LINE_CHARS = 64 };

static const struct str key_pem_begin = STR("-----BEGIN PRIVATE KEY-----\n");
static const struct str key_pem_end = STR("-----END PRIVATE KEY-----\n");

/* The DER around the two halves of a key:
 *   SEQUENCE { 0, SEQUENCE { id-ecPublicKey, prime256v1 },
 *     OCTET STRING { SEQUENCE { 1, OCTET STRING number, [1] { BIT STRING point } } } }
 * The lengths of the first and third lines depend on whether the point is there. */
static const uint8_t key_pem_algorithm[] = {0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a,
                                            0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
                                            0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t key_pem_number[] = {0x02, 0x01, 0x01, 0x04, NUMBER_BYTES};
static const uint8_t key_pem_point[] = {0xa1, 0x44, 0x03, 0x42, 0x00};

enum {
    WITH_POINT_BYTES = sizeof key_pem_number + NUMBER_BYTES + sizeof key_pem_point + POINT_BYTES,
    WITHOUT_BYTES = sizeof key_pem_number + NUMBER_BYTES,
    KEY_DER_BYTES = 3 + sizeof key_pem_algorithm + 2 + 2 + WITH_POINT_BYTES,
};
_Static_assert(KEY_DER_BYTES == 138, "as OpenSSL writes it");
_Static_assert(KEY_PEM_BYTES == 28 + B64_LEN(KEY_DER_BYTES) + 3 + 26, "three lines of text");

/* --- reading --- */

struct key_der {
    const uint8_t *at, *end;
};

static bool key_der_skip(struct key_der *d, const void *bytes, size_t n)
{
    if ((size_t)(d->end - d->at) < n || memcmp(d->at, bytes, n) != 0)
        return false;
    d->at += n;
    return true;
}

/* Into a value with this tag, which must end where the text does. */
static bool key_der_enter(struct key_der *d, uint8_t tag)
{
    size_t n;

    if (d->end - d->at < 3 || *d->at++ != tag)
        return false;
    n = *d->at++;
    if (n == 0x81)
        n = *d->at++;
    else if (n > 0x7f)
        return false;
    return n == (size_t)(d->end - d->at);
}

/* The private number in the DER; NULL when it is in another form. */
static const uint8_t *key_der_number(const uint8_t *der, size_t n)
{
    struct key_der d = {der, der + n};
    const uint8_t *number;

    if (!key_der_enter(&d, 0x30) ||
        !key_der_skip(&d, key_pem_algorithm, sizeof key_pem_algorithm) ||
        !key_der_enter(&d, 0x04) || !key_der_enter(&d, 0x30) ||
        !key_der_skip(&d, key_pem_number, sizeof key_pem_number) || d.end - d.at < NUMBER_BYTES)
        return NULL;
    number = d.at;
    d.at += NUMBER_BYTES;
    if (key_der_skip(&d, key_pem_point, sizeof key_pem_point))
        d.at += d.end - d.at == POINT_BYTES ? POINT_BYTES : 0;
    return d.at == d.end ? number : NULL;
}

/* The bytes between the two lines; 0 when they are not all of the text, or no base64. */
static size_t key_pem_decode(struct str pem, char *text, uint8_t *ret_der)
{
    size_t n = 0, der_n = 0;

    if (!str_starts(pem, key_pem_begin) || pem.n < key_pem_begin.n + key_pem_end.n ||
        !str_eq((struct str){pem.p + pem.n - key_pem_end.n, key_pem_end.n}, key_pem_end))
        return 0;
    for (size_t i = key_pem_begin.n; i < pem.n - key_pem_end.n; i++) {
        if (pem.p[i] != '\n' && n < DER_MAX_BYTES)
            text[n++] = pem.p[i];
    }
    return b64_decode((struct str){text, n}, ret_der, DER_MAX_BYTES, &der_n) == 0 ? der_n : 0;
}

/* The public half, which signing does not need, but its owner does. */
static bool key_pem_public(const BIGNUM *number, uint8_t ret_point[static POINT_BYTES])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = group ? EC_POINT_new(group) : NULL;
    BN_CTX *ctx = BN_CTX_secure_new();
    bool ok = point && ctx && !BN_is_zero(number) &&
              BN_cmp(number, EC_GROUP_get0_order(group)) < 0 &&
              EC_POINT_mul(group, point, number, NULL, NULL, ctx) == 1 &&
              EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, ret_point,
                                 POINT_BYTES, ctx) == POINT_BYTES;

    BN_CTX_free(ctx);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return ok;
}

static EVP_PKEY *key_pem_build(const BIGNUM *number)
{
    uint8_t point[POINT_BYTES];
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;

    if (build && ctx && key_pem_public(number, point) &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, number) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (params && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_BLD_free(build);
    return key;
}

EVP_PKEY *key_pem_read(struct str pem)
{
    struct {
        char text[DER_MAX_BYTES];
        uint8_t der[DER_MAX_BYTES];
    } *work = OPENSSL_secure_zalloc(sizeof *work);
    BIGNUM *number = BN_secure_new();
    size_t n = work && number ? key_pem_decode(pem, work->text, work->der) : 0;
    const uint8_t *bytes = n > 0 ? key_der_number(work->der, n) : NULL;
    EVP_PKEY *key = NULL;

    if (bytes && BN_bin2bn(bytes, NUMBER_BYTES, number)) {
        BN_set_flags(number, BN_FLG_CONSTTIME);
        key = key_pem_build(number);
    }
    BN_clear_free(number);
    OPENSSL_secure_clear_free(work, sizeof *work);
    return key;
}

/* --- writing --- */

static uint8_t *key_der_put(uint8_t *at, const void *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

/* Up to the number, which is returned; behind it the point. */
static uint8_t *key_der_frame(uint8_t der[static KEY_DER_BYTES], const uint8_t *point)
{
    const uint8_t outer[] = {0x30, 0x81, KEY_DER_BYTES - 3};
    const uint8_t inner[] = {0x04, WITH_POINT_BYTES + 2, 0x30, WITH_POINT_BYTES};
    uint8_t *at = key_der_put(der, outer, sizeof outer), *number;

    at = key_der_put(at, key_pem_algorithm, sizeof key_pem_algorithm);
    at = key_der_put(at, inner, sizeof inner);
    number = key_der_put(at, key_pem_number, sizeof key_pem_number);
    at = key_der_put(number + NUMBER_BYTES, key_pem_point, sizeof key_pem_point);
    key_der_put(at, point, POINT_BYTES);
    return number;
}

/* A number from 1 to one below the curve's order, and its point, in DER. */
static int key_der_make(uint8_t ret_der[static KEY_DER_BYTES])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *number = BN_secure_new();
    uint8_t point[POINT_BYTES];
    bool ok = group && number;

    while (ok && BN_is_zero(number))
        ok = BN_priv_rand_range(number, EC_GROUP_get0_order(group)) == 1;
    if (ok)
        BN_set_flags(number, BN_FLG_CONSTTIME);
    ok = ok && key_pem_public(number, point) &&
         BN_bn2binpad(number, key_der_frame(ret_der, point), NUMBER_BYTES) == NUMBER_BYTES;
    BN_clear_free(number);
    EC_GROUP_free(group);
    return ok ? 0 : ERR_CRYPTO;
}

int key_pem_make(char ret_pem[static KEY_PEM_BYTES])
{
    struct {
        uint8_t der[KEY_DER_BYTES];
        char text[B64_LEN(KEY_DER_BYTES) + 1];
    } *work = OPENSSL_secure_zalloc(sizeof *work);
    char *at = ret_pem;
    int rc = work ? key_der_make(work->der) : ERR_CRYPTO;

    if (rc == 0) {
        b64_encode(work->der, sizeof work->der, work->text);
        memcpy(at, key_pem_begin.p, key_pem_begin.n);
        at += key_pem_begin.n;
        for (size_t i = 0; i < B64_LEN(KEY_DER_BYTES); i += LINE_CHARS) {
            size_t left = B64_LEN(KEY_DER_BYTES) - i, n = left < LINE_CHARS ? left : LINE_CHARS;

            memcpy(at, work->text + i, n);
            at[n] = '\n';
            at += n + 1;
        }
        memcpy(at, key_pem_end.p, key_pem_end.n);
    }
    OPENSSL_secure_clear_free(work, sizeof *work);
    return rc;
}
