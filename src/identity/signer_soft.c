/* SPDX-License-Identifier: Apache-2.0 */
/* The signer with a key in a file, in process. It builds what it signs from typed statements. */
#include <openssl/core_names.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/b64.h"
#include "base/buf.h"
#include "base/list.h"
#include "identity/key_file.h"
#include "identity/signer.h"
#include "proto/attestation.h"

enum {
    KEY_BYTES = 32, /* of a nonce too */
    HASH_BYTES = 32,
    REQUEST_ID_MAX_BYTES = 128,
    CLAIM_MAX_BYTES = 256,
    MESSAGE_MAX_BYTES = 1 << 20,
    SIGNATURE_MAX_BYTES = 80
};

struct signer_pending {
    struct list_node link;
    struct signer *signer;
    signer_done_cb *done;
    void *ud;
    int code;
    struct buf blob;
    char signature[B64_LEN(SIGNATURE_MAX_BYTES) + 1];
    char hash[2 * HASH_BYTES + 1]; /* "" but for a completion */
};

struct signer {
    EVP_PKEY *key;
    struct signer_post post;
    struct list_node pending;
    size_t posted; /* calls of ours that the owner still holds */
    bool closed;   /* freed with the last of them */
    char public_b64[B64_LEN(64) + 1];
};

/* --- shapes of statements --- */

/* Base64 of a nonce or a key. */
static bool signer_is_32_bytes(struct str s)
{
    uint8_t bytes[KEY_BYTES + 3];
    size_t n;

    return b64_decode(s, bytes, sizeof bytes, &n) == 0 && n == KEY_BYTES;
}

/* The id of the statement ends at its colon: one inside would let two statements share their bytes.
 */
static bool signer_is_request_id(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!((unsigned char)s.p[i] >= 0x20) || strchr(":\"\\", s.p[i]))
            return false;
    }
    return s.n > 0 && s.n <= REQUEST_ID_MAX_BYTES;
}

static int signer_check_blob(const struct signer_blob *b)
{
    const struct str words[] = {b->binary_hash, b->chip_name, b->hardware_model, b->os_version};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (words[i].n > CLAIM_MAX_BYTES || !str_is_utf8(words[i]))
            return ERR_RANGE;
    }
    return signer_is_32_bytes(b->encryption_public_key) && status_is_timestamp(b->timestamp)
               ? 0
               : ERR_RANGE;
}

static int signer_check(const struct signer_statement *s)
{
    switch (s->kind) {
    case SIGN_CHALLENGE:
        return signer_is_32_bytes(s->challenge.nonce) && status_is_timestamp(s->challenge.timestamp)
                   ? 0
                   : ERR_RANGE;
    case SIGN_STATUS:
        return signer_is_32_bytes(s->status.nonce) && status_is_timestamp(s->status.timestamp)
                   ? 0
                   : ERR_RANGE;
    case SIGN_BLOB:
        return signer_check_blob(&s->blob);
    case SIGN_COMPLETION:
        return signer_is_request_id(s->completion.request_id) &&
                       s->completion.completion_tokens >= 0
                   ? 0
                   : ERR_RANGE;
    }
    return ERR_RANGE;
}

/* --- what is signed --- */

/* A key in a file is in no enclave, and says so. */
static int signer_build_blob(const struct signer *s, const struct signer_blob *b, struct buf *out)
{
    const struct attestation a = {
        .authenticatedRootEnabled = b->authenticated_root,
        .binaryHash = b->binary_hash,
        .chipName = b->chip_name,
        .encryptionPublicKey = b->encryption_public_key,
        .hardwareModel = b->hardware_model,
        .hypervisorActive = b->hypervisor_active,
        .osVersion = b->os_version,
        .publicKey = str_from(s->public_b64),
        .rdmaDisabled = b->rdma_disabled,
        .secureBootEnabled = b->secure_boot,
        .secureEnclaveAvailable = false,
        .sipEnabled = b->sip,
        .timestamp = b->timestamp,
    };

    return shape_encode(&attestation_shape, &a, out);
}

static int signer_build_completion(const struct signer_statement *st, struct buf *out)
{
    char head[REQUEST_ID_MAX_BYTES + 32], hex[2 * HASH_BYTES + 1];
    int n = snprintf(head, sizeof head, "%.*s:%lld:", STR_ARG(st->completion.request_id),
                     (long long)st->completion.completion_tokens);
    struct str text = st->completion.text;
    uint8_t digest[HASH_BYTES];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, head, (size_t)n) == 1 &&
              EVP_DigestUpdate(md, text.p ? text.p : "", text.n) == 1 &&
              EVP_DigestFinal_ex(md, digest, NULL) == 1;

    EVP_MD_CTX_free(md);
    if (!ok)
        return ERR_CRYPTO;
    hex_encode(digest, sizeof digest, hex);
    return buf_append_str(out, str_from(hex));
}

