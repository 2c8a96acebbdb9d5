/* SPDX-License-Identifier: Apache-2.0 */
/* The members of objects in a chat request, and that no name stands twice. */
#include <sodium.h>
#include <stdio.h>

#include "proto/chat_impl.h"

/* Up to this many are compared each with each. */
enum { CHAT_FEW = 10, CHAT_SLOTS = 256 };

_Static_assert((int)CHAT_SLOTS >= 2 * (int)CHAT_MEMBERS_MAX, "probes end, and soon");
_Static_assert((int)CHAT_MEMBERS_MAX <= UINT8_MAX, "a slot holds an index");

const char *chat_where(const struct chat_checked *c, const char *field,
                       char ret_text[static CHAT_WHERE_BYTES])
{
    ret_text[0] = 0;
    if (c->message != CHAT_NOWHERE && c->part != CHAT_NOWHERE)
        snprintf(ret_text, CHAT_WHERE_BYTES, "messages[%zu].content[%zu]", c->message, c->part);
    else if (c->message != CHAT_NOWHERE)
        snprintf(ret_text, CHAT_WHERE_BYTES, "messages[%zu]%s", c->message, field);
    return ret_text;
}

struct str chat_get(const struct chat_members *m, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < m->n; i++) {
        const struct str *key = &m->items[i].key;

        if (key->n != n || memcmp(key->p, name, n) != 0)
            continue;
        if (str_eq(m->items[i].value, STR("null")))
            break;
        return m->items[i].value;
    }
    return (struct str){0};
}

/* Where a name begins to be looked for. The hash is keyed, so that nobody can choose names that
 * collide. */
static size_t chat_home(struct chat_checked *c, struct str name)
{
    uint8_t hash[crypto_shorthash_BYTES];

    _Static_assert(sizeof c->key == crypto_shorthash_KEYBYTES, "the hash's key");
    if (!c->keyed)
        randombytes_buf(c->key, sizeof c->key);
    c->keyed = true;
    crypto_shorthash(hash, (const unsigned char *)name.p, name.n, c->key);
    return hash[0] % CHAT_SLOTS;
}

/* A member whose name an earlier one has; NULL: there is none. */
static const struct span_member *chat_find_twice(struct chat_checked *c,
                                                 const struct chat_members *m)
{
    uint8_t slots[CHAT_SLOTS] = {0}; /* index + 1; 0: free */

    for (size_t i = 0; i < m->n; i++) {
        size_t at = chat_home(c, m->items[i].key);

        for (; slots[at]; at = (at + 1) % CHAT_SLOTS) {
            if (str_eq(m->items[slots[at] - 1].key, m->items[i].key))
                return &m->items[i];
        }
        slots[at] = (uint8_t)(i + 1);
    }
    return NULL;
}

static const struct span_member *chat_find_twice_of_few(const struct chat_members *m)
{
    for (size_t i = 1; i < m->n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (str_eq(m->items[j].key, m->items[i].key))
                return &m->items[i];
        }
    }
    return NULL;
}

/* Of two members with one name some parsers take the first and others the last: what is checked
 * here must be what the engine reads. Names are compared as they stand, so escapes are refused. */
int chat_check_names(struct chat_checked *c, const struct chat_members *m)
{
    const struct span_member *twice =
        m->n <= CHAT_FEW ? chat_find_twice_of_few(m) : chat_find_twice(c, m);
    char where[CHAT_WHERE_BYTES];
    const char *of = c->message == CHAT_NOWHERE ? "" : " of ";

    if (twice)
        return api_error_set(c->e, API_BAD_REQUEST, chat_where(c, "", where),
                             "the field `%.*s`%s%s stands twice; send it once",
                             STR_ARG(str_cut(twice->key, CHAT_SHOWN_BYTES)), of, where);
    for (size_t i = 0; i < m->n; i++) {
        if (m->items[i].key.n > 0 && memchr(m->items[i].key.p, '\\', m->items[i].key.n))
            return api_error_set(c->e, API_BAD_REQUEST, chat_where(c, "", where),
                                 "field names%s%s must be written without escapes", of, where);
    }
    return 0;
}

int chat_take_members(struct chat_checked *c, struct str text, struct chat_members *ret_members,
                      size_t *ret_end)
{
    char where[CHAT_WHERE_BYTES];
    struct span_member m;
    size_t cursor = 0;
    int rc;

    ret_members->n = 0;
    while ((rc = span_next(text, &cursor, &m)) > 0) {
        if (ret_members->n == CHAT_MEMBERS_MAX)
            return api_error_set(c->e, API_BAD_REQUEST, chat_where(c, "", where),
                                 "%s has more than %d fields", where, CHAT_MEMBERS_MAX);
        ret_members->items[ret_members->n++] = m;
    }
    if (rc < 0) /* the text is JSON, and not too deep: it was checked */
        return api_error_set(c->e, API_BAD_JSON, chat_where(c, "", where), "%s cannot be read",
                             where);
    *ret_end = span_object_end(text, cursor);
    return chat_check_names(c, ret_members);
}
