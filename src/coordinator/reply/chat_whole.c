/* SPDX-License-Identifier: Apache-2.0 */
/* A chat completion in one piece: deltas are joined, or the provider's whole object is taken, and
 * the answer leaves when it is complete. Until then nothing is delivered, so nothing is charged. */
#include "coordinator/flow/flow.h"

static void whole_head(struct request *r)
{
    (void)r; /* leaves with the answer */
}

static int whole_chunk(struct request *r, const struct chunk_info *info)
{
    struct reply_state *s = &r->reply_state;

    if (!s->join && chunk_join_new(&r->region, FLOW_REGION_MAX_BYTES, &s->join) < 0)
        return ERR_PARSE;
    return chunk_join_add(s->join, info->json) < 0 ? ERR_PARSE : 0;
}

static void whole_end(struct request *r)
{
    struct reply_state *s = &r->reply_state;
    struct http_header headers[REPLY_MAX_HEADERS];
    struct buf *receipt = &r->plain;
    struct http_exchange *x = r->x;
    const struct chunk_head head = {.id = arena_printf(&r->region, "chatcmpl-%s", r->id),
                                    .model = r->chat.model,
                                    .created_s = clock_wall_us(&r->coord->clock) / 1000000};
    size_t n = reply_headers(r, STR("application/json"), headers);
    int rc = 0;

    if (!s->join)
        rc = chunk_join_new(&r->region, FLOW_REGION_MAX_BYTES, &s->join);
    buf_clear(receipt);
    if (rc == 0)
        rc = reply_receipt_append(r, receipt);
    buf_clear(&s->text);
    if (rc == 0)
        rc = chunk_join_write(s->join, &head, r->prompt_tokens, r->usage_completion,
                              buf_view(receipt), &s->text);
    if (rc < 0) {
        api_error_set(&r->error, API_INTERNAL, NULL, "the answer could not be put together: %s",
                      err_str(rc));
        reply_error_json(r, &r->error);
        return;
    }
    r->x = NULL;
    http_respond(x, 200, headers, n, buf_view(&s->text));
}

static int64_t whole_delivered(struct request *r)
{
    (void)r;
    return 0;
}

const struct reply_ops reply_chat_whole = {.head = whole_head,
                                           .chunk = whole_chunk,
                                           .error = reply_error_json,
                                           .end = whole_end,
                                           .delivered = whole_delivered};
