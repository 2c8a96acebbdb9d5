/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's life: time-outs, one exchange after another, peers that go, draining, the upgrade.
 * All of it in virtual time. */
#include "fake_http.h"

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(body) "POST /p HTTP/1.1\r\nHost: h\r\n" body

static void advance_ms(struct fake_http *h, int64_t ms)
{
    loop_fake_advance(h->l, ms * 1000);
}

static void answer_waiting(struct fake_http *h, const char *text)
{
    struct http_exchange *x = h->waiting;

    assert_non_null(x);
    h->waiting = NULL;
    http_respond(x, 200, NULL, 0, str_from(text));
    loop_fake_settle(h->l);
}

/* --- time-outs --- */

static void a_connection_without_a_request_is_closed_without_a_word(void **state)
{
    struct fake_http *h = *state;

    advance_ms(h, 59999);
    assert_false(fake_peer_ended(&h->peer));
    advance_ms(h, 1);
    assert_true(fake_peer_ended(&h->peer));
    assert_int_equal(h->peer.got.len, 0);
    assert_int_equal(h->rejects, 0);
}

static void between_requests_the_idle_time_begins_anew(void **state)
{
    struct fake_http *h = *state;

    for (int i = 0; i < 3; i++) {
        advance_ms(h, 59000);
        assert_true(fake_peer_send(&h->peer, STR(GET("/a"))));
    }
    assert_int_equal(h->requests, 3);
    advance_ms(h, 59999);
    assert_false(fake_peer_ended(&h->peer));
    advance_ms(h, 1);
    assert_true(fake_peer_ended(&h->peer));
}

static void a_head_that_does_not_end_in_time_is_answered_408_however_it_drips(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR("GET / HTTP/1.1\r\nX: ")));
    for (int i = 0; i < 9; i++) {
        advance_ms(h, 1000);
        assert_true(fake_peer_send(&h->peer, STR("x")));
    }
    advance_ms(h, 999);
    assert_int_equal(h->rejects, 0);
    advance_ms(h, 1);
    assert_true(fake_http_status(h, 408));
    assert_true(h->peer.ended);
    assert_int_equal(h->requests, 0);
}

static void a_body_may_take_its_time_as_long_as_it_moves(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(POST("Content-Length: 30\r\n\r\n"))));
    for (int i = 0; i < 5; i++) {
        advance_ms(h, 4999);
        assert_true(fake_peer_send(&h->peer, STR("x")));
    }
    assert_int_equal(h->rejects, 0);
    advance_ms(h, 5000);
    assert_true(fake_http_status(h, 408));
    assert_int_equal(h->requests, 0);
}

static void a_body_that_only_drips_is_cut_at_its_deadline(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(POST("Content-Length: 60\r\n\r\n"))));
    for (int i = 0; i < 29; i++) {
        advance_ms(h, 1000);
        assert_true(fake_peer_send(&h->peer, STR("x")));
    }
    advance_ms(h, 999);
    assert_int_equal(h->rejects, 0);
    advance_ms(h, 1);
    assert_true(fake_http_status(h, 408));
    assert_int_equal(h->requests, 0);
}

static void a_handler_may_take_as_long_as_it_likes(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(GET("/later"))));
    advance_ms(h, 24LL * 3600 * 1000);
    assert_int_equal(http_server_open(h->server), 1);
    answer_waiting(h, "at last");
    assert_true(fake_peer_got(&h->peer, "at last"));
    assert_int_equal(http_server_open(h->server), 0);
}

static void a_request_is_received_when_its_last_byte_is_read(void **state)
{
    struct fake_http *h = *state;
    struct clock c = loop_clock(h->l);
    int64_t start;

    advance_ms(h, 5000);
    start = clock_mono_us(&c);
    assert_true(fake_peer_send(&h->peer, STR("GET /later HTTP/1.1\r\n")));
    advance_ms(h, 300);
    assert_true(fake_peer_send(&h->peer, STR("Host: h\r\n\r\n")));
    advance_ms(h, 700);
    assert_int_equal(http_request_of(h->waiting)->received_us, start + 300000);
}

