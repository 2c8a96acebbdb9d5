/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint: note how much of each open hold has been delivered, for recovery to charge. */
#include "base/list.h"
#include "ledger/ledger.h"

static int checkpoint_note_row(struct db *db, const struct ledger_checkpoint_row *row)
{
    struct db_stmt *st =
        db_stmt(db, "UPDATE holds SET provider_account = ?2, prompt_tokens = ?3,"
                    " delivered_tokens = ?4 WHERE request_id = ?1 AND settled_us IS NULL"
                    " AND delivered_tokens < ?4");

    db_bind_str(st, 1, str_from(row->request_id));
    db_bind_str(st, 2, str_from(row->provider_account));
    db_bind_i64(st, 3, row->prompt_tokens);
    db_bind_i64(st, 4, row->delivered_tokens);
    return db_run(st) < 0 ? ERR_STORE : 0;
}

static int checkpoint_run(struct db *db, struct store_op *op)
{
    const struct ledger_checkpoint *c = list_owner(op, struct ledger_checkpoint, op);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < c->n; i++)
        rc = checkpoint_note_row(db, &c->rows[i]);
    return rc;
}

void ledger_checkpoint_init(struct ledger_checkpoint *c, void (*done)(struct store_op *op))
{
    c->op = (struct store_op){.run = checkpoint_run, .done = done};
    c->n = 0; /* the rows are large and written before they are read */
}
