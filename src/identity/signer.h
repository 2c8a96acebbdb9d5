/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's signing key, behind the interface that the hardware-backed process will have: it
 * takes typed statements, checks their shape and builds the bytes itself; nobody can have a digest
 * signed (OpenSSH's monitor does the same). Asynchronous: the answer comes later on the owner's
 * thread. */
#ifndef DARKBLOOM_IDENTITY_SIGNER_H
#define DARKBLOOM_IDENTITY_SIGNER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "proto/status.h"

enum signer_kind {
    SIGN_CHALLENGE,  /* nonce text || timestamp text */
    SIGN_STATUS,     /* canonical status JSON */
    SIGN_BLOB,       /* the attestation object: claims → exact JSON bytes and their signature */
    SIGN_COMPLETION, /* hex of SHA-256("request_id:completion_tokens:" || the answer's text) */
};

struct signer_blob {
    struct str binary_hash, chip_name, encryption_public_key, hardware_model, os_version, timestamp;
    bool authenticated_root, hypervisor_active, rdma_disabled, secure_boot, sip;
};

struct signer_statement {
    enum signer_kind kind;
    union {
        struct {
            struct str nonce, timestamp;
        } challenge;
        struct status_input status;
        struct signer_blob blob;
        struct {
            struct str
                request_id; /* 1 to 128 bytes, no colon, quote, backslash or control character */
            int64_t completion_tokens; /* >= 0 */
            struct str text;
        } completion;
    };
};

struct signer_result {
    int code;             /* 0 or ERR_ */
    struct str signature; /* base64 of the DER signature */
    struct str blob; /* SIGN_BLOB: {"attestation":{…},"signature":"…"} as it goes on the wire */
    struct str response_hash; /* SIGN_COMPLETION: the 64 hex digits that were signed */
};

/* Strings of the result are valid during the call. */
typedef void signer_done_cb(void *ud, const struct signer_result *result);

/* How answers come back: run `fn(arg)` later on the owner's thread, never from inside the call. */
struct signer_post {
    void (*post)(void *ud, void (*fn)(void *arg), void *arg);
    void *ud;
};

struct signer;

/* The software key: P-256 in a PEM file (PKCS#8), mode 0600, created atomically (temporary file,
 * fsync, link, fsync of the directory) when the file does not exist. A file that exists but cannot
 * be read, has wider permissions, or is no P-256 key is an error that names the file and the way
 * out; it is never overwritten. The private number lives in OpenSSL's locked heap, and so does
 * every copy that is made of it on its way there (identity/key_pem.h; not for files in other forms
 * than the one we write, which OpenSSL decodes). */
int signer_soft_open(const char *path, const struct signer_post *post, struct signer **ret_signer,
                     struct err *ret_err);

/* Base64 of the 64 bytes X || Y. */
const char *signer_public_b64(const struct signer *s);

/* Ask for one signature; the statement's strings are read before it returns. 0: `done` will be
 * called exactly once; ERR_RANGE / ERR_MISSING: the statement has not the shape of its kind (nonce
 * that is not base64 of 32 bytes, timestamp that is not RFC 3339, request id with a colon …) and
 * `done` is not called. */
int signer_sign(struct signer *s, const struct signer_statement *statement, signer_done_cb *done,
                void *ud);

/* Wipes the key; pending answers are delivered with ERR_CANCELLED before it returns. */
void signer_close(struct signer *s);

#endif
