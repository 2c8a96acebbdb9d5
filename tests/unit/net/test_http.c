/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests (RFC 9112): what is understood, what is refused, and that neither depends on how
 * the bytes were cut. */
#include "fake_http.h"

#include <stdio.h>

#define GET(path)       "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define FORBIDDEN(more) "POST /forbidden HTTP/1.1\r\nHost: h\r\n" more
#define POST(body)      "POST /p HTTP/1.1\r\nHost: h\r\n" body

static void a_request_is_answered_with_date_type_and_length(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(GET("/a?b=c"))));
    assert_string_equal(fake_http_answer(h),
                        "HTTP/1.1 200 OK\r\n" FAKE_DATE "Content-Type: text/plain\r\n"
                        "Content-Length: 11\r\n\r\nGET /a?b=c|");
    assert_false(fake_peer_ended(&h->peer));
}

/* --- what is understood --- */

static const struct {
    const char *what, *bytes, *seen;
} understood[] = {
    {"no query", GET("/a"), "GET /a?||Host=h\n"},
    {"a query with a question mark", GET("/a?b?c"), "GET /a?b?c||Host=h\n"},
    {"an empty query", GET("/a?"), "GET /a?||Host=h\n"},
    {"a body with a length", POST("Content-Length: 5\r\n\r\nhello"),
     "POST /p?|hello|Host=h|Content-Length=5\n"},
    {"an empty body", POST("Content-Length: 0\r\n\r\n"), "POST /p?||Host=h|Content-Length=0\n"},
    {"no body at all", POST("\r\n"), "POST /p?||Host=h\n"},
    {"a body in chunks",
     POST("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
     "POST /p?|abc0123456789|Host=h|Transfer-Encoding=chunked\n"},
    {"chunks with extensions",
     POST("Transfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n0;z\r\n\r\n"),
     "POST /p?|abc|Host=h|Transfer-Encoding=chunked\n"},
    {"trailers, which are dropped",
     POST("Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nHost: evil\r\nX-T: 1\r\n\r\n"),
     "POST /p?|a|Host=h|Transfer-Encoding=chunked\n"},
    {"spaces around values", "GET / HTTP/1.1\r\nHost: \t h \t\r\nX:\r\nY:  \r\nZ: a  b\r\n\r\n",
     "GET /?||Host=h|X=|Y=|Z=a  b\n"},
    {"empty lines before the request", "\r\n\r\n" GET("/a"), "GET /a?||Host=h\n"},
    {"a method of another kind", "DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE /a?||Host=h\n"},
    {"HTTP/1.0 without a host", "GET /a HTTP/1.0\r\n\r\n", "GET /a?|\n"},
    {"a full URL as target", "GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a?||Host=h\n"},
    {"an absolute target with a query", "GET https://h:1/a?b HTTP/1.1\r\nHost: h\r\n\r\n",
     "GET /a?b||Host=h\n"},
    {"an absolute target without a path", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n",
     "GET /?||Host=h\n"},
    {"an absolute target with nothing but a query", "GET http://h?b HTTP/1.1\r\nHost: h\r\n\r\n",
     "GET /?b||Host=h\n"},
    {"an address inside a path", GET("/a://b/c"), "GET /a://b/c?||Host=h\n"},
    {"a target that is no path", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS *?||Host=h\n"},
    {"two requests", GET("/a") POST("Content-Length: 1\r\n\r\nx"),
     "GET /a?||Host=h\nPOST /p?|x|Host=h|Content-Length=1\n"},
    {"a small request after one with many headers and trailers",
     POST("Transfer-Encoding: chunked\r\nA: aaaaaaaa\r\nB: b\r\n\r\n1\r\na\r\n0\r\nT: ttttttttt\r\n"
          "\r\n") "GET / HTTP/1.1\r\nHost: h\r\nC: c\r\nD:\r\nE: e\r\n\r\n",
     "POST /p?|a|Host=h|Transfer-Encoding=chunked|A=aaaaaaaa|B=b\n"
     "GET /?||Host=h|C=c|D=|E=e\n"},
};

static void well_formed_requests_are_understood(void **state)
{
    struct fake_http *h = *state;

    for (size_t i = 0; i < sizeof understood / sizeof understood[0]; i++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, str_from(understood[i].bytes)));
        loop_fake_settle(h->l);
        if (!str_is(buf_view(&h->seen), understood[i].seen))
            fail_msg("%s: `%.*s` instead of `%s`", understood[i].what, STR_ARG(buf_view(&h->seen)),
                     understood[i].seen);
        assert_int_equal(h->rejects, 0);
    }
}

