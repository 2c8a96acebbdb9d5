/* SPDX-License-Identifier: Apache-2.0 */
/* From tokens' bytes to text that may leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "provider/engine/text_out.h"

static void expect_ready(struct text_out *t, bool all, const char *text)
{
    struct str ready = text_out_ready(t, all);

    assert_int_equal(ready.n, strlen(text));
    assert_memory_equal(ready.p ? ready.p : "", text, ready.n);
}

static void add(struct text_out *t, const char *bytes)
{
    assert_int_equal(text_out_add(t, str_from(bytes)), 0);
}

/* Findings §4, text_out.c:24: the earliest stop wins, whatever its place in the list. */
static void the_earliest_of_several_stops_cuts_whatever_their_order(void **state)
{
    static const struct str orders[][3] = {{STR("BB"), STR("CCC"), STR("A")},
                                           {STR("A"), STR("BB"), STR("CCC")},
                                           {STR("CCC"), STR("A"), STR("BB")}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct text_out t;

        text_out_init(&t, orders[i], 3);
        add(&t, "one A two BB three CCC");
        assert_true(t.stopped);
        expect_ready(&t, false, "one ");
        text_out_free(&t);
    }
}

static void a_stop_at_the_very_beginning_or_end_leaves_nothing_of_itself(void **state)
{
    static const struct str stop = STR("END");
    struct text_out t;

    (void)state;
    text_out_init(&t, &stop, 1);
    add(&t, "END and more");
    assert_true(t.stopped);
    expect_ready(&t, true, "");
    text_out_free(&t);
    text_out_init(&t, &stop, 1);
    add(&t, "last END");
    assert_true(t.stopped);
    expect_ready(&t, true, "last ");
    text_out_free(&t);
}

/* What could become a stop is held back, the longest such end of several, and nothing more. */
static void the_longest_beginning_of_a_stop_is_held_back(void **state)
{
    static const struct str stops[] = {STR("abcX"), STR("cabcdY"), STR("Z")};
    struct text_out t;

    (void)state;
    text_out_init(&t, stops, 3);
    add(&t, "0cabc");
    assert_false(t.stopped);
    expect_ready(&t, false, "0"); /* "cabc" may become cabcdY, "abc" abcX */
    assert_int_equal(text_out_taken(&t, 1), 1);
    add(&t, "-");
    expect_ready(&t, false, "cabc-");
    expect_ready(&t, true, "cabc-");
    text_out_free(&t);
}

static void what_is_held_back_leaves_at_the_end(void **state)
{
    static const struct str stop = STR("STOP");
    struct text_out t;

    (void)state;
    text_out_init(&t, &stop, 1);
    add(&t, "say STO");
    expect_ready(&t, false, "say ");
    expect_ready(&t, true, "say STO");
    text_out_free(&t);
}

static void a_character_waits_for_its_last_byte(void **state)
{
    /* 2, 3 and 4 bytes: every proper beginning is held, the whole leaves */
    static const char *const characters[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct text_out t;
        size_t n = strlen(characters[i]);

        text_out_init(&t, NULL, 0);
        add(&t, "x");
        for (size_t k = 0; k < n; k++) {
            expect_ready(&t, false, "x");
            assert_int_equal(text_out_add(&t, (struct str){characters[i] + k, 1}), 0);
        }
        assert_int_equal(text_out_ready(&t, false).n, 1 + n);
        text_out_free(&t);
    }
}

static void bytes_that_are_no_utf8_are_replaced_one_by_one(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"a\xFFz", "a\xEF\xBF\xBDz"},
        {"a\x80z", "a\xEF\xBF\xBDz"},
        {"a\xC3z", "a\xEF\xBF\xBDz"},
        {"a\xE2\x82z", "a\xEF\xBF\xBD\xEF\xBF\xBDz"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"}, /* an overlong slash */
        {"\x80\x80\x80\x80z", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz"},
        {"\xC3\xA9\xFF", "\xC3\xA9\xEF\xBF\xBD"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_out t;

        text_out_init(&t, NULL, 0);
        add(&t, cases[i].bytes);
        expect_ready(&t, true, cases[i].text);
        text_out_free(&t);
    }
}

static void tokens_count_with_the_text_that_leaves_next(void **state)
{
    struct text_out t;

    (void)state;
    text_out_init(&t, NULL, 0);
    add(&t, "\xE2");
    add(&t, "\x82");
    assert_int_equal(text_out_taken(&t, 0), 0);
    add(&t, "\xAC");
    expect_ready(&t, false, "\xE2\x82\xAC");
    assert_int_equal(text_out_taken(&t, 3), 3);
    assert_int_equal(text_out_taken(&t, 0), 0);
    add(&t, "ab");
    assert_int_equal(text_out_taken(&t, 1), 1);
    expect_ready(&t, false, "b");
    assert_int_equal(text_out_taken(&t, 1), 0); /* counted already */
    text_out_free(&t);
}

static void what_is_held_is_bounded(void **state)
{
    char *big = calloc(1, TEXT_OUT_MAX_BYTES + 1);
    struct text_out t;

    (void)state;
    assert_non_null(big);
    memset(big, 'x', TEXT_OUT_MAX_BYTES + 1);
    text_out_init(&t, NULL, 0);
    assert_int_equal(text_out_add(&t, (struct str){big, TEXT_OUT_MAX_BYTES}), 0);
    assert_int_equal(text_out_add(&t, STR("x")), ERR_LIMIT);
    assert_int_equal(text_out_ready(&t, false).n, TEXT_OUT_MAX_BYTES);
    text_out_free(&t);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_earliest_of_several_stops_cuts_whatever_their_order),
        cmocka_unit_test(a_stop_at_the_very_beginning_or_end_leaves_nothing_of_itself),
        cmocka_unit_test(the_longest_beginning_of_a_stop_is_held_back),
        cmocka_unit_test(what_is_held_back_leaves_at_the_end),
        cmocka_unit_test(a_character_waits_for_its_last_byte),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced_one_by_one),
        cmocka_unit_test(tokens_count_with_the_text_that_leaves_next),
        cmocka_unit_test(what_is_held_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
