/* SPDX-License-Identifier: Apache-2.0 */
/* The expected wait, part by part: docs/internals/routing.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/registry/cost.h"
#include "unit/coordinator/fake_fleet.h"

static struct provider *reporting(struct fake_fleet *f, int64_t running, int64_t waiting,
                                  int64_t backlog)
{
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);
    struct msg_slot slot = {.model = STR("m0"),
                            .state = STR("running"),
                            .num_running = running,
                            .num_waiting = waiting,
                            .max_tokens_potential = backlog};
    const struct msg_heartbeat m = {.system_metrics = {.thermal_state = STR("nominal")},
                                    .has_backend_capacity = true,
                                    .backend_capacity = {&slot, 1, 0, 0, 0, 64, PROTO_UNSET}};

    provider_heartbeat(p, &m);
    return p;
}

/* Findings §4: with `1 -` two streams at once looked faster than one. */
static void each_stream_that_runs_beside_it_slows_a_stream(void **state)
{
    struct fake_fleet *f = *state;
    double last = 0;

    for (int64_t running = 0; running < 8; running++) {
        struct provider *p = reporting(f, running, 8 - running, 1000);

        (void)cost_of(&p->offers[0]);
        assert_true(p->offers[0].cost.decode_ms > last);
        assert_true(p->offers[0].cost.backlog_ms > 0);
        last = p->offers[0].cost.decode_ms;
    }
}

/* As many requests at both, but at one of them they only wait. */
static void of_two_that_have_as_much_to_do_the_one_with_fewer_at_once_is_chosen(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *crowded = reporting(f, 2, 0, 500), *queueing = reporting(f, 0, 2, 500);

    assert_ptr_not_equal(crowded, queueing);
    assert_ptr_equal(fake_fleet_choose(f, 0, TRUST_NONE), queueing);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_fleet_up, fake_fleet_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_stream_that_runs_beside_it_slows_a_stream),
        TEST(of_two_that_have_as_much_to_do_the_one_with_fewer_at_once_is_chosen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
