/* SPDX-License-Identifier: Apache-2.0 */
/* A scanner over JSON text that yields the bytes of values without parsing them: for what must be
 * verified or forwarded exactly as received. */
#ifndef DARKBLOOM_PROTO_SPAN_H
#define DARKBLOOM_PROTO_SPAN_H

#include "base/err.h"
#include "base/str.h"

/* A value nested deeper is not followed: ERR_LIMIT. */
enum { SPAN_MAX_DEPTH = 256, SPAN_UNIQUE_MAX_MEMBERS = 64 };

/* One member of an object: key and value exactly as they stand in the text (key without its
 * quotes, still escaped), and the span of the whole member. */
struct span_member {
    struct str key;
    struct str value;
    struct str whole;
};

/* Walk the members of the object that is the text. Start with *cursor = 0. 1: *ret_member is set;
 * 0: the end; ERR_PARSE: not an object, or broken JSON; ERR_LIMIT: a value is nested too deep. */
int span_next(struct str object, size_t *cursor, struct span_member *ret_member);
/* The same for the values of an array. */
int span_next_element(struct str array, size_t *cursor, struct str *ret_value);
/* Only to the first byte of the next value, where *cursor then stands; the caller moves it on, past
 * that value's last byte. */
int span_next_start(struct str array, size_t *cursor);

/* Behind the object's closing brace, once span_next said that it ends, with its cursor. */
size_t span_object_end(struct str object, size_t cursor);

/* The value of a top-level member. 0, ERR_NOT_FOUND, ERR_PARSE, or ERR_EXISTS when the key stands
 * twice (attested objects refuse duplicates). Keys are compared after unescaping. */
int span_get_unique(struct str object, const char *key, struct str *ret_value);

/* ERR_EXISTS when any key of the object (not of nested ones) stands twice; ERR_LIMIT beyond
 * SPAN_UNIQUE_MAX_MEMBERS, since every key is compared with every other; 0 or ERR_PARSE. */
int span_check_unique(struct str object);

/* --- strings: of a text that json_check knows as JSON --- */

/* Whether two strings, without their quotes and still escaped, are the same text. An escape of a
 * character beyond ASCII equals only the same escape. */
bool span_same_text(struct str a, struct str b);
/* Whether a JSON value is a string of this ASCII text. */
bool span_text_is(struct str value, const char *text);
/* Bytes of UTF-8 that a JSON string, with its quotes, stands for; 0 for any other value. */
size_t span_text_bytes(struct str value);
/* Write these bytes of a string, with its quotes (span_text_bytes, no NUL). */
void span_text_copy(struct str value, char *ret_text);

#endif
