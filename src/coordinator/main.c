/* SPDX-License-Identifier: Apache-2.0 */
/* darkbloom-coordinator: settings, then either one command on the store or the server. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "coordinator/command/command.h"
#include "coordinator/reload.h"
#include "coordinator/server.h"
#include "net/tls.h"

enum { SETTINGS_MAX_BYTES = 4 << 20 };

enum exit_code { EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* `rc` says it where nobody has found words. */
static int main_complain(int rc, const struct err *e, int exit_code)
{
    fprintf(stderr, "darkbloom-coordinator: %s\n", e->text[0] ? e->text : err_str(rc));
    return exit_code;
}

static void main_print_help(void)
{
    printf("Usage: darkbloom-coordinator [SETTINGS]           run the coordinator\n"
           "       darkbloom-coordinator [SETTINGS] COMMAND   work on its store\n\n"
           "Commands:\n");
    fflush(stdout);
    command_help(STDOUT_FILENO);
    printf("\nSettings (later wins: default, file, environment, flag):\n");
    fflush(stdout);
    cfg_help(&settings_table, STDOUT_FILENO);
}

static int main_run_command(const struct settings *settings, struct cfg_list rest)
{
    char control[SETTINGS_CONTROL_BYTES] = "";
    struct err e = {0};
    int rc = settings_control_path(settings, control, &e);
    const struct command_env env = {.store = {.path = settings->store_path.p,
                                              .id = settings->store_id.p,
                                              .begin_anew = settings->store_new},
                                    .control = control,
                                    .out = STDOUT_FILENO,
                                    .clock = clock_system(),
                                    .rand = rand_system()};

    if (rc == 0)
        rc = command_dispatch(&env, rest, &e);
    if (rc < 0)
        return main_complain(rc, &e, rc == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED);
    return EXIT_SUCCESS;
}

static int main_start(const struct cfg_source *src, struct arena *region)
{
    const struct log warnings = {.fd = STDERR_FILENO, .clock = clock_system()};
    struct settings settings;
    struct cfg_args args = {0};
    struct err e = {0};
    int rc = cfg_parse_args(src, region, &args, &e);

    if (rc < 0)
        return main_complain(rc, &e, EXIT_USAGE);
    if (args.help) {
        main_print_help();
        return EXIT_SUCCESS;
    }
    if (args.version) {
        printf("darkbloom-coordinator %s\n", DARKBLOOM_VERSION);
        return EXIT_SUCCESS;
    }
    rc = reload_read(src, args.file, region, &settings, &e);
    if (rc == 0)
        rc = settings_check_environment(src->getenv, &warnings, &e);
    if (rc < 0)
        return main_complain(rc, &e, EXIT_USAGE);
    if (args.check_config) {
        rc = settings_open_tls(&settings, &e);
        tls_context_free(settings.tls);
        if (rc < 0)
            return main_complain(rc, &e, EXIT_USAGE);
        printf("the settings are good\n");
        return EXIT_SUCCESS;
    }
    if (args.rest.n > 0)
        return main_run_command(&settings, args.rest);
    rc = server_run(src, args.file, &settings, &e);
    return rc < 0 ? main_complain(rc, &e, EXIT_FAILED) : EXIT_SUCCESS;
}

static const char *main_environment(const char *name)
{
    return getenv(name);
}

int main(int argc, char **argv)
{
    const struct cfg_source src = {&settings_table, argc, argv, main_environment};
    struct arena region;
    int code;

    if (sodium_init() < 0) {
        fprintf(stderr, "darkbloom-coordinator: libsodium could not be initialised\n");
        return EXIT_FAILED;
    }
    arena_init(&region, SETTINGS_MAX_BYTES);
    code = main_start(&src, &region);
    arena_free(&region);
    return code;
}
