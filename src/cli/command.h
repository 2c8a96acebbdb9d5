/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of `darkbloom`: one table from which dispatch, help and the nearest name for a
 * typing error come. A command is one file. */
#ifndef DARKBLOOM_CLI_COMMAND_H
#define DARKBLOOM_CLI_COMMAND_H

#include "base/str.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command {
    const char *name; /* NULL ends the table */
    const char *args; /* "[OPTION]..." */
    const char *help; /* one sentence */
    /* argv[0] is the command's name. Returns the exit status. */
    int (*run)(int argc, char **argv);
};

extern const struct command command_table[];

int cmd_serve(int argc, char **argv);
int cmd_benchmark(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/* The command of that name, or NULL. */
const struct command *command_find(struct str name);

/* The command whose name takes the fewest single-letter edits to reach `name`, if that is at most
 * `name.n / 2 + 1`, or NULL. */
const struct command *command_nearest(struct str name);

/* Run the command line of the program. Returns the exit status. */
int command_main(int argc, char **argv);

#endif
