/* SPDX-License-Identifier: Apache-2.0 */
/* What is JSON and what is not: by a table, and against another parser on texts made by chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <yyjson.h>

#include "base/buf.h"
#include "proto/json_check.h"

enum { DEPTH = 8, BUF_BYTES = 16 << 20 };

static const char *const good[] = {
    "0",
    "-0",
    " \t\r\n1 \t\r\n",
    "-1.5e+10",
    "1E-5",
    "1e308",
    "1.7976931348623157e308",
    "-17976931348623157e292",
    "0.00017976931348623157e312",
    "0e999999999999",
    "0.0e400",
    "1e-999999999999",
    "\"\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\\u0000\"",
    "\"\xC3\xA9\xF0\x9F\x98\x80\x7F\"",
    "true",
    "false",
    "null",
    "[]",
    "{}",
    "[ ]",
    "{ }",
    "[1,[2,{\"a\":[]}],{}]",
    "{\"\":{},\"a\" : [ 1 , 2 ] , \"a\":null}",
    "[[[[[[[[1]]]]]]]]",
};

static const char *const bad[] = {
    "",
    " ",
    "01",
    "-",
    "-a",
    "+1",
    ".5",
    "1.",
    "1.e5",
    "1e",
    "1e+",
    "1e309",
    "-1e309",
    "1.8e308",
    "10e308",
    "0.1e310",
    "1e99999999999999999999",
    "0x10",
    "NaN",
    "Infinity",
    "tru",
    "truefalse",
    "nul",
    "True",
    "'a'",
    "\"",
    "\"a",
    "\"\\",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\ud800\"",
    "\"\\ud800x\"",
    "\"\\ud800\\n\"",
    "\"\\ud800\\u0041\"",
    "\"\\ud800\\ud800\"",
    "\"\\udc00\"",
    "\"\x01\"",
    "\"\n\"",
    "\"abcdefg\x1Fhijklmnop\"",
    "\"\xFF\"",
    "\"\xED\xA0\x80\"",
    "\xEF\xBB\xBF{}",
    "[",
    "]",
    "{",
    "}",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "[1]]",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{\"a\":1]",
    "{\"a\" 1}",
    "{a:1}",
    "{1:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":}",
    "{,}",
    "1 1",
    "{} x",
    "[1]//",
};

/* A copy of the exact size, so that a byte read beyond is caught. */
static int check(struct str text, const char **ret_why)
{
    char *copy = malloc(text.n ? text.n : 1);
    int rc;

    memcpy(copy, text.p, text.n);
    rc = json_check((struct str){copy, text.n}, DEPTH, ret_why);
    free(copy);
    return rc;
}

static void good_texts_are_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const char *why = "";

        if (check(str_from(good[i]), &why) != 0)
            fail_msg("%s: %s", good[i], why);
    }
}

static void bad_texts_are_not_and_it_is_said_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *why = NULL;

        if (check(str_from(bad[i]), &why) != ERR_PARSE || !why || !*why)
            fail_msg("%s: %s", bad[i], why ? why : "passed");
    }
    assert_int_equal(json_check(STR("{"), DEPTH, NULL), ERR_PARSE);
}

static void what_is_too_deep_is_not_looked_at(void **state)
{
    struct buf text;

    (void)state;
    assert_int_equal(check(STR("[[[[[[[[[1]]]]]]]]]"), NULL), ERR_LIMIT);
    assert_int_equal(check(STR("[[[[[[[[{"), NULL), ERR_LIMIT);
    buf_init(&text, BUF_BYTES);
    for (int i = 0; i < 1000000; i++)
        assert_int_equal(buf_append_str(&text, STR("[")), 0);
    assert_int_equal(json_check(buf_view(&text), SIZE_MAX, NULL), ERR_LIMIT);
    buf_free(&text);
}

/* Brackets of every kind at every level that has a bit. */
static void objects_and_arrays_are_told_apart_at_every_depth(void **state)
{
    (void)state;
    for (size_t wrong = 0; wrong <= JSON_CHECK_MAX_DEPTH; wrong++) {
        struct buf text;
        int rc;

        buf_init(&text, BUF_BYTES);
        for (size_t i = 0; i < JSON_CHECK_MAX_DEPTH; i++)
            assert_int_equal(buf_append_str(&text, i % 3 ? STR("[") : STR("{\"a\":")), 0);
        assert_int_equal(buf_append_str(&text, STR("1")), 0);
        for (size_t i = JSON_CHECK_MAX_DEPTH; i-- > 0;)
            assert_int_equal(
                buf_append_str(&text, (i % 3 != 0) == (i != wrong) ? STR("]") : STR("}")), 0);
        rc = json_check(buf_view(&text), JSON_CHECK_MAX_DEPTH, NULL);
        assert_int_equal(rc, wrong == JSON_CHECK_MAX_DEPTH ? 0 : ERR_PARSE);
        buf_free(&text);
    }
}

