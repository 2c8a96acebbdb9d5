/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for a slot: in order of arrival, for a bounded time, and gone when they are.
 * The request path is this test's own: what is resumed takes the best slot there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/admit/queue.h"
#include "coordinator/flow/flow.h"
#include "unit/coordinator/fake_fleet.h"

enum { WAITERS = 12 };

struct line {
    struct fake_fleet *fleet;
    struct coord coord;
    struct request requests[WAITERS];
    size_t resumed[2 * WAITERS]; /* numbers of requests, in order */
    size_t n_resumed;
    size_t failed[WAITERS], n_failed;
    bool lazy; /* what is resumed takes nothing */
};

static struct line *line; /* what flow_resume and flow_fail write to */

void flow_resume(struct request *r)
{
    struct offer *o = registry_choose(r->model, r->min_trust, NULL, 0);

    assert_true(line->n_resumed < 2 * WAITERS);
    line->resumed[line->n_resumed++] = (size_t)(r - line->requests);
    if (line->lazy)
        return;
    assert_non_null(o);
    queue_leave(r);
    assert_int_equal(registry_attach(&r->attempts[0], o), 0);
}

void flow_fail(struct request *r)
{
    line->failed[line->n_failed++] = (size_t)(r - line->requests);
}

static void drain(void *ud, struct model *m)
{
    (void)ud;
    queue_drain(m);
}

static int up(void **state)
{
    void *fleet = NULL;

    line = calloc(1, sizeof *line);
    if (fake_fleet_up(&fleet) < 0)
        return -1;
    line->fleet = fleet;
    line->fleet->on_capacity = drain;
    line->fleet->on_capacity_ud = line;
    line->coord.loop = line->fleet->loop;
    line->coord.clock = loop_clock(line->fleet->loop);
    line->coord.settings = &line->fleet->settings;
    line->coord.registry = line->fleet->reg;
    for (size_t i = 0; i < WAITERS; i++) {
        line->requests[i].coord = &line->coord;
        line->requests[i].model = line->fleet->models[0];
        (void)snprintf(line->requests[i].attempts[0].wire_id, RAND_UUID_BYTES, "%zu", i);
    }
    *state = line;
    return 0;
}

static int down(void **state)
{
    void *fleet = line->fleet;

    (void)state;
    for (size_t i = 0; i < WAITERS; i++) {
        queue_leave(&line->requests[i]);
        registry_detach(&line->requests[i].attempts[0], false);
    }
    (void)fake_fleet_down(&fleet);
    free(line);
    return 0;
}

static void wait_in_line(struct line *l, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++)
        assert_int_equal(queue_wait(&l->requests[i]), 0);
}

static void assert_resumed(const struct line *l, const size_t *numbers, size_t n)
{
    assert_int_equal(l->n_resumed, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(l->resumed[i], numbers[i]);
}

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
    assert_resumed(l, (const size_t[]){0, 1}, 2);
    registry_detach(&l->requests[1].attempts[0], false);
    assert_resumed(l, (const size_t[]){0, 1, 2}, 3);
    registry_detach(&l->requests[0].attempts[0], false);
    assert_resumed(l, (const size_t[]){0, 1, 2, 3}, 4);
    assert_int_equal(l->fleet->models[0]->n_waiting, 0);
    registry_detach(&l->requests[2].attempts[0], false);
    assert_int_equal(l->n_resumed, 4);
}

static void a_queue_is_of_one_model(void **state)
{
    struct line *l = *state;

    l->requests[0].model = l->fleet->models[1];
    wait_in_line(l, 0, 2);
    assert_int_equal(l->fleet->models[1]->n_waiting, 1);
    (void)provider_with_slots(l, 4, TRUST_NONE); /* of the other model */
    assert_resumed(l, (const size_t[]){1}, 1);
    assert_int_equal(l->fleet->models[1]->n_waiting, 1);
}

static void who_waits_twice_stands_once(void **state)
{
    struct line *l = *state;

    wait_in_line(l, 0, 2);
    wait_in_line(l, 0, 1);
    assert_int_equal(l->fleet->models[0]->n_waiting, 2);
    (void)provider_with_slots(l, 4, TRUST_NONE);
    assert_resumed(l, (const size_t[]){0, 1}, 2);
}

