/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/server.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/log_sink.h"
#include "base/notify.h"
#include "base/num.h"
#include "base/sandbox.h"
#include "coordinator/api/monitor.h"
#include "coordinator/coord.h"
#include "coordinator/metrics.h"
#include "coordinator/reload.h"
#include "net/tls.h"

_Static_assert((int)SETTINGS_LOOPS_MAX <= (int)HUB_SHARDS_MAX, "what server.loops may say");

enum {
    DRAIN_STATUS_US = 1000000, /* between two words to the service manager while draining */
    STORE_COMPANY_US = 2000,
    LOOPS_BY_ITSELF_MAX = 16, /* of server.loops = 0 */
    LOG_LEAVE_MS = 2000,      /* for whoever reads the log to take its end */
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

static unsigned server_count_loops(const struct settings *s)
{
    return (unsigned)(s->loops > 0 ? s->loops : num_min(cpus_cores(""), LOOPS_BY_ITSELF_MAX));
}

/* One event loop: its thread, and a log of its own. */
struct server_loop {
    struct server *server;
    struct loop *loop;
    struct log log;
    struct log_sink sink;
    struct loop_defer flush;
    struct loop_timer flush_timer;
    pthread_t thread;            /* but for the first, which is the main thread's */
    bool running, asked_to_stop; /* the main thread's */
    int rc;                      /* of its run */
    struct inbox_item stop, failed;
};

struct server {
    struct server_loop *loops;
    unsigned n_loops;
    struct hub *hub;
    struct reload reload;
    bool reloading, reload_again; /* the shards are taking settings; it was asked for meanwhile */
    struct tls_context *tls;      /* of the start */
    struct notify notify;
    struct loop_timer watchdog, drain_status;
    struct hub_round alive;
    bool stopping;
};

/* --- each loop --- */

static void server_flush_log(void *ud)
{
    struct server_loop *l = ud;

    log_flush(&l->log);
}

/* A line a request: they leave together, behind the answers. */
static void server_flush_log_late(void *ud, int64_t delay_ms)
{
    struct server_loop *l = ud;
    int64_t due_us = clock_mono_us(&l->log.clock) + delay_ms * 1000;

    if (delay_ms == 0)
        loop_defer_late(l->loop, &l->flush, server_flush_log, l);
    else if (!l->flush_timer.place || l->flush_timer.due_us > due_us)
        loop_timer_set(l->loop, &l->flush_timer, delay_ms * 1000, server_flush_log, l);
}

static int server_loop_open(struct server_loop *l, const struct settings *settings,
                            struct err *ret_err)
{
    int rc = settings->loop == SETTINGS_LOOP_EPOLL ? loop_epoll_new(&l->loop, ret_err)
                                                   : loop_uv_new(&l->loop, ret_err);

