/* SPDX-License-Identifier: Apache-2.0 */
/* The hash map against a plain array: inserting, replacing, removing while entries probe past one
 * another. */
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"

static void an_empty_map_has_nothing_to_give(void **state)
{
    struct map m = {0};
    size_t cursor = 0;

    (void)state;
    assert_null(map_get(&m, STR("a")));
    assert_null(map_remove(&m, STR("a")));
    assert_null(map_next(&m, &cursor));
    map_free(&m);
    map_init(&m);
    map_free(&m);
}

static void the_last_value_put_under_a_key_is_the_one_found(void **state)
{
    int first, second;
    struct map m;

    (void)state;
    map_init(&m);
    assert_int_equal(map_put(&m, STR("key"), &first), 0);
    assert_int_equal(map_put(&m, STR("key"), &second), 0);
    assert_ptr_equal(map_get(&m, STR("key")), &second);
    assert_int_equal(m.used, 1);
    assert_ptr_equal(map_remove(&m, STR("key")), &second);
    assert_null(map_get(&m, STR("key")));
    assert_int_equal(m.used, 0);
    map_free(&m);
}

static void keys_are_bytes_and_their_length(void **state)
{
    static const struct str keys[] = {{"", 0},    {"\0", 1},   {"\0\0", 2}, {"a", 1},
                                      {"a\0", 2}, {"a\0b", 3}, {"a\0c", 3}, {"A", 1}};
    struct map m;

    (void)state;
    map_init(&m);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(map_put(&m, keys[i], (void *)&keys[i]), 0);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_ptr_equal(map_get(&m, keys[i]), &keys[i]);
    assert_null(map_get(&m, STR("aa")));
    map_free(&m);
}

enum { ENTRIES = 500, STEPS = 20000 };

struct entry {
    char name[16];
    bool in;
};

static void compare(const struct map *m, struct entry *entries)
{
    size_t cursor = 0, walked = 0, expected = 0;
    struct entry *e;

    for (size_t i = 0; i < ENTRIES; i++) {
        expected += entries[i].in;
        assert_ptr_equal(map_get(m, str_from(entries[i].name)), entries[i].in ? &entries[i] : NULL);
    }
    while ((e = map_next(m, &cursor))) {
        assert_true(e->in);
        walked++;
    }
    assert_int_equal(walked, expected);
    assert_int_equal(m->used, expected);
}

static void thousands_of_puts_and_removes_lose_and_invent_nothing(void **state)
{
    static struct entry entries[ENTRIES];
    uint32_t random = 2463534242U;
    struct map m;

    (void)state;
    map_init(&m);
    for (size_t i = 0; i < ENTRIES; i++)
        (void)snprintf(entries[i].name, sizeof entries[i].name, "name-%zu", i);
    for (size_t step = 0; step < STEPS; step++) {
        struct entry *e;

        random ^= random << 13; /* xorshift: the same walk every time */
        random ^= random >> 17;
        random ^= random << 5;
        e = &entries[random % ENTRIES];
        if (e->in)
            assert_ptr_equal(map_remove(&m, str_from(e->name)), e);
        else
            assert_int_equal(map_put(&m, str_from(e->name), e), 0);
        e->in = !e->in;
        if (step % 1000 == 0)
            compare(&m, entries);
    }
    compare(&m, entries);
    map_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_has_nothing_to_give),
        cmocka_unit_test(the_last_value_put_under_a_key_is_the_one_found),
        cmocka_unit_test(keys_are_bytes_and_their_length),
        cmocka_unit_test(thousands_of_puts_and_removes_lose_and_invent_nothing),
    };

    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
