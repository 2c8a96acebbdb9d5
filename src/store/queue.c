/* SPDX-License-Identifier: Apache-2.0 */
#include "store/queue.h"

void op_queue_push(struct op_queue *q, struct store_op *op)
{
    op->next = NULL;
    if (q->tail)
        q->tail->next = op;
    else
        q->head = op;
    q->tail = op;
    q->n++;
}

struct op_queue op_queue_take(struct op_queue *q, size_t max)
{
    struct op_queue taken = {.head = q->head};

    while (taken.n < max && q->head) {
        taken.tail = q->head;
        q->head = q->head->next;
        taken.n++;
    }
    if (taken.tail)
        taken.tail->next = NULL;
    else
        taken.head = NULL;
    if (!q->head)
        q->tail = NULL;
    q->n -= taken.n;
    return taken;
}

void op_queue_append(struct op_queue *q, const struct op_queue *more)
{
    if (!more->head)
        return;
    if (q->tail)
        q->tail->next = more->head;
    else
        q->head = more->head;
    q->tail = more->tail;
    q->n += more->n;
}

void op_queue_prepend(struct op_queue *q, const struct op_queue *more)
{
    if (!more->head)
        return;
    more->tail->next = q->head;
    if (!q->tail)
        q->tail = more->tail;
    q->head = more->head;
    q->n += more->n;
}
