/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit of one batch: many operations, one transaction, each with its own result. */
#include "store/batch.h"

static int run_in_savepoint(struct db *db, struct store_op *op)
{
    int rc = db_savepoint(db);

    if (rc < 0)
        return ERR_STORE;
    rc = op->run(db, op);
    if (rc < 0) {
        db_savepoint_rollback(db);
        return rc;
    }
    return db_savepoint_release(db) < 0 ? ERR_STORE : rc;
}

/* All in one transaction. A full disk or an I/O error may end the transaction under an operation:
 * what ran before it in the batch is gone too. */
static int run_together(struct db *db, struct store_op *ops)
{
    for (struct store_op *op = ops; op; op = op->next) {
        op->rc = run_in_savepoint(db, op);
        if (!db_in_transaction(db))
            return ERR_STORE;
    }
    return db_commit(db);
}

static int run_alone(struct db *db, struct store_op *op)
{
    int rc = db_begin(db);

    if (rc < 0)
        return ERR_STORE;
    rc = op->run(db, op);
    if (rc >= 0 && db_commit(db) < 0)
        rc = ERR_STORE;
    db_rollback(db);
    return rc;
}

int batch_run(struct db *db, struct store_op *ops)
{
    int rc = db_begin(db);

    if (rc < 0) { /* waiting for the lock once more for each operation would take minutes */
        for (struct store_op *op = ops; op; op = op->next)
            op->rc = ERR_STORE;
        return rc;
    }
    if (run_together(db, ops) == 0)
        return 0;
    db_rollback(db);
    for (struct store_op *op = ops; op; op = op->next)
        op->rc = run_alone(db, op);
    return ERR_STORE;
}
