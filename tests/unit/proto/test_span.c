/* SPDX-License-Identifier: Apache-2.0 */
/* The span scanner: bytes exactly as they stand, no duplicates in what is attested, and no text
 * that makes it run long or far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "proto/span.h"

enum { MEMBERS_MAX = 4, BUF_BYTES = 32 << 20 };

static const struct {
    const char *object;
    size_t n;
    struct {
        const char *key, *value, *whole;
    } members[MEMBERS_MAX];
} walks[] = {
    {"{}", 0, {{0}}},
    {" \t{ \r\n } ", 0, {{0}}},
    {"{\"a\":1}", 1, {{"a", "1", "\"a\":1"}}},
    {"{ \"a\" : -1.50e+2 , \"b\":\ttrue }",
     2,
     {{"a", "-1.50e+2", "\"a\" : -1.50e+2"}, {"b", "true", "\"b\":\ttrue"}}},
    {"{\"\":null,\"o\":{\"x\": [1, {\"y\":\"}\"}]},\"s\":\"a\\\"},b\\\\\"}",
     3,
     {{"", "null", "\"\":null"},
      {"o", "{\"x\": [1, {\"y\":\"}\"}]}", "\"o\":{\"x\": [1, {\"y\":\"}\"}]}"},
      {"s", "\"a\\\"},b\\\\\"", "\"s\":\"a\\\"},b\\\\\""}}},
    {"{\"k\\u0041\":\"\xC3\xA9\"}", 1, {{"k\\u0041", "\"\xC3\xA9\"", "\"k\\u0041\":\"\xC3\xA9\""}}},
};

static void members_are_the_bytes_between_their_first_and_last(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof walks / sizeof walks[0]; i++) {
        struct str object = str_from(walks[i].object);
        struct span_member m;
        size_t cursor = 0;

        for (size_t k = 0; k < walks[i].n; k++) {
            assert_int_equal(span_next(object, &cursor, &m), 1);
            assert_true(str_is(m.key, walks[i].members[k].key));
            assert_true(str_is(m.value, walks[i].members[k].value));
            assert_true(str_is(m.whole, walks[i].members[k].whole));
            assert_true(m.value.p + m.value.n == m.whole.p + m.whole.n);
            assert_true(m.whole.p > object.p && m.whole.p < object.p + object.n);
        }
        assert_int_equal(span_next(object, &cursor, &m), 0);
    }
}

static const char *const broken[] = {
    "",
    " ",
    "[]",
    "1",
    "\"a\"",
    "{",
    "{\"",
    "{\"a",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":}",
    "{\"a\":\"",
    "{\"a\":[",
    "{a:1}",
    "{\"a\":1",
    "{\"a\" 1}",
    "{\"a\":1 2}",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,\"a\":1}",
    "{\"a\":\"\\",
    "{\"a\":{\"b\":1}",
};

static void broken_text_is_said_to_be_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        /* A copy of the exact size, so that a byte read beyond is caught. */
        struct str text = str_from(broken[i]);
        char *copy = malloc(text.n + 1);
        struct span_member m;
        size_t cursor = 0;
        int rc;

        copy = realloc(copy, text.n ? text.n : 1);
        memcpy(copy, text.p, text.n);
        while ((rc = span_next((struct str){copy, text.n}, &cursor, &m)) > 0)
            ;
        if (rc != ERR_PARSE)
            fail_msg("%s: %d", broken[i], rc);
        free(copy);
    }
}

