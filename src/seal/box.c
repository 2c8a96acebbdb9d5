/* SPDX-License-Identifier: Apache-2.0 */
#include "seal/box.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/b64.h"

_Static_assert(BOX_KEY_BYTES == crypto_box_PUBLICKEYBYTES, "X25519 keys");
_Static_assert(BOX_OVERHEAD_BYTES == crypto_box_NONCEBYTES + crypto_box_MACBYTES, "framing");

enum { STACK_BYTES = 16 << 10, NONCE_POOL_BYTES = 24 * 128 };

struct box_pair {
    uint8_t secret[BOX_KEY_BYTES];
    uint8_t public[BOX_KEY_BYTES];
    char public_b64[BOX_KEY_B64 + 1];
};

struct box_session {
    struct box_slab *slab;
    struct box_session *next_free;
    uint8_t shared[crypto_box_BEFORENMBYTES];
    char public_b64[BOX_KEY_B64 + 1];
};

/* Nonces are drawn from a pool of system randomness: a system call for each would cost as much as
 * the encryption. Used bytes are wiped. */
struct box_slab {
    struct box_session *sessions, *free;
    size_t left;
    uint8_t nonces[NONCE_POOL_BYTES];
    size_t nonces_left;
};

size_t box_sealed_len(size_t n)
{
    return B64_LEN(n + BOX_OVERHEAD_BYTES);
}

/* --- keys --- */

/* Guarded, locked memory (unlocked where the limit of locked memory is too small: it is wiped all
 * the same). Whoever comes here first initialises the library; it does so once. */
static void *box_locked_array(size_t n, size_t size)
{
    return sodium_init() < 0 ? NULL : sodium_allocarray(n, size);
}

static struct box_pair *box_pair_alloc(void)
{
    return box_locked_array(1, sizeof(struct box_pair));
}

int box_pair_new(struct box_pair **ret_pair)
{
    struct box_pair *p = box_pair_alloc();

    if (!p)
        return ERR_NOMEM;
    crypto_box_keypair(p->public, p->secret);
    b64_encode(p->public, sizeof p->public, p->public_b64);
    *ret_pair = p;
    return 0;
}

int box_pair_from_secret(const uint8_t secret[static BOX_KEY_BYTES], struct box_pair **ret_pair)
{
    struct box_pair *p = box_pair_alloc();

    if (!p)
        return ERR_NOMEM;
    memcpy(p->secret, secret, sizeof p->secret);
    crypto_scalarmult_base(p->public, p->secret);
    b64_encode(p->public, sizeof p->public, p->public_b64);
    *ret_pair = p;
    return 0;
}

const char *box_pair_public_b64(const struct box_pair *p)
{
    return p->public_b64;
}

void box_pair_free(struct box_pair *p)
{
    sodium_free(p); /* wipes; NULL is allowed */
}

int box_public_parse(struct str b64, uint8_t ret_key[static BOX_KEY_BYTES])
{
    uint8_t key[BOX_KEY_BYTES];
    size_t n;

    if (b64.n != BOX_KEY_B64 || b64_decode(b64, key, sizeof key, &n) < 0 || n != BOX_KEY_BYTES)
        return ERR_PARSE;
    memcpy(ret_key, key, sizeof key);
    return 0;
}

/* --- sessions --- */

int box_slab_new(size_t slots, struct box_slab **ret_slab)
{
    struct box_slab *s = box_locked_array(1, sizeof *s);

    if (!s)
        return ERR_NOMEM;
    *s = (struct box_slab){.sessions = box_locked_array(slots, sizeof(struct box_session))};
    if (!s->sessions) {
        sodium_free(s);
        return ERR_NOMEM;
    }
    for (size_t i = slots; i > 0; i--) {
        s->sessions[i - 1].next_free = s->free;
        s->free = &s->sessions[i - 1];
    }
    s->left = slots;
    *ret_slab = s;
    return 0;
}

void box_slab_free(struct box_slab *s)
{
    if (!s)
        return;
    sodium_free(s->sessions);
    sodium_free(s);
}

struct box_session *box_session_reserve(struct box_slab *slab)
{
    struct box_session *s = slab->free;

    if (!s)
        return NULL;
    slab->free = s->next_free;
    slab->left--;
    *s = (struct box_session){.slab = slab};
    return s;
}

int box_session_make(struct box_session *s, const uint8_t peer_public[static BOX_KEY_BYTES])
{
    uint8_t secret[BOX_KEY_BYTES], public[BOX_KEY_BYTES];
    int rc;

    crypto_box_keypair(public, secret);
    rc = crypto_box_beforenm(s->shared, peer_public, secret) == 0 ? 0 : ERR_CRYPTO;
    sodium_memzero(secret, sizeof secret);
    b64_encode(public, sizeof public, s->public_b64);
    return rc;
}

