/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/chat.h"

#include <stdio.h>
#include <yyjson.h>

#include "proto/beyond_text.h"
#include "proto/chat_impl.h"
#include "proto/json_wiped.h"
#include "proto/span.h"

struct parse {
    struct arena *region;
    struct chat_request *r;
    struct api_error *e;
    struct span_member members[CHAT_MEMBERS_MAX];
    size_t n_members;
};

static int bad_type(struct parse *p, const char *name, const char *want)
{
    return chat_bad_type(p->e, name, want);
}

/* --- the text itself --- */

static int collect_members(struct parse *p, struct str body)
{
    size_t cursor = 0;
    struct span_member m;
    int rc;

    while ((rc = span_next(body, &cursor, &m)) > 0) {
        if (p->n_members == CHAT_MEMBERS_MAX)
            return api_error_set(p->e, API_BAD_REQUEST, NULL, "the body has more than %d fields",
                                 CHAT_MEMBERS_MAX);
        for (size_t i = 0; i < p->n_members; i++) {
            if (str_eq(p->members[i].key, m.key))
                return api_error_set(p->e, API_BAD_REQUEST, NULL,
                                     "the field `%.*s` stands twice; send it once",
                                     STR_ARG(str_cut(m.key, CHAT_SHOWN_BYTES)));
        }
        /* An escaped name could hide a second meaning from the splice below. */
        if (memchr(m.key.p, '\\', m.key.n))
            return api_error_set(p->e, API_BAD_REQUEST, NULL,
                                 "field names must be written without escapes");
        p->members[p->n_members++] = m;
    }
    /* The text is JSON by now, so only its depth can have stopped the scanner. */
    return rc == 0 ? 0
                   : api_error_set(p->e, API_BAD_REQUEST, NULL,
                                   "the body is nested deeper than %d levels", SPAN_MAX_DEPTH);
}

static struct str raw_of(const struct parse *p, const char *name)
{
    for (size_t i = 0; i < p->n_members; i++) {
        if (str_is(p->members[i].key, name))
            return p->members[i].value;
    }
    return (struct str){0};
}

static int open_body(struct parse *p, struct str body, yyjson_doc **ret_doc)
{
    yyjson_alc alc = json_wiped_alc();
    yyjson_read_err err;

    if (!str_is_utf8(body))
        return api_error_set(p->e, API_BAD_UTF8, NULL, "the body is not valid UTF-8");
    *ret_doc = body.n ? yyjson_read_opts((char *)body.p, body.n, 0, &alc, &err) : NULL;
    if (!*ret_doc)
        return api_error_set(p->e, API_BAD_JSON, NULL, "the body is not valid JSON: %s",
                             body.n ? err.msg : "it is empty");
    if (!yyjson_is_obj(yyjson_doc_get_root(*ret_doc)))
        return api_error_set(p->e, API_BAD_JSON, NULL, "the body must be a JSON object");
    return collect_members(p, body);
}

static int keep(struct parse *p, yyjson_val *v, struct str *ret)
{
    *ret = arena_dup(p->region, (struct str){yyjson_get_str(v), yyjson_get_len(v)});
    return ret->p ? 0 : api_error_set(p->e, API_INTERNAL, NULL, "out of memory");
}

/* --- model and messages --- */

static int take_model(struct parse *p, yyjson_val *root)
{
    yyjson_val *v = chat_get(root, "model");

    if (!v)
        return api_error_set(p->e, API_MISSING_FIELD, "model",
                             "model is required; GET /v1/models lists what there is");
    if (!yyjson_is_str(v))
        return bad_type(p, "model", "a string");
    if (yyjson_get_len(v) == 0 || yyjson_get_len(v) > CHAT_MAX_MODEL_BYTES ||
        memchr(yyjson_get_str(v), 0, yyjson_get_len(v)))
        return api_error_set(p->e, API_BAD_VALUE, "model",
                             "model has %zu bytes, allowed are 1 to %d without NUL",
                             yyjson_get_len(v), CHAT_MAX_MODEL_BYTES);
    return keep(p, v, &p->r->model);
}

