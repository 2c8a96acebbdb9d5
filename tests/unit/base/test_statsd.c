/* SPDX-License-Identifier: Apache-2.0 */
/* DogStatsD (L01, L02): what a sink on the loopback receives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/statsd.h"

enum { L_NONE, L_COLOUR, L_MODEL };
enum { REQUESTS, DEPTH, WAIT, HIDDEN, BY_MODEL };

static const char *const colours[] = {"red", "blue"};
static const struct metric_label labels[] = {
    [L_NONE] = {NULL},
    [L_COLOUR] = {.name = "colour", .values = colours, .n = 2},
    [L_MODEL] = {.name = "model", .companion = "type", .n = 64}};
static const int64_t bounds[] = {1000, 3000};
static const struct metric_row rows[] = {
    [REQUESTS] = {.name = "t_requests_total",
                  .kind = METRIC_COUNTER,
                  .labels = {L_COLOUR},
                  .statsd = "requests"},
    [DEPTH] = {.name = "t_depth", .kind = METRIC_GAUGE, .statsd = "depth"},
    [WAIT] = {.name = "t_wait_seconds",
              .kind = METRIC_HISTOGRAM,
              .decimals = 6,
              .bounds = bounds,
              .n_bounds = 2,
              .statsd = "wait_ms",
              .statsd_decimals = 3},
    [HIDDEN] = {.name = "t_hidden_total", .kind = METRIC_COUNTER},
    [BY_MODEL] = {
        .name = "t_running", .kind = METRIC_GAUGE, .labels = {L_MODEL}, .statsd = "running"}};
static const struct metric_table table = {rows, 5, labels, 3};

#define TAGS "service:svc,env:prod_1,version:1.2.3"

struct sink {
    int fd;
    struct metrics *m;
    struct statsd *s;
    char lines[65536];
    size_t datagrams, largest;
};

static int up(void **state)
{
    struct sink *k = calloc(1, sizeof *k);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    struct statsd_config config = {.host = "127.0.0.1",
                                   .prefix = "d.",
                                   .service = STR("svc"),
                                   .env = STR("prod,1"),
                                   .version = STR("1.2.3")};

    assert_non_null(k);
    k->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(k->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(k->fd, (struct sockaddr *)&at, &len), 0);
    config.port = ntohs(at.sin_port);
    k->m = metrics_new(&table);
    assert_int_equal(statsd_open(&config, &table, &k->s, NULL), 0);
    *state = k;
    return 0;
}

static int down(void **state)
{
    struct sink *k = *state;

    statsd_close(k->s);
    metrics_free(k->m);
    close(k->fd);
    free(k);
    return 0;
}

/* Flush, and take what has come: one line behind the other, each with a newline before and behind.
 */
static const char *flushed(struct sink *k)
{
    size_t n = 1;
    ssize_t got;

    statsd_flush(k->s, k->m);
    k->lines[0] = '\n';
    k->datagrams = 0;
    while ((got = recv(k->fd, k->lines + n, sizeof k->lines - n - 2, 0)) > 0) {
        n += (size_t)got;
        k->lines[n++] = '\n';
        k->datagrams++;
        k->largest = (size_t)got > k->largest ? (size_t)got : k->largest;
    }
    k->lines[n] = 0;
    return k->lines;
}

static void assert_sent(struct sink *k, const char *line)
{
    char whole[400];

    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(k->lines, whole))
        fail_msg("%s is not in\n%s", line, k->lines);
}

static void a_counter_is_sent_as_what_was_added(void **state)
{
    struct sink *k = *state;

    metrics_add(k->m, REQUESTS, 1, 0, 5);
    flushed(k);
    assert_sent(k, "d.requests:5|c|#colour:blue," TAGS);
    assert_null(strstr(k->lines, "colour:red")); /* nothing was added */
    metrics_add(k->m, REQUESTS, 1, 0, 2);
    flushed(k);
    assert_sent(k, "d.requests:2|c|#colour:blue," TAGS);
    assert_null(strstr(flushed(k), "requests"));
}

static void a_gauge_is_sent_as_it_is_every_time(void **state)
{
    struct sink *k = *state;

    flushed(k);
    assert_sent(k, "d.depth:0|g|#" TAGS);
    metrics_set(k->m, DEPTH, 0, 0, -3);
    flushed(k);
    assert_sent(k, "d.depth:-3|g|#" TAGS);
    flushed(k);
    assert_sent(k, "d.depth:-3|g|#" TAGS);
}

static void a_series_that_ends_says_zero_once(void **state)
{
    struct sink *k = *state;
    unsigned v = metrics_value(k->m, L_MODEL, STR("a|b:c"), STR("text"));

    assert_null(strstr(flushed(k), "running"));
    metrics_set(k->m, BY_MODEL, v, 0, 1);
    flushed(k);
    assert_sent(k, "d.running:1|g|#model:a_b_c,type:text," TAGS);
    metrics_set(k->m, BY_MODEL, v, 0, 0);
    flushed(k);
    assert_sent(k, "d.running:0|g|#model:a_b_c,type:text," TAGS);
    assert_null(strstr(flushed(k), "running"));
}

