/* SPDX-License-Identifier: Apache-2.0 */
/* Which schemas may become a grammar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "provider/engine/schema_check.h"

#define REF(name) "{\"$ref\":\"#/$defs/" name "\"}"

static const struct {
    enum engine_wrong wrong; /* of a whole schema */
    const char *schema;
} cases[] = {
    {ENGINE_WRONG_NONE, "{}"},
    {ENGINE_WRONG_NONE, "{\"type\":\"object\",\"properties\":{\"not\":{},\"if\":{},\"pattern\":{"
                        "\"type\":\"string\"},\"$ref\":{\"type\":\"string\"}}}"},
    {ENGINE_WRONG_NONE, "{\"type\":\"string\",\"minLength\":1,\"maxLength\":1000}"},
    {ENGINE_WRONG_NONE, "{\"items\":{\"maxLength\":10},\"maxItems\":100}"},
    {ENGINE_WRONG_NONE, "{\"default\":{\"minItems\":-1},\"enum\":[{\"pattern\":\"(\"}]}"},
    /* recursion with something between */
    {ENGINE_WRONG_NONE,
     "{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"properties\":{\"next\":" REF("n") "}}}}"},
    {ENGINE_WRONG_NONE, "{\"$defs\":{\"a\":{\"items\":" REF("a") "}},\"anyOf\":[" REF("a") "]}"},

    {ENGINE_WRONG_SCHEMA, "{"},
    {ENGINE_WRONG_SCHEMA, ""},
    {ENGINE_WRONG_SCHEMA_REPEATS, "{\"maxItems\":1001}"},
    {ENGINE_WRONG_SCHEMA_REPEATS, "{\"maxItems\":1e308}"},
    {ENGINE_WRONG_SCHEMA_REPEATS, "{\"minLength\":-1}"},
    {ENGINE_WRONG_SCHEMA_REPEATS, "{\"minLength\":\"3\"}"},
    {ENGINE_WRONG_SCHEMA_REPEATS, "{\"items\":{\"maxLength\":101},\"maxItems\":10}"},
    {ENGINE_WRONG_SCHEMA_REPEATS, "{\"prefixItems\":[{\"items\":{\"items\":{\"maxItems\":11},"
                                  "\"maxItems\":10},\"maxItems\":10}]}"},
    {ENGINE_WRONG_SCHEMA_REFERENCE, REF("a")},
    {ENGINE_WRONG_SCHEMA_REFERENCE, "{\"$ref\":7}"},
    {ENGINE_WRONG_SCHEMA_REFERENCE, "{\"$ref\":\"#\"}"},
    {ENGINE_WRONG_SCHEMA_REFERENCE, "{\"$ref\":\"other.json#/a\"}"},
    {ENGINE_WRONG_SCHEMA_REFERENCE, "{\"$defs\":{\"a\":" REF("a") "}}"},
    {ENGINE_WRONG_SCHEMA_REFERENCE, "{\"$defs\":{\"a\":" REF("b") ",\"b\":" REF("a") "}}"},
    {ENGINE_WRONG_SCHEMA_REFERENCE,
     "{\"$defs\":{\"a\":{\"allOf\":[{\"type\":\"object\"}," REF("a") "]}}}"},
    {ENGINE_WRONG_SCHEMA_REFERENCE, "{\"$defs\":{\"a\":{\"oneOf\":[{\"anyOf\":[" REF("a") "]}]}}}"},
    {ENGINE_WRONG_SCHEMA_PATTERN, "{\"pattern\":7}"},
    {ENGINE_WRONG_SCHEMA_PATTERN, "{\"properties\":{\"a\":{\"pattern\":\"\\\\d\"}}}"},
    {ENGINE_WRONG_SCHEMA_WORD, "{\"not\":{}}"},
    {ENGINE_WRONG_SCHEMA_WORD, "{\"items\":{\"uniqueItems\":true}}"},
};

static void each_bound_has_its_own_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum engine_wrong wrong = schema_check(str_from(cases[i].schema), true);

        if (wrong != cases[i].wrong)
            fail_msg("%s: %d instead of %d", cases[i].schema, (int)wrong, (int)cases[i].wrong);
    }
}

static void words_that_no_grammar_follows_are_hints_in_a_tool(void **state)
{
    (void)state;
    assert_int_equal(schema_check(STR("{\"items\":{\"uniqueItems\":true}}"), false),
                     ENGINE_WRONG_NONE);
}

/* "[", as many levels of "items", "]" */
static struct str nested(char *text, size_t cap, int levels)
{
    size_t n = 0;

    for (int i = 0; i < levels - 1; i++)
        n += (size_t)snprintf(text + n, cap - n, "{\"items\":");
    n += (size_t)snprintf(text + n, cap - n, "{}");
    for (int i = 0; i < levels - 1; i++)
        n += (size_t)snprintf(text + n, cap - n, "}");
    return (struct str){text, n};
}

static void depth_ends_at_its_bound(void **state)
{
    char text[4096];

    (void)state;
    assert_int_equal(schema_check(nested(text, sizeof text, SCHEMA_MAX_DEPTH), true),
                     ENGINE_WRONG_NONE);
    assert_int_equal(schema_check(nested(text, sizeof text, SCHEMA_MAX_DEPTH + 1), true),
                     ENGINE_WRONG_SCHEMA_DEPTH);
    assert_int_equal(schema_check(nested(text, sizeof text, 250), true), ENGINE_WRONG_SCHEMA_DEPTH);
}

