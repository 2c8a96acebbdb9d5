/* SPDX-License-Identifier: Apache-2.0 */
/* What only the fake loop has: time that stands still until it is moved, and faulty sockets. What
 * it shares with the real ones is in test_loop.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_peer.h"

enum { WALL_US = 1795467067 };

static int setup(void **state)
{
    struct loop *l;

    if (loop_fake_new((int64_t)WALL_US * 1000000, &l) < 0)
        return -1;
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

/* A timer that notes when it fired, and may set itself again. */
struct alarm {
    struct loop *loop;
    struct loop_timer timer;
    int64_t at_us[16];
    size_t n;
    int64_t every_us;
};

static void ring(void *ud)
{
    struct alarm *a = ud;
    struct clock c = loop_clock(a->loop);

    a->at_us[a->n++ % 16] = clock_mono_us(&c);
    if (a->every_us)
        loop_timer_set(a->loop, &a->timer, a->every_us, ring, a);
}

static void settling_does_not_move_time(void **state)
{
    struct loop *l = *state;
    struct clock c = loop_clock(l);
    int64_t mono = clock_mono_us(&c);
    struct alarm a = {.loop = l};

    loop_timer_set(l, &a.timer, 1, ring, &a);
    for (int i = 0; i < 100; i++)
        loop_fake_settle(l);
    assert_int_equal(a.n, 0);
    assert_int_equal(clock_mono_us(&c), mono);
    loop_timer_clear(l, &a.timer);
}

static void advancing_stops_at_every_timer_on_the_way(void **state)
{
    struct loop *l = *state;
    struct clock c = loop_clock(l);
    int64_t start = clock_mono_us(&c);
    struct alarm once = {.loop = l}, often = {.loop = l, .every_us = 300};

    loop_timer_set(l, &once.timer, 1000, ring, &once);
    loop_timer_set(l, &often.timer, 300, ring, &often);
    loop_fake_advance(l, 999);
    assert_int_equal(once.n, 0);
    assert_int_equal(often.n, 3);
    for (int64_t i = 0; i < 3; i++)
        assert_int_equal(often.at_us[i], start + 300 * (i + 1));
    loop_fake_advance(l, 1);
    assert_int_equal(once.n, 1);
    assert_int_equal(once.at_us[0], start + 1000);
    loop_fake_advance(l, 3600LL * 1000000); /* an hour takes no time */
    assert_int_equal(often.n, 3 + (3600LL * 1000000 + 100) / 300);
    assert_int_equal(once.n, 1);
    loop_timer_clear(l, &often.timer);
}

static void both_clocks_move_together_from_the_given_wall_time(void **state)
{
    struct loop *l = *state;
    struct clock c = loop_clock(l);
    int64_t mono = clock_mono_us(&c);

    assert_int_equal(clock_wall_us(&c), (int64_t)WALL_US * 1000000);
    loop_fake_advance(l, 123456789);
    assert_int_equal(clock_wall_us(&c), (int64_t)WALL_US * 1000000 + 123456789);
    assert_int_equal(clock_mono_us(&c), mono + 123456789);
}

static void a_recv_returns_at_most_what_the_fault_allows(void **state)
{
    struct loop *l = *state;
    struct fake_peer p;
    int far_sock = fake_peer_pair(&p, l);
    char bytes[16];

    loop_fake_set_faults(l, (struct loop_fake_faults){.recv_max = 3});
    assert_true(fake_peer_send(&p, STR("abcdefgh")));
    assert_int_equal(loop_recv(l, far_sock, bytes, sizeof bytes), 3);
    assert_int_equal(loop_recv(l, far_sock, bytes + 3, 2), 2);
    assert_int_equal(loop_recv(l, far_sock, bytes + 5, sizeof bytes - 5), 3);
    assert_memory_equal(bytes, "abcdefgh", 8);
    assert_int_equal(loop_recv(l, far_sock, bytes, sizeof bytes), ERR_AGAIN);
    loop_close(l, far_sock);
    fake_peer_close(&p);
}

static void a_send_takes_at_most_what_the_faults_allow(void **state)
{
    struct loop *l = *state;
    struct fake_peer p;
    int far_sock = fake_peer_pair(&p, l);
    struct iovec iov[2] = {{(void *)"abc", 3}, {(void *)"defgh", 5}};

    loop_fake_set_faults(l, (struct loop_fake_faults){.send_max = 4, .socket_bytes = 10});
    assert_int_equal(loop_sendv(l, far_sock, iov, 2), 4); /* across two parts */
    assert_int_equal(loop_sendv(l, far_sock, iov, 2), 4);
    assert_int_equal(loop_sendv(l, far_sock, iov, 2), 2); /* ten unread bytes are the limit */
    assert_int_equal(loop_sendv(l, far_sock, iov, 2), ERR_AGAIN);
    assert_true(str_is(fake_peer_read(&p), "abcdabcdab"));
    assert_int_equal(loop_sendv(l, far_sock, iov, 2), 4);
    loop_close(l, far_sock);
    assert_true(fake_peer_ended(&p));
    fake_peer_close(&p);
}

static void sending_to_a_closed_end_says_so(void **state)
{
    struct loop *l = *state;
    struct fake_peer p;
    int far_sock = fake_peer_pair(&p, l);
    struct iovec iov = {(void *)"abc", 3};
    char bytes[4];

    assert_true(fake_peer_send(&p, STR("x")));
    fake_peer_close(&p);
    assert_int_equal(loop_sendv(l, far_sock, &iov, 1), ERR_CLOSED);
    assert_int_equal(loop_recv(l, far_sock, bytes, 4), 1); /* what came before the end */
    assert_int_equal(loop_recv(l, far_sock, bytes, 4), 0);
    loop_close(l, far_sock);
}

static void closing_a_listener_ends_those_who_wait_to_be_accepted(void **state)
{
    struct loop *l = *state;
    struct fake_peer p;
    int listener;
    uint16_t port;

    assert_int_equal(loop_listen(l, "127.0.0.1", 0, &listener, &port, NULL), 0);
    fake_peer_connect(&p, l, port);
    assert_false(fake_peer_ended(&p));
    loop_close(l, listener);
    assert_true(fake_peer_ended(&p));
    fake_peer_close(&p);
}

static void running_jumps_from_timer_to_timer_until_there_is_none(void **state)
{
    struct loop *l = *state;
    struct clock c = loop_clock(l);
    int64_t start = clock_mono_us(&c);
    struct alarm a = {.loop = l}, b = {.loop = l};

    loop_timer_set(l, &a.timer, 7000000, ring, &a);
    loop_timer_set(l, &b.timer, 5000000, ring, &b);
    assert_int_equal(loop_run(l), 0);
    assert_int_equal(a.at_us[0], start + 7000000);
    assert_int_equal(b.at_us[0], start + 5000000);
    assert_int_equal(clock_mono_us(&c), start + 7000000);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(settling_does_not_move_time),
        T(advancing_stops_at_every_timer_on_the_way),
        T(both_clocks_move_together_from_the_given_wall_time),
        T(a_recv_returns_at_most_what_the_fault_allows),
        T(a_send_takes_at_most_what_the_faults_allow),
        T(sending_to_a_closed_end_says_so),
        T(closing_a_listener_ends_those_who_wait_to_be_accepted),
        T(running_jumps_from_timer_to_timer_until_there_is_none),
    };

    return cmocka_run_group_tests_name("loop_fake", tests, NULL, NULL);
}
