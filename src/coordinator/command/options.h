/* SPDX-License-Identifier: Apache-2.0 */
/* The words behind a command's name: at most one that stands alone, and options. */
#ifndef DARKBLOOM_COORDINATOR_COMMAND_OPTIONS_H
#define DARKBLOOM_COORDINATOR_COMMAND_OPTIONS_H

#include "coordinator/command/command.h"

/* "--credit 5" or "--credit=5". */
struct command_option {
    const char *name;  /* "--credit"; NULL ends the list */
    const char *needs; /* "an amount in USD"; NULL: it takes no value, and has "yes" if given */
    struct str value;  /* out: .p NULL where it was not given */
};

/* Take exactly one word that stands alone, called `what` in errors (NULL: none is allowed), and any
 * of the options, once each. `usage` is the command's whole form. 0 or ERR_USAGE with what is
 * wrong.
 */
int command_words(int argc, const struct str *argv, const char *usage,
                  struct command_option *options, const char *what, struct str *ret_word,
                  struct err *ret_err);

/* The same for an account's name, which is checked. */
int command_options(int argc, const struct str *argv, const char *usage,
                    struct command_option *options, struct str *ret_account, struct err *ret_err);

/* ERR_USAGE where there are any words. */
int command_no_arguments(const char *name, int argc, const struct str *argv, struct err *ret_err);

#endif
