/* SPDX-License-Identifier: Apache-2.0 */
/* The innermost loops over JSON text. Private to proto/. */
#ifndef DARKBLOOM_PROTO_JSON_SCAN_H
#define DARKBLOOM_PROTO_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Bits are set where one of eight bytes may be a quote, a backslash or a control character; none
 * are when none is. x - 0x01… sets the top bit of the lowest byte that is 0, and of none below it.
 */
static inline uint64_t json_marks(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;
    uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';

    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
            ((word - ones * 0x20) & ~word)) &
           tops;
}

/* Whether the eight bytes stand for themselves in a string, and are ASCII. */
static inline bool json_is_plain_ascii(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return !(json_marks(word) | (word & 0x8080808080808080ULL));
}

/* The first byte from `p` on that a string cannot hold as it is: a quote, a backslash, a control
 * character; `end` when there is none. */
static inline const char *json_plain_end(const char *p, const char *end)
{
    uint64_t word;

    for (; end - p >= (ptrdiff_t)sizeof word; p += sizeof word) {
        memcpy(&word, p, sizeof word);
        word = json_marks(word);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        if (word) /* the lowest mark is the first byte's, and true */
            return p + __builtin_ctzll(word) / 8;
#else
        if (word)
            break;
#endif
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

#endif