int box_session_open(struct box_slab *slab, const uint8_t peer_public[static BOX_KEY_BYTES],
                     struct box_session **ret_session)
{
    struct box_session *s = box_session_reserve(slab);
    int rc;

    if (!s)
        return ERR_BUSY;
    rc = box_session_make(s, peer_public);
    if (rc < 0)
        box_session_close(s);
    else
        *ret_session = s;
    return rc;
}

int box_session_accept(struct box_slab *slab, const struct box_pair *own,
                       const uint8_t peer_public[static BOX_KEY_BYTES],
                       struct box_session **ret_session)
{
    struct box_session *s = box_session_reserve(slab);

    if (!s)
        return ERR_BUSY;
    memcpy(s->public_b64, own->public_b64, sizeof s->public_b64);
    if (crypto_box_beforenm(s->shared, peer_public, own->secret) != 0) {
        box_session_close(s);
        return ERR_CRYPTO;
    }
    *ret_session = s;
    return 0;
}

void box_session_close(struct box_session *s)
{
    struct box_slab *slab;

    if (!s)
        return;
    slab = s->slab;
    sodium_memzero(s, sizeof *s);
    s->next_free = slab->free;
    slab->free = s;
    slab->left++;
}

size_t box_slab_left(const struct box_slab *s)
{
    return s->left;
}

const char *box_session_public_b64(const struct box_session *s)
{
    return s->public_b64;
}

/* --- envelopes --- */

static void box_take_nonce(struct box_slab *slab, uint8_t ret_nonce[crypto_box_NONCEBYTES])
{
    if (slab->nonces_left == 0) {
        randombytes_buf(slab->nonces, sizeof slab->nonces);
        slab->nonces_left = sizeof slab->nonces;
    }
    slab->nonces_left -= crypto_box_NONCEBYTES;
    memcpy(ret_nonce, slab->nonces + slab->nonces_left, crypto_box_NONCEBYTES);
    sodium_memzero(slab->nonces + slab->nonces_left, crypto_box_NONCEBYTES);
}

int box_seal(struct box_session *s, struct str plain, char *ret_text)
{
    uint8_t on_stack[STACK_BYTES + BOX_OVERHEAD_BYTES];
    size_t n = plain.n + BOX_OVERHEAD_BYTES;
    uint8_t *sealed = n <= sizeof on_stack ? on_stack : malloc(n);
    char last[5];
    size_t whole = n / 3 * 3;

    if (!sealed)
        return ERR_NOMEM;
    box_take_nonce(s->slab, sealed);
    crypto_box_easy_afternm(sealed + crypto_box_NONCEBYTES,
                            (const unsigned char *)(plain.p ? plain.p : ""), plain.n, sealed,
                            s->shared);
    /* b64_encode ends with a NUL, which must not be written behind the caller's space: the last
     * group goes through a scratch. */
    if (whole == n)
        whole -= 3;
    if (whole > 0)
        b64_encode(sealed, whole, ret_text);
    b64_encode(sealed + whole, n - whole, last);
    memcpy(ret_text + B64_LEN(whole), last, B64_LEN(n - whole));
    if (sealed != on_stack)
        free(sealed);
    return 0;
}

int box_seal_append(struct box_session *s, struct str plain, struct buf *out)
{
    size_t n = box_sealed_len(plain.n);
    char *at = buf_reserve(out, n);
    int rc;

    if (!at)
        return ERR_LIMIT;
    rc = box_seal(s, plain, at);
    if (rc == 0)
        buf_commit(out, n);
    return rc;
}

int box_open(struct box_session *s, struct str sealed, struct buf *ret_plain)
{
    uint8_t nonce[crypto_box_NONCEBYTES];
    uint8_t *bytes;
    size_t n;
    int rc;

    buf_clear(ret_plain);
    bytes = (uint8_t *)buf_reserve(ret_plain, B64_MAX_BYTES(sealed.n));
    if (!bytes)
        return ERR_LIMIT;
    rc = b64_decode(sealed, bytes, B64_MAX_BYTES(sealed.n), &n);
    if (rc < 0)
        return rc;
    if (n < BOX_OVERHEAD_BYTES)
        return ERR_PARSE;
    memcpy(nonce, bytes, sizeof nonce);
    /* In place: the message moves down over nonce and tag. */
    if (crypto_box_open_easy_afternm(bytes, bytes + sizeof nonce, n - sizeof nonce, nonce,
                                     s->shared) != 0)
        return ERR_CRYPTO;
    buf_commit(ret_plain, n - BOX_OVERHEAD_BYTES);
    return 0;
}
