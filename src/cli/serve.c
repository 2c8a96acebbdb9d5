/* SPDX-License-Identifier: Apache-2.0 */
/* `darkbloom serve`: settings, then the provider's process. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "cli/command.h"
#include "provider/daemon.h"
#include "provider/guard/guard.h"
#include "provider/paths.h"

enum { REGION_MAX_BYTES = 16 << 20 };

static int cmd_serve_complain(const struct err *err, int code, int status)
{
    (void)fprintf(stderr, "darkbloom serve: %s\n", err->text[0] ? err->text : err_str(code));
    return status;
}

static int cmd_serve_print_help(void)
{
    (void)printf("Usage: darkbloom serve [OPTION]...\n"
                 "Serve a model to the network. Settings come from a file, the environment and "
                 "flags; later ones win.\n"
                 "Without --config the file is the first that exists, in $XDG_CONFIG_HOME or "
                 "~/.config, of:\n");
    for (size_t i = 0; paths_config_places[i]; i++)
        (void)printf("  %s\n", paths_config_places[i]);
    (void)printf("\n");
    (void)fflush(stdout);
    cfg_help(&provider_settings_table, STDOUT_FILENO);
    return EXIT_DONE;
}

static void cmd_serve_warn(void *ud, const char *setting, const char *why)
{
    (void)ud;
    (void)printf("warning: %s has no effect: %s\n", setting, why);
}

static int cmd_serve_report_config(const struct provider_settings *settings, struct arena *region)
{
    cfg_each_ignored(&provider_settings_table, settings, region, cmd_serve_warn, NULL);
    (void)printf("the settings are good\n");
    return EXIT_DONE;
}

/* The file of --config, else the first usual one, else none. */
static int cmd_serve_load_settings(const struct cfg_source *src, const struct cfg_args *args,
                                   struct arena *region, struct provider_settings *ret_settings,
                                   struct err *ret_err)
{
    struct paths paths = {.getenv = src->getenv, .region = region};
    struct str file = args->file.p ? args->file : paths_config(&paths);
    int rc = file.p ? cfg_load_file(src, file.p, region, ret_settings, ret_err)
                    : cfg_load(src, (struct str){0}, NULL, region, ret_settings, ret_err);

    return rc < 0 ? rc : provider_settings_check(ret_settings, ret_err);
}

static int cmd_serve_run(const struct cfg_source *src, const struct provider_settings *settings)
{
    struct err err = {0};
    int rc = sandbox_harden(&err);

    if (rc == 0)
        rc = daemon_run(settings, src->getenv, &err);
    return rc < 0 ? cmd_serve_complain(&err, rc, EXIT_FAILED) : EXIT_DONE;
}

static int cmd_serve_with(const struct cfg_source *src, struct arena *region)
{
    struct cfg_args args;
    struct provider_settings settings;
    struct err err = {0};
    int rc = cfg_parse_args(src, region, &args, &err);

    if (rc < 0)
        return cmd_serve_complain(&err, rc, EXIT_USAGE);
    if (args.help)
        return cmd_serve_print_help();
    if (args.version)
        return cmd_version(1, NULL);
    if (args.rest.n) {
        rc = err_set(&err, ERR_USAGE, "unexpected argument \"%.*s\"; see darkbloom serve --help",
                     STR_ARG(args.rest.items[0]));
        return cmd_serve_complain(&err, rc, EXIT_USAGE);
    }
    rc = cmd_serve_load_settings(src, &args, region, &settings, &err);
    if (rc < 0)
        return cmd_serve_complain(&err, rc, EXIT_USAGE);
    return args.check_config ? cmd_serve_report_config(&settings, region)
                             : cmd_serve_run(src, &settings);
}

/* What the loader ran for these variables is in this process: only a new one is free of it. */
static int cmd_serve_restart_clean(int argc, char **argv)
{
    char **args = calloc((size_t)argc + 2, sizeof *args);
    char program[] = "darkbloom";
    struct err err;
    int rc;

    if (!args)
        return EXIT_FAILED;
    args[0] = program;
    for (int i = 0; i < argc; i++)
        args[i + 1] = argv[i];
    (void)execv("/proc/self/exe", args);
    rc = err_errno(&err, ERR_IO, errno,
                   "loader variables were set and the program cannot start itself again; unset "
                   "LD_PRELOAD, LD_AUDIT and LD_LIBRARY_PATH");
    free(args);
    return cmd_serve_complain(&err, rc, EXIT_FAILED);
}

static const char *cmd_serve_get_env(const char *name)
{
    return getenv(name);
}

int cmd_serve(int argc, char **argv)
{
    int status;
    struct cfg_source src;
    struct arena region;

    if (guard_scrub_env())
        return cmd_serve_restart_clean(argc, argv);
    src = (struct cfg_source){
        .table = &provider_settings_table, .argc = argc, .argv = argv, .getenv = cmd_serve_get_env};
    arena_init(&region, REGION_MAX_BYTES);
    status = cmd_serve_with(&src, &region);
    arena_free(&region);
    return status;
}
