/* SPDX-License-Identifier: Apache-2.0 */
/* The attestation object a provider registers with: {"attestation":{…},"signature":"base64 DER"},
 * ECDSA P-256 over SHA-256 of the inner object's bytes exactly as received. Verification only;
 * nothing here signs. */
#ifndef DARKBLOOM_ATTEST_BLOB_H
#define DARKBLOOM_ATTEST_BLOB_H

#include "attest/trust.h"
#include "base/arena.h"
#include "base/err.h"
#include "proto/attestation.h"
#include "proto/provider_msg.h"

enum { P256_PUBLIC_MAX_BYTES = 65 };

/* What platform's rules apply: Apple backends must say that SIP and Secure Boot are on; on Linux
 * these flags have no counterpart and are not required at this level. */
enum attest_platform { ATTEST_LINUX, ATTEST_APPLE };

/* "inprocess-mlx" and "mlx-swift" are Apple's, all others Linux. */
enum attest_platform attest_platform_of(struct str backend);

struct attest_blob {
    struct attestation claims;          /* strings in the region */
    uint8_t key[P256_PUBLIC_MAX_BYTES]; /* uncompressed point, 0x04 || X || Y */
    char key_hash[65]; /* lower-case hex SHA-256 of X || Y: the provider's proven key */
};

/* Verify `raw` (the register message's attestation field). `x25519_b64` is the key the session
 * registered; it must stand in the claims. 0, or a negative code with the reason: ERR_PARSE /
 * ERR_EXISTS (duplicate key) → BLOB_MALFORMED, ERR_CRYPTO → BLOB_SIGNATURE, ERR_CONFLICT →
 * BLOB_KEY_BINDING, ERR_DENIED → BLOB_POSTURE. */
int attest_blob_verify(struct str raw, struct str x25519_b64, enum attest_platform platform,
                       struct arena *region, struct attest_blob *ret_blob,
                       enum trust_reason *ret_reason, struct err *ret_err);

/* A public key in base64: 64 bytes X || Y or 65 bytes 04 || X || Y, on the curve. 0 or ERR_PARSE.
 */
int attest_p256_parse(struct str b64, uint8_t ret_key[static P256_PUBLIC_MAX_BYTES]);

/* ECDSA P-256 over SHA-256 of `message`, DER signature in base64. 0, ERR_PARSE or ERR_CRYPTO. */
int attest_p256_verify(const uint8_t key[static P256_PUBLIC_MAX_BYTES], struct str message,
                       struct str signature_b64);

/* Verify an answer to a challenge. `key` NULL: open mode, no signature is demanded. Checks in
 * order: public_key equals `x25519_b64`; signature over nonce text || timestamp text; status
 * signature (required when `key` is given and the platform is Linux; a wrong one always fails);
 * Apple only: sip_enabled true, secure_boot_enabled not false, rdma_disabled true unless
 * hypervisor_active. 0 and TRUST_REASON_CHALLENGE_PASSED, or a negative code with the reason
 * (ERR_DENIED: untrusted at once; others count as a failed challenge). */
int attest_challenge_verify(const struct msg_attestation_response *answer, struct str nonce,
                            struct str timestamp, struct str x25519_b64, const uint8_t *key,
                            enum attest_platform platform, enum trust_reason *ret_reason,
                            struct err *ret_err);

#endif