static int take_messages(struct parse *p, yyjson_val *root)
{
    yyjson_val *v = chat_get(root, "messages");
    struct chat_checked checked = {.region = p->region, .e = p->e};
    yyjson_arr_iter it;
    yyjson_val *msg;
    size_t i = 0;

    if (!v)
        return api_error_set(p->e, API_MISSING_FIELD, "messages", "messages is required");
    if (!yyjson_is_arr(v))
        return bad_type(p, "messages", "an array");
    if (yyjson_arr_size(v) == 0)
        return api_error_set(p->e, API_BAD_VALUE, "messages",
                             "messages is empty; send at least one message");
    yyjson_arr_iter_init(v, &it);
    while ((msg = yyjson_arr_iter_next(&it))) {
        int rc = chat_check_message(&checked, msg, i++);

        if (rc < 0)
            return rc;
    }
    p->r->n_messages = i;
    p->r->beyond_text = checked.beyond_text;
    p->r->messages = raw_of(p, "messages");
    p->r->prompt_bytes = p->r->messages.n + raw_of(p, "tools").n + raw_of(p, "functions").n +
                         raw_of(p, "response_format").n;
    return 0;
}

/* --- numbers --- */

#define AT(field) offsetof(struct chat_request, field)

static const struct {
    const char *name;
    bool whole;
    double min, max;
    size_t offset;
    const char *advice;
} numbers[] = {
    {"temperature", false, 0, 2, AT(temperature), "0 is greedy, 1 the default"},
    {"top_p", false, 0, 1, AT(top_p), "1 is the default"},
    {"top_k", true, 0, 1000000, AT(top_k), "0 switches it off"},
    {"min_p", false, 0, 1, AT(min_p), "0 switches it off"},
    {"frequency_penalty", false, -2, 2, AT(frequency_penalty), "0 is the default"},
    {"presence_penalty", false, -2, 2, AT(presence_penalty), "0 is the default"},
};

static int take_numbers(struct parse *p, yyjson_val *root)
{
    p->r->temperature = p->r->top_p = 1;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        yyjson_val *v = chat_get(root, numbers[i].name);
        char *at = (char *)p->r + numbers[i].offset;
        double d = yyjson_get_num(v);

        if (!v)
            continue;
        if (numbers[i].whole ? !yyjson_is_int(v) : !yyjson_is_num(v))
            return bad_type(p, numbers[i].name, numbers[i].whole ? "a whole number" : "a number");
        if (!(d >= numbers[i].min && d <= numbers[i].max))
            return api_error_set(p->e, API_BAD_VALUE, numbers[i].name,
                                 "%s is %.*s, but must be from %g to %g; %s", numbers[i].name,
                                 STR_ARG(str_cut(raw_of(p, numbers[i].name), CHAT_SHOWN_BYTES)),
                                 numbers[i].min, numbers[i].max, numbers[i].advice);
        if (numbers[i].whole)
            *(int64_t *)(void *)at = yyjson_get_sint(v);
        else
            *(double *)(void *)at = d;
    }
    return 0;
}

static const char *const limit_fields[] = {"max_tokens", "max_completion_tokens",
                                           "max_output_tokens"};
enum { N_LIMIT_FIELDS = sizeof limit_fields / sizeof limit_fields[0] };

/* The smallest that is given: what is reserved for must be what can be generated. */
static int take_limits(struct parse *p, yyjson_val *root)
{
    for (size_t i = 0; i < N_LIMIT_FIELDS; i++) {
        const char *name = limit_fields[i];
        yyjson_val *v = chat_get(root, name);
        int64_t n;

        if (!v)
            continue;
        if (!yyjson_is_int(v) && !yyjson_is_real(v))
            return bad_type(p, name, "a whole number");
        if (yyjson_is_real(v) && yyjson_get_real(v) < CHAT_MAX_TOKENS_LIMIT)
            return bad_type(p, name, "a whole number");
        n = yyjson_is_uint(v) && yyjson_get_uint(v) <= CHAT_MAX_TOKENS_LIMIT
                ? (int64_t)yyjson_get_uint(v)
            : yyjson_is_sint(v) ? -1
                                : CHAT_MAX_TOKENS_LIMIT + 1LL;
        if (n < 1 || n > CHAT_MAX_TOKENS_LIMIT)
            return api_error_set(p->e, API_BAD_VALUE, name,
                                 "%s is %.*s, but must be from 1 to %d; leave it out for the "
                                 "default of %d",
                                 name, STR_ARG(str_cut(raw_of(p, name), CHAT_SHOWN_BYTES)),
                                 CHAT_MAX_TOKENS_LIMIT, CHAT_DEFAULT_MAX_TOKENS);
        if (p->r->max_tokens == 0 || n < p->r->max_tokens)
            p->r->max_tokens = n;
    }
    return 0;
}

/* --- the rest --- */

