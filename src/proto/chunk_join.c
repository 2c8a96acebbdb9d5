/* SPDX-License-Identifier: Apache-2.0 */
/* Reassembly of a stream into one answer, for consumers that do not stream. */
#include <yyjson.h>

#include "proto/chunk.h"
#include "proto/json_wiped.h"
#include "proto/shape.h"

enum { TOOL_CALLS_MAX = 64 };

struct tool_call {
    struct str id, name;
    struct buf arguments;
};

struct chunk_join {
    struct arena *region;
    size_t max_bytes;
    struct buf content, reasoning;
    struct tool_call calls[TOOL_CALLS_MAX];
    size_t n_calls;
    struct str id, finish;
    int64_t created_s;
};

int chunk_join_new(struct arena *region, size_t max_bytes, struct chunk_join **ret_join)
{
    struct chunk_join *j = arena_new(region, struct chunk_join);

    if (!j)
        return ERR_NOMEM;
    j->region = region;
    j->max_bytes = max_bytes;
    buf_init(&j->content, max_bytes);
    buf_init(&j->reasoning, max_bytes);
    *ret_join = j;
    return 0;
}

static struct str text_of(yyjson_val *v)
{
    return yyjson_is_str(v) ? (struct str){yyjson_get_str(v), yyjson_get_len(v)} : (struct str){0};
}

static int add_call(struct chunk_join *j, yyjson_val *call, size_t fallback)
{
    yyjson_val *at = yyjson_obj_get(call, "index");
    yyjson_val *function = yyjson_obj_get(call, "function");
    size_t index = yyjson_is_uint(at) ? (size_t)yyjson_get_uint(at) : fallback;
    struct str id = text_of(yyjson_obj_get(call, "id"));
    struct str name = text_of(yyjson_obj_get(function, "name"));

    if (index >= TOOL_CALLS_MAX)
        return ERR_LIMIT;
    while (j->n_calls <= index)
        buf_init(&j->calls[j->n_calls++].arguments, j->max_bytes);
    if (id.n > 0)
        j->calls[index].id = arena_dup(j->region, id);
    if (name.n > 0)
        j->calls[index].name = arena_dup(j->region, name);
    return buf_append_str(&j->calls[index].arguments,
                          text_of(yyjson_obj_get(function, "arguments")));
}

/* A delta of a stream, or the message of a whole answer: the same members. */
static int add_message(struct chunk_join *j, yyjson_val *m)
{
    struct str reasoning = text_of(yyjson_obj_get(m, "reasoning"));
    yyjson_val *calls = yyjson_obj_get(m, "tool_calls"), *call;
    yyjson_arr_iter it;
    int rc = buf_append_str(&j->content, text_of(yyjson_obj_get(m, "content")));

    if (reasoning.n == 0)
        reasoning = text_of(yyjson_obj_get(m, "reasoning_content"));
    if (rc == 0)
        rc = buf_append_str(&j->reasoning, reasoning);
    yyjson_arr_iter_init(calls, &it);
    for (size_t i = 0; rc == 0 && (call = yyjson_arr_iter_next(&it)); i++)
        rc = add_call(j, call, i);
    return rc;
}

static void note_head(struct chunk_join *j, yyjson_val *root)
{
    struct str id = text_of(yyjson_obj_get(root, "id"));

    if (!j->id.p && id.n > 0)
        j->id = arena_dup(j->region, id);
    if (j->created_s <= 0)
        j->created_s = yyjson_get_sint(yyjson_obj_get(root, "created"));
}

