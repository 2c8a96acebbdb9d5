/* SPDX-License-Identifier: Apache-2.0 */
/* A request goes to another event loop, with its exchange and connection: between stages only,
 * while no provider works at it and no operation of it is with the store. It leaves at the end of
 * its loop's iteration, outside of any callback of its connection, and goes on in the stage where
 * it was. The consumer's connection stays where it arrives. */
#include "coordinator/flow/flow.h"
#include "coordinator/registry/directory.h"
#include "coordinator/registry/group.h"

static struct directory *transfer_directory(const struct request *r)
{
    return registry_group_directory(r->coord->hub->group);
}

/* --- arriving --- */

static void transfer_no_memory(struct request *r)
{
    api_error_set(&r->error, API_OVERLOADED, NULL, "the coordinator has no memory left; try again");
    r->error.retry_after_s = 1;
    flow_fail(r, LEDGER_RELEASED);
}

/* What it had of the other loop, it has of this one. */
static int transfer_take_on(struct request *r)
{
    struct coord *c = r->coord;
    struct account *account = accounts_by_name(c->accounts, r->account->name);

    list_push_back(&c->requests, &r->link);
    c->n_requests++;
    r->reply.coord = r->identify.coord = c;
    r->hold.checkpoint_tick = 0;
    r->account = account ? account : r->account; /* for its purse alone */
    r->model = registry_model(c->registry, r->chat.model);
    if (r->model)
        r->model->n_requests++;
    flow_arm_deadline(r);
    if (http_exchange_attach(r->reply.x, c->server) < 0) { /* its connection is closed */
        r->reply.x = NULL;
        reply_move(&r->reply, REPLY_ENDED);
        r->consumer_gone = true;
        return ERR_CLOSED;
    }
    return account && r->model ? 0 : ERR_NOMEM;
}

static void transfer_arrived(void *ud)
{
    struct request *r = ud;
    struct directory_row *row = r->transfer.row;
    unsigned here = r->transfer.to;
    struct directory *d;
    int rc;

    r->coord = r->coord->hub->shards[here];
    d = transfer_directory(r);
    r->transfer.row = NULL;
    rc = transfer_take_on(r);
    if (rc == ERR_CLOSED) {
        flow_fail(r, LEDGER_CONSUMER_GONE);
    } else if (rc < 0) {
        transfer_no_memory(r);
    } else if (r->coord->stopping) {
        flow_stop(r);
    } else {
        if (r->hold.state != HOLD_NONE)
            flow_watch_head(r);
        flow_resume(r);
    }
    directory_arrive(row, here); /* it has its slot now, or waits for one */
    directory_release(d, row);
}

/* --- leaving --- */

static void transfer_depart(void *ud)
{
    struct request *r = ud;
    struct coord *c = r->coord;

    loop_timer_clear(c->loop, &r->deadline_timer);
    loop_timer_clear(c->loop, &r->head_timer);
    list_remove(&r->link);
    c->n_requests--;
    r->model->n_requests--;
    r->model = NULL;
    http_exchange_detach(r->reply.x);
    inbox_post(c->hub->inboxes[r->transfer.to], &r->transfer.item, transfer_arrived, r);
}

bool flow_may_transfer(const struct request *r)
{
    bool held = r->hold.state == HOLD_COMMITTED && r->hold.decided;

    return (r->hold.state == HOLD_NONE || held) && r->tries.state == ATTEMPT_NONE && r->reply.x &&
           !r->transfer.row && !r->coord->stopping;
}

void flow_transfer(struct request *r, unsigned to)
{
    CHECK(flow_may_transfer(r) && to != r->coord->number);
    if (queue_waits(&r->ticket)) {
        queue_leave(&r->ticket);
        r->reply.timing.queue_us += clock_mono_us(&r->coord->clock) - r->times.queued_at;
    }
    r->transfer.to = to;
    r->transfer.row = directory_hold(transfer_directory(r), str_from(r->model->id));
    CHECK(r->transfer.row); /* the model here holds it too */
    directory_depart(r->transfer.row, to);
    loop_defer_add(r->coord->loop, &r->transfer.later, transfer_depart, r);
}

bool flow_is_leaving(const struct request *r)
{
    return r->transfer.row != NULL;
}

void flow_transfer_cancel(struct request *r)
{
    struct directory_row *row = r->transfer.row;

    if (!row)
        return;
    r->transfer.row = NULL;
    loop_defer_remove(r->coord->loop, &r->transfer.later);
    directory_arrive(row, r->transfer.to);
    directory_release(transfer_directory(r), row);
}