static const struct {
    const char *object, *key;
    int code;
    const char *value;
} lookups[] = {
    {"{\"a\":1,\"b\":{ \"a\" : 2 }}", "a", 0, "1"},
    {"{\"a\":1,\"b\":{ \"a\" : 2 }}", "b", 0, "{ \"a\" : 2 }"},
    {"{\"\\u0061\":1}", "a", 0, "1"},
    {"{\"a\\/b\":1}", "a/b", 0, "1"},
    {"{\"a\\tb\":1}", "a\tb", 0, "1"},
    {"{\"a\":1}", "A", ERR_NOT_FOUND, NULL},
    {"{\"ab\":1}", "a", ERR_NOT_FOUND, NULL},
    {"{\"a\":1}", "ab", ERR_NOT_FOUND, NULL},
    {"{}", "a", ERR_NOT_FOUND, NULL},
    {"{\"a\":1,\"a\":1}", "a", ERR_EXISTS, NULL},
    {"{\"a\":1,\"\\u0061\":1}", "a", ERR_EXISTS, NULL},
    {"{\"a\":1,\"b\"}", "a", ERR_PARSE, NULL},
};

static void a_value_is_found_by_what_its_key_means(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lookups / sizeof lookups[0]; i++) {
        struct str value = STR("untouched");
        int rc = span_get_unique(str_from(lookups[i].object), lookups[i].key, &value);

        if (rc != lookups[i].code || !str_is(value, rc ? "untouched" : lookups[i].value))
            fail_msg("%s / %s: %d", lookups[i].object, lookups[i].key, rc);
    }
}

static const struct {
    const char *object;
    int code;
} uniques[] = {
    {"{}", 0},
    {"{\"a\":1,\"b\":2,\"ab\":3,\"\":4}", 0},
    {"{\"a\":{\"x\":1,\"x\":2}}", 0}, /* of this object only */
    {"{\"a\":1,\"b\":2,\"a\":3}", ERR_EXISTS},
    {"{\"sipEnabled\":true,\"sip\\u0045nabled\":false}", ERR_EXISTS},
    {"{\"a\\n\":1,\"a\\u000a\":2}", ERR_EXISTS},
    {"{\"\\u00e9\":1,\"\\u00E9\":2}", ERR_EXISTS},
    {"{\"a\":1,\"b\":2", ERR_PARSE},
    {"[]", ERR_PARSE},
};

static void duplicate_keys_are_seen_through_their_escapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof uniques / sizeof uniques[0]; i++) {
        if (span_check_unique(str_from(uniques[i].object)) != uniques[i].code)
            fail_msg("%s", uniques[i].object);
    }
}

static struct str nested(struct buf *out, size_t depth)
{
    buf_init(out, BUF_BYTES);
    assert_int_equal(buf_append_str(out, STR("{\"a\":")), 0);
    for (size_t i = 0; i < depth; i++)
        assert_int_equal(buf_append_str(out, STR("[")), 0);
    for (size_t i = 0; i < depth; i++)
        assert_int_equal(buf_append_str(out, STR("]")), 0);
    assert_int_equal(buf_append_str(out, STR("}")), 0);
    return buf_view(out);
}

static void nesting_ends_at_256(void **state)
{
    struct str value;
    struct buf text;

    (void)state;
    assert_int_equal(span_get_unique(nested(&text, 256), "a", &value), 0);
    assert_int_equal(value.n, 512);
    buf_free(&text);
    assert_int_equal(span_get_unique(nested(&text, 257), "a", &value), ERR_LIMIT);
    buf_free(&text);
    assert_int_equal(span_get_unique(nested(&text, 1000000), "a", &value), ERR_LIMIT);
    buf_free(&text);
}

/* Every key is compared with every other: the number of keys must be bounded, for anybody may send
 * an attestation of 10 MiB before anything is known of him. */
static void an_object_of_a_million_keys_is_refused_at_once(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, BUF_BYTES);
    for (int i = 0; i < 1000000; i++)
        assert_int_equal(buf_printf(&text, "%s\"k%d\":0", i ? "," : "{", i), 0);
    assert_int_equal(buf_append_str(&text, STR("}")), 0);
    assert_int_equal(span_check_unique(buf_view(&text)), ERR_LIMIT);
    buf_free(&text);
}

