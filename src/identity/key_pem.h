/* SPDX-License-Identifier: Apache-2.0 */
/* A P-256 private key as text: PEM around PKCS#8 (RFC 5958) around ECPrivateKey (RFC 5915), read
 * and written without OpenSSL's decoder and encoder, which leave copies of the number in freed
 * memory. All of it lives in OpenSSL's locked heap, where there is one. Private to identity/. */
#ifndef DARKBLOOM_IDENTITY_KEY_PEM_H
#define DARKBLOOM_IDENTITY_KEY_PEM_H

#include <openssl/evp.h>

#include "base/err.h"
#include "base/str.h"

enum { KEY_PEM_BYTES = 241 }; /* of what key_pem_make writes */

/* The key of a text in the form that key_pem_make and `openssl genpkey` write, with or without the
 * public half, which is computed. NULL: another form, another curve, encrypted, or no key. The
 * caller frees with EVP_PKEY_free. */
EVP_PKEY *key_pem_read(struct str pem);

/* Make a key and write it, without a NUL; the caller wipes the text. 0 or ERR_CRYPTO. */
int key_pem_make(char ret_pem[static KEY_PEM_BYTES]);

#endif
