/* SPDX-License-Identifier: Apache-2.0 */
/* Connections and exchanges that move from one loop to another: in virtual time between two fake
 * loops of one world, and between two real loops on two threads (issue 7, point 6). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_peer.h"
#include "net/http1.h"
#include "net/inbox.h"
#include "net/socket.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

/* --- connections, in virtual time --- */

struct world {
    struct loop *a, *b;
    struct fake_peer peer;
    struct conn *conn;
    struct buf got;
    int drains, closes, reason;
};

static void on_data(void *ud)
{
    struct world *w = ud;

    assert_int_equal(buf_append_str(&w->got, buf_view(conn_in(w->conn))), 0);
    buf_clear(conn_in(w->conn));
}

static void on_drain(void *ud)
{
    ((struct world *)ud)->drains++;
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
    static const struct conn_ops ops = {
        .on_data = on_data, .on_drain = on_drain, .on_close = on_close};
    static const struct conn_config config = {
        .in_max_bytes = 10000, .out_max_bytes = 50000, .stall_ms = 5000};
    static struct world w;

    w = (struct world){0};
    buf_init(&w.got, 1 << 20);
    if (loop_fake_new(0, &w.a) < 0 || loop_fake_beside(w.a, &w.b) < 0)
        return -1;
    *state = &w;
    return conn_new(w.a, fake_peer_pair(&w.peer, w.a), &config, &ops, &w, &w.conn);
}

static int teardown(void **state)
{
    struct world *w = *state;

    conn_free(w->conn);
    fake_peer_close(&w->peer);
    buf_free(&w->got);
    loop_free(w->b);
    loop_free(w->a);
    return 0;
}

static void move(struct world *w)
{
    conn_detach(w->conn);
    assert_int_equal(conn_attach(w->conn, w->b, NULL), 0);
}

static void a_moved_connection_reads_and_writes_on_its_new_loop(void **state)
{
    struct world *w = *state;
    const struct str queued = STR("queued "), later = STR("later");

    assert_int_equal(conn_write(w->conn, &queued, 1), 0);
    move(w);
    assert_int_equal(conn_write(w->conn, &later, 1), 0);
    assert_true(str_is(fake_peer_read(&w->peer), "queued later"));
    assert_true(fake_peer_send(&w->peer, STR("hello")));
    assert_true(str_is(buf_view(&w->got), "hello"));
    assert_false(loop_fake_step(w->a)); /* nothing of it is left there */
    fake_peer_close(&w->peer);
    loop_fake_settle(w->b);
    assert_int_equal(w->closes, 1);
    assert_int_equal(w->reason, ERR_CLOSED);
}

static void what_comes_while_it_belongs_to_nobody_waits(void **state)
{
    struct world *w = *state;

    conn_detach(w->conn);
    assert_true(fake_peer_send(&w->peer, STR("early")));
    assert_int_equal(w->got.len, 0);
    assert_int_equal(conn_attach(w->conn, w->b, NULL), 0);
    loop_fake_settle(w->b);
    assert_true(str_is(buf_view(&w->got), "early"));
}

static void a_paused_connection_moves_with_what_it_has_read(void **state)
{
    struct world *w = *state;

    conn_pause(w->conn);
    assert_true(fake_peer_send(&w->peer, STR("unread")));
    move(w);
    loop_fake_settle(w->b);
    assert_int_equal(w->got.len, 0);
    conn_resume(w->conn);
    loop_fake_settle(w->b);
    assert_true(str_is(buf_view(&w->got), "unread"));
}

static void input_that_waits_its_turn_is_handed_over_on_the_new_loop(void **state)
{
    struct world *w = *state;

    conn_pause(w->conn);
    assert_true(fake_peer_send(&w->peer, STR("unread")));
    conn_resume(w->conn); /* queued on the old loop */
    move(w);
    loop_fake_settle(w->b);
    assert_true(str_is(buf_view(&w->got), "unread"));
}

