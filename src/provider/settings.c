/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the provider's settings and the checks that need more than one row. */
#include "provider/settings.h"

#include "base/log.h"
#include "provider/session/url.h"

static const char *const backend_choices[] = {"inprocess-llama", "inprocess-mlx", "mlx-swift",
                                              NULL};
static const char *const numerics_choices[] = {
    [SETTINGS_NUMERICS_INVARIANT] = "invariant", [SETTINGS_NUMERICS_FAST] = "fast", NULL};
static const char *const level_choices[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};

#define AT(field) .offset = offsetof(struct provider_settings, field)

static const struct cfg_key keys[] = {
    {.key = "provider.name",
     .flag = "--name",
     .type = CFG_STR,
     AT(name),
     .flags = CFG_IGNORED,
     .help = "Name of this machine; nothing sends it yet."},
    {.key = "provider.memory_reserve_gb",
     .type = CFG_FLOAT,
     AT(memory_reserve_gb),
     .deflt = "4",
     .min = 0,
     .max = 4096,
     .help = "Memory that is not announced as available."},
    {.key = "provider.drain_timeout_secs",
     .flag = "--drain-timeout-secs",
     .type = CFG_INT,
     AT(drain_timeout_secs),
     .deflt = "600",
     .min = 0,
     .max = 86400,
     .help = "How long running requests may take when it is stopped; a second signal ends them at "
             "once."},
    {.key = "provider.auto_update",
     .type = CFG_BOOL,
     AT(auto_update),
     .deflt = "true",
     .flags = CFG_IGNORED,
     .help = "Update by itself; this version does not."},
    {.key = "provider.backend",
     .flag = "--backend",
     .env = "DARKBLOOM_BACKEND",
     .type = CFG_ENUM,
     AT(backend),
     .deflt = "inprocess-llama",
     .choices = backend_choices,
     .help = "Backend name to announce; an existing coordinator knows only the other two."},
    {.key = "provider.log_level",
     .flag = "--log-level",
     .env = "DARKBLOOM_LOG_LEVEL",
     .type = CFG_ENUM,
     AT(log_level),
     .deflt = "info",
     .choices = level_choices,
     .help = "Lines below this level are not written."},
    {.key = "provider.auth_token_file",
     .flag = "--auth-token-file",
     .env = "DARKBLOOM_AUTH_TOKEN_FILE",
     .type = CFG_STR,
     AT(auth_token_path),
     .help = "File with the token that links this machine to an account."},
    {.key = "coordinator.url",
     .flag = "--coordinator",
     .env = "DARKBLOOM_COORDINATOR_URL",
     .type = CFG_STR,
     AT(coordinator_url),
     .deflt = "ws://localhost:8080/ws/provider",
     .help = "Where to register: ws://HOST:PORT/PATH, or wss:// for TLS."},
    {.key = "coordinator.ca_file",
     .flag = "--ca-file",
     .env = "DARKBLOOM_CA_FILE",
     .type = CFG_STR,
     AT(ca_path),
     .deflt = "",
     .help = "PEM file with certificates to trust with wss://, besides the system's."},
    {.key = "coordinator.heartbeat_interval_secs",
     .flag = "--heartbeat-secs",
     .type = CFG_INT,
     AT(heartbeat_interval_secs),
     .deflt = "5",
     .min = 1,
     .max = 60,
     .help = "Seconds between two heartbeats."},
    {.key = "model.path",
     .flag = "--model",
     .env = "DARKBLOOM_MODEL_PATH",
     .type = CFG_STR,
     AT(model_path),
     .help = "The model to serve, a GGUF file."},
    {.key = "model.id",
     .flag = "--model-id",
     .env = "DARKBLOOM_MODEL_ID",
     .type = CFG_STR,
     AT(model_id),
     .help = "Name under which consumers ask for it; default: the file's name."},
    {.key = "model.slots",
     .flag = "--slots",
     .env = "DARKBLOOM_SLOTS",
     .type = CFG_INT,
     AT(slots),
     .deflt = "8",
     .min = 1,
     .max = 64,
     .help = "Requests that run at the same time."},
    {.key = "model.context_tokens",
     .flag = "--context",
     .type = CFG_INT,
     AT(context_tokens),
     .deflt = "0",
     .min = 0,
     .max = 1048576,
     .help = "Tokens a slot can hold; 0: the smaller of 2048 and what the model allows."},
    {.key = "model.numerics",
     .flag = "--numerics",
     .type = CFG_ENUM,
     AT(numerics),
     .deflt = "fast",
     .choices = numerics_choices,
     .help = "fast: rounding may differ with who shares a batch; invariant: an answer does not "
             "depend on it, and prompts take up to twice as long."},
    {.key = "model.threads",
     .flag = "--threads",
     .type = CFG_INT,
     AT(threads),
     .deflt = "0",
     .min = 0,
     .max = 1024,
     .help = "Compute threads; 0 chooses."},
    {.key = "model.restart_max_secs",
     .flag = "--restart-max-secs",
     .type = CFG_INT,
     AT(restart_max_secs),
     .deflt = "60",
     .min = 1,
     .max = 3600,
     .help = "An engine that ended is started again after a second, doubling up to this."},
    {.key = "identity.key_path",
     .flag = "--key",
     .env = "DARKBLOOM_KEY_PATH",
     .type = CFG_STR,
     AT(key_path),
     .help = "Signing key (PEM, mode 0600), made if absent; default: identity.pem in the "
             "configuration directory."},
    {.key = "backend.port",
     .type = CFG_INT,
     AT(backend_port),
     .deflt = "8100",
     .min = 0,
     .max = 65535,
     .flags = CFG_IGNORED,
     .help = "The engine is in this process: no port."},
    {.key = "backend.model",
     .type = CFG_STR,
     AT(backend_model),
     .flags = CFG_IGNORED,
     .help = "The existing provider's model name; see model.path."},
    {.key = "backend.continuous_batching",
     .type = CFG_BOOL,
     AT(continuous_batching),
     .deflt = "true",
     .flags = CFG_IGNORED,
     .help = "Requests are always batched."},
    {.key = "backend.enabled_models",
     .type = CFG_LIST,
     AT(enabled_models),
     .flags = CFG_IGNORED,
     .help = "The existing provider's models; see model.path."},
    {.key = "backend.idle_timeout_mins",
     .flag = "--idle-timeout",
     .type = CFG_INT,
     AT(idle_timeout_mins),
     .deflt = "60",
     .min = 0,
     .max = 1000000,
     .help = "Minutes without a request after which the model leaves memory, five after it was "
             "loaded at the earliest; the next request loads it again. 0: it stays."},
    {.key = "schedule.enabled",
     .type = CFG_BOOL,
     AT(schedule_enabled),
     .deflt = "false",
     .flags = CFG_IGNORED,
     .help = "Serve only in the windows; this version always serves."},
    {.key = NULL},
};

