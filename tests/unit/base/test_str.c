/* SPDX-License-Identifier: Apache-2.0 */
/* Strings by value: comparing, trimming, numbers, and which bytes are UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/str.h"

static void an_empty_string_equals_an_empty_string_whatever_it_points_at(void **state)
{
    (void)state;
    assert_true(str_eq((struct str){NULL, 0}, STR("")));
    assert_true(str_ieq((struct str){NULL, 0}, STR("")));
    assert_true(str_starts((struct str){NULL, 0}, STR("")));
    assert_false(str_starts((struct str){NULL, 0}, STR("a")));
    assert_int_equal(str_from(NULL).n, 0);
}

static void equality_looks_at_every_byte_and_the_length(void **state)
{
    (void)state;
    assert_true(str_eq((struct str){"a\0b", 3}, (struct str){"a\0b", 3}));
    assert_false(str_eq((struct str){"a\0b", 3}, (struct str){"a\0c", 3}));
    assert_false(str_eq(STR("abc"), STR("abcd")));
    assert_false(str_eq(STR("abc"), STR("abC")));
    assert_true(str_is(STR("abc"), "abc"));
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_false(str_starts(STR("ab"), STR("abc")));
}

static void case_is_ignored_for_ascii_letters_only(void **state)
{
    (void)state;
    assert_true(str_ieq(STR("Content-Length"), STR("cONTENT-lENGTH")));
    assert_false(str_ieq(STR("[abc"), STR("{abc"))); /* differ in the same bit as a and A */
    assert_false(str_ieq(STR("@"), STR("`")));
    assert_false(str_ieq(STR("\xc3\xa4"), STR("\xc3\x84")));
    assert_false(str_ieq(STR("ab"), STR("abc")));
}

static void trimming_drops_spaces_and_tabs_at_both_ends(void **state)
{
    static const struct {
        const char *from, *to;
    } cases[] = {{" \t a b\t ", "a b"}, {"ab", "ab"}, {" \t", ""}, {"", ""}, {"\na\r", "\na\r"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(str_is(str_trim(str_from(cases[i].from)), cases[i].to));
}

static const struct {
    const char *what;
    struct str bytes;
    bool valid;
} utf8_table[] = {
    {"nothing", {"", 0}, true},
    {"ASCII with NUL", {"a\0\x7f", 3}, true},
    {"the first of two bytes, U+0080", STR("\xc2\x80"), true},
    {"the last of two bytes, U+07FF", STR("\xdf\xbf"), true},
    {"the first of three bytes, U+0800", STR("\xe0\xa0\x80"), true},
    {"the last before the surrogates, U+D7FF", STR("\xed\x9f\xbf"), true},
    {"the first after the surrogates, U+E000", STR("\xee\x80\x80"), true},
    {"the last of three bytes, U+FFFF", STR("\xef\xbf\xbf"), true},
    {"the first of four bytes, U+10000", STR("\xf0\x90\x80\x80"), true},
    {"the last there is, U+10FFFF", STR("\xf4\x8f\xbf\xbf"), true},
    {"overlong two bytes, NUL", STR("\xc0\x80"), false},
    {"overlong two bytes, U+007F", STR("\xc1\xbf"), false},
    {"overlong three bytes, U+07FF", STR("\xe0\x9f\xbf"), false},
    {"overlong four bytes, U+FFFF", STR("\xf0\x8f\xbf\xbf"), false},
    {"the first surrogate, U+D800", STR("\xed\xa0\x80"), false},
    {"the last surrogate, U+DFFF", STR("\xed\xbf\xbf"), false},
    {"beyond the last, U+110000", STR("\xf4\x90\x80\x80"), false},
    {"a lead byte of five", STR("\xf8\x88\x80\x80\x80"), false},
    {"F5", STR("\xf5\x80\x80\x80"), false},
    {"FF", STR("\xff"), false},
    {"a continuation alone", STR("\x80"), false},
    {"one continuation too many", STR("\xc3\xa4\xa4"), false},
    {"two bytes, cut", STR("\xc3"), false},
    {"three bytes, cut after one", STR("\xe2"), false},
    {"three bytes, cut after two", STR("\xe2\x82"), false},
    {"four bytes, cut after three", STR("\xf0\x9f\x98"), false},
    {"three bytes, ended by a letter", STR("\xe2\x82z"), false},
    {"four bytes, the third not a continuation", STR("\xf0\x9f\x28\x80"), false},
    {"two bytes, followed by a lead byte", STR("\xc3\xc3"), false},
};

/* At every distance from the start, so that the eight bytes at a time are crossed everywhere. */
static void utf8_is_told_from_other_bytes_wherever_it_stands(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof utf8_table / sizeof utf8_table[0]; i++) {
        struct str s = utf8_table[i].bytes;

        for (size_t before = 0; before < 18; before++) {
            for (size_t after = 0; after < 10; after++) {
                char text[64];

                memset(text, 'a', sizeof text);
                memcpy(text + before, s.p, s.n);
                if (str_is_utf8((struct str){text, before + s.n + after}) != utf8_table[i].valid)
                    fail_msg("%s, %zu bytes in, %zu after", utf8_table[i].what, before, after);
            }
        }
    }
}

/* All two-byte beginnings against the definition: RFC 3629 section 4. */
static void no_pair_of_bytes_is_judged_wrongly(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            const char pair[2] = {(char)a, (char)b};
            bool ascii = a < 0x80 && b < 0x80;
            bool two = a >= 0xC2 && a <= 0xDF && b >= 0x80 && b <= 0xBF;

            assert_int_equal(str_is_utf8((struct str){pair, 2}), ascii || two);
        }
    }
}

