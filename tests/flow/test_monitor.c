/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's listener: metrics without a key and without secrets, readiness with a reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coordinator/api/monitor.h"
#include "coordinator/api/ready.h"
#include "fake_consumer.h"
#include "fake_provider.h"

static int up(void **state)
{
    struct fake_world *w = fake_world_new();

    w->settings.metrics_listen = STR("127.0.0.1:0");
    fake_world_start(w);
    *state = w;
    return 0;
}

static struct fake_consumer *monitor(struct fake_world *w, const char *target)
{
    return fake_consumer_ask(
        w, &(struct fake_ask){
               .target = target, .body = "", .key = "", .port = monitor_port(w->coord->monitor)});
}

static void assert_shows(struct fake_consumer *c, const char *line)
{
    assert_int_equal(fake_consumer_status(c), 200);
    if (!fake_says(fake_consumer_body(c), line))
        fail_msg("%s is not in\n%.*s", line, STR_ARG(fake_consumer_body(c)));
}

static void prometheus_needs_no_key(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = monitor(w, "GET /metrics");

    assert_true(str_is(fake_consumer_header(c, "Content-Type"),
                       "text/plain; version=0.0.4; charset=utf-8"));
    assert_shows(c, "\n# TYPE darkbloom_requests_total counter\n");
    assert_shows(c, "\ndarkbloom_providers_connected 0\n");
    assert_shows(c, "\ndarkbloom_ready 1\n");
}

/* Whoever reaches the API does not reach the metrics. */
static void strangers_find_no_metrics_at_the_api(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c =
        fake_consumer_ask(w, &(struct fake_ask){.target = "GET /metrics", .body = ""});

    assert_int_equal(fake_consumer_status(c), 404);
    c = monitor(w, "GET /v1/models");
    assert_int_equal(fake_consumer_status(c), 404);
}

static void no_listener_is_there_unless_the_settings_name_one(void **state)
{
    struct fake_world *w = fake_world_new();

    fake_world_start(w);
    assert_null(w->coord->monitor);
    assert_int_equal(monitor_port(w->coord->monitor), 0);
    *state = w;
    fake_world_down(state);
}

static void gauges_are_the_state_itself(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});
    struct fake_consumer *c = fake_consumer_stream(w);

    assert_shows(monitor(w, "GET /metrics"), "\ndarkbloom_providers_connected 1\n");
    assert_shows(monitor(w, "GET /metrics"),
                 "\nvllm:num_requests_running{model_name=\"" FAKE_MODEL "\"");
    fake_provider_die(p);
    fake_consumer_leave(c);
    fake_world_settle(w);
    assert_shows(monitor(w, "GET /metrics"), "\ndarkbloom_providers_connected 0\n");
    assert_false(fake_says(fake_consumer_body(monitor(w, "GET /metrics")), "requests_running{"));
}

/* A stranger's announcement takes none of the places that labels have. */
static void models_of_untrusted_providers_get_no_series(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c;

    fake_provider_join(w,
                       &(struct fake_provider_config){.model = "made-up", .answer = FAKE_SILENT});
    c = fake_consumer_ask(
        w,
        &(struct fake_ask){.body = "{\"model\":\"made-up\",\"max_tokens\":9," FAKE_MESSAGES "}"});
    assert_int_equal(fake_consumer_status(c), 0); /* it waits */
    c = monitor(w, "GET /metrics");
    assert_shows(c, "\ndarkbloom_requests_waiting{model=\"other\"} 1\n");
    assert_false(fake_says(fake_consumer_body(c), "made-up"));
}

static void the_page_holds_neither_keys_nor_accounts_nor_prompts(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});
    struct fake_consumer *c = fake_consumer_stream(w);
    struct str page;

    fake_provider_serve(p, 0, 80, 40);
    assert_int_equal(fake_consumer_status(c), 200);
    page = fake_consumer_body(monitor(w, "GET /metrics"));
    assert_false(fake_says(page, w->key));
    assert_false(fake_says(page, FAKE_ACCOUNT));
    assert_false(fake_says(page, "Say hello"));
    assert_false(fake_says(page, "127.0.0.1"));
}

static void other_methods_are_told_which_ones_there_are(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = monitor(w, "POST /metrics");

    assert_int_equal(fake_consumer_status(c), 405);
    assert_true(str_is(fake_consumer_header(c, "Allow"), "GET, HEAD, OPTIONS"));
    c = monitor(w, "HEAD /metrics");
    assert_int_equal(fake_consumer_status(c), 200);
    assert_int_equal(fake_consumer_status(monitor(w, "GET /")), 404);
}

/* --- DogStatsD --- */