static void numbers_of_a_million_digits_are_counted(void **state)
{
    static const struct {
        const char *before, *after;
        int code;
    } cases[] = {
        {"", "", ERR_PARSE},         {"0.", "", 0},          {"", "e-1000000", 0},
        {"0.", "1e1000001", 0},      {"0.", "1e1000308", 0}, {"0.", "1e1000310", ERR_PARSE},
        {"", "e-999690", ERR_PARSE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf text;

        buf_init(&text, BUF_BYTES);
        assert_int_equal(buf_append_str(&text, str_from(cases[i].before)), 0);
        for (int k = 0; k < 1000000; k++)
            assert_int_equal(buf_append_str(&text, cases[i].before[0] ? STR("0") : STR("1")), 0);
        assert_int_equal(buf_append_str(&text, str_from(cases[i].after)), 0);
        if (json_check(buf_view(&text), DEPTH, NULL) != cases[i].code)
            fail_msg("%s…%s", cases[i].before, cases[i].after);
        buf_free(&text);
    }
}

/* --- members --- */

static void the_members_of_an_object_are_noted(void **state)
{
    const struct str text = STR(" { \"a\" : 1 , \"b\\n\":{\"c\":[\"}\"]},\"\":\"x\"\t,\"d\":[] } ");
    static const struct {
        const char *key, *value, *whole;
    } expected[] = {{"a", "1", "\"a\" : 1"},
                    {"b\\n", "{\"c\":[\"}\"]}", "\"b\\n\":{\"c\":[\"}\"]}"},
                    {"", "\"x\"", "\"\":\"x\""},
                    {"d", "[]", "\"d\":[]"}};
    struct span_member m[4];
    size_t n = 7;

    (void)state;
    assert_int_equal(json_check_members(text, DEPTH, m, 3, &n, NULL), ERR_RANGE);
    assert_int_equal(n, 7);
    assert_int_equal(json_check_members(text, DEPTH, m, 4, &n, NULL), 0);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++) {
        assert_true(str_is(m[i].key, expected[i].key));
        assert_true(str_is(m[i].value, expected[i].value));
        assert_true(str_is(m[i].whole, expected[i].whole));
    }
    assert_int_equal(json_check_members(STR(" { } "), DEPTH, m, 0, &n, NULL), 0);
    assert_int_equal(n, 0);
    assert_int_equal(json_check_members(STR("[1]"), DEPTH, m, 4, &n, NULL), ERR_TYPE);
    assert_int_equal(json_check_members(STR("[1"), DEPTH, m, 4, &n, NULL), ERR_PARSE);
    assert_int_equal(json_check_members(STR("{} {}"), DEPTH, m, 4, &n, NULL), ERR_PARSE);
    assert_int_equal(json_check_members(STR("{\"a\":[[[[[[[[1]]]]]]]]}"), DEPTH, m, 4, &n, NULL),
                     ERR_LIMIT);
    assert_int_equal(json_check_members(STR("{\"a\":[[[[[[[1]]]]]]]}"), DEPTH, m, 4, &n, NULL), 0);
}

/* --- against another parser --- */

static uint64_t dice(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*seed >> 33) % n;
}

static const char *const pieces[] = {
    "{",    "}", "[",       "]",  ",",      ":",  "\"",       "\"a\"",   "1", "-2.5e3", "true",
    "null", " ", "\\u0041", "\\", "\"k\":", "e9", "\xC3\xA9", "\\ud83d", "0", "\x02"};

static const char *any(const char *const *texts, size_t n, uint64_t *seed)
{
    return texts[dice(seed, n)];
}

#define ANY(texts, seed) any(texts, sizeof(texts) / sizeof(texts)[0], seed)

/* A text of pieces, or a good one with a piece put in and a byte cut out here and there. */
static void make_text(struct buf *out, uint64_t *seed)
{
    bool whole = dice(seed, 2);
    struct str text = str_from(ANY(good, seed));

    buf_clear(out);
    for (uint64_t k = dice(seed, 8); !whole && k > 0; k--)
        assert_int_equal(buf_append_str(out, str_from(ANY(pieces, seed))), 0);
    for (size_t i = 0; whole && i < text.n; i++) {
        if (dice(seed, text.n) == 0)
            assert_int_equal(buf_append_str(out, str_from(ANY(pieces, seed))), 0);
        if (dice(seed, 2 * text.n) != 0)
            assert_int_equal(buf_append(out, text.p + i, 1), 0);
    }
}

static void by_chance_it_says_what_yyjson_says(void **state)
{
    uint64_t seed = 20261126;
    struct buf text;
    size_t passed = 0;

    (void)state;
    buf_init(&text, BUF_BYTES);
    for (int round = 0; round < 200000; round++) {
        const char *why = NULL;
        yyjson_doc *doc;
        int rc;

        make_text(&text, &seed);
        doc = text.len ? yyjson_read(buf_view(&text).p, text.len, 0) : NULL;
        rc = check(buf_view(&text), &why);
        passed += rc == 0;
        if (rc != ERR_LIMIT && (doc != NULL) != (rc == 0))
            fail_msg("%.*s: %s", STR_ARG(buf_view(&text)), rc == 0 ? "passed" : why);
        yyjson_doc_free(doc);
    }
    assert_true(passed > 20000);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_are_json),
        cmocka_unit_test(bad_texts_are_not_and_it_is_said_why),
        cmocka_unit_test(what_is_too_deep_is_not_looked_at),
        cmocka_unit_test(objects_and_arrays_are_told_apart_at_every_depth),
        cmocka_unit_test(numbers_of_a_million_digits_are_counted),
        cmocka_unit_test(the_members_of_an_object_are_noted),
        cmocka_unit_test(by_chance_it_says_what_yyjson_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
