/* SPDX-License-Identifier: Apache-2.0 */
/* What the forms of answers share: their states, their memory, the receipt. */
#include "coordinator/reply/reply.h"

#include "base/state.h"
#include "coordinator/coord.h"
#include "proto/shape.h"

static const struct state_row reply_rows[] = {
    [REPLY_NOTHING] = {"nothing",
                       STATE_BIT(REPLY_HEAD) | STATE_BIT(REPLY_CONTENT) | STATE_BIT(REPLY_ENDED)},
    [REPLY_HEAD] = {"head", STATE_BIT(REPLY_CONTENT) | STATE_BIT(REPLY_ENDED)},
    [REPLY_CONTENT] = {"content", STATE_BIT(REPLY_ENDED)},
    [REPLY_ENDED] = {"ended", 0},
};
static const struct state_table reply_states = {"reply", reply_rows,
                                                sizeof reply_rows / sizeof reply_rows[0]};

void reply_move(struct reply *rp, enum reply_state next)
{
    state_check_move(&reply_states, rp->state, next);
    rp->state = next;
}

void reply_init(struct reply *rp, struct coord *c, struct http_exchange *x, struct arena *region)
{
    *rp = (struct reply){.ops = &reply_chat_whole, .coord = c, .x = x, .region = region};
    buf_init(&rp->text, REPLY_MAX_BYTES);
    buf_init(&rp->whole, REPLY_MAX_BYTES);
    arena_init(&rp->rewrite, REPLY_MAX_BYTES);
}

void reply_consumer_gone(struct reply *rp)
{
    rp->taken_tokens = rp->ops->delivered(rp);
    rp->x = NULL;
    reply_move(rp, REPLY_ENDED);
}

int64_t reply_delivered(struct reply *rp)
{
    return rp->x ? rp->ops->delivered(rp) : rp->taken_tokens;
}

void reply_free(struct reply *rp)
{
    chunk_join_free(rp->join);
    rp->join = NULL; /* it lay in the request's region */
    buf_free(&rp->text);
    buf_free(&rp->whole);
    arena_free(&rp->rewrite);
}

static int reply_append_member(struct buf *out, const char *name, struct str value)
{
    int rc = value.n > 0 ? buf_printf(out, ",\"%s\":", name) : 0;

    return rc == 0 && value.n > 0 ? json_append_str(out, value) : rc;
}

int reply_receipt_append(const struct reply *rp, struct buf *out)
{
    int rc = buf_printf(out,
                        "\"receipt\":{\"request_id\":\"%s\",\"provider_id\":\"%s\","
                        "\"trust_level\":\"%s\",\"cost_micro_usd\":%lld,\"timing\":",
                        rp->request_id, rp->source.provider_id, trust_name(rp->source.trust),
                        (long long)rp->bill.cost_micro_usd);

    if (rc == 0)
        rc = reply_timing_append(rp, out);
    if (rc == 0)
        rc = buf_append_str(out, STR("}"));
    if (rc == 0)
        rc = reply_append_member(out, "se_signature", rp->bill.se_signature);
    if (rc == 0)
        rc = reply_append_member(out, "response_hash", rp->bill.response_hash);
    return rc;
}
