/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a JSON schema may be turned into a grammar: consumers write schemas, and the library
 * follows them without a bound of its own, accepts any string where it does not know a pattern, and
 * is silent about words that it does not know. Time is linear in the schema's bytes, but for
 * references, whose steps are counted. Any thread. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_SCHEMA_CHECK_H
#define DARKBLOOM_PROVIDER_ENGINE_SCHEMA_CHECK_H

#include "base/str.h"
#include "provider/engine/engine_port.h"

enum {
    SCHEMA_MAX_BYTES = 64 << 10,
    SCHEMA_MAX_DEPTH = 32,      /* of arrays and objects, the schema itself included */
    SCHEMA_MAX_VALUES = 4096,   /* in all */
    SCHEMA_MAX_PROPERTIES = 64, /* of one object */
    SCHEMA_MAX_REPEATS = 1000,  /* items or characters, also where one counts inside another */
    SCHEMA_MAX_STEPS = 4096,    /* along $ref, allOf, anyOf and oneOf */
    SCHEMA_MAX_PATTERN_BYTES = 256
};

/* ENGINE_WRONG_NONE, or why not. `whole`: the answer must fit the schema, so that words which
 * no grammar can follow are wrong; those of a tool's parameters are hints. */
enum engine_wrong schema_check(struct str schema, bool whole);

/* Whether a grammar can follow a regular expression: from ^ to $, of literals, `.`, classes,
 * groups, `|` and repetitions of up to SCHEMA_MAX_REPEATS in all. */
bool schema_pattern_ok(struct str pattern);

#endif
