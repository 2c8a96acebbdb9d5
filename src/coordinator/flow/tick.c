/* SPDX-License-Identifier: Apache-2.0 */
/* Four times a second: note in the store how much of each open hold has been delivered, so that a
 * crash leaves at most that interval unpaid, and cut consumers that take nothing. Nobody waits for
 * a checkpoint; while one batch is being written its rows are simply sent again with the next. */
#include <stdio.h>

#include "coordinator/flow/checkpoint.h"
#include "coordinator/flow/flow.h"

static void checkpoint_done(struct store_op *op)
{
    struct checkpoints *cps = list_owner(op, struct checkpoints, op.op);

    cps->busy = false;
}

static bool stalled(const struct request *r, int64_t now)
{
    return r->x && http_out_blocked(r->x) &&
           now - http_out_last_taken_us(r->x) > r->coord->settings->stall_timeout_ms * 1000;
}

static void add_row(struct request *r, struct ledger_checkpoint *op)
{
    struct ledger_checkpoint_row *row;
    int64_t delivered = flow_delivered(r);

    if (delivered == r->checkpointed_tokens || op->n == LEDGER_CHECKPOINT_MAX)
        return;
    row = &op->rows[op->n++];
    snprintf(row->request_id, sizeof row->request_id, "%s", r->id);
    snprintf(row->provider_account, sizeof row->provider_account, "%s", r->provider_account);
    row->prompt_tokens =
        r->prompt_tokens > 0 ? r->prompt_tokens : (int64_t)r->chat.prompt_bytes / 4 + 1;
    row->delivered_tokens = delivered;
    r->checkpointed_tokens = delivered;
}

void flow_tick(struct coord *c)
{
    struct checkpoints *cps = c->checkpoints;
    int64_t now = clock_mono_us(&c->clock);
    struct list_node *n = c->requests.next;

    if (!cps->busy)
        ledger_checkpoint_init(&cps->op, checkpoint_done);
    while (n != &c->requests) {
        struct request *r = list_owner(n, struct request, link);

        n = n->next;
        if (r->stage != STAGE_RELAY)
            continue;
        if (stalled(r, now)) {
            log_event(c->log, LOG_WARN, EV_SLOW_CONSUMER, KV_CSTR("request", r->id),
                      KV_INT("stalled_ms", (now - http_out_last_taken_us(r->x)) / 1000));
            api_error_set(&r->error, API_SLOW_CONSUMER, NULL,
                          "the stream was cut: nothing was read for %lld ms",
                          (long long)c->settings->stall_timeout_ms);
            flow_cancel(r, LEDGER_CONSUMER_GONE);
        } else if (!cps->busy) {
            add_row(r, &cps->op);
        }
    }
    if (!cps->busy && cps->op.n > 0) {
        cps->busy = true;
        store_submit(c->store, &cps->op.op);
    }
}
