/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks as the provider writes them, and the coordinator at the end of a stream. */
#include "proto/chunk.h"
#include "proto/shape.h"

static const char *const finish_words[] = {[CHUNK_FINISH_NONE] = "null",
                                           [CHUNK_FINISH_STOP] = "\"stop\"",
                                           [CHUNK_FINISH_LENGTH] = "\"length\"",
                                           [CHUNK_FINISH_TOOL_CALLS] = "\"tool_calls\""};

static int chunk_write_begin(const struct chunk_head *h, const char *object, struct buf *out)
{
    int rc = buf_append_str(out, STR("data: {\"id\":"));

    if (rc == 0)
        rc = json_append_str(out, h->id);
    if (rc == 0)
        rc = buf_printf(out, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object,
                        (long long)h->created_s);
    return rc == 0 ? json_append_str(out, h->model) : rc;
}

static int chunk_write_begin_delta(const struct chunk_head *h, struct str delta, struct buf *out)
{
    int rc = chunk_write_begin(h, "chat.completion.chunk", out);

    if (rc == 0)
        rc = buf_append_str(out, STR(",\"choices\":[{\"index\":0,\"delta\":{"));
    return rc == 0 ? buf_append_str(out, delta) : rc;
}

/* Behind a delta or a message: `logprobs` where there are any, and why the answer ends. */
static int chunk_write_end(struct str logprobs, enum chunk_finish finish, struct buf *out)
{
    int rc = buf_append_str(out, STR("}"));

    if (rc == 0 && logprobs.n > 0)
        rc = buf_printf(out, ",\"logprobs\":{\"content\":[%.*s],\"refusal\":null}",
                        STR_ARG(logprobs));
    return rc == 0 ? buf_printf(out, ",\"finish_reason\":%s}]", finish_words[finish]) : rc;
}

static int chunk_write_end_delta(enum chunk_finish finish, struct buf *out)
{
    int rc = chunk_write_end((struct str){0}, finish, out);

    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}

static int chunk_write_named(const char *name, struct str text, struct buf *out)
{
    int rc = buf_printf(out, "\"%s\":", name);

    return rc == 0 ? json_append_str(out, text) : rc;
}

/* "id":…,"type":"function","function":{"name":…,"arguments":…} */
static int chunk_write_call(const struct chunk_call *call, struct buf *out)
{
    int rc = chunk_write_named("id", call->id, out);

    if (rc == 0)
        rc = buf_append_str(out, STR(",\"type\":\"function\",\"function\":{"));
    if (rc == 0)
        rc = chunk_write_named("name", call->name, out);
    if (rc == 0)
        rc = buf_append_str(out, STR(",\"arguments\":"));
    if (rc == 0)
        rc = json_append_str(out, call->arguments);
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}

static int chunk_write_call_delta(const struct chunk_delta *d, struct buf *out)
{
    int rc = buf_printf(out, "\"tool_calls\":[{\"index\":%d,", (int)d->call);

    if (rc == 0 && d->part == CHUNK_PART_CALL) {
        rc = chunk_write_call(&(struct chunk_call){.id = d->id, .name = d->text}, out);
    } else if (rc == 0) {
        rc = buf_append_str(out, STR("\"function\":{"));
        if (rc == 0)
            rc = chunk_write_named("arguments", d->text, out);
        if (rc == 0)
            rc = buf_append_str(out, STR("}"));
    }
    return rc == 0 ? buf_append_str(out, STR("}]")) : rc;
}

int chunk_write_delta(const struct chunk_head *h, const struct chunk_delta *d, struct buf *out)
{
    int rc = chunk_write_begin_delta(h, STR(""), out);

    if (rc == 0 && d->part == CHUNK_PART_CONTENT)
        rc = chunk_write_named("content", d->text, out);
    else if (rc == 0 && d->part == CHUNK_PART_REASONING)
        rc = chunk_write_named("reasoning_content", d->text, out);
    else if (rc == 0)
        rc = chunk_write_call_delta(d, out);
    if (rc == 0)
        rc = chunk_write_end(d->logprobs, CHUNK_FINISH_NONE, out);
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}

int chunk_write_role(const struct chunk_head *h, struct buf *out)
{
    int rc = chunk_write_begin_delta(h, STR("\"role\":\"assistant\",\"content\":\"\""), out);

    return rc == 0 ? chunk_write_end_delta(CHUNK_FINISH_NONE, out) : rc;
}

int chunk_write_content(const struct chunk_head *h, struct str text, struct buf *out)
{
    return chunk_write_delta(h, &(struct chunk_delta){.text = text}, out);
}

int chunk_write_finish_logprobs(const struct chunk_head *h, enum chunk_finish finish,
                                struct str logprobs, struct buf *out)
{
    int rc = chunk_write_begin_delta(h, STR(""), out);

    if (rc == 0)
        rc = chunk_write_end(logprobs, finish, out);
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}

int chunk_write_finish(const struct chunk_head *h, enum chunk_finish finish, struct buf *out)
{
    return chunk_write_finish_logprobs(h, finish, (struct str){0}, out);
}

static int chunk_write_counts(int64_t prompt_tokens, int64_t completion_tokens, struct buf *out)
{
    return buf_printf(out,
                      ",\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,"
                      "\"total_tokens\":%lld}}",
                      (long long)prompt_tokens, (long long)completion_tokens,
                      (long long)(prompt_tokens + completion_tokens));
}

int chunk_write_extra(const struct chunk_head *h, struct str members, struct buf *out)
{
    int rc = chunk_write_begin(h, "chat.completion.chunk", out);

    if (rc == 0)
        rc = buf_append_str(out, STR(",\"choices\":[],"));
    if (rc == 0)
        rc = buf_append_str(out, members);
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}

int chunk_write_usage(const struct chunk_head *h, int64_t prompt_tokens, int64_t completion_tokens,
                      struct buf *out)
{
    int rc = chunk_write_begin(h, "chat.completion.chunk", out);

    if (rc == 0)
        rc = buf_append_str(out, STR(",\"choices\":[]"));
    return rc == 0 ? chunk_write_counts(prompt_tokens, completion_tokens, out) : rc;
}

static int chunk_write_message(const struct chunk_message *m, struct buf *out)
{
    int rc = buf_append_str(
        out, STR(",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"));

    if (rc == 0)
        rc = json_append_str(out, m->content);
    if (rc == 0 && m->reasoning.n > 0)
        rc = buf_append_str(out, STR(","));
    if (rc == 0 && m->reasoning.n > 0)
        rc = chunk_write_named("reasoning_content", m->reasoning, out);
    for (size_t i = 0; rc == 0 && i < m->n_calls; i++) {
        rc = buf_append_str(out, i > 0 ? STR(",{") : STR(",\"tool_calls\":[{"));
        if (rc == 0)
            rc = chunk_write_call(&m->calls[i], out);
        if (rc == 0)
            rc = buf_append_str(out, STR("}"));
    }
    return rc == 0 && m->n_calls > 0 ? buf_append_str(out, STR("]")) : rc;
}

int chunk_write_whole(const struct chunk_head *h, const struct chunk_message *m,
                      enum chunk_finish finish, int64_t prompt_tokens, int64_t completion_tokens,
                      struct buf *out)
{
    int rc = chunk_write_begin(h, "chat.completion", out);

    if (rc == 0)
        rc = chunk_write_message(m, out);
    if (rc == 0)
        rc = chunk_write_end(m->logprobs, finish, out);
    return rc == 0 ? chunk_write_counts(prompt_tokens, completion_tokens, out) : rc;
}
