/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"

#include <sodium.h>

#include "base/b64.h"

static void rand_system_fill(void *ud, void *ret_bytes, size_t n)
{
    (void)ud;
    randombytes_buf(ret_bytes, n);
}

struct rand_src rand_system(void)
{
    return (struct rand_src){rand_system_fill, NULL};
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

static void rand_write_uuid(uint8_t bytes[static 16], uint8_t version,
                            char ret_text[static RAND_UUID_BYTES])
{
    static const size_t group_bytes[] = {4, 2, 2, 2, 6};
    size_t at = 0;

    bytes[6] = (uint8_t)((bytes[6] & 0x0F) | version << 4);
    bytes[8] = (uint8_t)((bytes[8] & 0x3F) | 0x80); /* variant */
    for (size_t g = 0; g < sizeof group_bytes / sizeof group_bytes[0]; g++) {
        if (g > 0)
            *ret_text++ = '-';
        hex_encode(bytes + at, group_bytes[g], ret_text);
        ret_text += 2 * group_bytes[g];
        at += group_bytes[g];
    }
}

void rand_uuid(const struct rand_src *r, char ret_text[static RAND_UUID_BYTES])
{
    uint8_t bytes[16];

    rand_fill(r, bytes, sizeof bytes);
    rand_write_uuid(bytes, 4, ret_text);
}

void rand_uuid_ordered(const struct rand_src *r, int64_t wall_us,
                       char ret_text[static RAND_UUID_BYTES])
{
    uint64_t ms = (uint64_t)wall_us / 1000;
    uint8_t bytes[16];

    rand_fill(r, bytes, sizeof bytes);
    for (size_t i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    rand_write_uuid(bytes, 7, ret_text);
}
