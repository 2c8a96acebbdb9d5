/* SPDX-License-Identifier: Apache-2.0 */
/* The buffered stream: partial writes, limits in both directions, and every way it can end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_peer.h"
#include "net/conn.h"

enum { IN_MAX_BYTES = 1000, OUT_MAX_BYTES = 5000 };

/* What the owner does inside a callback. */
enum act { ACT_NONE, ACT_FREE, ACT_FINISH, ACT_PAUSE, ACT_WRITE };

struct world {
    struct loop *l;
    struct fake_peer peer;
    struct conn *conn; /* NULL: let go */
    enum act on_data_act, on_drain_act;
    size_t leave; /* unread bytes that the owner does not consume */
    struct buf got;
    int data_calls, drains, closes, reason;
};

static void act(struct world *w, enum act a)
{
    const struct str more = STR("more");

    if (a == ACT_FREE)
        conn_free(w->conn);
    else if (a == ACT_FINISH)
        conn_finish(w->conn, 1000, 1 << 20);
    else if (a == ACT_PAUSE)
        conn_pause(w->conn);
    else if (a == ACT_WRITE)
        assert_int_equal(conn_write(w->conn, &more, 1), 0);
    if (a == ACT_FREE || a == ACT_FINISH)
        w->conn = NULL;
}

static void on_data(void *ud)
{
    struct world *w = ud;
    struct buf *in = conn_in(w->conn);

    w->data_calls++;
    assert_true(in->len > 0);
    assert_true(in->len <= IN_MAX_BYTES);
    if (in->len > w->leave) {
        size_t n = in->len - w->leave;

        assert_int_equal(buf_append(&w->got, buf_view(in).p, n), 0);
        buf_consume(in, n);
    }
    act(w, w->on_data_act);
}

static void on_drain(void *ud)
{
    struct world *w = ud;

    w->drains++;
    assert_int_equal(conn_out_pending(w->conn), 0);
    assert_false(conn_blocked(w->conn));
    act(w, w->on_drain_act);
}

static void on_close(void *ud, int reason)
{
    struct world *w = ud;

    w->closes++;
    w->reason = reason;
    conn_free(w->conn);
    w->conn = NULL;
}

/* As on_data, of more than the usual. */
static void on_large_data(void *ud)
{
    struct world *w = ud;
    struct buf *in = conn_in(w->conn);

    if (in->len > w->leave)
        buf_consume(in, in->len - w->leave);
}

static const struct conn_ops large_ops = {.on_data = on_large_data, .on_close = on_close};
static const struct conn_ops ops = {.on_data = on_data, .on_drain = on_drain, .on_close = on_close};

static int setup(void **state)
{
    static const struct conn_config config = {.in_max_bytes = IN_MAX_BYTES,
                                              .out_max_bytes = OUT_MAX_BYTES};
    static struct world w;

    w = (struct world){0};
    buf_init(&w.got, 1 << 20);
    if (loop_fake_new(0, &w.l) < 0)
        return -1;
    *state = &w;
    return conn_new(w.l, fake_peer_pair(&w.peer, w.l), &config, &ops, &w, &w.conn);
}

static int teardown(void **state)
{
    struct world *w = *state;

    conn_free(w->conn);
    fake_peer_close(&w->peer);
    buf_free(&w->got);
    loop_free(w->l);
    return 0;
}

static void fill(char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + i % 23);
}

/* --- writing --- */

static void what_is_written_in_one_iteration_leaves_at_its_end(void **state)
{
    struct world *w = *state;
    const struct str parts[] = {STR("one "), STR(""), STR("two ")}, last = STR("three");

    assert_int_equal(conn_write(w->conn, parts, 3), 0);
    assert_int_equal(conn_write(w->conn, &last, 1), 0);
    assert_int_equal(conn_out_pending(w->conn), 13);
    assert_int_equal(conn_taken_total(w->conn), 0);
    assert_true(str_is(fake_peer_read(&w->peer), "one two three"));
    assert_int_equal(conn_out_pending(w->conn), 0);
    assert_int_equal(conn_taken_total(w->conn), 13);
    assert_int_equal(w->drains, 0); /* nothing had to wait */
}

