/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of a WebSocket talking to each other in virtual time, and one end talking to a peer that
 * breaks the rules. */
#include "fake_ws.h"

#include <stdio.h>

/* A client's frames, masked with zeroes. */
#define HI         "\x81\x82\0\0\0\0hi"
#define CLOSE_1000 "\x88\x82\0\0\0\0\x03\xe8"

/* --- messages --- */

static void messages_of_every_size_arrive_whole_in_both_directions(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, FAKE_MESSAGE_MAX_BYTES};
    static char text[FAKE_MESSAGE_MAX_BYTES];
    struct fake_ws *w = *state;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    fake_ws_open(w);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct str s = {text, sizes[i]};

        buf_clear(&w->at_server.got);
        buf_clear(&w->at_client.got);
        assert_int_equal(ws_send(w->at_client.ws, s), 0);
        assert_int_equal(ws_send(w->at_server.ws, s), 0);
        loop_fake_settle(w->l);
        assert_int_equal(w->at_server.got.len, s.n + 1);
        assert_memory_equal(buf_view(&w->at_server.got).p, text, s.n);
        assert_int_equal(w->at_client.got.len, s.n + 1);
        assert_memory_equal(buf_view(&w->at_client.got).p, text, s.n);
    }
}

static void messages_keep_their_borders_however_the_bytes_are_cut(void **state)
{
    static const struct loop_fake_faults faults[] = {
        {.recv_max = 1}, {.recv_max = 3}, {.send_max = 1}, {.send_max = 7, .socket_bytes = 20}};
    struct fake_ws *w = *state;

    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        if (i > 0) {
            assert_int_equal(fake_ws_teardown(state), 0);
            assert_int_equal(fake_ws_setup(state), 0);
        }
        loop_fake_set_faults(w->l, faults[i]);
        fake_ws_open(w);
        for (int n = 0; n < 20; n++) {
            char text[64];
            int len = snprintf(text, sizeof text, "%.*s%d", n * 2,
                               "----------------------------------------", n);

            assert_int_equal(ws_send(w->at_client.ws, (struct str){text, (size_t)len}), 0);
            assert_int_equal(ws_send(w->at_server.ws, (struct str){text, (size_t)len}), 0);
        }
        loop_fake_settle(w->l);
        assert_int_equal(w->at_server.messages, 20);
        assert_int_equal(w->at_client.messages, 20);
        assert_true(str_eq(buf_view(&w->at_server.got), buf_view(&w->at_client.got)));
        assert_true(str_starts(buf_view(&w->at_server.got), STR("0|--1|----2|")));
    }
}

static void a_message_may_be_written_in_place(void **state)
{
    struct fake_ws *w = *state;
    struct fake_end *ends[2];

    fake_ws_open(w);
    ends[0] = &w->at_client;
    ends[1] = &w->at_server;
    for (size_t i = 0; i < 2; i++) {
        char *at = ws_send_begin(ends[i]->ws, 5);

        assert_non_null(at);
        memcpy(at, "hello", 5);
        ws_send_end(ends[i]->ws, at, 5);
        loop_fake_settle(w->l);
        assert_true(str_is(buf_view(&ends[1 - i]->got), "hello|"));
    }
}

