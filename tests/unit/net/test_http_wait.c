/* SPDX-License-Identifier: Apache-2.0 */
/* A head whose owner takes its time: who it is must be known before its body is read (findings L2).
 */
#include "fake_http.h"

#define ASK(head) "POST /ask HTTP/1.1\r\nHost: h\r\n" head

enum { SOCKET_BYTES = 1000, IN_MAX_BYTES = 64 << 10 };

static char bytes[FAKE_BODY_MAX_BYTES];

static void accept_body(struct fake_http *h)
{
    struct http_exchange *x = h->asked;

    assert_non_null(x);
    h->asked = NULL;
    http_body_accept(x);
    loop_fake_settle(h->l);
}

static void refuse(struct fake_http *h, int status)
{
    struct http_exchange *x = h->asked;

    assert_non_null(x);
    h->asked = NULL;
    http_head_refuse(x, status, "the key is not known");
    loop_fake_settle(h->l);
}

static void a_head_that_waits_is_whole_and_its_body_comes_when_it_is_let(void **state)
{
    static const char *const requests[] = {
        ASK("X: y\r\nContent-Length: 5\r\n\r\nhello"),
        ASK("X: y\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")};
    struct fake_http *h = *state;

    for (size_t i = 0; i < 2; i++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, str_from(requests[i])));
        assert_non_null(h->asked);
        assert_true(str_is(http_request_of(h->asked)->path, "/ask"));
        assert_true(str_is(http_header_get(http_request_of(h->asked), "x"), "y"));
        assert_string_equal(http_peer(h->asked), "127.0.0.1");
        assert_int_equal(h->requests, 0);
        accept_body(h);
        assert_int_equal(h->requests, 1);
        assert_true(fake_peer_got(&h->peer, "POST /ask?|hello"));
        assert_int_equal(h->aborts, 0);
        assert_true(fake_peer_send(&h->peer, STR("GET /b HTTP/1.1\r\nHost: h\r\n\r\n")));
        assert_true(fake_peer_got(&h->peer, "GET /b?|"));
    }
}

static void a_request_cut_anywhere_waits_at_the_end_of_its_head(void **state)
{
    static const char request[] = ASK("Content-Length: 5\r\n\r\nhello");
    size_t head = sizeof request - 6;
    struct fake_http *h = *state;

    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, (struct str){request, cut}));
        assert_int_equal(h->asked != NULL, cut >= head);
        if (cut >= head)
            accept_body(h);
        assert_true(
            fake_peer_send(&h->peer, (struct str){request + cut, sizeof request - 1 - cut}));
        if (cut < head)
            accept_body(h);
        assert_true(fake_peer_got(&h->peer, "POST /ask?|hello"));
    }
}

static void a_body_that_is_held_back_is_asked_for_when_it_is_let(void **state)
{
    struct fake_http *h = *state;

    assert_true(
        fake_peer_send(&h->peer, STR(ASK("Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"))));
    assert_int_equal(fake_peer_read(&h->peer).n, 0);
    accept_body(h);
    assert_string_equal(fake_http_answer(h), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_true(fake_peer_send(&h->peer, STR("hello")));
    assert_true(fake_peer_got(&h->peer, "POST /ask?|hello"));
}

static void who_is_refused_after_a_wait_hears_so_and_of_the_body_little_is_read(void **state)
{
    struct fake_http *h = *state;
    size_t sent = 0;

    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = SOCKET_BYTES});
    assert_true(fake_peer_send(&h->peer, STR(ASK("Content-Length: 2000\r\n\r\n"))));
    refuse(h, 401);
    while (sent < (1 << 20) && fake_peer_send(&h->peer, (struct str){bytes, 8}))
        sent += 8;
    assert_true(sent <= (64 << 10) + SOCKET_BYTES);
    assert_true(fake_http_status(h, 401));
    assert_true(fake_peer_got(&h->peer, "refused 401: the key is not known"));
    assert_int_equal(h->aborts + h->requests, 0);
}

