/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/span.h"

#include <stdint.h>

#include "base/b64.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_space(struct str s, size_t at)
{
    while (at < s.n && is_space(s.p[at]))
        at++;
    return at;
}

/* `at` stands on the opening quote; returns the index after the closing one, 0 when there is none.
 */
static size_t skip_string(struct str s, size_t at)
{
    for (at++; at < s.n; at++) {
        if (s.p[at] == '\\')
            at++;
        else if (s.p[at] == '"')
            return at + 1;
    }
    return 0;
}

/* Past an object or array: only nesting and strings matter, for the text is known to be JSON or is
 * parsed properly elsewhere. */
static size_t skip_nested(struct str s, size_t at)
{
    size_t depth = 0;

    while (at < s.n) {
        char c = s.p[at];

        if (c == '"') {
            at = skip_string(s, at);
            if (at == 0)
                return 0;
            continue;
        }
        if (c == '{' || c == '[') {
            if (++depth > SPAN_MAX_DEPTH)
                return 0;
        } else if (c == '}' || c == ']') {
            if (--depth == 0)
                return at + 1;
        }
        at++;
    }
    return 0;
}

static size_t skip_value(struct str s, size_t at)
{
    size_t start = at;

    if (at >= s.n)
        return 0;
    if (s.p[at] == '"')
        return skip_string(s, at);
    if (s.p[at] == '{' || s.p[at] == '[')
        return skip_nested(s, at);
    while (at < s.n && !is_space(s.p[at]) && s.p[at] != ',' && s.p[at] != '}' && s.p[at] != ']')
        at++;
    return at > start ? at : 0;
}

/* Before the first member: the brace. Between members: the comma. 1: a member follows; 0: the end.
 */
static int next_member(struct str s, size_t *at)
{
    bool first = *at == 0;

    *at = skip_space(s, *at);
    if (*at >= s.n)
        return ERR_PARSE;
    if (first) {
        if (s.p[*at] != '{')
            return ERR_PARSE;
        *at = skip_space(s, *at + 1);
        if (*at < s.n && s.p[*at] == '}')
            return 0;
        return 1;
    }
    if (s.p[*at] == '}')
        return 0;
    if (s.p[*at] != ',')
        return ERR_PARSE;
    *at = skip_space(s, *at + 1);
    return 1;
}

int span_next(struct str object, size_t *cursor, struct span_member *ret_member)
{
    size_t at = *cursor, key_end, value_at, value_end;
    int rc = next_member(object, &at);

    if (rc <= 0)
        return rc;
    if (at >= object.n || object.p[at] != '"')
        return ERR_PARSE;
    key_end = skip_string(object, at);
    if (key_end == 0)
        return ERR_PARSE;
    value_at = skip_space(object, key_end);
    if (value_at >= object.n || object.p[value_at] != ':')
        return ERR_PARSE;
    value_at = skip_space(object, value_at + 1);
    value_end = skip_value(object, value_at);
    if (value_end == 0)
        return ERR_PARSE;
    *ret_member = (struct span_member){
        .key = {object.p + at + 1, key_end - at - 2},
        .value = {object.p + value_at, value_end - value_at},
        .whole = {object.p + at, value_end - at},
    };
    *cursor = value_end;
    return 1;
}

/* --- comparing keys: escapes stand for the characters they mean --- */

/* The next UTF-16 unit or byte of a key; a \u escape below 0x80 equals its plain character. Higher
 * escapes are marked so that they compare equal to themselves only. */
static uint32_t next_unit(struct str k, size_t *at)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = k.p[(*at)++];

    if (c != '\\' || *at >= k.n)
        return (unsigned char)c;
    c = k.p[(*at)++];
    if (c == 'u' && *at + 4 <= k.n) {
        uint32_t v = 0;

        for (int i = 0; i < 4; i++)
            v = v << 4 | (uint32_t)(hex_digit(k.p[(*at)++]) & 15);
        return v < 0x80 ? v : v | 0x10000;
    }
    for (size_t i = 0; from[i]; i++) {
        if (c == from[i])
            return (unsigned char)to[i];
    }
    return (unsigned char)c;
}

static bool same_key(struct str a, struct str b)
{
    size_t i = 0, j = 0;

    while (i < a.n && j < b.n) {
        if (next_unit(a, &i) != next_unit(b, &j))
            return false;
    }
    return i >= a.n && j >= b.n;
}

int span_get_unique(struct str object, const char *key, struct str *ret_value)
{
    struct span_member m;
    struct str found = {0};
    size_t cursor = 0;
    int rc;

    while ((rc = span_next(object, &cursor, &m)) > 0) {
        if (!same_key(m.key, str_from(key)))
            continue;
        if (found.p)
            return ERR_EXISTS;
        found = m.value;
    }
    if (rc < 0)
        return rc;
    if (!found.p)
        return ERR_NOT_FOUND;
    *ret_value = found;
    return 0;
}

/* What the four digits of a \u escape take in UTF-8; each half of a surrogate pair is two of four.
 */
static size_t escaped_bytes(struct str value, size_t at)
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
            n = escaped_bytes(value, at + 1);
            at += 4;
        }
        bytes += n;
    }
    return bytes;
}

int span_check_unique(struct str object)
{
    struct span_member a, b;
    size_t i = 0, j, n = 0;
    int rc;

    while ((rc = span_next(object, &i, &a)) > 0)
        n++;
    if (rc < 0 || n > SPAN_UNIQUE_MAX_MEMBERS)
        return rc < 0 ? rc : ERR_LIMIT;
    i = 0;
    while ((rc = span_next(object, &i, &a)) > 0) {
        j = i;
        while ((rc = span_next(object, &j, &b)) > 0) {
            if (same_key(a.key, b.key))
                return ERR_EXISTS;
        }
        if (rc < 0)
            return rc;
    }
    return rc;
}