static void a_clients_frames_are_masked_with_fresh_bytes_of_its_source(void **state)
{
    struct fake_ws *w = *state;
    struct ws_conn_config config = fake_ws_client_config(w, &w->at_client);
    struct fake_peer p;
    int listener;
    uint16_t port;

    /* the peer listens, so that it sees what the client sends */
    assert_int_equal(loop_listen(w->l, "127.0.0.1", 0, &listener, &port, NULL), 0);
    assert_int_equal(ws_conn_connect(w->l, "127.0.0.1", port, "/p?q", &config, &fake_end_ops,
                                     &w->at_client, &w->at_client.ws),
                     0);
    loop_fake_settle(w->l);
    p = (struct fake_peer){.loop = w->l, .sock = loop_accept(w->l, listener, NULL)};
    buf_init(&p.got, 1000);
    assert_true(fake_peer_got(&p, "GET /p?q HTTP/1.1\r\n"));
    /* the key is base64 of 1 .. 16, and this its answer */
    assert_true(fake_peer_got(&p, "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n"));
    assert_true(fake_peer_send(&p, STR("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade"
                                       "\r\nSec-WebSocket-Accept: C/0nmHhBztSRGR1CwL6Tf4ZjwpY=\r\n"
                                       "\r\n")));
    assert_int_equal(w->at_client.opens, 1);
    fake_peer_forget(&p);
    assert_int_equal(ws_send(w->at_client.ws, STR("\0\0")), 0);
    assert_int_equal(ws_send(w->at_client.ws, STR("\0\0")), 0);
    assert_true(str_eq(fake_peer_read(&p), STR("\x81\x82\x11\x12\x13\x14\x11\x12"
                                               "\x81\x82\x15\x16\x17\x18\x15\x16")));
    loop_close(w->l, listener);
    fake_peer_close(&p);
}

/* --- pings --- */

static void a_ping_is_answered_by_the_connection_itself(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;

    fake_ws_open(w);
    assert_int_equal(ws_ping(w->at_client.ws, STR("are you there")), 0);
    assert_int_equal(ws_ping(w->at_server.ws, STR("")), 0);
    loop_fake_settle(w->l);
    assert_int_equal(w->at_client.pongs, 1);
    assert_int_equal(w->at_server.pongs, 1);
    assert_int_equal(w->at_client.messages + w->at_server.messages, 0);
    ws_conn_free(w->at_server.ws);
    w->at_server.ws = NULL;
    loop_fake_settle(w->l);

    fake_ws_open_peer(w, &p);
    assert_true(fake_peer_send(&p, STR("\x89\x84\1\2\3\4````")));
    assert_true(str_is(fake_peer_read(&p), "\x8a\x04"
                                           "abcd"));
    fake_peer_close(&p);
}

/* --- limits --- */

static void a_message_over_the_receivers_limit_ends_the_connection_with_1009(void **state)
{
    static char text[FAKE_MESSAGE_MAX_BYTES + 1];
    struct fake_ws *w = *state;

    memset(text, 't', sizeof text);
    for (int from_client = 0; from_client < 2; from_client++) {
        struct fake_end *from, *to;

        if (from_client) {
            assert_int_equal(fake_ws_teardown(state), 0);
            assert_int_equal(fake_ws_setup(state), 0);
        }
        fake_ws_open(w);
        from = from_client ? &w->at_client : &w->at_server;
        to = from_client ? &w->at_server : &w->at_client;
        assert_int_equal(ws_send(from->ws, (struct str){text, sizeof text}), 0);
        loop_fake_settle(w->l);
        assert_int_equal(to->messages, 0);
        assert_int_equal(to->closes, 1);
        assert_int_equal(to->reason, ERR_LIMIT);
        assert_int_equal(from->closes, 1);
        assert_int_equal(from->reason, ERR_CLOSED);
        assert_non_null(strstr(from->text, "1009"));
    }
}

static void output_beyond_the_queues_maximum_is_refused_until_it_drains(void **state)
{
    static char text[60000];
    const struct str s = {text, sizeof text};
    struct fake_ws *w = *state;
    size_t pending;

    memset(text, 't', sizeof text);
    fake_ws_open(w);
    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 1000, .recv_max = 1});
    assert_int_equal(ws_send(w->at_server.ws, s), 0);
    assert_int_equal(ws_send(w->at_server.ws, s), 0);
    pending = ws_out_pending(w->at_server.ws);
    assert_int_equal(ws_send(w->at_server.ws, s), ERR_LIMIT);
    assert_null(ws_send_begin(w->at_server.ws, sizeof text));
    assert_int_equal(ws_out_pending(w->at_server.ws), pending);
    assert_int_equal(w->at_server.drains, 0);
    loop_fake_settle(w->l);
    assert_int_equal(w->at_server.drains, 1);
    assert_int_equal(w->at_client.messages, 2);
    assert_int_equal(ws_out_pending(w->at_server.ws), 0);
    assert_int_equal(ws_send(w->at_server.ws, s), 0);
}

