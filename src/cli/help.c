/* SPDX-License-Identifier: Apache-2.0 */
/* `darkbloom help`, from the command table. */
#include <stdio.h>

#include "cli/command.h"

static void cmd_help_print_all(void)
{
    (void)printf("Usage: darkbloom COMMAND [ARGUMENT]...\n\nCommands:\n");
    for (const struct command *c = command_table; c->name; c++)
        (void)printf("  %-9s %-12s %s\n", c->name, c->args, c->help);
}

int cmd_help(int argc, char **argv)
{
    const struct command *c;

    if (argc < 2) {
        cmd_help_print_all();
        return EXIT_DONE;
    }
    c = command_find(str_from(argv[1]));
    if (!c) {
        (void)fprintf(stderr, "darkbloom: no command \"%s\"; \"darkbloom help\" lists them\n",
                      argv[1]);
        return EXIT_USAGE;
    }
    (void)printf("Usage: darkbloom %s %s\n%s\n", c->name, c->args, c->help);
    return EXIT_DONE;
}
