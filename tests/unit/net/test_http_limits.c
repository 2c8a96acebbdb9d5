/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers can make an HTTP server hold: memory (findings L1), sockets that only linger (L6),
 * the loop (L7). All of it in virtual time. */
#include "fake_http.h"

#define POST(body) "POST /p HTTP/1.1\r\nHost: h\r\n" body

static char bytes[4000]; /* of a body */

static void connect_all(struct fake_http *h, struct fake_peer *peers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fake_peer_connect(&peers[i], h->l, h->port);
}

static void close_all(struct fake_peer *peers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fake_peer_close(&peers[i]);
}

/* --- memory --- */

static void a_connection_its_head_its_body_and_its_answer_are_charged(void **state)
{
    struct fake_http *h = *state;
    size_t idle = budget_used(&h->memory), head, body;

    assert_in_range(idle, 1000, 20000); /* a connection costs some KiB by itself */
    assert_true(fake_peer_send(&h->peer, STR("POST /later HTTP/1.1\r\nHost: h\r\n")));
    head = budget_used(&h->memory);
    assert_true(head > idle);
    assert_true(fake_peer_send(&h->peer, STR("Content-Length: 1000\r\n\r\n")));
    assert_true(fake_peer_send(&h->peer, (struct str){bytes, 1000}));
    body = budget_used(&h->memory);
    assert_true(body >= head + 1000);
    http_drop_body(h->waiting);
    assert_true(budget_used(&h->memory) <= body - 1000);
    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 1000});
    http_respond(h->waiting, 200, NULL, 0, (struct str){bytes, sizeof bytes});
    h->waiting = NULL;
    loop_fake_settle(h->l);
    assert_true(budget_used(&h->memory) >= head + sizeof bytes - 1100);
    fake_peer_close(&h->peer);
    assert_int_equal(budget_used(&h->memory), 0);
}

/* Each stays within its own limits, all together do not. */
static void a_request_for_which_the_budget_has_no_room_is_refused_by_name(void **state)
{
    static const struct {
        const char *request;
        size_t room; /* that is left */
    } cases[] = {
        {"GET /a-target-that-is-longer-than-the-room-left HTTP/1.1\r\n", 100},
        {POST("Content-Length: 900\r\n\r\n") "it begins", 700},
        {POST("Transfer-Encoding: chunked\r\n\r\n300\r\n") "it begins", 700},
    };
    struct fake_http *h = *state;

    memset(bytes, 'b', sizeof bytes);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        h->memory.max_bytes = FAKE_MEMORY_BYTES;
        fake_http_again(h);
        h->memory.max_bytes = budget_used(&h->memory) + cases[i].room;
        (void)fake_peer_send(&h->peer, str_from(cases[i].request));
        (void)fake_peer_send(&h->peer, (struct str){bytes, 700});
        h->memory.max_bytes = FAKE_MEMORY_BYTES;
        assert_int_equal(h->requests, 0);
        assert_int_equal(h->rejects, 1);
        fake_peer_close(&h->peer);
        loop_fake_settle(h->l);
        assert_int_equal(budget_used(&h->memory), 0);
    }
}

static void a_refusal_for_want_of_memory_says_whose(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(POST("Content-Length: 1900\r\n\r\n"))));
    h->memory.max_bytes = budget_used(&h->memory) + 1200;
    (void)fake_peer_send(&h->peer, (struct str){bytes, 1900});
    h->memory.max_bytes = FAKE_MEMORY_BYTES;
    assert_true(fake_http_status(h, 503));
    assert_true(fake_peer_got(&h->peer, "the memory of the test's server is used up"));
}

static void a_connection_for_which_there_is_no_memory_is_closed_at_once(void **state)
{
    struct fake_http *h = *state;
    struct fake_peer others[2];

    h->memory.max_bytes = budget_used(&h->memory) + 100;
    connect_all(h, others, 2);
    assert_true(fake_peer_ended(&others[0]));
    assert_true(fake_peer_ended(&others[1]));
    h->memory.max_bytes = FAKE_MEMORY_BYTES;
    assert_true(fake_peer_send(&h->peer, STR("GET /a HTTP/1.1\r\nHost: h\r\n\r\n")));
    assert_true(fake_http_status(h, 200));
    close_all(others, 2);
}

