/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics from a table: recording, the sum over loops, the text that Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/metric.h"
#include "unit/base/fake_death.h"

enum { L_NONE, L_COLOUR, L_MODEL };
enum { REQUESTS, BY_MODEL, DEPTH, WAIT, MODEL_WAIT };
enum { RED, BLUE };

static const char *const colours[] = {"red", "blue"};
static const struct metric_label labels[] = {
    [L_NONE] = {NULL},
    [L_COLOUR] = {.name = "colour", .values = colours, .n = 2},
    [L_MODEL] = {.name = "model", .alias_name = "model_name", .companion = "type", .n = 2}};
static const int64_t bounds[] = {5000, 1000000};
static const struct metric_row rows[] = {
    [REQUESTS] = {.name = "t_requests_total",
                  .kind = METRIC_COUNTER,
                  .labels = {L_COLOUR},
                  .help = "Back\\slash and\nnew line."},
    [BY_MODEL] = {.name = "t_tokens_total",
                  .kind = METRIC_COUNTER,
                  .labels = {L_MODEL, L_COLOUR},
                  .alias = "vllm:tokens_total",
                  .help = "Tokens."},
    [DEPTH] = {.name = "t_depth", .kind = METRIC_GAUGE, .help = "Depth."},
    [WAIT] = {.name = "t_wait_seconds",
              .kind = METRIC_HISTOGRAM,
              .decimals = 6,
              .bounds = bounds,
              .n_bounds = 2,
              .help = "Wait."},
    [MODEL_WAIT] = {.name = "t_model_wait_seconds",
                    .kind = METRIC_HISTOGRAM,
                    .labels = {L_MODEL},
                    .decimals = 6,
                    .bounds = bounds,
                    .n_bounds = 2,
                    .help = "Wait by model."}};
static const struct metric_table table = {rows, 5, labels, 3};

static void assert_shows(const struct metrics *m, const char *expected)
{
    struct buf b;
    struct writer w = {.out = &b};

    buf_init(&b, 1 << 16);
    metrics_write(m, &w);
    writer_char(&w, 0);
    assert_int_equal(w.rc, 0);
    if (!strstr(buf_view(&b).p, expected))
        fail_msg("not shown: %s\nshown:\n%s", expected, buf_view(&b).p);
    buf_free(&b);
}

static void assert_hides(const struct metrics *m, const char *unexpected)
{
    struct buf b;
    struct writer w = {.out = &b};

    buf_init(&b, 1 << 16);
    metrics_write(m, &w);
    writer_char(&w, 0);
    assert_int_equal(w.rc, 0);
    assert_null(strstr(buf_view(&b).p, unexpected));
    buf_free(&b);
}

static void a_counter_of_closed_labels_shows_every_value_from_the_start(void **state)
{
    struct metrics *m = metrics_new(&table);

    (void)state;
    metrics_add(m, REQUESTS, BLUE, 0, 1);
    metrics_add(m, REQUESTS, BLUE, 0, 2);
    assert_int_equal(metrics_get(m, REQUESTS, BLUE, 0), 3);
    assert_shows(m, "# HELP t_requests_total Back\\\\slash and\\nnew line.\n"
                    "# TYPE t_requests_total counter\n"
                    "t_requests_total{colour=\"red\"} 0\n"
                    "t_requests_total{colour=\"blue\"} 3\n");
    metrics_free(m);
}

static void a_gauge_goes_up_and_down(void **state)
{
    struct metrics *m = metrics_new(&table);

    (void)state;
    metrics_set(m, DEPTH, 0, 0, 7);
    metrics_add(m, DEPTH, 0, 0, -9);
    assert_shows(m, "# TYPE t_depth gauge\nt_depth -2\n");
    metrics_clear(m, DEPTH);
    assert_shows(m, "t_depth 0\n");
    metrics_free(m);
}

/* A bound belongs to its bucket (le: less or equal); counts are cumulative; units are exact. */
static void a_histogram_counts_cumulatively_in_base_units(void **state)
{
    struct metrics *m = metrics_new(&table);
    int64_t sum;

    (void)state;
    metrics_observe(m, WAIT, 0, 0, 0);
    metrics_observe(m, WAIT, 0, 0, 5000);
    metrics_observe(m, WAIT, 0, 0, 5001);
    metrics_observe(m, WAIT, 0, 0, 2000000);
    assert_int_equal(metrics_samples(m, WAIT, 0, 0, &sum), 4);
    assert_int_equal(sum, 2010001);
    assert_shows(m, "# TYPE t_wait_seconds histogram\n"
                    "t_wait_seconds_bucket{le=\"0.005\"} 2\n"
                    "t_wait_seconds_bucket{le=\"1\"} 3\n"
                    "t_wait_seconds_bucket{le=\"+Inf\"} 4\n"
                    "t_wait_seconds_sum 2.010001\n"
                    "t_wait_seconds_count 4\n");
    metrics_free(m);
}

static void values_found_while_running_are_shown_once_they_count(void **state)
{
    struct metrics *m = metrics_new(&table);
    unsigned a;

    (void)state;
    a = metrics_value(m, L_MODEL, STR("small \"one\"\\\n\x80"), STR("text"));
    assert_int_equal(a, 1);
    assert_hides(m, "small");
    metrics_add(m, BY_MODEL, a, RED, 4);
    assert_shows(m, "t_tokens_total{model=\"small \\\"one\\\"\\\\__\",type=\"text\","
                    "colour=\"red\"} 4\n");
    assert_shows(m, "# TYPE vllm:tokens_total counter\n"
                    "vllm:tokens_total{model_name=\"small \\\"one\\\"\\\\__\",type=\"text\","
                    "colour=\"red\"} 4\n");
    metrics_observe(m, MODEL_WAIT, a, 0, 1);
    assert_shows(m, ",type=\"text\",le=\"0.005\"} 1\n");
    metrics_free(m);
}

