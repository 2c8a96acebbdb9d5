/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of operations, linked through store_op.next. Internal to store/; the caller locks. */
#ifndef DARKBLOOM_STORE_QUEUE_H
#define DARKBLOOM_STORE_QUEUE_H

#include "store/store.h"

struct op_queue {
    struct store_op *head, *tail;
    size_t n;
};

void op_queue_push(struct op_queue *q, struct store_op *op);
/* Take at most `max` from the front: a list that ends with NULL. */
struct op_queue op_queue_take(struct op_queue *q, size_t max);
/* Put all of `more` behind, or in front of, what is in `q`. */
void op_queue_append(struct op_queue *q, const struct op_queue *more);
void op_queue_prepend(struct op_queue *q, const struct op_queue *more);

#endif
