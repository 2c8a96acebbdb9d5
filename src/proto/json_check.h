/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a text is JSON (RFC 8259), in one pass and without memory: no tree is built, so neither
 * time nor memory depends on anything but the number of bytes, and no copy of a prompt is made. Any
 * thread. */
#ifndef DARKBLOOM_PROTO_JSON_CHECK_H
#define DARKBLOOM_PROTO_JSON_CHECK_H

#include "base/err.h"
#include "base/str.h"
#include "proto/span.h"

enum { JSON_CHECK_MAX_DEPTH = 512 };

/* 0; ERR_PARSE: not JSON, with *ret_why a constant text; ERR_LIMIT: arrays and objects stand more
 * than `max_depth` deep (at most JSON_CHECK_MAX_DEPTH), and the rest was not looked at. JSON means
 * well-formed UTF-8, no lone surrogate in escapes, no number beyond what a double holds, nothing
 * behind the value but white space. `ret_why` may be NULL. */
int json_check(struct str text, size_t max_depth, const char **ret_why);

/* The same for an object, whose members are noted on the way: ret_members[0 … *ret_n). Also
 * ERR_TYPE: the text is JSON but no object; ERR_RANGE: it has more than `max` members, and what
 * follows them was not looked at. */
int json_check_members(struct str text, size_t max_depth, struct span_member *ret_members,
                       size_t max, size_t *ret_n, const char **ret_why);

#endif
