/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/settings.h"

#include "attest/trust.h"
#include "base/log.h"
#include "ledger/price.h"
#include "net/loop.h"
#include "store/place.h"

enum { SHOWN_BYTES = 60 };

#define TEXT_OF_(x) #x
#define TEXT_OF(x)  TEXT_OF_(x)

static const char *const loop_choices[] = {
    [SETTINGS_LOOP_UV] = "uv", [SETTINGS_LOOP_EPOLL] = "epoll", NULL};
#define AT(field) .offset = offsetof(struct settings, field)

static const struct cfg_key keys[] = {
    {.key = "server.host",
     .flag = "--host",
     .env = "DARKBLOOM_HOST",
     .type = CFG_STR,
     AT(host),
     .deflt = "127.0.0.1",
     .help = "Address to listen on; use 0.0.0.0 behind a TLS proxy."},
    {.key = "server.port",
     .flag = "--port",
     .env = "DARKBLOOM_PORT",
     .env_old = "EIGENINFERENCE_PORT",
     .type = CFG_INT,
     AT(port),
     .deflt = "8080",
     .min = 0,
     .max = 65535,
     .help = "Port for consumers and providers; 0 takes any free one."},
    {.key = "server.loop",
     .flag = "--loop",
     .type = CFG_ENUM,
     AT(loop),
     .deflt = "uv",
     .choices = loop_choices,
     .help = "Event loop: libuv, or bare epoll for measurements."},
    {.key = "server.cors_origin",
     .env = "DARKBLOOM_CORS_ORIGIN",
     .env_old = "CORS_ORIGIN",
     .type = CFG_STR,
     AT(cors_origin),
     .deflt = "https://console.darkbloom.dev",
     .help = "Origin whose pages may call the API."},
    {.key = "server.max_connections",
     .flag = "--max-connections",
     .type = CFG_INT,
     AT(max_connections),
     .deflt = "65536",
     .min = 1,
     .max = 1000000,
     .help = "Open connections; beyond it new ones are answered 503."},
    {.key = "limits.body_memory_mib",
     .flag = "--body-memory-mib",
     .type = CFG_INT,
     AT(body_memory_mib),
     .deflt = "256",
     .min = 8,
     .max = 1048576,
     .help = "MiB of memory for the bodies of all requests together; beyond it 503."},
    {.key = "log.level",
     .flag = "--log-level",
     .env = "DARKBLOOM_LOG_LEVEL",
     .type = CFG_ENUM,
     AT(log_level),
     .deflt = "info",
     .choices = log_level_names,
     .help = "Lines below this level are not written."},
    {.key = "store.path",
     .flag = "--store",
     .env = "DARKBLOOM_STORE",
     .type = CFG_STR,
     AT(store_path),
     .deflt = "darkbloom.db",
     .help = "SQLite database with keys and ledger."},
    {.key = "store.id",
     .flag = "--store-id",
     .env = "DARKBLOOM_STORE_ID",
     .type = CFG_STR,
     AT(store_id),
     .help = "Start with the store of this id only (`store show` tells it), never with an empty "
             "one: set it where the store lies on a volume that may be missing."},
    {.key = "store.new",
     .flag = "--store-new",
     .type = CFG_BOOL,
     AT(store_new),
     .deflt = "false",
     .help = "Begin with an empty store although the lock file says that there was one; for one "
             "start, after the old one was moved away on purpose."},
    {.key = "routing.min_trust",
     .flag = "--min-trust",
     .env = "DARKBLOOM_MIN_TRUST",
     .env_old = "EIGENINFERENCE_MIN_TRUST",
     .type = CFG_ENUM,
     AT(min_trust),
     .deflt = "hardware",
     .choices = trust_names,
     .help = "Least trust level that a provider needs to get requests."},
    {.key = "routing.queue_wait_ms",
     .flag = "--queue-wait-ms",
     .type = CFG_INT,
     AT(queue_wait_ms),
     .deflt = "8000",
     .min = 0,
     .max = 600000,
     .help = "How long after its receipt a request waits for a free slot before 429."},
    {.key = "routing.queue_max",
     .flag = "--queue-max",
     .type = CFG_INT,
     AT(queue_max),
     .deflt = "1000",
     .min = 0,
     .max = 1000000,
     .help = "Requests that may wait for one model; beyond it 429."},
    {.key = "routing.queue_max_per_account",
     .flag = "--queue-max-per-account",
     .type = CFG_INT,
     AT(queue_max_per_account),
     .deflt = "100",
     .min = 1,
     .max = 1000000,
     .help = "Requests of one account that may wait, over all models; beyond it 429."},
    {.key = "routing.accept_timeout_ms",
     .flag = "--accept-timeout-ms",
     .type = CFG_INT,
     AT(accept_timeout_ms),
     .deflt = "2500",
     .min = 10,
     .max = 600000,
     .help = "How long a provider may take to accept a request before another is tried."},
    {.key = "routing.first_token_timeout_ms",
     .flag = "--first-token-timeout-ms",
     .type = CFG_INT,
     AT(first_token_timeout_ms),
     .deflt = "5000",
     .min = 10,
     .max = 3600000,
     .help = "How long a provider may take from accepting a request to its first token while "
             "another one is free."},
    {.key = "routing.first_token_per_token_us",
     .type = CFG_INT,
     AT(first_token_per_token_us),
     .deflt = "10000",
     .min = 0,
     .max = 10000000,
     .help = "What each token of the prompt adds to the two limits to the first token."},
    {.key = "routing.first_content_ms",
     .flag = "--first-content-ms",
     .type = CFG_INT,
     AT(first_content_ms),
     .deflt = "9000",
     .min = 10,
     .max = 3600000,
     .help =
         "How long after its receipt a request may be without content, from whatever provider."},
    {.key = "routing.token_gap_timeout_ms",
     .flag = "--token-gap-timeout-ms",
     .type = CFG_INT,
     AT(token_gap_timeout_ms),
     .deflt = "10000",
     .min = 10,
     .max = 3600000,
     .help = "How long a provider may pause within an answer before it is cut."},
    {.key = "routing.request_deadline_ms",
     .flag = "--request-deadline-ms",
     .type = CFG_INT,
     AT(request_deadline_ms),
     .deflt = "600000",
     .min = 100,
     .max = 86400000,
     .help = "A request that still runs is cut and settled after this long."},
    {.key = "routing.stall_timeout_ms",
     .flag = "--stall-timeout-ms",
     .type = CFG_INT,
     AT(stall_timeout_ms),
     .deflt = "10000",
     .min = 100,
     .max = 600000,
     .help = "A consumer that takes nothing for this long is cut."},
    {.key = "routing.head_after_ms",
     .type = CFG_INT,
     AT(head_after_ms),
     .deflt = "8500",
     .min = 100,
     .max = 600000,
     .help = "A stream without content gets its head and comments this long after its receipt."},
    {.key = "providers.challenge_interval_ms",
     .type = CFG_INT,
     AT(challenge_interval_ms),
     .deflt = "300000",
     .min = 100,
     .max = 86400000,
     .help = "Time between two challenges."},
    {.key = "providers.challenge_timeout_ms",
     .type = CFG_INT,
     AT(challenge_timeout_ms),
     .deflt = "30000",
     .min = 10,
     .max = 600000,
     .help = "Time to answer a challenge."},
    {.key = "providers.heartbeat_timeout_ms",
     .type = CFG_INT,
     AT(heartbeat_timeout_ms),
     .deflt = "90000",
     .min = 100,
     .max = 3600000,
     .help = "A provider silent for this long is disconnected."},
    {.key = "limits.rate_per_s",
     .flag = "--rate",
     .env = "DARKBLOOM_RATE_LIMIT_RPS",
     .env_old = "EIGENINFERENCE_RATE_LIMIT_RPS",
     .type = CFG_FLOAT,
     AT(rate_per_s),
     .deflt = "1",
     .min = 0,
     .max = 1000000,
     .help = "Requests a second and account in the long run; 0 switches the limit off."},
    {.key = "limits.rate_burst",
     .flag = "--rate-burst",
     .env = "DARKBLOOM_RATE_LIMIT_BURST",
     .env_old = "EIGENINFERENCE_RATE_LIMIT_BURST",
     .type = CFG_INT,
     AT(rate_burst),
     .deflt = "10",
     .min = 1,
     .max = 1000000,
     .help = "Requests an account may send at once."},
    {.key = NULL},
};

