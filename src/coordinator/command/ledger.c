/* SPDX-License-Identifier: Apache-2.0 */
/* ledger check. */
#include "ledger/ledger.h"

#include <stdio.h>

#include "coordinator/command/options.h"
#include "coordinator/command/usd.h"

/* The report's figures, in the order shown. */
static const struct ledger_row {
    const char *what;
    size_t offset;
    bool money;
    bool must_be_zero;
} ledger_rows[] = {
    {"accounts", offsetof(struct ledger_report, accounts), false, false},
    {"transfers", offsetof(struct ledger_report, transfers), false, false},
    {"entries", offsetof(struct ledger_report, entries), false, false},
    {"open holds", offsetof(struct ledger_report, open_holds), false, false},
    {"open holds past their expiry (wall clock)",
     offsetof(struct ledger_report, expired_open_holds), false, false},
    {"held, USD", offsetof(struct ledger_report, held_micro_usd), true, false},
    {"sum of all entries, USD", offsetof(struct ledger_report, sum_micro_usd), true, true},
    {"unbalanced transfers", offsetof(struct ledger_report, unbalanced_transfers), false, true},
    {"balances that differ from their entries", offsetof(struct ledger_report, balance_mismatches),
     false, true},
    {"accounts below zero", offsetof(struct ledger_report, negative_accounts), false, true},
    {"holds that hold the wrong amount", offsetof(struct ledger_report, hold_mismatches), false,
     true},
};

static void ledger_print_report(int fd, const struct ledger_report *report)
{
    for (size_t i = 0; i < sizeof ledger_rows / sizeof ledger_rows[0]; i++) {
        int64_t value =
            *(const int64_t *)(const void *)((const char *)report + ledger_rows[i].offset);
        char text[USD_TEXT_BYTES];

        if (ledger_rows[i].money)
            usd_format(value, text);
        else
            snprintf(text, sizeof text, "%lld", (long long)value);
        dprintf(fd, "%-40s %20s%s\n", ledger_rows[i].what, text,
                ledger_rows[i].must_be_zero && value != 0 ? "  WRONG: must be 0" : "");
    }
}

int command_ledger_check(const struct command_env *env, int argc, const struct str *argv,
                         struct err *ret_err)
{
    struct ledger_report report;
    struct db *db = NULL;
    int rc = command_no_arguments("ledger check", argc, argv, ret_err);

    if (rc == 0)
        rc = store_open_place(&env->store, DB_MUST_EXIST, &db, ret_err);
    if (rc < 0)
        return rc;
    rc = db_begin_read(db);
    if (rc == 0)
        rc = ledger_check(db, clock_wall_us(&env->clock), &report);
    if (rc < 0)
        rc = err_set(ret_err, ERR_STORE, "the ledger in %s cannot be read: %s", env->store.path,
                     db_message(db));
    db_rollback(db);
    db_close(db);
    if (rc < 0)
        return rc;
    ledger_print_report(env->out, &report);
    if (!ledger_report_ok(&report))
        return err_set(ret_err, ERR_INTERNAL,
                       "the ledger does not balance: see the lines marked WRONG; stop the "
                       "coordinator and keep a copy of %s",
                       env->store.path);
    dprintf(env->out, "The ledger balances.\n");
    return 0;
}
