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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t secret[BOX_KEY_BYTES] = {1, 2, 3};
    struct str input = {(const char *)data, size};
    struct box_slab *slab;
    struct box_pair *pair;
    struct box_session *near_end, *far_end;
    uint8_t key[BOX_KEY_BYTES];
    struct buf out;

    if (size > PLAIN_MAX_BYTES || box_slab_new(2, &slab) < 0)
        return 0;
    if (box_pair_from_secret(secret, &pair) < 0 ||
        box_public_parse(str_from(box_pair_public_b64(pair)), key) < 0 ||
        box_session_open(slab, key, &near_end) < 0 ||
        box_public_parse(str_from(box_session_public_b64(near_end)), key) < 0 ||
        box_session_accept(slab, pair, key, &far_end) < 0)
        abort();
    buf_init(&out, PLAIN_MAX_BYTES);
    if (box_open(far_end, input, &out) == 0)
        abort(); /* a forged tag: 2^-128 */
    (void)box_public_parse(input, key);
    seal_and_open(near_end, far_end, input);
    buf_free(&out);
    box_session_close(near_end);
    box_session_close(far_end);
    box_pair_free(pair);
    box_slab_free(slab);
    return 0;
}