/* What arrives meanwhile waits, in a bounded part with us and else with the sender. */
static void during_the_wait_little_is_read_and_nothing_times_out(void **state)
{
    struct fake_http *h = *state;
    size_t sent = 0;

    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = SOCKET_BYTES});
    assert_true(fake_peer_send(
        &h->peer, STR(ASK("Content-Length: 2000\r\n\r\n")))); /* and what is pipelined behind it */
    while (sent < (1 << 20) && fake_peer_send(&h->peer, (struct str){bytes, 8}))
        sent += 8;
    assert_true(sent <= IN_MAX_BYTES + SOCKET_BYTES);
    loop_fake_advance(h->l, 3600 * 1000000LL);
    assert_non_null(h->asked);
    assert_int_equal(h->aborts + h->rejects, 0);
    loop_fake_set_faults(h->l, (struct loop_fake_faults){0});
    accept_body(h);
    assert_int_equal(h->requests, 1);
}

static void the_bodys_time_begins_when_it_is_let(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(ASK("Content-Length: 9\r\n\r\n"))));
    loop_fake_advance(h->l, 29 * 1000000LL);
    accept_body(h);
    for (int i = 0; i < 7; i++) { /* 4 s each: within 5 s, and 30 in all */
        loop_fake_advance(h->l, 4 * 1000000LL);
        assert_true(fake_peer_send(&h->peer, STR("x")));
    }
    assert_int_equal(h->rejects, 0);
    loop_fake_advance(h->l, 2 * 1000000LL);
    assert_true(fake_http_status(h, 408));
    assert_int_equal(h->aborts, 1); /* the owner hears that no request will come */
    assert_int_equal(h->abort_reason, ERR_TIMEOUT);
}

static void a_peer_that_goes_during_the_wait_or_the_body_is_told_once(void **state)
{
    struct fake_http *h = *state;

    for (int let = 0; let < 2; let++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, STR(ASK("Content-Length: 9\r\n\r\n"))));
        if (let)
            accept_body(h);
        fake_peer_close(&h->peer);
        assert_int_equal(h->aborts, 1);
        assert_int_equal(h->abort_reason, ERR_CLOSED);
        assert_int_equal(h->requests, 0);
    }
}

static void a_body_that_breaks_the_rules_after_a_wait_is_told_once(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(ASK("Transfer-Encoding: chunked\r\n\r\n"))));
    accept_body(h);
    assert_true(fake_peer_send(&h->peer, STR("no size\r\n")));
    assert_true(fake_http_status(h, 400));
    assert_int_equal(h->aborts, 1);
    assert_int_equal(h->abort_reason, ERR_PROTOCOL);
}

static void freeing_or_draining_the_server_during_a_wait(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(ASK("Content-Length: 5\r\n\r\n"))));
    http_server_drain(h->server);
    assert_int_equal(h->aborts, 0); /* it was begun: it goes on */
    accept_body(h);
    assert_true(fake_peer_send(&h->peer, STR("hello")));
    assert_true(fake_peer_got(&h->peer, "POST /ask?|hello"));
    assert_int_equal(fake_http_teardown(state), 0);

    assert_int_equal(fake_http_setup(state), 0);
    assert_true(fake_peer_send(&h->peer, STR(ASK("Content-Length: 5\r\n\r\n"))));
    http_server_free(h->server);
    h->server = NULL;
    assert_int_equal(h->aborts, 1);
    assert_int_equal(h->abort_reason, ERR_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_head_that_waits_is_whole_and_its_body_comes_when_it_is_let),
        T(a_request_cut_anywhere_waits_at_the_end_of_its_head),
        T(a_body_that_is_held_back_is_asked_for_when_it_is_let),
        T(who_is_refused_after_a_wait_hears_so_and_of_the_body_little_is_read),
        T(during_the_wait_little_is_read_and_nothing_times_out),
        T(the_bodys_time_begins_when_it_is_let),
        T(a_peer_that_goes_during_the_wait_or_the_body_is_told_once),
        T(a_body_that_breaks_the_rules_after_a_wait_is_told_once),
        T(freeing_or_draining_the_server_during_a_wait),
    };

    return cmocka_run_group_tests_name("http waits", tests, NULL, NULL);
}
