/* SPDX-License-Identifier: Apache-2.0 */
/* The region: limits, alignment, zeroed memory, reuse after a reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"

static void memory_is_zeroed_aligned_and_does_not_overlap(void **state)
{
    struct arena a;
    unsigned char *blocks[200];

    (void)state;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < 200; i++) {
        size_t n = i * 7 % 129 + 1;

        blocks[i] = arena_alloc(&a, n);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < n; j++)
            assert_int_equal(blocks[i][j], 0);
        memset(blocks[i], (int)i, n);
    }
    for (size_t i = 0; i < 200; i++) {
        for (size_t j = 0; j < i * 7 % 129 + 1; j++)
            assert_int_equal(blocks[i][j], (unsigned char)i);
    }
    arena_free(&a);
}

static void an_allocation_larger_than_any_block_gets_one_of_its_own(void **state)
{
    struct arena a;
    char *small, *large;

    (void)state;
    arena_init(&a, 8 << 20);
    small = arena_alloc(&a, 16);
    large = arena_alloc(&a, 5 << 20);
    assert_non_null(small);
    assert_non_null(large);
    memset(large, 1, 5 << 20);
    assert_int_equal(small[15], 0);
    assert_non_null(arena_alloc(&a, 16));
    arena_free(&a);
}

static void what_goes_beyond_the_limit_is_refused_and_what_was_there_stays(void **state)
{
    struct arena a;
    char *first;

    (void)state;
    arena_init(&a, 100);
    first = arena_alloc(&a, 64);
    assert_non_null(first);
    memset(first, 'x', 64);
    assert_null(arena_alloc(&a, 37));
    assert_int_equal(a.used_bytes, 64);
    assert_int_equal(first[63], 'x');
    assert_non_null(arena_alloc(&a, 36)); /* exactly what is left */
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_dup(&a, STR("x")).p);
    assert_null(arena_printf(&a, "%d", 12345).p);
    arena_free(&a);
}

static void a_region_without_a_limit_refuses_sizes_that_wrap_around(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 64};
    struct arena a;

    (void)state;
    arena_init(&a, SIZE_MAX);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_null(arena_alloc(&a, sizes[i]));
    assert_null(arena_dup(&a, (struct str){"", SIZE_MAX}).p);
    arena_free(&a);
}

static void an_array_whose_size_overflows_is_refused(void **state)
{
    struct arena a;
    int64_t *numbers;

    (void)state;
    arena_init(&a, SIZE_MAX);
    assert_null(arena_array(&a, int64_t, SIZE_MAX / 4));
    numbers = arena_array(&a, int64_t, 100);
    assert_non_null(numbers);
    numbers[99] = 1;
    assert_int_equal(numbers[0], 0);
    arena_free(&a);
}

static void copies_end_with_a_nul_and_do_not_depend_on_the_original(void **state)
{
    struct arena a;
    char text[] = "abc";
    struct str copy, empty, made;

    (void)state;
    arena_init(&a, 1 << 16);
    copy = arena_dup(&a, str_from(text));
    text[0] = 'X';
    empty = arena_dup(&a, (struct str){0});
    made = arena_printf(&a, "%s-%d", "port", 8080);
    assert_string_equal(copy.p, "abc");
    assert_int_equal(copy.n, 3);
    assert_string_equal(empty.p, "");
    assert_int_equal(empty.n, 0);
    assert_string_equal(made.p, "port-8080");
    assert_int_equal(made.n, 9);
    arena_free(&a);
}

static void a_reset_region_has_its_whole_limit_again_and_zeroed_memory(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 64 << 10);
    for (int round = 0; round < 3; round++) {
        size_t got = 0;
        unsigned char *p;

        while ((p = arena_alloc(&a, 1 << 10))) {
            for (size_t i = 0; i < 1 << 10; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xAA, 1 << 10);
            got++;
        }
        assert_int_equal(got, 64);
        arena_reset(&a);
        assert_int_equal(a.used_bytes, 0);
    }
    arena_free(&a);
    arena_free(&a); /* an empty region may be freed again */
    assert_non_null(arena_alloc(&a, 10));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_does_not_overlap),
        cmocka_unit_test(an_allocation_larger_than_any_block_gets_one_of_its_own),
        cmocka_unit_test(what_goes_beyond_the_limit_is_refused_and_what_was_there_stays),
        cmocka_unit_test(a_region_without_a_limit_refuses_sizes_that_wrap_around),
        cmocka_unit_test(an_array_whose_size_overflows_is_refused),
        cmocka_unit_test(copies_end_with_a_nul_and_do_not_depend_on_the_original),
        cmocka_unit_test(a_reset_region_has_its_whole_limit_again_and_zeroed_memory),
    };

    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
