/* SPDX-License-Identifier: Apache-2.0 */
/* What the table of settings cannot say, and the existing coordinator's variables. */
#include <stdio.h>

#include "base/log.h"
#include "coordinator/settings.h"
#include "net/tls.h"
#include "store/place.h"

enum { SHOWN_BYTES = 60, ADMIN_KEY_MIN_BYTES = 16, ADMIN_KEY_MAX_BYTES = 256 };

static int settings_check_id(const struct settings *s, size_t nth, struct err *ret_err)
{
    struct str id = s->models[nth].id;

    if (id.n == 0)
        return err_set(ret_err, ERR_CONFIG,
                       "[[model]] number %zu has no id; write e.g. id = \"llama-3.2-3b\"", nth + 1);
    if (id.n > MODEL_ID_MAX_BYTES)
        return err_set(ret_err, ERR_CONFIG,
                       "the id of [[model]] number %zu has %zu bytes, the limit is %d", nth + 1,
                       id.n, MODEL_ID_MAX_BYTES);
    for (size_t i = 0; i < nth; i++) {
        if (str_eq(s->models[i].id, id))
            return err_set(ret_err, ERR_CONFIG,
                           "[[model]] number %zu has the id of number %zu, \"%.*s\"; keep one of "
                           "them",
                           nth + 1, i + 1, STR_ARG(id));
    }
    return 0;
}

static int settings_check_host(const struct settings *s, struct err *ret_err)
{
    /* One with a NUL inside is not what it seems. */
    if (strlen(s->host.p) == s->host.n && loop_is_address(s->host.p))
        return 0;
    return err_set(ret_err, ERR_CONFIG,
                   "server.host is `%.*s`, but must be a numeric address; for example 127.0.0.1",
                   STR_ARG(str_cut(s->host, SHOWN_BYTES)));
}

static int settings_check_store(const struct settings *s, struct err *ret_err)
{
    if (s->store_path.n > 0 && strlen(s->store_path.p) == s->store_path.n)
        return 0;
    return err_set(ret_err, ERR_CONFIG,
                   "store.path is `%s`, but must be a file's name; for example darkbloom.db",
                   s->store_path.p);
}

static int settings_check_store_id(const struct settings *s, struct err *ret_err)
{
    if (s->store_id.n == 0)
        return 0;
    if (s->store_id.n == STORE_ID_BYTES - 1 &&
        strspn(s->store_id.p, "0123456789abcdef") == s->store_id.n)
        return 0;
    return err_set(ret_err, ERR_CONFIG,
                   "store.id is `%.*s`, but must be the %d lower-case hex digits that `store show` "
                   "prints",
                   STR_ARG(str_cut(s->store_id, SHOWN_BYTES)), STORE_ID_BYTES - 1);
}

/* It stands in the head of every answer. */
static int settings_check_origin(const struct settings *s, struct err *ret_err)
{
    for (size_t i = 0; i < s->cors_origin.n; i++) {
        if (s->cors_origin.p[i] <= ' ' || s->cors_origin.p[i] == 127)
            return err_set(ret_err, ERR_CONFIG,
                           "server.cors_origin has white space or a control character at byte "
                           "%zu, but must be one origin; for example https://console.darkbloom.dev",
                           i);
    }
    return 0;
}

int settings_listen_at(struct str text, struct settings_address *ret_address)
{
    const char *colon = text.n > 0 ? memrchr(text.p, ':', text.n) : NULL;
    struct str host = {text.p, colon ? (size_t)(colon - text.p) : 0};
    struct settings_address a = {0};
    int64_t port;

    if (!colon || str_to_i64((struct str){colon + 1, text.n - host.n - 1}, &port) < 0 || port < 0 ||
        port > UINT16_MAX)
        return ERR_PARSE;
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct str){host.p + 1, host.n - 2};
    if (host.n == 0 || host.n >= sizeof a.host || memchr(host.p, 0, host.n))
        return ERR_PARSE;
    memcpy(a.host, host.p, host.n);
    a.port = (uint16_t)port;
    if (!loop_is_address(a.host))
        return ERR_PARSE;
    *ret_address = a;
    return 0;
}

