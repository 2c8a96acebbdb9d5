/* SPDX-License-Identifier: Apache-2.0 */
/* Memory bounded in levels (issue 7; findings L1, L4, L6). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/budget.h"

/* A process with two classes, and a socket in the first. */
struct levels {
    struct budget process, strangers, providers, socket;
};

static void make(struct levels *l)
{
    budget_init(&l->process, "the process", 1000, NULL);
    budget_init(&l->strangers, "unregistered providers", 300, &l->process);
    budget_init(&l->providers, "providers", 900, &l->process);
    budget_init(&l->socket, "this connection", 200, &l->strangers);
}

static void assert_used(const struct levels *l, size_t process, size_t strangers, size_t providers,
                        size_t socket)
{
    assert_int_equal(budget_used(&l->process), process);
    assert_int_equal(budget_used(&l->strangers), strangers);
    assert_int_equal(budget_used(&l->providers), providers);
    assert_int_equal(budget_used(&l->socket), socket);
}

static void a_charge_counts_on_every_level_and_a_release_takes_it_off(void **state)
{
    struct levels l;

    (void)state;
    make(&l);
    assert_int_equal(budget_charge(&l.socket, 150, NULL), 0);
    assert_int_equal(budget_charge(&l.providers, 40, NULL), 0);
    assert_int_equal(budget_charge(&l.socket, 0, NULL), 0);
    assert_used(&l, 190, 150, 40, 150);
    budget_release(&l.socket, 100);
    assert_used(&l, 90, 50, 40, 50);
    budget_release(&l.socket, 50);
    budget_release(&l.providers, 40);
    assert_used(&l, 0, 0, 0, 0);
}

static void each_level_is_filled_to_the_byte_and_names_itself_when_it_refuses(void **state)
{
    struct err e;
    struct levels l;

    (void)state;
    make(&l);
    assert_int_equal(budget_charge(&l.socket, 201, &e), ERR_LIMIT);
    assert_string_equal(e.text, "the memory of this connection is used up: 201 more bytes asked "
                                "for, 0 of 200 used");
    assert_int_equal(budget_charge(&l.socket, 200, NULL), 0);
    assert_int_equal(budget_charge(&l.socket, 1, &e), ERR_LIMIT);
    assert_used(&l, 200, 200, 0, 200);
    assert_int_equal(budget_charge(&l.strangers, 101, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "unregistered providers"));
    assert_int_equal(budget_charge(&l.strangers, 100, NULL), 0);
    assert_int_equal(budget_charge(&l.providers, 701, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "the process"));
    assert_used(&l, 300, 300, 0, 200); /* a refusal charges nobody */
    assert_int_equal(budget_charge(&l.providers, 700, NULL), 0);
    assert_int_equal(l.socket.refusals, 2);
    assert_int_equal(l.strangers.refusals, 1);
    assert_int_equal(l.providers.refusals, 0);
    assert_int_equal(l.process.refusals, 1);
}

static void a_charge_too_large_for_any_number_is_refused(void **state)
{
    struct levels l;

    (void)state;
    make(&l);
    assert_int_equal(budget_charge(&l.socket, 10, NULL), 0);
    assert_int_equal(budget_charge(&l.socket, SIZE_MAX, NULL), ERR_LIMIT);
    assert_int_equal(budget_charge(&l.socket, SIZE_MAX - 5, NULL), ERR_LIMIT);
    assert_used(&l, 10, 10, 0, 10);
}

static void the_level_in_the_way_can_be_asked_for_without_charging(void **state)
{
    struct levels l;
    struct err e;

    (void)state;
    make(&l);
    assert_null(budget_refuser(&l.socket, 200));
    assert_ptr_equal(budget_refuser(&l.socket, 201), &l.socket);
    assert_int_equal(budget_charge(&l.strangers, 250, NULL), 0);
    assert_ptr_equal(budget_refuser(&l.socket, 51), &l.strangers);
    assert_int_equal(budget_refusal(&l.socket, 51, &e), ERR_LIMIT);
    assert_string_equal(e.text, "the memory of unregistered providers is used up: 51 more bytes "
                                "asked for, 250 of 300 used");
    assert_int_equal(budget_refusal(&l.socket, 50, &e), ERR_LIMIT); /* there is room by now */
    assert_int_equal(l.strangers.refusals, 0);
}

static void a_maximum_lowered_below_what_is_used_refuses_until_enough_is_released(void **state)
{
    struct levels l;

    (void)state;
    make(&l);
    assert_int_equal(budget_charge(&l.socket, 150, NULL), 0);
    l.socket.max_bytes = 100;
    assert_int_equal(budget_charge(&l.socket, 1, NULL), ERR_LIMIT);
    budget_release(&l.socket, 51);
    assert_int_equal(budget_charge(&l.socket, 1, NULL), 0);
    assert_int_equal(budget_charge(&l.socket, 1, NULL), ERR_LIMIT);
}

