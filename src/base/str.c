/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include "base/err.h"

enum { NAME_MAX_BYTES = 64 }; /* what str_distance compares */

static unsigned char str_lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool str_ieq(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (str_lower(a.p[i]) != str_lower(b.p[i]))
            return false;
    }
    return true;
}

static bool str_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && str_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && str_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str str_cut(struct str s, size_t max_bytes)
{
    if (s.n <= max_bytes)
        return s;
    while (max_bytes > 0 && ((unsigned char)s.p[max_bytes] & 0xC0) == 0x80)
        max_bytes--;
    return (struct str){s.p, max_bytes};
}

/* Bytes of the well-formed sequence at `p`, 0 when there is none (RFC 3629 §4). */
static size_t str_utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char lo = 0x80, hi = 0xBF;
    size_t len;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 0;
    len = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (n < len)
        return 0;
    if (p[0] == 0xE0)
        lo = 0xA0; /* overlong */
    else if (p[0] == 0xED)
        hi = 0x9F; /* surrogates */
    else if (p[0] == 0xF0)
        lo = 0x90; /* overlong */
    else if (p[0] == 0xF4)
        hi = 0x8F; /* beyond U+10FFFF */
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    return len;
}

bool str_is_utf8(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = s.n;

    while (n > 0) {
        size_t len;
        uint64_t word, words[4];

        if (n >= sizeof words) { /* 32 ASCII bytes at a time, or eight */
            memcpy(words, p, sizeof words);
            if (!((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080ULL)) {
                p += sizeof words;
                n -= sizeof words;
                continue;
            }
        }
        if (n >= sizeof word) {
            memcpy(&word, p, sizeof word);
            if (!(word & 0x8080808080808080ULL)) {
                p += sizeof word;
                n -= sizeof word;
                continue;
            }
        }
        len = str_utf8_sequence(p, n);
        if (len == 0)
            return false;
        p += len;
        n -= len;
    }
    return true;
}

int str_to_i64(struct str s, int64_t *ret_value)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    int64_t value = 0;

    if (s.n == (size_t)negative)
        return ERR_PARSE;
    for (size_t i = negative; i < s.n; i++) {
        int digit = s.p[i] - '0';

        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) /* downwards, where INT64_MIN fits */
            return ERR_PARSE;
    }
    if (!negative && value == INT64_MIN)
        return ERR_PARSE;
    *ret_value = negative ? value : -value;
    return 0;
}

size_t str_distance(struct str a, struct str b)
{
    size_t row[NAME_MAX_BYTES + 1];

    if (a.n > NAME_MAX_BYTES || b.n > NAME_MAX_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t replaced = diagonal + (a.p[i - 1] != b.p[j - 1]);
            size_t inserted = row[j - 1] + 1, deleted = row[j] + 1;

            diagonal = row[j];
            row[j] = replaced < inserted ? replaced : inserted;
            row[j] = row[j] < deleted ? row[j] : deleted;
        }
    }
    return row[b.n];
}