static void partial_sends_lose_and_reorder_nothing(void **state)
{
    static const struct loop_fake_faults faults[] = {
        {.send_max = 1}, {.send_max = 7}, {.socket_bytes = 1}, {.send_max = 3, .socket_bytes = 10}};
    struct world *w = *state;
    char text[3000];
    const struct str all = {text, sizeof text};

    fill(text, sizeof text);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        loop_fake_set_faults(w->l, faults[i]);
        fake_peer_forget(&w->peer);
        assert_int_equal(conn_write(w->conn, &all, 1), 0);
        assert_true(str_eq(fake_peer_read(&w->peer), all));
    }
}

static void more_than_the_maximum_is_refused_and_nothing_of_it_is_queued(void **state)
{
    struct world *w = *state;
    char text[OUT_MAX_BYTES];
    const struct str parts[] = {{text, 3000}, {text, 2001}}, fits = {text, 2000};

    fill(text, sizeof text);
    assert_int_equal(conn_write(w->conn, parts, 2), ERR_LIMIT);
    assert_int_equal(conn_out_pending(w->conn), 0);
    assert_int_equal(conn_write(w->conn, parts, 1), 0);
    assert_int_equal(conn_write(w->conn, &fits, 1), 0); /* to the byte */
    assert_int_equal(conn_write(w->conn, &(struct str){"x", 1}, 1), ERR_LIMIT);
    assert_int_equal(conn_write(w->conn, &(struct str){"", 0}, 1), 0);
    assert_int_equal(fake_peer_read(&w->peer).n, OUT_MAX_BYTES);
    assert_int_equal(conn_write(w->conn, parts, 1), 0); /* room again */
    assert_int_equal(fake_peer_read(&w->peer).n, OUT_MAX_BYTES + 3000);
}

static void a_peer_that_does_not_read_blocks_and_its_reading_drains_once(void **state)
{
    struct world *w = *state;
    char text[4000];
    const struct str all = {text, sizeof text};
    struct clock c = loop_clock(w->l);
    int64_t before;

    fill(text, sizeof text);
    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 1500});
    assert_int_equal(conn_write(w->conn, &all, 1), 0);
    loop_fake_settle(w->l);
    before = clock_mono_us(&c);
    assert_true(conn_blocked(w->conn));
    assert_int_equal(conn_out_pending(w->conn), 2500);
    assert_int_equal(conn_taken_total(w->conn), 1500);
    loop_fake_advance(w->l, 5000000);
    assert_int_equal(conn_last_taken_us(w->conn), before); /* nothing has moved since */
    assert_int_equal(w->drains, 0);
    assert_int_equal(fake_peer_read(&w->peer).n, 4000);
    assert_int_equal(w->drains, 1);
    assert_false(conn_blocked(w->conn));
    assert_int_equal(conn_last_taken_us(w->conn), before + 5000000);
}

static void writing_may_go_on_from_the_drain_callback(void **state)
{
    struct world *w = *state;
    char text[4000];
    const struct str all = {text, sizeof text};

    fill(text, sizeof text);
    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 1500});
    w->on_drain_act = ACT_WRITE;
    assert_int_equal(conn_write(w->conn, &all, 1), 0);
    assert_int_equal(fake_peer_read(&w->peer).n, 4004);
    assert_int_equal(w->drains, 1);
}

/* --- reading --- */

static void bytes_are_handed_over_in_order_however_they_arrive(void **state)
{
    static const struct loop_fake_faults faults[] = {{0}, {.recv_max = 1}, {.recv_max = 999}};
    static const size_t leave[] = {0, 1, 999};
    struct world *w = *state;
    char text[3000];

    fill(text, sizeof text);
    for (size_t i = 0; i < 9; i++) {
        buf_clear(&w->got);
        w->leave = 0;
        loop_fake_set_faults(w->l, faults[i / 3]);
        w->leave = leave[i % 3];
        assert_true(fake_peer_send(&w->peer, (struct str){text, sizeof text}));
        w->leave = 0; /* now the rest */
        if (conn_in(w->conn)->len > 0)
            conn_resume(w->conn);
        loop_fake_settle(w->l);
        assert_true(str_eq(buf_view(&w->got), (struct str){text, sizeof text}));
    }
}

