/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: whole, streamed in chunks, without a body, interim, and the upgrade to a WebSocket. */
#include "fake_http.h"

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(body) "POST /p HTTP/1.1\r\nHost: h\r\n" body

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");

    assert_non_null(end);
    return end + 4;
}

static struct http_exchange *begin(struct fake_http *h, struct str request)
{
    assert_true(fake_peer_send(&h->peer, request));
    assert_non_null(h->waiting);
    return h->waiting;
}

static int write_text(struct http_exchange *x, const char *text)
{
    struct str s = str_from(text);

    return http_stream_write(x, &s, 1);
}

/* --- streams --- */

static void a_stream_leaves_in_chunks_as_it_is_written_and_ends_once(void **state)
{
    struct fake_http *h = *state;
    struct http_exchange *x = begin(h, STR(GET("/stream")));
    const struct str parts[] = {STR("data: "), STR(""), STR("0123456789\n\n")};

    assert_true(fake_peer_got(&h->peer, "Transfer-Encoding: chunked\r\n"));
    assert_string_equal(body_of(fake_http_answer(h)), ""); /* the head leaves at once */
    assert_int_equal(http_stream_write(x, parts, 3), 0);
    assert_string_equal(body_of(fake_http_answer(h)), "12\r\ndata: 0123456789\n\n\r\n");
    assert_int_equal(write_text(x, "a"), 0);
    assert_int_equal(write_text(x, ""), 0); /* an empty chunk would end it */
    assert_int_equal(write_text(x, "b"), 0);
    fake_peer_forget(&h->peer);
    http_stream_end(x);
    assert_string_equal(fake_http_answer(h), "0\r\n\r\n");
    assert_false(h->peer.ended);
    assert_true(fake_peer_send(&h->peer, STR(GET("/next"))));
    assert_true(fake_peer_got(&h->peer, "GET /next?|"));
}

static void chunk_sizes_are_hexadecimal_of_every_length(void **state)
{
    static const struct {
        size_t n;
        const char *head;
    } cases[] = {{1, "1\r\n"},     {9, "9\r\n"},      {10, "a\r\n"},
                 {15, "f\r\n"},    {16, "10\r\n"},    {255, "ff\r\n"},
                 {256, "100\r\n"}, {4095, "fff\r\n"}, {4096, "1000\r\n"}};
    struct fake_http *h = *state;
    struct http_exchange *x = begin(h, STR(GET("/stream")));
    static char text[4096];

    memset(text, 't', sizeof text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct str piece = {text, cases[i].n};
        const char *got;

        fake_peer_forget(&h->peer);
        assert_int_equal(http_stream_write(x, &piece, 1), 0);
        got = fake_http_answer(h);
        assert_int_equal(strncmp(got, cases[i].head, strlen(cases[i].head)), 0);
        assert_int_equal(strlen(got), strlen(cases[i].head) + cases[i].n + 2);
    }
    http_stream_end(x);
}

static void a_stream_to_http_1_0_has_no_chunks_and_ends_with_the_connection(void **state)
{
    struct fake_http *h = *state;
    struct http_exchange *x = begin(h, STR("GET /stream HTTP/1.0\r\n\r\n"));

    assert_int_equal(write_text(x, "one"), 0);
    assert_int_equal(write_text(x, "two"), 0);
    http_stream_end(x);
    assert_string_equal(body_of(fake_http_answer(h)), "onetwo");
    assert_true(fake_peer_got(&h->peer, "Connection: close\r\n"));
    assert_false(fake_peer_got(&h->peer, "Transfer-Encoding"));
    assert_true(h->peer.ended);
}

static void an_aborted_stream_ends_without_the_last_chunk(void **state)
{
    struct fake_http *h = *state;
    struct http_exchange *x = begin(h, STR(GET("/stream")));

    assert_int_equal(write_text(x, "half"), 0);
    http_stream_abort(x);
    assert_string_equal(body_of(fake_http_answer(h)), "4\r\nhalf\r\n");
    assert_true(h->peer.ended);
    assert_int_equal(h->aborts, 0); /* the handler ended it itself */
    assert_int_equal(http_server_open(h->server), 0);
}

