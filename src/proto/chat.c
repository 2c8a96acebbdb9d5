/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/chat.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/beyond_text.h"
#include "proto/chat_impl.h"
#include "proto/json_check.h"

struct chat_parse {
    struct chat_request *r;
    struct api_error *e;
    struct chat_members body; /* set last: not cleared */
    struct chat_checked checked;
};

static int chat_wrong(struct chat_parse *p, const char *name, const char *want)
{
    return chat_bad_type(p->e, name, want);
}

/* --- the text itself --- */

/* One level for the body, and what the span scanner follows in it. */
enum { CHAT_MAX_DEPTH = 1 + SPAN_MAX_DEPTH };

static int chat_open_body(struct chat_parse *p, struct str body)
{
    const char *why = "it is empty";
    int rc = ERR_PARSE;

    if (body.n > 0)
        rc = json_check_members(body, CHAT_MAX_DEPTH, p->body.items, CHAT_MEMBERS_MAX, &p->body.n,
                                &why);
    if (rc == ERR_PARSE && body.n && !str_is_utf8(body))
        return api_error_set(p->e, API_BAD_UTF8, NULL, "the body is not valid UTF-8");
    if (rc == ERR_PARSE)
        return api_error_set(p->e, API_BAD_JSON, NULL, "the body is not valid JSON: %s", why);
    if (rc == ERR_TYPE)
        return api_error_set(p->e, API_BAD_JSON, NULL, "the body must be a JSON object");
    if (rc == ERR_RANGE)
        return api_error_set(p->e, API_BAD_REQUEST, NULL, "the body has more than %d fields",
                             CHAT_MEMBERS_MAX);
    if (rc < 0)
        return api_error_set(p->e, API_BAD_REQUEST, NULL,
                             "the body is nested deeper than %d levels", SPAN_MAX_DEPTH);
    return chat_check_names(&p->checked, &p->body);
}

/* The text of a string of `bytes`, in the region. */
static int chat_keep(struct chat_parse *p, struct str value, size_t bytes, struct str *ret)
{
    char *text = arena_alloc(p->checked.region, bytes + 1);

    if (!text)
        return api_error_set(p->e, API_INTERNAL, NULL, "out of memory");
    span_text_copy(value, text);
    *ret = (struct str){text, bytes};
    return 0;
}

/* --- model and messages --- */

static int chat_take_model(struct chat_parse *p)
{
    struct str value = chat_get(&p->body, "model");
    size_t n = span_text_bytes(value);

    if (!value.p)
        return api_error_set(p->e, API_MISSING_FIELD, "model",
                             "model is required; GET /v1/models lists what there is");
    if (!chat_is_str(value))
        return chat_wrong(p, "model", "a string");
    if (n > 0 && n <= CHAT_MAX_MODEL_BYTES) {
        if (chat_keep(p, value, n, &p->r->model) < 0)
            return ERR_DENIED;
        if (!memchr(p->r->model.p, 0, n))
            return 0;
    }
    return api_error_set(p->e, API_BAD_VALUE, "model",
                         "model has %zu bytes, allowed are 1 to %d without NUL", n,
                         CHAT_MAX_MODEL_BYTES);
}

/* The bytes of a member that a template may print, null included. */
static size_t chat_bytes_of(const struct chat_parse *p, const char *name)
{
    for (size_t i = 0; i < p->body.n; i++) {
        if (str_is(p->body.items[i].key, name))
            return p->body.items[i].value.n;
    }
    return 0;
}

static int chat_take_messages(struct chat_parse *p)
{
    struct str messages = chat_get(&p->body, "messages");

    if (!messages.p)
        return api_error_set(p->e, API_MISSING_FIELD, "messages", "messages is required");
    if (messages.p[0] != '[')
        return chat_wrong(p, "messages", "an array");
    if (chat_check_messages(&p->checked, messages, &p->r->n_messages) < 0)
        return ERR_DENIED;
    if (p->r->n_messages == 0)
        return api_error_set(p->e, API_BAD_VALUE, "messages",
                             "messages is empty; send at least one message");
    p->r->beyond_text = p->checked.beyond_text;
    p->r->null_contents = p->checked.null_contents;
    p->r->messages = messages;
    p->r->prompt_bytes = messages.n + chat_bytes_of(p, "tools") + chat_bytes_of(p, "functions") +
                         chat_bytes_of(p, "response_format");
    return 0;
}

/* --- numbers --- */

