/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that check a chat request share. Private to them. */
#ifndef DARKBLOOM_PROTO_CHAT_IMPL_H
#define DARKBLOOM_PROTO_CHAT_IMPL_H

#include <yyjson.h>

#include "base/arena.h"
#include "proto/api_error.h"

enum {
    CHAT_MEMBERS_MAX = 128, /* of the body, of a message, of a part */
    CHAT_SHOWN_BYTES = 40   /* of a foreign word in an error's text */
};

/* A field of an object; NULL when absent or null. */
yyjson_val *chat_get(yyjson_val *obj, const char *name);

/* API_BAD_TYPE: "NAME must be WANT". ERR_DENIED. */
int chat_bad_type(struct api_error *e, const char *name, const char *want);

/* Messages on their way through the check. */
struct chat_checked {
    struct arena *region;
    struct api_error *e;
    const char *beyond_text; /* the first place that asks for more than text, in the region */
};

/* One message: role, content, parts. 0, or ERR_DENIED with the error. */
int chat_check_message(struct chat_checked *c, yyjson_val *msg, size_t index);

#endif
