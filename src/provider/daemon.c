/* SPDX-License-Identifier: Apache-2.0 */
/* Put together in order: loop, key, model, link; taken apart in reverse. */
#include "provider/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/notify.h"
#include "net/tls.h"
#include "provider/engine/engine.h"
#include "provider/guard/posture.h"
#include "provider/key_lock.h"
#include "provider/paths.h"
#include "provider/post.h"
#include "provider/provider.h"
#include "provider/session/hardware.h"

enum { REGION_BYTES = 4 << 20, WAITING_PER_SLOT = 4 };

struct daemon {
    const struct provider_settings *settings;
    struct arena region;
    struct paths paths;
    struct log log;
    struct notify notify; /* the service manager */
    struct loop_timer watchdog;
    struct rand_src rand;
    struct loop *loop;
    struct loop_waker *waker;
    struct engine *engine;
    struct post *post;
    struct signer *signer;
    int key_lock; /* descriptor; -1: not held */
    struct box_pair *pair;
    struct machine machine;
    struct coordinator_url url;
    struct tls_context *tls; /* wss:// */
    struct provider *provider;
};

/* --- parts --- */

/* Scheduler's threads. */
static void daemon_wake(void *ud)
{
    struct daemon *d = ud;

    loop_waker_wake(d->waker);
}

static void daemon_on_wake(void *ud)
{
    struct daemon *d = ud;

    if (d->provider)
        provider_on_engine(d->provider);
}

static int daemon_open_engine(struct daemon *d, struct err *e)
{
    const struct provider_settings *s = d->settings;
    struct engine_config config = {
        .model = {.path = s->model_path.p,
                  .slots = (int32_t)s->slots,
                  .context_tokens = (int32_t)s->context_tokens,
                  .threads = (int32_t)s->threads,
                  .invariant = s->numerics == SETTINGS_NUMERICS_INVARIANT},
        .max_waiting = (size_t)s->slots * WAITING_PER_SLOT,
        .wake = daemon_wake,
        .wake_ud = d};
    int64_t start = clock_mono_us(&d->log.clock);
    int rc;

    rand_fill(&d->rand, &config.seed, sizeof config.seed);
    rc = engine_open(&config, &d->engine, e);
    if (rc == 0)
        log_event(&d->log, LOG_INFO, EV_MODEL_LOADED,
                  KV_STR("model", provider_settings_model_id(s)),
                  KV_CSTR("numerics", engine_invariant(d->engine) ? "invariant" : "fast"),
                  KV_INT("slots", engine_limits(d->engine).max_seqs),
                  KV_INT("context_tokens", engine_limits(d->engine).context_tokens),
                  KV_INT("ms", (clock_mono_us(&d->log.clock) - start) / 1000));
    if (rc == 0 && config.model.invariant && !engine_invariant(d->engine))
        log_event(&d->log, LOG_WARN, EV_CONFIG_WARNING, KV_CSTR("setting", "model.numerics"),
                  KV_CSTR("why", "the check at start found that rows depend on their neighbours; "
                                 "`fast` is announced"));
    return rc;
}

static int daemon_open_signer(struct daemon *d, struct err *e)
{
    struct str path = d->settings->key_path;
    struct signer_post post;
    int rc = path.p ? 0 : paths_identity_key(&d->paths, &path, e);

    if (rc == 0)
        rc = post_new(d->loop, &d->post);
    if (rc < 0)
        return rc;
    post = post_for_signer(d->post);
    rc = signer_soft_open(path.p, &post, &d->signer, e);
    return rc < 0 ? rc : key_lock(path.p, &d->key_lock, e);
}

static int daemon_describe_machine(struct daemon *d, struct err *e)
{
    const struct provider_settings *s = d->settings;
    struct gguf_info info = engine_info(d->engine);
    struct machine *m = &d->machine;
    char hash[FILE_HASH_BYTES];
    int rc;

    m->root = "";
    m->backend = str_from(provider_settings_backend(s));
    m->version = str_from(DARKBLOOM_VERSION);
    m->public_key = str_from(box_pair_public_b64(d->pair));
    m->max_running = engine_limits(d->engine).max_seqs;
    m->engine_in_process = true;
    m->model =
        (struct msg_model){.id = provider_settings_model_id(s),
                           .size_bytes = (int64_t)info.size_bytes,
                           .model_type = STR("chat"),
                           .quantization = arena_dup(&d->region, str_from(info.quantization)),
                           .weight_hash = arena_dup(&d->region, str_from(info.weight_hash)),
                           .context_length = engine_limits(d->engine).context_tokens,
                           .numerics = engine_invariant(d->engine) ? STR("invariant") : STR("fast"),
                           .template_overhead_tokens = engine_template_overhead(d->engine)};
    rc = posture_binary_hash(m->root, hash, e);
    if (rc == 0)
        rc = hardware_read(m->root, s->memory_reserve_gb, &d->region, &m->hardware);
    if (rc == 0)
        rc = paths_auth_token(&d->paths, s->auth_token_path, &m->auth_token, e);
    m->binary_hash = rc == 0 ? arena_dup(&d->region, str_from(hash)) : (struct str){0};
    m->os_version = hardware_os_version(m->root, &d->region);
    return rc;
}