static int sink_on_loopback(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* L01, L02: DD_AGENT_HOST and DD_DOGSTATSD_PORT are these two settings. */
static void an_agent_gets_the_metrics_every_ten_seconds(void **state)
{
    struct fake_world *w = fake_world_new();
    char said[1 << 16] = {0};
    uint16_t port;
    int fd = sink_on_loopback(&port);
    size_t n = 0;
    ssize_t got;

    w->settings.statsd_host = STR("127.0.0.1");
    w->settings.statsd_port = port;
    w->settings.statsd_service = STR("darkbloom-coordinator");
    w->settings.statsd_env = STR("test");
    fake_world_start(w);
    fake_provider_join(w, &(struct fake_provider_config){0});
    fake_world_advance_ms(w, 9000);
    assert_int_equal(recv(fd, said, 1, 0), -1);
    fake_world_advance_ms(w, 1000);
    while ((got = recv(fd, said + n, sizeof said - 1 - n, 0)) > 0)
        n += (size_t)got;
    assert_non_null(strstr(said, "darkbloom.providers.connected:1|g|#service:darkbloom-coordinator,"
                                 "env:test,version:" DARKBLOOM_VERSION));
    assert_non_null(strstr(said, "darkbloom.ready:1|g"));
    close(fd);
    *state = w;
    fake_world_down(state);
}

static void an_agent_that_cannot_be_found_is_a_warning(void **state)
{
    struct fake_world *w = fake_world_new();

    w->settings.statsd_host = STR("256.256.256.256");
    w->settings.statsd_port = 8125;
    fake_world_start(w);
    assert_true(fake_world_logged(w, "setting=metrics.statsd_host"));
    assert_null(w->coord->emitter);
    *state = w;
    fake_world_down(state);
}

/* --- ready --- */

static void assert_ready(struct fake_consumer *c, int status, const char *body)
{
    assert_int_equal(fake_consumer_status(c), status);
    if (!str_is(fake_consumer_body(c), body))
        fail_msg("said %.*s", STR_ARG(fake_consumer_body(c)));
}

static struct fake_consumer *ask_ready(struct fake_world *w)
{
    return fake_consumer_ask(w, &(struct fake_ask){.target = "GET /ready", .body = "", .key = ""});
}

static void a_coordinator_that_works_is_ready(void **state)
{
    struct fake_world *w = *state;

    assert_ready(ask_ready(w), 200, "{\"status\":\"ready\"}\n");
    assert_ready(monitor(w, "GET /ready"), 200, "{\"status\":\"ready\"}\n");
    assert_int_equal(fake_consumer_status(monitor(w, "GET /health")), 200);
}

static void a_store_that_does_not_answer_makes_it_not_ready_until_it_does(void **state)
{
    struct fake_world *w = *state;

    fake_world_slow_store(w, 5000000);
    assert_ready(ask_ready(w), 200, "{\"status\":\"ready\"}\n"); /* asks the store */
    fake_world_advance_ms(w, 1900);
    assert_ready(ask_ready(w), 200, "{\"status\":\"ready\"}\n");
    fake_world_advance_ms(w, 200);
    assert_ready(ask_ready(w), 503, "{\"status\":\"not_ready\",\"code\":\"store_slow\"}\n");
    fake_world_slow_store(w, 1000);
    fake_world_advance_ms(w, 3000);
    assert_ready(ask_ready(w), 200, "{\"status\":\"ready\"}\n");
}

static void a_store_that_fails_makes_it_not_ready(void **state)
{
    struct fake_world *w = *state;

    assert_null(ready_why_not(w->coord->ready));
    fake_world_tamper(w, "ALTER TABLE accounts RENAME TO gone");
    fake_world_advance_ms(w, 2000);
    assert_ready(ask_ready(w), 503, "{\"status\":\"not_ready\",\"code\":\"store_failed\"}\n");
    fake_world_tamper(w, "ALTER TABLE gone RENAME TO accounts");
    fake_world_advance_ms(w, 2000);
    assert_ready(ask_ready(w), 503, "{\"status\":\"not_ready\",\"code\":\"store_failed\"}\n");
    fake_world_advance_ms(w, 2000);
    assert_ready(ask_ready(w), 200, "{\"status\":\"ready\"}\n"); /* the next read went well */
}

static void one_that_stops_is_alive_but_not_ready(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c;

    fake_provider_join(w, &(struct fake_provider_config){0});
    c = fake_consumer_stream(w);
    hub_drain(w->hub, 1000, NULL, NULL);
    assert_ready(monitor(w, "GET /ready"), 503,
                 "{\"status\":\"not_ready\",\"code\":\"draining\"}\n");
    assert_int_equal(fake_consumer_status(monitor(w, "GET /health")), 200);
    assert_shows(monitor(w, "GET /metrics"), "\ndarkbloom_ready 0\n");
    fake_consumer_leave(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(prometheus_needs_no_key, up, fake_world_down),
        cmocka_unit_test_setup_teardown(strangers_find_no_metrics_at_the_api, up, fake_world_down),
        cmocka_unit_test(no_listener_is_there_unless_the_settings_name_one),
        cmocka_unit_test_setup_teardown(gauges_are_the_state_itself, up, fake_world_down),
        cmocka_unit_test_setup_teardown(models_of_untrusted_providers_get_no_series, up,
                                        fake_world_down),
        cmocka_unit_test_setup_teardown(the_page_holds_neither_keys_nor_accounts_nor_prompts, up,
                                        fake_world_down),
        cmocka_unit_test_setup_teardown(other_methods_are_told_which_ones_there_are, up,
                                        fake_world_down),
        cmocka_unit_test(an_agent_gets_the_metrics_every_ten_seconds),
        cmocka_unit_test(an_agent_that_cannot_be_found_is_a_warning),
        cmocka_unit_test_setup_teardown(a_coordinator_that_works_is_ready, up, fake_world_down),
        cmocka_unit_test_setup_teardown(
            a_store_that_does_not_answer_makes_it_not_ready_until_it_does, up, fake_world_down),
        cmocka_unit_test_setup_teardown(a_store_that_fails_makes_it_not_ready, up, fake_world_down),
        cmocka_unit_test_setup_teardown(one_that_stops_is_alive_but_not_ready, up, fake_world_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
