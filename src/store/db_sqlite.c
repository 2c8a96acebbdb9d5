/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite dialect: one connection in write-ahead mode with a cache of prepared statements. */
#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/fsname.h"

enum {
    DB_PATIENCE_MS = 5000,
    STMT_SLOTS = 256, /* a power of two, several times the statements of the program */
    MESSAGE_BYTES = 200
};

struct db_stmt {
    const char *sql; /* the cache's key: its address; NULL: empty slot */
    sqlite3_stmt *handle;
    struct db *db;
    int bind_rc;
};

struct db {
    sqlite3 *handle;
    char message[MESSAGE_BYTES];
    const struct db_pending_ops *pending_ops;
    void *pending;
    struct db_stmt stmts[STMT_SLOTS];
};

/* The cache of 8 MiB holds the recent part of the ledger's indexes; with 64 MiB nothing was faster,
 * and the process grew for as long as the ledger did. The log is folded into the file every 16
 * MiB (4096 pages), because each folding costs two flushes that a batch waits for. A long read by
 * somebody else keeps it from being folded and it grows; once folded it is cut to 32 MiB. On macOS
 * only fullfsync makes the disk write its own cache. Debian's build wipes deleted rows by default,
 * which nothing here needs: no secret is stored. */
static const char db_settings_sql[] = "PRAGMA synchronous=FULL;"
                                      "PRAGMA fullfsync=ON;"
                                      "PRAGMA checkpoint_fullfsync=ON;"
                                      "PRAGMA foreign_keys=ON;"
                                      "PRAGMA secure_delete=OFF;"
                                      "PRAGMA cache_size=-8192;"
                                      "PRAGMA wal_autocheckpoint=4096;"
                                      "PRAGMA journal_size_limit=33554432;";

/* Keep the text of the failure: cleaning up afterwards overwrites SQLite's own. */
static int db_failed(struct db *db)
{
    int extended = sqlite3_extended_errcode(db->handle);

    snprintf(db->message, sizeof db->message, "%s", sqlite3_errmsg(db->handle));
    if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY)
        return ERR_EXISTS;
    return ERR_STORE;
}

int db_exec(struct db *db, const char *sql)
{
    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_failed(db);
    return 0;
}

/* Created before SQLite sees it, so that there is no moment with wider permissions; SQLite gives
 * its two side files the mode of the main one. A file that exists is not opened here: closing it
 * again would drop the locks of other connections in this process (fcntl(2)). */
static int db_make_file(const char *path, enum db_open_mode mode, struct err *ret_err)
{
    struct stat st;
    int fd;

    if (access(path, R_OK | W_OK) == 0)
        return 0;
    if (errno == ENOENT && mode == DB_MUST_EXIST)
        return err_set(
            ret_err, ERR_NOT_FOUND,
            "there is no store at %s: name the right file with --store, or make one with "
            "`key create`",
            path);
    if (errno == ENOENT) {
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
            close(fd);
            return 0;
        }
        if (errno == EEXIST && stat(path, &st) == 0) /* another process was faster */
            return 0;
        if (errno == ENOENT && lstat(path, &st) == 0)
            return err_set(ret_err, ERR_STORE,
                           "the store %s is a symbolic link to a file that is not there: mount or "
                           "restore that, or name another file with --store",
                           path);
    }
    return err_errno(ret_err, ERR_STORE, errno,
                     "the store %s cannot be opened for reading and writing (its directory must "
                     "exist)",
                     path);
}

/* Where the file system cannot share memory between processes SQLite keeps another kind of journal
 * and says so in its answer only; ERR_DENIED then. */
static int db_use_log(struct db *db)
{
    struct db_stmt *st = db_stmt(db, "PRAGMA journal_mode=WAL");
    int rc = db_step(st);

    if (rc > 0)
        rc = str_is(db_col_str(st, 0), "wal") ? 0 : ERR_DENIED;
    db_reset(st);
    return rc == 0 ? db_exec(db, db_settings_sql) : rc;
}

