/* SPDX-License-Identifier: Apache-2.0 */
/* What JSON strings stand for, read where they are. */
#include <stdint.h>

#include "base/b64.h"
#include "proto/span.h"

/* The next UTF-16 unit or byte of a text; a \u escape below 0x80 equals its plain character. Higher
 * escapes are marked so that they compare equal to themselves only. */
static uint32_t span_next_unit(struct str s, size_t *at)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = s.p[(*at)++];

    if (c != '\\' || *at >= s.n)
        return (unsigned char)c;
    c = s.p[(*at)++];
    if (c == 'u' && *at + 4 <= s.n) {
        uint32_t v = 0;

        for (int i = 0; i < 4; i++)
            v = v << 4 | (uint32_t)(hex_digit(s.p[(*at)++]) & 15);
        return v < 0x80 ? v : v | 0x10000;
    }
    for (size_t i = 0; from[i]; i++) {
        if (c == from[i])
            return (unsigned char)to[i];
    }
    return (unsigned char)c;
}

static bool span_has_escape(struct str s)
{
    return s.n > 0 && memchr(s.p, '\\', s.n);
}

bool span_same_text(struct str a, struct str b)
{
    size_t i = 0, j = 0;

    if (!span_has_escape(a) && !span_has_escape(b))
        return str_eq(a, b);
    while (i < a.n && j < b.n) {
        if (span_next_unit(a, &i) != span_next_unit(b, &j))
            return false;
    }
    return i >= a.n && j >= b.n;
}

bool span_text_is(struct str value, const char *text)
{
    return value.n >= 2 && value.p[0] == '"' &&
           span_same_text((struct str){value.p + 1, value.n - 2}, str_from(text));
}

/* What the four digits of a \u escape take in UTF-8; each half of a surrogate pair is two of four.
 */
static size_t span_escaped_bytes(struct str value, size_t at)
{
    uint32_t v = 0;

    for (size_t i = 0; i < 4 && at + i < value.n; i++)
        v = v << 4 | (uint32_t)(hex_digit(value.p[at + i]) & 15);
    return v < 0x80 ? 1 : v < 0x800 || (v & 0xF800) == 0xD800 ? 2 : 3;
}

size_t span_text_bytes(struct str value)
{
    size_t bytes = 0;

    if (value.n < 2 || value.p[0] != '"')
        return 0;
    if (!memchr(value.p, '\\', value.n))
        return value.n - 2;
    for (size_t at = 1; at + 1 < value.n; at++) {
        size_t n = 1;

        if (value.p[at] == '\\' && value.p[++at] == 'u') {
            n = span_escaped_bytes(value, at + 1);
            at += 4;
        }
        bytes += n;
    }
    return bytes;
}

static uint32_t span_take_hex(struct str s, size_t *at)
{
    uint32_t unit = 0;

    for (int i = 0; i < 4 && *at < s.n; i++)
        unit = unit << 4 | (uint32_t)(hex_digit(s.p[(*at)++]) & 15);
    return unit;
}

/* Behind "\\u". */
static size_t span_put_escaped(struct str s, size_t *at, char *out)
{
    uint32_t c = span_take_hex(s, at);

    if ((c & 0xFC00) == 0xD800 && *at + 2 < s.n) { /* then the other half follows */
        *at += 2;
        c = 0x10000 + ((c & 0x3FF) << 10) + (span_take_hex(s, at) & 0x3FF);
    }
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

void span_text_copy(struct str value, char *ret_text)
{
    struct str s = {value.p + 1, value.n - 2};
    size_t at = 0;

    while (at < s.n) {
        if (s.p[at] == '\\' && at + 1 < s.n && s.p[at + 1] == 'u') {
            at += 2;
            ret_text += span_put_escaped(s, &at, ret_text);
        } else {
            *ret_text++ = (char)span_next_unit(s, &at);
        }
    }
}
