/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of net/loop.h for sockets, one body of assertions over the three loops: libuv, bare
 * epoll and the one in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_loops.h"

/* Two ends of one connection. */
struct joining {
    struct world *w;
    int listener, near_sock, far_sock;
    struct loop_watch *watch;
};

static void joined(struct joining *j)
{
    if (j->near_sock >= 0 && j->far_sock >= 0)
        loop_stop(j->w->l);
}

static void on_near(void *ud, int sock)
{
    struct joining *j = ud;

    assert_true(sock >= 0);
    j->near_sock = sock;
    joined(j);
}

static void on_far(void *ud, unsigned events)
{
    struct joining *j = ud;
    char peer[64];

    assert_true(events & LOOP_READABLE);
    j->far_sock = loop_accept(j->w->l, j->listener, peer);
    assert_true(j->far_sock >= 0);
    assert_int_equal(loop_accept(j->w->l, j->listener, NULL), ERR_AGAIN);
    joined(j);
}

static void join(struct world *w, int *ret_near, int *ret_far)
{
    struct joining j = {.w = w, .near_sock = -1, .far_sock = -1};
    uint16_t port = 0;

    assert_int_equal(loop_listen(w->l, "127.0.0.1", 0, &j.listener, &port, NULL), 0);
    assert_true(port > 0);
    assert_int_equal(loop_watch_add(w->l, j.listener, LOOP_READABLE, on_far, &j, &j.watch), 0);
    loop_connect(w->l, "127.0.0.1", port, on_near, &j);
    assert_int_equal(j.near_sock, -1); /* never from inside the call */
    world_run(w);
    loop_watch_remove(j.watch);
    loop_close(w->l, j.listener);
    *ret_near = j.near_sock;
    *ret_far = j.far_sock;
}

static void send_all(struct world *w, int sock, const char *text)
{
    struct iovec iov = {(void *)text, strlen(text)};

    assert_int_equal(loop_sendv(w->l, sock, &iov, 1), iov.iov_len);
}

/* Counts how often a socket was ready; takes the bytes or leaves them. */
struct listening {
    struct world *w;
    int sock, calls, stop_at;
    unsigned events;
    bool take;
    char got[64];
    size_t n;
    ssize_t last; /* of the last recv */
    struct loop_watch *watch, *kill_watch;
};

static void on_bytes(void *ud, unsigned events)
{
    struct listening *s = ud;

    s->calls++;
    s->events |= events;
    if (s->take) {
        s->last = loop_recv(s->w->l, s->sock, s->got + s->n, sizeof s->got - s->n);
        if (s->last > 0)
            s->n += (size_t)s->last;
    }
    if (s->kill_watch) { /* NULL afterwards */
        loop_watch_remove(s->kill_watch);
        s->kill_watch = NULL;
    }
    if (s->calls == s->stop_at)
        loop_stop(s->w->l);
}

static void watch(struct listening *s, unsigned events)
{
    assert_int_equal(loop_watch_add(s->w->l, s->sock, events, on_bytes, s, &s->watch), 0);
}

static void bytes_arrive_in_order_in_both_directions(void **state)
{
    struct world *w = *state;
    struct listening s = {.w = w, .take = true, .stop_at = 1};
    int near_sock, far_sock;

    join(w, &near_sock, &far_sock);
    for (int turn = 0; turn < 2; turn++) {
        s = (struct listening){
            .w = w, .take = true, .stop_at = 1, .sock = turn ? near_sock : far_sock};
        send_all(w, turn ? far_sock : near_sock, "hello ");
        send_all(w, turn ? far_sock : near_sock, "there");
        watch(&s, LOOP_READABLE);
        world_run(w);
        loop_watch_remove(s.watch);
        assert_int_equal(s.n, 11);
        assert_memory_equal(s.got, "hello there", 11);
        assert_int_equal(s.events, LOOP_READABLE);
        assert_int_equal(loop_recv(w->l, s.sock, s.got, 1), ERR_AGAIN);
    }
    loop_close(w->l, near_sock);
    loop_close(w->l, far_sock);
}

static void a_socket_that_is_not_read_is_ready_again_and_again(void **state)
{
    struct world *w = *state;
    struct listening s = {.w = w, .stop_at = 3};
    int near_sock;

    join(w, &near_sock, &s.sock);
    send_all(w, near_sock, "x");
    watch(&s, LOOP_READABLE);
    world_run(w);
    assert_int_equal(s.calls, 3);
    loop_watch_remove(s.watch);
    loop_close(w->l, near_sock);
    loop_close(w->l, s.sock);
}