static void a_socket_that_registers_takes_what_it_holds_to_its_new_class(void **state)
{
    struct levels l;
    struct err e;

    (void)state;
    make(&l);
    assert_int_equal(budget_charge(&l.socket, 150, NULL), 0);
    l.process.max_bytes = 150; /* full: but what moves is counted there already */
    assert_int_equal(budget_move(&l.socket, &l.providers, NULL), 0);
    assert_used(&l, 150, 0, 150, 150);
    l.strangers.max_bytes = 149;
    assert_int_equal(budget_move(&l.socket, &l.strangers, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "unregistered providers"));
    assert_used(&l, 150, 0, 150, 150);
    assert_int_equal(budget_move(&l.socket, &l.process, NULL), 0); /* one level up */
    assert_used(&l, 150, 0, 0, 150);
    assert_int_equal(budget_move(&l.socket, NULL, NULL), 0);
    assert_used(&l, 0, 0, 0, 150);
    assert_int_equal(budget_move(&l.socket, &l.providers, NULL), 0);
    assert_used(&l, 150, 0, 150, 150);
}

static void no_budget_bounds_nothing(void **state)
{
    (void)state;
    assert_int_equal(budget_charge(NULL, SIZE_MAX, NULL), 0);
    budget_release(NULL, SIZE_MAX);
    assert_null(budget_refuser(NULL, SIZE_MAX));
}

/* --- drawers --- */

static void a_drawer_takes_blocks_and_keeps_at_most_two_for_what_comes_next(void **state)
{
    struct budget all, drawer, socket;

    (void)state;
    budget_init_shared(&all, "all", 1000, NULL);
    budget_init_drawer(&drawer, 100, &all);
    budget_init(&socket, "this connection", SIZE_MAX, &drawer);
    assert_int_equal(budget_charge(&socket, 10, NULL), 0);
    assert_int_equal(budget_used(&all), 100);
    assert_int_equal(budget_charge(&socket, 90, NULL), 0);
    assert_int_equal(budget_used(&all), 100);
    assert_int_equal(budget_charge(&socket, 101, NULL), 0);
    assert_int_equal(budget_used(&all), 300);
    budget_release(&socket, 100); /* 101 are in use */
    assert_int_equal(budget_used(&all), 300);
    budget_release(&socket, 101);
    assert_int_equal(budget_used(&all), 100);
    assert_int_equal(budget_used(&drawer), 0);
    budget_empty_drawer(&drawer);
    assert_int_equal(budget_used(&all), 0);
}

static void through_drawers_a_level_is_filled_to_the_byte_too(void **state)
{
    struct budget all, drawer, socket;
    struct err e;

    (void)state;
    budget_init_shared(&all, "all", 250, NULL);
    budget_init_drawer(&drawer, 100, &all);
    budget_init(&socket, "this connection", SIZE_MAX, &drawer);
    assert_int_equal(budget_charge(&socket, 199, NULL), 0);
    assert_int_equal(budget_charge(&socket, 51, NULL), 0); /* no whole block is left */
    assert_int_equal(all.refusals, 0);
    assert_ptr_equal(budget_refuser(&socket, 1), &all);
    assert_int_equal(budget_charge(&socket, 1, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "the memory of all"));
    assert_int_equal(all.refusals, 1);
    assert_int_equal(budget_used(&socket), 250);
    budget_release(&socket, 250);
    budget_empty_drawer(&drawer);
}

static void a_socket_leaves_one_drawer_for_another_and_nobody_can_refuse(void **state)
{
    struct budget all, drawers[2], socket;

    (void)state;
    budget_init_shared(&all, "all", 200, NULL);
    for (int i = 0; i < 2; i++)
        budget_init_drawer(&drawers[i], 100, &all);
    budget_init(&socket, "this connection", SIZE_MAX, &drawers[0]);
    assert_int_equal(budget_charge(&socket, 150, NULL), 0); /* all is taken */
    budget_leave_drawer(&socket);
    assert_ptr_equal(socket.parent, &all);
    assert_int_equal(budget_used(&drawers[0]), 0);
    budget_enter_drawer(&socket, &drawers[1]);
    assert_ptr_equal(socket.parent, &drawers[1]);
    assert_int_equal(budget_used(&drawers[1]), 150);
    assert_int_equal(budget_used(&all), 200);
    budget_release(&socket, 150);
    for (int i = 0; i < 2; i++)
        budget_empty_drawer(&drawers[i]);
    assert_int_equal(budget_used(&all), 0);
}

