/* SPDX-License-Identifier: Apache-2.0 */
/* Which runs of characters a tokenizer is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "provider/engine/text_runs.h"

enum { MOST = TEXT_RUN_MAX_CHARS, TEXT_BYTES = 16 << 20 };

struct part {
    const char *unit;
    size_t times;
};

static int check(const char *pre, const struct part *parts)
{
    const struct text_runs rule = text_runs_of(str_from(pre));
    struct buf b;
    int rc;

    buf_init(&b, TEXT_BYTES);
    for (; parts->unit; parts++) {
        for (size_t i = 0; i < parts->times; i++)
            assert_int_equal(buf_append_str(&b, str_from(parts->unit)), 0);
    }
    rc = text_runs_check(&rule, buf_view(&b));
    buf_free(&b);
    return rc;
}

#define CHECK_RUNS(pre, ...) check(pre, (const struct part[]){__VA_ARGS__, {NULL, 0}})

static void a_run_is_taken_up_to_the_bound(void **state)
{
    (void)state;
    assert_int_equal(CHECK_RUNS("gpt-4o", {"a", MOST}), 0);
    assert_int_equal(CHECK_RUNS("gpt-4o", {"a", MOST + 1}), ERR_RANGE);
    assert_int_equal(CHECK_RUNS("gpt-4o", {"a", MOST + 1}, {" b", 1}), ERR_RANGE);
    assert_int_equal(CHECK_RUNS("gpt-4o", {" ", MOST}), 0);
    assert_int_equal(CHECK_RUNS("gpt-4o", {" ", MOST + 1}), ERR_RANGE);
    assert_int_equal(CHECK_RUNS("", {"a", MOST + 1}), ERR_RANGE);
    assert_int_equal(CHECK_RUNS("of a later library", {"a", MOST + 1}), ERR_RANGE);
}

static void characters_are_counted_and_not_bytes(void **state)
{
    (void)state;
    assert_int_equal(CHECK_RUNS("gpt-4o", {"\346\274\242", MOST}), 0);
    assert_int_equal(CHECK_RUNS("gpt-4o", {"\346\274\242", MOST + 1}), ERR_RANGE);
    assert_int_equal(CHECK_RUNS("gpt-4o", {"\360\237\230\200", MOST}), 0);
    assert_int_equal(CHECK_RUNS("gpt-4o", {"\377", MOST + 1}), ERR_RANGE); /* no character */
    assert_int_equal(CHECK_RUNS("gpt-4o", {"a", MOST - 1}, {"\346\274", 1}), ERR_RANGE);
}

static void white_space_of_any_kind_ends_a_run(void **state)
{
    static const char *const spaces[] = {" ",
                                         "\t",
                                         "\n",
                                         "\v",
                                         "\r",
                                         "\302\205",
                                         "\302\240",
                                         "\341\232\200",
                                         "\342\200\200",
                                         "\342\200\212",
                                         "\342\200\250",
                                         "\342\200\251",
                                         "\342\200\257",
                                         "\342\201\237",
                                         "\343\200\200"};

    (void)state;
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
        assert_int_equal(CHECK_RUNS("gpt-4o", {"a", MOST}, {spaces[i], 1}, {"a", MOST}), 0);
    assert_int_equal(CHECK_RUNS("gpt-4o", {"a", MOST}, {"\342\200\213", 1}), ERR_RANGE);
}

static void where_words_join_only_other_white_space_ends_a_run(void **state)
{
    (void)state;
    assert_int_equal(CHECK_RUNS("exaone-moe", {"a ", MOST / 2}), 0);
    assert_int_equal(CHECK_RUNS("exaone-moe", {"a ", MOST / 2 + 1}), ERR_RANGE);
    assert_int_equal(CHECK_RUNS("exaone-moe", {"a ", MOST / 2}, {"\n", 1}, {"a ", MOST / 2}), 0);
}

static void what_needs_no_stack_has_no_bound(void **state)
{
    (void)state;
    assert_int_equal(CHECK_RUNS("llama-bpe", {"a", 4 * MOST}), 0);
    assert_int_equal(CHECK_RUNS("qwen2", {" ", 4 * MOST}), 0);
}

static void runs_that_cost_their_square_share_a_bound(void **state)
{
    (void)state;
    assert_int_equal(CHECK_RUNS("deepseek-llm", {" ", 2000}, {"1", 1}), 0);
    assert_int_equal(CHECK_RUNS("deepseek-llm", {" ", 2100}, {"1", 1}), ERR_RANGE);
    assert_int_equal(CHECK_RUNS("deepseek-llm", {"1", 30000}), 0);
    assert_int_equal(CHECK_RUNS("superbpe", {"1", 2000}, {" ", 30000}), 0);
    assert_int_equal(CHECK_RUNS("superbpe", {"1", 2100}), ERR_RANGE);
    /* 4,000 gaps of 80 columns cost more together than one run of 2,000; indented lines do not */
    assert_int_equal(CHECK_RUNS("deepseek-llm", {"x                                        "
                                                 "                                        ",
                                                 4000}),
                     ERR_RANGE);
    assert_int_equal(CHECK_RUNS("deepseek-llm", {"x\n                if (a)", 4000}), 0);
}

static void a_text_of_nothing_is_taken(void **state)
{
    (void)state;
    assert_int_equal(CHECK_RUNS("gpt-4o", {"", 1}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_taken_up_to_the_bound),
        cmocka_unit_test(characters_are_counted_and_not_bytes),
        cmocka_unit_test(white_space_of_any_kind_ends_a_run),
        cmocka_unit_test(where_words_join_only_other_white_space_ends_a_run),
        cmocka_unit_test(what_needs_no_stack_has_no_bound),
        cmocka_unit_test(runs_that_cost_their_square_share_a_bound),
        cmocka_unit_test(a_text_of_nothing_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
