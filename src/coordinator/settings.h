/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's settings: one table, from which loading, --help and --check-config come. The
 * existing coordinator's environment variables mean the same here. */
#ifndef DARKBLOOM_COORDINATOR_SETTINGS_H
#define DARKBLOOM_COORDINATOR_SETTINGS_H

#include "base/cfg.h"

enum { MODEL_ID_MAX_BYTES = 256 };

struct settings_model {
    struct str id, display_name;
    int64_t input_price_micro_usd, output_price_micro_usd; /* per million tokens */
};

enum settings_loop { SETTINGS_LOOP_UV, SETTINGS_LOOP_EPOLL };
enum { SETTINGS_LOOPS_MAX = 64 };

struct settings {
    struct str host;
    int64_t port;
    int loop; /* enum settings_loop */
    int64_t loops;
    struct str tls_cert, tls_key; /* files; empty: plain HTTP */
    struct tls_context *tls;      /* no row: settings_open_tls makes it of those two. NULL: none */
    struct str cors_origin;
    int64_t drain_timeout_ms;
    int log_level;                      /* enum log_level */
    struct str admin_key, admin_socket; /* see settings_control_path */
    struct str metrics_listen;          /* "HOST:PORT", or empty: see settings_listen_at */
    struct str statsd_host, statsd_service, statsd_env;
    int64_t statsd_port;
    struct str store_path, store_id;
    bool store_new;
    int min_trust; /* enum trust_level */
    double min_stream_tps;
    int64_t queue_wait_ms, queue_max, queue_max_per_account;
    int64_t accept_timeout_ms, first_token_timeout_ms, first_token_per_token_us;
    int64_t first_content_ms, token_gap_timeout_ms, request_deadline_ms;
    int64_t stall_timeout_ms, head_after_ms;
    int64_t challenge_interval_ms, challenge_timeout_ms, challenge_retry_ms, heartbeat_timeout_ms,
        register_timeout_ms;
    double rate_per_s;
    int64_t rate_burst, unknown_keys_per_s;
    int64_t max_connections, body_memory_mib, memory_mib;
    struct settings_model *models;
    size_t n_models;
};

extern const struct cfg_table settings_table;

/* "127.0.0.1:9464" or "[::1]:9464": a numeric address and a port, 0 for any. 0 or ERR_PARSE. */
struct settings_address {
    char host[64];
    uint16_t port;
};
int settings_listen_at(struct str text, struct settings_address *ret_address);

/* Where the control socket is: admin.socket, or beside the store; "": nowhere, also where the
 * store's path is too long for one beside it. 0, or ERR_CONFIG: admin.socket is too long. */
enum { SETTINGS_CONTROL_BYTES = 108 }; /* sun_path of unix(7) */
int settings_control_path(const struct settings *s, char ret_path[static SETTINGS_CONTROL_BYTES],
                          struct err *ret_err);

/* What the table cannot say: an address to listen on, a file for the store, an origin that can
 * stand in a head, both files of TLS or none, and each [[model]] has an id of its own. 0 or
 * ERR_CONFIG. */
int settings_check(const struct settings *s, struct err *ret_err);

/* Read the files of server.tls_cert and server.tls_key, if they are set, into `s->tls`, which the
 * caller frees (tls_context_free). 0, or ERR_CONFIG with a text that names setting and file. */
int settings_open_tls(struct settings *s, struct err *ret_err);

/* The existing coordinator's variables that have no effect here: each one that is set is logged as
 * a warning; ERR_CONFIG for one whose disregard would lose data. Empty counts as unset. */
struct log;
int settings_check_environment(const char *(*env)(const char *name), const struct log *log,
                               struct err *ret_err);

#endif
