/* SPDX-License-Identifier: Apache-2.0 */
/* A scanner over JSON text that yields the bytes of values without parsing them: for what must be
 * verified or forwarded exactly as received. */
#ifndef DARKBLOOM_PROTO_SPAN_H
#define DARKBLOOM_PROTO_SPAN_H

#include "base/err.h"
#include "base/str.h"

/* A value nested deeper counts as broken. */
enum { SPAN_MAX_DEPTH = 256, SPAN_UNIQUE_MAX_MEMBERS = 64 };

/* One member of an object: key and value exactly as they stand in the text (key without its
 * quotes, still escaped), and the span of the whole member. */
struct span_member {
    struct str key;
    struct str value;
    struct str whole;
};

/* Walk the members of the object that is the text. Start with *cursor = 0. 1: *ret_member is set;
 * 0: the end; ERR_PARSE: not an object, or broken JSON. */
int span_next(struct str object, size_t *cursor, struct span_member *ret_member);

/* The value of a top-level member. 0, ERR_NOT_FOUND, ERR_PARSE, or ERR_EXISTS when the key stands
 * twice (attested objects refuse duplicates). Keys are compared after unescaping. */
int span_get_unique(struct str object, const char *key, struct str *ret_value);

/* Bytes of UTF-8 that a JSON string, with its quotes, stands for; 0 for any other value. */
size_t span_text_bytes(struct str value);

/* ERR_EXISTS when any key of the object (not of nested ones) stands twice; ERR_LIMIT beyond
 * SPAN_UNIQUE_MAX_MEMBERS, since every key is compared with every other; 0 or ERR_PARSE. */
int span_check_unique(struct str object);

#endif
