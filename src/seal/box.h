/* SPDX-License-Identifier: Apache-2.0 */
/* NaCl crypto_box envelopes (X25519, XSalsa20-Poly1305) between coordinator and provider, and the
 * only code that turns plaintext into ciphertext and back. Wire form of every ciphertext: standard
 * base64 of 24-byte random nonce || 16-byte tag || data. The shared key of a request is computed
 * once and used for the request and all its chunks. Keys live in locked, guarded memory and are
 * wiped. Source: https://nacl.cr.yp.to/box.html. */
#ifndef DARKBLOOM_SEAL_BOX_H
#define DARKBLOOM_SEAL_BOX_H

#include "base/buf.h"
#include "base/err.h"
#include "base/rand.h"

enum { BOX_KEY_BYTES = 32, BOX_KEY_B64 = 44, BOX_OVERHEAD_BYTES = 24 + 16 };

/* Base64 characters of the envelope of `n` plaintext bytes (without NUL). */
size_t box_sealed_len(size_t n);

/* A long-lived X25519 pair (a provider's session key). */
struct box_pair;
int box_pair_new(struct box_pair **ret_pair);
/* From a known secret: test vectors. */
int box_pair_from_secret(const uint8_t secret[static BOX_KEY_BYTES], struct box_pair **ret_pair);
const char *box_pair_public_b64(const struct box_pair *p); /* 44 characters, NUL-terminated */
void box_pair_free(struct box_pair *p);

/* Decode and check a public key: exactly 32 bytes of strict base64. 0 or ERR_PARSE. */
int box_public_parse(struct str b64, uint8_t ret_key[static BOX_KEY_BYTES]);

/* A locked slab of session slots; sessions of one loop come from one slab. Not thread-safe: its
 * sessions share a pool of nonces, so all of them belong to the slab's thread. */
struct box_slab;
int box_slab_new(size_t slots, struct box_slab **ret_slab);
void box_slab_free(struct box_slab *s);

/* The shared key of one request, with the public key the peer must use to open it. */
struct box_session;

/* Coordinator's end: a fresh ephemeral pair against the provider's key. ERR_BUSY: the slab is
 * full; ERR_CRYPTO: the key is of low order. About 60 µs. */
int box_session_open(struct box_slab *slab, const uint8_t peer_public[static BOX_KEY_BYTES],
                     struct box_session **ret_session);
/* The same in two steps, for sessions that another thread makes (maker.h): a slot, on the slab's
 * thread; NULL: the slab is full. Then its keys, on any one thread that has the slot to itself:
 * only the slot is touched. 0 or ERR_CRYPTO; closed either way by the slab's thread. */
struct box_session *box_session_reserve(struct box_slab *slab);
int box_session_make(struct box_session *s, const uint8_t peer_public[static BOX_KEY_BYTES]);
/* Provider's end: its own pair against the request's ephemeral key. About 30 µs. */
int box_session_accept(struct box_slab *slab, const struct box_pair *own,
                       const uint8_t peer_public[static BOX_KEY_BYTES],
                       struct box_session **ret_session);
/* Slots that are free: sessions made ahead of need must leave room for those that are needed. */
size_t box_slab_left(const struct box_slab *s);
/* Wipe and give the slot back. NULL is allowed. */
void box_session_close(struct box_session *s);

/* Base64 of the public key that goes into `ephemeral_public_key`: the fresh one at the
 * coordinator's end, the provider's own at the provider's. */
const char *box_session_public_b64(const struct box_session *s);

/* Write the envelope of `plain` (box_sealed_len(plain.n) characters, no NUL) to `ret_text`. The
 * nonce is random. Nothing is allocated for plaintexts up to 16 KiB. 0 or ERR_NOMEM. */
int box_seal(struct box_session *s, struct str plain, char *ret_text);
/* As box_seal, appended to a buffer. 0, ERR_LIMIT or ERR_NOMEM. */
int box_seal_append(struct box_session *s, struct str plain, struct buf *out);

/* Open an envelope into `ret_plain` (replaced; borrowed from the session's caller). 0, ERR_PARSE
 * (base64, too short), ERR_CRYPTO (does not verify), ERR_LIMIT. `ret_plain` keeps its memory from
 * call to call; wipe it with buf_wipe when the request ends. */
int box_open(struct box_session *s, struct str sealed, struct buf *ret_plain);

#endif
