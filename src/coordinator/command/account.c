/* SPDX-License-Identifier: Apache-2.0 */
/* account set, account show. */
#include <stdio.h>

#include "coordinator/command/options.h"
#include "coordinator/command/usd.h"
#include "ledger/ledger.h"

/* The settings an account may have, as `account set` takes and `account show` prints them. */
static const struct account_row {
    const char *option, *shown;
    size_t offset;
    int64_t min, max;
} account_rows[] = {
#define AT(field) offsetof(struct account_settings, field)
    {"--first-content-ms", "first content, ms", AT(first_content_ms), 10, 3600000},
    {"--deadline-ms", "request deadline, ms", AT(request_deadline_ms), 100, 86400000},
#undef AT
};

enum { ACCOUNT_ROWS = sizeof account_rows / sizeof account_rows[0], MS_DIGITS = 8 };

static int64_t *account_field(struct account_settings *s, const struct account_row *row)
{
    return (int64_t *)(void *)((char *)s + row->offset);
}

/* A number within the row's limits, or "default", which is 0. */
static int account_parse_ms(const struct account_row *row, struct str text, int64_t *ret_ms,
                            struct err *ret_err)
{
    int64_t ms = 0;
    bool good = text.n > 0 && text.n <= MS_DIGITS;

    if (str_is(text, "default")) {
        *ret_ms = 0;
        return 0;
    }
    for (size_t i = 0; good && i < text.n; i++) {
        good = text.p[i] >= '0' && text.p[i] <= '9';
        ms = 10 * ms + (text.p[i] - '0');
    }
    if (!good || ms < row->min || ms > row->max)
        return err_set(ret_err, ERR_USAGE,
                       "%s: \"%.*s\" is not a number of milliseconds from %lld to %lld, or default",
                       row->option, COMMAND_ARG(text), (long long)row->min, (long long)row->max);
    *ret_ms = ms;
    return 0;
}

static int account_unknown(struct str account, struct err *ret_err)
{
    return err_set(ret_err, ERR_NOT_FOUND,
                   "there is no account %.*s; `key create` opens one with its first key",
                   STR_ARG(account));
}

/* What is to be set, by row; ms 0 is "default". */
struct account_wish {
    bool given;
    int64_t ms;
};

static int account_parse(int argc, const struct str *argv, struct str *ret_account,
                         struct account_wish *ret_wishes, struct err *ret_err)
{
    static const char usage[] = "account set ACCOUNT [--first-content-ms N] [--deadline-ms N]";
    struct command_option options[ACCOUNT_ROWS + 1] = {0};
    bool any = false;
    int rc;

    for (size_t i = 0; i < ACCOUNT_ROWS; i++) {
        options[i].name = account_rows[i].option;
        options[i].needs = "milliseconds, or default";
    }
    rc = command_options(argc, argv, usage, options, ret_account, ret_err);
    for (size_t i = 0; rc == 0 && i < ACCOUNT_ROWS; i++) {
        ret_wishes[i].given = options[i].value.p;
        any |= ret_wishes[i].given;
        if (ret_wishes[i].given)
            rc = account_parse_ms(&account_rows[i], options[i].value, &ret_wishes[i].ms, ret_err);
    }
    if (rc == 0 && !any)
        rc = err_set(ret_err, ERR_USAGE, "nothing to set: %s", usage);
    return rc;
}

/* Read, change, write: in one transaction, so that two callers do not undo each other. */
static int account_change(struct db *db, struct str account, const struct account_wish *wishes,
                          struct err *ret_err)
{
    struct account_settings s = {0};
    int rc = db_begin(db);

    if (rc == 0)
        rc = account_settings_get(db, account, &s);
    if (rc == ERR_NOT_FOUND)
        return account_unknown(account, ret_err);
    for (size_t i = 0; i < ACCOUNT_ROWS; i++) {
        if (wishes[i].given)
            *account_field(&s, &account_rows[i]) = wishes[i].ms;
    }
    if (s.first_content_ms > 0 && s.request_deadline_ms > 0 &&
        s.first_content_ms > s.request_deadline_ms)
        return err_set(ret_err, ERR_USAGE,
                       "the first content may not take longer (%lld ms) than the whole request "
                       "(%lld ms)",
                       (long long)s.first_content_ms, (long long)s.request_deadline_ms);
    if (rc == 0)
        rc = account_settings_set(db, account, &s);
    if (rc == 0)
        rc = db_commit(db);
    if (rc < 0)
        err_set(ret_err, rc, "the account's settings could not be stored: %s", db_message(db));
    return rc;
}

int command_account_set(const struct command_env *env, int argc, const struct str *argv,
                        struct err *ret_err)
{
    struct account_wish wishes[ACCOUNT_ROWS] = {0};
    struct str account;
    struct db *db = NULL;
    int rc = account_parse(argc, argv, &account, wishes, ret_err);

    if (rc == 0)
        rc = store_open_place(&env->store, DB_MUST_EXIST, &db, ret_err);
    if (rc < 0)
        return rc;
    rc = account_change(db, account, wishes, ret_err);
    db_rollback(db);
    if (rc == 0)
        dprintf(env->out, "Set. A running coordinator goes by it within a second.\n");
    db_close(db);
    return rc;
}

static void account_print(int fd, struct str account, struct account_settings *s, int64_t balance)
{
    char usd[USD_TEXT_BYTES];

    usd_format(balance, usd);
    dprintf(fd, "%-22s %.*s\n%-22s %s\n", "account", STR_ARG(account), "balance, USD", usd);
    for (size_t i = 0; i < ACCOUNT_ROWS; i++) {
        int64_t ms = *account_field(s, &account_rows[i]);

        if (ms > 0)
            dprintf(fd, "%-22s %lld\n", account_rows[i].shown, (long long)ms);
        else
            dprintf(fd, "%-22s default\n", account_rows[i].shown);
    }
}

int command_account_show(const struct command_env *env, int argc, const struct str *argv,
                         struct err *ret_err)
{
    struct command_option none = {0};
    struct account_settings s = {0};
    struct str account;
    int64_t balance = 0;
    struct db *db = NULL;
    int rc = command_options(argc, argv, "account show ACCOUNT", &none, &account, ret_err);

    if (rc == 0)
        rc = store_open_place(&env->store, DB_MUST_EXIST, &db, ret_err);
    if (rc < 0)
        return rc;
    rc = account_settings_get(db, account, &s);
    if (rc == 0)
        rc = ledger_balance(db, account, &balance);
    if (rc == 0)
        account_print(env->out, account, &s, balance);
    else if (rc == ERR_NOT_FOUND)
        rc = account_unknown(account, ret_err);
    else
        err_set(ret_err, rc, "the account cannot be read: %s", db_message(db));
    db_close(db);
    return rc;
}
