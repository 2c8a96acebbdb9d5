/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay must know of a chunk: one walk over the members that matter, by spans, once it is
 * known to be JSON. */
#include <sodium.h>

#include "proto/chunk.h"
#include "proto/json_wiped.h"
#include "proto/span.h"

enum { TREE_BYTES = 8 << 10 };

/* Spans follow brackets and quotes and look at nothing between them, but the consumer gets it all.
 * A tree that fits the stack needs no heap. */
static bool is_json(struct str json)
{
    char tree[TREE_BYTES];
    size_t n = yyjson_read_max_memory_usage(json.n, 0);
    yyjson_alc alc = json_wiped_alc();
    bool on_stack = n <= sizeof tree && yyjson_alc_pool_init(&alc, tree, n);
    yyjson_doc *doc = yyjson_read_opts((char *)json.p, json.n, 0, &alc, NULL);

    yyjson_doc_free(doc);
    if (on_stack)
        sodium_memzero(tree, n);
    return doc != NULL;
}

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
        else if (str_eq(m.key, STR("finish_reason")) && !is_null(m.value)) {
            info->has_finish = true;
            info->finish = m.value;
        }
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

/* What is no event: blank lines, comments, and fields without data (the HTML standard, §9.2.6). */
static bool is_silent(struct str text)
{
    static const struct str silent[] = {STR(":"), STR("event:"), STR("id:"), STR("retry:")};

    while (text.n > 0) {
        struct str line = {text.p, 0};
        bool passed_over;

        while (line.n < text.n && text.p[line.n] != '\n' && text.p[line.n] != '\r')
            line.n++;
        passed_over = line.n == 0;
        for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
            passed_over |= str_starts(line, silent[i]);
        if (!passed_over)
            return false;
        line.n += line.n < text.n;
        text = (struct str){text.p + line.n, text.n - line.n};
    }
    return true;
}

/* A line break is a space in JSON, but ends the line of an event stream. */
static bool has_line_break(struct str json)
{
    return json.n > 0 && (memchr(json.p, '\n', json.n) || memchr(json.p, '\r', json.n));
}

/* Members that the coordinator alone may write; and since keys are compared as they stand, any that
 * could be one of them, or another that is looked at here, in escapes. */
static bool is_ours(struct str key)
{
    static const struct str ours[] = {CHUNK_RECEIPT_MEMBERS};
    bool found = key.n > 0 && memchr(key.p, '\\', key.n);

    for (size_t i = 0; !found && i < sizeof ours / sizeof ours[0]; i++)
        found = str_eq(key, ours[i]);
    return found;
}

static enum chunk_kind inspect_members(struct chunk_info *info)
{
    size_t cursor = 0, n_choices = 0;
    bool whole = false, error = false;
    struct span_member m;
    int rc;

    while ((rc = span_next(info->json, &cursor, &m)) > 0) {
        if (str_eq(m.key, STR("choices")))
            n_choices = each_object(m.value, inspect_choice, info);
        else if (str_eq(m.key, STR("usage")))
            inspect_usage(m.value, info);
        else if (str_eq(m.key, STR("object")))
            whole = str_eq(m.value, STR("\"chat.completion\""));
        else if (str_eq(m.key, STR("error")))
            error = !is_null(m.value);
        else if (str_eq(m.key, STR("system_fingerprint")))
            info->needs_rewrite |= is_null(m.value);
        else if (str_eq(m.key, STR("id")))
            info->head.id = unquote(m.value);
        else if (str_eq(m.key, STR("model")))
            info->head.model = unquote(m.value);
        else if (str_eq(m.key, STR("created")))
            (void)str_to_i64(m.value, &info->head.created_s);
        else
            info->needs_rewrite |= is_ours(m.key);
    }
    if (rc < 0)
        return CHUNK_BAD;
    if (whole)
        info->has_text = info->has_finish = true;
    return error             ? CHUNK_ERROR
           : whole           ? CHUNK_WHOLE
           : n_choices > 0   ? CHUNK_CONTENT
           : info->has_usage ? CHUNK_USAGE
                             : CHUNK_EMPTY;
}

void chunk_inspect(struct str line, struct chunk_info *ret_info)
{
    struct chunk_info info = {.kind = CHUNK_BAD, .json = data_of(line)};

    if (str_eq(info.json, STR("[DONE]"))) {
        info = (struct chunk_info){.kind = CHUNK_DONE};
    } else if (is_silent(line)) {
        info = (struct chunk_info){.kind = CHUNK_EMPTY};
    } else if (is_json(info.json)) {
        info.needs_rewrite = has_line_break(info.json);
        info.kind = inspect_members(&info);
    }
    *ret_info = info;
}