static void requests_cut_anywhere_are_the_same_requests(void **state)
{
    struct fake_http *h = *state;

    for (size_t i = 0; i < sizeof understood / sizeof understood[0]; i++) {
        struct str all = str_from(understood[i].bytes);

        for (size_t cut = 1; cut < all.n; cut++) {
            fake_http_again(h);
            assert_true(fake_peer_send(&h->peer, (struct str){all.p, cut}));
            assert_true(fake_peer_send(&h->peer, (struct str){all.p + cut, all.n - cut}));
            loop_fake_settle(h->l);
            if (!str_is(buf_view(&h->seen), understood[i].seen))
                fail_msg("%s, cut at %zu: `%.*s`", understood[i].what, cut,
                         STR_ARG(buf_view(&h->seen)));
        }
    }
}

static void requests_byte_by_byte_are_the_same_requests(void **state)
{
    struct fake_http *h = *state;

    loop_fake_set_faults(h->l, (struct loop_fake_faults){.recv_max = 1});
    for (size_t i = 0; i < sizeof understood / sizeof understood[0]; i++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, str_from(understood[i].bytes)));
        loop_fake_settle(h->l);
        assert_true(str_is(buf_view(&h->seen), understood[i].seen));
    }
}

static void headers_are_found_by_name_in_any_case(void **state)
{
    const struct http_request req = {
        .headers = {{STR("X-One"), STR("1")}, {STR("x-two"), STR("2")}, {STR("X-ONE"), STR("3")}},
        .n_headers = 3};

    (void)state;
    assert_true(str_is(http_header_get(&req, "x-one"), "1")); /* the first of that name */
    assert_true(str_is(http_header_get(&req, "X-Two"), "2"));
    assert_null(http_header_get(&req, "X-On").p);
}

/* --- what is refused --- */

