/* SPDX-License-Identifier: Apache-2.0 */
/* Reassembly of a stream into one answer, for consumers that do not stream. All text is charged to
 * one level of memory, whatever it is and however many tool calls it is spread over. */
#include <sodium.h>
#include <yyjson.h>

#include "base/check.h"
#include "proto/chunk.h"
#include "proto/json_wiped.h"
#include "proto/shape.h"

enum {
    JOIN_CALLS_MAX = 64,
    JOIN_NAME_MAX_BYTES = 256,      /* of an id, a function's name, a finish reason */
    JOIN_OVERHEAD_BYTES = 64 << 10, /* of buffers: the first block of each */
    JOIN_STACK_BYTES = 8 << 10,     /* a tree that fits needs no heap */
    JOIN_MAX_BYTES = 16 << 20,
    JOIN_LOGPROBS_FACTOR = 16, /* a token's logprobs take more than its text: up to 20 others */
};

struct join_call {
    struct str id, name; /* in the region */
    struct buf arguments;
};

struct chunk_join {
    struct arena *region;
    struct budget memory, logprobs_memory;
    struct buf logprobs; /* entries of logprobs.content, with commas between them */
    struct buf content, reasoning, refusal;
    struct join_call calls[JOIN_CALLS_MAX];
    size_t n_calls;
    struct str id; /* in the region */
    char finish[JOIN_NAME_MAX_BYTES];
    int64_t created_s;
};

size_t chunk_join_bytes(int64_t tokens)
{
    int64_t most = (JOIN_MAX_BYTES - JOIN_OVERHEAD_BYTES) / CHUNK_TOKEN_MAX_BYTES;

    CHECK(tokens >= 0);
    return (size_t)(tokens < most ? tokens : most) * CHUNK_TOKEN_MAX_BYTES + JOIN_OVERHEAD_BYTES;
}

static void join_buf_init(struct chunk_join *j, struct buf *b)
{
    buf_init(b, j->memory.max_bytes);
    (void)buf_set_budget(b, &j->memory); /* it holds nothing yet: nothing can be refused */
}

int chunk_join_new(struct arena *region, size_t max_bytes, struct budget *budget,
                   struct chunk_join **ret_join)
{
    struct chunk_join *j = arena_new(region, struct chunk_join);

    if (!j)
        return ERR_NOMEM;
    j->region = region;
    budget_init(&j->memory, "this answer", max_bytes, budget);
    budget_init(&j->logprobs_memory, "this answer's logprobs",
                max_bytes < JOIN_MAX_BYTES / JOIN_LOGPROBS_FACTOR ? max_bytes * JOIN_LOGPROBS_FACTOR
                                                                  : JOIN_MAX_BYTES,
                budget);
    buf_init(&j->logprobs, j->logprobs_memory.max_bytes);
    (void)buf_set_budget(&j->logprobs, &j->logprobs_memory);
    join_buf_init(j, &j->content);
    join_buf_init(j, &j->reasoning);
    join_buf_init(j, &j->refusal);
    *ret_join = j;
    return 0;
}

/* --- adding --- */

static struct str join_text_of(yyjson_val *v)
{
    return yyjson_is_str(v) ? (struct str){yyjson_get_str(v), yyjson_get_len(v)} : (struct str){0};
}

/* The first one counts: some engines repeat it with each piece. 0, ERR_LIMIT, ERR_NOMEM. */
static int join_name(struct chunk_join *j, struct str name, struct str *at)
{
    if (name.n == 0 || at->n > 0)
        return 0;
    if (name.n > JOIN_NAME_MAX_BYTES)
        return ERR_LIMIT;
    *at = arena_dup(j->region, name);
    return at->p ? 0 : ERR_NOMEM;
}

static int join_add_call(struct chunk_join *j, yyjson_val *call, size_t fallback)
{
    yyjson_val *at = yyjson_obj_get(call, "index");
    yyjson_val *function = yyjson_obj_get(call, "function");
    size_t index = yyjson_is_uint(at) ? (size_t)yyjson_get_uint(at) : fallback;
    struct join_call *c;
    int rc;

    if (index >= JOIN_CALLS_MAX)
        return ERR_LIMIT;
    while (j->n_calls <= index)
        join_buf_init(j, &j->calls[j->n_calls++].arguments);
    c = &j->calls[index];
    rc = join_name(j, join_text_of(yyjson_obj_get(call, "id")), &c->id);
    if (rc == 0)
        rc = join_name(j, join_text_of(yyjson_obj_get(function, "name")), &c->name);
    if (rc == 0)
        rc = buf_append_str(&c->arguments, join_text_of(yyjson_obj_get(function, "arguments")));
    return rc;
}

