/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's settings: files, environment and flags, what wins, what is refused, and the
 * existing coordinator's variables, which mean the same here or are told to mean nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/trust.h"
#include "base/log.h"
#include "coordinator/settings.h"
#include "ledger/price.h"

enum { REGION_BYTES = 1 << 20 };

/* What getenv sees: "NAME=value" each. */
static const char *const *fake_env;

static const char *look_up(const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; fake_env && fake_env[i]; i++) {
        if (strncmp(fake_env[i], name, n) == 0 && fake_env[i][n] == '=')
            return fake_env[i] + n + 1;
    }
    return NULL;
}

struct fixture {
    struct arena region;
    struct settings settings;
    struct err err;
};

static int up(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);

    assert_non_null(x);
    arena_init(&x->region, REGION_BYTES);
    fake_env = NULL;
    *state = x;
    return 0;
}

static int down(void **state)
{
    struct fixture *x = *state;

    arena_free(&x->region);
    free(x);
    return 0;
}

/* As main does it: the table, then what it cannot say. */
static int load(struct fixture *x, const char *toml, char *const *flags)
{
    struct cfg_source src = {.table = &settings_table, .argv = flags, .getenv = look_up};
    int rc;

    x->err = (struct err){0};
    while (flags && flags[src.argc])
        src.argc++;
    rc = cfg_load(&src, toml ? str_from(toml) : (struct str){0}, "c.toml", &x->region, &x->settings,
                  &x->err);
    return rc == 0 ? settings_check(&x->settings, &x->err) : rc;
}