static struct str properties(char *text, size_t cap, int n)
{
    size_t len = (size_t)snprintf(text, cap, "{\"properties\":{");

    for (int i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, cap - len, "%s\"p%d\":{}", i > 0 ? "," : "", i);
    len += (size_t)snprintf(text + len, cap - len, "}}");
    return (struct str){text, len};
}

static void size_ends_at_its_bounds(void **state)
{
    static char text[SCHEMA_MAX_BYTES + 16];
    struct str s;

    (void)state;
    s = properties(text, sizeof text, SCHEMA_MAX_PROPERTIES);
    assert_int_equal(schema_check(s, true), ENGINE_WRONG_NONE);
    s = properties(text, sizeof text, SCHEMA_MAX_PROPERTIES + 1);
    assert_int_equal(schema_check(s, true), ENGINE_WRONG_SCHEMA_SIZE);
    memset(text, ' ', sizeof text);
    text[0] = '{';
    text[SCHEMA_MAX_BYTES - 1] = '}';
    assert_int_equal(schema_check((struct str){text, SCHEMA_MAX_BYTES}, true), ENGINE_WRONG_NONE);
    assert_int_equal(schema_check((struct str){text, SCHEMA_MAX_BYTES + 1}, true),
                     ENGINE_WRONG_SCHEMA_SIZE);
    memcpy(text, "{\"enum\":[0", 10);
    for (int i = 0; i < SCHEMA_MAX_VALUES; i++)
        memcpy(text + 10 + 2 * i, ",0", 2);
    memcpy(text + 10 + 2 * SCHEMA_MAX_VALUES, "]}", 2);
    assert_int_equal(schema_check((struct str){text, 12 + 2 * SCHEMA_MAX_VALUES}, true),
                     ENGINE_WRONG_SCHEMA_SIZE);
}

/* Each of 25 levels names the next one twice: 2^25 ways, none of them a circle. */
static void ways_that_double_at_each_level_are_counted(void **state)
{
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof text, "{\"$defs\":{\"a25\":{}");

    (void)state;
    for (int i = 0; i < 25; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              ",\"a%d\":{\"allOf\":[" REF("a%d") "," REF("a%d") "]}", i, i + 1,
                              i + 1);
    n += (size_t)snprintf(text + n, sizeof text - n, "}}");
    assert_int_equal(schema_check((struct str){text, n}, true), ENGINE_WRONG_SCHEMA_REFERENCE);
}

static const struct {
    bool ok;
    const char *pattern;
} patterns[] = {
    {true, "^$"},
    {true, "^[0-9]{3}-[0-9]{4}$"},
    {true, "^(\\([0-9]{3}\\))?a|b.c*d+$"},
    {true, "^(?:ab|cd){2,10}$"},
    {true, "^[\\]\\-\\\\a]$"},
    {true, "^a{1000}$"},
    {true, "^\\.\\*\\/$"},
    {false, ""},
    {false, "^"},
    {false, "abc"},
    {false, "^abc"},
    {false, "^\\d$"},
    {false, "^\\bword$"},
    {false, "^[\\w]$"},
    {false, "^(?=a)$"},
    {false, "^(?<name>a)$"},
    {false, "^(a$"},
    {false, "^a)$"},
    {false, "^[a$"},
    {false, "^a{1001}$"},
    {false, "^(a{100}){100}$"},
    {false, "^a{3,2}$"},
    {false, "^a{b}$"},
    {false, "^a{99999999999999999999}$"},
    {false, "^*a$"},
    {false, "^a**$"},
    {false, "^a+?$"},
    {false, "^a^b$"},
    {false, "^a$b$"},
    {false, "^((((((((((((((((((a))))))))))))))))))$"},
    {false, "^a\\$"},
};

static void patterns_that_a_grammar_can_follow_are_told_from_others(void **state)
{
    char text[SCHEMA_MAX_PATTERN_BYTES + 1];

    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        if (schema_pattern_ok(str_from(patterns[i].pattern)) != patterns[i].ok)
            fail_msg("%s", patterns[i].pattern);
    }
    memset(text, 'a', sizeof text);
    text[0] = '^';
    text[SCHEMA_MAX_PATTERN_BYTES - 1] = text[SCHEMA_MAX_PATTERN_BYTES] = '$';
    assert_true(schema_pattern_ok((struct str){text, SCHEMA_MAX_PATTERN_BYTES}));
    text[SCHEMA_MAX_PATTERN_BYTES - 1] = 'a';
    assert_false(schema_pattern_ok((struct str){text, SCHEMA_MAX_PATTERN_BYTES + 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bound_has_its_own_reason),
        cmocka_unit_test(words_that_no_grammar_follows_are_hints_in_a_tool),
        cmocka_unit_test(depth_ends_at_its_bound),
        cmocka_unit_test(size_ends_at_its_bounds),
        cmocka_unit_test(ways_that_double_at_each_level_are_counted),
        cmocka_unit_test(patterns_that_a_grammar_can_follow_are_told_from_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