static void a_watch_for_nothing_is_silent_until_it_is_set(void **state)
{
    struct world *w = *state;
    struct listening s = {.w = w, .take = true, .stop_at = 1};
    int near_sock;

    join(w, &near_sock, &s.sock);
    send_all(w, near_sock, "x");
    watch(&s, 0);
    world_run_a_while(w);
    assert_int_equal(s.calls, 0);
    loop_watch_set(s.watch, LOOP_READABLE);
    world_run(w);
    assert_int_equal(s.calls, 1);
    loop_watch_remove(s.watch);
    loop_close(w->l, near_sock);
    loop_close(w->l, s.sock);
}

static void a_full_socket_is_writable_again_when_its_peer_has_read(void **state)
{
    struct world *w = *state;
    struct listening s = {.w = w, .stop_at = 1};
    static char block[1 << 16];
    struct iovec iov = {block, sizeof block};
    ssize_t n;
    int far_sock;

    join(w, &s.sock, &far_sock);
    while ((n = loop_sendv(w->l, s.sock, &iov, 1)) > 0)
        ;
    assert_int_equal(n, ERR_AGAIN);
    watch(&s, LOOP_WRITABLE);
    world_run_a_while(w);
    assert_int_equal(s.calls, 0);
    /* what is on its way reaches the peer while the loop turns */
    for (int i = 0; i < 200 && s.calls == 0; i++) {
        while (loop_recv(w->l, far_sock, block, sizeof block) > 0)
            ;
        world_run_a_while(w);
    }
    assert_int_equal(s.events, LOOP_WRITABLE);
    loop_watch_remove(s.watch);
    loop_close(w->l, s.sock);
    loop_close(w->l, far_sock);
}

static void the_end_of_the_stream_is_read_after_the_last_bytes(void **state)
{
    struct world *w = *state;

    for (int by_close = 0; by_close < 2; by_close++) {
        struct listening s = {.w = w, .take = true, .stop_at = 2};
        int near_sock;

        join(w, &near_sock, &s.sock);
        send_all(w, near_sock, "last");
        if (by_close)
            loop_close(w->l, near_sock);
        else
            loop_shutdown(w->l, near_sock);
        watch(&s, LOOP_READABLE);
        world_run(w);
        assert_int_equal(s.n, 4);
        assert_int_equal(s.last, 0);
        loop_watch_remove(s.watch);
        if (!by_close) { /* the other direction still works */
            send_all(w, s.sock, "answer");
            loop_close(w->l, near_sock);
        }
        loop_close(w->l, s.sock);
    }
}

static void a_watch_removed_by_another_ones_callback_is_silent(void **state)
{
    struct world *w = *state;
    struct listening a = {.w = w, .take = true, .stop_at = 1};
    struct listening b = {.w = w, .take = true, .stop_at = 1};
    int near_a, near_b;

    join(w, &near_a, &a.sock);
    join(w, &near_b, &b.sock);
    send_all(w, near_a, "x");
    send_all(w, near_b, "x");
    watch(&a, LOOP_READABLE);
    watch(&b, LOOP_READABLE);
    a.kill_watch = b.watch; /* whichever comes first ends the other one */
    b.kill_watch = a.watch;
    world_run(w);
    world_run_a_while(w);
    assert_int_equal(a.calls + b.calls > 0, 1);
    assert_true(a.calls == 0 || b.calls == 0);
    loop_watch_remove(a.calls ? a.watch : b.watch);
    loop_close(w->l, near_a);
    loop_close(w->l, near_b);
    loop_close(w->l, a.sock);
    loop_close(w->l, b.sock);
}

static void a_watch_may_remove_itself_and_its_socket_be_closed_in_its_callback(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 3; i++) { /* the next socket is likely to bear the same number */
        struct listening s = {.w = w, .take = true, .stop_at = 1};
        int near_sock;

        join(w, &near_sock, &s.sock);
        send_all(w, near_sock, "x");
        watch(&s, LOOP_READABLE);
        s.kill_watch = s.watch;
        world_run(w);
        loop_close(w->l, s.sock);
        loop_close(w->l, near_sock);
        world_run_a_while(w);
        assert_int_equal(s.calls, 1);
    }
    loop_watch_remove(NULL);
}

static void on_refused(void *ud, int sock)
{
    struct listening *s = ud;

    s->last = sock;
    s->calls++;
    loop_stop(s->w->l);
}

static void connecting_where_nobody_listens_fails_once_and_later(void **state)
{
    struct world *w = *state;
    struct listening s = {.w = w};
    int listener;
    uint16_t port;

    assert_int_equal(loop_listen(w->l, "127.0.0.1", 0, &listener, &port, NULL), 0);
    loop_close(w->l, listener);
    loop_connect(w->l, "127.0.0.1", port, on_refused, &s);
    assert_int_equal(s.calls, 0);
    world_run(w);
    assert_int_equal(s.last, ERR_IO);
    world_run_a_while(w);
    assert_int_equal(s.calls, 1);
}

