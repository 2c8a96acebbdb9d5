/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts: names that money and keys belong to. */
#include "store/account.h"

static bool account_char_allowed(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._:@-", c));
}

int account_name_check(struct str name)
{
    static const char *const fixed[] = {"world", "platform", "holds", ACCOUNT_UNCLAIMED_NAME};

    if (name.n == 0 || name.n > ACCOUNT_MAX_BYTES)
        return ERR_RANGE;
    for (size_t i = 0; i < name.n; i++) {
        if (!account_char_allowed(name.p[i]))
            return ERR_RANGE;
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        if (str_is(name, fixed[i]))
            return ERR_DENIED;
    }
    return str_starts(name, STR("provider:")) ? ERR_DENIED : 0;
}

/* 1 and the id, 0 where there is none, or ERR_STORE. */
static int account_find(struct db *db, struct str name, int64_t *ret_id)
{
    struct db_stmt *st = db_stmt(db, "SELECT id FROM accounts WHERE name = ?1");
    int rc;

    db_bind_str(st, 1, name);
    rc = db_step(st);
    if (rc > 0)
        *ret_id = db_col_i64(st, 0);
    db_reset(st);
    return rc;
}

int account_ensure(struct db *db, struct str name, int64_t *ret_id)
{
    struct db_stmt *st;
    int rc = account_find(db, name, ret_id);

    if (rc != 0)
        return rc > 0 ? 0 : ERR_STORE;
    st = db_stmt(db, "INSERT INTO accounts (name) VALUES (?1)");
    db_bind_str(st, 1, name);
    if (db_run(st) < 0)
        return ERR_STORE;
    *ret_id = db_last_id(db);
    return 0;
}

int account_settings_get(struct db *db, struct str name, struct account_settings *ret_settings)
{
    struct db_stmt *st = db_stmt(db, "SELECT s.first_content_ms, s.request_deadline_ms"
                                     " FROM accounts a LEFT JOIN account_settings s"
                                     " ON s.account = a.id WHERE a.name = ?1");
    int rc;

    db_bind_str(st, 1, name);
    rc = db_step(st);
    if (rc > 0)
        *ret_settings = (struct account_settings){db_col_i64(st, 0), db_col_i64(st, 1)};
    db_reset(st);
    return rc > 0 ? 0 : rc < 0 ? ERR_STORE : ERR_NOT_FOUND;
}

int account_settings_set(struct db *db, struct str name, const struct account_settings *settings)
{
    struct db_stmt *st =
        db_stmt(db, "INSERT INTO account_settings (account, first_content_ms, request_deadline_ms)"
                    " SELECT id, nullif(?2, 0), nullif(?3, 0) FROM accounts WHERE name = ?1"
                    " ON CONFLICT (account) DO UPDATE SET"
                    " first_content_ms = excluded.first_content_ms,"
                    " request_deadline_ms = excluded.request_deadline_ms");

    db_bind_str(st, 1, name);
    db_bind_i64(st, 2, settings->first_content_ms);
    db_bind_i64(st, 3, settings->request_deadline_ms);
    if (db_run(st) < 0)
        return ERR_STORE;
    return db_changes(db) > 0 ? 0 : ERR_NOT_FOUND;
}