static void as_many_keys_as_allowed_are_compared(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, BUF_BYTES);
    for (int i = 0; i < SPAN_UNIQUE_MAX_MEMBERS; i++)
        assert_int_equal(buf_printf(&text, "%s\"k%d\":0", i ? "," : "{", i), 0);
    assert_int_equal(buf_append_str(&text, STR("}")), 0);
    assert_int_equal(span_check_unique(buf_view(&text)), 0);
    buf_free(&text);
}

static const struct {
    const char *array;
    size_t n;
    const char *values[MEMBERS_MAX];
    int end;
} arrays[] = {
    {"[]", 0, {0}, 0},
    {" [ \n ] ", 0, {0}, 0},
    {"[1]", 1, {"1"}, 0},
    {"[ {\"a\":[1,2]} , \"],\" ,[[]],null ]", 4, {"{\"a\":[1,2]}", "\"],\"", "[[]]", "null"}, 0},
    {"{}", 0, {0}, ERR_PARSE},
    {"", 0, {0}, ERR_PARSE},
    {"[1", 1, {"1"}, ERR_PARSE},
    {"[1 2]", 1, {"1"}, ERR_PARSE},
    {"[1,", 1, {"1"}, ERR_PARSE},
    {"[,1]", 0, {0}, ERR_PARSE},
    {"[\"a]", 0, {0}, ERR_PARSE},
};

static void elements_are_the_bytes_between_the_commas(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        struct str array = str_from(arrays[i].array), value;
        size_t cursor = 0, start = 0;

        for (size_t k = 0; k < arrays[i].n; k++) {
            assert_int_equal(span_next_start(array, &start), 1);
            assert_int_equal(span_next_element(array, &cursor, &value), 1);
            if (!str_is(value, arrays[i].values[k]) || value.p != array.p + start)
                fail_msg("%s: %.*s", arrays[i].array, STR_ARG(value));
            start = cursor;
        }
        assert_int_equal(span_next_element(array, &cursor, &value), arrays[i].end);
    }
}

/* `text` NULL: the value is no string. */
static const struct {
    const char *value, *text;
    size_t n;
} strings[] = {
    {"\"\"", "", 0},
    {"\"abc\"", "abc", 3},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
    {"\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00z\"", "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z", 11},
    {"\"\\u0000\"", "\0", 1},
    {"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF", 11},
    {"\"\xC3\xA9\\n\"", "\xC3\xA9\n", 3},
    {"7", NULL, 0},
    {"[\"a\"]", NULL, 0},
    {"", NULL, 0},
};

static void a_string_stands_for_these_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        struct str value = str_from(strings[i].value);
        char *text = malloc(strings[i].n + 1); /* so that a byte too many is caught */

        text = realloc(text, strings[i].n ? strings[i].n : 1);
        assert_int_equal(span_text_bytes(value), strings[i].n);
        if (strings[i].text) {
            span_text_copy(value, text);
            assert_memory_equal(text, strings[i].text, strings[i].n);
        }
        free(text);
    }
    assert_true(span_text_is(STR("\"us\\u0065r\""), "user"));
    assert_true(span_text_is(STR("\"\""), ""));
    assert_false(span_text_is(STR("\"user \""), "user"));
    assert_false(span_text_is(STR("\"use\""), "user"));
    assert_false(span_text_is(STR("user"), "user"));
    assert_false(span_text_is((struct str){0}, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_the_bytes_between_their_first_and_last),
        cmocka_unit_test(broken_text_is_said_to_be_broken),
        cmocka_unit_test(a_value_is_found_by_what_its_key_means),
        cmocka_unit_test(duplicate_keys_are_seen_through_their_escapes),
        cmocka_unit_test(nesting_ends_at_256),
        cmocka_unit_test(an_object_of_a_million_keys_is_refused_at_once),
        cmocka_unit_test(as_many_keys_as_allowed_are_compared),
        cmocka_unit_test(elements_are_the_bytes_between_the_commas),
        cmocka_unit_test(a_string_stands_for_these_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
