/* SPDX-License-Identifier: Apache-2.0 */
/* Base64, standard alphabet with padding (RFC 4648 §4). Strict: no whitespace, no missing padding,
 * trailing bits must be zero. Not constant-time: for ciphertext and public keys, never for
 * secrets. */
#ifndef DARKBLOOM_BASE_B64_H
#define DARKBLOOM_BASE_B64_H

#include "base/str.h"

/* Characters (without NUL) that `n` bytes encode to. */
#define B64_LEN(n) ((((size_t)(n) + 2) / 3) * 4)

/* Upper bound of the bytes that `n` characters decode to. */
#define B64_MAX_BYTES(n) ((size_t)(n) / 4 * 3)

/* Write B64_LEN(n) characters and a NUL to `ret_text`. Returns the characters written. */
size_t b64_encode(const void *bytes, size_t n, char *ret_text);

/* Decode `text` into `ret_bytes`, which holds `cap` bytes. 0 and *ret_n, or ERR_PARSE / ERR_LIMIT;
 * on failure the contents of ret_bytes are undefined. */
int b64_decode(struct str text, void *ret_bytes, size_t cap, size_t *ret_n);

/* Lower-case hexadecimal of `n` bytes and a NUL (2n + 1 bytes). */
void hex_encode(const void *bytes, size_t n, char *ret_text);

/* 0 to 15 of a hexadecimal digit of either case, -1 of anything else. */
int hex_digit(char c);

/* Exactly `n` bytes from 2n hexadecimal digits of either case. 0 or ERR_PARSE. */
int hex_decode(struct str text, void *ret_bytes, size_t n);

#endif
