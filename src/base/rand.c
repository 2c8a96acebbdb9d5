/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"

#include <sodium.h>

#include "base/b64.h"

static void system_fill(void *ud, void *ret_bytes, size_t n)
{
    (void)ud;
    randombytes_buf(ret_bytes, n);
}

struct rand_src rand_system(void)
{
    return (struct rand_src){system_fill, NULL};
}

/* Multiply and shift (Lemire 2019) without its rejection step: a bias of at most bound / 2^32,
 * which jitter and spreading do not notice, and no loop that a scripted source could keep turning.
 */
uint32_t rand_below(const struct rand_src *r, uint32_t bound)
{
    uint32_t v;

    if (bound < 2)
        return 0;
    rand_fill(r, &v, sizeof v);
    return (uint32_t)((uint64_t)v * bound >> 32);
}

void rand_uuid(const struct rand_src *r, char ret_text[static RAND_UUID_BYTES])
{
    static const size_t group_bytes[] = {4, 2, 2, 2, 6};
    uint8_t bytes[16];
    size_t at = 0;

    rand_fill(r, bytes, sizeof bytes);
    bytes[6] = (uint8_t)((bytes[6] & 0x0F) | 0x40); /* version 4 */
    bytes[8] = (uint8_t)((bytes[8] & 0x3F) | 0x80); /* variant */
    for (size_t g = 0; g < sizeof group_bytes / sizeof group_bytes[0]; g++) {
        if (g > 0)
            *ret_text++ = '-';
        hex_encode(bytes + at, group_bytes[g], ret_text);
        ret_text += 2 * group_bytes[g];
        at += group_bytes[g];
    }
}