/* --- closing --- */

static void closing_tells_the_other_end_the_code_and_the_reason(void **state)
{
    struct fake_ws *w = *state;

    for (int by_client = 0; by_client < 2; by_client++) {
        struct fake_end *from, *to;

        if (by_client) {
            assert_int_equal(fake_ws_teardown(state), 0);
            assert_int_equal(fake_ws_setup(state), 0);
        }
        fake_ws_open(w);
        from = by_client ? &w->at_client : &w->at_server;
        to = by_client ? &w->at_server : &w->at_client;
        assert_int_equal(ws_send(from->ws, STR("last")), 0);
        ws_conn_close(from->ws, WS_CLOSE_GOING_AWAY, STR("see you"));
        from->ws = NULL;
        loop_fake_settle(w->l);
        assert_true(str_is(buf_view(&to->got), "last|")); /* what was queued comes before */
        assert_int_equal(to->closes, 1);
        assert_int_equal(to->reason, ERR_CLOSED);
        assert_non_null(strstr(to->text, "1001: see you"));
        loop_fake_advance(w->l, 10000000);
        assert_int_equal(from->closes, 0); /* no callback after closing */
    }
    ws_conn_close(NULL, WS_CLOSE_NORMAL, STR(""));
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;
    char why[200];
    struct str got;

    memset(why, 'a', sizeof why);
    memcpy(why + 121, "\xe2\x82\xac", 3); /* bytes 122 to 124 of at most 123 */
    fake_ws_open_peer(w, &p);
    ws_conn_close(w->at_server.ws, 4000, (struct str){why, sizeof why});
    w->at_server.ws = NULL;
    got = fake_peer_read(&p);
    assert_int_equal(got.n, 4 + 121);
    assert_memory_equal(got.p, "\x88\x7b\x0f\xa0", 4);
    assert_memory_equal(got.p + 4, why, 121);
    fake_peer_close(&p);
}

static const struct {
    const char *what;
    struct str bytes, answer;
    int messages, reason;
} peers[] = {
    {"closes with a code", STR(HI CLOSE_1000), STR("\x88\x02\x03\xe8"), 1, ERR_CLOSED},
    {"closes without a code", STR("\x88\x80\0\0\0\0"), STR("\x88\0"), 0, ERR_CLOSED},
    {"talks after closing", STR(CLOSE_1000 HI), STR("\x88\x02\x03\xe8"), 0, ERR_CLOSED},
    {"does not mask", STR("\x81\x02hi"),
     STR("\x88\x19\x03\xea"
         "a frame breaks RFC 6455"),
     0, ERR_PROTOCOL},
    {"sends a reserved bit", STR("\xc1\x82\0\0\0\0hi"),
     STR("\x88\x19\x03\xea"
         "a frame breaks RFC 6455"),
     0, ERR_PROTOCOL},
    {"sends text that is none", STR("\x81\x81\0\0\0\0\xff"),
     STR("\x88\x1d\x03\xef"
         "a text message is not UTF-8"),
     0, ERR_PARSE},
    {"closes with a code that is none", STR("\x88\x82\0\0\0\0\x03\xed"),
     STR("\x88\x19\x03\xea"
         "a frame breaks RFC 6455"),
     0, ERR_PROTOCOL},
    {"announces too much", STR("\x81\xff\0\0\0\0\0\x01\x86\xa1\0\0\0\0"),
     STR("\x88\x24\x03\xf1"
         "a message is larger than the limit"),
     0, ERR_LIMIT},
};