static void a_socket_moves_between_classes_with_drawers_and_without(void **state)
{
    struct budget process, classes[2], drawers[2], socket;

    (void)state;
    budget_init_shared(&process, "the process", 1000, NULL);
    for (int i = 0; i < 2; i++) {
        budget_init_shared(&classes[i], "a class", 500, &process);
        budget_init_drawer(&drawers[i], 100, &classes[i]);
    }
    budget_init(&socket, "this connection", SIZE_MAX, &drawers[0]);
    assert_int_equal(budget_charge(&socket, 250, NULL), 0);
    assert_int_equal(budget_move(&socket, &drawers[1], NULL), 0);
    assert_int_equal(budget_used(&drawers[0]), 0);
    assert_int_equal(budget_used(&drawers[1]), 250);
    assert_int_equal(budget_move(&socket, &classes[0], NULL), 0);
    assert_int_equal(budget_move(&socket, &classes[0], NULL), 0);
    classes[1].max_bytes = 100;
    assert_int_equal(budget_move(&socket, &drawers[1], NULL), ERR_LIMIT);
    assert_ptr_equal(socket.parent, &classes[0]);
    budget_release(&socket, 250);
    for (int i = 0; i < 2; i++)
        budget_empty_drawer(&drawers[i]);
    assert_int_equal(budget_used(&process), 0);
}

/* --- several threads --- */

enum { THREADS = 4, ROUNDS = 20000, PIECE = 10 };

struct worker {
    pthread_t thread;
    struct budget own; /* of one thread, under the shared one or a drawer of it */
    struct budget drawer;
    size_t taken;
};

static void *charge_and_release(void *ud)
{
    struct worker *w = ud;

    for (int i = 0; i < ROUNDS; i++) {
        if (budget_charge(&w->own, PIECE, NULL) == 0)
            w->taken += PIECE;
        if (i % 3 == 0 && w->taken > 0) {
            budget_release(&w->own, PIECE);
            w->taken -= PIECE;
        }
    }
    return NULL;
}

static void a_shared_level_loses_nothing_between_threads(void **state)
{
    struct budget process;
    struct worker workers[THREADS] = {0};
    size_t taken = 0;

    (void)state;
    budget_init_shared(&process, "the process", 100 * PIECE, NULL);
    for (int i = 0; i < THREADS; i++) {
        budget_init(&workers[i].own, "one thread", SIZE_MAX / 2, &process);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, charge_and_release, &workers[i]),
                         0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(budget_used(&workers[i].own), workers[i].taken);
        taken += workers[i].taken;
    }
    assert_int_equal(budget_used(&process), taken);
    assert_true(taken <= 100 * PIECE);
    for (int i = 0; i < THREADS; i++)
        budget_release(&workers[i].own, workers[i].taken);
    assert_int_equal(budget_used(&process), 0);
}

static void threads_with_drawers_share_a_level_and_lose_nothing(void **state)
{
    struct budget process;
    struct worker workers[THREADS] = {0};

    (void)state;
    budget_init_shared(&process, "the process", 100 * PIECE, NULL);
    for (int i = 0; i < THREADS; i++) {
        budget_init_drawer(&workers[i].drawer, 7 * PIECE, &process);
        budget_init(&workers[i].own, "one thread", SIZE_MAX / 2, &workers[i].drawer);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, charge_and_release, &workers[i]),
                         0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        budget_release(&workers[i].own, workers[i].taken);
        budget_empty_drawer(&workers[i].drawer);
    }
    assert_int_equal(budget_used(&process), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_charge_counts_on_every_level_and_a_release_takes_it_off),
        cmocka_unit_test(each_level_is_filled_to_the_byte_and_names_itself_when_it_refuses),
        cmocka_unit_test(a_charge_too_large_for_any_number_is_refused),
        cmocka_unit_test(the_level_in_the_way_can_be_asked_for_without_charging),
        cmocka_unit_test(a_maximum_lowered_below_what_is_used_refuses_until_enough_is_released),
        cmocka_unit_test(a_socket_that_registers_takes_what_it_holds_to_its_new_class),
        cmocka_unit_test(no_budget_bounds_nothing),
        cmocka_unit_test(a_drawer_takes_blocks_and_keeps_at_most_two_for_what_comes_next),
        cmocka_unit_test(through_drawers_a_level_is_filled_to_the_byte_too),
        cmocka_unit_test(a_socket_leaves_one_drawer_for_another_and_nobody_can_refuse),
        cmocka_unit_test(a_socket_moves_between_classes_with_drawers_and_without),
        cmocka_unit_test(a_shared_level_loses_nothing_between_threads),
        cmocka_unit_test(threads_with_drawers_share_a_level_and_lose_nothing),
    };

    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
