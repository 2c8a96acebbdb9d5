/* SPDX-License-Identifier: Apache-2.0 */
/* The schema and how a database gets to the newest version of it. Versions are applied in order, in
 * one transaction, and recorded in the table schema_version; a released version never changes, what
 * follows is a new one. */
#ifndef DARKBLOOM_STORE_MIGRATE_H
#define DARKBLOOM_STORE_MIGRATE_H

#include "store/db.h"

/* One file a version in migrations/; the table that orders them is in migrate.c. */
extern const char migration_001_sql[];
extern const char migration_002_sql[];
extern const char migration_003_sql[];
extern const char migration_004_sql[];
extern const char migration_005_sql[];
extern const char migration_006_sql[];

/* The version that `db` has: 0 without tables, −1 with another program's. 0 or ERR_STORE. */
int store_schema(struct db *db, int64_t *ret_version);

/* Bring `db` to the newest version; does nothing, and takes no lock, where it is there already.
 * `path` is its name in messages. 0 or ERR_STORE: newer than this program, another program's
 * database, busy, or a statement failed (then nothing has changed). */
int store_migrate(struct db *db, const char *path, struct err *ret_err);

#endif