static int settings_check_metrics(const struct settings *s, struct err *ret_err)
{
    struct settings_address a;

    if (s->metrics_listen.n == 0 || settings_listen_at(s->metrics_listen, &a) == 0)
        return 0;
    return err_set(
        ret_err, ERR_CONFIG,
        "metrics.listen is `%.*s`, but must be a numeric address and a port; for example "
        "127.0.0.1:9464",
        STR_ARG(str_cut(s->metrics_listen, SHOWN_BYTES)));
}

static int settings_check_statsd(const struct settings *s, struct err *ret_err)
{
    if (!memchr(s->statsd_host.p, 0, s->statsd_host.n))
        return 0;
    return err_set(ret_err, ERR_CONFIG,
                   "metrics.statsd_host has a NUL inside, but must be a host's name or address");
}

/* Whoever has it sees every provider: no word that can be guessed, nothing a header cannot hold. */
static int settings_check_admin_key(const struct settings *s, struct err *ret_err)
{
    if (s->admin_key.n == 0)
        return 0;
    for (size_t i = 0; i < s->admin_key.n; i++) {
        if (s->admin_key.p[i] <= ' ' || s->admin_key.p[i] >= 127)
            return err_set(ret_err, ERR_CONFIG,
                           "admin.key has white space, a control character or one outside ASCII "
                           "at byte %zu; use e.g. `openssl rand -hex 24`",
                           i);
    }
    if (s->admin_key.n >= ADMIN_KEY_MIN_BYTES && s->admin_key.n <= ADMIN_KEY_MAX_BYTES)
        return 0;
    return err_set(ret_err, ERR_CONFIG,
                   "admin.key has %zu characters, but must have %d to %d; use e.g. `openssl rand "
                   "-hex 24`",
                   s->admin_key.n, ADMIN_KEY_MIN_BYTES, ADMIN_KEY_MAX_BYTES);
}

int settings_control_path(const struct settings *s, char ret_path[static SETTINGS_CONTROL_BYTES],
                          struct err *ret_err)
{
    char path[SETTINGS_CONTROL_BYTES];
    int n;

    if (str_is(s->admin_socket, "off")) {
        ret_path[0] = '\0';
        return 0;
    }
    n = s->admin_socket.n > 0 ? snprintf(path, sizeof path, "%s", s->admin_socket.p)
                              : snprintf(path, sizeof path, "%s-control", s->store_path.p);
    if ((size_t)n >= sizeof path && s->admin_socket.n > 0)
        return err_set(ret_err, ERR_CONFIG,
                       "admin.socket has %d bytes, the limit of a socket's path is %d; set it to a "
                       "shorter one, or to `off`",
                       n, SETTINGS_CONTROL_BYTES - 1);
    if ((size_t)n >= sizeof path) /* nobody asked for one there */
        path[0] = '\0';
    memcpy(ret_path, path, strlen(path) + 1);
    return 0;
}

static int settings_check_control(const struct settings *s, struct err *ret_err)
{
    char path[SETTINGS_CONTROL_BYTES];

    if (memchr(s->admin_socket.p, 0, s->admin_socket.n))
        return err_set(ret_err, ERR_CONFIG, "admin.socket has a NUL inside, but must be a path");
    return settings_control_path(s, path, ret_err);
}

static int settings_check_tls(const struct settings *s, struct err *ret_err)
{
    bool cert = s->tls_cert.n > 0, key = s->tls_key.n > 0;

    if (cert != key)
        return err_set(ret_err, ERR_CONFIG, "%s is set, but %s is not; TLS needs both",
                       cert ? "server.tls_cert" : "server.tls_key",
                       cert ? "server.tls_key" : "server.tls_cert");
    if (strlen(s->tls_cert.p) == s->tls_cert.n && strlen(s->tls_key.p) == s->tls_key.n)
        return 0;
    return err_set(ret_err, ERR_CONFIG,
                   "server.tls_cert or server.tls_key has a NUL inside, but must be a file's name");
}

int settings_open_tls(struct settings *s, struct err *ret_err)
{
    const struct tls_files files = {s->tls_cert.p, s->tls_key.p, "server.tls_cert",
                                    "server.tls_key"};

    return s->tls_cert.n > 0 ? tls_context_new(&files, &s->tls, ret_err) : 0;
}

