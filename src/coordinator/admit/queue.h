/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that found no free slot wait here, between reserve and route. One queue a model; in it
 * one line for each account and trust level that it demands. A freed slot goes to the accounts in
 * turn and, within one, to who came first; one that demands more trust than is free holds up
 * nobody. An account may have only so many waiting, whatever the model. Belongs to the loop's
 * thread. */
#ifndef DARKBLOOM_COORDINATOR_ADMIT_QUEUE_H
#define DARKBLOOM_COORDINATOR_ADMIT_QUEUE_H

#include "coordinator/admit/accounts.h"
#include "coordinator/registry/registry.h"
#include "net/loop.h"

/* Embed in what waits. Zero it before first use. */
struct queue_ticket {
    /* set before queue_wait */
    struct loop *loop;
    struct model *model;
    struct account *account;
    enum trust_level min_trust;
    /* A slot that would do is free: choose now. The ticket waits on until queue_leave. */
    void (*called)(struct queue_ticket *t);
    /* The time to wait is over; it has left the queue. */
    void (*expired)(struct queue_ticket *t);

    /* the queue's own */
    struct list_node of_account; /* linked while it waits */
    struct list_node in_turn;    /* the first of a line: among the model's lines */
    struct list_node in_line;    /* behind the first: in `line` of the first */
    struct list_node line;       /* of the first: who waits behind it */
    struct loop_timer timer;
    uint64_t number; /* of arrival */
};

struct queue_limits {
    int64_t per_model, per_account;
};

/* Wait for a slot, at most `wait_us`. 0 (also when it waits already); ERR_BUSY: the model's queue
 * is full, ERR_LIMIT: the account has as many waiting as it may. */
int queue_wait(struct queue_ticket *t, const struct queue_limits *limits, int64_t wait_us);

bool queue_waits(const struct queue_ticket *t);
/* One who waits for the model and whom an offer at `level` would do for, in turn, of those that
 * `would_do` says may go; it waits on. Looks at a bounded number. NULL: none. */
struct queue_ticket *queue_give(struct model *m, enum trust_level level,
                                bool (*would_do)(struct queue_ticket *t, void *ud), void *ud);

/* Stop waiting (cancelled, or on its way). One that does not wait is left alone. */
void queue_leave(struct queue_ticket *t);

/* A slot is free: call tickets in turn until one has left the queue. Whether one has; then call
 * again, while there is something to choose. */
bool queue_call(struct model *m);

#endif
