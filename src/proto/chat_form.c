/* SPDX-License-Identifier: Apache-2.0 */
/* What a chat request says about the form of its answer. The text is known to be JSON. */
#include <stdlib.h>

#include "proto/chat_impl.h"

/* --- tools --- */

static int chat_take_tools(const struct chat_members *body, struct chat_checked *c,
                           struct chat_request *r)
{
    struct str tools = chat_get(body, "tools"), tool;
    size_t cursor = 0, n = 0;

    if (!tools.p)
        return 0;
    if (tools.p[0] != '[')
        return chat_bad_type(c->e, "tools", "an array");
    for (; span_next_element(tools, &cursor, &tool) > 0; n++) {
        if (tool.p[0] != '{')
            return chat_bad_type(c->e, "tools", "an array of objects {type, function}");
    }
    r->tools = n > 0 ? tools : (struct str){0};
    return 0;
}

static int chat_take_tool_choice(const struct chat_members *body, struct chat_checked *c,
                                 struct chat_request *r)
{
    static const char *const words[] = {"none", "auto", "required"};
    struct str choice = chat_get(body, "tool_choice");
    bool known = !choice.p || choice.p[0] == '{';

    for (size_t i = 0; !known && i < sizeof words / sizeof words[0]; i++)
        known = span_text_is(choice, words[i]);
    if (choice.p && choice.p[0] != '{' && !chat_is_str(choice))
        return chat_bad_type(c->e, "tool_choice", "a string or an object");
    if (!known)
        return api_error_set(
            c->e, API_BAD_VALUE, "tool_choice",
            "tool_choice is `%.*s`, but must be none, auto, required or an object "
            "that names a function",
            STR_ARG(str_cut((struct str){choice.p + 1, choice.n - 2}, CHAT_SHOWN_BYTES)));
    if (!r->tools.p && choice.p && !span_text_is(choice, "none") && !span_text_is(choice, "auto"))
        return api_error_set(c->e, API_BAD_VALUE, "tool_choice",
                             "tool_choice asks for a call, but tools is empty; send the tools too");
    r->tool_choice = choice;
    return 0;
}

/* --- response_format --- */

/* A member of an object; .p NULL: absent or null. */
static struct str chat_member_of(struct str object, const char *name)
{
    struct str want = str_from(name), value = {0};
    struct span_member m;
    size_t cursor = 0;

    while (span_next(object, &cursor, &m) > 0) {
        if (span_same_text(m.key, want))
            value = m.value;
    }
    if (str_eq(value, STR("null")))
        value = (struct str){0};
    return value;
}

static int chat_take_schema(struct str format, struct chat_checked *c, struct chat_request *r)
{
    struct str named = chat_member_of(format, "json_schema");

    if (!named.p || named.p[0] != '{')
        return chat_bad_type(c->e, "response_format.json_schema", "an object with a schema");
    r->schema = chat_member_of(named, "schema");
    if (!r->schema.p || r->schema.p[0] != '{')
        return chat_bad_type(c->e, "response_format.json_schema.schema", "an object");
    return 0;
}

static int chat_take_response_format(const struct chat_members *body, struct chat_checked *c,
                                     struct chat_request *r)
{
    struct str format = chat_get(body, "response_format"), type;

    if (!format.p)
        return 0;
    type = format.p[0] == '{' ? chat_member_of(format, "type") : (struct str){0};
    if (!chat_is_str(type))
        return chat_bad_type(c->e, "response_format", "an object with a type");
    if (span_text_is(type, "text"))
        return 0;
    if (!span_text_is(type, "json_object") && !span_text_is(type, "json_schema")) {
        if (!c->beyond_text)
            c->beyond_text = "response_format";
        return 0;
    }
    r->response_format = format;
    return span_text_is(type, "json_schema") ? chat_take_schema(format, c, r) : 0;
}

/* --- logit_bias --- */

