/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/server.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log_sink.h"
#include "base/notify.h"
#include "base/sandbox.h"
#include "coordinator/api/monitor.h"
#include "coordinator/coord.h"
#include "coordinator/metrics.h"
#include "coordinator/reload.h"

enum {
    DRAIN_STATUS_US = 1000000, /* between two words to the service manager while draining */
    STORE_COMPANY_US = 2000,
    LOG_LEAVE_MS = 2000, /* for whoever reads the log to take its end */
    FD_RESERVE = 64
};

/* A provider link or a consumer is a descriptor each: take all the system grants. */
static void server_raise_descriptor_limit(struct settings *s, const struct log *log)
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
    struct log log;
    struct log_sink sink;
    struct reload reload;
    struct notify notify;
    struct loop_timer watchdog, drain_status;
    struct loop_defer flush;
    struct loop_timer flush_timer;
    bool stopping;
};

static void server_flush_log(void *ud)
{
    struct server *s = ud;

    log_flush(&s->log);
}

/* A line a request: they leave together, behind the answers. */
static void server_flush_log_late(void *ud, int64_t delay_ms)
{
    struct server *s = ud;
    int64_t due_us = clock_mono_us(&s->log.clock) + delay_ms * 1000;

    if (delay_ms == 0)
        loop_defer_late(s->loop, &s->flush, server_flush_log, s);
    else if (!s->flush_timer.place || s->flush_timer.due_us > due_us)
        loop_timer_set(s->loop, &s->flush_timer, delay_ms * 1000, server_flush_log, s);
}

static void server_stop(void *ud)
{
    struct server *s = ud;

    loop_stop(s->loop);
}

/* --- signals --- */

static void server_tell_draining(void *ud)
{
    struct server *s = ud;

    notify_status(&s->notify, "finishing %zu requests", s->coord->n_requests);
    loop_timer_set(s->loop, &s->drain_status, DRAIN_STATUS_US, server_tell_draining, s);
}

static void server_on_signal(void *ud, int signo)
{
    struct server *s = ud;

    log_event(&s->log, LOG_INFO, EV_STOPPING, KV_INT("signal", signo),
              KV_INT("requests", s->coord->n_requests));
    if (s->stopping) { /* asked twice: at once */
        loop_stop(s->loop);
        return;
    }
    s->stopping = true;
    notify_stopping(&s->notify, "finishing what runs");
    server_tell_draining(s);
    coord_drain(s->coord, s->coord->settings->drain_timeout_ms, server_stop, s);
}

static void server_take_settings(struct server *s, const struct settings *settings)
{
    int rc = coord_take_settings(s->coord, settings);

    s->log.level = (enum log_level)settings->log_level;
    log_event(&s->log, rc < 0 ? LOG_ERROR : LOG_INFO, EV_RELOADED,
              KV_CSTR("result", rc < 0 ? err_str(rc) : "all"));
}

static void server_on_reload(void *ud, int signo)
{
    struct server *s = ud;
    const struct settings *settings;
    int rc;

    (void)signo;
    notify_reloading(&s->notify);
    rc = reload_again(&s->reload, &s->log, &settings);
    metrics_add(s->coord->metrics, M_RELOADS,
                rc < 0 ? METRIC_RELOAD_REFUSED : METRIC_RELOAD_APPLIED, 0, 1);
    if (rc == 0)
        server_take_settings(s, settings);
    notify_ready(&s->notify, rc < 0 ? "running; the new settings were refused" : "running");
}

/* --- life --- */

/* Twice as often as asked for, as sd_watchdog_enabled(3) advises. A loop that hangs says nothing.
 */
static void server_feed_watchdog(void *ud)
{
    struct server *s = ud;

    notify_watchdog(&s->notify);
    loop_timer_set(s->loop, &s->watchdog, s->notify.watchdog_us / 2, server_feed_watchdog, s);
}

static void server_started(struct server *s, const struct settings *settings)
{
    log_event(&s->log, LOG_INFO, EV_STARTED, KV_STR("host", settings->host),
              KV_INT("port", s->coord->port),
              KV_INT("metrics_port", monitor_port(s->coord->monitor)),
              KV_STR("store", settings->store_path));
    log_flush(&s->log); /* before the manager starts what waits for us */
    notify_ready(&s->notify, "running");
    if (s->notify.watchdog_us > 0)
        server_feed_watchdog(s);
}

static int server_open(struct server *s, const struct settings *settings, struct err *ret_err)
{
    const struct {
        int signo;
        void (*cb)(void *ud, int signo);
    } signals[] = {
        {SIGINT, server_on_signal}, {SIGTERM, server_on_signal}, {SIGHUP, server_on_reload}};
    struct coord_config config = {.rand = rand_system(),
                                  .log = &s->log,
                                  .settings = settings,
                                  .store_threaded = true,
                                  .store_company_us = STORE_COMPANY_US};
    int rc = settings->loop == SETTINGS_LOOP_EPOLL ? loop_epoll_new(&s->loop, ret_err)
                                                   : loop_uv_new(&s->loop, ret_err);

    if (rc < 0)
        return rc;
    log_sink_open(&s->sink, s->log.fd, server_flush_log_late, s);
    s->log.sink = &s->sink;
    config.loop = s->loop;
    rc = coord_new(&config, &s->coord, ret_err);
    for (size_t i = 0; rc == 0 && i < sizeof signals / sizeof signals[0]; i++)
        rc = loop_on_signal(s->loop, signals[i].signo, signals[i].cb, s);
    return rc;
}

static void server_close(struct server *s)
{
    coord_free(s->coord);
    log_close(&s->log, LOG_LEAVE_MS);
    loop_free(s->loop);
    notify_close(&s->notify);
    reload_free(&s->reload);
}

int server_run(const struct cfg_source *src, struct str file, const struct settings *loaded,
               struct err *ret_err)
{
    struct settings settings = *loaded;
    struct server s = {.log = {.fd = STDERR_FILENO,
                               .level = (enum log_level)settings.log_level,
                               .clock = clock_system()}};
    int rc = sandbox_harden(ret_err); /* prompts pass through here in clear */

    if (rc < 0)
        return rc;
    server_raise_descriptor_limit(&settings, &s.log);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* until it can be answered */
    notify_open(&s.notify, src->getenv);
    reload_init(&s.reload, src, file, loaded, &settings);
    rc = server_open(&s, &settings, ret_err);
    if (rc == 0) {
        server_started(&s, &settings);
        rc = loop_run(s.loop);
    }
    server_close(&s);
    return rc;
}