static void a_stream_is_refused_more_than_its_queue_and_goes_on_when_the_peer_reads(void **state)
{
    struct fake_http *h = *state;
    struct http_exchange *x = begin(h, STR(GET("/stream")));
    static char text[1000];
    const struct str piece = {text, sizeof text};
    uint64_t queued;
    size_t written = 0;

    memset(text, 't', sizeof text);
    fake_peer_forget(&h->peer);
    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 500});
    assert_int_equal(http_stream_write(x, &piece, 1), 0);
    loop_fake_settle(h->l);
    assert_true(http_out_blocked(x));
    for (written = 1; http_stream_write(x, &piece, 1) == 0; written++)
        loop_fake_settle(h->l);
    assert_in_range(http_out_pending(x), FAKE_OUT_MAX_BYTES - 1007, FAKE_OUT_MAX_BYTES);
    queued = http_out_queued(x);
    assert_int_equal(http_stream_write(x, &piece, 1), ERR_LIMIT);
    assert_int_equal(http_out_queued(x), queued); /* nothing of it was queued */
    assert_int_equal(http_out_taken(x) + http_out_pending(x), queued);
    assert_int_equal(h->drains, 0);
    assert_int_equal(fake_peer_read(&h->peer).n, written * (1000 + 7)); /* "3e8" and two ends */
    assert_int_equal(h->drains, 1);
    assert_int_equal(http_out_pending(x), 0);
    assert_int_equal(http_stream_write(x, &piece, 1), 0);
    http_stream_end(x);
}

static void it_is_known_since_when_a_slow_peer_has_taken_nothing(void **state)
{
    struct fake_http *h = *state;
    struct http_exchange *x = begin(h, STR(GET("/stream")));
    static char text[5000];
    const struct str piece = {text, sizeof text};
    struct clock c = loop_clock(h->l);
    int64_t start;

    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_int_equal(http_stream_write(x, &piece, 1), 0);
    loop_fake_settle(h->l);
    start = clock_mono_us(&c);
    loop_fake_advance(h->l, 10000000);
    assert_int_equal(http_out_last_taken_us(x), start);
    (void)fake_peer_read(&h->peer);
    assert_int_equal(http_out_last_taken_us(x), start + 10000000);
    http_stream_end(x);
}

/* --- whole answers --- */

static void a_whole_answer_may_be_larger_than_a_streams_queue_which_stays_as_it_was(void **state)
{
    struct fake_http *h = *state;
    static char body[5 * FAKE_OUT_MAX_BYTES];
    const struct str whole = {body, sizeof body}, piece = {body, FAKE_OUT_MAX_BYTES};
    struct http_exchange *x = begin(h, STR(GET("/later")));

    memset(body, 'b', sizeof body);
    h->waiting = NULL;
    http_respond(x, 200, NULL, 0, whole);
    assert_true(fake_peer_read(&h->peer).n > sizeof body);
    x = begin(h, STR(GET("/stream")));
    loop_fake_settle(h->l);
    assert_int_equal(http_stream_write(x, &piece, 1), ERR_LIMIT); /* with its chunk's head */
    http_stream_end(x);
}

static const struct {
    const char *what, *request;
} bodiless[] = {
    {"HEAD", "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n"},
    {"HEAD of a stream", "HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n"},
};

static void an_answer_to_head_has_no_body_and_the_next_one_is_understood(void **state)
{
    struct fake_http *h = *state;

    for (size_t i = 0; i < sizeof bodiless / sizeof bodiless[0]; i++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, str_from(bodiless[i].request)));
        if (h->waiting) {
            assert_int_equal(write_text(h->waiting, "text"), 0);
            http_stream_end(h->waiting);
            h->waiting = NULL;
        }
        if (body_of(fake_http_answer(h))[0] != 0)
            fail_msg("%s: `%s`", bodiless[i].what, fake_http_answer(h));
        assert_false(h->peer.ended);
    }
    fake_http_again(h);
    assert_true(fake_peer_send(&h->peer, STR("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n" GET("/b"))));
    assert_true(fake_peer_got(&h->peer, "Content-Length: 9\r\n\r\nHTTP/1.1 200 ")); /* HEAD /a?| */
    assert_true(fake_peer_got(&h->peer, "GET /b?|"));
}

static void no_content_has_neither_body_nor_length(void **state)
{
    struct fake_http *h = *state;

    http_respond(begin(h, STR(GET("/later"))), 204, NULL, 0, STR(""));
    assert_string_equal(fake_http_answer(h), "HTTP/1.1 204 No Content\r\n" FAKE_DATE "\r\n");
}

static void a_header_that_would_break_its_line_is_left_out(void **state)
{
    static const struct http_header headers[] = {
        {{"X-Good", 6}, {"fine", 4}},
        {{"X-Lf", 4}, {"a\nX-Evil: 1", 11}},
        {{"X-Esc", 5}, {"a\x1B[2J", 5}},
        {{"X-Del", 5}, {"a\x7F", 2}},
        {{"X-Cr", 4}, {"a\rb", 3}},
        {{"X-Nul", 5}, {"a\0b", 3}},
        {{"X-Split", 7}, {"a\r\n\r\n<html>", 11}},
        {{"X-Tab", 5}, {"a\tb", 3}},
    };
    struct fake_http *h = *state;

    http_respond(begin(h, STR(GET("/later"))), 200, headers, sizeof headers / sizeof headers[0],
                 STR("ok"));
    assert_string_equal(fake_http_answer(h),
                        "HTTP/1.1 200 OK\r\n" FAKE_DATE
                        "X-Good: fine\r\nX-Tab: a\tb\r\nContent-Length: 2\r\n\r\nok");
}