static int chat_bad_bias(struct chat_checked *c)
{
    return api_error_set(c->e, API_BAD_VALUE, "logit_bias",
                         "logit_bias must map up to %d token ids (whole numbers from 0) to numbers "
                         "from -100 to 100",
                         CHAT_MAX_BIASES);
}

static int chat_take_bias(const struct span_member *m, struct chat_bias *ret_bias)
{
    int64_t token;
    double add;

    if (str_to_i64(m->key, &token) < 0 || token < 0 || token > INT32_MAX ||
        !chat_is_number(m->value))
        return ERR_RANGE;
    add = strtod(m->value.p, NULL); /* ends with the number: something follows it in the body */
    if (!(add >= -100 && add <= 100))
        return ERR_RANGE;
    *ret_bias = (struct chat_bias){(int32_t)token, (float)add};
    return 0;
}

static int chat_take_biases(const struct chat_members *body, struct chat_checked *c,
                            struct chat_request *r)
{
    struct str map = chat_get(body, "logit_bias");
    struct chat_bias *biases;
    struct span_member m;
    size_t cursor = 0, n = 0;

    if (!map.p)
        return 0;
    if (map.p[0] != '{')
        return chat_bad_type(c->e, "logit_bias", "an object");
    while (span_next(map, &cursor, &m) > 0)
        n++;
    if (n > CHAT_MAX_BIASES)
        return chat_bad_bias(c);
    biases = arena_array(c->region, struct chat_bias, n + 1);
    if (!biases)
        return api_error_set(c->e, API_INTERNAL, NULL, "out of memory");
    for (cursor = 0; span_next(map, &cursor, &m) > 0; r->n_biases++) {
        if (chat_take_bias(&m, &biases[r->n_biases]) < 0)
            return chat_bad_bias(c);
    }
    r->biases = biases;
    return 0;
}

/* --- the rest --- */

static int chat_take_flag(const struct chat_members *body, struct chat_checked *c, const char *name,
                          bool fallback, bool *ret_flag)
{
    struct str value = chat_get(body, name);

    *ret_flag = value.p ? str_eq(value, STR("true")) : fallback;
    return !value.p || *ret_flag || str_eq(value, STR("false"))
               ? 0
               : chat_bad_type(c->e, name, "true or false");
}

static int chat_take_flags(const struct chat_members *body, struct chat_checked *c,
                           struct chat_request *r)
{
    bool parallel;

    if (chat_take_flag(body, c, "logprobs", false, &r->logprobs) < 0 ||
        chat_take_flag(body, c, "parallel_tool_calls", true, &parallel) < 0)
        return ERR_DENIED;
    r->no_parallel_calls = !parallel;
    if (r->top_logprobs > 0 && !r->logprobs)
        return api_error_set(c->e, API_BAD_VALUE, "top_logprobs",
                             "top_logprobs needs \"logprobs\":true");
    return 0;
}

static int chat_take_template(const struct chat_members *body, struct chat_checked *c,
                              struct chat_request *r)
{
    r->template_kwargs = chat_get(body, "chat_template_kwargs");
    r->reasoning_effort = chat_get(body, "reasoning_effort");
    if (r->template_kwargs.p && r->template_kwargs.p[0] != '{')
        return chat_bad_type(c->e, "chat_template_kwargs", "an object");
    if (r->reasoning_effort.p && !chat_is_str(r->reasoning_effort))
        return chat_bad_type(c->e, "reasoning_effort", "a string");
    return 0;
}

int chat_take_form(const struct chat_members *body, struct chat_checked *c, struct chat_request *r)
{
    static int (*const steps[])(const struct chat_members *body, struct chat_checked *c,
                                struct chat_request *r) = {
        chat_take_tools,  chat_take_tool_choice, chat_take_response_format,
        chat_take_biases, chat_take_flags,       chat_take_template};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof steps / sizeof steps[0]; i++)
        rc = steps[i](body, c, r);
    r->beyond_text = c->beyond_text;
    return rc;
}