static int daemon_open_provider(struct daemon *d)
{
    const struct provider_settings *s = d->settings;
    const struct provider_config config = {.loop = d->loop,
                                           .rand = d->rand,
                                           .log = &d->log,
                                           .signer = d->signer,
                                           .machine = &d->machine,
                                           .pair = d->pair,
                                           .engine = engine_port(d->engine),
                                           .url = d->url,
                                           .tls = d->tls,
                                           .heartbeat_interval_ms =
                                               s->heartbeat_interval_secs * 1000,
                                           .drain_timeout_ms = s->drain_timeout_secs * 1000,
                                           .max_jobs = (uint32_t)s->slots * (1 + WAITING_PER_SLOT)};

    return provider_new(&config, &d->provider);
}

static int daemon_open_parts(struct daemon *d, struct err *e)
{
    int rc = coordinator_url_parse(d->settings->coordinator_url, &d->url, e);

    if (rc == 0 && d->url.tls)
        rc = tls_context_new_client(d->settings->ca_path.p, "coordinator.ca_file", &d->tls, e);
    if (rc == 0)
        rc = loop_uv_new(&d->loop, e);
    if (rc == 0)
        rc = loop_waker_new(d->loop, daemon_on_wake, d, &d->waker);
    if (rc == 0)
        rc = daemon_open_signer(d, e);
    if (rc == 0)
        rc = daemon_open_engine(d, e);
    if (rc == 0)
        rc = box_pair_new(&d->pair);
    if (rc == 0)
        rc = daemon_describe_machine(d, e);
    return rc == 0 ? daemon_open_provider(d) : rc;
}

static void daemon_close_parts(struct daemon *d)
{
    signer_close(d->signer);
    provider_free(d->provider);
    d->provider = NULL;
    engine_close(d->engine); /* joins the thread that wakes */
    post_free(d->post);
    box_pair_free(d->pair);
    loop_waker_free(d->waker);
    loop_free(d->loop);
    tls_context_free(d->tls);
    arena_free(&d->region);
    if (d->key_lock >= 0)
        close(d->key_lock);
}

/* --- running --- */

/* Twice as often as asked for, as sd_watchdog_enabled(3) advises. */
static void daemon_feed_watchdog(void *ud)
{
    struct daemon *d = ud;

    notify_watchdog(&d->notify);
    loop_timer_set(d->loop, &d->watchdog, d->notify.watchdog_us / 2, daemon_feed_watchdog, d);
}

static void daemon_stopped(void *ud)
{
    struct daemon *d = ud;

    loop_stop(d->loop);
}

static void daemon_on_signal(void *ud, int signo)
{
    struct daemon *d = ud;

    log_event(&d->log, LOG_INFO, EV_STOPPING, KV_INT("signal", signo));
    notify_stopping(&d->notify, "finishing what runs");
    provider_stop(d->provider, daemon_stopped, d);
}

static void daemon_warn_ignored(void *ud, const char *setting, const char *why)
{
    const struct daemon *d = ud;

    log_event(&d->log, LOG_WARN, EV_CONFIG_WARNING, KV_CSTR("setting", setting),
              KV_CSTR("why", "it has no effect"), KV_CSTR("help", why));
}

int daemon_run(const struct provider_settings *settings, const char *(*getenv)(const char *name),
               struct err *ret_err)
{
    struct daemon d = {.settings = settings, .rand = rand_system(), .key_lock = -1};
    int rc;

    arena_init(&d.region, REGION_BYTES);
    d.paths = (struct paths){getenv, &d.region};
    d.log = (struct log){
        .fd = STDERR_FILENO, .level = (enum log_level)settings->log_level, .clock = clock_system()};
    cfg_each_ignored(&provider_settings_table, settings, &d.region, daemon_warn_ignored, &d);
    signal(SIGPIPE, SIG_IGN);
    notify_open(&d.notify, getenv);
    rc = daemon_open_parts(&d, ret_err);
    if (rc == 0)
        rc = loop_on_signal(d.loop, SIGINT, daemon_on_signal, &d);
    if (rc == 0)
        rc = loop_on_signal(d.loop, SIGTERM, daemon_on_signal, &d);
    if (rc == 0) {
        provider_start(d.provider);
        log_event(&d.log, LOG_INFO, EV_STARTED, KV_STR("coordinator", settings->coordinator_url),
                  KV_STR("model", provider_settings_model_id(settings)));
        notify_ready(&d.notify, "serving");
        if (d.notify.watchdog_us > 0)
            daemon_feed_watchdog(&d);
        rc = loop_run(d.loop);
    }
    daemon_close_parts(&d);
    notify_close(&d.notify);
    return rc;
}