static void a_full_queue_refuses_and_takes_the_next_when_one_leaves(void **state)
{
    struct line *l = *state;

    l->fleet->settings.queue_max = 2;
    wait_in_line(l, 0, 2);
    assert_int_equal(queue_wait(&l->requests[2]), ERR_BUSY);
    assert_int_equal(l->fleet->models[0]->n_waiting, 2);
    queue_leave(&l->requests[2]); /* who does not wait is left alone */
    assert_int_equal(l->fleet->models[0]->n_waiting, 2);
    queue_leave(&l->requests[0]);
    wait_in_line(l, 2, 1);
    (void)provider_with_slots(l, 4, TRUST_NONE);
    assert_resumed(l, (const size_t[]){1, 2}, 2);
}

/* --- the deadline --- */

static void who_waited_too_long_is_told_to_come_back(void **state)
{
    struct line *l = *state;
    const struct request *r = &l->requests[0];

    l->requests[0].min_trust = TRUST_HARDWARE;
    wait_in_line(l, 0, 1);
    loop_fake_advance(l->fleet->loop, 10000000);
    wait_in_line(l, 1, 1);
    loop_fake_advance(l->fleet->loop, 19999999);
    assert_int_equal(l->n_failed, 0);
    loop_fake_advance(l->fleet->loop, 1);
    assert_int_equal(l->n_failed, 1);
    assert_int_equal(l->failed[0], 0);
    assert_int_equal(r->error.id, API_NO_CAPACITY);
    assert_int_equal(r->error.status, 503);
    assert_true(r->error.retry_after_s > 0);
    assert_string_equal(r->error.param, "model");
    assert_non_null(strstr(r->error.message, "m0"));
    assert_non_null(strstr(r->error.message, "hardware"));
    assert_non_null(strstr(r->error.message, "30000 ms"));
    assert_int_equal(l->fleet->models[0]->n_waiting, 1);
    loop_fake_advance(l->fleet->loop, 10000000);
    assert_int_equal(l->n_failed, 2);
    assert_int_equal(l->fleet->models[0]->n_waiting, 0);
}

static void the_time_in_the_queue_is_counted_over_all_waits(void **state)
{
    struct line *l = *state;

    wait_in_line(l, 0, 1);
    loop_fake_advance(l->fleet->loop, 5000);
    queue_leave(&l->requests[0]);
    loop_fake_advance(l->fleet->loop, 1000000);
    wait_in_line(l, 0, 1);
    loop_fake_advance(l->fleet->loop, 700);
    queue_leave(&l->requests[0]);
    assert_int_equal(l->requests[0].times.queue_us, 5700);
}

static void who_is_cancelled_is_neither_called_nor_timed_out(void **state)
{
    struct line *l = *state;

    wait_in_line(l, 0, 3);
    queue_leave(&l->requests[1]);
    queue_leave(&l->requests[1]);
    assert_int_equal(l->fleet->models[0]->n_waiting, 2);
    (void)provider_with_slots(l, 4, TRUST_NONE);
    assert_resumed(l, (const size_t[]){0, 2}, 2);
    loop_fake_advance(l->fleet->loop, 60000000);
    assert_int_equal(l->n_failed, 0);
}

/* --- trust --- */

static void a_demand_that_nobody_meets_does_not_block_those_behind_it(void **state)
{
    struct line *l = *state;

    l->requests[0].min_trust = TRUST_HARDWARE;
    l->requests[2].min_trust = TRUST_SELF_SIGNED;
    wait_in_line(l, 0, 4);
    (void)provider_with_slots(l, 2, TRUST_NONE);
    assert_resumed(l, (const size_t[]){1, 3}, 2);
    (void)provider_with_slots(l, 4, TRUST_HARDWARE);
    assert_resumed(l, (const size_t[]){1, 3, 0, 2}, 4);
}

static void who_is_called_and_takes_nothing_is_called_once_a_time(void **state)
{
    struct line *l = *state;

    l->lazy = true;
    wait_in_line(l, 0, 2);
    (void)provider_with_slots(l, 4, TRUST_NONE);
    assert_resumed(l, (const size_t[]){0, 1}, 2);
    assert_int_equal(l->fleet->models[0]->n_waiting, 2);
    assert_false(l->fleet->models[0]->draining);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(those_who_wait_are_called_in_order_as_slots_become_free),
        TEST(a_queue_is_of_one_model),
        TEST(who_waits_twice_stands_once),
        TEST(a_full_queue_refuses_and_takes_the_next_when_one_leaves),
        TEST(who_waited_too_long_is_told_to_come_back),
        TEST(the_time_in_the_queue_is_counted_over_all_waits),
        TEST(who_is_cancelled_is_neither_called_nor_timed_out),
        TEST(a_demand_that_nobody_meets_does_not_block_those_behind_it),
        TEST(who_is_called_and_takes_nothing_is_called_once_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
