/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of darkbloom-coordinator that do one thing and end. Those on keys, accounts and the
 * ledger open the store themselves and so work beside a running coordinator, which notices within a
 * second; those on providers and routing ask a running one at its control socket. */
#ifndef DARKBLOOM_COORDINATOR_COMMAND_COMMAND_H
#define DARKBLOOM_COORDINATOR_COMMAND_COMMAND_H

#include "base/cfg.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/str.h"
#include "store/place.h"

/* For "%.*s" in messages: an argument of any length, cut. */
#define COMMAND_ARG(s) (int)((s).n < 60 ? (s).n : 60), (s).p

/* What a command works with. */
struct command_env {
    struct store_place store;
    const char *control; /* path of the control socket; "": there is none */
    int out;             /* descriptor of the answer; errors go back as struct err */
    struct clock clock;
    struct rand_src rand;
};

struct command {
    const char *name; /* "key create": the words of the command line */
    const char *args; /* "ACCOUNT [--credit USD]" */
    const char *help; /* one sentence */
    /* argv: what follows the name. 0, ERR_USAGE with what is wrong, or what failed. */
    int (*run)(const struct command_env *env, int argc, const struct str *argv,
               struct err *ret_err);
};

/* Run the command that `rest` (cfg_args.rest: the positional arguments) names. ERR_USAGE names an
 * unknown command and lists the known ones. */
int command_dispatch(const struct command_env *env, struct cfg_list rest, struct err *ret_err);

/* The commands' part of --help: one row each. */
void command_help(int fd);

/* The commands, one file a noun. */
int command_key_create(const struct command_env *env, int argc, const struct str *argv,
                       struct err *ret_err);
int command_key_list(const struct command_env *env, int argc, const struct str *argv,
                     struct err *ret_err);
int command_key_revoke(const struct command_env *env, int argc, const struct str *argv,
                       struct err *ret_err);
int command_ledger_check(const struct command_env *env, int argc, const struct str *argv,
                         struct err *ret_err);
int command_account_set(const struct command_env *env, int argc, const struct str *argv,
                        struct err *ret_err);
int command_account_show(const struct command_env *env, int argc, const struct str *argv,
                         struct err *ret_err);
int command_providers(const struct command_env *env, int argc, const struct str *argv,
                      struct err *ret_err);
int command_providers_forgive(const struct command_env *env, int argc, const struct str *argv,
                              struct err *ret_err);
int command_route(const struct command_env *env, int argc, const struct str *argv,
                  struct err *ret_err);
int command_store_show(const struct command_env *env, int argc, const struct str *argv,
                       struct err *ret_err);

#endif
