/* SPDX-License-Identifier: Apache-2.0 */
/* What loops publish of their offers, and where a request goes by it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/registry/directory.h"

enum { LOOPS = 4, HERE = 1 };

struct stage {
    struct directory *d;
    struct directory_row *row;
};

static int setup(void **state)
{
    static struct stage s;

    s.d = directory_new(LOOPS);
    assert_non_null(s.d);
    s.row = directory_hold(s.d, STR("model"));
    assert_non_null(s.row);
    *state = &s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    directory_release(s->d, s->row);
    directory_free(s->d);
    return 0;
}

/* What a loop has at TRUST_SELF_SIGNED; servable: as many as are free, at least `servable`. */
struct has {
    uint32_t free, servable;
    double cost_ms;
    uint64_t turn;
    int64_t reach;
};

static void publish_at(struct stage *s, unsigned loop, enum trust_level level, struct has h)
{
    const struct directory_offers o = {.free = h.free,
                                       .servable = h.servable > h.free ? h.servable : h.free,
                                       .cost_ms = h.cost_ms,
                                       .turn = h.turn,
                                       .reach = h.reach ? h.reach : INT64_MAX};

    directory_set_offers(s->row, loop, level, &o);
}

static void publish(struct stage *s, unsigned loop, struct has h)
{
    publish_at(s, loop, TRUST_SELF_SIGNED, h);
}

static const struct directory_ask plain_ask = {.here = HERE, .min_trust = TRUST_SELF_SIGNED};

static unsigned place(struct stage *s)
{
    return directory_place(s->row, &plain_ask);
}

/* --- rows --- */

static void a_row_is_one_for_all_who_hold_it_and_goes_with_the_last(void **state)
{
    struct stage *s = *state;
    struct directory_row *again = directory_hold(s->d, STR("model"));
    struct directory_row *found = directory_find(s->d, STR("model"));

    assert_ptr_equal(again, s->row);
    assert_ptr_equal(found, s->row);
    assert_null(directory_find(s->d, STR("nobody's")));
    directory_release(s->d, again);
    directory_release(s->d, found);
    directory_release(s->d, NULL);
    directory_release(s->d, s->row);
    assert_null(directory_find(s->d, STR("model")));
    s->row = directory_hold(s->d, STR("model"));
    assert_int_equal(directory_waiting(s->row), 0);
}

static void the_bounds_are_the_widest_of_all_loops(void **state)
{
    struct stage *s = *state;

    assert_int_equal(directory_context(s->row, 7), 7);
    assert_int_equal(directory_overhead(s->row, 8), 8);
    directory_set_bounds(s->row, 0, 2048, 300);
    directory_set_bounds(s->row, 2, 4096, 32);
    assert_int_equal(directory_context(s->row, 7), 4096);
    assert_int_equal(directory_overhead(s->row, 8), 300);
    directory_set_bounds(s->row, 3, INT64_MAX, 0);
    assert_int_equal(directory_context(s->row, 7), INT64_MAX);
    directory_set_bounds(s->row, 3, 0, 0); /* its last provider of the model has left */
    assert_int_equal(directory_context(s->row, 7), 4096);
}

/* --- somebody has a free offer --- */

static void with_no_offers_anywhere_a_request_stays(void **state)
{
    assert_int_equal(place(*state), HERE);
}

static void a_request_stays_where_its_own_loop_is_hardly_dearer(void **state)
{
    struct stage *s = *state;

    publish(s, HERE, (struct has){.free = 1, .cost_ms = 1300});
    publish(s, 3, (struct has){.free = 9, .cost_ms = 1000});
    assert_int_equal(place(s), HERE);
    publish(s, HERE, (struct has){.free = 1, .cost_ms = 4750}); /* somebody runs there */
    assert_int_equal(place(s), 3);
}

static void without_a_free_offer_of_its_own_it_goes_to_the_cheapest(void **state)
{
    struct stage *s = *state;

    publish(s, HERE, (struct has){.servable = 3});
    publish(s, 0, (struct has){.free = 1, .cost_ms = 900});
    publish(s, 2, (struct has){.free = 1, .cost_ms = 800});
    publish(s, 3, (struct has){.free = 1, .cost_ms = 800, .turn = 5});
    assert_int_equal(place(s), 2);
    assert_int_equal(directory_free_elsewhere(s->row, &plain_ask), 2);
    publish(s, 2, (struct has){.free = 1, .cost_ms = 800, .turn = 6});
    assert_int_equal(place(s), 3); /* of equals the one that was asked longer ago */
}

