/* SPDX-License-Identifier: Apache-2.0 */
/* Texts in a straight line: the first failure sticks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/writer.h"

static void assert_text(const struct buf *b, const char *expected)
{
    struct str s = buf_view(b);

    if (!str_is(s, expected))
        fail_msg("wrote `%.*s`, expected `%s`", STR_ARG(s), expected);
}

static void pieces_stand_one_behind_the_other(void **state)
{
    struct buf b;
    struct writer w = {.out = &b};

    (void)state;
    buf_init(&b, 1000);
    writer_lit(&w, "a");
    writer_char(&w, ' ');
    writer_str(&w, STR("bc"));
    writer_i64(&w, INT64_MIN);
    writer_printf(&w, " %d/%s", 7, "x");
    assert_int_equal(w.rc, 0);
    assert_text(&b, "a bc-9223372036854775808 7/x");
    buf_free(&b);
}

static void decimals_are_exact_and_without_trailing_zeros(void **state)
{
    static const struct {
        int64_t v;
        int decimals;
        const char *text;
    } cases[] = {{0, 0, "0"},
                 {0, 6, "0"},
                 {1500, 3, "1.5"},
                 {-1500, 3, "-1.5"},
                 {5000, 6, "0.005"},
                 {1, 6, "0.000001"},
                 {-1, 6, "-0.000001"},
                 {60000000, 6, "60"},
                 {123456789, 6, "123.456789"},
                 {INT64_MAX, 18, "9.223372036854775807"},
                 {INT64_MIN, 0, "-9223372036854775808"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b;
        struct writer w = {.out = &b};

        buf_init(&b, 100);
        writer_decimal(&w, cases[i].v, cases[i].decimals);
        assert_text(&b, cases[i].text);
        buf_free(&b);
    }
}

static void nothing_is_written_after_the_first_failure(void **state)
{
    struct buf b;
    struct writer w = {.out = &b};

    (void)state;
    buf_init(&b, 4);
    writer_lit(&w, "abc");
    writer_lit(&w, "defg"); /* does not fit */
    writer_lit(&w, "h");    /* would */
    assert_int_equal(w.rc, ERR_LIMIT);
    writer_keep(&w, ERR_NOMEM);
    assert_int_equal(w.rc, ERR_LIMIT); /* the first is kept */
    assert_text(&b, "abc");
    buf_free(&b);
}

static void a_callers_failure_sticks_too(void **state)
{
    struct buf b;
    struct writer w = {.out = &b};

    (void)state;
    buf_init(&b, 100);
    writer_keep(&w, 0);
    writer_lit(&w, "a");
    writer_keep(&w, ERR_RANGE);
    writer_printf(&w, "%d", 1);
    assert_int_equal(w.rc, ERR_RANGE);
    assert_text(&b, "a");
    buf_free(&b);
}

static void a_formatted_piece_has_a_limit(void **state)
{
    static char text[2000];
    struct buf b;
    struct writer w = {.out = &b};

    (void)state;
    memset(text, 'x', sizeof text - 1);
    buf_init(&b, 5000);
    writer_printf(&w, "%s", text);
    assert_int_equal(w.rc, ERR_LIMIT);
    assert_int_equal(b.len, 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_stand_one_behind_the_other),
        cmocka_unit_test(decimals_are_exact_and_without_trailing_zeros),
        cmocka_unit_test(nothing_is_written_after_the_first_failure),
        cmocka_unit_test(a_callers_failure_sticks_too),
        cmocka_unit_test(a_formatted_piece_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