static void unread_input_at_the_maximum_stops_the_reading(void **state)
{
    struct world *w = *state;
    char text[5000];

    fill(text, sizeof text);
    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 1500});
    w->leave = IN_MAX_BYTES;
    /* the owner holds its maximum, the socket its own; the rest stays with the sender */
    assert_false(fake_peer_send(&w->peer, (struct str){text, sizeof text}));
    assert_int_equal(conn_in(w->conn)->len, IN_MAX_BYTES);
    assert_int_equal(w->got.len, 0);
    w->leave = 0;
    conn_resume(w->conn);
    loop_fake_settle(w->l);
    assert_int_equal(conn_in(w->conn)->len, 0);
    assert_true(str_eq(buf_view(&w->got), (struct str){text, IN_MAX_BYTES + 1500}));
}

static void a_paused_connection_hands_nothing_over_until_it_resumes(void **state)
{
    struct world *w = *state;

    conn_pause(w->conn);
    assert_true(fake_peer_send(&w->peer, STR("abc")));
    assert_true(fake_peer_send(&w->peer, STR("def")));
    assert_int_equal(w->data_calls, 0);
    conn_resume(w->conn);
    assert_int_equal(w->data_calls, 0); /* not from inside the call */
    loop_fake_settle(w->l);
    assert_int_equal(w->data_calls, 1);
    assert_true(str_is(buf_view(&w->got), "abcdef"));
}

static void pausing_inside_the_callback_keeps_what_was_left(void **state)
{
    struct world *w = *state;

    w->leave = 2;
    w->on_data_act = ACT_PAUSE;
    assert_true(fake_peer_send(&w->peer, STR("abcd")));
    assert_true(fake_peer_send(&w->peer, STR("ef")));
    assert_int_equal(w->data_calls, 1);
    w->leave = 0;
    conn_resume(w->conn);
    loop_fake_settle(w->l);
    assert_true(str_is(buf_view(&w->got), "abcdef"));
}

/* However it came, and whether it was read at once or after a pause. */
static void what_held_a_large_message_is_given_back(void **state)
{
    static const struct conn_config large = {.in_max_bytes = 100000,
                                             .out_max_bytes = OUT_MAX_BYTES};
    struct world *w = *state;
    static char text[90000];

    assert_int_equal(conn_set_limits(w->conn, &large), 0);
    conn_set_ops(w->conn, &large_ops, w);
    for (int paused = 0; paused < 2; paused++) {
        w->leave = paused ? 0 : sizeof text - 1;
        if (paused)
            conn_pause(w->conn);
        assert_true(fake_peer_send(&w->peer, (struct str){text, sizeof text - 1}));
        assert_true(conn_in(w->conn)->cap >= sizeof text - 1);
        w->leave = 0;
        if (paused)
            conn_resume(w->conn);
        assert_true(fake_peer_send(&w->peer, STR("x")));
        assert_int_equal(conn_in(w->conn)->len, 0);
        assert_int_equal(conn_in(w->conn)->cap, 0);
    }
}

/* --- another owner --- */

struct successor {
    struct conn *conn;
    size_t seen;
    int closes;
};

static void successor_data(void *ud)
{
    struct successor *s = ud;

    s->seen += conn_in(s->conn)->len;
    buf_clear(conn_in(s->conn));
}

static void successor_close(void *ud, int reason)
{
    (void)reason;
    ((struct successor *)ud)->closes++;
}

static void a_new_owner_with_smaller_limits_still_gets_what_was_left(void **state)
{
    static const struct conn_config small = {.in_max_bytes = 16, .out_max_bytes = 16};
    static const struct conn_ops successor_ops = {.on_data = successor_data,
                                                  .on_close = successor_close};
    struct world *w = *state;
    struct successor s = {.conn = w->conn};
    char text[800];
    const struct str queued = {text, 500}, more = STR("x");

    fill(text, sizeof text);
    w->leave = 700;
    assert_true(fake_peer_send(&w->peer, (struct str){text, 800}));
    assert_int_equal(conn_write(w->conn, &queued, 1), 0);
    assert_int_equal(conn_set_limits(w->conn, &small), 0);
    conn_set_ops(w->conn, &successor_ops, &s);
    assert_int_equal(conn_write(w->conn, &more, 1), ERR_LIMIT); /* 500 of 16 are queued */
    conn_resume(w->conn);
    assert_true(fake_peer_send(&w->peer, (struct str){text, 100}));
    assert_int_equal(s.seen, 800);
    assert_int_equal(fake_peer_read(&w->peer).n, 500);
    assert_int_equal(conn_write(w->conn, &more, 1), 0);
    assert_int_equal(s.closes, 0);
}