static void a_peer_that_closes_or_breaks_the_rules_is_answered_with_a_close_frame(void **state)
{
    struct fake_ws *w = *state;

    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        struct fake_end *e = &w->at_server;
        struct fake_peer p;

        e->closes = e->messages = 0;
        fake_ws_open_peer(w, &p);
        (void)fake_peer_send(&p, peers[i].bytes);
        (void)fake_peer_read(&p);
        if (!str_eq(buf_view(&p.got), peers[i].answer) || !p.ended || e->closes != 1 ||
            e->reason != peers[i].reason || e->messages != peers[i].messages)
            fail_msg("%s: %zu bytes, %d closes, reason %d", peers[i].what, p.got.len, e->closes,
                     e->reason);
        fake_peer_close(&p);
    }
}

static void a_peer_that_vanishes_is_told_apart_from_one_that_closes(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;

    fake_ws_open_peer(w, &p);
    fake_peer_close(&p);
    assert_int_equal(w->at_server.closes, 1);
    assert_int_equal(w->at_server.reason, ERR_CLOSED);
    assert_non_null(strstr(w->at_server.text, "broke"));
}

static void a_peer_that_never_closes_after_our_close_is_given_up(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;

    fake_ws_open_peer(w, &p);
    ws_conn_close(w->at_server.ws, WS_CLOSE_NORMAL, STR(""));
    w->at_server.ws = NULL;
    assert_true(fake_peer_send(&p, STR(HI))); /* still read, and dropped */
    loop_fake_advance(w->l, 2000000);
    assert_false(fake_peer_send(&p, STR(HI)));
    assert_int_equal(w->at_server.messages, 0);
    fake_peer_close(&p);
}

/* --- owners that let go --- */

static void the_owner_may_let_go_inside_any_callback(void **state)
{
    static const struct str triggers[] = {STR(HI HI), STR("\x8a\x80\0\0\0\0" HI)};
    struct fake_ws *w = *state;

    for (size_t i = 0; i < 4; i++) {
        struct fake_end *e = &w->at_server;
        struct fake_peer p;

        e->closes = e->messages = e->pongs = 0;
        e->act = i < 2 ? WS_ACT_FREE : WS_ACT_CLOSE;
        fake_ws_open_peer(w, &p);
        (void)fake_peer_send(&p, triggers[i % 2]);
        assert_true(fake_peer_ended(&p));
        assert_int_equal(e->messages + e->pongs, 1); /* the second is not delivered */
        assert_int_equal(e->closes, 0);
        assert_null(e->ws);
        assert_int_equal(p.got.len > 0, i >= 2); /* a close frame, or nothing */
        fake_peer_close(&p);
    }
}

static void a_client_may_let_go_as_soon_as_it_is_open(void **state)
{
    struct fake_ws *w = *state;

    for (int i = 0; i < 2; i++) {
        w->at_client.act = i ? WS_ACT_CLOSE : WS_ACT_FREE;
        w->at_client.opens = 0;
        fake_ws_open(w);
        assert_null(w->at_client.ws);
        loop_fake_settle(w->l);
        assert_int_equal(w->at_server.closes, i + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(messages_of_every_size_arrive_whole_in_both_directions),
        T(messages_keep_their_borders_however_the_bytes_are_cut),
        T(a_message_may_be_written_in_place),
        T(a_clients_frames_are_masked_with_fresh_bytes_of_its_source),
        T(a_ping_is_answered_by_the_connection_itself),
        T(a_message_over_the_receivers_limit_ends_the_connection_with_1009),
        T(output_beyond_the_queues_maximum_is_refused_until_it_drains),
        T(closing_tells_the_other_end_the_code_and_the_reason),
        T(a_long_reason_is_cut_between_characters),
        T(a_peer_that_closes_or_breaks_the_rules_is_answered_with_a_close_frame),
        T(a_peer_that_vanishes_is_told_apart_from_one_that_closes),
        T(a_peer_that_never_closes_after_our_close_is_given_up),
        T(the_owner_may_let_go_inside_any_callback),
        T(a_client_may_let_go_as_soon_as_it_is_open),
    };

    return cmocka_run_group_tests_name("ws", tests, NULL, NULL);
}