static void one_sample_is_sent_exactly_in_the_rows_own_unit(void **state)
{
    struct sink *k = *state;

    metrics_observe(k->m, WAIT, 0, 0, 1234);
    flushed(k);
    assert_sent(k, "d.wait_ms:1.234|h|#" TAGS);
    assert_null(strstr(flushed(k), "wait_ms"));
}

static void samples_of_one_bucket_are_sent_as_their_mean(void **state)
{
    struct sink *k = *state;

    metrics_observe(k->m, WAIT, 0, 0, 100);
    metrics_observe(k->m, WAIT, 0, 0, 100);
    metrics_observe(k->m, WAIT, 0, 0, 400);
    flushed(k);
    assert_sent(k, "d.wait_ms:0.2|h|@0.333333333|#" TAGS);
}

static void samples_of_several_buckets_are_sent_as_the_buckets_middles(void **state)
{
    struct sink *k = *state;

    metrics_observe(k->m, WAIT, 0, 0, 100);
    metrics_observe(k->m, WAIT, 0, 0, 1500);
    metrics_observe(k->m, WAIT, 0, 0, 1500);
    metrics_observe(k->m, WAIT, 0, 0, 9000);
    flushed(k);
    assert_sent(k, "d.wait_ms:0.5|h|#" TAGS);
    assert_sent(k, "d.wait_ms:2|h|@0.5|#" TAGS);
    assert_sent(k, "d.wait_ms:3|h|#" TAGS);
}

/* The agent counts a line as 1 / rate samples, cut to a whole number. */
static void the_number_of_samples_is_exact(void **state)
{
    static const int numbers[] = {1, 2, 3, 7, 999, 29999, 30001, 70000};
    struct sink *k = *state;

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        long counted = 0;

        for (int n = 0; n < numbers[i]; n++)
            metrics_observe(k->m, WAIT, 0, 0, 10);
        for (const char *at = strstr(flushed(k), "|h"); at; at = strstr(at + 1, "|h"))
            counted += at[2] == '|' && at[3] == '@' ? (long)(1 / strtod(at + 4, NULL)) : 1;
        assert_int_equal(counted, numbers[i]);
    }
}

static void a_row_without_a_name_for_it_is_not_sent(void **state)
{
    struct sink *k = *state;

    metrics_add(k->m, HIDDEN, 0, 0, 1);
    assert_null(strstr(flushed(k), "hidden"));
}

static void lines_share_datagrams_that_fit_a_frame(void **state)
{
    struct sink *k = *state;
    size_t lines = 0;

    for (int i = 0; i < 64; i++) {
        char text[90];

        snprintf(text, sizeof text, "a-model-with-a-name-that-is-not-short-at-all-%d", i);
        metrics_set(k->m, BY_MODEL, metrics_value(k->m, L_MODEL, str_from(text), STR("text")), 0,
                    1);
    }
    for (const char *at = strstr(flushed(k), "d.running"); at; at = strstr(at + 1, "d.running"))
        lines++;
    assert_int_equal(lines, 64);
    assert_true(k->datagrams > 1 && k->datagrams < 10);
    assert_true(k->largest <= STATSD_DATAGRAM_BYTES);
}

static void nobody_who_listens_costs_nothing_but_the_datagram(void **state)
{
    struct sink *k = *state;

    close(k->fd);
    k->fd = -1;
    for (int i = 0; i < 3; i++) /* the second hears that the first was refused */
        statsd_flush(k->s, k->m);
    assert_true(statsd_lost(k->s) > 0);
}

static void a_host_that_is_none_is_named(void **state)
{
    struct statsd_config config = {.host = "256.256.256.256", .port = 1, .prefix = "d."};
    struct statsd *s = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(statsd_open(&config, &table, &s, &e), ERR_IO);
    assert_non_null(strstr(e.text, "256.256.256.256"));
    assert_null(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_counter_is_sent_as_what_was_added),
        TEST(a_gauge_is_sent_as_it_is_every_time),
        TEST(a_series_that_ends_says_zero_once),
        TEST(one_sample_is_sent_exactly_in_the_rows_own_unit),
        TEST(samples_of_one_bucket_are_sent_as_their_mean),
        TEST(samples_of_several_buckets_are_sent_as_the_buckets_middles),
        TEST(the_number_of_samples_is_exact),
        TEST(a_row_without_a_name_for_it_is_not_sent),
        TEST(lines_share_datagrams_that_fit_a_frame),
        TEST(nobody_who_listens_costs_nothing_but_the_datagram),
        cmocka_unit_test(a_host_that_is_none_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