/* Whether a number is written without fraction and exponent. */
static bool chat_is_whole(struct str value)
{
    if (!chat_is_number(value))
        return false;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '.' || value.p[i] == 'e' || value.p[i] == 'E')
            return false;
    }
    return true;
}

/* Inside the body something always follows a number, and ends it for strtod too. */
static double chat_number(struct str value)
{
    return strtod(value.p, NULL);
}

#define AT(field) offsetof(struct chat_request, field)

static const struct {
    const char *name;
    bool whole;
    double min, max;
    size_t offset;
    const char *advice;
} chat_numbers[] = {
    {"temperature", false, 0, 2, AT(temperature), "0 is greedy, 1 the default"},
    {"top_p", false, 0, 1, AT(top_p), "1 is the default"},
    {"top_k", true, 0, 1000000, AT(top_k), "0 switches it off"},
    {"min_p", false, 0, 1, AT(min_p), "0 switches it off"},
    {"frequency_penalty", false, -2, 2, AT(frequency_penalty), "0 is the default"},
    {"presence_penalty", false, -2, 2, AT(presence_penalty), "0 is the default"},
    {"repetition_penalty", false, 0.01, 2, AT(repetition_penalty), "1 is the default"},
    {"top_logprobs", true, 0, CHAT_MAX_TOP_LOGPROBS, AT(top_logprobs), "0 is the default"},
};

static int chat_take_numbers(struct chat_parse *p)
{
    p->r->temperature = p->r->top_p = p->r->repetition_penalty = 1;
    for (size_t i = 0; i < sizeof chat_numbers / sizeof chat_numbers[0]; i++) {
        const char *name = chat_numbers[i].name;
        struct str value = chat_get(&p->body, name);
        char *at = (char *)p->r + chat_numbers[i].offset;
        double d;

        if (!value.p)
            continue;
        if (chat_numbers[i].whole ? !chat_is_whole(value) : !chat_is_number(value))
            return chat_wrong(p, name, chat_numbers[i].whole ? "a whole number" : "a number");
        d = chat_number(value);
        if (!(d >= chat_numbers[i].min && d <= chat_numbers[i].max))
            return api_error_set(p->e, API_BAD_VALUE, name,
                                 "%s is %.*s, but must be from %g to %g; %s", name,
                                 STR_ARG(str_cut(value, CHAT_SHOWN_BYTES)), chat_numbers[i].min,
                                 chat_numbers[i].max, chat_numbers[i].advice);
        if (chat_numbers[i].whole)
            *(int64_t *)(void *)at = (int64_t)d;
        else
            *(double *)(void *)at = d;
    }
    return 0;
}

/* The smallest that is given: what is reserved for must be what can be generated. */
static int chat_take_limits(struct chat_parse *p)
{
    for (size_t i = 0; i < CHAT_LIMIT_FIELDS; i++) {
        const char *name = chat_limit_fields[i];
        struct str value = chat_get(&p->body, name);
        int64_t n = 0;

        if (!value.p)
            continue;
        if (!chat_is_number(value) ||
            (!chat_is_whole(value) && chat_number(value) < CHAT_MAX_TOKENS_LIMIT))
            return chat_wrong(p, name, "a whole number");
        if (!chat_is_whole(value) || str_to_i64(value, &n) < 0 || n < 1 ||
            n > CHAT_MAX_TOKENS_LIMIT)
            return api_error_set(p->e, API_BAD_VALUE, name,
                                 "%s is %.*s, but must be from 1 to %d; leave it out for the "
                                 "default of %d",
                                 name, STR_ARG(str_cut(value, CHAT_SHOWN_BYTES)),
                                 CHAT_MAX_TOKENS_LIMIT, CHAT_DEFAULT_MAX_TOKENS);
        if (p->r->max_tokens == 0 || n < p->r->max_tokens)
            p->r->max_tokens = n;
    }
    return 0;
}

/* --- the rest --- */

static int chat_take_stop(struct chat_parse *p, struct str value)
{
    size_t n = span_text_bytes(value);

    if (!chat_is_str(value))
        return chat_wrong(p, "stop", "a string or an array of strings");
    if (n == 0)
        return api_error_set(p->e, API_BAD_VALUE, "stop", "stop contains an empty string");
    if (n > CHAT_MAX_STOP_BYTES)
        return api_error_set(p->e, API_BAD_VALUE, "stop",
                             "a stop string has %zu bytes, the limit is %d", n,
                             CHAT_MAX_STOP_BYTES);
    return chat_keep(p, value, n, &p->r->stops[p->r->n_stops++]);
}

