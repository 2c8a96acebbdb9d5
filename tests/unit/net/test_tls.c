/* SPDX-License-Identifier: Apache-2.0 */
/* TLS under an HTTP server: handshakes that succeed, fail and stall, what is sealed, how it ends.
 */
#include "fake_http.h"

#include <stdio.h>
#include <stdlib.h>

#include "fake_tls.h"
#include "shared/cert.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

enum { SECOND_US = 1000000 };

static struct cert_files files;

static struct tls_context *context(void)
{
    const struct tls_files f = {files.cert, files.key, "cert", "key"};
    struct tls_context *ctx;

    assert_int_equal(tls_context_new(&f, &ctx, NULL), 0);
    return ctx;
}

static void serve_anew(struct fake_http *h, const char *name)
{
    struct tls_context *ctx;

    cert_renew(&files, name);
    ctx = context();
    http_server_set_tls(h->server, ctx);
    tls_context_free(ctx);
}

static int setup(void **state)
{
    struct fake_http *h;

    if (fake_http_setup(state) < 0)
        return -1;
    h = *state;
    cert_make(&files, "one.example");
    serve_anew(h, "one.example");
    fake_http_again(h); /* the peer that there was is plain */
    return 0;
}

static int teardown(void **state)
{
    cert_remove(&files);
    return fake_http_teardown(state);
}

static void connect_open(struct fake_http *h, struct fake_tls *t)
{
    fake_tls_begin(t, &h->peer, 0, NULL);
    assert_true(fake_tls_open(t));
}

/* --- handshakes --- */

static void a_request_is_answered_over_tls_1_3(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;

    fake_tls_begin(&t, &h->peer, 0, "\x02h2\x08http/1.1");
    assert_true(fake_tls_open(&t));
    assert_int_equal(SSL_version(t.ssl), TLS1_3_VERSION);
    fake_tls_send(&t, STR(GET("/a")));
    assert_string_equal(fake_tls_answer(&t),
                        "HTTP/1.1 200 OK\r\n" FAKE_DATE "Content-Type: text/plain\r\n"
                        "Content-Length: 8\r\n\r\nGET /a?|");
    assert_int_equal(h->greetings[TLS_GREETING_DONE], 1);
    fake_tls_free(&t);
}

static void the_protocol_that_is_agreed_on_is_http_1_1(void **state)
{
    struct fake_http *h = *state;
    const unsigned char *name;
    struct fake_tls t;
    unsigned n;

    fake_tls_begin(&t, &h->peer, 0, "\x02h2\x08http/1.1");
    assert_true(fake_tls_open(&t));
    SSL_get0_alpn_selected(t.ssl, &name, &n);
    assert_true(str_is((struct str){(const char *)name, n}, "http/1.1"));
    fake_tls_free(&t);
    fake_http_again(h);
    fake_tls_begin(&t, &h->peer, 0, "\x02h2");
    assert_false(fake_tls_open(&t));
    assert_true(fake_peer_ended(&h->peer));
    assert_int_equal(h->greetings[TLS_GREETING_FAILED], 1);
    fake_tls_free(&t);
}

static void tls_1_2_is_spoken_and_what_is_older_is_refused(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;

    fake_tls_begin(&t, &h->peer, TLS1_2_VERSION, NULL);
    assert_true(fake_tls_open(&t));
    assert_int_equal(SSL_version(t.ssl), TLS1_2_VERSION);
    fake_tls_send(&t, STR(GET("/a")));
    assert_non_null(strstr(fake_tls_answer(&t), "GET /a?|"));
    fake_tls_free(&t);
    fake_http_again(h);
    fake_tls_begin(&t, &h->peer, TLS1_1_VERSION, NULL);
    assert_false(fake_tls_open(&t));
    assert_true(fake_peer_ended(&h->peer));
    assert_int_equal(h->requests, 0);
    fake_tls_free(&t);
}

static void a_ticket_resumes_a_session(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;

    connect_open(h, &t);
    fake_tls_send(&t, STR(GET("/a")));
    assert_non_null(t.ticket);
    fake_http_again(h);
    fake_tls_again(&t, &h->peer);
    fake_tls_send(&t, STR(GET("/a")));
    assert_non_null(strstr(fake_tls_answer(&t), "GET /a?|"));
    assert_true(SSL_session_reused(t.ssl));
    assert_int_equal(h->greetings[TLS_GREETING_RESUMED], 1);
    fake_tls_free(&t);
}

static void garbage_is_hung_up_on(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR("\x01\x02\x03\x04\x05\x06\x07\x08 garbage")));
    assert_true(fake_peer_ended(&h->peer));
    assert_int_equal(h->peer.got.len, 0);
    assert_int_equal(h->greetings[TLS_GREETING_FAILED], 1);
    assert_int_equal(http_server_open(h->server), 0);
}

