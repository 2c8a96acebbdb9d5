/* SPDX-License-Identifier: Apache-2.0 */
/* Settings loaded a second time: what differs, and what of it stays as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cfg.h"

enum { NAMES_BYTES = 200 };

struct row {
    struct str id;
};

struct settings {
    struct str name, fixed_name;
    double ratio;
    bool loud;
    struct cfg_list tags;
    struct row *free_rows, *fixed_rows;
    size_t n_free, n_fixed;
};

#define AT(field) .offset = offsetof(struct settings, field)

static const struct cfg_key row_keys[] = {
    {.key = "id", .type = CFG_STR, .offset = offsetof(struct row, id)}, {.key = NULL}};
static const struct cfg_key keys[] = {
    {.key = "name", .type = CFG_STR, AT(name), .flags = CFG_RELOADABLE},
    {.key = "fixed_name", .type = CFG_STR, AT(fixed_name)},
    {.key = "ratio", .type = CFG_FLOAT, AT(ratio), .max = 10, .flags = CFG_RELOADABLE},
    {.key = "loud", .type = CFG_BOOL, AT(loud)},
    {.key = "tags", .type = CFG_LIST, AT(tags), .flags = CFG_RELOADABLE},
    {.key = NULL}};
static const struct cfg_array arrays[] = {{.name = "free",
                                           .rows = row_keys,
                                           .size = sizeof(struct row),
                                           .items_offset = offsetof(struct settings, free_rows),
                                           .count_offset = offsetof(struct settings, n_free),
                                           .flags = CFG_RELOADABLE},
                                          {.name = "fixed",
                                           .rows = row_keys,
                                           .size = sizeof(struct row),
                                           .items_offset = offsetof(struct settings, fixed_rows),
                                           .count_offset = offsetof(struct settings, n_fixed)},
                                          {.name = NULL}};
static const struct cfg_table table = {.program = "t", .keys = keys, .arrays = arrays};

static void note(void *ud, const char *setting, bool reloadable)
{
    char *names = ud;
    size_t n = strlen(names);

    snprintf(names + n, NAMES_BYTES - n, "%s%s", setting, reloadable ? " " : "! ");
}

/* The names of what differs; "!" behind what may not change. */
static void assert_changes(const char *old_toml, const char *fresh_toml, const char *expected,
                           const char *expected_after)
{
    const struct cfg_source src = {.table = &table};
    struct settings old, fresh;
    struct arena region;
    char names[NAMES_BYTES] = "";

    arena_init(&region, 1 << 20);
    assert_int_equal(cfg_load(&src, str_from(old_toml), "o", &region, &old, NULL), 0);
    assert_int_equal(cfg_load(&src, str_from(fresh_toml), "f", &region, &fresh, NULL), 0);
    cfg_each_change(&table, &old, &fresh, note, names);
    assert_string_equal(names, expected);
    names[0] = 0;
    cfg_keep_fixed(&table, &old, &fresh);
    cfg_each_change(&table, &old, &fresh, note, names);
    assert_string_equal(names, expected_after);
    arena_free(&region);
}

static void equal_settings_differ_in_nothing(void **state)
{
    static const char toml[] = "name = \"a\"\nratio = 0.5\nloud = true\ntags = [\"x\", \"y\"]\n"
                               "[[free]]\nid = \"1\"\n[[fixed]]\nid = \"2\"\n";

    (void)state;
    assert_changes(toml, toml, "", "");
}

static void what_differs_is_named_and_what_is_fixed_is_put_back(void **state)
{
    static const struct {
        const char *old, *fresh, *differs, *after;
    } cases[] = {
        {"name = \"a\"", "name = \"b\"", "name ", "name "},
        {"fixed_name = \"a\"", "fixed_name = \"b\"", "fixed_name! ", ""},
        {"fixed_name = \"a\"", "", "fixed_name! ", ""},
        {"ratio = 1", "ratio = 2", "ratio ", "ratio "},
        {"loud = true", "loud = false", "loud! ", ""},
        {"tags = [\"a\"]", "tags = [\"a\", \"b\"]", "tags ", "tags "},
        {"tags = [\"a\"]", "tags = [\"b\"]", "tags ", "tags "},
        {"[[free]]\nid = \"1\"", "[[free]]\nid = \"2\"", "free ", "free "},
        {"[[free]]\nid = \"1\"", "", "free ", "free "},
        {"[[fixed]]\nid = \"1\"", "[[fixed]]\nid = \"1\"\n[[fixed]]\nid = \"2\"", "fixed! ", ""},
        {"name = \"a\"\nloud = true", "name = \"b\"\nloud = false", "name loud! ", "name "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_changes(cases[i].old, cases[i].fresh, cases[i].differs, cases[i].after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_settings_differ_in_nothing),
        cmocka_unit_test(what_differs_is_named_and_what_is_fixed_is_put_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
