/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that check a chat request share. Private to them. */
#ifndef DARKBLOOM_PROTO_CHAT_IMPL_H
#define DARKBLOOM_PROTO_CHAT_IMPL_H

#include "proto/chat.h"
#include "proto/span.h"

enum {
    CHAT_MEMBERS_MAX = 128, /* of the body, of a message, of a part */
    CHAT_SHOWN_BYTES = 40   /* of a foreign word in an error's text */
};

/* The fields that limit an answer's tokens. */
enum { CHAT_LIMIT_FIELDS = 3 };
extern const char *const chat_limit_fields[CHAT_LIMIT_FIELDS];

/* The members of one object, in order. */
struct chat_members {
    size_t n;
    struct span_member items[CHAT_MEMBERS_MAX];
};

/* Messages on their way through the check. */
struct chat_checked {
    struct arena *region;
    struct api_error *e;
    const char *beyond_text; /* the first place that asks for more than text, in the region */
    size_t null_contents;    /* messages of an assistant that say nothing: see chat_null_content */
    size_t message, part;    /* where the check stands; CHAT_NOWHERE: in none */
    bool keyed;
    uint8_t key[16]; /* of the hash that finds names that stand twice; drawn when first needed */
};

#define CHAT_NOWHERE SIZE_MAX

enum { CHAT_WHERE_BYTES = 80 };

/* "messages[1].content[0]", "messages[1].role" (`field` ".role", or ""), or "" outside of messages;
 * made only for errors, since bodies have up to 200,000 messages. Returns its buffer. */
const char *chat_where(const struct chat_checked *c, const char *field,
                       char ret_text[static CHAT_WHERE_BYTES]);

/* The value of a member; .p NULL when it is absent or null. */
struct str chat_get(const struct chat_members *m, const char *name);

/* Take the members of the object that begins at text.p. Refused, with ERR_DENIED: more than
 * CHAT_MEMBERS_MAX of them, a name that stands twice or is written with escapes. *ret_end: bytes up
 * to the object's end. */
int chat_take_members(struct chat_checked *c, struct str text, struct chat_members *ret_members,
                      size_t *ret_end);
/* The last part of that, for members already taken. */
int chat_check_names(struct chat_checked *c, const struct chat_members *m);

/* API_BAD_TYPE: "NAME must be WANT". ERR_DENIED. */
int chat_bad_type(struct api_error *e, const char *name, const char *want);

static inline bool chat_is_str(struct str value)
{
    return value.p && value.n > 0 && value.p[0] == '"';
}

static inline bool chat_is_number(struct str value)
{
    return value.n > 0 && (value.p[0] == '-' || (value.p[0] >= '0' && value.p[0] <= '9'));
}

/* chat_form.c: what the answer is to look like: tools, response_format, logprobs, logit_bias. What
 * no engine here can do goes to c->beyond_text. 0, or ERR_DENIED with the error in `c`. */
int chat_take_form(const struct chat_members *body, struct chat_checked *c, struct chat_request *r);

/* The array of messages: role, content, parts of each. 0, or ERR_DENIED with the error. */
int chat_check_messages(struct chat_checked *c, struct str messages, size_t *ret_n);

/* "content": null in an assistant's message that calls nothing (R18): SDKs send it back as they got
 * it. The span of its null; .p NULL: the message is none of these. */
struct str chat_null_content(const struct chat_members *message);

#endif
