/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/span.h"

#include "proto/json_scan.h"

static size_t span_skip_space(struct str s, size_t at)
{
    while (at < s.n && json_is_space(s.p[at]))
        at++;
    return at;
}

/* `at` stands on the opening quote; returns the index after the closing one, 0 when there is none.
 */
static size_t span_skip_string(struct str s, size_t at)
{
    const char *end = s.p + s.n, *p = s.p + at + 1;

    while (p < end) {
        p = json_plain_end(p, end);
        if (p < end && *p == '"')
            return (size_t)(p - s.p) + 1;
        p += p < end && *p == '\\' ? 2 : 1;
    }
    return 0;
}

/* Past an object or array: only nesting and strings matter, for the text is known to be JSON or is
 * parsed properly elsewhere. 0: it does not end; SIZE_MAX: it is too deep. */
static size_t span_skip_nested(struct str s, size_t at)
{
    size_t depth = 0;

    while (at < s.n) {
        char c = s.p[at];

        if (c == '"') {
            at = span_skip_string(s, at);
            if (at == 0)
                return 0;
            continue;
        }
        if (c == '{' || c == '[') {
            if (++depth > SPAN_MAX_DEPTH)
                return SIZE_MAX;
        } else if (c == '}' || c == ']') {
            if (--depth == 0)
                return at + 1;
        }
        at++;
    }
    return 0;
}

/* 0: there is none, or it does not end; SIZE_MAX: it is too deep. */
static size_t span_skip_value(struct str s, size_t at)
{
    size_t start = at;

    if (at >= s.n)
        return 0;
    if (s.p[at] == '"')
        return span_skip_string(s, at);
    if (s.p[at] == '{' || s.p[at] == '[')
        return span_skip_nested(s, at);
    while (at < s.n && !json_is_space(s.p[at]) && s.p[at] != ',' && s.p[at] != '}' &&
           s.p[at] != ']')
        at++;
    return at > start ? at : 0;
}

/* Before the first member or element: the bracket. Between them: the comma. 1: another follows; 0:
 * the end. */
static int span_step(struct str s, size_t *at, char open, char close)
{
    bool first = *at == 0;

    *at = span_skip_space(s, *at);
    if (*at >= s.n)
        return ERR_PARSE;
    if (first) {
        if (s.p[*at] != open)
            return ERR_PARSE;
        *at = span_skip_space(s, *at + 1);
        return *at < s.n && s.p[*at] == close ? 0 : 1;
    }
    if (s.p[*at] == close)
        return 0;
    if (s.p[*at] != ',')
        return ERR_PARSE;
    *at = span_skip_space(s, *at + 1);
    return 1;
}

static int span_take_value(struct str s, size_t at, size_t *ret_end)
{
    *ret_end = span_skip_value(s, at);
    return *ret_end == 0 ? ERR_PARSE : *ret_end == SIZE_MAX ? ERR_LIMIT : 0;
}

int span_next(struct str object, size_t *cursor, struct span_member *ret_member)
{
    size_t at = *cursor, key_end, value_at, value_end;
    int rc = span_step(object, &at, '{', '}');

    if (rc <= 0)
        return rc;
    if (at >= object.n || object.p[at] != '"')
        return ERR_PARSE;
    key_end = span_skip_string(object, at);
    if (key_end == 0)
        return ERR_PARSE;
    value_at = span_skip_space(object, key_end);
    if (value_at >= object.n || object.p[value_at] != ':')
        return ERR_PARSE;
    value_at = span_skip_space(object, value_at + 1);
    rc = span_take_value(object, value_at, &value_end);
    if (rc < 0)
        return rc;
    *ret_member = (struct span_member){
        .key = {object.p + at + 1, key_end - at - 2},
        .value = {object.p + value_at, value_end - value_at},
        .whole = {object.p + at, value_end - at},
    };
    *cursor = value_end;
    return 1;
}

size_t span_object_end(struct str object, size_t cursor)
{
    while (cursor < object.n && object.p[cursor] != '}')
        cursor++;
    return cursor + 1;
}

int span_next_start(struct str array, size_t *cursor)
{
    size_t at = *cursor;
    int rc = span_step(array, &at, '[', ']');

    if (rc > 0)
        *cursor = at;
    return rc;
}

int span_next_element(struct str array, size_t *cursor, struct str *ret_value)
{
    size_t at = *cursor, end;
    int rc = span_step(array, &at, '[', ']');

    if (rc <= 0)
        return rc;
    rc = span_take_value(array, at, &end);
    if (rc < 0)
        return rc;
    *ret_value = (struct str){array.p + at, end - at};
    *cursor = end;
    return 1;
}

int span_get_unique(struct str object, const char *key, struct str *ret_value)
{
    struct span_member m;
    struct str found = {0};
    size_t cursor = 0;
    int rc;

    while ((rc = span_next(object, &cursor, &m)) > 0) {
        if (!span_same_text(m.key, str_from(key)))
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

/* Each key is compared with every other one, but the text is walked through once. */
int span_check_unique(struct str object)
{
    struct str keys[SPAN_UNIQUE_MAX_MEMBERS];
    struct span_member m;
    size_t cursor = 0, n = 0;
    int rc;

    while ((rc = span_next(object, &cursor, &m)) > 0) {
        if (n == SPAN_UNIQUE_MAX_MEMBERS)
            return ERR_LIMIT;
        for (size_t i = 0; i < n; i++) {
            if (span_same_text(keys[i], m.key))
                return ERR_EXISTS;
        }
        keys[n++] = m.key;
    }
    return rc;
}
