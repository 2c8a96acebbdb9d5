/* SPDX-License-Identifier: Apache-2.0 */
/* A P-256 key that signs whatever a test likes, as a dishonest provider would. */
#ifndef TESTS_ATTEST_FAKE_KEY_H
#define TESTS_ATTEST_FAKE_KEY_H

#include "base/str.h"

enum { FAKE_SIGNATURE_BYTES = 128 };

struct fake_key;

struct fake_key *fake_key_new(void);
void fake_key_free(struct fake_key *k);

/* Base64 of X || Y, 64 bytes. */
const char *fake_key_public(const struct fake_key *k);

/* Base64 of the DER signature over SHA-256 of the text. */
void fake_key_sign(const struct fake_key *k, struct str text,
                   char ret_signature[static FAKE_SIGNATURE_BYTES]);

/* The recorded frame tests/unit/attest/golden/<name>.json, NUL-terminated; freed by the caller. */
char *fake_golden(const char *name);

#endif