int settings_check(const struct settings *s, struct err *ret_err)
{
    static int (*const checks[])(const struct settings *, struct err *) = {
        settings_check_host,      settings_check_store,   settings_check_store_id,
        settings_check_origin,    settings_check_metrics, settings_check_statsd,
        settings_check_admin_key, settings_check_control, settings_check_tls};

    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        int rc = checks[i](s, ret_err);

        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < s->n_models; i++) {
        int rc = settings_check_id(s, i, ret_err);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- the existing coordinator's other variables --- */

/* Those of the existing coordinator's that mean something there and nothing here. Silently ignored,
 * each would leave somebody believing in a check, a payment or a database that is not there. */
static const struct {
    const char *name, *consequence;
} settings_without_effect[] = {
    {"EIGENINFERENCE_ADMIN_EMAILS", "there are no users; /v1/admin/ takes the key of admin.key"},
    {"EIGENINFERENCE_ALLOW_MEMORY_STORE", "the store is the SQLite file of store.path"},
    {"EIGENINFERENCE_FINANCIAL_RATE_LIMIT_RPS", "there are no financial endpoints"},
    {"EIGENINFERENCE_FINANCIAL_RATE_LIMIT_BURST", "there are no financial endpoints"},
    {"EIGENINFERENCE_CONSOLE_URL", "there is no web console"},
    {"EIGENINFERENCE_BASE_URL", "there is no install script that would need it"},
    {"EIGENINFERENCE_MIN_PROVIDER_VERSION", "providers of every version are accepted"},
    {"EIGENINFERENCE_R2_CDN_URL", "there is no install script that would need it"},
    {"EIGENINFERENCE_R2_SITE_PACKAGES_CDN_URL", "there is no install script that would need it"},
    {"EIGENINFERENCE_RELEASE_KEY", "there are no releases"},
    {"EIGENINFERENCE_KNOWN_BINARY_HASHES", "the hashes that providers report are not checked"},
    {"EIGENINFERENCE_KNOWN_PYTHON_HASHES", "the hashes that providers report are not checked"},
    {"EIGENINFERENCE_KNOWN_RUNTIME_HASHES", "the hashes that providers report are not checked"},
    {"EIGENINFERENCE_KNOWN_TEMPLATE_HASHES", "the hashes that providers report are not checked"},
    {"MNEMONIC", "consumers cannot seal requests to the coordinator"},
    {"EIGENINFERENCE_SOLANA_MNEMONIC", "consumers cannot seal requests to the coordinator"},
    {"EIGENINFERENCE_STRIPE_SECRET_KEY", "there are no payments; credit comes from `key create`"},
    {"EIGENINFERENCE_BILLING_MOCK", "there are no payments; credit comes from `key create`"},
    {"EIGENINFERENCE_REFERRAL_SHARE_PCT", "there are no referrals"},
    {"EIGENINFERENCE_PRIVY_APP_ID", "there are no users, only API keys"},
    {"EIGENINFERENCE_MDM_URL", "device management is not asked about providers"},
    {"EIGENINFERENCE_STEP_CA_ROOT", "client certificates are not issued"},
    {"DD_API_KEY", "metrics go to the agent of DD_AGENT_HOST, which has its own"},
};

int settings_check_environment(const char *(*env)(const char *name), const struct log *log,
                               struct err *ret_err)
{
    const char *url = env("EIGENINFERENCE_DATABASE_URL");

    if (url && url[0])
        return err_set(ret_err, ERR_CONFIG,
                       "EIGENINFERENCE_DATABASE_URL is set, but this coordinator keeps keys and "
                       "ledger in an SQLite file (store.path) and would start with an empty one; "
                       "unset it to do that");
    for (size_t i = 0; i < sizeof settings_without_effect / sizeof settings_without_effect[0];
         i++) {
        const char *value = env(settings_without_effect[i].name);

        if (value && value[0])
            log_event(log, LOG_WARN, EV_CONFIG_WARNING,
                      KV_CSTR("variable", settings_without_effect[i].name),
                      KV_CSTR("why", "it has no effect here"),
                      KV_CSTR("so", settings_without_effect[i].consequence));
    }
    return 0;
}