/* http_upgrade_ws fails before anything was said. */
static void an_upgrade_that_a_budget_refuses_can_still_be_answered(void **state)
{
    static const struct ws_conn_ops no_ops = {0};
    struct fake_http *h = *state;
    struct budget full;
    const struct ws_conn_config config = {.max_message_bytes = 10, .budget = &full};
    struct ws_conn *ws = NULL;

    budget_init(&full, "unregistered providers", 10, NULL);
    assert_true(fake_peer_send(
        &h->peer,
        STR("GET /later HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")));
    assert_int_equal(http_upgrade_ws(h->waiting, &config, &no_ops, NULL, &ws), ERR_LIMIT);
    http_respond(h->waiting, 503, NULL, 0, STR("no room"));
    h->waiting = NULL;
    assert_true(fake_http_status(h, 503));
    assert_true(fake_peer_got(&h->peer, "no room"));
}

/* --- sockets that linger (L6) --- */

/* A request that is refused: the connection lingers until its peer closes. */
static void be_refused(struct fake_peer *p)
{
    assert_true(fake_peer_send(p, STR("nonsense\r\n\r\n")));
    assert_true(fake_peer_got(p, "HTTP/1.1 400 "));
}

/* Whether it is gone on the server's side: sending fails. */
static bool closed(struct fake_peer *p)
{
    return !fake_peer_send(p, STR("x"));
}

static void lingering_connections_are_bounded_and_the_oldest_is_closed_first(void **state)
{
    struct fake_http *h = *state;
    struct fake_peer others[2];

    be_refused(&h->peer);
    for (int i = 0; i < 2; i++) {
        fake_peer_connect(&others[i], h->l, h->port);
        assert_false(closed(&h->peer));
        be_refused(&others[i]);
    }
    assert_true(closed(&h->peer)); /* three linger, two may */
    assert_false(closed(&others[0]));
    assert_false(closed(&others[1]));
    close_all(others, 2);
}

static void lingering_connections_count_and_make_room_for_new_ones(void **state)
{
    struct fake_http *h = *state;
    struct fake_peer others[3];

    connect_all(h, others, 2); /* three are open: the maximum */
    be_refused(&others[0]);
    be_refused(&others[1]);
    fake_peer_connect(&others[2], h->l, h->port);
    assert_true(closed(&others[0])); /* it was counted, and closed for the new one */
    assert_false(closed(&others[1]));
    assert_true(fake_peer_send(&others[2], STR("GET /a HTTP/1.1\r\nHost: h\r\n\r\n")));
    assert_true(fake_peer_got(&others[2], "HTTP/1.1 200 "));
    close_all(others, 3);
}

static void a_connection_too_many_is_refused_where_none_lingers(void **state)
{
    struct fake_http *h = *state;
    struct fake_peer others[4];

    connect_all(h, others, 4);
    assert_true(fake_peer_got(&others[2], "HTTP/1.1 503 "));
    assert_true(fake_peer_got(&others[3], "HTTP/1.1 503 "));
    assert_true(fake_peer_send(&others[1], STR("GET /a HTTP/1.1\r\nHost: h\r\n\r\n")));
    assert_true(fake_peer_got(&others[1], "HTTP/1.1 200 "));
    close_all(others, 4);
}

static void accepting_goes_on_without_descriptors_as_long_as_others_linger(void **state)
{
    struct fake_http *h = *state;
    struct fake_peer others[3];

    loop_fake_set_faults(h->l, (struct loop_fake_faults){.max_accepted = 2});
    be_refused(&h->peer);
    connect_all(h, others, 3);
    assert_true(closed(&h->peer)); /* for the second of them */
    for (int i = 0; i < 2; i++) {
        assert_true(fake_peer_send(&others[i], STR("GET /a HTTP/1.1\r\nHost: h\r\n\r\n")));
        assert_true(fake_peer_got(&others[i], "HTTP/1.1 200 "));
    }
    assert_true(fake_peer_send(&others[2], STR("GET /a HTTP/1.1\r\nHost: h\r\n\r\n")));
    assert_int_equal(fake_peer_read(&others[2]).n, 0); /* none lingers: it waits */
    fake_peer_close(&others[0]);
    loop_fake_advance(h->l, 100000);
    assert_true(fake_peer_got(&others[2], "HTTP/1.1 200 "));
    close_all(others, 3);
}