static int take_stops(struct parse *p, yyjson_val *root)
{
    yyjson_val *v = chat_get(root, "stop");
    size_t n = yyjson_is_arr(v) ? yyjson_arr_size(v) : 1;

    if (!v)
        return 0;
    if (!yyjson_is_str(v) && !yyjson_is_arr(v))
        return bad_type(p, "stop", "a string or an array of strings");
    if (n > CHAT_MAX_STOPS)
        return api_error_set(p->e, API_BAD_VALUE, "stop", "stop has %zu strings, the limit is %d",
                             n, CHAT_MAX_STOPS);
    for (size_t i = 0; i < n; i++) {
        yyjson_val *s = yyjson_is_arr(v) ? yyjson_arr_get(v, i) : v;
        int rc;

        if (!yyjson_is_str(s))
            return bad_type(p, "stop", "a string or an array of strings");
        if (yyjson_get_len(s) == 0)
            return api_error_set(p->e, API_BAD_VALUE, "stop", "stop contains an empty string");
        if (yyjson_get_len(s) > CHAT_MAX_STOP_BYTES)
            return api_error_set(p->e, API_BAD_VALUE, "stop",
                                 "a stop string has %zu bytes, the limit is %d", yyjson_get_len(s),
                                 CHAT_MAX_STOP_BYTES);
        rc = keep(p, s, &p->r->stops[p->r->n_stops++]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int take_flags(struct parse *p, yyjson_val *root)
{
    yyjson_val *stream = chat_get(root, "stream"), *options = chat_get(root, "stream_options");
    yyjson_val *usage = chat_get(options, "include_usage");
    yyjson_val *n = chat_get(root, "n"), *seed = chat_get(root, "seed");
    yyjson_val *user = chat_get(root, "user");

    if (stream && !yyjson_is_bool(stream))
        return bad_type(p, "stream", "true or false");
    p->r->stream = yyjson_is_true(stream);
    if (options && !yyjson_is_obj(options))
        return bad_type(p, "stream_options", "an object");
    if (usage && !yyjson_is_bool(usage))
        return bad_type(p, "stream_options.include_usage", "true or false");
    p->r->include_usage = yyjson_is_true(usage);
    if (user && !yyjson_is_str(user))
        return bad_type(p, "user", "a string");
    if (n && !yyjson_is_int(n))
        return bad_type(p, "n", "a whole number");
    if (n && yyjson_get_sint(n) != 1)
        return api_error_set(p->e, API_UNSUPPORTED, "n",
                             "n must be 1; send the request several times for several answers");
    if (seed && !yyjson_is_int(seed))
        return bad_type(p, "seed", "a whole number");
    p->r->has_seed = seed != NULL;
    p->r->seed = yyjson_get_sint(seed);
    return 0;
}

static int note_beyond_text(struct parse *p, yyjson_val *root)
{
    (void)root;
    for (size_t i = 0; i < p->n_members && !p->r->beyond_text; i++)
        p->r->beyond_text = beyond_text_field(p->members[i].key, p->members[i].value);
    return 0;
}

int chat_request_parse(struct str body, struct arena *region, struct chat_request *ret_request,
                       struct api_error *ret_error)
{
    static int (*const steps[])(struct parse * p, yyjson_val * root) = {
        take_model, take_messages, take_numbers,    take_limits,
        take_stops, take_flags,    note_beyond_text};
    struct parse p = {.region = region, .r = ret_request, .e = ret_error};
    yyjson_doc *doc = NULL;
    int rc;

    *ret_request = (struct chat_request){0};
    rc = open_body(&p, body, &doc);
    for (size_t i = 0; rc == 0 && i < sizeof steps / sizeof steps[0]; i++)
        rc = steps[i](&p, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return rc;
}

static bool is_limit_field(struct str key)
{
    for (size_t i = 0; i < N_LIMIT_FIELDS; i++) {
        if (str_is(key, limit_fields[i]))
            return true;
    }
    return false;
}

int chat_request_rewrite(struct str body, int64_t max_tokens, struct buf *out)
{
    struct span_member m;
    size_t cursor = 0;
    int rc = buf_printf(out, "{\"max_tokens\":%lld", (long long)max_tokens);
    int more;

    while (rc == 0 && (more = span_next(body, &cursor, &m)) != 0) {
        if (more < 0)
            return ERR_PARSE;
        if (is_limit_field(m.key))
            continue;
        rc = buf_append_str(out, STR(","));
        if (rc == 0)
            rc = buf_append_str(out, m.whole);
    }
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}
