/* SPDX-License-Identifier: Apache-2.0 */
/* Cancels that came before their request (FR-13): bounded, the oldest go first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "provider/serve/tombs.h"

static struct str id_of(int i, char ret_text[static 16])
{
    (void)snprintf(ret_text, 16, "r%d", i);
    return str_from(ret_text);
}

static void an_id_is_found_once(void **state)
{
    struct tombs t = {.next = 0};

    (void)state;
    tombs_add(&t, STR("r1"));
    assert_false(tombs_take(&t, STR("r2")));
    assert_true(tombs_take(&t, STR("r1")));
    assert_false(tombs_take(&t, STR("r1")));
}

static void only_the_newest_are_kept(void **state)
{
    struct tombs t = {.next = 0};
    char text[16];

    (void)state;
    for (int i = 0; i < 10 * TOMBS_MAX; i++)
        tombs_add(&t, id_of(i, text));
    assert_false(tombs_take(&t, id_of(9 * TOMBS_MAX - 1, text)));
    for (int i = 9 * TOMBS_MAX; i < 10 * TOMBS_MAX; i++)
        assert_true(tombs_take(&t, id_of(i, text)));
}

static void what_no_request_may_be_called_is_not_kept(void **state)
{
    struct tombs t = {.next = 0};
    char longest[JOB_ID_MAX_BYTES + 1];

    (void)state;
    memset(longest, 'x', sizeof longest);
    tombs_add(&t, (struct str){longest, JOB_ID_MAX_BYTES});
    assert_true(tombs_take(&t, (struct str){longest, JOB_ID_MAX_BYTES}));
    tombs_add(&t, (struct str){longest, JOB_ID_MAX_BYTES + 1});
    assert_false(tombs_take(&t, (struct str){longest, JOB_ID_MAX_BYTES + 1}));
    tombs_add(&t, STR("a\0b"));
    assert_false(tombs_take(&t, STR("a")));
    tombs_add(&t, STR(""));
    assert_false(tombs_take(&t, STR("")));
    assert_false(tombs_take(&t, (struct str){0}));
}

static void nothing_is_left_after_clearing(void **state)
{
    struct tombs t = {.next = 0};

    (void)state;
    tombs_add(&t, STR("r1"));
    tombs_clear(&t);
    assert_false(tombs_take(&t, STR("r1")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_found_once),
        cmocka_unit_test(only_the_newest_are_kept),
        cmocka_unit_test(what_no_request_may_be_called_is_not_kept),
        cmocka_unit_test(nothing_is_left_after_clearing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