static int chat_take_stops(struct chat_parse *p)
{
    struct str value = chat_get(&p->body, "stop"), stop;
    size_t cursor = 0, n = 0;

    if (!value.p)
        return 0;
    if (value.p[0] != '[')
        return chat_take_stop(p, value);
    while (span_next_element(value, &cursor, &stop) > 0)
        n++;
    if (n > CHAT_MAX_STOPS)
        return api_error_set(p->e, API_BAD_VALUE, "stop", "stop has %zu strings, the limit is %d",
                             n, CHAT_MAX_STOPS);
    for (cursor = 0; span_next_element(value, &cursor, &stop) > 0;) {
        if (chat_take_stop(p, stop) < 0)
            return ERR_DENIED;
    }
    return 0;
}

/* A field that is true or false; *ret false when it is absent. */
static int chat_take_bool(struct chat_parse *p, const char *name, struct str value, bool *ret)
{
    *ret = str_eq(value, STR("true"));
    return !value.p || *ret || str_eq(value, STR("false")) ? 0
                                                           : chat_wrong(p, name, "true or false");
}

static int chat_take_stream(struct chat_parse *p)
{
    struct str options = chat_get(&p->body, "stream_options"), usage = {0};
    struct span_member m;
    size_t cursor = 0;

    if (chat_take_bool(p, "stream", chat_get(&p->body, "stream"), &p->r->stream) < 0)
        return ERR_DENIED;
    if (!options.p)
        return 0;
    if (options.p[0] != '{')
        return chat_wrong(p, "stream_options", "an object");
    while (span_next(options, &cursor, &m) > 0) {
        if (span_same_text(m.key, STR("include_usage")))
            usage = m.value;
    }
    if (str_eq(usage, STR("null")))
        return 0;
    return chat_take_bool(p, "stream_options.include_usage", usage, &p->r->include_usage);
}

/* The 64 bits of a whole number, signed or not; 0 or ERR_RANGE. */
static int chat_take_bits(struct str value, int64_t *ret)
{
    if (str_to_i64(value, ret) == 0)
        return 0;
    errno = 0;
    *ret = (int64_t)strtoull(value.p, NULL, 10); /* ends with the number, as strtod does */
    return errno == 0 && value.p[0] != '-' ? 0 : ERR_RANGE;
}

static int chat_take_others(struct chat_parse *p)
{
    struct str n = chat_get(&p->body, "n"), seed = chat_get(&p->body, "seed");
    struct str user = chat_get(&p->body, "user");

    if (user.p && !chat_is_str(user))
        return chat_wrong(p, "user", "a string");
    if (n.p && !chat_is_whole(n))
        return chat_wrong(p, "n", "a whole number");
    if (n.p && !str_eq(n, STR("1")))
        return api_error_set(p->e, API_UNSUPPORTED, "n",
                             "n must be 1; send the request several times for several answers");
    if (seed.p && (!chat_is_whole(seed) || chat_take_bits(seed, &p->r->seed) < 0))
        return chat_wrong(p, "seed", "a whole number of 64 bits");
    p->r->has_seed = seed.p != NULL;
    return 0;
}

static int chat_take_answer(struct chat_parse *p)
{
    return chat_take_form(&p->body, &p->checked, p->r);
}

static int chat_note_fields(struct chat_parse *p)
{
    for (size_t i = 0; i < p->body.n && !p->r->beyond_text; i++)
        p->r->beyond_text = beyond_text_field(p->body.items[i].key, p->body.items[i].value);
    return 0;
}

int chat_request_parse(struct str body, struct arena *region, struct chat_request *ret_request,
                       struct api_error *ret_error)
{
    static int (*const steps[])(struct chat_parse * p) = {
        chat_take_model,  chat_take_messages, chat_take_numbers, chat_take_limits, chat_take_stops,
        chat_take_stream, chat_take_others,   chat_take_answer,  chat_note_fields};
    struct chat_parse p;
    int rc;

    p.r = ret_request;
    p.e = ret_error;
    p.checked = (struct chat_checked){
        .region = region, .e = ret_error, .message = CHAT_NOWHERE, .part = CHAT_NOWHERE};
    *ret_request = (struct chat_request){.body = body};
    rc = chat_open_body(&p, body);
    for (size_t i = 0; rc == 0 && i < sizeof steps / sizeof steps[0]; i++)
        rc = steps[i](&p);
    return rc;
}