static void a_large_answer_read_slowly_is_not_cut_by_the_idle_time_out(void **state)
{
    struct fake_http *h = *state;
    static char body[60000];

    memset(body, 'b', sizeof body);
    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_true(fake_peer_send(&h->peer, STR(GET("/later"))));
    http_respond(h->waiting, 200, NULL, 0, (struct str){body, sizeof body});
    h->waiting = NULL;
    for (int i = 0; i < 50 && !h->peer.ended; i++) { /* a thousand bytes every 30 seconds */
        char piece[1000];

        loop_fake_settle(h->l);
        assert_true(loop_recv(h->l, h->peer.sock, piece, sizeof piece) > 0);
        advance_ms(h, 30000);
    }
    assert_true(fake_peer_read(&h->peer).n > 9000);
    assert_false(h->peer.ended);
    advance_ms(h, 60000);
    assert_true(fake_peer_ended(&h->peer)); /* idle at last */
}

static void an_answer_that_nobody_reads_is_given_up_after_the_idle_time(void **state)
{
    struct fake_http *h = *state;
    static char body[60000];

    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_true(fake_peer_send(&h->peer, STR(GET("/later"))));
    http_respond(h->waiting, 200, NULL, 0, (struct str){body, sizeof body});
    h->waiting = NULL;
    advance_ms(h, 120001);
    assert_int_equal(fake_peer_read(&h->peer).n, 1000);
    assert_true(h->peer.ended);
}

/* The last answer of a connection is not cut either: what ends it is a peer that stalls. */
static void a_last_answer_takes_the_time_that_its_reader_needs(void **state)
{
    struct fake_http *h = *state;
    static char body[9000];
    size_t read = 0;

    memset(body, 'b', sizeof body);
    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_true(fake_peer_send(&h->peer,
                               STR("GET /later HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")));
    http_respond(h->waiting, 200, NULL, 0, (struct str){body, sizeof body});
    h->waiting = NULL;
    loop_fake_settle(h->l);
    for (ssize_t n = 1; n > 0; read += n > 0 ? (size_t)n : 0) {
        char piece[1000];

        advance_ms(h, 9999);
        n = loop_recv(h->l, h->peer.sock, piece, sizeof piece);
        loop_fake_settle(h->l);
    }
    assert_true(read > sizeof body);
    assert_int_equal(h->aborts, 0);
}

/* --- one exchange after another --- */

static void a_pipelined_request_waits_for_the_answer_before_it(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(GET("/later") GET("/b") GET("/later") GET("/d"))));
    assert_int_equal(h->requests, 1);
    advance_ms(h, 3600 * 1000); /* no time-out runs meanwhile */
    answer_waiting(h, "<first>");
    assert_int_equal(h->requests, 3);
    answer_waiting(h, "<third>");
    assert_int_equal(h->requests, 4);
    fake_http_answer(h);
    {
        const char *all = fake_http_answer(h), *first = strstr(all, "<first>");
        const char *second = strstr(all, "GET /b"), *third = strstr(all, "<third>");

        assert_true(first && second && third);
        assert_true(first < second && second < third && third < strstr(all, "GET /d"));
    }
}

static void a_peer_that_pipelines_without_reading_does_not_pile_up_answers(void **state)
{
    struct fake_http *h = *state;
    const struct str request = STR(GET("/an-answer-of-some-hundred-bytes-in-all"));
    int sent = 0;

    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 4000});
    while (sent < 2000 && fake_peer_send(&h->peer, request))
        sent++;
    assert_in_range(sent, 500, 1999); /* the server's input is full, and so is the socket */
    assert_in_range(h->requests, 1, 100);
    while (fake_peer_read(&h->peer).n > 0)
        buf_clear(&h->peer.got);
    assert_int_equal(h->requests, sent); /* they were waiting, not lost */
}

