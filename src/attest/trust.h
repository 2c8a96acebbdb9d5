/* SPDX-License-Identifier: Apache-2.0 */
/* Trust levels and the stable reason codes for every change of them. */
#ifndef DARKBLOOM_ATTEST_TRUST_H
#define DARKBLOOM_ATTEST_TRUST_H

#include "base/str.h"

enum trust_level { TRUST_NONE, TRUST_SELF_SIGNED, TRUST_HARDWARE_VIRTUAL, TRUST_HARDWARE };

/* "none", "self_signed", "hardware_virtual", "hardware", NULL: by level. */
extern const char *const trust_names[];
const char *trust_name(enum trust_level level);
/* 0 or ERR_RANGE: an unknown level is refused, never read as "none". */
int trust_parse(struct str s, enum trust_level *ret_level);

/* X(NAME, "code", what it means and what the provider's owner may do) */
#define TRUST_REASON_TABLE(X)                                                                     \
    X(NEW, "registered", "registered; waiting for the first challenge")                           \
    X(NO_BLOB, "no_attestation", "no attestation was sent; open mode only")                       \
    X(BLOB_MALFORMED, "attestation_malformed", "the attestation object cannot be read")           \
    X(BLOB_SIGNATURE, "attestation_signature", "the attestation's signature does not verify")     \
    X(BLOB_KEY_BINDING, "attestation_key_binding",                                                \
      "the attestation does not name the session's encryption key")                               \
    X(BLOB_POSTURE, "attestation_posture", "the attestation says a required protection is off")   \
    X(CHALLENGE_PASSED, "challenge_passed", "the last challenge was answered correctly")          \
    X(CHALLENGE_TIMEOUT, "challenge_timeout", "a challenge was not answered in time")             \
    X(CHALLENGE_KEY, "challenge_key", "the answer names another encryption key")                  \
    X(CHALLENGE_SIGNATURE, "challenge_signature", "the answer's signature does not verify")       \
    X(STATUS_SIGNATURE, "status_signature", "the status signature is missing or does not verify") \
    X(POSTURE, "posture", "the answer says a required protection is off or does not say")         \
    X(PLAINTEXT_CHUNK, "plaintext_chunk", "an answer arrived unencrypted")                        \
    X(FOREIGN_KEY, "foreign_key", "an answer arrived under a key that is not this session's")     \
    X(UNDECRYPTABLE, "undecryptable_chunk", "an answer did not decrypt")

enum trust_reason {
#define TRUST_REASON_ENUM(name, code, help) TRUST_REASON_##name,
    TRUST_REASON_TABLE(TRUST_REASON_ENUM)
#undef TRUST_REASON_ENUM
};

const char *trust_reason_code(enum trust_reason reason);
/* The reason of a code; 0 or ERR_RANGE. */
int trust_reason_parse(struct str code, enum trust_reason *ret_reason);
const char *trust_reason_help(enum trust_reason reason);

#endif
