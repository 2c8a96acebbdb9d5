/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/command/options.h"

#include "store/account.h"

static int options_check_account(struct str account, struct err *ret_err)
{
    switch (account_name_check(account)) {
    case 0:
        return 0;
    case ERR_DENIED:
        return err_set(ret_err, ERR_USAGE,
                       "ACCOUNT: \"%.*s\" is one of the ledger's own accounts; choose another name",
                       STR_ARG(account));
    default:
        return err_set(
            ret_err, ERR_USAGE,
            "ACCOUNT: a name has 1 to %d letters, digits and . _ : @ - (this one has %zu "
            "bytes); for example alice or team-7",
            ACCOUNT_MAX_BYTES, account.n);
    }
}

/* The option that `word` names, with what follows its "=" (.p NULL: nothing does). */
static struct command_option *options_find(struct command_option *options, struct str word,
                                           struct str *ret_value)
{
    for (struct command_option *o = options; o->name; o++) {
        struct str name = str_from(o->name);

        if (!str_starts(word, name) || (word.n > name.n && word.p[name.n] != '='))
            continue;
        *ret_value = word.n > name.n ? (struct str){word.p + name.n + 1, word.n - name.n - 1}
                                     : (struct str){0};
        return o;
    }
    return NULL;
}

int command_options(int argc, const struct str *argv, const char *usage,
                    struct command_option *options, struct str *ret_account, struct err *ret_err)
{
    struct str account = {0}, value;
    int rc;

    for (int i = 0; i < argc; i++) {
        struct command_option *o = options_find(options, argv[i], &value);

        if (o && !value.p && i + 1 < argc)
            value = argv[++i];
        if (o && !value.p)
            return err_set(ret_err, ERR_USAGE, "%s needs %s: %s", o->name, o->needs, usage);
        if (o && o->value.p)
            return err_set(ret_err, ERR_USAGE, "%s is given twice: %s", o->name, usage);
        if (o)
            o->value = value;
        else if (str_starts(argv[i], STR("-")))
            return err_set(ret_err, ERR_USAGE, "\"%.*s\" is not understood here: %s",
                           COMMAND_ARG(argv[i]), usage);
        else if (account.p)
            return err_set(ret_err, ERR_USAGE, "one ACCOUNT, and \"%.*s\" is a second: %s",
                           COMMAND_ARG(argv[i]), usage);
        else
            account = argv[i];
    }
    if (!account.p)
        return err_set(ret_err, ERR_USAGE, "ACCOUNT is missing: %s", usage);
    rc = options_check_account(account, ret_err);
    if (rc == 0)
        *ret_account = account;
    return rc;
}

int command_no_arguments(const char *name, int argc, const struct str *argv, struct err *ret_err)
{
    if (argc > 0)
        return err_set(ret_err, ERR_USAGE, "%s takes no arguments, and \"%.*s\" is one", name,
                       COMMAND_ARG(argv[0]));
    return 0;
}
