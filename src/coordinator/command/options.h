/* SPDX-License-Identifier: Apache-2.0 */
/* The words behind a command's name: one ACCOUNT and options with a value. */
#ifndef DARKBLOOM_COORDINATOR_COMMAND_OPTIONS_H
#define DARKBLOOM_COORDINATOR_COMMAND_OPTIONS_H

#include "coordinator/command/command.h"

/* "--credit 5" or "--credit=5". */
struct command_option {
    const char *name;  /* "--credit"; NULL ends the list */
    const char *needs; /* "an amount in USD" */
    struct str value;  /* out: .p NULL where it was not given */
};

/* Take exactly one account's name, which is checked, and any of the options, once each. `usage` is
 * the command's whole form. 0 or ERR_USAGE with what is wrong. */
int command_options(int argc, const struct str *argv, const char *usage,
                    struct command_option *options, struct str *ret_account, struct err *ret_err);

/* ERR_USAGE where there are any words. */
int command_no_arguments(const char *name, int argc, const struct str *argv, struct err *ret_err);

#endif