static const struct {
    const char *what, *bytes;
    int status;
} refused[] = {
    {"no HTTP", "hello there\r\n\r\n", 400},
    {"TLS", "\x16\x03\x01\x02", 400},
    {"an unknown method", "FETCH / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a method in lower case", "get / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a target with a space", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a target with a NUL", NULL, 400}, /* see nul_target */
    {"no version", "GET /\r\nHost: h\r\n\r\n", 505},
    {"HTTP/2", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
    {"HTTP/0.9", "GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505},
    {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
    {"HTTP/9.9", "GET / HTTP/9.9\r\nHost: h\r\n\r\n", 505},
    {"a bare line feed after the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
    {"a bare line feed after a header", "GET / HTTP/1.1\r\nHost: h\n\r\n", 400},
    {"no host", "GET / HTTP/1.1\r\nX: h\r\n\r\n", 400},
    {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
    {"a header without a colon", "GET / HTTP/1.1\r\nHost h\r\n\r\n", 400},
    {"a space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
    {"a folded header", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400},
    {"a carriage return in a value", "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400},
    {"length and chunks",
     POST("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n"),
     400},
    {"chunks and length", POST("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
     400},
    {"two lengths", POST("Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"), 400},
    {"one length twice", POST("Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"), 400},
    {"a list of lengths", POST("Content-Length: 4, 4\r\n\r\nabcd"), 400},
    {"a negative length", POST("Content-Length: -1\r\n\r\n"), 400},
    {"a length with a plus", POST("Content-Length: +4\r\n\r\nabcd"), 400},
    {"a length in hexadecimal", POST("Content-Length: 0x4\r\n\r\nabcd"), 400},
    {"an empty length", POST("Content-Length:\r\n\r\n"), 400},
    {"a length beyond 64 bits", POST("Content-Length: 99999999999999999999\r\n\r\n"), 400},
    {"chunked not last", POST("Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"), 400},
    {"chunked twice", POST("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), 400},
    {"chunked in two headers",
     POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400},
    {"another coding", POST("Transfer-Encoding: identity\r\n\r\n"), 400},
    {"a coding below the chunks", POST("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501},
    {"a chunk size that is no number", POST("Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), 400},
    {"a chunk size with a minus", POST("Transfer-Encoding: chunked\r\n\r\n-1\r\n"), 400},
    {"a chunk size with a prefix", POST("Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n"), 400},
    {"a chunk size beyond 64 bits",
     POST("Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n"), 400},
    {"a chunk longer than its size",
     POST("Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"), 400},
    {"chunks in HTTP/1.0", "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"chunks with bare line feeds", POST("Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n"), 400},
};

static const struct str nul_target = STR("GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n");

static void assert_refused(struct fake_http *h, const char *what, struct str bytes, int status)
{
    char body[32];

    fake_http_again(h);
    assert_true(fake_peer_send(&h->peer, bytes));
    (void)snprintf(body, sizeof body, "\r\n\r\nrefused %d: ", status);
    if (!fake_http_status(h, status) || !fake_peer_got(&h->peer, body))
        fail_msg("%s: `%s` instead of %d", what, fake_http_answer(h), status);
    assert_true(fake_peer_got(&h->peer, "Connection: close\r\n"));
    assert_true(h->peer.ended);
    assert_int_equal(h->rejects, 1);
    assert_int_equal(h->requests, 0);
}

static void malformed_and_ambiguous_requests_are_refused_and_the_connection_closed(void **state)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_refused(*state, refused[i].what,
                       refused[i].bytes ? str_from(refused[i].bytes) : nul_target,
                       refused[i].status);
}

static void nothing_after_a_refused_request_is_looked_at(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(GET("/a") "GET / HTTP/9.9\r\n\r\n" GET("/b"))));
    assert_true(fake_peer_got(&h->peer, "GET /a?|"));
    assert_true(fake_peer_got(&h->peer, "HTTP/1.1 505 "));
    assert_int_equal(h->requests, 1);
    assert_true(h->peer.ended);
}

/* --- limits --- */

/* A request whose target and headers have `n` bytes in all (without separators). */
static struct str head_of(size_t n, char *text, size_t cap)
{
    static char filler[FAKE_HEAD_MAX_BYTES + 100];
    int written;

    memset(filler, 'x', sizeof filler);
    /* counted: "/", "Host", "h", "X" and the filler */
    written =
        snprintf(text, cap, "GET / HTTP/1.1\r\nHost: h\r\nX: %.*s\r\n\r\n", (int)(n - 7), filler);
    assert_true(written > 0 && (size_t)written < cap);
    return (struct str){text, (size_t)written};
}

static void a_head_may_have_exactly_the_maximum(void **state)
{
    struct fake_http *h = *state;
    char text[FAKE_HEAD_MAX_BYTES + 200];

    assert_true(fake_peer_send(&h->peer, head_of(FAKE_HEAD_MAX_BYTES, text, sizeof text)));
    assert_true(fake_http_status(h, 200));
    assert_refused(h, "a head too long", head_of(FAKE_HEAD_MAX_BYTES + 1, text, sizeof text), 431);
}

static void a_target_that_never_ends_is_refused_at_the_maximum(void **state)
{
    struct fake_http *h = *state;
    char text[FAKE_HEAD_MAX_BYTES + 1];

    memset(text, 'x', sizeof text);
    text[0] = '/';
    assert_true(fake_peer_send(&h->peer, STR("GET ")));
    assert_true(fake_peer_send(&h->peer, (struct str){text, FAKE_HEAD_MAX_BYTES}));
    assert_int_equal(h->rejects, 0);
    assert_true(fake_peer_send(&h->peer, STR("x")));
    assert_true(fake_http_status(h, 431));
}

static void sixty_four_headers_are_taken_and_one_more_is_not(void **state)
{
    struct fake_http *h = *state;

    for (int n = HTTP_MAX_HEADERS; n <= HTTP_MAX_HEADERS + 1; n++) {
        struct buf b;

        buf_init(&b, 4096);
        assert_int_equal(buf_append_str(&b, STR("GET / HTTP/1.1\r\nHost: h\r\n")), 0);
        for (int i = 1; i < n; i++)
            assert_int_equal(buf_printf(&b, "a%d: b\r\n", i), 0);
        assert_int_equal(buf_append_str(&b, STR("\r\n")), 0);
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, buf_view(&b)));
        assert_true(fake_http_status(h, n == HTTP_MAX_HEADERS ? 200 : 431));
        buf_free(&b);
    }
}

static void trailers_do_not_touch_the_headers_and_count_against_the_heads_limit(void **state)
{
    static const struct {
        int trailers, status;
    } cases[] = {{1, 200}, {60, 200}, {100, 200}, {200, 431}};
    struct fake_http *h = *state;

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct buf b;

        buf_init(&b, 8192);
        assert_int_equal(buf_append_str(&b, STR(POST("Transfer-Encoding: chunked\r\n\r\n"
                                                     "2\r\nhi\r\n0\r\n"))),
                         0);
        for (int i = 0; i < cases[c].trailers; i++)
            assert_int_equal(buf_printf(&b, "T%03d: 5678\r\n", i), 0);
        assert_int_equal(buf_append_str(&b, STR("\r\n" GET("/next"))), 0);
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, buf_view(&b)));
        assert_true(fake_http_status(h, cases[c].status));
        if (cases[c].status == 200)
            assert_true(str_is(buf_view(&h->seen), "POST /p?|hi|Host=h|Transfer-Encoding=chunked\n"
                                                   "GET /next?||Host=h\n"));
        buf_free(&b);
    }
}

static void a_body_may_have_exactly_the_maximum(void **state)
{
    struct fake_http *h = *state;
    char body[FAKE_BODY_MAX_BYTES], head[128];

    memset(body, 'b', sizeof body);
    (void)snprintf(head, sizeof head, POST("Content-Length: %d\r\n\r\n"), FAKE_BODY_MAX_BYTES);
    assert_true(fake_peer_send(&h->peer, str_from(head)));
    assert_true(fake_peer_send(&h->peer, (struct str){body, sizeof body}));
    assert_true(fake_http_status(h, 200));
    assert_true(h->seen.len > FAKE_BODY_MAX_BYTES);
}

static void a_body_announced_over_the_limit_is_refused_before_it_is_sent(void **state)
{
    static const char head[] = POST("Content-Length: 2001\r\nExpect: 100-continue\r\n\r\n");

    struct fake_http *h = *state;

    assert_refused(h, "a length over the limit", str_from(head), 413);
    assert_true(fake_peer_got(&h->peer, "limit of 2000 bytes"));
}

static void a_body_in_chunks_is_refused_when_it_passes_the_limit(void **state)
{
    struct fake_http *h = *state;
    char chunk[1000];

    memset(chunk, 'c', sizeof chunk);
    assert_true(fake_peer_send(&h->peer, STR(POST("Transfer-Encoding: chunked\r\n\r\n"))));
    for (int i = 0; i < 2; i++) {
        assert_true(fake_peer_send(&h->peer, STR("3E8\r\n")));
        assert_true(fake_peer_send(&h->peer, (struct str){chunk, sizeof chunk}));
        assert_true(fake_peer_send(&h->peer, STR("\r\n")));
    }
    assert_int_equal(h->rejects, 0);
    assert_true(fake_peer_send(&h->peer, STR("1\r\nx")));
    assert_true(fake_http_status(h, 413));
    assert_true(h->peer.ended);
    assert_int_equal(h->requests, 0);
}

static void a_chunk_announced_over_the_limit_is_refused_before_it_is_sent(void **state)
{
    static const char *const sizes[] = {"7D1", "FFFFFFFF", "ffffffffffffffff"};
    struct fake_http *h = *state;

    for (size_t i = 0; i < 3; i++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, STR(POST("Transfer-Encoding: chunked\r\n\r\n"))));
        assert_true(fake_peer_send(&h->peer, str_from(sizes[i])));
        assert_true(fake_peer_send(&h->peer, STR("\r\n")));
        assert_true(fake_http_status(h, 413));
    }
    assert_int_equal(h->requests, 0);
}

static void bodies_of_all_connections_share_one_limit(void **state)
{
    struct fake_http *h = *state;
    struct fake_peer others[2];
    char piece[1500];

    memset(piece, 'b', sizeof piece);
    for (int i = 0; i < 2; i++) {
        fake_peer_connect(&others[i], h->l, h->port);
        assert_true(fake_peer_send(&others[i], STR(POST("Content-Length: 2000\r\n\r\n"))));
        assert_true(fake_peer_send(&others[i], (struct str){piece, sizeof piece}));
    }
    assert_true(fake_peer_send(&h->peer, STR(POST("Content-Length: 2000\r\nExpect: "
                                                  "100-continue\r\n\r\n"))));
    assert_true(fake_http_status(h, 503));
    assert_true(fake_peer_got(&h->peer, "limit of 5000 bytes"));
    assert_int_equal(h->requests, 0);
    fake_http_again(h); /* a small one has room all the same */
    assert_true(fake_peer_send(&h->peer, STR(POST("Content-Length: 5\r\n\r\nsmall"))));
    assert_int_equal(h->requests, 1);
    fake_peer_close(&others[0]);
    fake_peer_close(&others[1]);
    fake_http_again(h);
    for (int i = 0; i < 9; i++) { /* what was answered counts no longer */
        assert_true(fake_peer_send(&h->peer, STR(POST("Content-Length: 1500\r\n\r\n"))));
        assert_true(fake_peer_send(&h->peer, (struct str){piece, sizeof piece}));
    }
    assert_int_equal(h->requests, 9);
}

static void who_may_not_send_a_body_is_told_before_it_is_asked_for(void **state)
{
    static const struct str heads[] = {
        STR(FORBIDDEN("Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n")),
        STR(FORBIDDEN("Content-Length: 1000\r\n\r\n")),
        STR(FORBIDDEN("Transfer-Encoding: chunked\r\n\r\n"))};
    struct fake_http *h = *state;

    for (size_t i = 0; i < 3; i++) {
        fake_http_again(h);
        assert_true(fake_peer_send(&h->peer, heads[i]));
        assert_true(fake_http_status(h, 401));
        assert_false(fake_peer_got(&h->peer, "100 Continue"));
    }
    assert_int_equal(h->requests, 0);
    fake_http_again(h); /* without a body there is nothing to spare */
    assert_true(fake_peer_send(&h->peer, STR(FORBIDDEN("\r\n"))));
    assert_int_equal(h->requests, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_is_answered_with_date_type_and_length),
        T(well_formed_requests_are_understood),
        T(requests_cut_anywhere_are_the_same_requests),
        T(requests_byte_by_byte_are_the_same_requests),
        T(headers_are_found_by_name_in_any_case),
        T(malformed_and_ambiguous_requests_are_refused_and_the_connection_closed),
        T(nothing_after_a_refused_request_is_looked_at),
        T(a_head_may_have_exactly_the_maximum),
        T(a_target_that_never_ends_is_refused_at_the_maximum),
        T(sixty_four_headers_are_taken_and_one_more_is_not),
        T(trailers_do_not_touch_the_headers_and_count_against_the_heads_limit),
        T(a_body_may_have_exactly_the_maximum),
        T(a_body_announced_over_the_limit_is_refused_before_it_is_sent),
        T(a_body_in_chunks_is_refused_when_it_passes_the_limit),
        T(a_chunk_announced_over_the_limit_is_refused_before_it_is_sent),
        T(bodies_of_all_connections_share_one_limit),
        T(who_may_not_send_a_body_is_told_before_it_is_asked_for),
    };

    return cmocka_run_group_tests_name("http requests", tests, NULL, NULL);
}
