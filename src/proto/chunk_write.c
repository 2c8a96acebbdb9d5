/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks as the provider writes them, and the coordinator at the end of a stream. */
#include "proto/chunk.h"
#include "proto/shape.h"

static const char *const finish_words[] = {[CHUNK_FINISH_NONE] = "null",
                                           [CHUNK_FINISH_STOP] = "\"stop\"",
                                           [CHUNK_FINISH_LENGTH] = "\"length\""};

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

static int chunk_write_end_delta(enum chunk_finish finish, struct buf *out)
{
    return buf_printf(out, "},\"finish_reason\":%s}]}", finish_words[finish]);
}

int chunk_write_role(const struct chunk_head *h, struct buf *out)
{
    int rc = chunk_write_begin_delta(h, STR("\"role\":\"assistant\",\"content\":\"\""), out);

    return rc == 0 ? chunk_write_end_delta(CHUNK_FINISH_NONE, out) : rc;
}

int chunk_write_content(const struct chunk_head *h, struct str text, struct buf *out)
{
    int rc = chunk_write_begin_delta(h, STR("\"content\":"), out);

    if (rc == 0)
        rc = json_append_str(out, text);
    return rc == 0 ? chunk_write_end_delta(CHUNK_FINISH_NONE, out) : rc;
}

int chunk_write_finish(const struct chunk_head *h, enum chunk_finish finish, struct buf *out)
{
    int rc = chunk_write_begin_delta(h, STR(""), out);

    return rc == 0 ? chunk_write_end_delta(finish, out) : rc;
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

int chunk_write_whole(const struct chunk_head *h, struct str text, enum chunk_finish finish,
                      int64_t prompt_tokens, int64_t completion_tokens, struct buf *out)
{
    int rc = chunk_write_begin(h, "chat.completion", out);

    if (rc == 0)
        rc = buf_append_str(
            out,
            STR(",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"));
    if (rc == 0)
        rc = json_append_str(out, text);
    if (rc == 0)
        rc = buf_printf(out, "},\"finish_reason\":%s}]", finish_words[finish]);
    return rc == 0 ? chunk_write_counts(prompt_tokens, completion_tokens, out) : rc;
}
