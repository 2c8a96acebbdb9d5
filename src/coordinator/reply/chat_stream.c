/* SPDX-License-Identifier: Apache-2.0 */
/* A streamed chat completion: server-sent events. Order at the end: usage if asked for, receipt,
 * exactly one [DONE], all in one write. */
#include "coordinator/flow/flow.h"

static void stream_head(struct request *r)
{
    struct http_header headers[REPLY_MAX_HEADERS + 1];
    size_t n;

    if (!r->x || r->head_sent)
        return;
    r->head_sent = true;
    n = reply_headers(r, STR("text/event-stream"), headers);
    headers[n++] = (struct http_header){STR("Cache-Control"), STR("no-cache")};
    http_stream_begin(r->x, 200, headers, n);
}

static void stream_comment(struct request *r)
{
    const struct str comment = STR(": waiting for the first token\n\n");

    stream_head(r);
    /* A consumer whose queue is full needs no sign of life. */
    (void)http_stream_write(r->x, &comment, 1);
}

/* --- what the socket has taken --- */

static int64_t stream_delivered(struct request *r)
{
    struct reply_state *s = &r->reply_state;
    uint64_t taken = http_out_taken(r->x);

    while (s->n_marks > 0 && s->marks[s->first_mark].end_offset <= taken) {
        s->taken_tokens = s->marks[s->first_mark].tokens;
        s->first_mark = (s->first_mark + 1) % REPLY_MARKS;
        s->n_marks--;
    }
    return s->taken_tokens;
}

static struct reply_mark *nth_mark(struct reply_state *s, size_t n)
{
    return &s->marks[(s->first_mark + n) % REPLY_MARKS];
}

/* The newest mark stands for this chunk too while it is within SPACING of the one before it. */
static bool may_move_newest(struct reply_state *s, uint64_t end_offset)
{
    enum { SPACING = FLOW_CONSUMER_QUEUE_BYTES / (REPLY_MARKS / 2) };

    return s->n_marks == REPLY_MARKS ||
           (s->n_marks >= REPLY_MARKS / 2 &&
            end_offset - nth_mark(s, s->n_marks - 2)->end_offset < SPACING);
}

static void mark(struct request *r)
{
    struct reply_state *s = &r->reply_state;
    const struct reply_mark m = {http_out_queued(r->x), r->relayed_tokens};

    if (s->n_marks >= REPLY_MARKS / 2)
        (void)stream_delivered(r); /* forgets the marks that were reached */
    if (!may_move_newest(s, m.end_offset))
        s->n_marks++;
    *nth_mark(s, s->n_marks - 1) = m;
}

/* --- content --- */

/* As it stands in JSON; one with escapes is not worth unescaping. */
static bool usable_id(struct str id)
{
    return id.n > 0 && !memchr(id.p, '\\', id.n);
}

/* The events that the coordinator adds carry the id and time of the stream's first chunk. */
static void note_first(struct request *r, const struct chunk_info *info)
{
    struct reply_state *s = &r->reply_state;

    if (s->id.p)
        return;
    s->id = usable_id(info->head.id) ? arena_dup(&r->region, info->head.id)
                                     : arena_printf(&r->region, "chatcmpl-%s", r->id);
    s->created_s =
        info->head.created_s > 0 ? info->head.created_s : clock_wall_us(&r->coord->clock) / 1000000;
}

static int stream_chunk(struct request *r, const struct chunk_info *info)
{
    struct reply_state *s = &r->reply_state;
    bool add_role = !s->role_sent && !info->has_role;
    struct str json = info->json;
    struct str parts[3];

    if (add_role || info->needs_rewrite || info->has_usage) {
        buf_clear(&s->text);
        arena_reset(&s->rewrite);
        if (chunk_normalise(info->json, add_role, true, &s->rewrite, &s->text) < 0)
            return ERR_PARSE;
        json = buf_view(&s->text);
    }
    /* What the socket has not refused yet is nobody's delay, however large a chunk may be. */
    if (http_out_blocked(r->x) && http_out_pending(r->x) + json.n > FLOW_CONSUMER_QUEUE_BYTES)
        return ERR_LIMIT;
    parts[0] = STR("data: ");
    parts[1] = json;
    parts[2] = STR("\n\n");
    if (http_stream_write(r->x, parts, 3) < 0)
        return ERR_LIMIT;
    note_first(r, info);
    s->role_sent = true;
    mark(r);
    return 0;
}

/* --- the end --- */

static struct chunk_head head_of(struct request *r)
{
    note_first(r, &(struct chunk_info){.kind = CHUNK_EMPTY});
    return (struct chunk_head){
        .id = r->reply_state.id, .model = r->chat.model, .created_s = r->reply_state.created_s};
}

static int end_event(int rc, struct buf *out)
{
    return rc == 0 ? buf_append_str(out, STR("\n\n")) : rc;
}

/* An answer without a chunk is empty, and still an answer. */
static int add_empty_answer(struct request *r, struct buf *out)
{
    const struct chunk_head head = head_of(r);
    int rc = end_event(chunk_write_role(&head, out), out);

    return rc == 0 ? end_event(chunk_write_finish(&head, CHUNK_FINISH_STOP, out), out) : rc;
}

static int add_usage(struct request *r, struct buf *out)
{
    const struct chunk_head head = head_of(r);

    return end_event(chunk_write_usage(&head, r->prompt_tokens, r->usage_completion, out), out);
}

static int add_receipt(struct request *r, struct buf *out)
{
    const struct chunk_head head = head_of(r);
    struct buf *receipt = &r->plain;
    int rc;

    buf_clear(receipt);
    rc = reply_receipt_append(r, receipt);
    return rc == 0 ? end_event(chunk_write_extra(&head, buf_view(receipt), out), out) : rc;
}

static int add_error(const struct api_error *e, struct buf *out)
{
    int rc = buf_append_str(out, STR("data: "));

    return end_event(rc == 0 ? api_error_write(e, out) : rc, out);
}

static void finish(struct request *r, int rc)
{
    struct http_exchange *x = r->x;
    struct str last;

    if (rc == 0)
        rc = buf_append_str(&r->reply_state.text, STR("data: [DONE]\n\n"));
    last = buf_view(&r->reply_state.text);
    if (rc == 0)
        rc = http_stream_write(x, &last, 1);
    r->x = NULL;
    if (rc == 0)
        http_stream_end(x);
    else
        http_stream_abort(x);
}

static void stream_end(struct request *r)
{
    struct buf *out = &r->reply_state.text;
    int rc = 0;

    buf_clear(out);
    if (!r->reply_state.role_sent)
        rc = add_empty_answer(r, out);
    if (rc == 0 && r->chat.include_usage)
        rc = add_usage(r, out);
    if (rc == 0)
        rc = add_receipt(r, out);
    finish(r, rc);
}

static void stream_error(struct request *r, const struct api_error *e)
{
    struct buf *out = &r->reply_state.text;
    int rc = 0;

    if (!r->head_sent) {
        reply_error_json(r, e);
        return;
    }
    buf_clear(out);
    if (r->content_sent) /* what was delivered is charged: the consumer sees the price */
        rc = add_receipt(r, out);
    if (rc == 0)
        rc = add_error(e, out);
    finish(r, rc);
}

const struct reply_ops reply_chat_stream = {.head = stream_head,
                                            .chunk = stream_chunk,
                                            .comment = stream_comment,
                                            .error = stream_error,
                                            .end = stream_end,
                                            .delivered = stream_delivered};
