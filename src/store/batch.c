/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit of one batch: many operations, one transaction, each with its own result. */
#include "store/batch.h"

/* Whether nothing is left of a refusal: it says so of itself, and no row was changed since. */
static bool batch_refused_clean(struct db *db, const struct store_op *op, int64_t changes_before)
{
    return (op->flags & STORE_REFUSES_CLEAN) && op->rc != ERR_STORE &&
           db_total_changes(db) == changes_before;
}

/* All in one transaction. ERR_AGAIN: one failed that may have left something behind. */
static int batch_run_bare(struct db *db, struct store_op *ops)
{
    for (struct store_op *op = ops; op; op = op->next) {
        int64_t changes = db_total_changes(db);

        op->rc = op->run(db, op);
        if (op->rc < 0 && !batch_refused_clean(db, op, changes))
            return ERR_AGAIN;
    }
    return db_commit(db);
}

static int batch_run_in_savepoint(struct db *db, struct store_op *op)
{
    int rc = db_savepoint(db);

    if (rc < 0)
        return ERR_STORE;
    rc = op->run(db, op);
    if (rc >= 0 && db_savepoint_release(db) == 0)
        return rc;
    db_savepoint_rollback(db);
    return rc < 0 ? rc : ERR_STORE;
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

/* The transaction is begun. 0: done; ERR_BUSY: the lock was lost in between; ERR_STORE. */
static int batch_try(struct db *db, struct store_op *ops, struct batch_result *result)
{
    int rc = batch_run_bare(db, ops);

    if (rc != ERR_AGAIN)
        return rc;
    db_rollback(db);
    result->repeated = true;
    rc = db_begin(db);
    return rc == 0 ? batch_run_together(db, ops) : rc;
}

static int batch_run_each_alone(struct db *db, struct store_op *ops, struct batch_result *result)
{
    result->ran = 0;
    for (struct store_op *op = ops; op; op = op->next) {
        int rc = batch_run_alone(db, op);

        if (rc == ERR_BUSY)
            break;
        op->rc = rc;
        result->ran++;
    }
    return ERR_STORE;
}

int batch_run(struct db *db, struct store_op *ops, struct batch_result *ret_result)
{
    int rc = db_begin(db);

    *ret_result = (struct batch_result){.ran = batch_count(ops)};
    if (rc < 0 && rc != ERR_BUSY) {
        for (struct store_op *op = ops; op; op = op->next)
            op->rc = ERR_STORE;
        return ERR_STORE;
    }
    if (rc == 0)
        rc = batch_try(db, ops, ret_result);
    if (rc == ERR_BUSY) {
        ret_result->ran = 0;
        return 0;
    }
    if (rc == 0)
        return 0;
    db_rollback(db);
    return batch_run_each_alone(db, ops, ret_result);
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
