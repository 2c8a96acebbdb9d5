/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes: arbitrary text must not open; the same bytes sealed must open again; one changed
 * character must not. */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "base/b64.h"
#include "seal/box.h"

enum { PLAIN_MAX_BYTES = 1 << 20 };

static void seal_and_open(struct box_session *near_end, struct box_session *far_end,
                          struct str plain)
{
    struct buf sealed, opened;
    struct str v;

    buf_init(&sealed, 2 * PLAIN_MAX_BYTES);
    buf_init(&opened, 2 * PLAIN_MAX_BYTES);
    if (box_seal_append(near_end, plain, &sealed) < 0)
        abort();
    v = buf_view(&sealed);
    if (v.n != box_sealed_len(plain.n) || box_open(far_end, v, &opened) < 0 ||
        !str_eq(buf_view(&opened), plain))
        abort();
    ((char *)v.p)[plain.n % v.n] ^= 1;
    if (box_open(far_end, v, &opened) == 0)
        abort();
    buf_free(&sealed);
    buf_free(&opened);
}

/* Two ends of one session. Locked memory is dear: they are made once and live as long as the
 * program. */
struct ends {
    struct box_session *near_end, *far_end;
};

static const struct ends *both_ends(void)
{
    static const uint8_t secret[BOX_KEY_BYTES] = {1, 2, 3};
    static struct box_slab *slab;
    static struct box_pair *pair;
    static struct ends ends;
    uint8_t key[BOX_KEY_BYTES];

    if (slab)
        return &ends;
    if (box_slab_new(2, &slab) < 0 || box_pair_from_secret(secret, &pair) < 0 ||
        box_public_parse(str_from(box_pair_public_b64(pair)), key) < 0 ||
        box_session_open(slab, key, &ends.near_end) < 0 ||
        box_public_parse(str_from(box_session_public_b64(ends.near_end)), key) < 0 ||
        box_session_accept(slab, pair, key, &ends.far_end) < 0)
        abort();
    return &ends;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    const struct ends *e = both_ends();
    uint8_t key[BOX_KEY_BYTES];
    struct buf out;

    if (size > PLAIN_MAX_BYTES)
        return 0;
    buf_init(&out, PLAIN_MAX_BYTES);
    if (box_open(e->far_end, input, &out) == 0)
        abort(); /* a forged tag: 2^-128 */
    (void)box_public_parse(input, key);
    seal_and_open(e->near_end, e->far_end, input);
    buf_free(&out);
    return 0;
}