static void numbers_are_read_whole_or_not_at_all(void **state)
{
    static const struct {
        const char *text;
        int rc;
        int64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"007", 0, 7},
        {"-42", 0, -42},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", ERR_PARSE, 0},
        {"-9223372036854775809", ERR_PARSE, 0},
        {"99999999999999999999", ERR_PARSE, 0},
        {"", ERR_PARSE, 0},
        {"-", ERR_PARSE, 0},
        {"--1", ERR_PARSE, 0},
        {"+1", ERR_PARSE, 0},
        {" 1", ERR_PARSE, 0},
        {"1 ", ERR_PARSE, 0},
        {"1.0", ERR_PARSE, 0},
        {"0x10", ERR_PARSE, 0},
        {"1e3", ERR_PARSE, 0},
        {"\xd9\xa1", ERR_PARSE, 0}, /* an Arabic digit */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 12345;

        assert_int_equal(str_to_i64(str_from(cases[i].text), &value), cases[i].rc);
        assert_true(value == (cases[i].rc == 0 ? cases[i].value : 12345));
    }
}

static void the_distance_of_two_names_is_the_edits_between_them(void **state)
{
    static const struct {
        const char *a, *b;
        size_t edits;
    } cases[] = {{"", "", 0},          {"port", "port", 0},       {"", "abc", 3},
                 {"abc", "", 3},       {"port", "prot", 2},       {"port", "pots", 2},
                 {"port", "ports", 1}, {"port", "ort", 1},        {"kitten", "sitting", 3},
                 {"abc", "xyz", 3},    {"sunday", "saturday", 3}, {"a", "A", 1}};
    char long_name[66];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str a = str_from(cases[i].a), b = str_from(cases[i].b);

        assert_int_equal(str_distance(a, b), cases[i].edits);
        assert_int_equal(str_distance(b, a), cases[i].edits);
    }
    memset(long_name, 'n', sizeof long_name);
    assert_int_equal(str_distance((struct str){long_name, 64}, STR("n")), 63);
    assert_true(str_distance((struct str){long_name, 65}, STR("n")) == SIZE_MAX);
    assert_true(str_distance(STR("n"), (struct str){long_name, 65}) == SIZE_MAX);
}

static void a_cut_is_made_before_a_character(void **state)
{
    static const struct {
        const char *from;
        size_t max_bytes, n;
    } cases[] = {
        {"", 0, 0},
        {"abc", 3, 3},
        {"abc", 2, 2},
        {"abc", 0, 0},
        {"a\xC3\xA9", 2, 1},
        {"a\xC3\xA9", 3, 3},
        {"a\xC3\xA9"
         "b",
         3, 3},
        {"\xF0\x9F\x98\x80", 3, 0},
        {"a\xF0\x9F\x98\x80", 4, 1},
        {"\x80\x80", 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(str_cut(str_from(cases[i].from), cases[i].max_bytes).n, cases[i].n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_string_equals_an_empty_string_whatever_it_points_at),
        cmocka_unit_test(equality_looks_at_every_byte_and_the_length),
        cmocka_unit_test(case_is_ignored_for_ascii_letters_only),
        cmocka_unit_test(a_cut_is_made_before_a_character),
        cmocka_unit_test(trimming_drops_spaces_and_tabs_at_both_ends),
        cmocka_unit_test(utf8_is_told_from_other_bytes_wherever_it_stands),
        cmocka_unit_test(no_pair_of_bytes_is_judged_wrongly),
        cmocka_unit_test(the_distance_of_two_names_is_the_edits_between_them),
        cmocka_unit_test(numbers_are_read_whole_or_not_at_all),
    };

    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
