/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's table of metrics keeps to Prometheus' conventions, and to what the seed asks.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/metrics.h"

static bool ends(const char *s, const char *end)
{
    size_t n = strlen(s), e = strlen(end);

    return n >= e && strcmp(s + n - e, end) == 0;
}

static void every_name_says_its_kind_and_unit(void **state)
{
    (void)state;
    for (size_t i = 0; i < metrics_table.n_rows; i++) {
        const struct metric_row *r = &metrics_table.rows[i];

        assert_non_null(r->name);
        for (const char *c = r->name; *c; c++)
            assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
        if ((r->kind == METRIC_COUNTER) != ends(r->name, "_total"))
            fail_msg("%s: _total belongs to counters, all of them", r->name);
        if (r->decimals && !ends(r->name, "_seconds") && !ends(r->name, "_usd"))
            fail_msg("%s: a scaled row has a unit at its end", r->name);
        assert_true(ends(r->help, "."));
        if (r->alias && (r->kind == METRIC_COUNTER) != ends(r->alias, "_total"))
            fail_msg("%s", r->alias);
    }
}

static void no_name_stands_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < metrics_table.n_rows; i++) {
        const struct metric_row *a = &metrics_table.rows[i];

        for (size_t j = 0; j < i; j++) {
            const struct metric_row *b = &metrics_table.rows[j];

            assert_string_not_equal(a->name, b->name);
            if (a->alias && b->alias)
                assert_string_not_equal(a->alias, b->alias);
            if (a->statsd && b->statsd)
                assert_string_not_equal(a->statsd, b->statsd);
        }
    }
}

static void bounds_go_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < metrics_table.n_rows; i++) {
        const struct metric_row *r = &metrics_table.rows[i];

        if (r->kind != METRIC_HISTOGRAM)
            continue;
        assert_true(r->n_bounds > 1);
        for (size_t b = 1; b < r->n_bounds; b++)
            assert_true(r->bounds[b] > r->bounds[b - 1]);
    }
}

/* FR-43: an outcome for every way a request can end; each code once. */
static void every_api_error_is_an_outcome(void **state)
{
    const struct metric_label *l = &metrics_table.labels[ML_OUTCOME];

    (void)state;
    assert_string_equal(l->values[metrics_outcome(API_OK)], "completed");
    assert_string_equal(l->values[metrics_outcome(API_BAD_JSON)], "invalid_json");
    assert_string_equal(l->values[metrics_outcome(API_SLOW_CONSUMER)], "slow_consumer");
    assert_int_equal(metrics_outcome(API_ERROR_COUNT - 1), l->n - 1);
    for (size_t i = 0; i < l->n; i++) {
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(l->values[i], l->values[j]);
    }
}

/* Dashboards made for vLLM and for the existing coordinator find their series (L02, L05, L08, L13
 * to L17). */
static void the_names_that_others_know_are_there(void **state)
{
    static const char *const names[] = {"vllm:num_requests_running",
                                        "vllm:num_requests_waiting",
                                        "vllm:time_to_first_token_seconds",
                                        "vllm:e2e_request_latency_seconds",
                                        "vllm:prompt_tokens_total",
                                        "vllm:generation_tokens_total",
                                        "vllm:request_success_total",
                                        "providers.connected",
                                        "providers.per_version",
                                        "store.debit.latency_ms",
                                        "store.credit.latency_ms",
                                        "billing.cost_clamped",
                                        "billing.reservation_refunds",
                                        "billing.reservation_amount",
                                        "billing.settlement_refund",
                                        "billing.provider_credit",
                                        "billing.platform_fee",
                                        "routing.cost_ms"};

    (void)state;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        bool found = false;

        for (size_t i = 0; i < metrics_table.n_rows; i++) {
            const struct metric_row *r = &metrics_table.rows[i];

            found = found || (r->alias && strcmp(r->alias, names[n]) == 0) ||
                    (r->statsd && strcmp(r->statsd, names[n]) == 0);
        }
        if (!found)
            fail_msg("%s is missing", names[n]);
    }
}

/* L09: the hash of a provider's program is no label: nothing bounds how many there are. */
static void no_label_is_unbounded(void **state)
{
    (void)state;
    for (size_t i = 1; i < metrics_table.n_labels; i++) {
        const struct metric_label *l = &metrics_table.labels[i];

        assert_true(l->n > 0 && l->n <= 64);
        assert_null(strstr(l->name, "hash"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_says_its_kind_and_unit),
        cmocka_unit_test(no_name_stands_twice),
        cmocka_unit_test(bounds_go_up),
        cmocka_unit_test(every_api_error_is_an_outcome),
        cmocka_unit_test(the_names_that_others_know_are_there),
        cmocka_unit_test(no_label_is_unbounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
