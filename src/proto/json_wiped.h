/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for parse trees of prompts and answers: the heap's, wiped when it is given back, since a
 * tree holds a copy of the text. Any thread. */
#ifndef DARKBLOOM_PROTO_JSON_WIPED_H
#define DARKBLOOM_PROTO_JSON_WIPED_H

#include <yyjson.h>

/* For yyjson's functions that take an allocator. */
yyjson_alc json_wiped_alc(void);

#endif
