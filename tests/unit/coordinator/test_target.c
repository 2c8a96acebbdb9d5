/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 3986 §2.1: what stands in a target, and what does not pass for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"
#include "coordinator/api/target.h"

static void a_text_is_what_its_escapes_say(void **state)
{
    static const struct {
        const char *text, *says; /* NULL: ERR_PARSE */
    } rows[] = {{"", ""},          {"plain", "plain"}, {"org%2Fmodel", "org/model"},
                {"a+b", "a+b"},    {"%C3%A9", "é"},    {"%c3%a9", "é"},
                {"%41%", NULL},    {"%4", NULL},       {"%4g", NULL},
                {"%g4", NULL},     {"%00", NULL},      {"%C3", NULL},
                {"100%25", "100%"}};
    char out[16];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str got = STR("untouched");
        int rc = target_decode(str_from(rows[i].text), out, sizeof out, &got);

        assert_int_equal(rc, rows[i].says ? 0 : ERR_PARSE);
        assert_true(str_is(got, rows[i].says ? rows[i].says : "untouched"));
    }
}

static void a_text_ends_at_its_bound(void **state)
{
    char out[3];
    struct str got;

    (void)state;
    assert_int_equal(target_decode(STR("abc"), out, sizeof out, &got), 0);
    assert_int_equal(target_decode(STR("%61bcd"), out, sizeof out, &got), ERR_LIMIT);
}

static void a_query_gives_each_name_once(void **state)
{
    struct str got, query = STR("model=a%20b&n=5&empty=&flag&n=6&model2=x");
    char out[16];

    (void)state;
    assert_int_equal(target_query(query, "model", out, sizeof out, &got), 0);
    assert_true(str_is(got, "a b"));
    assert_int_equal(target_query(query, "n", out, sizeof out, &got), ERR_EXISTS);
    assert_int_equal(target_query(query, "empty", out, sizeof out, &got), 0);
    assert_int_equal(got.n, 0);
    assert_int_equal(target_query(query, "flag", out, sizeof out, &got), 0);
    assert_int_equal(target_query(query, "mode", out, sizeof out, &got), ERR_NOT_FOUND);
    assert_int_equal(target_query(STR(""), "model", out, sizeof out, &got), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_text_is_what_its_escapes_say),
                                       cmocka_unit_test(a_text_ends_at_its_bound),
                                       cmocka_unit_test(a_query_gives_each_name_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
