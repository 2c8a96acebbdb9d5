/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's settings: one table, from which loading, --help and --check-config come. Files
 * written for the existing provider load unchanged; those of its
 * settings that have no effect here are read, checked and otherwise ignored. */
#ifndef DARKBLOOM_PROVIDER_SETTINGS_H
#define DARKBLOOM_PROVIDER_SETTINGS_H

#include "base/cfg.h"

enum settings_numerics { SETTINGS_NUMERICS_INVARIANT, SETTINGS_NUMERICS_FAST };

/* One element of [[schedule.windows]]. */
struct settings_window {
    struct cfg_list days;  /* "mon" ... "sun" */
    struct str start, end; /* "HH:MM" */
};

struct provider_settings {
    /* [provider] */
    struct str name;            /* ignored: nothing on the wire carries it */
    double memory_reserve_gb;   /* kept back from memory_available_gb */
    int64_t drain_timeout_secs; /* for running requests when it is stopped */
    bool auto_update;           /* ignored */
    int backend;                /* index into the announced backend names */
    int log_level;              /* enum log_level */
    struct str auth_token_path; /* .p NULL: the usual places, see paths.h */
    /* [coordinator] */
    struct str coordinator_url, ca_path;
    int64_t heartbeat_interval_secs;
    /* [model] */
    struct str model_path, model_id;
    int64_t slots;
    int64_t context_tokens; /* of each slot; 0: the smaller of 2048 and the model's own */
    int numerics;           /* enum settings_numerics */
    int64_t threads;        /* 0: chosen by the engine */
    int64_t restart_max_secs;
    /* [backend], as in the existing provider's files */
    int64_t idle_timeout_mins; /* 0: the model stays loaded */
    /* [identity] */
    struct str key_path; /* .p NULL: the usual place, see paths.h */
    /* of the existing provider, ignored */
    int64_t backend_port;
    struct str backend_model;
    bool continuous_batching, schedule_enabled;
    struct cfg_list enabled_models;
    struct settings_window *windows;
    size_t n_windows;
};

extern const struct cfg_table provider_settings_table;

/* The string that `backend` announces: "inprocess-llama". */
const char *provider_settings_backend(const struct provider_settings *s);

/* The model's name for consumers: model.id, else the file's name without ".gguf". Borrowed. */
struct str provider_settings_model_id(const struct provider_settings *s);

/* What the table cannot say: the coordinator's URL is one that this version can reach, a model is
 * named. 0 or ERR_CONFIG with what to do. */
int provider_settings_check(const struct provider_settings *s, struct err *ret_err);

#endif