/* Hands over from inside its callback, where the input still stands in the loop's memory. */
struct predecessor {
    struct successor *to;
    int closes;
};

static void predecessor_data(void *ud)
{
    static const struct conn_config small = {.in_max_bytes = 16, .out_max_bytes = 16};
    static const struct conn_ops successor_ops = {.on_data = successor_data,
                                                  .on_close = successor_close};
    struct predecessor *p = ud;

    assert_int_equal(conn_set_limits(p->to->conn, &small), 0);
    conn_set_ops(p->to->conn, &successor_ops, p->to);
    conn_resume(p->to->conn);
}

static void predecessor_close(void *ud, int reason)
{
    (void)reason;
    ((struct predecessor *)ud)->closes++;
}

static void an_owner_may_hand_over_inside_its_callback_more_than_the_next_ones_maximum(void **state)
{
    static const struct conn_config config = {.in_max_bytes = IN_MAX_BYTES,
                                              .out_max_bytes = OUT_MAX_BYTES};
    static const struct conn_ops predecessor_ops = {.on_data = predecessor_data,
                                                    .on_close = predecessor_close};
    struct world *w = *state;
    struct successor s = {.conn = w->conn};
    struct predecessor p = {.to = &s};
    char text[800];

    fill(text, sizeof text);
    assert_int_equal(conn_set_limits(w->conn, &config), 0);
    conn_set_ops(w->conn, &predecessor_ops, &p);
    assert_true(fake_peer_send(&w->peer, (struct str){text, 800}));
    assert_true(fake_peer_send(&w->peer, (struct str){text, 100}));
    assert_int_equal(s.seen, 900);
    assert_int_equal(p.closes + s.closes, 0);
}

/* --- ends --- */

static void the_peers_end_of_stream_is_told_once_after_its_last_bytes(void **state)
{
    struct world *w = *state;

    assert_true(fake_peer_send(&w->peer, STR("last")));
    fake_peer_close(&w->peer);
    loop_fake_settle(w->l);
    assert_true(str_is(buf_view(&w->got), "last"));
    assert_int_equal(w->closes, 1);
    assert_int_equal(w->reason, ERR_CLOSED);
}

static void a_peer_that_goes_while_output_waits_is_told_once(void **state)
{
    struct world *w = *state;
    char text[4000] = {0};
    const struct str all = {text, sizeof text};

    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 100});
    assert_int_equal(conn_write(w->conn, &all, 1), 0);
    loop_fake_settle(w->l);
    fake_peer_close(&w->peer);
    assert_int_equal(w->closes, 1);
    assert_int_equal(w->reason, ERR_CLOSED);
}

static void an_end_is_noticed_while_paused(void **state)
{
    struct world *w = *state;

    conn_pause(w->conn);
    fake_peer_close(&w->peer);
    assert_int_equal(w->closes, 1);
    assert_int_equal(w->data_calls, 0);
}

static void the_owner_may_let_go_inside_any_callback(void **state)
{
    static const struct {
        enum act on_data, on_drain;
    } cases[] = {
        {ACT_FREE, ACT_NONE}, {ACT_FINISH, ACT_NONE}, {ACT_NONE, ACT_FREE}, {ACT_NONE, ACT_FINISH}};
    char text[4000] = {0};
    const struct str all = {text, sizeof text};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world *w;

        if (i > 0) {
            assert_int_equal(teardown(state), 0);
            assert_int_equal(setup(state), 0);
        }
        w = *state;
        w->on_data_act = cases[i].on_data;
        w->on_drain_act = cases[i].on_drain;
        loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 1500});
        assert_int_equal(conn_write(w->conn, &all, 1), 0);
        (void)fake_peer_send(&w->peer, STR("x"));
        assert_true(fake_peer_ended(&w->peer));
        assert_null(w->conn);
        assert_int_equal(w->closes, 0); /* no callback after letting go */
        assert_int_equal(w->data_calls, 1);
    }
}

static void a_freed_connection_closes_at_once_and_drops_its_output(void **state)
{
    struct world *w = *state;
    const struct str text = STR("never sent");

    assert_int_equal(conn_write(w->conn, &text, 1), 0);
    conn_free(w->conn);
    w->conn = NULL;
    assert_true(fake_peer_ended(&w->peer));
    assert_int_equal(w->peer.got.len, 0);
    assert_int_equal(w->closes, 0);
    conn_free(NULL);
}

