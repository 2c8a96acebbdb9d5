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

/* A delta member that carries text, and one that consumers must not see as it is. */
static void inspect_delta(struct str delta, struct chunk_info *info)
{
    static const struct str texts[] = {STR("content"), STR("reasoning"), STR("reasoning_content"),
                                       STR("tool_calls"), STR("refusal")};
    struct span_member m;
    size_t cursor = 0;

    while (span_next(delta, &cursor, &m) > 0) {
        info->has_role |= str_eq(m.key, STR("role")) && !is_null(m.value);
        info->needs_rewrite |= str_eq(m.key, STR("reasoning_content"));
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            if (!str_eq(m.key, texts[i]))
                continue;
            info->needs_rewrite |= is_null(m.value);
            info->has_text |= !is_null(m.value) && m.value.n > 2; /* more than "" or [] */
        }
    }
}

static void inspect_choice(struct str choice, struct chunk_info *info)
{
    struct span_member m;
    size_t cursor = 0;

    while (span_next(choice, &cursor, &m) > 0) {
        if (str_eq(m.key, STR("delta")))
            inspect_delta(m.value, info);
        else if (str_eq(m.key, STR("finish_reason")))
            info->has_finish |= !is_null(m.value);
    }
}

/* Each object of an array: spans of its elements. Elements that are no objects do not matter. */
static size_t inspect_choices(struct str array, struct chunk_info *info)
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
        inspect_choice(rest, info);
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
            n_choices = inspect_choices(m.value, &info);
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
