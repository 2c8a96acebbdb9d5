/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a request's target, percent-decoded (RFC 3986 §2.1). */
#ifndef DARKBLOOM_COORDINATOR_API_TARGET_H
#define DARKBLOOM_COORDINATOR_API_TARGET_H

#include "base/str.h"

/* Decode `text` into `out`. 0 and a view of `out`; ERR_PARSE: a '%' without two hex digits, a NUL,
 * or what it says is no UTF-8; ERR_LIMIT: it has more than `size` bytes. */
int target_decode(struct str text, char *out, size_t size, struct str *ret_text);

/* The value of `name` in a query of the form "a=1&b=2". As target_decode; ERR_NOT_FOUND: it is not
 * there; ERR_EXISTS: it is there twice. */
int target_query(struct str query, const char *name, char *out, size_t size, struct str *ret_text);

/* Step through the names in a query, as they stand there: false past the last one. */
bool target_query_next(struct str *query, struct str *ret_name, struct str *ret_value);

#endif
