/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit of one batch: many operations, one transaction, each with its own result. */
#ifndef DARKBLOOM_STORE_BATCH_H
#define DARKBLOOM_STORE_BATCH_H

#include "store/store.h"

enum { BATCH_MAX_OPS = 256 };

/* Run the operations of the list (linked by next, in order) and set the rc of each. *ret_ran says
 * how many from the front have one: the others were not run, because another process has the write
 * lock. Returns 0, or ERR_STORE when the transaction failed: then each operation was run again in a
 * transaction of its own. */
int batch_run(struct db *db, struct store_op *ops, size_t *ret_ran);

/* Run operations that only read in one view of the database, and set the rc of each: ERR_INTERNAL,
 * and nothing is changed, for one that writes. */
void batch_read(struct db *db, struct store_op *ops);

#endif
