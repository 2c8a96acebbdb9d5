/* SPDX-License-Identifier: Apache-2.0 */
/* Four times a second: note in the store how much of each open hold has been delivered, so that a
 * crash leaves at most that interval unpaid, and cut consumers that take nothing. Nobody waits for
 * a checkpoint. One batch is with the store at a time; what did not fit into it follows when it is
 * written, and what it failed to write is sent again. */
#include <stdio.h>

#include "coordinator/flow/checkpoint.h"
#include "coordinator/flow/flow.h"

static void tick_submit_checkpoints(struct coord *c);

static void tick_checkpoint_done(struct store_op *op)
{
    struct checkpoints *cps = list_owner(op, struct checkpoints, op.op);
    struct coord *c = cps->coord;

    cps->busy = false;
    for (struct list_node *n = c->requests.next; op->rc < 0 && n != &c->requests; n = n->next)
        list_owner(n, struct request, link)->hold.checkpointed_tokens = 0;
    if (op->rc == 0)
        tick_submit_checkpoints(c);
}

static bool tick_stalled(const struct request *r, int64_t now)
{
    const struct http_exchange *x = r->reply.x;

    return x && http_out_blocked(x) &&
           now - http_out_last_taken_us(x) > r->coord->settings->stall_timeout_ms * 1000;
}

static void tick_add_row(struct request *r, struct ledger_checkpoint *op, int64_t delivered)
{
    struct ledger_checkpoint_row *row = &op->rows[op->n++];

    snprintf(row->request_id, sizeof row->request_id, "%s", r->id);
    snprintf(row->provider_account, sizeof row->provider_account, "%s", r->tries.account);
    row->prompt_tokens = request_prompt_tokens(r);
    row->delivered_tokens = delivered;
    r->hold.checkpointed_tokens = delivered;
    r->hold.checkpoint_tick = r->coord->ticks;
}

/* Each request has at most one row a tick. Who got one goes to the end of the list, so that where
 * not all fit into a tick's batches all get their turn. */
static void tick_submit_checkpoints(struct coord *c)
{
    struct checkpoints *cps = c->checkpoints;
    struct list_node *n = c->requests.next;

    if (cps->busy)
        return;
    ledger_checkpoint_init(&cps->op, tick_checkpoint_done);
    while (n != &c->requests && cps->op.n < LEDGER_CHECKPOINT_MAX) {
        struct request *r = list_owner(n, struct request, link);
        int64_t delivered = r->stage == STAGE_RELAY ? request_delivered(r) : 0;

        n = n->next;
        if (delivered == 0 || delivered == r->hold.checkpointed_tokens ||
            r->hold.checkpoint_tick == c->ticks)
            continue;
        tick_add_row(r, &cps->op, delivered);
        list_remove(&r->link);
        list_push_back(&c->requests, &r->link);
    }
    if (cps->op.n > 0) {
        cps->busy = true;
        coord_submit_soon(c, &cps->op.op);
    }
}

static void tick_cut_if_stalled(struct request *r, int64_t now)
{
    if (r->stage != STAGE_RELAY || !tick_stalled(r, now))
        return;
    log_event(r->coord->log, LOG_WARN, EV_SLOW_CONSUMER, KV_CSTR("request", r->id),
              KV_INT("stalled_ms", (now - http_out_last_taken_us(r->reply.x)) / 1000));
    api_error_set(&r->error, API_SLOW_CONSUMER, NULL,
                  "the stream was cut: nothing was read for %lld ms",
                  (long long)r->coord->settings->stall_timeout_ms);
    flow_fail(r, LEDGER_CONSUMER_GONE);
}

void flow_tick(struct coord *c)
{
    int64_t now = clock_mono_us(&c->clock);
    struct list_node *n = c->requests.next;

    while (n != &c->requests) {
        struct request *r = list_owner(n, struct request, link);

        n = n->next;
        tick_cut_if_stalled(r, now);
    }
    tick_submit_checkpoints(c);
}