static const struct {
    const char *what, *request;
    bool stays;
} persistence[] = {
    {"HTTP/1.1", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
    {"close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
    {"close in a list", "GET / HTTP/1.1\r\nHost: h\r\nConnection: te, Close\r\n\r\n", false},
    {"close in a second header",
     "GET / HTTP/1.1\r\nHost: h\r\nConnection: te\r\nConnection: close\r\n\r\n", false},
    {"keep-alive", "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", true},
    {"a word that contains close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\n\r\n", true},
    {"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", false},
};

static void a_connection_stays_open_where_http_says_so(void **state)
{
    struct fake_http *h = *state;

    for (size_t i = 0; i < sizeof persistence / sizeof persistence[0]; i++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, str_from(persistence[i].request)));
        assert_true(fake_http_status(h, 200));
        if (h->peer.ended == persistence[i].stays ||
            fake_peer_got(&h->peer, "Connection: close\r\n") == persistence[i].stays)
            fail_msg("%s", persistence[i].what);
    }
}

/* --- peers that go --- */

static void a_peer_that_goes_aborts_its_exchange_once(void **state)
{
    struct fake_http *h = *state;

    for (int stream = 0; stream < 2; stream++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, stream ? STR(GET("/stream")) : STR(GET("/later"))));
        assert_int_equal(http_server_open(h->server), 1);
        fake_peer_close(&h->peer);
        assert_int_equal(h->aborts, 1);
        assert_int_equal(h->abort_reason, ERR_CLOSED);
        assert_int_equal(http_server_open(h->server), 0);
    }
}

static void a_peer_that_half_closes_before_its_answer_is_taken_for_gone(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(GET("/later"))));
    loop_shutdown(h->l, h->peer.sock);
    loop_fake_settle(h->l);
    assert_int_equal(h->aborts, 1);
}

static void a_peer_that_goes_in_the_middle_of_a_request_leaves_no_trace(void **state)
{
    static const char request[] = POST("Content-Length: 5\r\n\r\nhell");
    struct fake_http *h = *state;

    for (size_t n = 0; n < sizeof request; n++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, (struct str){request, n}));
        fake_peer_close(&h->peer);
        assert_int_equal(h->requests + h->rejects + h->aborts, 0);
    }
}

static void freeing_the_server_aborts_what_is_open(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(GET("/later"))));
    http_server_free(h->server);
    h->server = NULL;
    assert_int_equal(h->aborts, 1);
    assert_int_equal(h->abort_reason, ERR_CANCELLED);
    assert_true(fake_peer_ended(&h->peer));
    http_server_free(NULL);
}

/* --- draining, too many --- */

static void
a_draining_server_closes_idle_connections_and_the_others_after_their_answer(void **state)
{
    struct fake_http *h = *state;
    struct fake_peer idle, busy;

    fake_peer_connect(&idle, h->l, h->port);
    fake_peer_connect(&busy, h->l, h->port);
    assert_true(fake_peer_send(&busy, STR(GET("/later"))));
    assert_true(fake_peer_send(&h->peer, STR("GET /half")));
    http_server_drain(h->server);
    assert_true(fake_peer_ended(&idle));
    assert_false(fake_peer_ended(&busy));
    assert_false(fake_peer_ended(&h->peer));
    assert_int_equal(http_server_open(h->server), 1);
    answer_waiting(h, "done");
    assert_true(fake_peer_got(&busy, "Connection: close\r\n"));
    assert_true(busy.ended);
    assert_true(fake_peer_send(&h->peer, STR(" HTTP/1.1\r\nHost: h\r\n\r\n")));
    assert_true(fake_peer_got(&h->peer, "GET /half?|")); /* begun before */
    assert_true(h->peer.ended);
    fake_peer_close(&idle);
    fake_peer_close(&busy);
}

static void draining_does_not_cut_an_answer_that_is_still_on_its_way(void **state)
{
    struct fake_http *h = *state;
    static char body[9000];

    memset(body, 'b', sizeof body);
    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_true(fake_peer_send(&h->peer, STR(GET("/later"))));
    http_respond(h->waiting, 200, NULL, 0, (struct str){body, sizeof body});
    h->waiting = NULL;
    loop_fake_settle(h->l);
    http_server_drain(h->server);
    assert_true(fake_peer_read(&h->peer).n > sizeof body);
    assert_true(h->peer.ended);
}