static void a_blocked_connection_goes_on_where_it_was_and_drains_there(void **state)
{
    static char text[20000];
    const struct str all = {text, sizeof text};
    struct world *w = *state;

    memset(text, 't', sizeof text);
    loop_fake_set_faults(w->a, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_int_equal(conn_write(w->conn, &all, 1), 0);
    loop_fake_settle(w->a);
    assert_true(conn_blocked(w->conn));
    move(w);
    loop_fake_settle(w->b);
    assert_true(conn_blocked(w->conn));
    assert_int_equal(fake_peer_read(&w->peer).n, sizeof text);
    assert_int_equal(w->drains, 1);
    assert_int_equal(conn_taken_total(w->conn), sizeof text);
}

static void a_peer_that_takes_nothing_is_cut_on_the_new_loop(void **state)
{
    static char text[20000];
    const struct str all = {text, sizeof text};
    struct world *w = *state;

    loop_fake_set_faults(w->a, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_int_equal(conn_write(w->conn, &all, 1), 0);
    loop_fake_settle(w->a);
    move(w);
    loop_fake_advance(w->b, 4999999);
    assert_int_equal(w->closes, 0);
    loop_fake_advance(w->b, 2);
    assert_int_equal(w->closes, 1);
    assert_int_equal(w->reason, ERR_TIMEOUT);
}

/* --- exchanges, in virtual time --- */

struct site {
    struct loop *l;
    struct http_server *server;
    struct http_exchange *waiting;
    int requests, aborts;
};

struct sites {
    struct budget memory;
    struct site a, b;
    uint16_t port;
    struct fake_peer peer;
};

static void site_abort(void *ud, int reason)
{
    struct site *s = ud;

    (void)reason;
    s->aborts++;
    s->waiting = NULL;
}

static void site_request(void *ud, struct http_exchange *x)
{
    struct site *s = ud;

    s->requests++;
    s->waiting = x;
    http_on_abort(x, site_abort, s);
}

static const char *site_reject(void *ud, int status, const char *why, struct buf *ret_body)
{
    (void)ud;
    (void)ret_body;
    fail_msg("%d: %s", status, why);
    return "text/plain";
}

static const struct http_server_ops site_ops = {.on_request = site_request,
                                                .on_reject = site_reject};

static void open_site(struct sites *w, struct site *s)
{
    const struct http_server_config config = {.budget = &w->memory, .max_bodies_bytes = 1500};
    int listener;

    assert_int_equal(loop_listen_shared(s->l, "127.0.0.1", w->port, &listener, &w->port, NULL), 0);
    assert_int_equal(http_server_new(s->l, listener, &config, &site_ops, s, &s->server), 0);
}

static int sites_setup(void **state)
{
    static struct sites w;

    w = (struct sites){0};
    budget_init_shared(&w.memory, "both loops", 1 << 20, NULL);
    if (loop_fake_new(0, &w.a.l) < 0 || loop_fake_beside(w.a.l, &w.b.l) < 0)
        return -1;
    open_site(&w, &w.a);
    open_site(&w, &w.b);
    fake_peer_connect(&w.peer, w.a.l, w.port);
    *state = &w;
    return 0;
}

static int sites_teardown(void **state)
{
    struct sites *w = *state;

    fake_peer_close(&w->peer);
    http_server_free(w->a.server);
    http_server_free(w->b.server);
    loop_free(w->b.l);
    loop_free(w->a.l);
    assert_int_equal(budget_used(&w->memory), 0);
    return 0;
}

/* From the one that has it to the other, which is told. */
static struct http_exchange *hand_over(struct site *from, struct site *to)
{
    struct http_exchange *x = from->waiting;

    assert_non_null(x);
    from->waiting = NULL;
    http_exchange_detach(x);
    assert_int_equal(http_server_open(from->server), 0);
    assert_int_equal(http_exchange_attach(x, to->server), 0);
    assert_int_equal(http_server_open(to->server), 1);
    to->waiting = x;
    http_on_abort(x, site_abort, to);
    return x;
}

static void answer(struct site *s, const char *text)
{
    http_respond(s->waiting, 200, NULL, 0, str_from(text));
    s->waiting = NULL;
    loop_fake_settle(s->l);
}

static struct site *taker(struct sites *w)
{
    return w->a.waiting ? &w->a : &w->b;
}

static struct site *other(struct sites *w, struct site *s)
{
    return s == &w->a ? &w->b : &w->a;
}

static void a_moved_exchange_is_answered_and_its_connection_served_by_the_other(void **state)
{
    struct sites *w = *state;
    struct site *first, *second;
    struct http_exchange *x;

    assert_true(fake_peer_send(
        &w->peer, STR("POST /x?q HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")));
    first = taker(w);
    second = other(w, first);
    x = hand_over(first, second);
    assert_true(str_is(http_request_of(x)->path, "/x"));
    assert_true(str_is(http_request_of(x)->body, "hello"));
    answer(second, "from the other");
    assert_true(fake_peer_got(&w->peer, "from the other"));
    assert_true(fake_peer_send(&w->peer, STR(GET("/next"))));
    assert_int_equal(second->requests, 1);
    assert_int_equal(first->requests, 1);
    (void)hand_over(second, first); /* and back */
    answer(first, "from the first");
    assert_true(fake_peer_got(&w->peer, "from the first"));
    loop_fake_advance(w->a.l, 61 * 1000000LL);
    assert_true(fake_peer_ended(&w->peer)); /* its time-outs run there */
}

static void a_stream_may_move_in_its_middle_with_requests_behind_it(void **state)
{
    struct sites *w = *state;
    const struct str one = STR("one"), two = STR("two");
    struct site *first, *second;

    assert_true(fake_peer_send(&w->peer, STR(GET("/s") GET("/behind"))));
    first = taker(w);
    second = other(w, first);
    http_stream_begin(first->waiting, 200, NULL, 0);
    assert_int_equal(http_stream_write(first->waiting, &one, 1), 0);
    (void)hand_over(first, second);
    assert_int_equal(http_stream_write(second->waiting, &two, 1), 0);
    assert_true(fake_peer_got(&w->peer, "3\r\none\r\n3\r\ntwo\r\n"));
    http_stream_end(second->waiting);
    second->waiting = NULL;
    loop_fake_settle(w->a.l);
    assert_int_equal(second->requests, 1); /* the pipelined one */
    answer(second, "behind");
    assert_true(fake_peer_got(&w->peer, "behind"));
}

static void a_peer_that_goes_is_told_to_who_has_the_exchange(void **state)
{
    struct sites *w = *state;
    struct site *first, *second;

    assert_true(fake_peer_send(&w->peer, STR(GET("/a"))));
    first = taker(w);
    second = other(w, first);
    (void)hand_over(first, second);
    fake_peer_close(&w->peer);
    assert_int_equal(second->aborts, 1);
    assert_int_equal(first->aborts, 0);
}

/* The room that bodies have is each server's. */
static void a_body_counts_where_its_exchange_is(void **state)
{
    static char body[900];
    struct sites *w = *state;
    struct site *first, *second;
    struct fake_peer more;

    memset(body, 'b', sizeof body);
    assert_true(fake_peer_send(&w->peer,
                               STR("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n")));
    assert_true(fake_peer_send(&w->peer, (struct str){body, sizeof body}));
    first = taker(w);
    second = other(w, first);
    (void)hand_over(first, second);
    http_drop_body(second->waiting);
    answer(second, "done");
    /* were it counted at the first still, or twice at the second, these would be refused */
    for (int i = 0; i < 4; i++) {
        fake_peer_connect(&more, w->a.l, w->port);
        assert_true(
            fake_peer_send(&more, STR("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n"
                                      "\r\n")));
        assert_true(fake_peer_send(&more, (struct str){body, sizeof body}));
        answer(taker(w), "done");
        fake_peer_close(&more);
    }
}

static void the_system_spreads_connections_over_shared_listeners_and_keeps_others_away(void **state)
{
    struct sites *w = *state;
    struct fake_peer more;
    int listener;
    uint16_t port;

    fake_peer_connect(&more, w->a.l, w->port);
    assert_true(fake_peer_send(&w->peer, STR(GET("/a"))));
    assert_true(fake_peer_send(&more, STR(GET("/a"))));
    assert_int_equal(w->a.requests, 1);
    assert_int_equal(w->b.requests, 1);
    assert_int_equal(loop_listen(w->a.l, "127.0.0.1", w->port, &listener, &port, NULL), ERR_IO);
    fake_peer_close(&more);
}

/* --- two threads --- */

enum { ROUNDS = 100, CLIENTS = 3 };

struct hall {
    struct budget *memory;
    struct loop *l;
    struct http_server *server;
    struct inbox *inbox;
    struct hall *other;
    pthread_t thread;
    struct inbox_item stop;
    int answered;
};

/* An exchange on its way. */
struct move {
    struct hall *at;
    struct http_exchange *x;
    struct loop_defer later;
    struct inbox_item item;
};

static void move_abort(void *ud, int reason)
{
    struct move *m = ud;

    (void)reason;
    loop_defer_remove(m->at->l, &m->later);
    free(m);
}

static void move_arrived(void *ud)
{
    struct move *m = ud;
    struct hall *h = m->at;

    if (http_exchange_attach(m->x, h->server) == 0) {
        char text[64];
        int n = snprintf(text, sizeof text, "%.*s", STR_ARG(http_request_of(m->x)->path));

        h->answered++;
        http_on_abort(m->x, NULL, NULL);
        http_respond(m->x, 200, NULL, 0, (struct str){text, (size_t)n});
    }
    free(m);
}

static void move_leave(void *ud)
{
    struct move *m = ud;

    http_exchange_detach(m->x);
    m->at = m->at->other;
    inbox_post(m->at->inbox, &m->item, move_arrived, m);
}

static void hall_request(void *ud, struct http_exchange *x)
{
    struct hall *h = ud;
    struct move *m = calloc(1, sizeof *m);

    *m = (struct move){.at = h, .x = x};
    http_on_abort(x, move_abort, m);
    loop_defer_add(h->l, &m->later, move_leave, m);
}

static const struct http_server_ops hall_ops = {.on_request = hall_request,
                                                .on_reject = site_reject};

static void hall_stop(void *ud)
{
    loop_stop(((struct hall *)ud)->l);
}

static void *hall_run(void *ud)
{
    struct hall *h = ud;

    (void)loop_run(h->l);
    return NULL;
}

static void hall_open(struct hall *h, struct budget *memory, uint16_t *port, bool uv)
{
    const struct http_server_config config = {.budget = memory};
    int listener;

    assert_int_equal(uv ? loop_uv_new(&h->l, NULL) : loop_epoll_new(&h->l, NULL), 0);
    assert_int_equal(inbox_new(h->l, &h->inbox), 0);
    assert_int_equal(loop_listen_shared(h->l, "127.0.0.1", *port, &listener, port, NULL), 0);
    assert_int_equal(http_server_new(h->l, listener, &config, &hall_ops, h, &h->server), 0);
}

static void ask(int sock, int round)
{
    char text[256], want[16];
    size_t got = 0;
    int n = snprintf(text, sizeof text, GET("/r%d"), round);

    assert_int_equal(send(sock, text, (size_t)n, 0), n);
    (void)snprintf(want, sizeof want, "/r%d", round);
    while (got < sizeof text - 1) {
        ssize_t more = recv(sock, text + got, sizeof text - 1 - got, 0);

        assert_true(more > 0);
        got += (size_t)more;
        text[got] = 0;
        if (strstr(text, want))
            return;
    }
    fail_msg("%s", text);
}

static int dial(uint16_t port)
{
    struct sockaddr_storage addr;
    socklen_t len;
    int sock = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(socket_address("127.0.0.1", port, &addr, &len), 0);
    assert_int_equal(connect(sock, (struct sockaddr *)&addr, len), 0);
    return sock;
}

static void every_request_crosses_from_its_thread_to_the_other(void **state)
{
    bool uv = *state != NULL;
    struct hall halls[2] = {0};
    struct budget memory;
    uint16_t port = 0;
    int socks[CLIENTS];

    budget_init_shared(&memory, "both loops", 1 << 20, NULL);
    for (int i = 0; i < 2; i++)
        hall_open(&halls[i], &memory, &port, uv);
    for (int i = 0; i < 2; i++) {
        halls[i].other = &halls[1 - i];
        assert_int_equal(pthread_create(&halls[i].thread, NULL, hall_run, &halls[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++)
        socks[i] = dial(port);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            ask(socks[i], round);
    }
    for (int i = 0; i < CLIENTS; i++)
        close(socks[i]);
    for (int i = 0; i < 2; i++) {
        inbox_post(halls[i].inbox, &halls[i].stop, hall_stop, &halls[i]);
        assert_int_equal(pthread_join(halls[i].thread, NULL), 0);
    }
    assert_int_equal(halls[0].answered + halls[1].answered, ROUNDS * CLIENTS);
    assert_true(halls[0].answered >= ROUNDS && halls[1].answered >= ROUNDS);
    for (int i = 0; i < 2; i++) {
        http_server_free(halls[i].server);
        inbox_free(halls[i].inbox);
        loop_free(halls[i].l);
    }
    assert_int_equal(budget_used(&memory), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define S(test) cmocka_unit_test_setup_teardown(test, sites_setup, sites_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_moved_connection_reads_and_writes_on_its_new_loop),
        T(what_comes_while_it_belongs_to_nobody_waits),
        T(a_paused_connection_moves_with_what_it_has_read),
        T(input_that_waits_its_turn_is_handed_over_on_the_new_loop),
        T(a_blocked_connection_goes_on_where_it_was_and_drains_there),
        T(a_peer_that_takes_nothing_is_cut_on_the_new_loop),
        S(a_moved_exchange_is_answered_and_its_connection_served_by_the_other),
        S(a_stream_may_move_in_its_middle_with_requests_behind_it),
        S(a_peer_that_goes_is_told_to_who_has_the_exchange),
        S(a_body_counts_where_its_exchange_is),
        S(the_system_spreads_connections_over_shared_listeners_and_keeps_others_away),
        {"epoll: every_request_crosses_from_its_thread_to_the_other",
         every_request_crosses_from_its_thread_to_the_other, NULL, NULL, NULL},
        {"uv: every_request_crosses_from_its_thread_to_the_other",
         every_request_crosses_from_its_thread_to_the_other, NULL, NULL, (void *)1},
    };

    return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
