/* SPDX-License-Identifier: Apache-2.0 */
/* Which versions of the schema there are, and how a database reaches the newest. */
#include "store/migrate.h"

#include <stddef.h>

static const struct migration {
    const char *name;
    const char *sql;
} migrations[] = {
    /* version 1, 2, 3 … by position */
    {"keys and ledger", migration_001_sql},  {"identity", migration_002_sql},
    {"monotonic holds", migration_003_sql},  {"provider state", migration_004_sql},
    {"account settings", migration_005_sql}, {"one row a transfer", migration_006_sql},
};

enum { NEWEST = sizeof migrations / sizeof migrations[0] };

static const char migrate_version_table_sql[] =
    "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT";

static int migrate_read_i64(struct db *db, const char *sql, int64_t *ret_value)
{
    struct db_stmt *st = db_stmt(db, sql);
    int rc = db_step(st);

    if (rc > 0)
        *ret_value = db_col_i64(st, 0);
    db_reset(st);
    return rc > 0 ? 0 : ERR_STORE;
}

int store_schema(struct db *db, int64_t *ret_version)
{
    int64_t tables = 0, ours = 0;

    if (migrate_read_i64(db, "SELECT count(*) FROM sqlite_schema", &tables) < 0 ||
        migrate_read_i64(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_version'",
                         &ours) < 0)
        return ERR_STORE;
    if (!ours) {
        *ret_version = tables ? -1 : 0;
        return 0;
    }
    return migrate_read_i64(db, "SELECT coalesce(max(version), 0) FROM schema_version",
                            ret_version);
}

static int migrate_apply(struct db *db, int64_t version)
{
    const struct migration *m = &migrations[version - 1];
    struct db_stmt *st;

    if (version == 1 && db_exec(db, migrate_version_table_sql) < 0)
        return ERR_STORE;
    if (db_exec(db, m->sql) < 0)
        return ERR_STORE;
    st = db_stmt(db, "INSERT INTO schema_version (version, name) VALUES (?1, ?2)");
    db_bind_i64(st, 1, version);
    db_bind_str(st, 2, str_from(m->name));
    return db_run(st);
}

/* Inside the write transaction: another process may have been here since the version was read. */
static int migrate_apply_missing(struct db *db)
{
    int64_t version;

    if (store_schema(db, &version) < 0)
        return ERR_STORE;
    while (version >= 0 && version < NEWEST) {
        if (migrate_apply(db, ++version) < 0)
            return ERR_STORE;
    }
    return db_commit(db);
}

int store_migrate(struct db *db, const char *path, struct err *ret_err)
{
    int64_t version;
    int rc;

    if (store_schema(db, &version) < 0)
        return err_set(ret_err, ERR_STORE, "the schema of %s cannot be read: %s", path,
                       db_message(db));
    if (version < 0)
        return err_set(ret_err, ERR_STORE,
                       "%s is the database of another program: name another file with --store",
                       path);
    if (version > NEWEST)
        return err_set(ret_err, ERR_STORE,
                       "%s has schema %lld and this program knows %d: use the newer program", path,
                       (long long)version, NEWEST);
    if (version == NEWEST)
        return 0;
    rc = db_begin(db);
    if (rc == 0)
        rc = migrate_apply_missing(db);
    if (rc == 0)
        return 0;
    db_rollback(db);
    return err_set(ret_err, ERR_STORE, "%s could not be brought to schema %d: %s", path, NEWEST,
                   db_message(db));
}