static void what_is_tls_but_no_client_hello_is_answered_with_an_alert_and_the_end(void **state)
{
    struct fake_http *h = *state;
    struct str said;

    assert_true(fake_peer_send(&h->peer, (struct str){"\x16\x03\x01\0\x04\xff\0\0\0", 9}));
    said = fake_peer_read(&h->peer);
    assert_true(said.n == 7 && said.p[0] == SSL3_RT_ALERT);
    assert_true(fake_peer_ended(&h->peer));
    assert_int_equal(h->greetings[TLS_GREETING_FAILED], 1);
}

static void who_speaks_plain_http_is_told_so_and_let_go(void **state)
{
    struct fake_http *h = *state;

    assert_true(fake_peer_send(&h->peer, STR(GET("/a"))));
    assert_true(fake_http_status(h, 400));
    assert_non_null(strstr(fake_http_answer(h), "\r\n\r\nThis port speaks TLS: use https://.\n"));
    assert_true(fake_peer_ended(&h->peer));
    assert_int_equal(h->requests, 0);
}

static void a_handshake_that_stops_half_way_is_given_up_in_time(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;
    char *hello;
    long n;

    fake_tls_begin(&t, &h->peer, 0, NULL);
    (void)SSL_do_handshake(t.ssl);
    n = BIO_get_mem_data(t.out, &hello);
    assert_true(fake_peer_send(&h->peer, (struct str){hello, (size_t)n / 2}));
    loop_fake_advance(h->l, 9 * SECOND_US);
    assert_false(fake_peer_ended(&h->peer));
    loop_fake_advance(h->l, 2 * SECOND_US);
    assert_true(fake_peer_ended(&h->peer));
    assert_int_equal(h->greetings[TLS_GREETING_TIMEOUT], 1);
    assert_int_equal(h->rejects, 0);
    fake_tls_free(&t);
}

static void who_connects_and_says_nothing_is_given_up_in_the_same_time(void **state)
{
    struct fake_http *h = *state;

    loop_fake_advance(h->l, 11 * SECOND_US);
    assert_true(fake_peer_ended(&h->peer));
    assert_int_equal(h->greetings[TLS_GREETING_TIMEOUT], 1);
}

static void after_the_handshake_a_connection_may_idle_as_any_other(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;

    connect_open(h, &t);
    loop_fake_advance(h->l, 50 * SECOND_US);
    fake_tls_pump(&t);
    assert_false(t.ended);
    loop_fake_advance(h->l, 61 * SECOND_US);
    fake_tls_pump(&t);
    assert_true(t.ended);
    assert_int_equal(h->greetings[TLS_GREETING_DONE], 1);
    fake_tls_free(&t);
}

static void of_too_many_half_handshakes_the_oldest_is_closed(void **state)
{
    struct fake_http *h = *state;
    struct fake_peer second, third;

    fake_peer_connect(&second, h->l, h->port);
    assert_false(fake_peer_ended(&h->peer));
    fake_peer_connect(&third, h->l, h->port);
    assert_true(fake_peer_ended(&h->peer));
    assert_false(fake_peer_ended(&second));
    assert_false(fake_peer_ended(&third));
    fake_peer_close(&second);
    fake_peer_close(&third);
}

static void beyond_the_most_connections_a_new_one_is_closed_unheard(void **state)
{
    struct fake_http *h = *state;
    struct fake_peer peers[FAKE_CONNECTIONS_MAX];
    struct fake_tls t[FAKE_CONNECTIONS_MAX];

    fake_peer_close(&h->peer);
    for (int i = 0; i < FAKE_CONNECTIONS_MAX; i++) {
        fake_peer_connect(&peers[i], h->l, h->port);
        fake_tls_begin(&t[i], &peers[i], 0, NULL);
        fake_tls_send(&t[i], STR(GET("/a")));
    }
    fake_peer_connect(&h->peer, h->l, h->port);
    assert_true(fake_peer_ended(&h->peer));
    for (int i = 0; i < FAKE_CONNECTIONS_MAX; i++) {
        assert_non_null(strstr(fake_tls_answer(&t[i]), "GET /a?|"));
        fake_tls_free(&t[i]);
        fake_peer_close(&peers[i]);
    }
}

/* --- what is sealed --- */

static void write_big(struct fake_http *h, struct buf *ret_all)
{
    for (int i = 0; i < 9000 / 90; i++) {
        char text[91];
        struct str part;

        snprintf(text, sizeof text, "%090d", i);
        part = str_from(text);
        assert_int_equal(http_stream_write(h->waiting, &part, 1), 0);
        assert_int_equal(buf_printf(ret_all, "5a\r\n%s\r\n", text), 0);
    }
}

