/* SPDX-License-Identifier: Apache-2.0 */
/* The command table: finding a command and guessing what a typing error meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/command.h"

static void every_command_has_help_and_a_handler(void **state)
{
    (void)state;
    for (const struct command *c = command_table; c->name; c++) {
        assert_non_null(c->run);
        assert_true(c->help[0] != '\0');
        assert_ptr_equal(command_find(str_from(c->name)), c);
    }
}

static void options_stand_for_commands(void **state)
{
    (void)state;
    assert_ptr_equal(command_find(STR("--help")), command_find(STR("help")));
    assert_ptr_equal(command_find(STR("--version")), command_find(STR("version")));
    assert_null(command_find(STR("")));
    assert_null(command_find(STR("--nonsense")));
}

static void a_typing_error_finds_its_neighbour(void **state)
{
    static const struct {
        const char *typed, *meant;
    } cases[] = {{"sevre", "serve"},
                 {"benchmrk", "benchmark"},
                 {"server", "serve"},
                 {"versoin", "version"},
                 {"hepl", "help"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct command *near = command_nearest(str_from(cases[i].typed));

        assert_non_null(near);
        assert_string_equal(near->name, cases[i].meant);
    }
    assert_null(command_nearest(STR("autoupdate")));
    assert_null(command_nearest(STR("a-very-long-word-that-is-no-command-at-all")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_has_help_and_a_handler),
        cmocka_unit_test(options_stand_for_commands),
        cmocka_unit_test(a_typing_error_finds_its_neighbour),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