/* --- what is read of a refused request --- */

static size_t send_until_refused(struct fake_http *h)
{
    size_t sent = 0;

    while (sent < (8 << 20) && fake_peer_send(&h->peer, (struct str){bytes, 64}))
        sent += 64;
    return sent;
}

static void of_a_body_that_was_refused_by_its_head_64_kib_are_read(void **state)
{
    static const char *const heads[] = {
        "POST /forbidden HTTP/1.1\r\nHost: h\r\nContent-Length: 1999\r\n\r\n",
        "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 6000000\r\n\r\n"};
    struct fake_http *h = *state;

    for (int i = 0; i < 2; i++) {
        fake_http_again(h);
        loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 6400});
        assert_true(fake_peer_send(&h->peer, str_from(heads[i])));
        assert_int_equal(send_until_refused(h), (64 << 10) + 6400);
        assert_true(fake_http_status(h, i ? 413 : 401));
        loop_fake_set_faults(h->l, (struct loop_fake_faults){0});
    }
}

static void of_a_body_that_was_refused_while_it_came_1_mib_is_read(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(POST("Transfer-Encoding: chunked\r\n\r\n40\r\n"))));
    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 6400});
    assert_true(fake_peer_send(&h->peer, (struct str){bytes, 64}));
    assert_true(fake_peer_send(&h->peer, STR("\r\n6000000\r\n")));
    assert_int_equal(send_until_refused(h), (1 << 20) + 6400);
    assert_true(fake_http_status(h, 413));
}

/* --- turns of the loop (L7) --- */

#define GET "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"

static void send_only(struct fake_http *h, struct fake_peer *p, struct str text)
{
    struct iovec iov = {(void *)text.p, text.n};

    assert_int_equal(loop_sendv(h->l, p->sock, &iov, 1), text.n);
}

static void pipelined_requests_are_spread_over_iterations(void **state)
{
    struct fake_http *h = *state;
    int before = 0, steps = 0;

    for (int i = 0; i < 100; i++)
        send_only(h, &h->peer, STR(GET));
    while (loop_fake_step(h->l)) {
        assert_true(h->requests - before <= 2);
        before = h->requests;
        steps++;
    }
    assert_int_equal(h->requests, 100);
    assert_true(steps >= 50);
}

static void a_connection_that_pipelines_does_not_keep_another_waiting(void **state)
{
    struct fake_http *h = *state;
    struct fake_peer other;

    fake_peer_connect(&other, h->l, h->port);
    for (int i = 0; i < 100; i++)
        send_only(h, &h->peer, STR(GET));
    (void)loop_fake_step(h->l);
    send_only(h, &other, STR("GET /other HTTP/1.1\r\nHost: h\r\n\r\n"));
    (void)loop_fake_step(h->l);
    (void)loop_fake_step(h->l);
    assert_non_null(memmem(h->seen.mem, h->seen.len, "GET /other", 10));
    assert_true(h->requests < 10);
    fake_peer_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_connection_its_head_its_body_and_its_answer_are_charged),
        T(a_request_for_which_the_budget_has_no_room_is_refused_by_name),
        T(a_refusal_for_want_of_memory_says_whose),
        T(a_connection_for_which_there_is_no_memory_is_closed_at_once),
        T(lingering_connections_are_bounded_and_the_oldest_is_closed_first),
        T(lingering_connections_count_and_make_room_for_new_ones),
        T(a_connection_too_many_is_refused_where_none_lingers),
        T(accepting_goes_on_without_descriptors_as_long_as_others_linger),
        T(of_a_body_that_was_refused_by_its_head_64_kib_are_read),
        T(of_a_body_that_was_refused_while_it_came_1_mib_is_read),
        T(pipelined_requests_are_spread_over_iterations),
        T(a_connection_that_pipelines_does_not_keep_another_waiting),
        T(an_upgrade_that_a_budget_refuses_can_still_be_answered),
    };

    return cmocka_run_group_tests_name("http limits", tests, NULL, NULL);
}
