/* SPDX-License-Identifier: Apache-2.0 */
/* darkbloom-coordinator: settings, then either one command on the store or the server. */
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log_sink.h"
#include "base/sandbox.h"
#include "coordinator/api/monitor.h"
#include "coordinator/command/command.h"
#include "coordinator/coord.h"

enum {
    SETTINGS_MAX_BYTES = 4 << 20,
    DRAIN_GRACE_MS = 15000,
    STORE_COMPANY_US = 2000,
    LOG_LEAVE_MS = 2000, /* for whoever reads the log to take its end */
    FD_RESERVE = 64
};

enum exit_code { EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* `rc` says it where nobody has found words. */
static int complain(int rc, const struct err *e, int exit_code)
{
    fprintf(stderr, "darkbloom-coordinator: %s\n", e->text[0] ? e->text : err_str(rc));
    return exit_code;
}

static void print_help(void)
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

/* A provider link or a consumer is a descriptor each: take all the system grants. */
static void raise_descriptor_limit(struct settings *s, const struct log *log)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
        return;
    rl.rlim_cur = rl.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &rl);
    if ((rlim_t)s->max_connections + FD_RESERVE > rl.rlim_cur) {
        s->max_connections = (int64_t)rl.rlim_cur - FD_RESERVE;
        log_event(log, LOG_WARN, EV_CONFIG_WARNING, KV_CSTR("setting", "server.max_connections"),
                  KV_CSTR("why", "lowered to the system's limit of open files"),
                  KV_INT("value", s->max_connections));
    }
}

struct server {
    struct loop *loop;
    struct coord *coord;
    const struct log *log;
    struct log_sink sink;
    struct loop_defer flush;
    struct loop_timer flush_timer;
    bool stopping;
};

static void flush_log(void *ud)
{
    struct server *s = ud;

    log_flush(s->log);
}

/* A line a request: they leave together, behind the answers. */
static void flush_log_late(void *ud, int64_t delay_ms)
{
    struct server *s = ud;
    int64_t due_us = clock_mono_us(&s->log->clock) + delay_ms * 1000;

    if (delay_ms == 0)
        loop_defer_late(s->loop, &s->flush, flush_log, s);
    else if (!s->flush_timer.place || s->flush_timer.due_us > due_us)
        loop_timer_set(s->loop, &s->flush_timer, delay_ms * 1000, flush_log, s);
}

static void stop(void *ud)
{
    struct server *s = ud;

    loop_stop(s->loop);
}

static void on_signal(void *ud, int signo)
{
    struct server *s = ud;

    log_event(s->log, LOG_INFO, EV_STOPPING, KV_INT("signal", signo));
    if (s->stopping) { /* asked twice: at once */
        loop_stop(s->loop);
        return;
    }
    s->stopping = true;
    coord_drain(s->coord, DRAIN_GRACE_MS, stop, s);
}

static int serve(struct settings *settings)
{
    struct log log = {
        .fd = STDERR_FILENO, .level = (enum log_level)settings->log_level, .clock = clock_system()};
    struct server s = {.log = &log};
    struct coord_config config = {.rand = rand_system(),
                                  .log = &log,
                                  .settings = settings,
                                  .store_threaded = true,
                                  .store_company_us = STORE_COMPANY_US};
    struct err e = {0};
    int rc = sandbox_harden(&e); /* prompts pass through here in clear */

    if (rc < 0)
        return complain(rc, &e, EXIT_FAILED);
    raise_descriptor_limit(settings, &log);
    signal(SIGPIPE, SIG_IGN);
    rc = settings->loop == SETTINGS_LOOP_EPOLL ? loop_epoll_new(&s.loop, &e)
                                               : loop_uv_new(&s.loop, &e);
    config.loop = s.loop;
    if (rc == 0) {
        log_sink_open(&s.sink, log.fd, flush_log_late, &s);
        log.sink = &s.sink;
    }
    if (rc == 0)
        rc = coord_new(&config, &s.coord, &e);
    if (rc == 0)
        rc = loop_on_signal(s.loop, SIGINT, on_signal, &s);
    if (rc == 0)
        rc = loop_on_signal(s.loop, SIGTERM, on_signal, &s);
    if (rc == 0) {
        log_event(&log, LOG_INFO, EV_STARTED, KV_STR("host", settings->host),
                  KV_INT("port", s.coord->port),
                  KV_INT("metrics_port", monitor_port(s.coord->monitor)),
                  KV_STR("store", settings->store_path));
        rc = loop_run(s.loop);
    }
    coord_free(s.coord);
    log_close(&log, LOG_LEAVE_MS);
    log.sink = NULL;
    loop_free(s.loop);
    return rc < 0 ? complain(rc, &e, EXIT_FAILED) : EXIT_SUCCESS;
}

static int run_command(const struct settings *settings, struct cfg_list rest)
{
    const struct command_env env = {.store = {.path = settings->store_path.p,
                                              .id = settings->store_id.p,
                                              .begin_anew = settings->store_new},
                                    .out = STDOUT_FILENO,
                                    .clock = clock_system(),
                                    .rand = rand_system()};
    struct err e = {0};
    int rc = command_dispatch(&env, rest, &e);

    if (rc < 0)
        return complain(rc, &e, rc == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED);
    return EXIT_SUCCESS;
}

static int load(const struct cfg_source *src, struct str file, struct arena *region,
                struct settings *ret_settings, struct err *ret_err)
{
    const struct log warnings = {.fd = STDERR_FILENO, .clock = clock_system()};
    int rc = file.p ? cfg_load_file(src, file.p, region, ret_settings, ret_err)
                    : cfg_load(src, (struct str){0}, NULL, region, ret_settings, ret_err);

    if (rc == 0)
        rc = settings_check(ret_settings, ret_err);
    return rc == 0 ? settings_check_environment(src->getenv, &warnings, ret_err) : rc;
}

static int start(const struct cfg_source *src, struct arena *region)
{
    struct settings settings;
    struct cfg_args args = {0};
    struct err e = {0};
    int rc = cfg_parse_args(src, region, &args, &e);

    if (rc < 0)
        return complain(rc, &e, EXIT_USAGE);
    if (args.help) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (args.version) {
        printf("darkbloom-coordinator %s\n", DARKBLOOM_VERSION);
        return EXIT_SUCCESS;
    }
    rc = load(src, args.file, region, &settings, &e);
    if (rc < 0)
        return complain(rc, &e, EXIT_USAGE);
    if (args.check_config) {
        printf("the settings are good\n");
        return EXIT_SUCCESS;
    }
    if (args.rest.n > 0)
        return run_command(&settings, args.rest);
    return serve(&settings);
}

static const char *environment(const char *name)
{
    return getenv(name);
}

int main(int argc, char **argv)
{
    const struct cfg_source src = {&settings_table, argc, argv, environment};
    struct arena region;
    int code;

    if (sodium_init() < 0) {
        fprintf(stderr, "darkbloom-coordinator: libsodium could not be initialised\n");
        return EXIT_FAILED;
    }
    arena_init(&region, SETTINGS_MAX_BYTES);
    code = start(&src, &region);
    arena_free(&region);
    return code;
}
