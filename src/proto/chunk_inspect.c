/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay must know of a chunk, without a parse tree: one walk over the members that matter,
 * by spans. Text inside strings cannot be mistaken for structure. */
#include "proto/chunk.h"
#include "proto/span.h"

static struct str unquote(struct str v)
{
    return v.n >= 2 && v.p[0] == '"' ? (struct str){v.p + 1, v.n - 2} : (struct str){0};
}

static bool is_null(struct str v)
{
    return str_eq(v, STR("null"));
}

/* Calls inspect on each object of an array; how many there are. Other elements do not matter. */
static size_t each_object(struct str array, void (*inspect)(struct str object, void *ud), void *ud)
{
    size_t at = 1, n = 0;

    while (at < array.n) {
        struct str rest = {array.p + at, array.n - at};
        struct span_member m;
        size_t cursor = 0;
        int rc;

        if (rest.p[0] != '{') {
            at++;
            continue;
        }
        inspect(rest, ud);
        n++;
        while ((rc = span_next(rest, &cursor, &m)) > 0)
            ;
        if (rc < 0)
            return n;
        at += cursor;
        while (at < array.n && array.p[at] != '}')
            at++;
        at++;
    }
    return n;
}

/* What a tool call says: the name of its function and what it is given. */
static void count_call(struct str call, void *ud)
{
    struct span_member of_call, m;
    size_t *bytes = ud, outer = 0, inner = 0;

    while (span_next(call, &outer, &of_call) > 0) {
        if (!str_eq(of_call.key, STR("function")))
            continue;
        while (span_next(of_call.value, &inner, &m) > 0) {
            if (str_eq(m.key, STR("name")) || str_eq(m.key, STR("arguments")))
                *bytes += span_text_bytes(m.value);
        }
    }
}

/* The text of a member of a delta or message that carries some. */
static void count_text(struct str value, size_t *bytes)
{
    *bytes += span_text_bytes(value);
    if (value.n > 2 && value.p[0] == '[')
        (void)each_object(value, count_call, bytes);
}

/* A member that carries text, of a delta or a whole message. */
static bool is_text(struct str key)
{
    static const struct str texts[] = {STR("content"), STR("reasoning"), STR("reasoning_content"),
                                       STR("tool_calls"), STR("refusal")};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (str_eq(key, texts[i]))
            return true;
    }
    return false;
}

static void inspect_delta(struct str delta, struct chunk_info *info)
{
    struct span_member m;
    size_t cursor = 0;

    while (span_next(delta, &cursor, &m) > 0) {
        info->has_role |= str_eq(m.key, STR("role")) && !is_null(m.value);
        info->needs_rewrite |= str_eq(m.key, STR("reasoning_content"));
        if (!is_text(m.key))
            continue;
        info->needs_rewrite |= is_null(m.value);
        info->has_text |= !is_null(m.value) && m.value.n > 2; /* more than "" or [] */
        count_text(m.value, &info->text_bytes);
    }
}

/* Of a whole answer nothing but how much text it holds. */
static void inspect_message(struct str message, struct chunk_info *info)
{
    struct span_member m;
    size_t cursor = 0;

    while (span_next(message, &cursor, &m) > 0) {
        if (is_text(m.key))
            count_text(m.value, &info->text_bytes);
    }
}

static void inspect_choice(struct str choice, void *ud)
{
    struct chunk_info *info = ud;
    struct span_member m;
    size_t cursor = 0;

    while (span_next(choice, &cursor, &m) > 0) {
        if (str_eq(m.key, STR("delta")))
            inspect_delta(m.value, info);
        else if (str_eq(m.key, STR("message")))
            inspect_message(m.value, info);
        else if (str_eq(m.key, STR("finish_reason")))
            info->has_finish |= !is_null(m.value);
    }
}

static void inspect_usage(struct str usage, struct chunk_info *info)
{
    struct span_member m;
    size_t cursor = 0;
    int64_t n;

    if (is_null(usage)) {
        info->needs_rewrite = true;
        return;
    }
    info->has_usage = true;
    while (span_next(usage, &cursor, &m) > 0) {
        if (str_to_i64(m.value, &n) < 0 || n < 0)
            continue;
        if (str_eq(m.key, STR("prompt_tokens")))
            info->prompt_tokens = n;
        else if (str_eq(m.key, STR("completion_tokens")))
            info->completion_tokens = n;
    }
}

static struct str data_of(struct str line)
{
    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    if (str_starts(line, STR("data:")))
        return str_trim((struct str){line.p + 5, line.n - 5});
    return (struct str){0};
}

/* Whether the object whose last member ends at `cursor` is all there is: what stood behind it would
 * reach the consumer as events of its own. */
static bool is_alone(struct str json, size_t cursor)
{
    struct str rest = {json.p + (cursor > 0 ? cursor : 1), json.n - (cursor > 0 ? cursor : 1)};

    while (rest.n > 0 &&
           (rest.p[0] == ' ' || rest.p[0] == '\t' || rest.p[0] == '\r' || rest.p[0] == '\n'))
        rest = (struct str){rest.p + 1, rest.n - 1};
    return str_is(rest, "}");
}

/* A line break is a space in JSON, but ends the line of an event stream. */
static bool has_line_break(struct str json)
{
    return json.n > 0 && (memchr(json.p, '\n', json.n) || memchr(json.p, '\r', json.n));
}

void chunk_inspect(struct str line, struct chunk_info *ret_info)
{
    struct chunk_info info = {.kind = CHUNK_CONTENT, .json = data_of(line)};
    struct span_member m;
    size_t cursor = 0, n_choices = 0;
    bool whole = false;
    int rc = ERR_PARSE;

    if (str_eq(info.json, STR("[DONE]"))) {
        *ret_info = (struct chunk_info){.kind = CHUNK_DONE};
        return;
    }
    while (info.json.n > 0 && (rc = span_next(info.json, &cursor, &m)) > 0) {
        if (str_eq(m.key, STR("choices")))
            n_choices = each_object(m.value, inspect_choice, &info);
        else if (str_eq(m.key, STR("usage")))
            inspect_usage(m.value, &info);
        else if (str_eq(m.key, STR("object")))
            whole = str_eq(m.value, STR("\"chat.completion\""));
        else if (str_eq(m.key, STR("system_fingerprint")))
            info.needs_rewrite |= is_null(m.value);
        else if (str_eq(m.key, STR("id")))
            info.head.id = unquote(m.value);
        else if (str_eq(m.key, STR("model")))
            info.head.model = unquote(m.value);
        else if (str_eq(m.key, STR("created")))
            (void)str_to_i64(m.value, &info.head.created_s);
    }
    info.needs_rewrite |= has_line_break(info.json);
    if (rc < 0 || !is_alone(info.json, cursor))
        info.kind = info.json.n == 0 && line.n == 0 ? CHUNK_EMPTY : CHUNK_BAD;
    else if (whole)
        info.kind = CHUNK_WHOLE;
    else if (n_choices == 0)
        info.kind = info.has_usage ? CHUNK_USAGE : CHUNK_EMPTY;
    if (whole)
        info.has_text = info.has_finish = true;
    *ret_info = info;
}
