/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants that hold in every build, and those of the containers (findings §5.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/list.h"
#include "base/map.h"
#include "unit/base/fake_death.h"

static void assert_death(void (*deed)(void *ud), void *ud, const char *condition)
{
    char said[512];

    assert_true(fake_death(deed, ud, said, sizeof said));
    if (!strstr(said, condition))
        fail_msg("said: %s", said);
    assert_non_null(strstr(said, ": broken invariant: "));
}

static void check_number(void *ud)
{
    const int *number = ud;

    CHECK(*number == 1);
}

static void a_broken_invariant_names_its_place_and_aborts(void **state)
{
    int number = 2;
    char said[512];

    (void)state;
    assert_death(check_number, &number, "*number == 1");
    assert_true(fake_death(check_number, &number, said, sizeof said));
    assert_non_null(strstr(said, "test_check.c:"));
}

static void a_kept_invariant_says_nothing(void **state)
{
    int number = 1;
    char said[512];

    (void)state;
    assert_false(fake_death(check_number, &number, said, sizeof said));
    assert_string_equal(said, "");
}

static void push_twice(void *ud)
{
    struct list_node head, other, node = {0};

    (void)ud;
    list_init(&head);
    list_init(&other);
    list_push_back(&head, &node);
    list_push_back(&other, &node);
}

static void a_node_cannot_be_on_two_lists(void **state)
{
    (void)state;
    assert_death(push_twice, NULL, "!list_linked(n)");
}

static void remove_overwritten(void *ud)
{
    struct list_node head, node = {0}, stranger;

    (void)ud;
    list_init(&head);
    list_init(&stranger);
    list_push_back(&head, &node);
    node.prev = &stranger;
    list_remove(&node);
}

static void a_node_whose_neighbours_do_not_know_it_is_not_removed(void **state)
{
    (void)state;
    assert_death(remove_overwritten, NULL, "n->prev->next == n");
}

static void alloc_beyond(void *ud)
{
    struct arena a;

    (void)ud;
    arena_init(&a, 100);
    a.used_bytes = 101;
    (void)arena_alloc(&a, 1);
}

static void a_region_that_has_given_more_than_it_may_gives_nothing_more(void **state)
{
    (void)state;
    assert_death(alloc_beyond, NULL, "a->used_bytes <= a->max_bytes");
}

static void put_nothing(void *ud)
{
    struct map m;

    (void)ud;
    map_init(&m);
    (void)map_put(&m, (struct str){0}, &m);
}

static void a_map_takes_no_entry_without_a_key(void **state)
{
    (void)state;
    assert_death(put_nothing, NULL, "key.p");
}

static void look_into_full_map(void *ud)
{
    struct map m;

    (void)ud;
    map_init(&m);
    (void)map_put(&m, STR("a"), &m);
    m.used = m.cap;
    (void)map_get(&m, STR("b"));
}

/* A look-up for what is not there would go round for ever. */
static void a_map_without_an_empty_slot_is_not_searched(void **state)
{
    (void)state;
    assert_death(look_into_full_map, NULL, "m->used < m->cap");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_invariant_names_its_place_and_aborts),
        cmocka_unit_test(a_kept_invariant_says_nothing),
        cmocka_unit_test(a_node_cannot_be_on_two_lists),
        cmocka_unit_test(a_node_whose_neighbours_do_not_know_it_is_not_removed),
        cmocka_unit_test(a_region_that_has_given_more_than_it_may_gives_nothing_more),
        cmocka_unit_test(a_map_takes_no_entry_without_a_key),
        cmocka_unit_test(a_map_without_an_empty_slot_is_not_searched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
