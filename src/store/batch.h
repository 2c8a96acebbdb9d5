/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit of one batch: many operations, one transaction, each with its own result. */
#ifndef DARKBLOOM_STORE_BATCH_H
#define DARKBLOOM_STORE_BATCH_H

#include "store/store.h"

enum { BATCH_MAX_OPS = 256 };

/* Run the operations of the list (linked by next, in order) and set the rc of each. Returns 0, or
 * the error of the whole batch when its transaction failed: then each operation was run again in a
 * transaction of its own. */
int batch_run(struct db *db, struct store_op *ops);

#endif