static void a_connection_too_many_is_answered_503(void **state)
{
    struct fake_http *h = *state; /* its peer is the first */
    struct fake_peer others[FAKE_CONNECTIONS_MAX];

    for (int i = 0; i < FAKE_CONNECTIONS_MAX; i++)
        fake_peer_connect(&others[i], h->l, h->port);
    assert_true(fake_peer_got(&others[FAKE_CONNECTIONS_MAX - 1], "HTTP/1.1 503 "));
    assert_true(others[FAKE_CONNECTIONS_MAX - 1].ended);
    fake_peer_close(&others[0]);
    assert_true(fake_peer_send(&others[1], STR(GET("/a")))); /* the others work */
    assert_true(fake_peer_got(&others[1], "HTTP/1.1 200 "));
    fake_http_again(h); /* and there is room again */
    assert_true(fake_peer_send(&h->peer, STR(GET("/a"))));
    assert_true(fake_http_status(h, 200));
    for (int i = 1; i < FAKE_CONNECTIONS_MAX; i++)
        fake_peer_close(&others[i]);
}

/* They are connections too, for as long as they live. */
static void a_websocket_counts_until_it_is_closed(void **state)
{
    static const struct str upgrade =
        STR("GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n");
    struct fake_http *h = *state;
    struct fake_peer others[FAKE_CONNECTIONS_MAX];

    assert_true(fake_peer_send(&h->peer, upgrade));
    assert_true(fake_http_status(h, 101));
    for (int i = 0; i < FAKE_CONNECTIONS_MAX; i++) {
        fake_peer_connect(&others[i], h->l, h->port);
        (void)fake_peer_send(&others[i], upgrade);
    }
    assert_true(fake_peer_got(&others[FAKE_CONNECTIONS_MAX - 2], "HTTP/1.1 101 "));
    assert_true(fake_peer_got(&others[FAKE_CONNECTIONS_MAX - 1], "HTTP/1.1 503 "));
    fake_peer_close(&others[0]);
    fake_http_again(h); /* and that makes two, so there is room again */
    assert_true(fake_peer_send(&h->peer, STR(GET("/a"))));
    assert_true(fake_http_status(h, 200));
    http_server_free(h->server); /* a WebSocket is its owner's, and goes on */
    h->server = NULL;
    assert_false(fake_peer_ended(&others[1]));
    for (int i = 1; i < FAKE_CONNECTIONS_MAX; i++)
        fake_peer_close(&others[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_connection_without_a_request_is_closed_without_a_word),
        T(between_requests_the_idle_time_begins_anew),
        T(a_head_that_does_not_end_in_time_is_answered_408_however_it_drips),
        T(a_body_may_take_its_time_as_long_as_it_moves),
        T(a_body_that_only_drips_is_cut_at_its_deadline),
        T(a_handler_may_take_as_long_as_it_likes),
        T(a_request_is_received_when_its_last_byte_is_read),
        T(a_large_answer_read_slowly_is_not_cut_by_the_idle_time_out),
        T(an_answer_that_nobody_reads_is_given_up_after_the_idle_time),
        T(a_last_answer_takes_the_time_that_its_reader_needs),
        T(a_pipelined_request_waits_for_the_answer_before_it),
        T(a_peer_that_pipelines_without_reading_does_not_pile_up_answers),
        T(a_connection_stays_open_where_http_says_so),
        T(a_peer_that_goes_aborts_its_exchange_once),
        T(a_peer_that_half_closes_before_its_answer_is_taken_for_gone),
        T(a_peer_that_goes_in_the_middle_of_a_request_leaves_no_trace),
        T(freeing_the_server_aborts_what_is_open),
        T(a_draining_server_closes_idle_connections_and_the_others_after_their_answer),
        T(draining_does_not_cut_an_answer_that_is_still_on_its_way),
        T(a_connection_too_many_is_answered_503),
        T(a_websocket_counts_until_it_is_closed),
    };

    return cmocka_run_group_tests_name("http life", tests, NULL, NULL);
}