/* L09: no series without bound. */
static void more_values_than_a_label_may_have_are_counted_as_other(void **state)
{
    struct metrics *m = metrics_new(&table);
    struct str none = {0};

    (void)state;
    assert_int_equal(metrics_value(m, L_MODEL, STR("a"), none), 1);
    assert_int_equal(metrics_value(m, L_MODEL, STR("b"), none), 2);
    assert_int_equal(metrics_value(m, L_MODEL, STR("c"), none), METRIC_VALUE_OTHER);
    assert_int_equal(metrics_value(m, L_MODEL, STR("a"), none), 1);
    metrics_add(m, BY_MODEL, METRIC_VALUE_OTHER, BLUE, 1);
    assert_shows(m, "t_tokens_total{model=\"other\",colour=\"blue\"} 1\n");
    metrics_free(m);
}

static void a_value_that_is_too_long_is_cut(void **state)
{
    struct metrics *m = metrics_new(&table);
    char text[500];

    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(metrics_value(m, L_MODEL, (struct str){text, 500}, (struct str){0}), 1);
    assert_int_equal(metrics_value(m, L_MODEL, (struct str){text, 499}, (struct str){0}), 1);
    metrics_free(m);
}

/* Each loop finds its values in an order of its own. */
static void what_is_shown_is_the_sum_over_the_loops(void **state)
{
    struct metrics *a = metrics_new(&table), *b = metrics_new(&table), *sum = metrics_new(&table);
    const struct metrics *const parts[] = {a, b};
    struct str none = {0};
    unsigned x, y;

    (void)state;
    metrics_add(sum, DEPTH, 0, 0, 100); /* of the last time */
    x = metrics_value(a, L_MODEL, STR("x"), none);
    metrics_add(a, BY_MODEL, x, RED, 1);
    y = metrics_value(b, L_MODEL, STR("y"), none);
    x = metrics_value(b, L_MODEL, STR("x"), none);
    assert_int_equal(x, 2);
    metrics_add(b, BY_MODEL, y, RED, 10);
    metrics_add(b, BY_MODEL, x, RED, 100);
    metrics_add(b, BY_MODEL, METRIC_VALUE_OTHER, RED, 1000);
    metrics_set(a, DEPTH, 0, 0, 2);
    metrics_set(b, DEPTH, 0, 0, 3);
    metrics_observe(a, WAIT, 0, 0, 1);
    metrics_observe(b, WAIT, 0, 0, 1000001);
    metrics_add_up(sum, parts, 2);
    assert_shows(sum, "model=\"x\",colour=\"red\"} 101\n");
    assert_shows(sum, "model=\"y\",colour=\"red\"} 10\n");
    assert_shows(sum, "model=\"other\",colour=\"red\"} 1000\n");
    assert_shows(sum, "t_depth 5\n");
    assert_shows(sum, "t_wait_seconds_sum 1.000002\nt_wait_seconds_count 2\n");
    metrics_free(a);
    metrics_free(b);
    metrics_free(sum);
}

static void record_beyond(void *ud)
{
    metrics_add(ud, REQUESTS, 2, 0, 1);
}

static void a_label_value_that_is_none_does_not_touch_another_rows_cells(void **state)
{
    struct metrics *m = metrics_new(&table);
    char said[300];

    (void)state;
    assert_true(fake_death(record_beyond, m, said, sizeof said));
    metrics_free(m);
}

static void nothing_is_recorded_where_there_are_no_metrics(void **state)
{
    (void)state;
    metrics_add(NULL, REQUESTS, RED, 0, 1);
    metrics_set(NULL, DEPTH, 0, 0, 1);
    metrics_observe(NULL, WAIT, 0, 0, 1);
    metrics_clear(NULL, DEPTH);
    assert_int_equal(metrics_value(NULL, L_MODEL, STR("a"), STR("")), METRIC_VALUE_OTHER);
}

static void a_text_that_is_too_long_is_an_error_and_not_half_a_page(void **state)
{
    struct metrics *m = metrics_new(&table);
    struct buf b;
    struct writer w = {.out = &b};

    (void)state;
    buf_init(&b, 100);
    metrics_write(m, &w);
    assert_int_equal(w.rc, ERR_LIMIT);
    buf_free(&b);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_of_closed_labels_shows_every_value_from_the_start),
        cmocka_unit_test(a_gauge_goes_up_and_down),
        cmocka_unit_test(a_histogram_counts_cumulatively_in_base_units),
        cmocka_unit_test(values_found_while_running_are_shown_once_they_count),
        cmocka_unit_test(more_values_than_a_label_may_have_are_counted_as_other),
        cmocka_unit_test(a_value_that_is_too_long_is_cut),
        cmocka_unit_test(what_is_shown_is_the_sum_over_the_loops),
        cmocka_unit_test(a_label_value_that_is_none_does_not_touch_another_rows_cells),
        cmocka_unit_test(nothing_is_recorded_where_there_are_no_metrics),
        cmocka_unit_test(a_text_that_is_too_long_is_an_error_and_not_half_a_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
