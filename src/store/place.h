/* SPDX-License-Identifier: Apache-2.0 */
/* Where a store is, and whether what lies there is the one that is meant. A coordinator that begins
 * with an empty store because a volume is not mounted refuses every key and forgets every balance,
 * so an empty one is begun only where nothing says that there was one (FR-50):
 *
 *   an id is expected (setting store.id)        → only the store of that id, never a new one
 *   PATH-lock names a store, PATH is missing    → refused, unless begin_anew (--store-new)
 *     or has no tables
 *   otherwise                                   → DB_CREATE makes one
 *
 * The marker lies beside the database and goes where that goes: only store.id notices that the
 * whole directory is another one. */
#ifndef DARKBLOOM_STORE_PLACE_H
#define DARKBLOOM_STORE_PLACE_H

#include <limits.h>

#include "store/db.h"

enum { STORE_ID_BYTES = 32 + 1, STORE_LOCK_PATH_BYTES = PATH_MAX + 8 };

struct store_place {
    const char *path;
    const char *id;  /* the only store that will do: 32 hex digits; "" or NULL: any */
    bool begin_anew; /* an empty one may begin where another one was */
};

/* Open and migrate the database, without a store around it: for a command line that works beside a
 * running coordinator, whose transactions are its own (db_begin, db_commit). Close with db_close.
 * ERR_NOT_FOUND: there is none and `mode` or the id demands one; ERR_STORE: unexpectedly blank, of
 * another id, or as db_open and store_migrate. */
int store_open_place(const struct store_place *place, enum db_open_mode mode, struct db **ret_db,
                     struct err *ret_err);
/* The same where any store will do. */
int store_open_db(const char *path, enum db_open_mode mode, struct db **ret_db,
                  struct err *ret_err);

/* The id that the first migration of a store gave it. 0 or ERR_STORE. */
int store_id(struct db *db, char ret_id[static STORE_ID_BYTES]);

/* SQLite keeps the log of what was committed last beside the name that the file was opened by: who
 * opens it by another name does not see that log, and both write over each other. Symbolic links
 * are followed and do no harm. ERR_STORE for a file with several names (hard links); 0 for any
 * other, and for none. */
int store_check_names(const char *path, struct err *ret_err);

/* Name of the lock file: beside the file that `path` leads to. 0, or ERR_STORE: too long, or its
 * directory cannot be reached. */
int store_lock_path(const char *path, char ret_path[static STORE_LOCK_PATH_BYTES],
                    struct err *ret_err);

#endif
