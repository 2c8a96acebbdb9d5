/* SPDX-License-Identifier: Apache-2.0 */
/* The growable buffer: its maximum, growth, consuming from the front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"

static void the_maximum_is_respected_to_the_byte_by_every_way_of_writing(void **state)
{
    static const size_t maxima[] = {0, 1, 255, 256, 257, 1000, 4096};

    (void)state;
    for (size_t i = 0; i < sizeof maxima / sizeof maxima[0]; i++) {
        struct buf b;

        buf_init(&b, maxima[i]);
        for (size_t n = 0; n < maxima[i]; n++)
            assert_int_equal(buf_append(&b, "x", 1), 0);
        assert_int_equal(b.len, maxima[i]);
        assert_int_equal(buf_append(&b, "x", 1), ERR_LIMIT);
        assert_int_equal(buf_printf(&b, "%d", 1), ERR_LIMIT);
        assert_null(buf_reserve(&b, 1));
        assert_int_equal(buf_append(&b, "", 0), 0);
        assert_int_equal(b.len, maxima[i]);
        buf_free(&b);
    }
}

static void printing_up_to_the_maximum_fits(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 300);
    assert_int_equal(buf_printf(&b, "%0300d", 7), 0);
    assert_int_equal(b.len, 300);
    assert_int_equal(buf_view(&b).p[299], '7');
    buf_clear(&b);
    assert_int_equal(buf_printf(&b, "%0301d", 7), ERR_LIMIT);
    assert_int_equal(b.len, 0);
    buf_free(&b);
}

static void a_refused_append_changes_nothing(void **state)
{
    volatile size_t huge = SIZE_MAX; /* or gcc warns of the copy that is refused */
    struct buf b;

    (void)state;
    buf_init(&b, 8);
    assert_int_equal(buf_append_str(&b, STR("12345")), 0);
    assert_int_equal(buf_append_str(&b, STR("6789")), ERR_LIMIT);
    assert_true(str_is(buf_view(&b), "12345"));
    assert_int_equal(buf_append(&b, "x", huge), ERR_LIMIT);
    assert_null(buf_reserve(&b, huge));
    assert_true(str_is(buf_view(&b), "12345"));
    buf_free(&b);
}

static void
a_maximum_lowered_below_the_contents_refuses_everything_until_enough_is_consumed(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_printf(&b, "%0900d", 1), 0);
    b.max_bytes = 100;
    assert_int_equal(buf_append(&b, "x", 1), ERR_LIMIT);
    assert_null(buf_reserve(&b, 500));
    assert_int_equal(buf_printf(&b, "%0500d", 1), ERR_LIMIT);
    buf_consume(&b, 801);
    assert_int_equal(buf_append(&b, "x", 1), 0);
    assert_int_equal(buf_append(&b, "x", 1), ERR_LIMIT);
    buf_free(&b);
}

/* A queue of numbered bytes in which reads and writes of many sizes alternate. */
static void bytes_come_out_in_the_order_in_which_they_went_in(void **state)
{
    enum { MAX_BYTES = 700 };
    struct buf b;
    unsigned char in = 0, out = 0;

    (void)state;
    buf_init(&b, MAX_BYTES);
    for (size_t round = 0; round < 3000; round++) {
        size_t put = round * 37 % 211, take = round * 53 % 223;
        char *at = buf_reserve(&b, put);

        if (at) {
            for (size_t i = 0; i < put; i++)
                at[i] = (char)in++;
            buf_commit(&b, put);
        } else {
            assert_true(b.len + put > MAX_BYTES);
        }
        take = take < b.len ? take : b.len;
        for (size_t i = 0; i < take; i++)
            assert_int_equal((unsigned char)buf_view(&b).p[i], out++);
        buf_consume(&b, take);
        assert_true(b.cap <= MAX_BYTES + 1);
    }
    assert_true(out != in || b.len == 0);
    buf_free(&b);
}

static void consuming_more_than_there_is_empties_it(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_int_equal(buf_append_str(&b, STR("abc")), 0);
    buf_consume(&b, 2);
    assert_true(str_is(buf_view(&b), "c"));
    buf_consume(&b, 1000);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_append_str(&b, STR("def")), 0);
    assert_true(str_is(buf_view(&b), "def"));
    buf_free(&b);
}

static void wiping_leaves_no_byte_behind(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_append_str(&b, STR("a secret prompt")), 0);
    buf_consume(&b, 5); /* also what was consumed already */
    buf_wipe(&b);
    assert_int_equal(b.len, 0);
    for (size_t i = 0; i < b.cap; i++)
        assert_int_equal(b.mem[i], 0);
    buf_free(&b);
}

static void a_zeroed_or_freed_buffer_may_be_viewed_and_freed(void **state)
{
    struct buf zero = {0}, b;

    (void)state;
    assert_non_null(buf_view(&zero).p);
    assert_int_equal(buf_view(&zero).n, 0);
    buf_clear(&zero);
    buf_consume(&zero, 1);
    buf_free(&zero);
    buf_init(&b, 10);
    assert_int_equal(buf_append_str(&b, STR("0123456789")), 0);
    buf_free(&b);
    assert_int_equal(buf_append_str(&b, STR("0123456789")), 0);
    assert_int_equal(buf_append(&b, "x", 1), ERR_LIMIT); /* the same maximum */
    buf_free(&b);
}

/* --- budgets (issue 7, findings L1, L4) --- */

