/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit of one batch: many operations, one transaction, each with its own result. */
#include "store/batch.h"

static int batch_run_in_savepoint(struct db *db, struct store_op *op)
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
static int batch_run_together(struct db *db, struct store_op *ops)
{
    for (struct store_op *op = ops; op; op = op->next) {
        op->rc = batch_run_in_savepoint(db, op);
        if (!db_in_transaction(db))
            return ERR_STORE;
    }
    return db_commit(db);
}

static int batch_run_alone(struct db *db, struct store_op *op)
{
    int rc = db_begin(db);

    if (rc < 0)
        return rc == ERR_BUSY ? rc : ERR_STORE;
    rc = op->run(db, op);
    if (rc >= 0 && db_commit(db) < 0)
        rc = ERR_STORE;
    db_rollback(db);
    return rc;
}

static size_t batch_count(const struct store_op *ops)
{
    size_t n = 0;

    for (; ops; ops = ops->next)
        n++;
    return n;
}

int batch_run(struct db *db, struct store_op *ops, size_t *ret_ran)
{
    int rc = db_begin(db);

    *ret_ran = rc == ERR_BUSY ? 0 : batch_count(ops);
    if (rc == ERR_BUSY)
        return 0;
    if (rc < 0) {
        for (struct store_op *op = ops; op; op = op->next)
            op->rc = ERR_STORE;
        return ERR_STORE;
    }
    if (batch_run_together(db, ops) == 0)
        return 0;
    db_rollback(db);
    *ret_ran = 0;
    for (struct store_op *op = ops; op; op = op->next) {
        rc = batch_run_alone(db, op);
        if (rc == ERR_BUSY)
            break;
        op->rc = rc;
        ++*ret_ran;
    }
    return ERR_STORE;
}

void batch_read(struct db *db, struct store_op *ops)
{
    int rc = db_begin_read(db);

    for (struct store_op *op = ops; op; op = op->next) {
        op->rc = rc < 0 ? ERR_STORE : op->run(db, op);
        if (rc == 0 && db_is_writing(db)) {
            op->rc = ERR_INTERNAL;
            db_rollback(db);
            rc = db_begin_read(db);
        }
    }
    db_rollback(db);
}
