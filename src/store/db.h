/* SPDX-License-Identifier: Apache-2.0 */
/* The dialect seam: the few calls through which SQL reaches a database. db_sqlite.c is the embedded
 * one. Statements are prepared once and kept. A struct db belongs to one thread at a time; two
 * handles on one file, in one process or in several, are the database's business. */
#ifndef DARKBLOOM_STORE_DB_H
#define DARKBLOOM_STORE_DB_H

#include "base/err.h"
#include "base/str.h"

struct db;
struct db_stmt;

enum db_open_mode {
    DB_CREATE,    /* make the file (mode 0600) where there is none */
    DB_MUST_EXIST /* ERR_NOT_FOUND where there is none */
};

/* Open the file. SQLite: write-ahead log (a file system that cannot have one is an error that names
 * it), synchronous=FULL (a commit that returned survives power loss; on macOS fullfsync), foreign
 * keys enforced, other processes waited for up to 5 s (db_set_patience). The first call of a
 * process must not race with another one (it configures SQLite). 0, ERR_NOT_FOUND, ERR_NOMEM or
 * ERR_STORE with a text that names the file and the way out. */
int db_open(const char *path, enum db_open_mode mode, struct db **ret_db, struct err *ret_err);
/* NULL is allowed. */
void db_close(struct db *db);

/* Run statements without parameters or rows. 0 or ERR_STORE. */
int db_exec(struct db *db, const char *sql);

/* The prepared statement of `sql`, reset and without bindings. `sql` must live as long as `db` and
 * never change (a string literal): statements are cached by its address. NULL on failure;
 * db_message says why. Parameters are ?1, ?2 … */
struct db_stmt *db_stmt(struct db *db, const char *sql);
/* Binding accepts a NULL statement and does nothing; a failed binding shows in db_step. */
void db_bind_i64(struct db_stmt *st, int index, int64_t value);
void db_bind_str(struct db_stmt *st, int index,
                 struct str value); /* .p NULL binds NULL; borrowed until reset */
void db_bind_blob(struct db_stmt *st, int index,
                  struct str bytes); /* as db_bind_str, for BLOB columns */

/* 1: a row is there; 0: done; ERR_STORE, or ERR_EXISTS for a violated unique key. Accepts NULL
 * (ERR_STORE), so that prepare and step are checked in one place. */
int db_step(struct db_stmt *st);
/* Step a statement that returns no rows, then reset. 0, ERR_STORE or ERR_EXISTS. */
int db_run(struct db_stmt *st);
/* End a statement whose rows are not read to the end. NULL is allowed. */
void db_reset(struct db_stmt *st);
int64_t db_col_i64(struct db_stmt *st, int column); /* 0-based; 0 for NULL */
struct str db_col_str(struct db_stmt *st,
                      int column); /* text or blob; valid until the next step or reset */
bool db_col_is_null(struct db_stmt *st, int column);
int64_t db_changes(struct db *db); /* rows changed by the last db_run */
int64_t db_last_id(struct db *db); /* id of the row inserted last */
/* Rows changed since the connection was opened, those that were undone since included. */
int64_t db_total_changes(struct db *db);

/* How long a statement waits for the locks of other processes. */
void db_set_patience(struct db *db, int ms);

/* The write lock is taken at once, so that a transaction never fails half-way for want of it:
 * ERR_BUSY when another process kept it for longer than our patience, else 0 or ERR_STORE. */
int db_begin(struct db *db);
/* A consistent view for reading: writers are neither kept out nor seen. End it with db_rollback. */
int db_begin_read(struct db *db);
/* 0: durable. On failure the transaction is still open unless the database ended it. */
int db_commit(struct db *db);
void db_rollback(struct db *db); /* without a transaction: nothing */
/* Whether a transaction is open: some failures (full disk, I/O) end it from below. */
bool db_in_transaction(struct db *db);
/* Whether the open transaction has taken the write lock. */
bool db_is_writing(struct db *db);
int db_savepoint(struct db *db);
int db_savepoint_release(struct db *db);
void db_savepoint_rollback(struct db *db);

/* Sums that a module keeps beside the open transaction instead of writing them at every step. */
struct db_pending_ops {
    int (*flush)(struct db *db, void *pending); /* write them: 0, or ERR_STORE fails the commit */
    void (*drop)(void *pending);                /* forget them: they were rolled back */
};
/* The connection's block of `bytes` for them, zeroed when it is first asked for; NULL: no memory.
 * It is flushed before a commit and before a savepoint begins or is released, and dropped when
 * either is rolled back. There is one a connection. */
void *db_pending(struct db *db, const struct db_pending_ops *ops, size_t bytes);

/* Changes whenever another connection committed. */
int64_t db_foreign_version(struct db *db);

/* Why the last failure happened, for operators; "" when nothing failed. Never contains bound
 * values. */
const char *db_message(struct db *db);

#endif
