/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection may hold, how long its peer may take nothing, and what stays valid when it is
 * ended from inside a callback (findings L1, L11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_peer.h"
#include "net/conn.h"

enum { IN_MAX_BYTES = 100000, OUT_MAX_BYTES = 50000, STALL_MS = 5000 };

struct world {
    struct loop *l;
    struct fake_peer peer;
    struct budget process, strangers, known;
    struct conn_config config;
    struct conn *conn; /* NULL: let go */
    bool keep, finish; /* leave the input; end the connection in the next callback */
    char last_seen;    /* last byte of the input, looked at after the end */
    int closes, reason;
};

static void on_data(void *ud)
{
    struct world *w = ud;
    struct str v = buf_view(conn_in(w->conn));

    if (w->finish) {
        conn_finish(w->conn, 1000, 1 << 20);
        w->conn = NULL;
        w->last_seen = v.p[v.n - 1];
    } else if (!w->keep) {
        buf_clear(conn_in(w->conn));
    }
}

static void on_close(void *ud, int reason)
{
    struct world *w = ud;

    w->closes++;
    w->reason = reason;
    conn_free(w->conn);
    w->conn = NULL;
}

static int setup(void **state)
{
    static const struct conn_ops ops = {.on_data = on_data, .on_close = on_close};
    static struct world w;

    w = (struct world){0};
    budget_init(&w.process, "the process", 200000, NULL);
    budget_init(&w.strangers, "strangers", 20000, &w.process);
    budget_init(&w.known, "known peers", 180000, &w.process);
    w.config = (struct conn_config){.in_max_bytes = IN_MAX_BYTES,
                                    .out_max_bytes = OUT_MAX_BYTES,
                                    .budget = &w.strangers,
                                    .stall_ms = STALL_MS};
    if (loop_fake_new(0, &w.l) < 0)
        return -1;
    *state = &w;
    return conn_new(w.l, fake_peer_pair(&w.peer, w.l), &w.config, &ops, &w, &w.conn);
}

static int teardown(void **state)
{
    struct world *w = *state;

    conn_free(w->conn);
    fake_peer_close(&w->peer);
    loop_free(w->l);
    assert_int_equal(budget_used(&w->process), 0);
    assert_int_equal(budget_used(&w->strangers) + budget_used(&w->known), 0);
    return 0;
}

static struct str text_of(size_t n)
{
    static char text[IN_MAX_BYTES];

    memset(text, 't', sizeof text);
    return (struct str){text, n};
}

/* --- memory --- */

static void what_is_queued_and_what_is_left_unread_is_charged_to_every_level(void **state)
{
    struct world *w = *state;
    size_t idle = budget_used(&w->strangers); /* the connection itself */
    const struct str out = text_of(3000);

    assert_in_range(idle, 1, 2000);
    w->keep = true;
    assert_true(fake_peer_send(&w->peer, text_of(5000)));
    assert_int_equal(budget_used(&w->strangers), idle + conn_in(w->conn)->cap);
    assert_int_equal(conn_write(w->conn, &out, 1), 0);
    assert_int_equal(budget_used(&w->strangers),
                     idle + conn_in(w->conn)->cap + conn_out(w->conn)->cap);
    assert_int_equal(budget_used(&w->process), budget_used(&w->strangers));
    w->keep = false;
    conn_resume(w->conn);
    assert_int_equal(fake_peer_read(&w->peer).n, 3000);
    assert_in_range(budget_used(&w->strangers), idle, idle + (8 << 10)); /* a small output stays */
}

static void output_beyond_the_budget_is_refused_and_nothing_of_it_is_queued(void **state)
{
    struct world *w = *state;
    const struct str out = text_of(15000), more = text_of(10000);

    assert_int_equal(conn_write(w->conn, &out, 1), 0);
    assert_int_equal(conn_write(w->conn, &more, 1), ERR_LIMIT);
    assert_int_equal(conn_out_pending(w->conn), 15000);
    assert_int_equal(fake_peer_read(&w->peer).n, 15000);
    assert_int_equal(conn_write(w->conn, &more, 1), 0);
}

/* L1: what strangers may hold is bounded together, whatever each of them may. */
static void input_beyond_the_budget_ends_the_connection_with_a_reason(void **state)
{
    struct world *w = *state;
    size_t others = 10000;

    assert_int_equal(budget_charge(&w->strangers, others, NULL), 0);
    w->keep = true;
    assert_true(fake_peer_send(&w->peer, text_of(8000)));
    assert_int_equal(w->closes, 0);
    (void)fake_peer_send(&w->peer, text_of(5000));
    assert_int_equal(w->closes, 1);
    assert_int_equal(w->reason, ERR_LIMIT);
    assert_int_equal(budget_used(&w->strangers), others);
    budget_release(&w->strangers, others);
}

static void a_connections_own_bound_holds_below_its_class(void **state)
{
    struct world *w = *state;

    w->config.memory_max_bytes = budget_used(&w->strangers) + 4000;
    assert_int_equal(conn_set_limits(w->conn, &w->config), 0);
    assert_int_equal(budget_charge(conn_budget(w->conn), 4001, NULL), ERR_LIMIT);
    w->keep = true;
    assert_true(fake_peer_send(&w->peer, text_of(3000)));
    assert_int_equal(w->closes, 0);
    (void)fake_peer_send(&w->peer, text_of(2000));
    assert_int_equal(w->closes, 1);
    assert_int_equal(w->reason, ERR_LIMIT);
}

static void other_limits_move_what_is_held_to_another_class_or_change_nothing(void **state)
{
    struct world *w = *state;
    size_t held;

    w->keep = true;
    assert_true(fake_peer_send(&w->peer, text_of(10000)));
    held = budget_used(&w->strangers);
    w->known.max_bytes = held - 1;
    w->config.budget = &w->known;
    w->config.out_max_bytes = 10;
    assert_int_equal(conn_set_limits(w->conn, &w->config), ERR_LIMIT);
    assert_int_equal(budget_used(&w->strangers), held);
    assert_int_equal(conn_write(w->conn, (struct str[]){text_of(1000)}, 1), 0); /* as before */
    loop_fake_settle(w->l);
    held = budget_used(&w->strangers);
    w->known.max_bytes = held;
    assert_int_equal(conn_set_limits(w->conn, &w->config), 0);
    assert_int_equal(budget_used(&w->strangers), 0);
    assert_int_equal(budget_used(&w->known), held);
    assert_int_equal(conn_write(w->conn, (struct str[]){text_of(1000)}, 1), ERR_LIMIT);
}

/* --- peers that take nothing --- */

static void a_peer_that_takes_nothing_is_cut_after_its_time(void **state)
{
    struct world *w = *state;

    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 1000});
    loop_fake_advance(w->l, 3600 * 1000000LL); /* having been idle before does not count */
    assert_int_equal(conn_write(w->conn, (struct str[]){text_of(10000)}, 1), 0);
    loop_fake_advance(w->l, STALL_MS * 1000 - 1);
    assert_int_equal(w->closes, 0);
    loop_fake_advance(w->l, 1);
    assert_int_equal(w->closes, 1);
    assert_int_equal(w->reason, ERR_TIMEOUT);
}

