/* SPDX-License-Identifier: Apache-2.0 */
/* TOML 1.0 through toml++, behind a C interface: a flat walk over the values of a document. The
 * only C++ of this room. */
#ifndef DARKBLOOM_BASE_TOML_H
#define DARKBLOOM_BASE_TOML_H

#ifdef __cplusplus
extern "C" {
#endif

#include "base/err.h"
#include "base/str.h"

enum toml_type {
    TOML_STR,
    TOML_INT,
    TOML_FLOAT,
    TOML_BOOL,
    TOML_ITEM,  /* one string of an array of strings: one call an item, same path */
    TOML_EMPTY, /* an array without elements */
    TOML_OTHER, /* a date, or an array of anything else */
};

struct toml_value {
    struct str path; /* "server.port"; in the second [[model]]: "model[1].id" */
    enum toml_type type;
    struct str s; /* TOML_STR, TOML_ITEM */
    int64_t i;
    double f;
    bool b;
    bool first; /* TOML_ITEM: the array begins with it */
    int line;
};

/* Call `on_value` for each value; tables come in alphabetical order of their keys, arrays in
 * theirs. A non-zero return stops the walk and is returned. Borrowed strings are valid during the
 * call. ERR_PARSE with line and column for bad TOML, ERR_NOMEM. */
int toml_walk(struct str text, int (*on_value)(void *ud, const struct toml_value *value), void *ud,
              struct err *ret_err);

#ifdef __cplusplus
}
#endif

#endif
