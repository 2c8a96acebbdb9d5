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

int command_words(int argc, const struct str *argv, const char *usage,
                  struct command_option *options, const char *what, struct str *ret_word,
                  struct err *ret_err)
{
    struct str word = {0}, value;

    for (int i = 0; i < argc; i++) {
        struct command_option *o = options_find(options, argv[i], &value);

        if (o && !o->needs && value.p)
            return err_set(ret_err, ERR_USAGE, "%s takes no value: %s", o->name, usage);
        if (o && !o->needs)
            value = STR("yes");
        if (o && !value.p && i + 1 < argc)
            value = argv[++i];
        if (o && !value.p)
            return err_set(ret_err, ERR_USAGE, "%s needs %s: %s", o->name, o->needs, usage);
        if (o && o->value.p)
            return err_set(ret_err, ERR_USAGE, "%s is given twice: %s", o->name, usage);
        if (o)
            o->value = value;
        else if (str_starts(argv[i], STR("-")) || !what)
            return err_set(ret_err, ERR_USAGE, "\"%.*s\" is not understood here: %s",
                           COMMAND_ARG(argv[i]), usage);
        else if (word.p)
            return err_set(ret_err, ERR_USAGE, "one %s, and \"%.*s\" is a second: %s", what,
                           COMMAND_ARG(argv[i]), usage);
        else
            word = argv[i];
    }
    if (what && !word.p)
        return err_set(ret_err, ERR_USAGE, "%s is missing: %s", what, usage);
    if (what)
        *ret_word = word;
    return 0;
}

int command_options(int argc, const struct str *argv, const char *usage,
                    struct command_option *options, struct str *ret_account, struct err *ret_err)
{
    struct str account = {NULL, 0};
    int rc = command_words(argc, argv, usage, options, "ACCOUNT", &account, ret_err);

    if (rc == 0)
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
