/* SPDX-License-Identifier: Apache-2.0 */
/* A streamed chat completion: server-sent events. A stream that succeeds ends with its usage (where
 * asked for), its receipt (where asked for: an event of empty `choices` that nobody asked for
 * breaks clients that read choices[0]) and exactly one [DONE], all in one write. One that fails
 * ends with an error event and no [DONE]. */
#include "coordinator/coord.h"
#include "coordinator/reply/reply.h"

static void stream_send_head(struct reply *rp)
{
    struct http_header headers[REPLY_MAX_HEADERS + 1];
    size_t n = reply_headers(rp, STR("text/event-stream"), headers);

    headers[n++] = (struct http_header){STR("Cache-Control"), STR("no-cache")};
    http_stream_begin(rp->x, 200, headers, n);
}

static void stream_head(struct reply *rp)
{
    if (rp->state == REPLY_NOTHING && rp->x)
        stream_send_head(rp);
    if (rp->state < REPLY_CONTENT)
        reply_move(rp, REPLY_CONTENT);
}

static void stream_comment(struct reply *rp)
{
    const struct str comment = STR(": waiting for the first token\n\n");

    if (rp->state == REPLY_NOTHING) {
        stream_send_head(rp);
        reply_move(rp, REPLY_HEAD);
    }
    /* A consumer whose queue is full needs no sign of life. */
    (void)http_stream_write(rp->x, &comment, 1);
}

/* --- what the socket has taken --- */

static int64_t stream_delivered(struct reply *rp)
{
    uint64_t taken = http_out_taken(rp->x);

    while (rp->n_marks > 0 && rp->marks[rp->first_mark].end_offset <= taken) {
        rp->taken_tokens = rp->marks[rp->first_mark].tokens;
        rp->first_mark = (rp->first_mark + 1) % REPLY_MARKS;
        rp->n_marks--;
    }
    return rp->taken_tokens;
}

static struct reply_mark *stream_nth_mark(struct reply *rp, size_t n)
{
    return &rp->marks[(rp->first_mark + n) % REPLY_MARKS];
}

/* The newest mark stands for this chunk too while it is within SPACING of the one before it. */
static bool stream_may_move_newest(struct reply *rp, uint64_t end_offset)
{
    enum { SPACING = REPLY_QUEUE_BYTES / (REPLY_MARKS / 2) };

    return rp->n_marks == REPLY_MARKS ||
           (rp->n_marks >= REPLY_MARKS / 2 &&
            end_offset - stream_nth_mark(rp, rp->n_marks - 2)->end_offset < SPACING);
}

static void stream_mark(struct reply *rp, int64_t relayed_tokens)
{
    const struct reply_mark m = {http_out_queued(rp->x), relayed_tokens};

    if (rp->n_marks >= REPLY_MARKS / 2)
        (void)stream_delivered(rp); /* forgets the marks that were reached */
    if (!stream_may_move_newest(rp, m.end_offset))
        rp->n_marks++;
    *stream_nth_mark(rp, rp->n_marks - 1) = m;
}

/* --- content --- */

/* As it stands in JSON; one with escapes is not worth unescaping. */
static bool stream_usable_id(struct str id)
{
    return id.n > 0 && !memchr(id.p, '\\', id.n);
}

/* The events that the coordinator adds carry the id and time of the stream's first chunk. */
static void stream_note_first(struct reply *rp, const struct chunk_info *info)
{
    if (rp->id.p)
        return;
    rp->id = stream_usable_id(info->head.id)
                 ? arena_dup(rp->region, info->head.id)
                 : arena_printf(rp->region, "chatcmpl-%s", rp->request_id);
    rp->created_s = info->head.created_s > 0 ? info->head.created_s
                                             : clock_wall_us(&rp->coord->clock) / 1000000;
}

