/* SPDX-License-Identifier: Apache-2.0 */
/* Put together in order: loop, key, model, link; taken apart in reverse. */
#include "provider/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/notify.h"
#include "net/tls.h"
#include "provider/guard/posture.h"
#include "provider/key_lock.h"
#include "provider/model/idle.h"
#include "provider/paths.h"
#include "provider/post.h"
#include "provider/provider.h"
#include "provider/session/hardware.h"

enum { REGION_BYTES = 4 << 20, WAITING_PER_SLOT = 4 };

/* Of the engine beyond the loaded model: prompts, templates, grammars and what they become. */
#define ENGINE_GROWTH_BYTES (INT64_C(2) << 30)

struct daemon {
    const struct provider_settings *settings;
    struct arena region;
    struct paths paths;
    struct log log;
    struct notify notify; /* the service manager */
    struct loop_timer watchdog;
    struct rand_src rand;
    struct loop *loop;
    struct process *process; /* the engine's */
    struct model *model;
    struct idle idle;
    int64_t loading_us; /* since when it loads */
    struct post *post;
    struct signer *signer;
    int key_lock; /* descriptor; -1: not held */
    struct box_pair *pair;
    struct machine machine;
    struct coordinator_url url;
    struct tls_context *tls; /* wss:// */
    struct provider *provider;
};

/* --- the engine --- */

/* Before there is a provider no request is on its way, and no event. */
static void daemon_on_events(void *ud)
{
    struct daemon *d = ud;
    const struct engine_port port = model_port(d->model);
    struct engine_event event;

    if (d->provider)
        provider_on_engine(d->provider);
    while (!d->provider && port.poll(port.ud, &event) == 1)
        ;
}

static void daemon_log_loaded(const struct daemon *d)
{
    const struct model_facts *f = model_facts(d->model);

    log_event(&d->log, LOG_INFO, EV_MODEL_LOADED,
              KV_STR("model", provider_settings_model_id(d->settings)),
              KV_CSTR("numerics", f->invariant ? "invariant" : "fast"),
              KV_INT("slots", f->max_seqs), KV_INT("context_tokens", f->context_tokens),
              KV_CSTR("sandbox", f->sealed ? "closed" : "open"),
              KV_INT("landlock", f->landlock_abi),
              KV_INT("ms", (clock_mono_us(&d->log.clock) - d->loading_us) / 1000));
}

static void daemon_on_engine_changed(void *ud)
{
    struct daemon *d = ud;
    enum model_state state = model_state(d->model);

    if (state == MODEL_LOADING)
        d->loading_us = clock_mono_us(&d->log.clock);
    if (state == MODEL_READY)
        daemon_log_loaded(d);
    if (d->provider)
        provider_on_engine_changed(d->provider);
    else if (state == MODEL_READY || state == MODEL_DOWN)
        loop_stop(d->loop); /* daemon_load_model goes on */
}

static int daemon_new_model(struct daemon *d)
{
    const struct provider_settings *s = d->settings;
    struct model_config config = {.loop = d->loop,
                                  .rand = d->rand,
                                  .log = &d->log,
                                  .open = {.model_path = s->model_path,
                                           .slots = (int32_t)s->slots,
                                           .context_tokens = (int32_t)s->context_tokens,
                                           .threads = (int32_t)s->threads,
                                           .invariant = s->numerics == SETTINGS_NUMERICS_INVARIANT,
                                           .max_waiting = s->slots * WAITING_PER_SLOT,
                                           .memory_growth_bytes = ENGINE_GROWTH_BYTES},
                                  .restart_max_ms = s->restart_max_secs * 1000,
                                  .events = daemon_on_events,
                                  .changed = daemon_on_engine_changed,
                                  .ud = d};
    int rc = process_new(d->loop, &d->process);

    if (rc < 0)
        return rc;
    config.process = process_ops(d->process);
    return model_new(&config, &d->model);
}

/* Runs the loop until the engine is ready, or says why it is not. */
static int daemon_load_model(struct daemon *d, struct err *e)
{
    int rc = daemon_new_model(d);

    if (rc < 0)
        return err_set(e, rc, "out of memory for the engine's supervisor");
    model_start(d->model);
    if (model_state(d->model) != MODEL_DOWN)
        rc = loop_run(d->loop);
    if (rc == 0 && model_state(d->model) != MODEL_READY) {
        *e = *model_error(d->model);
        return e->code;
    }
    if (rc == 0 && d->settings->numerics == SETTINGS_NUMERICS_INVARIANT &&
        !model_facts(d->model)->invariant)
        log_event(&d->log, LOG_WARN, EV_CONFIG_WARNING, KV_CSTR("setting", "model.numerics"),
                  KV_CSTR("why", "the check at start found that rows depend on their neighbours; "
                                 "`fast` is announced"));
    return rc;
}

/* --- parts --- */

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
    const struct model_facts *f = model_facts(d->model);
    struct machine *m = &d->machine;
    char hash[FILE_HASH_BYTES];
    int rc;

    m->root = "";
    m->backend = str_from(provider_settings_backend(s));
    m->version = str_from(DARKBLOOM_VERSION);
    m->public_key = str_from(box_pair_public_b64(d->pair));
    m->max_running = f->max_seqs;
    m->engine_in_process = f->sealed;
    m->model = (struct msg_model){.id = provider_settings_model_id(s),
                                  .size_bytes = f->size_bytes,
                                  .model_type = STR("chat"),
                                  .quantization = arena_dup(&d->region, str_from(f->quantization)),
                                  .weight_hash = arena_dup(&d->region, str_from(f->weight_hash)),
                                  .context_length = f->context_tokens,
                                  .numerics = f->invariant ? STR("invariant") : STR("fast"),
                                  .template_overhead_tokens = f->template_overhead};
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
                                           .engine = model_port(d->model),
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
        rc = daemon_open_signer(d, e);
    if (rc == 0)
        rc = daemon_load_model(d, e);
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
    idle_stop(&d->idle);
    process_free(d->process);
    model_free(d->model);
    post_free(d->post);
    box_pair_free(d->pair);
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

/* What follows the path may be a secret. */
static struct str daemon_shown_url(const struct provider_settings *s)
{
    struct str url = s->coordinator_url;
    const char *query = url.n > 0 ? memchr(url.p, '?', url.n) : NULL;

    return query ? (struct str){url.p, (size_t)(query - url.p)} : url;
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
        idle_start(&d.idle, d.loop, d.model, settings->idle_timeout_mins * 60000);
        log_event(&d.log, LOG_INFO, EV_STARTED, KV_STR("coordinator", daemon_shown_url(settings)),
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