static void what_is_allocated_is_charged_and_given_back_when_it_is_freed(void **state)
{
    struct budget budget;
    struct buf b;

    (void)state;
    budget_init(&budget, "the test", 100000, NULL);
    buf_init(&b, 50000);
    assert_int_equal(buf_set_budget(&b, &budget), 0);
    assert_int_equal(budget_used(&budget), 0);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(buf_append_str(&b, STR("0123456789")), 0);
        assert_int_equal(budget_used(&budget), b.cap);
    }
    assert_int_equal(buf_printf(&b, "%05000d", 1), 0);
    assert_non_null(buf_reserve(&b, 10000));
    assert_int_equal(budget_used(&budget), b.cap);
    buf_wipe(&b); /* keeps the memory */
    assert_int_equal(budget_used(&budget), b.cap);
    buf_free(&b);
    assert_int_equal(budget_used(&budget), 0);
    assert_int_equal(buf_append_str(&b, STR("again")), 0); /* the budget stays */
    assert_int_equal(budget_used(&budget), b.cap);
    buf_free(&b);
    assert_int_equal(budget_used(&budget), 0);
}

/* Growing doubles; where that is too much for the budget, just enough is taken. */
static void a_budget_is_filled_to_the_byte_and_a_refusal_changes_nothing(void **state)
{
    struct budget budget;
    struct buf b;
    size_t n;

    (void)state;
    budget_init(&budget, "the test", 3000, NULL);
    buf_init(&b, 1 << 20);
    assert_int_equal(buf_set_budget(&b, &budget), 0);
    for (n = 0; buf_append(&b, "x", 1) == 0; n++)
        assert_true(budget_used(&budget) <= 3000);
    assert_in_range(n, 2999, 3000); /* a byte may be kept for vsnprintf's NUL */
    assert_int_equal(b.len, n);
    assert_null(buf_reserve(&b, 2));
    assert_int_equal(buf_printf(&b, "%d", 12), ERR_LIMIT);
    assert_int_equal(b.len, n);
    assert_true(budget.refusals > 0);
    buf_consume(&b, 1000);
    assert_int_equal(buf_printf(&b, "%0999d", 12), 0); /* what was consumed is room again */
    buf_free(&b);
    assert_int_equal(budget_used(&budget), 0);
}

static void memory_that_is_there_moves_from_budget_to_budget(void **state)
{
    struct budget one, two, narrow;
    struct buf b;

    (void)state;
    budget_init(&one, "one", 10000, NULL);
    budget_init(&two, "two", 10000, NULL);
    budget_init(&narrow, "narrow", 10, NULL);
    buf_init(&b, 5000);
    assert_int_equal(buf_printf(&b, "%01000d", 1), 0);
    assert_int_equal(buf_set_budget(&b, &one), 0);
    assert_int_equal(budget_used(&one), b.cap);
    assert_int_equal(buf_set_budget(&b, &one), 0);
    assert_int_equal(budget_used(&one), b.cap);
    assert_int_equal(buf_set_budget(&b, &two), 0);
    assert_int_equal(budget_used(&one), 0);
    assert_int_equal(budget_used(&two), b.cap);
    assert_int_equal(buf_set_budget(&b, &narrow), ERR_LIMIT);
    assert_int_equal(budget_used(&narrow), 0);
    assert_ptr_equal(b.budget, &two);
    assert_int_equal(buf_set_budget(&b, NULL), 0);
    assert_int_equal(budget_used(&two), 0);
    buf_free(&b);
}

static void a_buffers_memory_may_be_taken_over_without_a_copy(void **state)
{
    struct budget one, two;
    struct buf from, to;
    const char *mem;

    (void)state;
    budget_init(&one, "one", 10000, NULL);
    budget_init(&two, "two", 2000, NULL);
    buf_init(&from, 5000);
    buf_init(&to, 1500);
    assert_int_equal(buf_set_budget(&from, &one), 0);
    assert_int_equal(buf_set_budget(&to, &two), 0);
    assert_int_equal(buf_append_str(&to, STR("what was there before")), 0);
    assert_int_equal(buf_printf(&from, "%01600d", 1), 0);
    assert_int_equal(buf_move(&to, &from), ERR_LIMIT); /* more than its maximum */
    to.max_bytes = 3000;
    assert_int_equal(buf_move(&to, &from), ERR_LIMIT); /* 2048 and 256 of 2000 */
    assert_true(str_is(buf_view(&to), "what was there before"));
    two.max_bytes = 4000;
    mem = from.mem;
    buf_consume(&from, 600);
    assert_int_equal(buf_move(&to, &from), 0);
    assert_ptr_equal(to.mem, mem);
    assert_int_equal(to.len, 1000);
    assert_null(from.mem);
    assert_int_equal(budget_used(&one), 0);
    assert_int_equal(budget_used(&two), to.cap);
    assert_int_equal(buf_append_str(&from, STR("usable")), 0);
    buf_free(&from);
    buf_free(&to);
    assert_int_equal(budget_used(&one) + budget_used(&two), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_maximum_is_respected_to_the_byte_by_every_way_of_writing),
        cmocka_unit_test(printing_up_to_the_maximum_fits),
        cmocka_unit_test(a_refused_append_changes_nothing),
        cmocka_unit_test(
            a_maximum_lowered_below_the_contents_refuses_everything_until_enough_is_consumed),
        cmocka_unit_test(bytes_come_out_in_the_order_in_which_they_went_in),
        cmocka_unit_test(consuming_more_than_there_is_empties_it),
        cmocka_unit_test(wiping_leaves_no_byte_behind),
        cmocka_unit_test(a_zeroed_or_freed_buffer_may_be_viewed_and_freed),
        cmocka_unit_test(what_is_allocated_is_charged_and_given_back_when_it_is_freed),
        cmocka_unit_test(a_budget_is_filled_to_the_byte_and_a_refusal_changes_nothing),
        cmocka_unit_test(memory_that_is_there_moves_from_budget_to_budget),
        cmocka_unit_test(a_buffers_memory_may_be_taken_over_without_a_copy),
    };

    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
