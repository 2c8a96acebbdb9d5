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
    struct buf b;

    (void)state;
    buf_init(&b, 8);
    assert_int_equal(buf_append_str(&b, STR("12345")), 0);
    assert_int_equal(buf_append_str(&b, STR("6789")), ERR_LIMIT);
    assert_true(str_is(buf_view(&b), "12345"));
    assert_int_equal(buf_append(&b, "x", SIZE_MAX), ERR_LIMIT);
    assert_null(buf_reserve(&b, SIZE_MAX));
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
    };

    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
