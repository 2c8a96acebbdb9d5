/* SPDX-License-Identifier: Apache-2.0 */
/* Strings as pointer and length, passed by value: what a parser yields without copying. Bytes are
 * borrowed; whoever holds a struct str must not outlive the buffer or region it points into. */
#ifndef DARKBLOOM_BASE_STR_H
#define DARKBLOOM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p; /* not NUL-terminated; may be NULL when n is 0 */
    size_t n;      /* bytes */
};

/* A struct str of a string literal, without its NUL. */
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})

/* For printf: printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_from(const char *cstr)
{
    return (struct str){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *cstr)
{
    return str_eq(a, str_from(cstr));
}

/* ASCII case-insensitive equality (RFC 9110 §5.1 field names, scheme names). */
bool str_ieq(struct str a, struct str b);

/* Whether `s` starts with `prefix`. */
static inline bool str_starts(struct str s, struct str prefix)
{
    return prefix.n == 0 || (s.p && s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* `s` without leading and trailing spaces and tabs. */
struct str str_trim(struct str s);

/* At most `max_bytes` of UTF-8, cut before a character, never inside one. */
struct str str_cut(struct str s, size_t max_bytes);

/* Whether the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF). */
bool str_is_utf8(struct str s);

/* Decimal integer, optional leading '-', nothing else around it. 0 or ERR_PARSE (also on overflow).
 */
int str_to_i64(struct str s, int64_t *ret_value);

/* Edits (Levenshtein) between two short names, for "did you mean"; SIZE_MAX where one is over 64
 * bytes, too long for a typo to matter. */
size_t str_distance(struct str a, struct str b);

#endif