#define WINDOW_AT(field) .offset = offsetof(struct settings_window, field)

static const struct cfg_key window_keys[] = {
    {.key = "days", .type = CFG_LIST, WINDOW_AT(days), .flags = CFG_IGNORED, .help = "Weekdays."},
    {.key = "start", .type = CFG_STR, WINDOW_AT(start), .flags = CFG_IGNORED, .help = "HH:MM."},
    {.key = "end", .type = CFG_STR, WINDOW_AT(end), .flags = CFG_IGNORED, .help = "HH:MM."},
    {.key = NULL},
};

static const struct cfg_array arrays[] = {
    {.name = "schedule.windows",
     .rows = window_keys,
     .size = sizeof(struct settings_window),
     .items_offset = offsetof(struct provider_settings, windows),
     .count_offset = offsetof(struct provider_settings, n_windows)},
    {.name = NULL},
};

const struct cfg_table provider_settings_table = {
    .program = "darkbloom serve", .keys = keys, .arrays = arrays};

const char *provider_settings_backend(const struct provider_settings *s)
{
    return backend_choices[s->backend];
}

struct str provider_settings_model_id(const struct provider_settings *s)
{
    static const struct str suffix = {".gguf", 5};
    struct str name = s->model_path;
    const char *slash;

    if (s->model_id.n)
        return s->model_id;
    slash = name.n ? memrchr(name.p, '/', name.n) : NULL;
    if (slash)
        name = (struct str){slash + 1, name.n - (size_t)(slash + 1 - name.p)};
    if (name.n > suffix.n && str_eq((struct str){name.p + name.n - suffix.n, suffix.n}, suffix))
        name.n -= suffix.n;
    return name;
}

int provider_settings_check(const struct provider_settings *s, struct err *ret_err)
{
    struct coordinator_url url;
    int rc = coordinator_url_parse(s->coordinator_url, &url, ret_err);

    if (rc < 0)
        return rc;
    if (!s->model_path.n)
        return err_set(ret_err, ERR_CONFIG,
                       "no model: name a GGUF file with --model FILE, the variable "
                       "DARKBLOOM_MODEL_PATH or path in [model]");
    return 0;
}