static void a_big_answer_arrives_whole_however_the_socket_cuts_it(void **state)
{
    static const size_t cuts[] = {1, 7, 100, 4000};
    struct fake_http *h = *state;

    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct fake_tls t;
        struct buf all;

        buf_init(&all, 1 << 20);
        fake_http_again(h);
        loop_fake_set_faults(h->l,
                             (struct loop_fake_faults){.recv_max = cuts[i], .send_max = cuts[i]});
        connect_open(h, &t);
        fake_tls_send(&t, STR(GET("/stream")));
        write_big(h, &all);
        http_stream_end(h->waiting);
        h->waiting = NULL;
        assert_int_equal(buf_append(&all, "0\r\n\r\n", 6), 0);
        assert_string_equal(strstr(fake_tls_answer(&t), "\r\n\r\n") + 4, buf_view(&all).p);
        fake_tls_free(&t);
        buf_free(&all);
    }
}

static void a_slow_peer_holds_the_stream_up_and_drains_it(void **state)
{
    struct fake_http *h = *state;
    uint64_t taken;
    struct fake_tls t;
    struct buf all;

    buf_init(&all, 1 << 20);
    connect_open(h, &t);
    fake_tls_send(&t, STR(GET("/stream")));
    fake_tls_pump(&t);
    loop_fake_set_faults(h->l, (struct loop_fake_faults){.socket_bytes = 500});
    taken = http_out_taken(h->waiting);
    write_big(h, &all);
    loop_fake_settle(h->l);
    assert_true(http_out_blocked(h->waiting));
    assert_int_equal(http_out_taken(h->waiting), taken); /* the record has not left whole */
    assert_int_equal(http_out_pending(h->waiting), all.len);
    assert_int_equal(h->drains, 0);
    fake_tls_pump(&t);
    assert_int_equal(h->drains, 1);
    assert_false(http_out_blocked(h->waiting));
    assert_int_equal(http_out_taken(h->waiting), taken + all.len);
    assert_int_equal(buf_append(&all, "", 1), 0);
    assert_string_equal(strstr(fake_tls_answer(&t), "\r\n\r\n") + 4, buf_view(&all).p);
    http_stream_end(h->waiting);
    fake_tls_free(&t);
    buf_free(&all);
}

static void many_requests_in_one_record_are_answered_in_order(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;

    connect_open(h, &t);
    fake_tls_send(&t, STR(GET("/1") GET("/2") GET("/3") GET("/4")));
    assert_true(str_is(buf_view(&h->seen), "GET /1?||Host=h\nGET /2?||Host=h\nGET /3?||Host=h\n"
                                           "GET /4?||Host=h\n"));
    fake_tls_free(&t);
}

