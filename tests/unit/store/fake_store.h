/* SPDX-License-Identifier: Apache-2.0 */
/* A database in a directory of its own, a clock that stands still, and small operations to submit.
 */
#ifndef DARKBLOOM_TESTS_FAKE_STORE_H
#define DARKBLOOM_TESTS_FAKE_STORE_H

#include "store/store.h"

struct fake_store {
    char dir[64], path[96];
    int64_t now_us;          /* what the clock says, both kinds */
    int64_t foreign_changes; /* how often on_foreign_change was called */
    struct store *store;
};

/* The directory, without a store. Aborts the test on failure, as everything here. */
void fake_store_dir(struct fake_store *f);
/* Directory and unthreaded store. */
void fake_store_open(struct fake_store *f);
void fake_store_reopen(struct fake_store *f);
/* Close and remove everything. */
void fake_store_close(struct fake_store *f);
struct store_config fake_store_config(struct fake_store *f);

/* A second connection to the file, for tampering and for looking at it from outside. */
struct db *fake_store_side_door(struct fake_store *f);
/* The one number that a query finds; `sql` as for db_stmt. */
int64_t fake_store_number(struct db *db, const char *sql);

/* An operation that runs SQL. */
struct sql_op {
    struct store_op op;
    const char *sql;
    int rc_after; /* returned instead of success */
    int runs;     /* how often run was called */
    int *order;   /* NULL, or a counter: place gets its value when done */
    int place;
};
void sql_op_init(struct sql_op *o, const char *sql);

#endif