int chunk_join_add(struct chunk_join *j, struct str json)
{
    yyjson_alc alc = json_wiped_alc();
    yyjson_doc *doc = yyjson_read_opts((char *)json.p, json.n, 0, &alc, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *choice = yyjson_arr_get_first(yyjson_obj_get(root, "choices"));
    yyjson_val *message = yyjson_obj_get(choice, "message");
    struct str finish = text_of(yyjson_obj_get(choice, "finish_reason"));
    int rc = doc ? 0 : ERR_PARSE;

    if (rc == 0) {
        note_head(j, root);
        if (finish.n > 0)
            j->finish = arena_dup(j->region, finish);
        rc = add_message(j, message ? message : yyjson_obj_get(choice, "delta"));
    }
    yyjson_doc_free(doc);
    return rc;
}

/* Where a tag stands, in letters of either case; NULL: nowhere. */
static const char *find_tag(struct str s, struct str tag)
{
    const char *at;

    while (s.n >= tag.n && (at = memchr(s.p, tag.p[0], s.n))) {
        s = (struct str){at, s.n - (size_t)(at - s.p)};
        if (s.n >= tag.n && str_ieq((struct str){at, tag.n}, tag))
            return at;
        s = (struct str){s.p + 1, s.n - 1};
    }
    return NULL;
}

/* Move "<think>…</think>" blocks from the content to the reasoning. */
static int split_think(struct chunk_join *j, struct buf *ret_content)
{
    const struct str open = STR("<think>"), close = STR("</think>");
    struct str rest = buf_view(&j->content);
    const char *at;
    int rc = 0;

    while (rc == 0 && rest.n > 0 && (at = find_tag(rest, open))) {
        size_t before = (size_t)(at - rest.p);
        const char *end = find_tag((struct str){at, rest.n - before}, close);

        if (!end)
            break;
        rc = buf_append(ret_content, rest.p, before);
        if (rc == 0 && j->reasoning.len > 0)
            rc = buf_append_str(&j->reasoning, STR("\n\n"));
        if (rc == 0)
            rc = buf_append(&j->reasoning, at + open.n, (size_t)(end - at) - open.n);
        rest = (struct str){end + close.n, rest.n - (size_t)(end - rest.p) - close.n};
    }
    return rc == 0 ? buf_append_str(ret_content, rest) : rc;
}

static int write_calls(struct chunk_join *j, struct buf *out)
{
    int rc = j->n_calls > 0 ? buf_append_str(out, STR(",\"tool_calls\":[")) : 0;

    for (size_t i = 0; rc == 0 && i < j->n_calls; i++) {
        rc = buf_append_str(out, i ? STR(",{\"id\":") : STR("{\"id\":"));
        if (rc == 0)
            rc = json_append_str(out, j->calls[i].id);
        if (rc == 0)
            rc = buf_append_str(out, STR(",\"type\":\"function\",\"function\":{\"name\":"));
        if (rc == 0)
            rc = json_append_str(out, j->calls[i].name);
        if (rc == 0)
            rc = buf_append_str(out, STR(",\"arguments\":"));
        if (rc == 0)
            rc = json_append_str(out, buf_view(&j->calls[i].arguments));
        if (rc == 0)
            rc = buf_append_str(out, STR("}}"));
    }
    return rc == 0 && j->n_calls > 0 ? buf_append_str(out, STR("]")) : rc;
}

static int write_message(struct chunk_join *j, struct buf *out)
{
    struct buf content;
    int rc;

    buf_init(&content, j->max_bytes);
    rc = split_think(j, &content);
    if (rc == 0)
        rc = buf_append_str(out, STR("{\"role\":\"assistant\",\"content\":"));
    if (rc == 0)
        rc = json_append_str(out, buf_view(&content));
    if (rc == 0 && j->reasoning.len > 0) {
        rc = buf_append_str(out, STR(",\"reasoning\":"));
        if (rc == 0)
            rc = json_append_str(out, buf_view(&j->reasoning));
    }
    if (rc == 0)
        rc = write_calls(j, out);
    buf_free(&content);
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}

int chunk_join_write(struct chunk_join *j, const struct chunk_head *head, int64_t prompt_tokens,
                     int64_t completion_tokens, struct str extra, struct buf *out)
{
    int rc = buf_append_str(out, STR("{\"id\":"));

    if (rc == 0)
        rc = json_append_str(out, j->id.n > 0 ? j->id : head->id);
    if (rc == 0)
        rc = buf_printf(out, ",\"object\":\"chat.completion\",\"created\":%lld,\"model\":",
                        (long long)(j->created_s > 0 ? j->created_s : head->created_s));
    if (rc == 0)
        rc = json_append_str(out, head->model);
    if (rc == 0)
        rc = buf_append_str(out, STR(",\"choices\":[{\"index\":0,\"message\":"));
    if (rc == 0)
        rc = write_message(j, out);
    if (rc == 0)
        rc = buf_append_str(out, STR(",\"finish_reason\":"));
    if (rc == 0)
        rc = json_append_str(out, j->finish.n > 0  ? j->finish
                                  : j->n_calls > 0 ? STR("tool_calls")
                                                   : STR("stop"));
    if (rc == 0)
        rc = buf_printf(out,
                        "}],\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,"
                        "\"total_tokens\":%lld}",
                        (long long)prompt_tokens, (long long)completion_tokens,
                        (long long)(prompt_tokens + completion_tokens));
    if (rc == 0 && extra.n > 0)
        rc = buf_append_str(out, STR(","));
    if (rc == 0)
        rc = buf_append_str(out, extra);
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}

void chunk_join_free(struct chunk_join *j)
{
    if (!j)
        return;
    buf_free(&j->content);
    buf_free(&j->reasoning);
    for (size_t i = 0; i < j->n_calls; i++)
        buf_free(&j->calls[i].arguments);
}