static void assert_says(const struct fixture *x, const char *words)
{
    if (!strstr(x->err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", x->err.text, words);
}

/* --- defaults and precedence --- */

static void nothing_set_is_strict_and_local(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(load(x, NULL, NULL), 0);
    assert_true(str_is(x->settings.host, "127.0.0.1"));
    assert_int_equal(x->settings.port, 8080);
    assert_int_equal(x->settings.loops, 1);
    assert_int_equal(x->settings.min_trust, TRUST_HARDWARE);
    assert_int_equal(x->settings.queue_wait_ms, 8000);
    assert_int_equal(x->settings.rate_burst, 10);
    assert_int_equal(x->settings.drain_timeout_ms, 600000); /* FR-35: ten minutes */
    assert_int_equal(x->settings.n_models, 0);
}

static void a_flag_beats_the_environment_which_beats_the_file(void **state)
{
    static const char *const env[] = {"DARKBLOOM_PORT=2", NULL};
    char program[] = "c", flag[] = "--port=3";
    char *const flags[] = {program, flag, NULL};
    struct fixture *x = *state;

    assert_int_equal(load(x, "[server]\nport = 1\n", NULL), 0);
    assert_int_equal(x->settings.port, 1);
    fake_env = env;
    assert_int_equal(load(x, "[server]\nport = 1\n", NULL), 0);
    assert_int_equal(x->settings.port, 2);
    assert_int_equal(load(x, "[server]\nport = 1\n", flags), 0);
    assert_int_equal(x->settings.port, 3);
}

/* --- the existing coordinator's variables --- */

static void the_existing_coordinators_variables_mean_the_same(void **state)
{
    static const char *const env[] = {
        "EIGENINFERENCE_PORT=9001",          "EIGENINFERENCE_MIN_TRUST=self_signed",
        "EIGENINFERENCE_RATE_LIMIT_RPS=2.5", "EIGENINFERENCE_RATE_LIMIT_BURST=7",
        "CORS_ORIGIN=https://old.example",   NULL};
    struct fixture *x = *state;

    fake_env = env;
    assert_int_equal(load(x, NULL, NULL), 0);
    assert_int_equal(x->settings.port, 9001);
    assert_int_equal(x->settings.min_trust, TRUST_SELF_SIGNED);
    assert_true(x->settings.rate_per_s > 2.4 && x->settings.rate_per_s < 2.6);
    assert_int_equal(x->settings.rate_burst, 7);
    assert_true(str_is(x->settings.cors_origin, "https://old.example"));
}

static void the_new_name_beats_the_old_one(void **state)
{
    static const char *const env[] = {"EIGENINFERENCE_PORT=9001", "DARKBLOOM_PORT=9002", NULL};
    struct fixture *x = *state;

    fake_env = env;
    assert_int_equal(load(x, NULL, NULL), 0);
    assert_int_equal(x->settings.port, 9002);
}

static void an_old_variable_that_is_empty_is_not_set(void **state)
{
    static const char *const env[] = {
        "EIGENINFERENCE_PORT=", "CORS_ORIGIN=", "EIGENINFERENCE_MIN_TRUST=", NULL};
    struct fixture *x = *state;

    fake_env = env;
    assert_int_equal(load(x, NULL, NULL), 0);
    assert_int_equal(x->settings.port, 8080);
    assert_int_equal(x->settings.min_trust, TRUST_HARDWARE);
    assert_true(x->settings.cors_origin.n > 0);
}

/* Its warnings as one text. */
static char *warnings(struct fixture *x, int want)
{
    struct log log = {.fd = memfd_create("log", MFD_CLOEXEC), .clock = clock_system()};
    char *text = calloc(1, 4096);

    x->err = (struct err){0};
    assert_int_equal(settings_check_environment(look_up, &log, &x->err), want);
    assert_true(pread(log.fd, text, 4095, 0) >= 0);
    close(log.fd);
    return text;
}

static void a_variable_without_effect_is_named_with_what_is_missing(void **state)
{
    static const char *const env[] = {"EIGENINFERENCE_MIN_PROVIDER_VERSION=0.3.0",
                                      "EIGENINFERENCE_KNOWN_BINARY_HASHES=ab,cd",
                                      "EIGENINFERENCE_ADMIN_KEY=", "PATH=/bin", NULL};
    struct fixture *x = *state;
    char *text;

    fake_env = env;
    text = warnings(x, 0);
    assert_non_null(strstr(text, "variable=EIGENINFERENCE_MIN_PROVIDER_VERSION"));
    assert_non_null(strstr(text, "providers of every version are accepted"));
    assert_non_null(strstr(text, "variable=EIGENINFERENCE_KNOWN_BINARY_HASHES"));
    assert_null(strstr(text, "ADMIN_KEY")); /* empty */
    assert_null(strstr(text, "0.3.0"));     /* values may be secrets */
    free(text);
}

static void a_database_that_would_be_passed_over_refuses_the_start(void **state)
{
    static const char *const env[] = {"EIGENINFERENCE_DATABASE_URL=postgres://u:secret@h/d", NULL};
    struct fixture *x = *state;

    fake_env = env;
    free(warnings(x, ERR_CONFIG));
    assert_says(x, "EIGENINFERENCE_DATABASE_URL is set");
    assert_says(x, "store.path");
    assert_null(strstr(x->err.text, "secret"));
}

/* --- what is refused --- */

static void a_bad_value_is_refused_by_name(void **state)
{
    static const struct {
        const char *toml, *words;
    } cases[] = {
        {"[server]\nport = 65536\n", "server.port"},
        {"[server]\nport = \"http\"\n", "server.port"},
        {"[server]\nhost = \"bad host\"\n", "server.host is `bad host`"},
        {"[server]\nhost = \"\"\n", "server.host"},
        {"[server]\nhost = \"300.1.1.1\"\n", "for example 127.0.0.1"},
        {"[server]\nhost = \"127.0.0.1\\u0000.example\"\n", "server.host"},
        {"[server]\ncors_origin = \"https://a\\r\\nX-Mine: 1\"\n", "server.cors_origin"},
        {"[store]\npath = \"\"\n", "store.path"},
        {"[store]\nid = \"0123456789abcdef0123456789ABCDEF\"\n", "store.id is `0123"},
        {"[store]\nid = \"0123456789abcdef\"\n", "32 lower-case hex digits"},
        {"[routing]\nmin_trust = \"most\"\n", "min_trust"},
        {"[routing]\nqueue_wait_ms = -1\n", "queue_wait_ms"},
        {"[limits]\nrate_burst = 0\n", "rate_burst"},
        {"[server]\nprot = 1\n", "prot"},
        {"[[model]]\nid = \"m\"\noutput_price_micro_usd = -1\n", "output_price_micro_usd"},
        {"[[model]]\nid = \"m\"\nprice = 1\n", "price"},
        {"[server\n", "c.toml"},
    };
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(load(x, cases[i].toml, NULL), ERR_CONFIG);
        assert_says(x, cases[i].words);
    }
}

static void an_unknown_trust_level_in_the_old_variable_is_refused(void **state)
{
    static const char *const env[] = {"EIGENINFERENCE_MIN_TRUST=anything", NULL};
    struct fixture *x = *state;

    fake_env = env;
    assert_true(load(x, NULL, NULL) < 0);
    assert_says(x, "EIGENINFERENCE_MIN_TRUST");
}

/* --- models --- */

static void models_have_names_and_prices(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(load(x,
                          "[[model]]\nid = \"a\"\ninput_price_micro_usd = 5\n"
                          "[[model]]\nid = \"b\"\ndisplay_name = \"B\"\n",
                          NULL),
                     0);
    assert_int_equal(x->settings.n_models, 2);
    assert_true(str_is(x->settings.models[0].id, "a"));
    assert_int_equal(x->settings.models[0].input_price_micro_usd, 5);
    assert_int_equal(x->settings.models[0].output_price_micro_usd, PRICE_DEFAULT_OUTPUT);
    assert_true(str_is(x->settings.models[1].display_name, "B"));
}

static void a_model_needs_an_id_of_its_own(void **state)
{
    static const struct {
        const char *toml, *words;
    } cases[] = {
        {"[[model]]\nid = \"a\"\n[[model]]\ndisplay_name = \"B\"\n", "number 2 has no id"},
        {"[[model]]\nid = \"\"\n", "number 1 has no id"},
        {"[[model]]\nid = \"a\"\n[[model]]\nid = \"b\"\n[[model]]\nid = \"a\"\n",
         "number 3 has the id of number 1"},
    };
    struct fixture *x = *state;
    char toml[600];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(load(x, cases[i].toml, NULL), ERR_CONFIG);
        assert_says(x, cases[i].words);
    }
    snprintf(toml, sizeof toml, "[[model]]\nid = \"%0256d\"\n", 1);
    assert_int_equal(load(x, toml, NULL), 0);
    snprintf(toml, sizeof toml, "[[model]]\nid = \"%0257d\"\n", 1);
    assert_int_equal(load(x, toml, NULL), ERR_CONFIG);
    assert_says(x, "257 bytes, the limit is 256");
}