static void finishing_sends_what_is_queued_and_then_ends(void **state)
{
    struct world *w = *state;
    char text[4000];
    const struct str all = {text, sizeof text};

    fill(text, sizeof text);
    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 700});
    assert_int_equal(conn_write(w->conn, &all, 1), 0);
    conn_finish(w->conn, 1000, 1 << 20);
    w->conn = NULL;
    assert_true(fake_peer_send(&w->peer, STR("still talking"))); /* is read and dropped */
    assert_true(str_eq(fake_peer_read(&w->peer), all));
    assert_true(w->peer.ended);
    assert_int_equal(w->data_calls + w->drains + w->closes, 0);
}

static void finishing_gives_up_on_a_peer_that_takes_nothing_for_10_s(void **state)
{
    struct world *w = *state;
    char text[4000] = {0}, piece[700];
    const struct str all = {text, sizeof text};

    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = sizeof piece});
    assert_int_equal(conn_write(w->conn, &all, 1), 0);
    conn_finish(w->conn, 1000, 1 << 20);
    w->conn = NULL;
    for (int i = 0; i < 3; i++) { /* slow, but it reads */
        loop_fake_advance(w->l, 9999999);
        assert_int_equal(loop_recv(w->l, w->peer.sock, piece, sizeof piece), sizeof piece);
        loop_fake_settle(w->l);
    }
    loop_fake_advance(w->l, 9999999);
    assert_true(fake_peer_send(&w->peer, STR("x"))); /* it is still there */
    loop_fake_advance(w->l, 1);
    assert_false(fake_peer_send(&w->peer, STR("x")));
    assert_int_equal(w->closes, 0);
}

static void finishing_gives_up_on_a_peer_that_does_not_close(void **state)
{
    struct world *w = *state;
    const struct str text = STR("bye");

    assert_int_equal(conn_write(w->conn, &text, 1), 0);
    conn_finish(w->conn, 1000, 1 << 20);
    w->conn = NULL;
    assert_true(fake_peer_ended(&w->peer));
    loop_fake_advance(w->l, 999999);
    assert_true(fake_peer_send(&w->peer, STR("x")));
    loop_fake_advance(w->l, 1);
    assert_false(fake_peer_send(&w->peer, STR("x")));
    assert_int_equal(w->closes, 0);
}

static void a_finishing_connection_ends_with_the_loop(void **state)
{
    struct world *w = *state;
    const struct str text = STR("bye");

    assert_int_equal(conn_write(w->conn, &text, 1), 0);
    conn_finish(w->conn, 1000, 1 << 20);
    w->conn = NULL;
    loop_fake_settle(w->l); /* teardown frees the loop: no leak, no use after free */
    assert_int_equal(w->closes, 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_written_in_one_iteration_leaves_at_its_end),
        T(partial_sends_lose_and_reorder_nothing),
        T(more_than_the_maximum_is_refused_and_nothing_of_it_is_queued),
        T(a_peer_that_does_not_read_blocks_and_its_reading_drains_once),
        T(writing_may_go_on_from_the_drain_callback),
        T(bytes_are_handed_over_in_order_however_they_arrive),
        T(unread_input_at_the_maximum_stops_the_reading),
        T(a_paused_connection_hands_nothing_over_until_it_resumes),
        T(pausing_inside_the_callback_keeps_what_was_left),
        T(what_held_a_large_message_is_given_back),
        T(a_new_owner_with_smaller_limits_still_gets_what_was_left),
        T(an_owner_may_hand_over_inside_its_callback_more_than_the_next_ones_maximum),
        T(the_peers_end_of_stream_is_told_once_after_its_last_bytes),
        T(a_peer_that_goes_while_output_waits_is_told_once),
        T(an_end_is_noticed_while_paused),
        T(the_owner_may_let_go_inside_any_callback),
        T(a_freed_connection_closes_at_once_and_drops_its_output),
        T(finishing_sends_what_is_queued_and_then_ends),
        T(finishing_gives_up_on_a_peer_that_takes_nothing_for_10_s),
        T(finishing_gives_up_on_a_peer_that_does_not_close),
        T(a_finishing_connection_ends_with_the_loop),
    };

    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