/* A delta of a stream, or the message of a whole answer: the same members. */
static int join_add_message(struct chunk_join *j, yyjson_val *m)
{
    struct str reasoning = join_text_of(yyjson_obj_get(m, "reasoning"));
    yyjson_val *calls = yyjson_obj_get(m, "tool_calls"), *call;
    yyjson_arr_iter it;
    int rc = buf_append_str(&j->content, join_text_of(yyjson_obj_get(m, "content")));

    if (reasoning.n == 0)
        reasoning = join_text_of(yyjson_obj_get(m, "reasoning_content"));
    if (rc == 0)
        rc = buf_append_str(&j->reasoning, reasoning);
    if (rc == 0)
        rc = buf_append_str(&j->refusal, join_text_of(yyjson_obj_get(m, "refusal")));
    yyjson_arr_iter_init(calls, &it);
    for (size_t i = 0; rc == 0 && (call = yyjson_arr_iter_next(&it)); i++)
        rc = join_add_call(j, call, i);
    return rc;
}

static int join_add_head(struct chunk_join *j, yyjson_val *root)
{
    if (j->created_s <= 0)
        j->created_s = yyjson_get_sint(yyjson_obj_get(root, "created"));
    return join_name(j, join_text_of(yyjson_obj_get(root, "id")), &j->id);
}

/* The last one counts. */
static int join_add_finish(struct chunk_join *j, struct str finish)
{
    if (finish.n == 0)
        return 0;
    if (finish.n >= sizeof j->finish)
        return ERR_LIMIT;
    memcpy(j->finish, finish.p, finish.n);
    j->finish[finish.n] = 0;
    return 0;
}

static int join_add_logprob(struct chunk_join *j, yyjson_val *entry)
{
    yyjson_alc alc = json_wiped_alc();
    size_t n = 0;
    char *text = yyjson_val_write_opts(entry, YYJSON_WRITE_NOFLAG, &alc, &n, NULL);
    int rc = text ? 0 : ERR_NOMEM;

    if (rc == 0 && j->logprobs.len > 0)
        rc = buf_append_str(&j->logprobs, STR(","));
    if (rc == 0)
        rc = buf_append(&j->logprobs, text, n);
    if (text)
        alc.free(alc.ctx, text);
    return rc;
}

static int join_add_logprobs(struct chunk_join *j, yyjson_val *logprobs)
{
    yyjson_arr_iter it;
    yyjson_val *entry;
    int rc = 0;

    yyjson_arr_iter_init(yyjson_obj_get(logprobs, "content"), &it);
    while (rc == 0 && (entry = yyjson_arr_iter_next(&it)))
        rc = join_add_logprob(j, entry);
    return rc;
}

static int join_add_root(struct chunk_join *j, yyjson_val *root)
{
    bool whole = yyjson_equals_str(yyjson_obj_get(root, "object"), "chat.completion");
    yyjson_val *choice = yyjson_arr_get_first(yyjson_obj_get(root, "choices"));
    int rc = join_add_head(j, root);

    if (rc == 0)
        rc = join_add_finish(j, join_text_of(yyjson_obj_get(choice, "finish_reason")));
    if (rc == 0)
        rc = join_add_message(j, yyjson_obj_get(choice, whole ? "message" : "delta"));
    if (rc == 0)
        rc = join_add_logprobs(j, yyjson_obj_get(choice, "logprobs"));
    return rc;
}

/* Whether it is not the answer's own limit that has no room for `n` bytes more. */
static bool join_others_refuse(const struct chunk_join *j, size_t n)
{
    const struct budget *refuser = budget_refuser(&j->memory, n);

    return refuser && refuser != &j->memory && refuser != &j->logprobs_memory;
}