static int db_refuse_file_system(const char *path, struct err *ret_err)
{
    char name[FSNAME_BYTES];

    fsname(path, name);
    return err_set(ret_err, ERR_STORE,
                   "the store %.90s lies on a file system (%s) that cannot keep SQLite's "
                   "write-ahead log: put it on a local disk, with --store",
                   path, name);
}

static int db_configure(struct db *db, const char *path, struct err *ret_err)
{
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, DB_PATIENCE_MS);
    switch (db_use_log(db)) {
    case 0:
        return 0;
    case ERR_DENIED:
        return db_refuse_file_system(path, ret_err);
    default:
        break;
    }
    switch (sqlite3_errcode(db->handle) & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return err_set(ret_err, ERR_STORE,
                       "%s is not a usable SQLite database (%s): restore it from a backup, or move "
                       "it away to start empty",
                       path, db->message);
    case SQLITE_BUSY:
        return err_set(
            ret_err, ERR_STORE,
            "%s has been locked by another process for more than %d s: stop that process "
            "and try again",
            path, DB_PATIENCE_MS / 1000);
    default:
        return err_set(ret_err, ERR_STORE, "%s cannot be used as a store: %s", path, db->message);
    }
}

int db_open(const char *path, enum db_open_mode mode, struct db **ret_db, struct err *ret_err)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    struct db *db;
    int rc;

    /* No statistics of memory: they cost a lock an allocation, an eighth of the ledger's time.
     * Refused, without harm, once SQLite is in use. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    rc = db_make_file(path, mode, ret_err);
    if (rc < 0)
        return rc;
    db = calloc(1, sizeof *db);
    if (!db)
        return err_set(ret_err, ERR_NOMEM, "no memory for the store");
    if (sqlite3_open_v2(path, &db->handle, flags, NULL) != SQLITE_OK)
        rc = err_set(ret_err, ERR_STORE, "%s cannot be opened: %s", path,
                     db->handle ? sqlite3_errmsg(db->handle) : "out of memory");
    else
        rc = db_configure(db, path, ret_err);
    if (rc < 0) {
        db_close(db);
        return rc;
    }
    *ret_db = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < STMT_SLOTS; i++)
        sqlite3_finalize(db->stmts[i].handle);
    sqlite3_close(db->handle);
    free(db->pending);
    free(db);
}

static struct db_stmt *db_slot_of(struct db *db, const char *sql)
{
    uint64_t h = (uint64_t)(uintptr_t)sql * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 32);

    for (size_t n = 0; n < STMT_SLOTS; n++, i++) {
        struct db_stmt *st = &db->stmts[i % STMT_SLOTS];

        if (!st->sql || st->sql == sql)
            return st;
    }
    return NULL;
}

struct db_stmt *db_stmt(struct db *db, const char *sql)
{
    struct db_stmt *st = db_slot_of(db, sql);

    if (!st) {
        snprintf(db->message, sizeof db->message, "more than %d different statements", STMT_SLOTS);
        return NULL;
    }
    if (!st->sql) {
        if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &st->handle, NULL) !=
            SQLITE_OK) {
            (void)db_failed(db);
            return NULL;
        }
        st->sql = sql;
        st->db = db;
    } else {
        sqlite3_reset(st->handle);
        sqlite3_clear_bindings(st->handle);
    }
    st->bind_rc = SQLITE_OK;
    return st;
}

static void db_keep_bind_result(struct db_stmt *st, int rc)
{
    if (rc != SQLITE_OK)
        st->bind_rc = rc;
}

void db_bind_i64(struct db_stmt *st, int index, int64_t value)
{
    if (st)
        db_keep_bind_result(st, sqlite3_bind_int64(st->handle, index, value));
}

void db_bind_str(struct db_stmt *st, int index, struct str value)
{
    if (st)
        db_keep_bind_result(st, sqlite3_bind_text64(st->handle, index, value.p, value.n,
                                                    SQLITE_STATIC, SQLITE_UTF8));
}

void db_bind_blob(struct db_stmt *st, int index, struct str bytes)
{
    if (st)
        db_keep_bind_result(
            st, sqlite3_bind_blob64(st->handle, index, bytes.p, bytes.n, SQLITE_STATIC));
}

int db_step(struct db_stmt *st)
{
    if (!st)
        return ERR_STORE;
    if (st->bind_rc != SQLITE_OK) {
        snprintf(st->db->message, sizeof st->db->message, "a value could not be bound: %s",
                 sqlite3_errstr(st->bind_rc));
        return ERR_STORE;
    }
    switch (sqlite3_step(st->handle)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return db_failed(st->db);
    }
}

int db_run(struct db_stmt *st)
{
    int rc = db_step(st);

    db_reset(st);
    return rc > 0 ? 0 : rc;
}

void db_reset(struct db_stmt *st)
{
    if (st)
        sqlite3_reset(st->handle);
}

int64_t db_col_i64(struct db_stmt *st, int column)
{
    return sqlite3_column_int64(st->handle, column);
}

struct str db_col_str(struct db_stmt *st, int column)
{
    const char *p = sqlite3_column_blob(st->handle, column);

    return (struct str){p, (size_t)sqlite3_column_bytes(st->handle, column)};
}

bool db_col_is_null(struct db_stmt *st, int column)
{
    return sqlite3_column_type(st->handle, column) == SQLITE_NULL;
}

int64_t db_changes(struct db *db)
{
    return sqlite3_changes64(db->handle);
}

int64_t db_total_changes(struct db *db)
{
    return sqlite3_total_changes64(db->handle);
}

int64_t db_last_id(struct db *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}

void db_set_patience(struct db *db, int ms)
{
    sqlite3_busy_timeout(db->handle, ms);
}

void *db_pending(struct db *db, const struct db_pending_ops *ops, size_t bytes)
{
    if (!db->pending) {
        db->pending_ops = ops;
        db->pending = calloc(1, bytes);
    }
    return db->pending;
}

static int db_flush_pending(struct db *db)
{
    return db->pending ? db->pending_ops->flush(db, db->pending) : 0;
}

static void db_drop_pending(struct db *db)
{
    if (db->pending)
        db->pending_ops->drop(db->pending);
}

int db_begin(struct db *db)
{
    int rc;

    db_drop_pending(db); /* of a transaction that the database ended by itself */
    rc = db_run(db_stmt(db, "BEGIN IMMEDIATE"));

    if (rc < 0 && (sqlite3_errcode(db->handle) & 0xff) == SQLITE_BUSY)
        return ERR_BUSY;
    return rc;
}

