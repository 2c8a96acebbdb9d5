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

/* The first byte from `p` on that a string cannot hold as it is: a quote, a backslash, a control
 * character; `end` when there is none. Eight bytes at a time: x - 0x01… sets the top bit of the
 * lowest byte that is 0, and of none below it. */
static inline const char *json_plain_end(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;

    while (end - p >= (ptrdiff_t)sizeof ones) {
        uint64_t word, quote, slash;

        memcpy(&word, p, sizeof word);
        quote = word ^ ones * '"';
        slash = word ^ ones * '\\';
        if ((((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
             ((word - ones * 0x20) & ~word)) &
            tops)
            break;
        p += sizeof word;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

#endif