static void only_offers_of_the_demanded_trust_and_context_count(void **state)
{
    struct stage *s = *state;
    struct directory_ask ask = {.here = HERE, .min_trust = TRUST_HARDWARE, .tokens = 3000};

    publish(s, HERE, (struct has){.free = 1});
    publish_at(s, 0, TRUST_HARDWARE, (struct has){.free = 1, .cost_ms = 10, .reach = 2048});
    assert_int_equal(directory_place(s->row, &ask), 0); /* nobody has one: it waits there */
    assert_int_equal(directory_free_elsewhere(s->row, &ask), HERE);
    publish_at(s, 2, TRUST_HARDWARE, (struct has){.free = 1, .cost_ms = 90000, .reach = 4096});
    assert_int_equal(directory_place(s->row, &ask), 2);
    ask.tokens = 2000;
    assert_int_equal(directory_place(s->row, &ask), 0);
}

static void providers_that_it_has_tried_do_not_count(void **state)
{
    struct stage *s = *state;
    const uint8_t tried[LOOPS] = {[HERE] = 1, [2] = 1};
    const struct directory_ask ask = {.here = HERE, .min_trust = TRUST_SELF_SIGNED, .tried = tried};

    publish(s, HERE, (struct has){.free = 1});
    publish(s, 2, (struct has){.free = 1});
    assert_int_equal(directory_free_elsewhere(s->row, &ask), HERE);
    assert_false(directory_may_serve_elsewhere(s->row, &ask));
    publish(s, 2, (struct has){.free = 1, .servable = 2});
    assert_true(directory_may_serve_elsewhere(s->row, &ask));
    publish(s, 2, (struct has){.free = 2});
    assert_int_equal(directory_place(s->row, &ask), 2);
}

/* All that comes in one turn of the loop sees the same costs: what is on its way has to count. */
static void a_burst_is_spread_over_equal_loops(void **state)
{
    struct stage *s = *state;
    unsigned n[LOOPS] = {0};

    for (unsigned i = 0; i < LOOPS; i++) {
        if (i != HERE)
            publish(s, i, (struct has){.free = 2, .cost_ms = 500});
    }
    for (int i = 0; i < 30; i++) {
        unsigned to = place(s);

        n[to]++;
        directory_depart(s->row, to);
    }
    assert_int_equal(n[HERE], 0);
    assert_int_equal(n[0], 10);
    assert_int_equal(n[2], 10);
    assert_int_equal(n[3], 10);
    for (unsigned i = 0; i < LOOPS; i++) {
        while (n[i]-- > 0)
            directory_arrive(s->row, i);
    }
}

/* FR-5: two equal idle providers, on different loops, share within 60/40, although all requests
 * come to one of the loops, one after another; an answer takes 120 ms. */
static void equal_idle_providers_share_whichever_loop_they_are_on(void **state)
{
    struct stage *s = *state;
    uint64_t turn[LOOPS] = {0}, now = 10000000;
    int n[LOOPS] = {0};

    for (int i = 0; i < 100; i++, now += 120000) {
        unsigned to;

        publish(s, HERE, (struct has){.free = 1, .cost_ms = 100, .turn = turn[HERE]});
        publish(s, 2, (struct has){.free = 1, .cost_ms = 130, .turn = turn[2]});
        to = place(s);
        n[to]++;
        turn[to] = now;
    }
    assert_in_range(n[HERE], 40, 60);
    assert_in_range(n[2], 40, 60);
}

/* --- nobody has --- */

static void where_nothing_is_free_it_waits_where_the_fewest_wait_for_each_provider(void **state)
{
    struct stage *s = *state;

    publish(s, HERE, (struct has){.servable = 2});
    publish(s, 0, (struct has){.servable = 10});
    directory_set_waiting(s->row, HERE, TRUST_NONE, 3);
    directory_set_waiting(s->row, 0, TRUST_SELF_SIGNED, 10); /* 11 / 10 against 4 / 2 */
    assert_int_equal(place(s), HERE);
    directory_set_waiting(s->row, HERE, TRUST_NONE, 4);
    assert_int_equal(place(s), 0);
    assert_int_equal(directory_waiting(s->row), 14);
    publish(s, HERE, (struct has){.servable = 0});
    directory_set_waiting(s->row, HERE, TRUST_NONE, 0);
    assert_int_equal(place(s), 0); /* here nobody could ever serve it */
}