int chunk_join_add(struct chunk_join *j, struct str json)
{
    char stack[JOIN_STACK_BYTES];
    size_t n = yyjson_read_max_memory_usage(json.n, 0);
    bool on_stack = n <= sizeof stack;
    yyjson_alc alc = json_wiped_alc();
    yyjson_doc *doc;
    int rc;

    if (on_stack && !yyjson_alc_pool_init(&alc, stack, n))
        return ERR_NOMEM;
    doc = yyjson_read_opts((char *)json.p, json.n, 0, &alc, NULL);
    rc = doc ? join_add_root(j, yyjson_doc_get_root(doc)) : ERR_PARSE;
    if (rc == ERR_LIMIT && join_others_refuse(j, json.n))
        rc = ERR_NOMEM;
    yyjson_doc_free(doc);
    if (on_stack)
        sodium_memzero(stack, n);
    return rc;
}

/* --- the answer --- */

/* Where a tag stands, in letters of either case; NULL: nowhere. */
static const char *join_find_tag(struct str s, struct str tag)
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

/* Move "<think>…</think>" blocks from the content to the reasoning; what remains of the content
 * moves together where it is. */
static int join_split_think(struct chunk_join *j)
{
    const struct str open = STR("<think>"), close = STR("</think>");
    struct str rest = buf_view(&j->content);
    char *to = (char *)rest.p;
    const char *at;
    int rc = 0;

    while (rc == 0 && rest.n > 0 && (at = join_find_tag(rest, open))) {
        size_t before = (size_t)(at - rest.p);
        const char *end = join_find_tag((struct str){at, rest.n - before}, close);

        if (!end)
            break;
        if (j->reasoning.len > 0)
            rc = buf_append_str(&j->reasoning, STR("\n\n"));
        if (rc == 0)
            rc = buf_append(&j->reasoning, at + open.n, (size_t)(end - at) - open.n);
        memmove(to, rest.p, before);
        to += before;
        rest = (struct str){end + close.n, rest.n - (size_t)(end - rest.p) - close.n};
    }
    if (rc == 0 && to != rest.p) {
        memmove(to, rest.p, rest.n);
        CHECK((size_t)(to - buf_view(&j->content).p) + rest.n <= j->content.len);
        j->content.len = (size_t)(to - buf_view(&j->content).p) + rest.n;
    }
    return rc;
}

static int join_write_calls(struct chunk_join *j, struct buf *out)
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

/* A member that is left out when it is empty. */
static int join_write_text(const char *name, const struct buf *text, struct buf *out)
{
    int rc = text->len > 0 ? buf_printf(out, ",\"%s\":", name) : 0;

    return rc == 0 && text->len > 0 ? json_append_str(out, buf_view(text)) : rc;
}

static int join_write_message(struct chunk_join *j, struct buf *out)
{
    int rc;

    j->memory.max_bytes *= 2; /* what moves to the reasoning stands twice for a while */
    rc = join_split_think(j);
    if (rc == 0)
        rc = buf_append_str(out, STR("{\"role\":\"assistant\",\"content\":"));
    if (rc == 0)
        rc = json_append_str(out, buf_view(&j->content));
    if (rc == 0)
        rc = join_write_text("reasoning", &j->reasoning, out);
    if (rc == 0)
        rc = join_write_text("refusal", &j->refusal, out);
    if (rc == 0)
        rc = join_write_calls(j, out);
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}

static int join_write_logprobs(const struct chunk_join *j, struct buf *out)
{
    int rc = buf_append_str(out, STR(",\"logprobs\":{\"content\":["));

    if (rc == 0)
        rc = buf_append_str(out, buf_view(&j->logprobs));
    return rc == 0 ? buf_append_str(out, STR("],\"refusal\":null}")) : rc;
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
        rc = join_write_message(j, out);
    if (rc == 0 && j->logprobs.len > 0)
        rc = join_write_logprobs(j, out);
    if (rc == 0)
        rc = buf_append_str(out, STR(",\"finish_reason\":"));
    if (rc == 0)
        rc = json_append_str(out, j->finish[0]     ? str_from(j->finish)
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
    buf_free(&j->refusal);
    buf_free(&j->logprobs);
    for (size_t i = 0; i < j->n_calls; i++)
        buf_free(&j->calls[i].arguments);
    CHECK(budget_used(&j->memory) == 0 && budget_used(&j->logprobs_memory) == 0);
}
