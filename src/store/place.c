/* SPDX-License-Identifier: Apache-2.0 */
#include "store/place.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/migrate.h"

int store_lock_path(const char *path, char ret_path[static STORE_LOCK_PATH_BYTES],
                    struct err *ret_err)
{
    char real[PATH_MAX], dir[PATH_MAX], name[PATH_MAX];

    if (strlen(path) >= PATH_MAX)
        return err_set(ret_err, ERR_STORE, "the store's path is too long");
    if (realpath(path, real)) {
        snprintf(ret_path, STORE_LOCK_PATH_BYTES, "%s-lock", real);
        return 0;
    }
    /* Not made yet: its directory must be there. dirname and basename may change their argument. */
    memcpy(dir, path, strlen(path) + 1);
    memcpy(name, path, strlen(path) + 1);
    if (!realpath(dirname(dir), real))
        return err_errno(ret_err, ERR_STORE, errno,
                         "the directory of the store %.150s cannot be opened", path);
    if (snprintf(ret_path, STORE_LOCK_PATH_BYTES, "%s/%s-lock", real, basename(name)) >=
        STORE_LOCK_PATH_BYTES)
        return err_set(ret_err, ERR_STORE, "the store's path is too long");
    return 0;
}

/* The id in the lock file, "" where there is none. The file may be another process's: only read. */
static int place_marked_id(const char *path, char ret_id[static STORE_ID_BYTES],
                           struct err *ret_err)
{
    char lock_path[STORE_LOCK_PATH_BYTES], text[24 + STORE_ID_BYTES] = "";
    int rc = store_lock_path(path, lock_path, ret_err);
    const char *line;
    int fd;

    if (rc < 0)
        return rc;
    ret_id[0] = '\0';
    fd = open(lock_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof text - 1) > 0 && (line = strchr(text, '\n')) &&
        strspn(line + 1, "0123456789abcdef") == STORE_ID_BYTES - 1)
        snprintf(ret_id, STORE_ID_BYTES, "%s", line + 1);
    close(fd);
    return 0;
}

int store_check_names(const char *path, struct err *ret_err)
{
    struct stat st;

    if (stat(path, &st) == 0 && st.st_nlink > 1)
        return err_set(ret_err, ERR_STORE,
                       "the store %.130s has %llu names (hard links), and its log is kept beside "
                       "one only: remove the others",
                       path, (unsigned long long)st.st_nlink);
    return 0;
}

static bool place_is_empty(const char *path)
{
    struct stat st;

    return stat(path, &st) < 0 ? errno == ENOENT : st.st_size == 0;
}

static int place_refuse_blank(const struct store_place *place, const char *marked,
                              struct err *ret_err)
{
    if (place->id && place->id[0])
        return err_set(ret_err, ERR_STORE,
                       "%.90s is missing or blank, and the setting store.id demands the store %s: "
                       "mount or restore it",
                       place->path, place->id);
    return err_set(ret_err, ERR_STORE,
                   "%.70s is missing or blank, but its -lock file says that the store %s was here: "
                   "mount or restore it, or begin an empty one with --store-new",
                   place->path, marked);
}

static int place_check_id(const struct store_place *place, struct db *db, struct err *ret_err)
{
    char id[STORE_ID_BYTES];

    if (!place->id || !place->id[0])
        return 0;
    if (store_id(db, id) < 0)
        return err_set(ret_err, ERR_STORE, "the id of %.90s cannot be read: %s", place->path,
                       db_message(db));
    if (strcmp(id, place->id) != 0)
        return err_set(ret_err, ERR_STORE,
                       "%.70s is the store %s, and the setting store.id demands %s", place->path,
                       id, place->id);
    return 0;
}

int store_id(struct db *db, char ret_id[static STORE_ID_BYTES])
{
    struct db_stmt *st = db_stmt(db, "SELECT id FROM store_identity");
    int rc = db_step(st);

    if (rc > 0)
        snprintf(ret_id, STORE_ID_BYTES, "%.*s", STR_ARG(db_col_str(st, 0)));
    db_reset(st);
    return rc > 0 ? 0 : ERR_STORE;
}

static int place_take(const struct store_place *place, bool blank_is_wrong, const char *marked,
                      struct db *db, struct err *ret_err)
{
    int64_t schema;
    int rc;

    if (store_schema(db, &schema) < 0)
        return err_set(ret_err, ERR_STORE, "the schema of %.90s cannot be read: %s", place->path,
                       db_message(db));
    if (schema == 0 && blank_is_wrong)
        return place_refuse_blank(place, marked, ret_err);
    rc = store_migrate(db, place->path, ret_err);
    return rc == 0 ? place_check_id(place, db, ret_err) : rc;
}

int store_open_place(const struct store_place *place, enum db_open_mode mode, struct db **ret_db,
                     struct err *ret_err)
{
    char marked[STORE_ID_BYTES];
    bool blank_is_wrong;
    struct db *db = NULL;
    int rc = place_marked_id(place->path, marked, ret_err);

    if (rc < 0)
        return rc;
    blank_is_wrong = (place->id && place->id[0]) || (marked[0] && !place->begin_anew);
    if (blank_is_wrong && place_is_empty(place->path))
        return place_refuse_blank(place, marked, ret_err);
    rc = store_check_names(place->path, ret_err);
    if (rc == 0)
        rc = db_open(place->path, mode, &db, ret_err);
    if (rc < 0)
        return rc;
    rc = place_take(place, blank_is_wrong, marked, db, ret_err);
    if (rc < 0) {
        db_close(db);
        return rc;
    }
    *ret_db = db;
    return 0;
}

int store_open_db(const char *path, enum db_open_mode mode, struct db **ret_db, struct err *ret_err)
{
    return store_open_place(&(struct store_place){.path = path}, mode, ret_db, ret_err);
}
