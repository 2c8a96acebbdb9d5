/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a key outlives its connections and this process (FR-1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "coordinator/registry/record_saved.h"

#define S INT64_C(1000000)

static struct record_book book;
static int64_t mono_us, wall_us;

static int64_t mono(void *ud)
{
    (void)ud;
    return mono_us;
}

static int64_t wall(void *ud)
{
    (void)ud;
    return wall_us;
}

static const struct clock test_clock = {mono, wall, NULL};

static int up(void **state)
{
    (void)state;
    record_book_init(&book);
    mono_us = 5 * S;
    wall_us = INT64_C(1790000000) * S;
    return 0;
}

static int down(void **state)
{
    (void)state;
    record_book_free(&book);
    return 0;
}

static void pass(int64_t us)
{
    mono_us += us;
    wall_us += us;
}

/* --- the book --- */

static void what_is_learned_of_a_key_is_there_when_it_comes_back(void **state)
{
    struct record *r = record_hold(&book, "a", mono_us);

    (void)state;
    assert_non_null(r);
    for (int i = 0; i < 3; i++)
        (void)record_failed(r, mono_us, false);
    record_release(&book, r);
    r = record_hold(&book, "a", mono_us);
    assert_int_equal(breaker_state(&r->breaker, mono_us), BREAKER_OPEN);
    assert_true(record_failed_share(r, mono_us) > 0.2);
    record_release(&book, r);
}

static void two_connections_of_a_key_share_its_record(void **state)
{
    struct record *older = record_hold(&book, "a", mono_us), *newer;

    (void)state;
    newer = record_hold(&book, "a", mono_us);
    assert_ptr_equal(older, newer);
    record_release(&book, older);
    assert_ptr_equal(record_find(&book, "a"), newer);
    record_release(&book, newer);
}

static void a_key_of_which_nothing_is_known_is_not_kept(void **state)
{
    (void)state;
    record_release(&book, record_hold(&book, "a", mono_us));
    assert_null(record_find(&book, "a"));
}

static struct record *learn(int i, bool distrusted)
{
    char key[RECORD_KEY_BYTES];
    struct record *r;

    snprintf(key, sizeof key, "%d", i);
    r = record_hold(&book, key, mono_us);
    (void)record_served(r, mono_us, false);
    r->distrusted = distrusted;
    record_release(&book, r);
    return r;
}

static void of_those_who_left_the_longest_gone_are_forgotten_and_the_distrusted_last(void **state)
{
    struct record *held = record_hold(&book, "held", mono_us);

    (void)state;
    (void)learn(0, true);
    for (int i = 1; i <= BOOK_IDLE_MAX; i++)
        (void)learn(i, false);
    assert_non_null(record_find(&book, "0"));
    assert_null(record_find(&book, "1"));
    assert_non_null(record_find(&book, "2"));
    assert_ptr_equal(record_find(&book, "held"), held);
    assert_int_equal(book.n_idle, BOOK_IDLE_MAX);
    record_release(&book, held);
}

static void an_answer_long_ago_says_little_of_reputation(void **state)
{
    struct record r;

    (void)state;
    record_init(&r, mono_us);
    for (int i = 0; i < 100; i++)
        (void)record_failed(&r, mono_us, false);
    assert_true(record_failed_share(&r, mono_us) > 0.9);
    assert_true(record_failed_share(&r, mono_us + 10 * RECORD_HALF_LIFE_US) < 0.02);
    for (int i = 0; i < 1000; i++)
        (void)record_served(&r, mono_us, false);
    assert_true(record_failed_share(&r, mono_us) < 0.1);
}

static void rates_are_of_one_model_and_of_a_bounded_number_of_them(void **state)
{
    struct record r;
    char id[16];

    (void)state;
    record_init(&r, mono_us);
    assert_null(record_rates(&r, STR("m0")));
    for (int i = 0; i < RECORD_MODELS_MAX; i++) {
        snprintf(id, sizeof id, "m%d", i);
        assert_non_null(record_rates_make(&r, str_from(id)));
    }
    assert_null(record_rates_make(&r, STR("one more")));
    assert_ptr_equal(record_rates_make(&r, STR("m0")), record_rates(&r, STR("m0")));
    assert_ptr_not_equal(record_rates(&r, STR("m0")), record_rates(&r, STR("m1")));
    record_clear(&r);
}

/* --- saving --- */

static int n_dirtied;

static void count_dirtied(void *ud)
{
    (void)ud;
    n_dirtied++;
}

static void changes_wait_to_be_saved_once_each_in_their_order(void **state)
{
    struct record *a = record_hold(&book, "a", mono_us), *b = record_hold(&book, "b", mono_us);
    struct record own;

    (void)state;
    n_dirtied = 0;
    book.dirtied = count_dirtied;
    record_init(&own, mono_us);
    record_touch(&book, &own, true); /* of a connection: nothing to save */
    record_touch(&book, b, false);
    record_touch(&book, a, false);
    record_touch(&book, b, false);
    assert_int_equal(n_dirtied, 1);
    assert_ptr_equal(record_next_dirty(&book), b);
    assert_ptr_equal(record_next_dirty(&book), a);
    assert_null(record_next_dirty(&book));
    record_touch(&book, a, false);
    record_touch(&book, b, false);
    record_touch(&book, b, true); /* who is asked depends on it */
    record_touch(&book, b, false);
    assert_ptr_equal(record_next_dirty(&book), b);
    assert_ptr_equal(record_next_dirty(&book), a);
    record_release(&book, a);
    record_release(&book, b);
}

static struct proto_scratch scratch;

/* What a coordinator that starts `later_us` afterwards, with another clock, makes of it. */
static int restart(const struct record *r, int64_t later_us, struct record *ret_record)
{
    struct buf text;
    int rc;

    buf_init(&text, 1 << 16);
    assert_int_equal(record_write(r, &test_clock, &text), 0);
    wall_us += later_us;
    mono_us = 7;
    record_init(ret_record, mono_us);
    rc = record_read(ret_record, &test_clock, &scratch, buf_view(&text));
    buf_free(&text);
    return rc;
}

static void a_back_off_goes_on_after_a_restart(void **state)
{
    struct record r, again;

    (void)state;
    record_init(&r, mono_us);
    for (int i = 0; i < 3; i++)
        (void)record_failed(&r, mono_us, false);
    for (int i = 0; i < 3; i++) {
        pass(r.breaker.open_until_us - mono_us);
        (void)record_failed(&r, mono_us, breaker_started(&r.breaker, mono_us));
    }
    pass(2 * S);
    assert_int_equal(restart(&r, 10 * S, &again), 0);
    assert_int_equal(again.breaker.open_until_us - mono_us, 20 * S); /* of 32 s */
    assert_int_equal(again.breaker.level, r.breaker.level);
    assert_int_equal(breaker_state(&again.breaker, mono_us + 20 * S), BREAKER_HALF_OPEN);
    assert_int_equal(breaker_limit(&again.breaker, mono_us + 20 * S, 0), 1);
    record_clear(&again);
}

static void rates_and_reputation_go_on_after_a_restart(void **state)
{
    static const struct rates_sample answer = {.ttft_us = S,
                                               .prompt_tokens = 700,
                                               .completion_tokens = 101,
                                               .decode_us = 2 * S,
                                               .streams = 1};
    struct record r, again;
    struct rates *rates;

    (void)state;
    record_init(&r, mono_us);
    for (int i = 0; i < 50; i++) {
        (void)record_served(&r, mono_us, false);
        (void)rates_add(record_rates_make(&r, STR("m0")), &answer, mono_us);
    }
    assert_int_equal(restart(&r, 60 * S, &again), 0);
    assert_true(again.reputation.served > 49);
    rates = record_rates(&again, STR("m0"));
    assert_non_null(rates);
    assert_true(rates_decode_tps(rates, mono_us, 1) > 44);
    assert_true(rates_prefill_tps(rates, mono_us, 1) > 600);
    assert_int_equal(rates_stream_limit(rates, mono_us, 15), 3);
    record_clear(&r);
    record_clear(&again);
}

static void a_clock_that_was_set_back_does_not_lock_a_provider_out(void **state)
{
    struct record r, again;

    (void)state;
    record_init(&r, mono_us);
    for (int i = 0; i < 3; i++)
        (void)record_failed(&r, mono_us, false);
    assert_int_equal(restart(&r, -365 * 86400 * S, &again), 0);
    assert_int_equal(breaker_state(&again.breaker, mono_us + BREAKER_BACKOFF_MAX_US),
                     BREAKER_HALF_OPEN);
}

static void a_text_that_no_coordinator_writes_is_refused_or_bounded(void **state)
{
    static const char *const refused[] = {"", "{}", "[]", "{\"at_us\":\"x\"}",
                                          "{\"at_us\":1,\"models\":[{}]}"};
    static const struct str odd =
        STR("{\"at_us\":-9223372036854775808,\"open\":true,\"open_until_us\":9223372036854775807,"
            "\"level\":99999,\"window\":-3,\"failed_in_row\":-1,\"served_in_row\":4096,"
            "\"recent_served\":-1e308,\"recent_failed\":1e308,\"served\":1e308,\"failed\":-5,"
            "\"models\":[{\"id\":\"m0\",\"decode\":1e308,\"decode_weight\":1e308}]}");
    struct record r;

    (void)state;
    record_init(&r, mono_us);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (record_read(&r, &test_clock, &scratch, str_from(refused[i])) == 0)
            fail_msg("%s was taken", refused[i]);
        assert_false(r.distrusted);
    }
    assert_int_equal(record_read(&r, &test_clock, &scratch, odd), 0);
    assert_int_equal(breaker_state(&r.breaker, mono_us), BREAKER_OPEN);
    assert_int_equal(breaker_state(&r.breaker, mono_us + BREAKER_BACKOFF_MAX_US),
                     BREAKER_HALF_OPEN);
    assert_true(record_failed_share(&r, mono_us) >= 0);
    assert_true(rates_decode_tps(record_rates(&r, STR("m0")), mono_us, 20) <= 1e10);
    record_clear(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_learned_of_a_key_is_there_when_it_comes_back),
        TEST(two_connections_of_a_key_share_its_record),
        TEST(a_key_of_which_nothing_is_known_is_not_kept),
        TEST(of_those_who_left_the_longest_gone_are_forgotten_and_the_distrusted_last),
        TEST(an_answer_long_ago_says_little_of_reputation),
        TEST(rates_are_of_one_model_and_of_a_bounded_number_of_them),
        TEST(changes_wait_to_be_saved_once_each_in_their_order),
        TEST(a_back_off_goes_on_after_a_restart),
        TEST(rates_and_reputation_go_on_after_a_restart),
        TEST(a_clock_that_was_set_back_does_not_lock_a_provider_out),
        TEST(a_text_that_no_coordinator_writes_is_refused_or_bounded),
    };
    int rc;

    if (proto_scratch_init(&scratch, 1 << 20) < 0)
        return 1;
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    proto_scratch_free(&scratch);
    return rc;
}
