/* SPDX-License-Identifier: Apache-2.0 */
/* A P-256 key in a PEM file (PKCS#8), mode 0600. Private to identity/. */
#ifndef DARKBLOOM_IDENTITY_KEY_FILE_H
#define DARKBLOOM_IDENTITY_KEY_FILE_H

#include <stdbool.h>

#include <openssl/evp.h>

#include "base/err.h"

/* Load the key, or make one when the file does not exist. Two starts at once end with one key: the
 * file appears complete or not at all, and is never overwritten. The caller frees with
 * EVP_PKEY_free. ERR_CONFIG with the file and the way out. */
int key_file_open(const char *path, EVP_PKEY **ret_key, struct err *ret_err);

#endif
