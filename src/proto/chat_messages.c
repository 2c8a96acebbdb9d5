/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for a chat request's messages. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "proto/chat_impl.h"

enum { WHERE_BYTES = 64 };

yyjson_val *chat_get(yyjson_val *obj, const char *name)
{
    yyjson_val *v = yyjson_obj_get(obj, name);

    return yyjson_is_null(v) ? NULL : v;
}

int chat_bad_type(struct api_error *e, const char *name, const char *want)
{
    return api_error_set(e, API_BAD_TYPE, name, "%s must be %s", name, want);
}

/* Of two members with one name some parsers take the first and others the last: what is checked
 * here must be what the engine reads. */
static int check_unique(struct chat_checked *c, yyjson_val *obj, const char *where)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(obj);
    yyjson_val *key;

    if (yyjson_obj_size(obj) > CHAT_MEMBERS_MAX)
        return api_error_set(c->e, API_BAD_REQUEST, where, "%s has more than %d fields", where,
                             CHAT_MEMBERS_MAX);
    while ((key = yyjson_obj_iter_next(&it))) {
        struct str name = {yyjson_get_str(key), yyjson_get_len(key)};

        /* The first of that name is another one. */
        if (yyjson_obj_getn(obj, name.p, name.n) != yyjson_obj_iter_get_val(key))
            return api_error_set(c->e, API_BAD_REQUEST, where,
                                 "the field `%.*s` of %s stands twice; send it once",
                                 STR_ARG(str_cut(name, CHAT_SHOWN_BYTES)), where);
    }
    return 0;
}

/* The first place of a message that asks for more than text is the one named. */
static int note_beyond(struct chat_checked *c, const char *where)
{
    if (!c->beyond_text)
        c->beyond_text = arena_dup(c->region, str_from(where)).p;
    return c->beyond_text ? 0 : api_error_set(c->e, API_INTERNAL, NULL, "out of memory");
}

static int check_part(struct chat_checked *c, yyjson_val *part, const char *where)
{
    yyjson_val *type = chat_get(part, "type");

    if (!yyjson_is_obj(part) || !yyjson_is_str(type))
        return chat_bad_type(c->e, where, "a part {type, text}");
    if (check_unique(c, part, where) < 0)
        return ERR_DENIED;
    if (!yyjson_equals_str(type, "text"))
        return note_beyond(c, where);
    return yyjson_is_str(chat_get(part, "text"))
               ? 0
               : chat_bad_type(c->e, where, "a part with a text string");
}

static int check_parts(struct chat_checked *c, yyjson_val *content, size_t index)
{
    char where[WHERE_BYTES];
    yyjson_arr_iter it;
    yyjson_val *part;
    int rc = 0;

    yyjson_arr_iter_init(content, &it);
    for (size_t i = 0; rc == 0 && (part = yyjson_arr_iter_next(&it)); i++) {
        snprintf(where, sizeof where, "messages[%zu].content[%zu]", index, i);
        rc = check_part(c, part, where);
    }
    return rc;
}

/* The field that makes calls, or NULL. An empty list of calls beside a content is none. */
static const char *calls_field(yyjson_val *msg)
{
    yyjson_val *calls = chat_get(msg, "tool_calls");

    if (calls && !(yyjson_is_arr(calls) && yyjson_arr_size(calls) == 0))
        return "tool_calls";
    return chat_get(msg, "function_call") ? "function_call" : NULL;
}

static int check_content(struct chat_checked *c, yyjson_val *msg, size_t index)
{
    yyjson_val *content = chat_get(msg, "content");
    const char *calls = calls_field(msg);
    char where[WHERE_BYTES];
    int rc;

    if (calls) {
        snprintf(where, sizeof where, "messages[%zu].%s", index, calls);
        rc = note_beyond(c, where);
        if (rc < 0)
            return rc;
    }
    snprintf(where, sizeof where, "messages[%zu].content", index);
    if (!content)
        return calls ? 0 : api_error_set(c->e, API_MISSING_FIELD, where, "%s is required", where);
    if (yyjson_is_str(content))
        return 0;
    if (!yyjson_is_arr(content) || yyjson_arr_size(content) == 0)
        return chat_bad_type(c->e, where, "a string or a non-empty array of parts");
    return check_parts(c, content, index);
}

int chat_check_message(struct chat_checked *c, yyjson_val *msg, size_t index)
{
    static const char *const roles[] = {"system",    "developer", "user",
                                        "assistant", "tool",      "function"};
    char where[WHERE_BYTES];
    yyjson_val *role = chat_get(msg, "role");
    bool known = false;

    snprintf(where, sizeof where, "messages[%zu]", index);
    if (!yyjson_is_obj(msg))
        return chat_bad_type(c->e, where, "an object with role and content");
    if (check_unique(c, msg, where) < 0)
        return ERR_DENIED;
    snprintf(where, sizeof where, "messages[%zu].role", index);
    if (!role)
        return api_error_set(c->e, API_MISSING_FIELD, where, "%s is required", where);
    if (!yyjson_is_str(role))
        return chat_bad_type(c->e, where, "a string");
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        known |= yyjson_equals_str(role, roles[i]);
    if (!known)
        return api_error_set(c->e, API_BAD_VALUE, where,
                             "%s is `%.*s`, but must be one of system, developer, user, "
                             "assistant, tool, function",
                             where,
                             STR_ARG(str_cut(str_from(yyjson_get_str(role)), CHAT_SHOWN_BYTES)));
    return check_content(c, msg, index);
}