    l->log = (struct log){
        .fd = STDERR_FILENO, .level = (enum log_level)settings->log_level, .clock = clock_system()};
    if (rc < 0)
        return rc;
    log_sink_open(&l->sink, l->log.fd, server_flush_log_late, l);
    l->log.sink = &l->sink;
    return 0;
}

static void server_loop_close(struct server_loop *l)
{
    if (l->loop)
        log_close(&l->log, LOG_LEAVE_MS);
    loop_free(l->loop);
}

static void server_stop_loop(void *ud)
{
    loop_stop(((struct server_loop *)ud)->loop);
}

/* Ask all loops to end; the first one's thread. */
static void server_stop(void *ud)
{
    struct server *s = ud;

    for (unsigned i = 1; i < s->n_loops; i++) {
        struct server_loop *l = &s->loops[i];

        if (l->running && !l->asked_to_stop)
            inbox_post(s->hub->inboxes[i], &l->stop, server_stop_loop, l);
        l->asked_to_stop = true;
    }
    loop_stop(s->loops[0].loop);
}

static void *server_run_loop(void *ud)
{
    struct server_loop *l = ud;

    l->rc = loop_run(l->loop);
    if (l->rc < 0) /* the process ends with it */
        inbox_post(l->server->hub->inboxes[0], &l->failed, server_stop, l->server);
    return NULL;
}

/* Signals are the main thread's. */
static int server_start_threads(struct server *s, struct err *ret_err)
{
    sigset_t all, before;
    int errno_value = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 1; errno_value == 0 && i < s->n_loops; i++) {
        struct server_loop *l = &s->loops[i];
        char name[16];

        snprintf(name, sizeof name, "loop %u", i);
        errno_value = pthread_create(&l->thread, NULL, server_run_loop, l);
        l->running = errno_value == 0;
        if (l->running)
            (void)pthread_setname_np(l->thread, name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return errno_value == 0 ? 0
                            : err_errno(ret_err, ERR_IO, errno_value,
                                        "a thread for an event loop cannot be started");
}

/* The first error of any loop. */
static int server_join_threads(struct server *s)
{
    int rc = 0;

    server_stop(s); /* whoever has not been asked yet */
    for (unsigned i = 1; i < s->n_loops; i++) {
        struct server_loop *l = &s->loops[i];

        if (l->running)
            pthread_join(l->thread, NULL);
        l->running = false;
        rc = rc < 0 ? rc : l->rc;
    }
    return rc;
}

/* --- signals --- */

/* Which certificate new connections are shown, until when: a forgotten one is found before its end.
 */
static void server_log_tls(const struct server *s, const struct settings *settings)
{
    if (settings->tls)
        log_event(&s->loops[0].log, LOG_INFO, EV_TLS_CERTIFICATE,
                  KV_STR("file", settings->tls_cert),
                  KV_INT("days_left", (tls_context_expires_s(settings->tls) -
                                       clock_wall_us(&s->hub->clock) / 1000000) /
                                          86400));
}

static void server_tell_draining(void *ud)
{
    struct server *s = ud;

    notify_status(&s->notify, "finishing %zu requests", atomic_load(&s->hub->n_requests));
    loop_timer_set(s->loops[0].loop, &s->drain_status, DRAIN_STATUS_US, server_tell_draining, s);
}

static void server_on_signal(void *ud, int signo)
{
    struct server *s = ud;

    log_event(&s->loops[0].log, LOG_INFO, EV_STOPPING, KV_INT("signal", signo),
              KV_INT("requests", atomic_load(&s->hub->n_requests)));
    if (s->stopping) { /* asked twice: at once */
        server_stop(s);
        return;
    }
    s->stopping = true;
    notify_stopping(&s->notify, "finishing what runs");
    server_tell_draining(s);
    hub_drain(s->hub, s->hub->shards[0]->settings->drain_timeout_ms, server_stop, s);
}

static void server_reload(struct server *s);

static void server_settings_taken(void *ud, int rc)
{
    struct server *s = ud;

    log_event(&s->loops[0].log, rc < 0 ? LOG_ERROR : LOG_INFO, EV_RELOADED,
              KV_CSTR("result", rc < 0 ? err_str(rc) : "all"));
    s->reloading = false;
    if (s->reload_again)
        server_reload(s);
    else
        notify_ready(&s->notify, "running");
}

/* One at a time: settings are freed when the ones after the next are read. */
static void server_reload(struct server *s)
{
    const struct settings *settings;
    int rc;

    s->reload_again = s->reloading;
    if (s->reloading)
        return;
    rc = reload_again(&s->reload, &s->loops[0].log, &settings);
    metrics_add(s->hub->shards[0]->metrics, M_RELOADS,
                rc < 0 ? METRIC_RELOAD_REFUSED : METRIC_RELOAD_APPLIED, 0, 1);
    if (rc < 0) {
        notify_ready(&s->notify, "running; the new settings were refused");
        return;
    }
    s->reloading = true;
    server_log_tls(s, settings);
    hub_take_settings(s->hub, settings, server_settings_taken, s);
}

static void server_on_reload(void *ud, int signo)
{
    struct server *s = ud;

    (void)signo;
    notify_reloading(&s->notify);
    server_reload(s);
}

/* --- life --- */

static void server_is_alive(struct hub_round *r, struct coord *c)
{
    (void)r;
    (void)c;
}

static void server_feed_watchdog(void *ud);

/* Twice as often as asked for, as sd_watchdog_enabled(3) advises. A loop that hangs does not answer
 * the round, and then nothing is said. */
static void server_all_alive(struct hub_round *r)
{
    struct server *s = list_owner(r, struct server, alive);

    notify_watchdog(&s->notify);
    loop_timer_set(s->loops[0].loop, &s->watchdog, s->notify.watchdog_us / 2, server_feed_watchdog,
                   s);
}

static void server_feed_watchdog(void *ud)
{
    struct server *s = ud;

    hub_round(s->hub->shards[0], &s->alive, server_is_alive, server_all_alive);
}

static void server_started(struct server *s, const struct settings *settings)
{
    const struct coord *first = s->hub->shards[0];

    log_event(&s->loops[0].log, LOG_INFO, EV_STARTED, KV_STR("host", settings->host),
              KV_INT("port", first->port), KV_INT("metrics_port", monitor_port(first->monitor)),
              KV_INT("loops", s->n_loops), KV_STR("store", settings->store_path));
    server_log_tls(s, settings);
    log_flush(&s->loops[0].log); /* before the manager starts what waits for us */
    notify_ready(&s->notify, "running");
    if (s->notify.watchdog_us > 0)
        server_feed_watchdog(s);
}

/* As many as there are cores for beside the loops, one a loop at most. */
static unsigned server_session_makers(const struct server *s)
{
    return (unsigned)num_count(cpus_cores("") - (int64_t)s->n_loops, s->n_loops);
}

static int server_open_hub(struct server *s, const struct settings *settings, struct err *ret_err)
{
    struct loop *loops[HUB_SHARDS_MAX];
    struct log *logs[HUB_SHARDS_MAX];
    const struct hub_config config = {.loops = loops,
                                      .logs = logs,
                                      .n_shards = s->n_loops,
                                      .rand = rand_system(),
                                      .settings = settings,
                                      .store_threaded = true,
                                      .n_session_makers = server_session_makers(s),
                                      .store_company_us = STORE_COMPANY_US};

    for (unsigned i = 0; i < s->n_loops; i++) {
        loops[i] = s->loops[i].loop;
        logs[i] = &s->loops[i].log;
    }
    return hub_new(&config, &s->hub, ret_err);
}

static int server_open(struct server *s, const struct settings *settings, struct err *ret_err)
{
    const struct {
        int signo;
        void (*cb)(void *ud, int signo);
    } signals[] = {
        {SIGINT, server_on_signal}, {SIGTERM, server_on_signal}, {SIGHUP, server_on_reload}};
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < s->n_loops; i++) {
        s->loops[i].server = s;
        rc = server_loop_open(&s->loops[i], settings, ret_err);
    }
    if (rc == 0)
        rc = server_open_hub(s, settings, ret_err);
    for (size_t i = 0; rc == 0 && i < sizeof signals / sizeof signals[0]; i++)
        rc = loop_on_signal(s->loops[0].loop, signals[i].signo, signals[i].cb, s);
    return rc;
}

static void server_close(struct server *s)
{
    hub_free(s->hub);
    for (unsigned i = 0; i < s->n_loops; i++)
        server_loop_close(&s->loops[i]);
    free(s->loops);
    notify_close(&s->notify);
    tls_context_free(s->tls);
    reload_free(&s->reload);
}

static int server_serve(struct server *s, const struct settings *settings, struct err *ret_err)
{
    int rc = server_start_threads(s, ret_err), threads_rc;

    if (rc == 0) {
        server_started(s, settings);
        rc = loop_run(s->loops[0].loop);
    }
    threads_rc = server_join_threads(s);
    return rc < 0 ? rc : threads_rc;
}

int server_run(const struct cfg_source *src, struct str file, const struct settings *loaded,
               struct err *ret_err)
{
    const struct log early = {
        .fd = STDERR_FILENO, .level = (enum log_level)loaded->log_level, .clock = clock_system()};
    struct settings settings = *loaded;
    struct server s = {.n_loops = server_count_loops(loaded)};
    int rc = sandbox_harden(ret_err); /* prompts pass through here in clear */

    if (rc < 0)
        return rc;
    s.loops = calloc(s.n_loops, sizeof *s.loops);
    if (!s.loops)
        return ERR_NOMEM;
    server_raise_descriptor_limit(&settings, &early);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* until it can be answered */
    notify_open(&s.notify, src->getenv);
    reload_init(&s.reload, src, file, loaded, &settings);
    rc = settings_open_tls(&settings, ret_err);
    s.tls = settings.tls;
    if (rc == 0)
        rc = server_open(&s, &settings, ret_err);
    if (rc == 0)
        rc = server_serve(&s, &settings, ret_err);
    server_close(&s);
    return rc;
}