static void a_peer_that_takes_a_little_now_and_then_is_kept(void **state)
{
    struct world *w = *state;
    char piece[1000];

    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = sizeof piece});
    assert_int_equal(conn_write(w->conn, (struct str[]){text_of(6000)}, 1), 0);
    for (int i = 0; i < 6; i++) {
        loop_fake_advance(w->l, STALL_MS * 1000 - 1);
        assert_int_equal(loop_recv(w->l, w->peer.sock, piece, sizeof piece), sizeof piece);
        loop_fake_settle(w->l);
    }
    loop_fake_advance(w->l, 3600 * 1000000LL); /* all was taken: nothing runs any more */
    assert_int_equal(w->closes, 0);
    assert_int_equal(conn_write(w->conn, (struct str[]){text_of(6000)}, 1), 0);
    loop_fake_advance(w->l, STALL_MS * 1000);
    assert_int_equal(w->closes, 1);
}

static void without_a_limit_a_peer_may_take_nothing_for_ever(void **state)
{
    struct world *w = *state;

    w->config.stall_ms = 0;
    assert_int_equal(conn_set_limits(w->conn, &w->config), 0);
    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_int_equal(conn_write(w->conn, (struct str[]){text_of(10000)}, 1), 0);
    loop_fake_advance(w->l, 24 * 3600 * 1000000LL);
    assert_int_equal(w->closes, 0);
}

/* --- finishing --- */

static size_t send_until_refused(struct world *w)
{
    size_t sent = 0;

    while (fake_peer_send(&w->peer, (struct str){"x", 1}))
        sent++;
    return sent;
}

/* L6; the mutation of the bound in findings §4 survived. */
static void
what_comes_after_the_end_is_dropped_to_the_byte_and_the_rest_stays_with_the_sender(void **state)
{
    static const size_t bounds[] = {0, 1, 3000, (64 << 10) + 1};

    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        struct world *w;

        if (i > 0) {
            assert_int_equal(teardown(state), 0);
            assert_int_equal(setup(state), 0);
        }
        w = *state;
        loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 500});
        conn_finish(w->conn, 1000, bounds[i]);
        w->conn = NULL;
        loop_fake_settle(w->l);
        assert_int_equal(send_until_refused(w), bounds[i] + 500);
        assert_true(fake_peer_ended(&w->peer)); /* it was told of the end, and may read it */
        loop_fake_advance(w->l, 999999);
        assert_false(fake_peer_send(&w->peer, STR("x")));
        assert_true(budget_used(&w->process) > 0);
        loop_fake_advance(w->l, 1);
        assert_int_equal(budget_used(&w->process), 0); /* closed */
    }
}

/* --- ended inside a callback --- */

/* L11: conn_finish freed the connection's own input under the callback that was looking at it. */
static void input_stays_valid_until_the_callback_that_ends_the_connection_returns(void **state)
{
    struct world *w = *state;

    w->keep = true;
    assert_true(fake_peer_send(&w->peer, STR("in pieces, so that it is ")));
    w->finish = true;
    assert_true(fake_peer_send(&w->peer, STR("the connection's own memory")));
    assert_null(w->conn);
    assert_int_equal(w->last_seen, 'y');
    assert_true(fake_peer_ended(&w->peer));
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_queued_and_what_is_left_unread_is_charged_to_every_level),
        T(output_beyond_the_budget_is_refused_and_nothing_of_it_is_queued),
        T(input_beyond_the_budget_ends_the_connection_with_a_reason),
        T(a_connections_own_bound_holds_below_its_class),
        T(other_limits_move_what_is_held_to_another_class_or_change_nothing),
        T(a_peer_that_takes_nothing_is_cut_after_its_time),
        T(a_peer_that_takes_a_little_now_and_then_is_kept),
        T(without_a_limit_a_peer_may_take_nothing_for_ever),
        T(what_comes_after_the_end_is_dropped_to_the_byte_and_the_rest_stays_with_the_sender),
        T(input_stays_valid_until_the_callback_that_ends_the_connection_returns),
    };

    return cmocka_run_group_tests_name("conn limits", tests, NULL, NULL);
}