/* --- where the metrics are --- */

static void metrics_are_where_the_operator_says_and_nowhere_by_default(void **state)
{
    struct fixture *x = *state;
    struct settings_address at;

    assert_int_equal(load(x, NULL, NULL), 0);
    assert_int_equal(x->settings.metrics_listen.n, 0);
    assert_int_equal(load(x, "[metrics]\nlisten = \"127.0.0.1:9464\"\n", NULL), 0);
    assert_int_equal(settings_listen_at(x->settings.metrics_listen, &at), 0);
    assert_string_equal(at.host, "127.0.0.1");
    assert_int_equal(at.port, 9464);
    assert_int_equal(settings_listen_at(STR("[::1]:0"), &at), 0);
    assert_string_equal(at.host, "::1");
    assert_int_equal(at.port, 0);
}

static void an_address_of_metrics_that_is_none_is_refused(void **state)
{
    static const char *const bad[] = {
        "9464",  "127.0.0.1",     "127.0.0.1:", "127.0.0.1:-1",   "127.0.0.1:65536",
        ":9464", "example.com:1", "[::1:9464",  "127.0.0.1:9464 "};
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char toml[100];

        snprintf(toml, sizeof toml, "[metrics]\nlisten = \"%s\"\n", bad[i]);
        if (load(x, toml, NULL) != ERR_CONFIG)
            fail_msg("%s is taken", bad[i]);
        assert_says(x, "metrics.listen");
        assert_says(x, "for example 127.0.0.1:9464");
    }
}

/* L01: what a Datadog agent's users have set already is enough. */
static void datadogs_variables_say_where_metrics_are_sent(void **state)
{
    static const char *const env[] = {"DD_AGENT_HOST=10.1.2.3", "DD_DOGSTATSD_PORT=9125",
                                      "DD_ENV=prod", "DD_SERVICE=inference", NULL};
    struct fixture *x = *state;

    assert_int_equal(load(x, NULL, NULL), 0);
    assert_int_equal(x->settings.statsd_host.n, 0);
    assert_int_equal(x->settings.statsd_port, 8125);
    assert_true(str_is(x->settings.statsd_service, "darkbloom-coordinator"));
    fake_env = env;
    assert_int_equal(load(x, NULL, NULL), 0);
    assert_true(str_is(x->settings.statsd_host, "10.1.2.3"));
    assert_int_equal(x->settings.statsd_port, 9125);
    assert_true(str_is(x->settings.statsd_env, "prod"));
    assert_true(str_is(x->settings.statsd_service, "inference"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_set_is_strict_and_local),
        TEST(a_flag_beats_the_environment_which_beats_the_file),
        TEST(the_existing_coordinators_variables_mean_the_same),
        TEST(the_new_name_beats_the_old_one),
        TEST(an_old_variable_that_is_empty_is_not_set),
        TEST(a_variable_without_effect_is_named_with_what_is_missing),
        TEST(a_database_that_would_be_passed_over_refuses_the_start),
        TEST(a_bad_value_is_refused_by_name),
        TEST(an_unknown_trust_level_in_the_old_variable_is_refused),
        TEST(metrics_are_where_the_operator_says_and_nowhere_by_default),
        TEST(an_address_of_metrics_that_is_none_is_refused),
        TEST(datadogs_variables_say_where_metrics_are_sent),
        TEST(models_have_names_and_prices),
        TEST(a_model_needs_an_id_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