static int signer_build_message(const struct signer *s, const struct signer_statement *st,
                                struct buf *out)
{
    int rc;

    switch (st->kind) {
    case SIGN_CHALLENGE:
        rc = buf_append_str(out, st->challenge.nonce);
        return rc == 0 ? buf_append_str(out, st->challenge.timestamp) : rc;
    case SIGN_STATUS:
        return status_canonical(&st->status, out);
    case SIGN_BLOB:
        return signer_build_blob(s, &st->blob, out);
    case SIGN_COMPLETION:
        return signer_build_completion(st, out);
    }
    return ERR_RANGE;
}

static int signer_sign_message(const struct signer *s, struct str message, char *ret_b64)
{
    uint8_t der[SIGNATURE_MAX_BYTES];
    size_t n = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, s->key) == 1 &&
              EVP_DigestSign(ctx, der, &n, (const unsigned char *)message.p, message.n) == 1;

    EVP_MD_CTX_free(ctx);
    if (!ok)
        return ERR_CRYPTO;
    b64_encode(der, n, ret_b64);
    return 0;
}

/* {"attestation":MESSAGE,"signature":"…"} */
static int signer_wrap_blob(struct signer_pending *p, struct str message)
{
    int rc = buf_append_str(&p->blob, STR("{\"attestation\":"));

    if (rc == 0)
        rc = buf_append_str(&p->blob, message);
    return rc == 0 ? buf_printf(&p->blob, ",\"signature\":\"%s\"}", p->signature) : rc;
}

/* --- asking --- */

static void signer_deliver(struct signer_pending *p, int code)
{
    struct signer_result r = {.code = code};

    if (code == 0) {
        r.signature = str_from(p->signature);
        r.blob = buf_view(&p->blob);
        r.response_hash = str_from(p->hash);
    }
    list_remove(&p->link);
    p->done(p->ud, &r);
    buf_free(&p->blob);
    free(p);
}

static void signer_deliver_first(void *arg)
{
    struct signer *s = arg;

    s->posted--;
    if (s->closed) {
        if (s->posted == 0)
            free(s);
    } else if (!list_empty(&s->pending)) {
        struct signer_pending *p = list_owner(s->pending.next, struct signer_pending, link);

        signer_deliver(p, p->code);
    }
}

int signer_sign(struct signer *s, const struct signer_statement *statement, signer_done_cb *done,
                void *ud)
{
    struct signer_pending *p;
    struct buf message;
    int rc = signer_check(statement);

    if (rc < 0)
        return rc;
    p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    *p = (struct signer_pending){.signer = s, .done = done, .ud = ud};
    buf_init(&p->blob, MESSAGE_MAX_BYTES);
    buf_init(&message, MESSAGE_MAX_BYTES);
    p->code = signer_build_message(s, statement, &message);
    if (p->code == 0)
        p->code = signer_sign_message(s, buf_view(&message), p->signature);
    if (p->code == 0 && statement->kind == SIGN_BLOB)
        p->code = signer_wrap_blob(p, buf_view(&message));
    if (p->code == 0 && statement->kind == SIGN_COMPLETION)
        memcpy(p->hash, buf_view(&message).p, sizeof p->hash - 1);
    buf_free(&message);
    list_push_back(&s->pending, &p->link);
    s->posted++;
    s->post.post(s->post.ud, signer_deliver_first, s);
    return 0;
}

/* --- life --- */

static int signer_note_public(struct signer *s)
{
    uint8_t point[65];
    size_t n;

    if (EVP_PKEY_get_octet_string_param(s->key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &n) !=
            1 ||
        n != sizeof point)
        return ERR_CRYPTO;
    b64_encode(point + 1, sizeof point - 1, s->public_b64);
    return 0;
}

int signer_soft_open(const char *path, const struct signer_post *post, struct signer **ret_signer,
                     struct err *ret_err)
{
    struct signer *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return err_set(ret_err, ERR_NOMEM, "out of memory for the signing key");
    s->post = *post;
    list_init(&s->pending);
    rc = key_file_open(path, &s->key, ret_err);
    if (rc == 0 && signer_note_public(s) < 0)
        rc = err_set(ret_err, ERR_CRYPTO, "the public half of the key cannot be computed");
    if (rc < 0) {
        signer_close(s);
        return rc;
    }
    *ret_signer = s;
    return 0;
}

const char *signer_public_b64(const struct signer *s)
{
    return s->public_b64;
}

void signer_close(struct signer *s)
{
    if (!s)
        return;
    while (!list_empty(&s->pending))
        signer_deliver(list_owner(s->pending.next, struct signer_pending, link), ERR_CANCELLED);
    EVP_PKEY_free(s->key);
    s->key = NULL;
    s->closed = true;
    if (s->posted == 0)
        free(s);
}