#define MODEL_AT(field) .offset = offsetof(struct settings_model, field)

static const struct cfg_key model_keys[] = {
    {.key = "id", .type = CFG_STR, MODEL_AT(id), .help = "Model id as consumers name it."},
    {.key = "display_name", .type = CFG_STR, MODEL_AT(display_name), .help = "Name for people."},
    {.key = "input_price_micro_usd",
     .type = CFG_INT,
     MODEL_AT(input_price_micro_usd),
     .deflt = TEXT_OF(PRICE_DEFAULT_INPUT),
     .min = 0,
     .max = 1e12,
     .help = "Micro-USD for a million prompt tokens."},
    {.key = "output_price_micro_usd",
     .type = CFG_INT,
     MODEL_AT(output_price_micro_usd),
     .deflt = TEXT_OF(PRICE_DEFAULT_OUTPUT),
     .min = 0,
     .max = 1e12,
     .help = "Micro-USD for a million completion tokens."},
    {.key = NULL},
};

static const struct cfg_array arrays[] = {
    {.name = "model",
     .rows = model_keys,
     .size = sizeof(struct settings_model),
     .items_offset = offsetof(struct settings, models),
     .count_offset = offsetof(struct settings, n_models)},
    {.name = NULL},
};

const struct cfg_table settings_table = {
    .program = "darkbloom-coordinator", .keys = keys, .arrays = arrays};

