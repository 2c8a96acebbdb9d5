/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit of one batch: many operations, one transaction, each with its own result. */
#ifndef DARKBLOOM_STORE_BATCH_H
#define DARKBLOOM_STORE_BATCH_H

#include "store/store.h"

enum { BATCH_MAX_OPS = 256 };

struct batch_result {
    size_t ran;    /* how many from the front have an rc; the others were not run, because another
                      process has the write lock */
    bool repeated; /* an operation had something to undo: all ran again, with savepoints */
};

/* Run the operations of the list (linked by next, in order) and set the rc of each. First without
 * savepoints; if one fails that may have changed something, all is rolled back and run again, each
 * in its savepoint; if that transaction fails too, or the first one's commit, each runs in a
 * transaction of its own. Returns 0, or ERR_STORE when it came to the last. */
int batch_run(struct db *db, struct store_op *ops, struct batch_result *ret_result);

/* Run operations that only read in one view of the database, and set the rc of each: ERR_INTERNAL,
 * and nothing is changed, for one that writes. */
void batch_read(struct db *db, struct store_op *ops);

#endif
