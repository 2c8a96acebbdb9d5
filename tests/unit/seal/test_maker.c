/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that a thread of their own makes ahead of need. No test waits for a time: what is
 * ordered comes, or the maker is freed. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "seal/maker.h"

enum { SLOTS = 2 * BOX_PORT_JOBS, LOOPS = 3, EACH = 400 };

/* One loop, its provider's key, and what it has of the maker. */
struct side {
    struct box_slab *slab;
    struct box_port *port;
    struct box_pair *provider;
    uint8_t provider_public[BOX_KEY_BYTES];
    struct box_stock stock;
    struct box_maker *maker;
    pthread_t thread;
    int failed;
};

static void side_open(struct side *s, struct box_maker *m)
{
    *s = (struct side){.maker = m};
    assert_int_equal(box_slab_new(SLOTS, &s->slab), 0);
    assert_int_equal(box_port_new(m, &s->port), 0);
    assert_int_equal(box_pair_new(&s->provider), 0);
    assert_int_equal(
        box_public_parse(str_from(box_pair_public_b64(s->provider)), s->provider_public), 0);
}

static void side_close(struct side *s)
{
    box_stock_drop(&s->stock, s->port);
    box_port_free(s->port);
    assert_int_equal(box_slab_left(s->slab), SLOTS);
    box_slab_free(s->slab);
    box_pair_free(s->provider);
}

static int up(void **state)
{
    struct side *s = calloc(1, sizeof *s);
    struct box_maker *m;

    assert_int_equal(box_maker_new(&m), 0);
    side_open(s, m);
    *state = s;
    return 0;
}

static int down(void **state)
{
    struct side *s = *state;

    box_maker_free(s->maker);
    side_close(s);
    free(s);
    return 0;
}

static void order(struct side *s, unsigned target)
{
    box_stock_order(&s->stock, s->slab, s->port, s->provider_public, target);
}

static struct box_session *take_made(struct side *s)
{
    struct box_session *made = box_stock_take(&s->stock, s->port);

    while (!made) {
        sched_yield();
        made = box_stock_take(&s->stock, s->port);
    }
    return made;
}

/* Whether what the session seals is opened by the provider. */
static bool opens(struct side *s, struct box_session *session)
{
    static const char words[] = "what is the capital of France?";
    struct box_session *end = NULL;
    uint8_t key[BOX_KEY_BYTES];
    struct buf sealed, plain;
    bool ok;

    buf_init(&sealed, 4096);
    buf_init(&plain, 4096);
    ok = box_public_parse(str_from(box_session_public_b64(session)), key) == 0 &&
         box_session_accept(s->slab, s->provider, key, &end) == 0 &&
         box_seal_append(session, str_from(words), &sealed) == 0 &&
         box_open(end, buf_view(&sealed), &plain) == 0 && str_eq(buf_view(&plain), str_from(words));
    box_session_close(end);
    buf_free(&sealed);
    buf_free(&plain);
    return ok;
}

static void a_session_that_was_ordered_seals_to_the_provider(void **state)
{
    struct side *s = *state;
    struct box_session *made;

    assert_null(box_stock_take(&s->stock, s->port));
    order(s, 1);
    made = take_made(s);
    assert_true(opens(s, made));
    box_session_close(made);
}

static void each_session_has_a_key_pair_of_its_own(void **state)
{
    struct side *s = *state;
    struct box_session *a, *b;

    order(s, 2);
    a = take_made(s);
    b = take_made(s);
    assert_string_not_equal(box_session_public_b64(a), box_session_public_b64(b));
    box_session_close(a);
    box_session_close(b);
}

static void no_more_is_ordered_than_the_stock_is_to_have(void **state)
{
    struct side *s = *state;

    order(s, 3);
    order(s, 3);
    assert_int_equal(s->stock.n + s->stock.ordered, 3);
    assert_int_equal(box_slab_left(s->slab), SLOTS - 3);
    order(s, 0);
    assert_int_equal(box_slab_left(s->slab), SLOTS - 3);
}

static void what_is_wanted_doubles_each_time_there_is_none(void **state)
{
    struct side *s = *state;
    static const unsigned wanted[] = {1, 2, 4, 8, 16, 16};

    assert_int_equal(s->stock.wanted, 0);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_null(box_stock_take(&s->stock, s->port));
        assert_int_equal(s->stock.wanted, wanted[i]);
    }
}

static void the_queue_is_bounded_and_the_rest_is_not_ordered(void **state)
{
    struct side *s = *state;
    static struct box_stock stocks[BOX_PORT_JOBS / BOX_STOCK_MAX + 1];
    size_t n = sizeof stocks / sizeof stocks[0];

    /* Nothing is collected here, so every job stays in use. */
    for (size_t i = 0; i < n; i++)
        box_stock_order(&stocks[i], s->slab, s->port, s->provider_public, BOX_STOCK_MAX);
    assert_int_equal(box_slab_left(s->slab), SLOTS - BOX_PORT_JOBS);
    assert_int_equal(stocks[n - 2].ordered, BOX_STOCK_MAX);
    assert_int_equal(stocks[n - 1].ordered, 0);
    for (size_t i = 0; i < n; i++)
        box_stock_drop(&stocks[i], s->port);
}