static void a_websocket_is_sealed_as_well(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;

    connect_open(h, &t);
    fake_tls_send(&t, STR("GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));
    assert_non_null(strstr(fake_tls_answer(&t), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    buf_clear(&t.got);
    fake_tls_send(&t, (struct str){"\x89\x81\x01\x02\x03\x04\x60", 7}); /* a ping, "a" masked */
    assert_string_equal(fake_tls_answer(&t), "\x8a\x01"
                                             "a");
    fake_tls_free(&t);
}

/* --- ends --- */

static void the_last_answer_ends_with_close_notify(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;

    connect_open(h, &t);
    fake_tls_send(&t, STR("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    assert_non_null(strstr(fake_tls_answer(&t), "GET /a?|"));
    assert_true(t.ended);
    assert_true(fake_peer_ended(&h->peer));
    fake_tls_free(&t);
}

static void close_notify_cancels_what_runs(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;

    connect_open(h, &t);
    fake_tls_send(&t, STR(GET("/later")));
    assert_int_equal(h->aborts, 0);
    (void)SSL_shutdown(t.ssl);
    fake_tls_pump(&t);
    assert_int_equal(h->aborts, 1);
    assert_int_equal(h->abort_reason, ERR_CLOSED);
    fake_tls_free(&t);
}

static void so_does_the_end_of_the_stream_without_it(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;

    connect_open(h, &t);
    fake_tls_send(&t, STR(GET("/later")));
    loop_shutdown(h->l, h->peer.sock);
    loop_fake_settle(h->l);
    assert_int_equal(h->aborts, 1);
    assert_int_equal(h->abort_reason, ERR_CLOSED);
    fake_tls_free(&t);
}

static void a_record_that_was_changed_on_its_way_ends_the_connection(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls t;
    char *sealed;
    long n;

    connect_open(h, &t);
    fake_tls_send(&t, STR(GET("/stream")));
    assert_int_equal(SSL_write(t.ssl, "x", 1), 1);
    n = BIO_get_mem_data(t.out, &sealed);
    sealed[n - 1] ^= 1;
    assert_int_equal(http_stream_write(h->waiting, &(struct str){"secret", 6}, 1), 0);
    buf_clear(&t.got);
    assert_null(strstr(fake_tls_answer(&t), "400"));
    assert_int_equal(h->aborts, 1);
    assert_true(fake_peer_ended(&h->peer));
    fake_tls_free(&t);
}

/* --- certificates --- */

static void a_new_certificate_is_for_new_connections(void **state)
{
    struct fake_http *h = *state;
    struct fake_tls old, new;
    struct fake_peer peer;

    connect_open(h, &old);
    fake_tls_send(&old, STR(GET("/stream")));
    serve_anew(h, "two.example");
    fake_peer_connect(&peer, h->l, h->port);
    fake_tls_begin(&new, &peer, 0, NULL);
    assert_true(fake_tls_open(&new));
    assert_true(fake_tls_is_named(&old, "one.example"));
    assert_true(fake_tls_is_named(&new, "two.example"));
    assert_int_equal(http_stream_write(h->waiting, &(struct str){"goes on", 7}, 1), 0);
    http_stream_end(h->waiting);
    assert_non_null(strstr(fake_tls_answer(&old), "7\r\ngoes on\r\n0\r\n\r\n"));
    http_server_set_tls(h->server, NULL);
    fake_http_again(h);
    assert_true(fake_peer_send(&h->peer, STR(GET("/a"))));
    assert_true(fake_http_status(h, 200));
    fake_tls_free(&old);
    fake_tls_free(&new);
    fake_peer_close(&peer);
}

static void refused(const char *what, const struct tls_files *f, const char *setting,
                    const char *path, const char *why)
{
    struct tls_context *ctx = NULL;
    struct err e = {0};

    assert_int_equal(tls_context_new(f, &ctx, &e), ERR_CONFIG);
    assert_null(ctx);
    if (!strstr(e.text, setting) || !strstr(e.text, path) || !strstr(e.text, why))
        fail_msg("%s: %s", what, e.text);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    assert_true(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void files_that_cannot_be_used_are_refused_by_setting_and_name(void **state)
{
    const struct tls_files f = {files.cert, files.key, "the.cert", "the.key"};
    struct cert_files other;

    (void)state;
    cert_make(&other, "other.example");
    refused("no certificate", &(struct tls_files){"/none.pem", files.key, "the.cert", "the.key"},
            "the.cert", "/none.pem", "No such file");
    refused("no key", &(struct tls_files){files.cert, "/none.pem", "the.cert", "the.key"},
            "the.key", "/none.pem", "No such file");
    refused("another's key", &(struct tls_files){files.cert, other.key, "the.cert", "the.key"},
            "the.key", other.key, "does not belong to the certificate of the.cert");
    assert_int_equal(chmod(files.key, 0640), 0);
    refused("a key that a group reads", &f, "the.key", files.key, "(its mode is 0640); chmod 600");
    assert_int_equal(chmod(files.key, 0604), 0);
    refused("a key that all read", &f, "the.key", files.key, "(its mode is 0604); chmod 600");
    assert_int_equal(chmod(files.key, 0600), 0);
    refused("the files swapped", &(struct tls_files){files.key, files.cert, "the.cert", "the.key"},
            "the.cert", files.key, "no certificate in PEM form");
    write_text(files.key, "no key\n");
    refused("no key in it", &f, "the.key", files.key, "no private key in PEM form");
    cert_remove(&other);
}

#define TLS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TLS(a_request_is_answered_over_tls_1_3),
        TLS(the_protocol_that_is_agreed_on_is_http_1_1),
        TLS(tls_1_2_is_spoken_and_what_is_older_is_refused),
        TLS(a_ticket_resumes_a_session),
        TLS(garbage_is_hung_up_on),
        TLS(what_is_tls_but_no_client_hello_is_answered_with_an_alert_and_the_end),
        TLS(who_speaks_plain_http_is_told_so_and_let_go),
        TLS(a_handshake_that_stops_half_way_is_given_up_in_time),
        TLS(who_connects_and_says_nothing_is_given_up_in_the_same_time),
        TLS(after_the_handshake_a_connection_may_idle_as_any_other),
        TLS(of_too_many_half_handshakes_the_oldest_is_closed),
        TLS(beyond_the_most_connections_a_new_one_is_closed_unheard),
        TLS(a_big_answer_arrives_whole_however_the_socket_cuts_it),
        TLS(a_slow_peer_holds_the_stream_up_and_drains_it),
        TLS(many_requests_in_one_record_are_answered_in_order),
        TLS(a_websocket_is_sealed_as_well),
        TLS(the_last_answer_ends_with_close_notify),
        TLS(close_notify_cancels_what_runs),
        TLS(so_does_the_end_of_the_stream_without_it),
        TLS(a_record_that_was_changed_on_its_way_ends_the_connection),
        TLS(a_new_certificate_is_for_new_connections),
        TLS(files_that_cannot_be_used_are_refused_by_setting_and_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