static void who_waits_elsewhere_is_found_in_turn_by_what_an_offer_would_do_for(void **state)
{
    struct stage *s = *state;

    assert_int_equal(directory_waiting_elsewhere(s->row, HERE, TRUST_HARDWARE, 0), HERE);
    directory_set_waiting(s->row, HERE, TRUST_NONE, 1); /* its own is not elsewhere */
    assert_int_equal(directory_waiting_elsewhere(s->row, HERE, TRUST_HARDWARE, 0), HERE);
    directory_set_waiting(s->row, 0, TRUST_HARDWARE, 1);
    directory_set_waiting(s->row, 3, TRUST_SELF_SIGNED, 1);
    assert_int_equal(directory_waiting_elsewhere(s->row, HERE, TRUST_SELF_SIGNED, 3), 3);
    assert_int_equal(directory_waiting_elsewhere(s->row, HERE, TRUST_HARDWARE, 3), 0);
    assert_int_equal(directory_waiting_elsewhere(s->row, HERE, TRUST_HARDWARE, 0), 3);
}

/* --- two threads --- */

enum { ROUNDS = 20000 };

struct race {
    struct stage *s;
    _Atomic int arrived; /* at the start of a round, by both */
    bool found_free[ROUNDS], found_waiting[ROUNDS];
};

static void race_start(struct race *r, int round)
{
    atomic_fetch_add(&r->arrived, 1);
    while (atomic_load(&r->arrived) < 2 * (round + 1))
        ;
}

static void *let_wait(void *ud)
{
    struct race *r = ud;
    const struct directory_ask ask = {.here = 0, .min_trust = TRUST_SELF_SIGNED};

    for (int i = 0; i < ROUNDS; i++) {
        race_start(r, 2 * i);
        directory_set_waiting(r->s->row, 0, TRUST_SELF_SIGNED, 1);
        r->found_free[i] = directory_free_elsewhere(r->s->row, &ask) != 0;
        race_start(r, 2 * i + 1);
        directory_set_waiting(r->s->row, 0, TRUST_SELF_SIGNED, 0);
    }
    return NULL;
}

static void a_free_offer_and_a_waiting_request_never_miss_each_other(void **state)
{
    static struct race r;
    pthread_t thread;

    r = (struct race){.s = *state};
    assert_int_equal(pthread_create(&thread, NULL, let_wait, &r), 0);
    for (int i = 0; i < ROUNDS; i++) {
        race_start(&r, 2 * i);
        publish(r.s, 1, (struct has){.free = 1});
        r.found_waiting[i] = directory_waiting_elsewhere(r.s->row, 1, TRUST_SELF_SIGNED, 0) != 1;
        race_start(&r, 2 * i + 1);
        publish(r.s, 1, (struct has){.free = 0});
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < ROUNDS; i++)
        assert_true(r.found_free[i] || r.found_waiting[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        TEST(a_row_is_one_for_all_who_hold_it_and_goes_with_the_last),
        TEST(the_bounds_are_the_widest_of_all_loops),
        TEST(with_no_offers_anywhere_a_request_stays),
        TEST(a_request_stays_where_its_own_loop_is_hardly_dearer),
        TEST(without_a_free_offer_of_its_own_it_goes_to_the_cheapest),
        TEST(only_offers_of_the_demanded_trust_and_context_count),
        TEST(providers_that_it_has_tried_do_not_count),
        TEST(a_burst_is_spread_over_equal_loops),
        TEST(equal_idle_providers_share_whichever_loop_they_are_on),
        TEST(where_nothing_is_free_it_waits_where_the_fewest_wait_for_each_provider),
        TEST(who_waits_elsewhere_is_found_in_turn_by_what_an_offer_would_do_for),
        TEST(a_free_offer_and_a_waiting_request_never_miss_each_other),
    };

    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
