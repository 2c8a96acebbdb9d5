/* SPDX-License-Identifier: Apache-2.0 */
/* A chat completion in one piece: deltas are joined, or the provider's whole object is taken, and
 * the answer leaves when it is complete. Until then nothing is delivered, so nothing is charged,
 * and another provider may begin anew. */
#include "coordinator/coord.h"
#include "coordinator/reply/reply.h"

static void whole_head(struct reply *rp)
{
    (void)rp; /* leaves with the answer */
}

/* A provider may go on past the limit by what its last step held. */
enum { WHOLE_OVERRUN_TOKENS = 64 };

enum { WHOLE_HEAD_BYTES = 8 << 10 }; /* of a response, at most */

static int whole_open(struct reply *rp)
{
    size_t bytes = chunk_join_bytes(rp->output_limit + WHOLE_OVERRUN_TOKENS);

    /* Of the class itself: the request may go to another loop. */
    return rp->join
               ? 0
               : chunk_join_new(rp->region, bytes, &rp->coord->hub->memory.consumers, &rp->join);
}

static int whole_chunk(struct reply *rp, const struct chunk_info *info, int64_t relayed_tokens)
{
    int rc = whole_open(rp);

    (void)relayed_tokens;
    if (rc == 0)
        rc = chunk_join_add(rp->join, info->json);
    return rc == ERR_LIMIT ? ERR_PARSE : rc; /* no provider was asked for so much */
}

static void whole_restart(struct reply *rp)
{
    chunk_join_free(rp->join);
    rp->join = NULL;
}

/* The joined answer and its receipt, for which the connection has room. */
static int whole_prepare(struct reply *rp)
{
    const struct chunk_head head = {.id = arena_printf(rp->region, "chatcmpl-%s", rp->request_id),
                                    .model = rp->model,
                                    .created_s = clock_wall_us(&rp->coord->clock) / 1000000};
    struct buf receipt;
    int rc = whole_open(rp);

    buf_init(&receipt, REPLY_MAX_BYTES);
    if (rc == 0)
        rc = reply_receipt_append(rp, &receipt);
    if (rc == 0)
        rc = chunk_join_write(rp->join, &head, rp->bill.prompt_tokens, rp->bill.completion_tokens,
                              buf_view(&receipt), &rp->whole);
    buf_free(&receipt);
    if (rc == 0 && !http_out_has_room(rp->x, WHOLE_HEAD_BYTES + rp->whole.len))
        rc = ERR_LIMIT;
    return rc;
}

static void whole_end(struct reply *rp)
{
    struct http_header headers[REPLY_MAX_HEADERS];
    struct http_exchange *x = rp->x;
    size_t n = reply_headers(rp, STR("application/json"), headers);

    rp->x = NULL;
    reply_move(rp, REPLY_ENDED);
    http_respond(x, 200, headers, n, buf_view(&rp->whole));
}

static int64_t whole_delivered(struct reply *rp)
{
    (void)rp;
    return 0;
}

const struct reply_ops reply_chat_whole = {.head = whole_head,
                                           .chunk = whole_chunk,
                                           .restart = whole_restart,
                                           .error = reply_error_json,
                                           .prepare = whole_prepare,
                                           .end = whole_end,
                                           .delivered = whole_delivered};