static void a_name_that_is_none_is_told_apart_once_and_later(void **state)
{
    struct world *w = *state;
    struct listening s = {.w = w};
    char name[400];

    if (!w->kind->real)
        return; /* in-memory sockets are found by port alone */
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0; /* too long for any resolver to be asked */
    loop_connect(w->l, name, 80, on_refused, &s);
    assert_int_equal(s.calls, 0);
    world_run(w);
    assert_int_equal(s.last, ERR_NOT_FOUND);
    world_run_a_while(w);
    assert_int_equal(s.calls, 1);
}

static void on_connected(void *ud, int sock)
{
    struct listening *s = ud;

    s->calls++;
    s->sock = sock;
    loop_stop(s->w->l);
}

/* On most machines this name stands for ::1 and 127.0.0.1, in that order; in lower case it would
 * not be looked up. */
static void the_addresses_of_a_name_are_tried_one_after_another(void **state)
{
    struct world *w = *state;
    struct listening s = {.w = w};
    int listener;
    uint16_t port;

    assert_int_equal(loop_listen(w->l, "127.0.0.1", 0, &listener, &port, NULL), 0);
    loop_connect(w->l, "LOCALHOST", port, on_connected, &s);
    world_run(w);
    assert_true(s.sock >= 0);
    loop_close(w->l, s.sock);
    loop_close(w->l, listener);
    loop_connect(w->l, "LOCALHOST", port, on_connected, &s);
    world_run(w);
    assert_int_equal(s.sock, ERR_IO);
    assert_int_equal(s.calls, 2);
}

static void a_loop_freed_while_it_connects_does_not_call_back(void **state)
{
    struct world *w = *state;
    struct listening s = {.w = w};
    int listener;
    uint16_t port;

    assert_int_equal(loop_listen(w->l, "127.0.0.1", 0, &listener, &port, NULL), 0);
    loop_connect(w->l, "127.0.0.1", port, on_refused, &s);
    loop_close(w->l, listener);
    loop_free(w->l);
    assert_int_equal(s.calls, 0);
    assert_int_equal(w->kind->make(&w->l), 0); /* for teardown */
}

static void an_address_that_cannot_be_listened_on_is_named(void **state)
{
    struct world *w = *state;
    struct err e = {0};
    char number[16];
    int first, second = -7;
    uint16_t port, other;

    if (!w->kind->real)
        return; /* in-memory sockets have no addresses */
    assert_int_equal(loop_listen(w->l, "localhost", 0, &first, &port, NULL), 0);
    assert_int_equal(loop_listen(w->l, "127.0.0.1", port, &second, &other, &e), ERR_IO);
    (void)snprintf(number, sizeof number, "port %u", port);
    assert_non_null(strstr(e.text, number));
    assert_non_null(strstr(e.text, "taken"));
    assert_int_equal(second, -7);
    assert_int_equal(loop_listen(w->l, "example.invalid", 0, &second, &other, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, "example.invalid"));
    assert_int_equal(loop_listen(w->l, "203.0.113.1", 0, &second, &other, &e), ERR_IO);
    assert_non_null(strstr(e.text, "203.0.113.1"));
    loop_close(w->l, first);
}

#define CONTRACT(kind)                                                                  \
    OVER(kind, bytes_arrive_in_order_in_both_directions),                               \
        OVER(kind, a_socket_that_is_not_read_is_ready_again_and_again),                 \
        OVER(kind, a_watch_for_nothing_is_silent_until_it_is_set),                      \
        OVER(kind, a_full_socket_is_writable_again_when_its_peer_has_read),             \
        OVER(kind, the_end_of_the_stream_is_read_after_the_last_bytes),                 \
        OVER(kind, a_watch_removed_by_another_ones_callback_is_silent),                 \
        OVER(kind, a_watch_may_remove_itself_and_its_socket_be_closed_in_its_callback), \
        OVER(kind, connecting_where_nobody_listens_fails_once_and_later),               \
        OVER(kind, a_name_that_is_none_is_told_apart_once_and_later),                   \
        OVER(kind, a_loop_freed_while_it_connects_does_not_call_back),                  \
        OVER(kind, an_address_that_cannot_be_listened_on_is_named)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT(uv), CONTRACT(epoll), CONTRACT(fake),
        OVER(uv, the_addresses_of_a_name_are_tried_one_after_another)};

    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
