/* SPDX-License-Identifier: Apache-2.0 */
/* The timer heap against its definition: the earliest comes out first, whatever was moved or
 * cleared before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/timer.h"

static void timers_come_out_in_order_of_time(void **state)
{
    static const int64_t due[] = {50, 10, 40, 10, 30, 0, 20, 60};
    struct loop_timer timers[8] = {0};
    struct timer_heap h = {0};
    struct loop_timer *t;
    int64_t last = -1;

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        timers[i].due_us = due[i];
        assert_int_equal(timer_heap_set(&h, &timers[i]), 0);
    }
    for (size_t n = 0; n < 8; n++) {
        assert_int_equal(timer_heap_next_us(&h), h.items[0]->due_us);
        t = timer_heap_pop_due(&h, 60);
        assert_non_null(t);
        assert_true(t->due_us >= last);
        last = t->due_us;
    }
    assert_null(timer_heap_pop_due(&h, INT64_MAX));
    timer_heap_free(&h);
}

static void a_timer_is_due_at_its_microsecond_and_not_before(void **state)
{
    struct loop_timer t = {.due_us = 100};
    struct timer_heap h = {0};

    (void)state;
    assert_int_equal(timer_heap_next_us(&h), INT64_MAX);
    assert_int_equal(timer_heap_set(&h, &t), 0);
    assert_int_equal(timer_heap_next_us(&h), 100);
    assert_null(timer_heap_pop_due(&h, 99));
    assert_ptr_equal(timer_heap_pop_due(&h, 100), &t);
    assert_null(timer_heap_pop_due(&h, 100));
    assert_int_equal(t.place, 0);
    timer_heap_free(&h);
}

static void a_timer_that_is_set_again_moves(void **state)
{
    struct loop_timer a = {.due_us = 10}, b = {.due_us = 20};
    struct timer_heap h = {0};

    (void)state;
    assert_int_equal(timer_heap_set(&h, &a), 0);
    assert_int_equal(timer_heap_set(&h, &b), 0);
    a.due_us = 30;
    assert_int_equal(timer_heap_set(&h, &a), 0);
    assert_int_equal(h.n, 2);
    assert_ptr_equal(timer_heap_pop_due(&h, 100), &b);
    a.due_us = 5;
    assert_int_equal(timer_heap_set(&h, &a), 0);
    assert_ptr_equal(timer_heap_pop_due(&h, 5), &a);
    timer_heap_free(&h);
}

static void clearing_a_timer_that_is_not_set_does_nothing(void **state)
{
    struct loop_timer set = {.due_us = 1}, never = {0};
    struct timer_heap h = {0};

    (void)state;
    timer_heap_clear(&h, &never);
    assert_int_equal(timer_heap_set(&h, &set), 0);
    timer_heap_clear(&h, &never);
    assert_int_equal(h.n, 1);
    timer_heap_clear(&h, &set);
    timer_heap_clear(&h, &set);
    assert_int_equal(h.n, 0);
    timer_heap_free(&h);
}

static void a_freed_heap_leaves_its_timers_unset(void **state)
{
    struct loop_timer t = {.due_us = 1};
    struct timer_heap h = {0};

    (void)state;
    assert_int_equal(timer_heap_set(&h, &t), 0);
    timer_heap_free(&h);
    assert_int_equal(t.place, 0);
    timer_heap_clear(&h, &t); /* its owner may still tidy up */
    assert_int_equal(timer_heap_set(&h, &t), 0);
    assert_ptr_equal(timer_heap_pop_due(&h, 1), &t);
    timer_heap_free(&h);
}

enum { TIMERS = 300, STEPS = 20000 };

static int64_t earliest(const struct loop_timer *timers)
{
    int64_t best = INT64_MAX;

    for (size_t i = 0; i < TIMERS; i++) {
        if (timers[i].place && timers[i].due_us < best)
            best = timers[i].due_us;
    }
    return best;
}

static void the_earliest_is_always_on_top_while_timers_are_set_moved_and_cleared(void **state)
{
    static struct loop_timer timers[TIMERS];
    struct timer_heap h = {0};
    uint32_t random = 2463534242U;

    (void)state;
    for (size_t step = 0; step < STEPS; step++) {
        struct loop_timer *t;

        random ^= random << 13; /* xorshift: the same walk every time */
        random ^= random >> 17;
        random ^= random << 5;
        t = &timers[random % TIMERS];
        if (random >> 30 == 0) {
            timer_heap_clear(&h, t);
        } else if (random >> 30 == 1 && h.n > 0) {
            int64_t first = earliest(timers);

            assert_int_equal(timer_heap_pop_due(&h, first)->due_us, first);
        } else {
            t->due_us = random >> 8 & 0xFFFF;
            assert_int_equal(timer_heap_set(&h, t), 0);
        }
        assert_int_equal(timer_heap_next_us(&h), earliest(timers));
    }
    timer_heap_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_come_out_in_order_of_time),
        cmocka_unit_test(a_timer_is_due_at_its_microsecond_and_not_before),
        cmocka_unit_test(a_timer_that_is_set_again_moves),
        cmocka_unit_test(clearing_a_timer_that_is_not_set_does_nothing),
        cmocka_unit_test(a_freed_heap_leaves_its_timers_unset),
        cmocka_unit_test(the_earliest_is_always_on_top_while_timers_are_set_moved_and_cleared),
    };

    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
