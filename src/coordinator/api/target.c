/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/api/target.h"

#include "base/err.h"

static int target_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int target_decode(struct str text, char *out, size_t size, struct str *ret_text)
{
    struct str decoded = {out, 0};

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c == '%') {
            int high = text.n - i > 2 ? target_hex(text.p[i + 1]) : -1;
            int low = high >= 0 ? target_hex(text.p[i + 2]) : -1;

            if (low < 0 || (high == 0 && low == 0))
                return ERR_PARSE;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (decoded.n == size)
            return ERR_LIMIT;
        out[decoded.n++] = c;
    }
    if (!str_is_utf8(decoded))
        return ERR_PARSE;
    *ret_text = decoded;
    return 0;
}

bool target_query_next(struct str *query, struct str *ret_name, struct str *ret_value)
{
    const char *end, *equals;
    struct str part = *query;

    if (query->n == 0)
        return false;
    end = memchr(query->p, '&', query->n);
    part.n = end ? (size_t)(end - query->p) : query->n;
    *query = end ? (struct str){end + 1, query->n - part.n - 1} : (struct str){NULL, 0};
    equals = part.n > 0 ? memchr(part.p, '=', part.n) : NULL;
    *ret_name = (struct str){part.p, equals ? (size_t)(equals - part.p) : part.n};
    *ret_value = equals ? (struct str){equals + 1, part.n - ret_name->n - 1} : STR("");
    return true;
}

int target_query(struct str query, const char *name, char *out, size_t size, struct str *ret_text)
{
    const struct str wanted = str_from(name);
    struct str found = {NULL, 0}, here, value;
    size_t n = 0;

    while (target_query_next(&query, &here, &value)) {
        if (!str_eq(wanted, here))
            continue;
        found = value;
        n++;
    }
    if (n != 1)
        return n == 0 ? ERR_NOT_FOUND : ERR_EXISTS;
    return target_decode(found, out, size, ret_text);
}