int db_begin_read(struct db *db)
{
    return db_run(db_stmt(db, "BEGIN"));
}

int db_commit(struct db *db)
{
    if (db_flush_pending(db) < 0)
        return ERR_STORE;
    return db_run(db_stmt(db, "COMMIT"));
}

void db_rollback(struct db *db)
{
    db_drop_pending(db);
    if (db_in_transaction(db))
        (void)db_run(db_stmt(db, "ROLLBACK"));
}

bool db_in_transaction(struct db *db)
{
    return !sqlite3_get_autocommit(db->handle);
}

bool db_is_writing(struct db *db)
{
    return sqlite3_txn_state(db->handle, NULL) == SQLITE_TXN_WRITE;
}

int db_savepoint(struct db *db)
{
    if (db_flush_pending(db) < 0)
        return ERR_STORE;
    return db_run(db_stmt(db, "SAVEPOINT op"));
}

int db_savepoint_release(struct db *db)
{
    if (db_flush_pending(db) < 0)
        return ERR_STORE;
    return db_run(db_stmt(db, "RELEASE op"));
}

/* Rolling back keeps the savepoint open; the transaction may also be gone altogether. */
void db_savepoint_rollback(struct db *db)
{
    db_drop_pending(db);
    if (db_in_transaction(db) && db_run(db_stmt(db, "ROLLBACK TO op")) == 0)
        (void)db_savepoint_release(db);
}

int64_t db_foreign_version(struct db *db)
{
    struct db_stmt *st = db_stmt(db, "PRAGMA data_version");
    int64_t version = db_step(st) > 0 ? db_col_i64(st, 0) : 0;

    db_reset(st);
    return version;
}

const char *db_message(struct db *db)
{
    return db->message;
}
