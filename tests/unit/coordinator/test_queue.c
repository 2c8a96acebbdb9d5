/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for a slot: fairly over accounts, in order of arrival within one, for a
 * bounded time, and gone when they are. Who is called takes the best slot there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/admit/queue.h"
#include "unit/coordinator/fake_fleet.h"

enum { WAITERS = 12, ACCOUNTS = 3, WAIT_US = 30000000 };

struct waiter {
    struct queue_ticket ticket;
    struct attempt attempt;
};

struct line {
    struct fake_fleet *fleet;
    struct account accounts[ACCOUNTS];
    struct purse purses[ACCOUNTS];
    struct waiter waiters[WAITERS]; /* of the first account unless a test says otherwise */
    struct queue_limits limits;
    size_t called[4 * WAITERS]; /* numbers of waiters, in order */
    size_t n_called;
    size_t expired[WAITERS], n_expired;
    bool lazy; /* what is called takes nothing */
};

static struct line *line; /* of the running test: tickets have no pointer of ours */

static const struct attempt_result blameless = {.end = ATTEMPT_BLAMELESS};

static void on_called(struct queue_ticket *t)
{
    struct waiter *w = list_owner(t, struct waiter, ticket);
    struct offer *o = registry_choose(t->model, &(struct route_ask){.min_trust = t->min_trust});

    assert_true(line->n_called < 4 * WAITERS);
    line->called[line->n_called++] = (size_t)(w - line->waiters);
    if (line->lazy)
        return;
    assert_non_null(o);
    queue_leave(t);
    assert_int_equal(registry_attach(&w->attempt, o), 0);
}

static void on_expired(struct queue_ticket *t)
{
    assert_false(queue_waits(t));
    line->expired[line->n_expired++] =
        (size_t)(list_owner(t, struct waiter, ticket) - line->waiters);
}

static bool call(void *ud, struct model *m)
{
    (void)ud;
    return queue_call(m);
}

static int up(void **state)
{
    void *fleet = NULL;

    line = calloc(1, sizeof *line);
    if (fake_fleet_up(&fleet) < 0)
        return -1;
    line->fleet = fleet;
    line->fleet->on_capacity = call;
    line->limits = (struct queue_limits){1000, 100};
    for (size_t i = 0; i < ACCOUNTS; i++) {
        list_init(&line->accounts[i].waiting);
        line->accounts[i].purse = &line->purses[i];
    }
    for (size_t i = 0; i < WAITERS; i++) {
        line->waiters[i].ticket = (struct queue_ticket){.loop = line->fleet->loop,
                                                        .model = line->fleet->models[0],
                                                        .account = &line->accounts[0],
                                                        .called = on_called,
                                                        .expired = on_expired};
        (void)snprintf(line->waiters[i].attempt.wire_id, RAND_UUID_BYTES, "%zu", i);
    }
    *state = line;
    return 0;
}

static int down(void **state)
{
    void *fleet = line->fleet;

    (void)state;
    for (size_t i = 0; i < WAITERS; i++) {
        queue_leave(&line->waiters[i].ticket);
        registry_detach(&line->waiters[i].attempt, &blameless, false);
    }
    for (size_t i = 0; i < ACCOUNTS; i++) {
        assert_int_equal(atomic_load(&line->purses[i].n_waiting), 0);
        assert_true(list_empty(&line->accounts[i].waiting));
    }
    (void)fake_fleet_down(&fleet);
    free(line);
    return 0;
}

static int try_wait(struct line *l, size_t waiter)
{
    return queue_wait(&l->waiters[waiter].ticket, &l->limits, WAIT_US);
}

static void wait_in_line(struct line *l, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++)
        assert_int_equal(try_wait(l, i), 0);
}

static void leave(struct line *l, size_t waiter)
{
    queue_leave(&l->waiters[waiter].ticket);
}

static void give_back(struct line *l, size_t waiter)
{
    registry_detach(&l->waiters[waiter].attempt, &blameless, false);
}

static void assert_called(const struct line *l, const size_t *numbers, size_t n)
{
    assert_int_equal(l->n_called, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(l->called[i], numbers[i]);
}

#define ASSERT_CALLED(l, ...)                         \
    assert_called((l), (const size_t[]){__VA_ARGS__}, \
                  sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t))

static struct provider *provider_with_slots(struct line *l, int64_t slots, enum trust_level trust)
{
    return fake_fleet_add_with(
        l->fleet, &(struct fake_member){.trust = trust, .n_models = 1, .slots = slots});
}

static void those_who_wait_are_called_in_order_as_slots_become_free(void **state)
{
    struct line *l = *state;

    wait_in_line(l, 0, 4);
    assert_true(l->fleet->models[0]->n_waiting > 0);
    (void)provider_with_slots(l, 2, TRUST_NONE);
    ASSERT_CALLED(l, 0, 1);
    give_back(l, 1);
    ASSERT_CALLED(l, 0, 1, 2);
    give_back(l, 0);
    ASSERT_CALLED(l, 0, 1, 2, 3);
    assert_int_equal(l->fleet->models[0]->n_waiting, 0);
    give_back(l, 2);
    assert_int_equal(l->n_called, 4);
}

static void a_queue_is_of_one_model(void **state)
{
    struct line *l = *state;

    l->waiters[0].ticket.model = l->fleet->models[1];
    wait_in_line(l, 0, 2);
    assert_int_equal(l->fleet->models[1]->n_waiting, 1);
    (void)provider_with_slots(l, 4, TRUST_NONE); /* of the other model */
    ASSERT_CALLED(l, 1);
    assert_int_equal(l->fleet->models[1]->n_waiting, 1);
}

