/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for a chat request's messages. The text is known to be JSON. */
#include "proto/chat_impl.h"

int chat_bad_type(struct api_error *e, const char *name, const char *want)
{
    return api_error_set(e, API_BAD_TYPE, name, "%s must be %s", name, want);
}

/* API_BAD_TYPE of the place that the check stands at, or of a field of the message. */
static int chat_bad_place(struct chat_checked *c, const char *field, const char *want)
{
    char where[CHAT_WHERE_BYTES];

    return chat_bad_type(c->e, chat_where(c, field, where), want);
}

static int chat_lacks(struct chat_checked *c, const char *field)
{
    char where[CHAT_WHERE_BYTES];

    return api_error_set(c->e, API_MISSING_FIELD, chat_where(c, field, where), "%s is required",
                         where);
}

/* The first place of a message that asks for more than text is the one named. */
static int chat_note_beyond(struct chat_checked *c, const char *field)
{
    char where[CHAT_WHERE_BYTES];

    if (!c->beyond_text)
        c->beyond_text = arena_dup(c->region, str_from(chat_where(c, field, where))).p;
    return c->beyond_text ? 0 : api_error_set(c->e, API_INTERNAL, NULL, "out of memory");
}

/* --- content --- */

static int chat_check_part(struct chat_checked *c, struct str text, size_t *ret_end)
{
    struct chat_members part;
    struct str type;

    if (text.p[0] != '{')
        return chat_bad_place(c, "", "a part {type, text}");
    if (chat_take_members(c, text, &part, ret_end) < 0)
        return ERR_DENIED;
    type = chat_get(&part, "type");
    if (!chat_is_str(type))
        return chat_bad_place(c, "", "a part {type, text}");
    if (!span_text_is(type, "text"))
        return chat_note_beyond(c, "");
    return chat_is_str(chat_get(&part, "text"))
               ? 0
               : chat_bad_place(c, "", "a part with a text string");
}

static int chat_check_parts(struct chat_checked *c, struct str parts)
{
    size_t cursor = 0, n = 0, end = 0;

    while (span_next_start(parts, &cursor) > 0) {
        struct str rest = {parts.p + cursor, parts.n - cursor};
        int rc;

        c->part = n++;
        rc = chat_check_part(c, rest, &end);
        if (rc < 0)
            return rc;
        cursor += end;
    }
    c->part = CHAT_NOWHERE;
    return n > 0 ? 0 : chat_bad_place(c, ".content", "a string or a non-empty array of parts");
}

/* Whether an array has no element. */
static bool chat_is_empty(struct str value)
{
    size_t cursor = 0;

    return value.p[0] == '[' && span_next_start(value, &cursor) == 0;
}

/* The field that makes calls, or NULL. An empty list of calls is none. */
static const char *chat_calls_field(const struct chat_members *message)
{
    struct str calls = chat_get(message, "tool_calls");

    if (calls.p && !chat_is_empty(calls))
        return ".tool_calls";
    return chat_get(message, "function_call").p ? ".function_call" : NULL;
}

struct str chat_null_content(const struct chat_members *message)
{
    if (!span_text_is(chat_get(message, "role"), "assistant") || chat_calls_field(message))
        return (struct str){0};
    for (size_t i = 0; i < message->n; i++) {
        if (str_eq(message->items[i].key, STR("content")) &&
            str_eq(message->items[i].value, STR("null")))
            return message->items[i].value;
    }
    return (struct str){0};
}

static int chat_check_content(struct chat_checked *c, const struct chat_members *message)
{
    struct str content = chat_get(message, "content");
    const char *calls = chat_calls_field(message);

    if (calls && strcmp(calls, ".function_call") == 0 && chat_note_beyond(c, calls) < 0)
        return ERR_DENIED;
    if (content.p && content.p[0] == '[')
        return chat_check_parts(c, content);
    if (chat_is_str(content))
        return 0;
    if (content.p)
        return chat_bad_place(c, ".content", "a string or a non-empty array of parts");
    if (calls)
        return 0;
    if (!chat_null_content(message).p)
        return chat_lacks(c, ".content");
    c->null_contents++;
    return 0;
}

/* --- messages --- */

static int chat_check_role(struct chat_checked *c, struct str role)
{
    static const char *const roles[] = {"user",      "assistant", "system",
                                        "developer", "tool",      "function"};
    char where[CHAT_WHERE_BYTES];

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (span_text_is(role, roles[i]))
            return 0;
    }
    if (!role.p)
        return chat_lacks(c, ".role");
    if (!chat_is_str(role))
        return chat_bad_place(c, ".role", "a string");
    role = str_cut((struct str){role.p + 1, role.n - 2}, CHAT_SHOWN_BYTES);
    return api_error_set(c->e, API_BAD_VALUE, chat_where(c, ".role", where),
                         "%s is `%.*s`, but must be one of system, developer, user, assistant, "
                         "tool, function",
                         where, STR_ARG(role));
}

static int chat_check_message(struct chat_checked *c, struct str text, size_t *ret_end)
{
    struct chat_members message;

    if (text.p[0] != '{')
        return chat_bad_place(c, "", "an object with role and content");
    if (chat_take_members(c, text, &message, ret_end) < 0 ||
        chat_check_role(c, chat_get(&message, "role")) < 0)
        return ERR_DENIED;
    return chat_check_content(c, &message);
}

int chat_check_messages(struct chat_checked *c, struct str messages, size_t *ret_n)
{
    size_t cursor = 0, n = 0, end = 0;

    while (span_next_start(messages, &cursor) > 0) {
        struct str rest = {messages.p + cursor, messages.n - cursor};
        int rc;

        c->message = n++;
        c->part = CHAT_NOWHERE;
        rc = chat_check_message(c, rest, &end);
        if (rc < 0)
            return rc;
        cursor += end;
    }
    *ret_n = n;
    return 0;
}