static void a_full_slab_orders_nothing(void **state)
{
    struct side *s = *state;
    static struct box_session *taken[SLOTS];

    for (size_t i = 0; i < SLOTS; i++)
        taken[i] = box_session_reserve(s->slab);
    order(s, 1);
    assert_int_equal(s->stock.ordered, 0);
    for (size_t i = 0; i < SLOTS; i++)
        box_session_close(taken[i]);
}

static void what_comes_for_a_provider_that_has_gone_is_given_back(void **state)
{
    struct side *s = *state;
    struct box_stock *gone = calloc(1, sizeof *gone);
    struct box_session *made;

    box_stock_order(gone, s->slab, s->port, s->provider_public, 4);
    box_stock_drop(gone, s->port);
    assert_int_equal(gone->ordered, 0);
    free(gone); /* a session that came to it now would be a use after free */
    order(s, 1);
    made = take_made(s); /* orders are made in turn: those for the other are back too */
    assert_int_equal(box_slab_left(s->slab), SLOTS - 1);
    box_session_close(made);
}

static void a_key_of_low_order_leaves_nothing_behind(void **state)
{
    struct side *s = *state;
    static const uint8_t low[BOX_KEY_BYTES];
    struct box_stock bad = {.n = 0};
    struct box_session *made;

    box_stock_order(&bad, s->slab, s->port, low, 1);
    order(s, 1);
    made = take_made(s);
    assert_int_equal(bad.n, 0);
    assert_int_equal(bad.ordered, 0);
    assert_int_equal(box_slab_left(s->slab), SLOTS - 1);
    box_session_close(made);
    box_stock_drop(&bad, s->port);
}

static void the_end_does_not_wait_for_what_was_ordered(void **state)
{
    struct side *s = *state;

    for (unsigned target = 1; target <= BOX_STOCK_MAX; target++)
        order(s, target);
    box_maker_free(s->maker);
    s->maker = NULL;
    /* The teardown frees the port with its orders made, half made and not begun: every slot is
     * back then. */
}

static void without_a_port_sessions_are_made_at_once(void **state)
{
    struct side *s = *state;

    box_stock_order(&s->stock, s->slab, NULL, s->provider_public, 2);
    assert_int_equal(s->stock.n, 2);
    assert_int_equal(s->stock.ordered, 0);
    assert_true(opens(s, s->stock.ready[0]));
    box_stock_drop(&s->stock, NULL);
    assert_int_equal(box_slab_left(s->slab), SLOTS);
}

/* --- several loops --- */

static void *ask(void *ud)
{
    struct side *s = ud;

    for (int i = 0; i < EACH; i++) {
        struct box_session *session = box_stock_take(&s->stock, s->port);

        if (!session && box_session_open(s->slab, s->provider_public, &session) < 0)
            s->failed++;
        else if (i % 16 == 0 && !opens(s, session))
            s->failed++;
        box_session_close(session);
        order(s, s->stock.wanted);
        if (i % 50 == 49) /* reconnects */
            box_stock_drop(&s->stock, s->port);
    }
    return NULL;
}

static void several_loops_order_from_one_maker(void **state)
{
    struct side *first = *state, sides[LOOPS];

    for (int i = 0; i < LOOPS; i++)
        side_open(&sides[i], first->maker);
    for (int i = 0; i < LOOPS; i++)
        assert_int_equal(pthread_create(&sides[i].thread, NULL, ask, &sides[i]), 0);
    for (int i = 0; i < LOOPS; i++) {
        pthread_join(sides[i].thread, NULL);
        assert_int_equal(sides[i].failed, 0);
    }
    box_maker_free(first->maker);
    first->maker = NULL;
    for (int i = 0; i < LOOPS; i++)
        side_close(&sides[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_that_was_ordered_seals_to_the_provider),
        TEST(each_session_has_a_key_pair_of_its_own),
        TEST(no_more_is_ordered_than_the_stock_is_to_have),
        TEST(what_is_wanted_doubles_each_time_there_is_none),
        TEST(the_queue_is_bounded_and_the_rest_is_not_ordered),
        TEST(a_full_slab_orders_nothing),
        TEST(what_comes_for_a_provider_that_has_gone_is_given_back),
        TEST(a_key_of_low_order_leaves_nothing_behind),
        TEST(the_end_does_not_wait_for_what_was_ordered),
        TEST(without_a_port_sessions_are_made_at_once),
        TEST(several_loops_order_from_one_maker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