static int stream_chunk(struct reply *rp, const struct chunk_info *info, int64_t relayed_tokens)
{
    bool add_role = !rp->role_sent && !info->has_role;
    struct str json = info->json;
    struct str parts[3];
    int rc;

    if (add_role || info->needs_rewrite || info->has_usage) {
        buf_clear(&rp->text);
        arena_reset(&rp->rewrite);
        rc = chunk_normalise(info->json, add_role, true, &rp->rewrite, &rp->text);
        if (rc < 0)
            return rc == ERR_LIMIT ? ERR_NOMEM : rc;
        json = buf_view(&rp->text);
    }
    /* What the socket has not refused yet is nobody's delay, however large a chunk may be. */
    if (http_out_blocked(rp->x) && http_out_pending(rp->x) + json.n > REPLY_QUEUE_BYTES)
        return ERR_LIMIT;
    parts[0] = STR("data: ");
    parts[1] = json;
    parts[2] = STR("\n\n");
    if (http_stream_write(rp->x, parts, 3) < 0)
        return http_out_blocked(rp->x) ? ERR_LIMIT : ERR_NOMEM;
    stream_note_first(rp, info);
    rp->role_sent = true;
    stream_mark(rp, relayed_tokens);
    return 0;
}

/* --- the end --- */

static struct chunk_head stream_head_of(struct reply *rp)
{
    stream_note_first(rp, &(struct chunk_info){.kind = CHUNK_EMPTY});
    return (struct chunk_head){.id = rp->id, .model = rp->model, .created_s = rp->created_s};
}

static int stream_end_event(int rc, struct buf *out)
{
    return rc == 0 ? buf_append_str(out, STR("\n\n")) : rc;
}

static int stream_add_usage(struct reply *rp, struct buf *out)
{
    const struct chunk_head head = stream_head_of(rp);

    return stream_end_event(
        chunk_write_usage(&head, rp->bill.prompt_tokens, rp->bill.completion_tokens, out), out);
}

static int stream_add_receipt(struct reply *rp, struct buf *out)
{
    const struct chunk_head head = stream_head_of(rp);
    struct buf receipt;
    int rc;

    buf_init(&receipt, REPLY_MAX_BYTES);
    rc = reply_receipt_append(rp, &receipt);
    if (rc == 0)
        rc = stream_end_event(chunk_write_extra(&head, buf_view(&receipt), out), out);
    buf_free(&receipt);
    return rc;
}

static int stream_add_error(const struct api_error *e, struct buf *out)
{
    int rc = buf_append_str(out, STR("data: "));

    return stream_end_event(rc == 0 ? api_error_write(e, out) : rc, out);
}

static void stream_finish(struct reply *rp, int rc)
{
    struct http_exchange *x = rp->x;
    struct str last = buf_view(&rp->text);

    if (rc == 0 && last.n > 0)
        rc = http_stream_write(x, &last, 1);
    rp->x = NULL;
    reply_move(rp, REPLY_ENDED);
    if (rc == 0)
        http_stream_end(x);
    else
        http_stream_abort(x);
}

static void stream_end(struct reply *rp)
{
    struct buf *out = &rp->text;
    int rc = 0;

    buf_clear(out);
    if (rp->include_usage)
        rc = stream_add_usage(rp, out);
    if (rc == 0 && rp->include_receipt)
        rc = stream_add_receipt(rp, out);
    if (rc == 0)
        rc = buf_append_str(out, STR("data: [DONE]\n\n"));
    stream_finish(rp, rc);
}

static void stream_error(struct reply *rp, const struct api_error *e)
{
    struct buf *out = &rp->text;
    int rc = 0;

    if (rp->state == REPLY_NOTHING) {
        reply_error_json(rp, e);
        return;
    }
    buf_clear(out);
    /* What was delivered is charged: whoever asked for receipts sees the price. */
    if (rp->state == REPLY_CONTENT && rp->include_receipt)
        rc = stream_add_receipt(rp, out);
    if (rc == 0)
        rc = stream_add_error(e, out);
    stream_finish(rp, rc);
}

const struct reply_ops reply_chat_stream = {.head = stream_head,
                                            .chunk = stream_chunk,
                                            .comment = stream_comment,
                                            .error = stream_error,
                                            .end = stream_end,
                                            .delivered = stream_delivered};