static void the_date_moves_with_the_clock(void **state)
{
    struct fake_http *h = *state;

    loop_fake_advance(h->l, 1000000);
    assert_true(fake_peer_send(&h->peer, STR(GET("/a"))));
    assert_true(fake_peer_got(&h->peer, "Date: Mon, 23 Nov 2026 20:51:08 GMT\r\n"));
}

/* --- expectations --- */

static void a_body_that_is_awaited_is_asked_for_once(void **state)
{
    struct fake_http *h = *state;

    assert_true(
        fake_peer_send(&h->peer, STR(POST("Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n"))));
    assert_string_equal(fake_http_answer(h), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(h->requests, 0);
    fake_peer_forget(&h->peer);
    assert_true(fake_peer_send(&h->peer, STR("hello")));
    assert_true(fake_http_status(h, 200));
    assert_true(fake_peer_got(&h->peer, "POST /p?|hello"));
}

static void http_1_0_is_not_asked_for_its_body(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(
        &h->peer, STR("POST /p HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx")));
    assert_true(fake_http_status(h, 200));
}

/* L10 */
static void who_has_no_body_is_not_asked_for_one(void **state)
{
    static const struct str requests[] = {
        STR("GET /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n"),
        STR(POST("Content-Length: 0\r\nExpect: 100-continue\r\n\r\n"))};
    struct fake_http *h = *state;

    for (size_t i = 0; i < 2; i++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, requests[i]));
        assert_true(fake_http_status(h, 200));
    }
}

/* L10: a client that reads no body of an answer to HEAD would take it for the next answer. */
static void a_refusal_of_head_has_no_body(void **state)
{
    static const char *const requests[] = {
        "HEAD /a HTTP/1.1\r\n\r\n",               /* no Host */
        "HEAD /a HTTP/1.1\r\nbad header\r\n\r\n", /* the head is not whole */
    };
    struct fake_http *h = *state;

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, str_from(requests[i])));
        assert_int_equal(h->rejects, 1);
        assert_true(fake_peer_ended(&h->peer));
        assert_non_null(strstr(fake_http_answer(h), "Content-Length: "));
        assert_string_equal(body_of(fake_http_answer(h)), "");
    }
}

/* --- the upgrade --- */

#define UPGRADE                                                                        \
    "GET /later HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, " \
    "Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static const struct {
    const char *what, *request;
    bool wanted;
} upgrades[] = {
    {"as in the RFC", UPGRADE "Sec-WebSocket-Version: 13\r\n\r\n", true},
    {"an older version", UPGRADE "Sec-WebSocket-Version: 8\r\n\r\n", false},
    {"no version", UPGRADE "\r\n", false},
    {"no key",
     "GET /later HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Version: 13\r\n\r\n",
     false},
    {"a short key",
     "GET /later HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
     "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNh\r\n"
     "Sec-WebSocket-Version: 13\r\n\r\n",
     false},
    {"no Connection",
     "GET /later HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
     "Sec-WebSocket-Version: 13\r\n\r\n",
     false},
    {"another protocol",
     "GET /later HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
     "Sec-WebSocket-Version: 13\r\n\r\n",
     false},
    {"not a GET",
     "POST /later HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
     "Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n",
     false},
    /* L10 */
    {"a list of protocols",
     "GET /later HTTP/1.1\r\nHost: h\r\nUpgrade: h2c, WebSocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
     "Sec-WebSocket-Version: 13\r\n\r\n",
     true},
    {"with a body", UPGRADE "Sec-WebSocket-Version: 13\r\nContent-Length: 1\r\n\r\nx", false},
    {"two versions", UPGRADE "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n\r\n",
     false},
    {"two keys",
     UPGRADE "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
     false},
    {"a key that is no base64",
     "GET /later HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!!==\r\n"
     "Sec-WebSocket-Version: 13\r\n\r\n",
     false},
    {"a key of 18 bytes",
     "GET /later HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXh5\r\n"
     "Sec-WebSocket-Version: 13\r\n\r\n",
     false},
};

static void only_a_well_formed_upgrade_is_offered_to_the_handler(void **state)
{
    struct fake_http *h = *state;

    for (size_t i = 0; i < sizeof upgrades / sizeof upgrades[0]; i++) {
        struct http_exchange *x;

        fake_http_again(h);
        x = begin(h, str_from(upgrades[i].request));
        if (http_request_of(x)->wants_upgrade != upgrades[i].wanted)
            fail_msg("%s", upgrades[i].what);
        h->waiting = NULL;
        http_respond(x, 200, NULL, 0, STR("no")); /* a handler may decline */
        assert_true(fake_peer_send(&h->peer, STR(GET("/next"))));
        assert_true(fake_peer_got(&h->peer, "GET /next?|"));
    }
}