/* --- what the table cannot say --- */

static int check_id(const struct settings *s, size_t nth, struct err *ret_err)
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

static int check_host(const struct settings *s, struct err *ret_err)
{
    /* One with a NUL inside is not what it seems. */
    if (strlen(s->host.p) == s->host.n && loop_is_address(s->host.p))
        return 0;
    return err_set(ret_err, ERR_CONFIG,
                   "server.host is `%.*s`, but must be a numeric address; for example 127.0.0.1",
                   STR_ARG(str_cut(s->host, SHOWN_BYTES)));
}

static int check_store_path(const struct settings *s, struct err *ret_err)
{
    if (s->store_path.n > 0 && strlen(s->store_path.p) == s->store_path.n)
        return 0;
    return err_set(ret_err, ERR_CONFIG,
                   "store.path is `%s`, but must be a file's name; for example darkbloom.db",
                   s->store_path.p);
}

static int check_store_id(const struct settings *s, struct err *ret_err)
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
static int check_cors_origin(const struct settings *s, struct err *ret_err)
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

int settings_check(const struct settings *s, struct err *ret_err)
{
    int rc = check_host(s, ret_err);

    if (rc == 0)
        rc = check_store_path(s, ret_err);
    if (rc == 0)
        rc = check_store_id(s, ret_err);
    if (rc == 0)
        rc = check_cors_origin(s, ret_err);
    for (size_t i = 0; rc == 0 && i < s->n_models; i++)
        rc = check_id(s, i, ret_err);
    return rc;
}

/* --- the existing coordinator's other variables --- */

/* Those of the existing coordinator's that mean something there and nothing here. Silently ignored,
 * each would leave somebody believing in a check, a payment or a database that is not there. */
static const struct {
    const char *name, *consequence;
} without_effect[] = {
    {"EIGENINFERENCE_ADMIN_KEY", "there is no admin API; use the commands `key` and `ledger`"},
    {"EIGENINFERENCE_ADMIN_EMAILS", "there is no admin API; use the commands `key` and `ledger`"},
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
    {"DD_API_KEY", "no metrics are sent"},
    {"DD_AGENT_HOST", "no metrics are sent"},
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
    for (size_t i = 0; i < sizeof without_effect / sizeof without_effect[0]; i++) {
        const char *value = env(without_effect[i].name);

        if (value && value[0])
            log_event(log, LOG_WARN, EV_CONFIG_WARNING, KV_CSTR("variable", without_effect[i].name),
                      KV_CSTR("why", "it has no effect here"),
                      KV_CSTR("so", without_effect[i].consequence));
    }
    return 0;
}
