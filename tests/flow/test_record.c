/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted: each request once, at its end, wherever that was (FR-43); each attempt by its
 * own result; and the log says what the consumer got, not what an earlier attempt met (R17). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/metrics.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, COMPLETION = 50 };

static struct fake_provider *join(struct fake_world *w, double cpu_usage)
{
    return fake_provider_join(w, &(struct fake_provider_config){.cpu_usage = cpu_usage});
}

/* Over all models. */
static int64_t requests(struct fake_world *w, unsigned outcome)
{
    int64_t n = 0;

    for (unsigned model = 0; model < 4; model++)
        n += metrics_get(w->coord->metrics, M_REQUESTS, outcome, model);
    return n;
}

static int64_t all_requests(struct fake_world *w)
{
    int64_t n = 0;

    for (unsigned outcome = 0; outcome <= metrics_outcome(API_ERROR_COUNT - 1); outcome++)
        n += requests(w, outcome);
    return n;
}

static int64_t attempts(struct fake_world *w, unsigned result)
{
    return metrics_get(w->coord->metrics, M_ATTEMPTS, result, 0);
}

static void assert_counted(struct fake_world *w, unsigned outcome)
{
    assert_int_equal(requests(w, outcome), 1);
    assert_int_equal(all_requests(w), 1);
}

static void an_answer_counts_once_with_its_tokens_and_times(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 0);
    const struct metrics *m;
    int64_t sum;

    fake_consumer_stream(w);
    m = w->coord->metrics;
    assert_int_equal(all_requests(w), 0);
    fake_world_advance_ms(w, 16);
    fake_provider_serve(p, 0, PROMPT, COMPLETION);
    assert_counted(w, METRIC_OUTCOME_COMPLETED);
    assert_int_equal(attempts(w, METRIC_ATTEMPT_COMPLETED), 1);
    assert_int_equal(metrics_get(m, M_PROMPT_TOKENS, 1, 0), PROMPT);
    assert_int_equal(metrics_get(m, M_COMPLETION_TOKENS, 1, 0), COMPLETION);
    assert_int_equal(metrics_samples(m, M_TTFT, 1, 0, &sum), 1);
    assert_int_equal(sum, 16000);
    assert_int_equal(metrics_samples(m, M_LATENCY, 1, 0, &sum), 1);
}

static void a_request_that_was_retried_counts_once_as_what_it_became(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *first = join(w, 0), *second = join(w, 0.5);
    char *log;

    fake_consumer_stream(w);
    fake_provider_accept(first, 0, 12345);
    fake_provider_error(first, 0, 500, "out of memory");
    fake_provider_serve(second, 0, PROMPT, COMPLETION);
    assert_counted(w, METRIC_OUTCOME_COMPLETED);
    assert_int_equal(attempts(w, METRIC_ATTEMPT_FAILED), 1);
    assert_int_equal(attempts(w, METRIC_ATTEMPT_COMPLETED), 1);
    log = fake_world_log(w);
    assert_non_null(strstr(log, "event=request_done"));
    assert_non_null(strstr(strstr(log, "event=request_done"), "status=200"));
    assert_non_null(strstr(strstr(log, "event=request_done"), "prompt_tokens=80"));
    free(log);
}

static void who_hangs_up_is_cancelled_not_failed(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 0);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 5);
    fake_consumer_leave(c);
    fake_world_settle(w);
    assert_counted(w, METRIC_OUTCOME_CANCELLED);
    assert_int_equal(attempts(w, METRIC_ATTEMPT_CANCELLED), 1);
}

static void a_stream_that_breaks_is_partial(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 0);

    fake_consumer_stream(w);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 5);
    fake_provider_error(p, 0, 500, "out of memory");
    assert_counted(w, METRIC_OUTCOME_PARTIAL);
}

static void a_refusal_is_its_error(void **state)
{
    struct fake_world *w = *state;

    fake_consumer_ask(w, &(struct fake_ask){.body = "{"});
    assert_counted(w, metrics_outcome(API_BAD_JSON));
}

static void want_of_capacity_is_no_failure(void **state)
{
    struct fake_world *w = *state;

    fake_consumer_whole(w);
    fake_world_advance_ms(w, w->settings.queue_wait_ms);
    assert_counted(w, metrics_outcome(API_NO_CAPACITY));
}

/* R17: stopping was recorded as the provider's fault. */
static void what_we_cut_at_our_own_stop_is_stopped(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 0);

    fake_consumer_stream(w);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 5);
    fake_world_stop(w);
    assert_string_equal(fake_world_hold(w, 0).outcome, "stopped");
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_counts_once_with_its_tokens_and_times),
        TEST(a_request_that_was_retried_counts_once_as_what_it_became),
        TEST(who_hangs_up_is_cancelled_not_failed),
        TEST(a_stream_that_breaks_is_partial),
        TEST(a_refusal_is_its_error),
        TEST(want_of_capacity_is_no_failure),
        TEST(what_we_cut_at_our_own_stop_is_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
