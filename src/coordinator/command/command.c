/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands: dispatch and help come from it. */
#include "coordinator/command/command.h"

#include <stdio.h>

static const struct command commands[] = {
    {"account set", "ACCOUNT [--first-content-ms N] [--deadline-ms N]",
     "Set how long an account's requests may take to their first content and in all; `default` for "
     "N goes back to the coordinator's own.",
     command_account_set},
    {"account show", "ACCOUNT", "Show an account's balance and what it has set.",
     command_account_show},
    {"key create", "ACCOUNT [--credit USD]",
     "Make an API key for an account, with credit if given; prints the key once, as the last line.",
     command_key_create},
    {"key list", "", "List keys by prefix, with account, age, state and balance.",
     command_key_list},
    {"key revoke", "KEY_OR_PREFIX", "Revoke a key by its whole text or its listed prefix.",
     command_key_revoke},
    {"ledger check", "",
     "Recompute every balance from the entries and report; fails if one is off.",
     command_ledger_check},
    {"providers forgive", "KEY",
     "End the distrust of a provider's key, given by its hash; its provider is challenged anew.",
     command_providers_forgive},
    {"providers", "[--gate CODE] [--limit N] [--json]",
     "Show the running coordinator's providers: connected, trusted, routable, and the first gate "
     "that keeps requests from each.",
     command_providers},
    {"route", "MODEL [--min-trust LEVEL] [--tokens N] [--json]",
     "Show where a request for the model would go now, and why.", command_route},
    {"store show", "", "Show the store's id (for store.id), schema and path.", command_store_show},
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

/* How many leading words of `rest` are the command's name: 0 when it is another command. */
static size_t command_match(const struct command *c, struct cfg_list rest)
{
    struct str name = str_from(c->name);
    size_t words = 0;

    while (name.n > 0 && words < rest.n) {
        struct str word = rest.items[words];

        if (!str_starts(name, word) || word.n == 0)
            return 0;
        name = (struct str){name.p + word.n, name.n - word.n};
        if (name.n > 0 && name.p[0] != ' ')
            return 0;
        if (name.n > 0)
            name = (struct str){name.p + 1, name.n - 1};
        words++;
    }
    return name.n == 0 ? words : 0;
}

static int command_unknown(struct cfg_list rest, struct err *ret_err)
{
    struct str second = rest.n > 1 ? rest.items[1] : STR("");
    char known[240] = "";
    size_t n = 0;

    for (size_t i = 0; i < N_COMMANDS && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", commands[i].name);
    if (rest.n == 0)
        return err_set(ret_err, ERR_USAGE, "a command is missing; there are: %s", known);
    return err_set(ret_err, ERR_USAGE, "there is no command \"%.*s%s%.*s\"; there are: %s",
                   COMMAND_ARG(rest.items[0]), rest.n > 1 ? " " : "", COMMAND_ARG(second), known);
}

int command_dispatch(const struct command_env *env, struct cfg_list rest, struct err *ret_err)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        size_t words = command_match(&commands[i], rest);

        if (words > 0)
            return commands[i].run(env, (int)(rest.n - words), rest.items + words, ret_err);
    }
    return command_unknown(rest, ret_err);
}

void command_help(int fd)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        const struct command *c = &commands[i];

        dprintf(fd, "  %s%s%s\n      %s\n", c->name, c->args[0] ? " " : "", c->args, c->help);
    }
}