static void who_waits_twice_stands_once(void **state)
{
    struct line *l = *state;

    wait_in_line(l, 0, 2);
    wait_in_line(l, 0, 1);
    assert_int_equal(l->fleet->models[0]->n_waiting, 2);
    (void)provider_with_slots(l, 4, TRUST_NONE);
    ASSERT_CALLED(l, 0, 1);
}

static void a_full_queue_refuses_and_takes_the_next_when_one_leaves(void **state)
{
    struct line *l = *state;

    l->limits.per_model = 2;
    wait_in_line(l, 0, 2);
    assert_int_equal(try_wait(l, 2), ERR_BUSY);
    assert_int_equal(l->fleet->models[0]->n_waiting, 2);
    leave(l, 2); /* who does not wait is left alone */
    assert_int_equal(l->fleet->models[0]->n_waiting, 2);
    leave(l, 0);
    wait_in_line(l, 2, 1);
    (void)provider_with_slots(l, 4, TRUST_NONE);
    ASSERT_CALLED(l, 1, 2);
}

/* --- accounts --- */

/* R9: 1,000 requests of one account gave everybody 503. */
static void an_account_fills_only_its_own_share(void **state)
{
    struct line *l = *state;

    l->limits.per_account = 3;
    l->waiters[3].ticket.model = l->fleet->models[1];
    l->waiters[4].ticket.account = &l->accounts[1];
    wait_in_line(l, 0, 3);
    assert_int_equal(try_wait(l, 3), ERR_LIMIT); /* whatever the model */
    wait_in_line(l, 4, 1);
    leave(l, 1);
    wait_in_line(l, 3, 1);
}

static void slots_go_to_the_accounts_in_turn(void **state)
{
    struct line *l = *state;

    l->waiters[6].ticket.account = l->waiters[7].ticket.account = &l->accounts[1];
    l->waiters[8].ticket.account = &l->accounts[2];
    wait_in_line(l, 0, 9); /* six of the first, two of the second, one of the third */
    (void)provider_with_slots(l, 9, TRUST_NONE);
    ASSERT_CALLED(l, 0, 6, 8, 1, 7, 2, 3, 4, 5);
}

static void who_comes_back_stands_behind_the_others(void **state)
{
    struct line *l = *state;

    l->waiters[2].ticket.account = &l->accounts[1];
    wait_in_line(l, 0, 3);
    leave(l, 0); /* the first of its line: the second takes its place in turn */
    wait_in_line(l, 0, 1);
    (void)provider_with_slots(l, 3, TRUST_NONE);
    ASSERT_CALLED(l, 1, 2, 0);
}

/* --- the deadline --- */

static void who_waited_too_long_is_told(void **state)
{
    struct line *l = *state;

    l->waiters[0].ticket.min_trust = TRUST_HARDWARE;
    wait_in_line(l, 0, 1);
    loop_fake_advance(l->fleet->loop, 10000000);
    wait_in_line(l, 1, 1);
    loop_fake_advance(l->fleet->loop, 19999999);
    assert_int_equal(l->n_expired, 0);
    loop_fake_advance(l->fleet->loop, 1);
    assert_int_equal(l->n_expired, 1);
    assert_int_equal(l->expired[0], 0);
    assert_int_equal(l->fleet->models[0]->n_waiting, 1);
    loop_fake_advance(l->fleet->loop, 10000000);
    assert_int_equal(l->n_expired, 2);
    assert_int_equal(l->fleet->models[0]->n_waiting, 0);
}

static void who_is_cancelled_is_neither_called_nor_timed_out(void **state)
{
    struct line *l = *state;

    wait_in_line(l, 0, 3);
    leave(l, 1);
    leave(l, 1);
    assert_int_equal(l->fleet->models[0]->n_waiting, 2);
    (void)provider_with_slots(l, 4, TRUST_NONE);
    ASSERT_CALLED(l, 0, 2);
    loop_fake_advance(l->fleet->loop, 60000000);
    assert_int_equal(l->n_expired, 0);
}

/* --- trust --- */

static void a_demand_that_nobody_meets_does_not_block_those_behind_it(void **state)
{
    struct line *l = *state;

    l->waiters[0].ticket.min_trust = TRUST_HARDWARE;
    l->waiters[2].ticket.min_trust = TRUST_SELF_SIGNED;
    wait_in_line(l, 0, 4);
    (void)provider_with_slots(l, 2, TRUST_NONE);
    ASSERT_CALLED(l, 1, 3);
    (void)provider_with_slots(l, 4, TRUST_HARDWARE);
    ASSERT_CALLED(l, 1, 3, 0, 2);
}

static void who_is_called_and_takes_nothing_is_called_a_bounded_number_of_times(void **state)
{
    struct line *l = *state;

    l->lazy = true;
    l->waiters[1].ticket.account = &l->accounts[1];
    wait_in_line(l, 0, 2);
    (void)provider_with_slots(l, 4, TRUST_NONE);
    assert_true(l->n_called <= 2);
    assert_int_equal(l->fleet->models[0]->n_waiting, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(those_who_wait_are_called_in_order_as_slots_become_free),
        TEST(a_queue_is_of_one_model),
        TEST(who_waits_twice_stands_once),
        TEST(a_full_queue_refuses_and_takes_the_next_when_one_leaves),
        TEST(an_account_fills_only_its_own_share),
        TEST(slots_go_to_the_accounts_in_turn),
        TEST(who_comes_back_stands_behind_the_others),
        TEST(who_waited_too_long_is_told),
        TEST(who_is_cancelled_is_neither_called_nor_timed_out),
        TEST(a_demand_that_nobody_meets_does_not_block_those_behind_it),
        TEST(who_is_called_and_takes_nothing_is_called_a_bounded_number_of_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
