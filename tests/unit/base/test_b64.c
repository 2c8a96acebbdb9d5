/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 and hexadecimal: vectors of RFC 4648, and everything that is not strict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/b64.h"
#include "base/err.h"

static void the_vectors_of_rfc_4648_encode_and_decode(void **state)
{
    static const struct {
        const char *plain, *text;
    } cases[] = {{"", ""},
                 {"f", "Zg=="},
                 {"fo", "Zm8="},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg=="},
                 {"fooba", "Zm9vYmE="},
                 {"foobar", "Zm9vYmFy"},
                 {"\xfb\xff\xbf", "+/+/"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = strlen(cases[i].plain), got = 99;
        char text[16];
        unsigned char plain[16];

        assert_int_equal(b64_encode(cases[i].plain, n, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
        assert_int_equal(b64_decode(str_from(cases[i].text), plain, sizeof plain, &got), 0);
        assert_int_equal(got, n);
        assert_memory_equal(plain, cases[i].plain, n);
    }
}

static void every_byte_value_and_every_length_round_trips(void **state)
{
    unsigned char bytes[256 + 3], back[sizeof bytes];
    char text[B64_LEN(sizeof bytes) + 1];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(255 - i);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        size_t len = b64_encode(bytes, n, text), got = 0;

        assert_int_equal(len, B64_LEN(n));
        assert_true(B64_MAX_BYTES(len) >= n);
        assert_int_equal(b64_decode((struct str){text, len}, back, n, &got), 0);
        assert_int_equal(got, n);
        assert_memory_equal(back, bytes, n);
    }
}

static void what_is_not_strict_base64_is_refused(void **state)
{
    static const char *const cases[] = {
        "Z",       "Zg",       "Zg=",        "Zm9",      "Zm9vY",        /* padding is missing */
        "=",       "====",     "Z===",       "Zg=a",     "Zg==Zg==",     /* padding in places */
        "=Zg=",    "Zm9v====", "Z=g=",       "Zm8=Zm9v",                 /* where none may be */
        "Zh==",    "Zn==",     "Zm9=",       "Zm+=",                     /* stray bits */
        "Zm 9",    "Zm9v\n",   "\nZm9v",     "Zm9v    ", "Zm9vZm9v\r\n", /* white space */
        "Zm9-",    "Zm9_",     "-_-_",                                   /* the URL alphabet */
        "Zm9\x80", "Zm9\xff",  "\xc3\xa9Zg", "Zm9v!m9v",                 /* other characters */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char bytes[16];
        size_t n = 77;

        if (b64_decode(str_from(cases[i]), bytes, sizeof bytes, &n) != ERR_PARSE)
            fail_msg("`%s` was not refused", cases[i]);
        assert_int_equal(n, 77);
    }
    assert_int_equal(b64_decode((struct str){"Zm\0v", 4}, (char[4]){0}, 4, &(size_t){0}),
                     ERR_PARSE);
}

static void a_result_that_does_not_fit_is_refused_before_anything_is_written(void **state)
{
    static const struct {
        const char *text;
        size_t needs;
    } cases[] = {{"Zg==", 1}, {"Zm8=", 2}, {"Zm9v", 3}, {"Zm9vYg==", 4}, {"Zm9vYmFy", 6}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char bytes[8];
        size_t n;

        memset(bytes, 0xEE, sizeof bytes);
        assert_int_equal(b64_decode(str_from(cases[i].text), bytes, cases[i].needs - 1, &n),
                         ERR_LIMIT);
        assert_int_equal(bytes[cases[i].needs - 1], 0xEE);
        assert_int_equal(b64_decode(str_from(cases[i].text), bytes, cases[i].needs, &n), 0);
        assert_int_equal(bytes[cases[i].needs], 0xEE);
    }
}

static void text_may_be_decoded_where_it_stands(void **state)
{
    char memory[] = "Zm9vYmFyYg==";
    size_t n;

    (void)state;
    assert_int_equal(b64_decode(str_from(memory), memory, sizeof memory, &n), 0);
    assert_int_equal(n, 7);
    assert_memory_equal(memory, "foobarb", 7);
}

static void hexadecimal_is_written_in_lower_case_and_read_in_both(void **state)
{
    static const unsigned char bytes[] = {0x00, 0x9f, 0xa0, 0xff};
    unsigned char back[4];
    char text[9];

    (void)state;
    hex_encode(bytes, 4, text);
    assert_string_equal(text, "009fa0ff");
    assert_int_equal(hex_decode(STR("009fA0fF"), back, 4), 0);
    assert_memory_equal(back, bytes, 4);
    hex_encode(bytes, 0, text);
    assert_string_equal(text, "");
    assert_int_equal(hex_decode(STR(""), back, 0), 0);
}

static void only_hexadecimal_digits_have_a_value(void **state)
{
    static const char digits[] = "0123456789abcdefABCDEF";

    (void)state;
    for (int c = 0; c < 256; c++) {
        const char *at = c ? strchr(digits, c) : NULL;
        int value = at ? (int)(at - digits) : -1;

        assert_int_equal(hex_digit((char)c), value > 15 ? value - 6 : value);
    }
}

static void hexadecimal_of_another_length_or_with_other_characters_is_refused(void **state)
{
    static const char *const cases[] = {"",     "0",    "00",   "000",  "00000",           "0g00",
                                        "00 0", "0x00", "-100", "00:0", "\xb0\xb0\xb0\xb0"};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(hex_decode(str_from(cases[i]), (unsigned char[2]){0}, 2), ERR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_4648_encode_and_decode),
        cmocka_unit_test(every_byte_value_and_every_length_round_trips),
        cmocka_unit_test(what_is_not_strict_base64_is_refused),
        cmocka_unit_test(a_result_that_does_not_fit_is_refused_before_anything_is_written),
        cmocka_unit_test(text_may_be_decoded_where_it_stands),
        cmocka_unit_test(hexadecimal_is_written_in_lower_case_and_read_in_both),
        cmocka_unit_test(only_hexadecimal_digits_have_a_value),
        cmocka_unit_test(hexadecimal_of_another_length_or_with_other_characters_is_refused),
    };

    return cmocka_run_group_tests_name("b64", tests, NULL, NULL);
}