/* L10: RFC 6455 §4.1 asks for HTTP/1.1 at least. */
static void http_1_0_is_offered_no_upgrade(void **state)
{
    struct fake_http *h = *state;

    (void)begin(h, STR("GET /later HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                       "Sec-WebSocket-Version: 13\r\n\r\n"));
    assert_false(http_request_of(h->waiting)->wants_upgrade);
}

struct socket_owner {
    struct ws_conn *ws;
    char got[64];
    int messages, closes;
};

static void on_message(void *ud, struct str payload)
{
    struct socket_owner *o = ud;

    o->messages++;
    assert_true(payload.n < sizeof o->got);
    memcpy(o->got, payload.p, payload.n);
    o->got[payload.n] = 0;
    assert_int_equal(ws_send(o->ws, STR("back")), 0);
}

static void on_close(void *ud, int reason, const char *text)
{
    struct socket_owner *o = ud;

    (void)reason;
    (void)text;
    o->closes++;
    ws_conn_free(o->ws);
    o->ws = NULL;
}

static const struct ws_conn_ops ws_ops = {.on_message = on_message, .on_close = on_close};

/* "hi", masked with zeroes. */
#define HI "\x81\x82\0\0\0\0hi"

static void an_upgraded_connection_is_a_websocket_from_its_next_byte(void **state)
{
    static const char request[] = UPGRADE "Sec-WebSocket-Version: 13\r\n\r\n";
    static const char behind[] = UPGRADE "Sec-WebSocket-Version: 13\r\n\r\n" HI;
    const struct ws_conn_config config = {.max_message_bytes = 1000, .out_max_bytes = 1000};
    struct fake_http *h = *state;

    for (int at_once = 0; at_once < 2; at_once++) {
        struct socket_owner o = {0};

        fake_http_again(h);
        assert_int_equal(http_upgrade_ws(begin(h, at_once ? STR(behind) : STR(request)), &config,
                                         &ws_ops, &o, &o.ws),
                         0);
        h->waiting = NULL;
        assert_int_equal(http_server_open(h->server), 0); /* the exchange is over */
        if (!at_once)
            assert_true(fake_peer_send(&h->peer, STR(HI)));
        assert_string_equal(fake_http_answer(h),
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                            "\x81\x04"
                            "back");
        assert_int_equal(o.messages, 1);
        assert_string_equal(o.got, "hi");
        loop_fake_advance(h->l, 3600LL * 1000000); /* HTTP's time-outs are not its */
        assert_int_equal(o.closes, 0);
        fake_peer_close(&h->peer);
        assert_int_equal(o.closes, 1);
    }
}

static void every_status_that_is_sent_has_words(void **state)
{
    static const int statuses[] = {100, 101, 200, 204, 400, 401, 402, 403, 404, 405, 408,
                                   409, 413, 422, 429, 431, 500, 501, 502, 503, 504, 505};

    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        assert_string_not_equal(http_status_text(statuses[i]), http_status_text(999));
    assert_string_equal(http_status_text(404), "Not Found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_stream_leaves_in_chunks_as_it_is_written_and_ends_once),
        T(chunk_sizes_are_hexadecimal_of_every_length),
        T(a_stream_to_http_1_0_has_no_chunks_and_ends_with_the_connection),
        T(an_aborted_stream_ends_without_the_last_chunk),
        T(a_stream_is_refused_more_than_its_queue_and_goes_on_when_the_peer_reads),
        T(it_is_known_since_when_a_slow_peer_has_taken_nothing),
        T(a_whole_answer_may_be_larger_than_a_streams_queue_which_stays_as_it_was),
        T(an_answer_to_head_has_no_body_and_the_next_one_is_understood),
        T(no_content_has_neither_body_nor_length),
        T(a_header_that_would_break_its_line_is_left_out),
        T(the_date_moves_with_the_clock),
        T(a_body_that_is_awaited_is_asked_for_once),
        T(http_1_0_is_not_asked_for_its_body),
        T(only_a_well_formed_upgrade_is_offered_to_the_handler),
        T(http_1_0_is_offered_no_upgrade),
        T(who_has_no_body_is_not_asked_for_one),
        T(a_refusal_of_head_has_no_body),
        T(an_upgraded_connection_is_a_websocket_from_its_next_byte),
        cmocka_unit_test(every_status_that_is_sent_has_words),
    };

    return cmocka_run_group_tests_name("http answers", tests, NULL, NULL);
}
