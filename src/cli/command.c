/* SPDX-License-Identifier: Apache-2.0 */
/* The command table and its dispatch. */
#include "cli/command.h"

#include <stdio.h>

const struct command command_table[] = {
    {"serve", "[OPTION]...", "Serve a model to the network (serve --help lists the settings).",
     cmd_serve},
    {"benchmark", "[OPTION]...", "Measure a model on this machine (benchmark --help).",
     cmd_benchmark},
    {"version", "", "Print the version.", cmd_version},
    {"help", "[COMMAND]", "Say what the commands do.", cmd_help},
    {.name = NULL},
};

/* Options that stand for a command. */
static const struct {
    const char *option, *command;
} aliases[] = {{"--help", "help"}, {"-h", "help"}, {"--version", "version"}, {"-V", "version"}};

const struct command *command_find(struct str name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        if (str_is(name, aliases[i].option))
            name = str_from(aliases[i].command);
    }
    for (const struct command *c = command_table; c->name; c++) {
        if (str_is(name, c->name))
            return c;
    }
    return NULL;
}

const struct command *command_nearest(struct str name)
{
    const struct command *best = NULL;
    size_t best_edits = name.n / 2 + 2;

    for (const struct command *c = command_table; c->name; c++) {
        size_t n = str_distance(name, str_from(c->name));

        if (n < best_edits) {
            best = c;
            best_edits = n;
        }
    }
    return best;
}

int command_main(int argc, char **argv)
{
    const struct command *near, *c;
    struct str name;

    if (argc < 2) {
        (void)cmd_help(1, argv);
        return EXIT_USAGE;
    }
    name = str_from(argv[1]);
    c = command_find(name);
    if (c)
        return c->run(argc - 1, argv + 1);
    near = command_nearest(name);
    if (near)
        (void)fprintf(stderr, "darkbloom: no command \"%s\"; did you mean \"%s\"?\n", argv[1],
                      near->name);
    else
        (void)fprintf(stderr, "darkbloom: no command \"%s\"; \"darkbloom help\" lists them\n",
                      argv[1]);
    return EXIT_USAGE;
}
