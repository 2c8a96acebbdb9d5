/* SPDX-License-Identifier: Apache-2.0 */
/* The client's opening handshake (RFC 6455 section 4.1) against servers that answer anything. */
#include "fake_ws.h"

/* What the right answer to the first handshake of a fake_end is. */
#define ACCEPT  "Sec-WebSocket-Accept: C/0nmHhBztSRGR1CwL6Tf4ZjwpY=\r\n"
#define UPGRADE "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

static void begin(struct fake_ws *w, uint16_t port, size_t max_message_bytes)
{
    struct ws_conn_config config = fake_ws_client_config(w, &w->at_client);

    config.max_message_bytes = max_message_bytes;
    assert_int_equal(ws_conn_connect(w->l, "127.0.0.1", port, "/ws", &config, &fake_end_ops,
                                     &w->at_client, &w->at_client.ws),
                     0);
}

/* A client whose server is `p`: the handshake's request has been read. */
static void meet(struct fake_ws *w, struct fake_peer *p, size_t max_message_bytes)
{
    int listener;
    uint16_t port;

    w->at_client.next_random = 0;
    w->at_client.opens = w->at_client.closes = w->at_client.messages = 0;
    assert_int_equal(loop_listen(w->l, "127.0.0.1", 0, &listener, &port, NULL), 0);
    begin(w, port, max_message_bytes);
    loop_fake_settle(w->l);
    *p = (struct fake_peer){.loop = w->l, .sock = loop_accept(w->l, listener, NULL)};
    assert_true(p->sock >= 0);
    loop_close(w->l, listener);
    buf_init(&p->got, 1 << 16);
    assert_true(fake_peer_got(p, "\r\n\r\n"));
}

static void the_request_is_that_of_the_rfc(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;

    meet(w, &p, 1000);
    assert_true(str_starts(fake_peer_read(&p), STR("GET /ws HTTP/1.1\r\nHost: 127.0.0.1:")));
    assert_true(fake_peer_got(&p, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n"
                                  "Sec-WebSocket-Version: 13\r\n\r\n"));
    fake_peer_close(&p);
}

/* Its own colons must not be taken for the port's. */
static void an_ipv6_host_stands_in_brackets(void **state)
{
    struct fake_ws *w = *state;
    struct ws_conn_config config = fake_ws_client_config(w, &w->at_client);
    struct fake_peer p = {.loop = w->l};
    int listener;
    uint16_t port;

    assert_int_equal(loop_listen(w->l, "127.0.0.1", 0, &listener, &port, NULL), 0);
    assert_int_equal(ws_conn_connect(w->l, "::1", port, "/ws", &config, &fake_end_ops,
                                     &w->at_client, &w->at_client.ws),
                     0);
    loop_fake_settle(w->l); /* in-memory sockets are found by port alone */
    p.sock = loop_accept(w->l, listener, NULL);
    loop_close(w->l, listener);
    buf_init(&p.got, 1 << 16);
    assert_true(fake_peer_got(&p, "\r\nHost: [::1]:"));
    fake_peer_close(&p);
}

static const struct {
    const char *what, *answer;
    int reason; /* 0: it opens */
    const char *text;
} answers[] = {
    {"right", UPGRADE ACCEPT "\r\n", 0, ""},
    {"other cases and spaces",
     "HTTP/1.1 101 x\r\nconnection:upgrade\r\nUPGRADE: WebSocket \r\nsec-websocket-accept:  "
     "C/0nmHhBztSRGR1CwL6Tf4ZjwpY=\r\n\r\n",
     0, ""},
    {"refused", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", ERR_PROTOCOL, "401"},
    {"moved", "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", ERR_PROTOCOL, "302"},
    {"200", "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\n" ACCEPT "\r\n", ERR_PROTOCOL, "200"},
    {"no accept", UPGRADE "\r\n", ERR_PROTOCOL, "Accept"},
    {"another's accept", UPGRADE "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
     ERR_PROTOCOL, "Accept"},
    {"an accept in another case",
     UPGRADE "Sec-WebSocket-Accept: c/0nmHhBztSRGR1CwL6Tf4ZjwpY=\r\n"
             "\r\n",
     ERR_PROTOCOL, "Accept"},
    {"no upgrade", "HTTP/1.1 101 x\r\nConnection: Upgrade\r\n" ACCEPT "\r\n", ERR_PROTOCOL,
     "Upgrade"},
    {"another upgrade", "HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT "\r\n",
     ERR_PROTOCOL, "Upgrade"},
    /* L10: RFC 6455 §4.1, steps 3, 5 and 6 */
    {"no connection", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n" ACCEPT "\r\n", ERR_PROTOCOL,
     "Connection"},
    {"another connection",
     "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: close\r\n" ACCEPT "\r\n", ERR_PROTOCOL,
     "Connection"},
    {"a list",
     "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" ACCEPT "\r\n", 0,
     ""},
    {"HTTP/1.0", "HTTP/1.0 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" ACCEPT "\r\n",
     ERR_PROTOCOL, "HTTP/1.1"},
    {"an extension", UPGRADE ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
     ERR_PROTOCOL, "not offered"},
    {"a subprotocol", UPGRADE ACCEPT "sec-websocket-protocol: chat\r\n\r\n", ERR_PROTOCOL,
     "not offered"},
    {"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", ERR_PROTOCOL, "not HTTP"},
    {"nothing but an end", "\r\n\r\n", ERR_PROTOCOL, "not HTTP"},
};

static void only_the_right_answer_opens_the_websocket(void **state)
{
    struct fake_ws *w = *state;
    struct fake_end *e = &w->at_client;

    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct fake_peer p;
        bool opens = answers[i].reason == 0;

        meet(w, &p, 1000);
        (void)fake_peer_send(&p, str_from(answers[i].answer));
        if (e->opens != opens || e->closes != !opens ||
            (!opens && (e->reason != answers[i].reason || !strstr(e->text, answers[i].text))))
            fail_msg("%s: %d opens, %d closes, %d `%s`", answers[i].what, e->opens, e->closes,
                     e->reason, e->text);
        fake_peer_close(&p);
        assert_int_equal(e->closes, 1);
    }
}

static void the_answer_may_come_in_any_pieces_with_frames_behind_it(void **state)
{
    static const char all[] = UPGRADE ACCEPT "\r\n\x81\x02hi\x81\x05there";
    struct fake_ws *w = *state;

    for (size_t cut = 1; cut < sizeof all - 1; cut++) {
        struct fake_peer p;

        buf_clear(&w->at_client.got);
        meet(w, &p, 1000);
        assert_true(fake_peer_send(&p, (struct str){all, cut}));
        assert_true(fake_peer_send(&p, (struct str){all + cut, sizeof all - 1 - cut}));
        assert_int_equal(w->at_client.opens, 1);
        assert_true(str_is(buf_view(&w->at_client.got), "hi|there|"));
        fake_peer_close(&p);
    }
}

static void an_answer_larger_than_a_message_may_be_is_understood(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;

    meet(w, &p, 10); /* the head has more bytes */
    assert_true(fake_peer_send(&p, STR(UPGRADE ACCEPT "\r\n\x81\x02hi")));
    assert_int_equal(w->at_client.opens, 1);
    assert_true(str_is(buf_view(&w->at_client.got), "hi|"));
    fake_peer_close(&p);
}

static void an_answer_without_end_is_given_up(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;

    meet(w, &p, 1 << 20);
    for (int i = 0; i < 2000 && fake_peer_send(&p, STR("X-Header: of some length\r\n")); i++)
        ;
    assert_int_equal(w->at_client.closes, 1);
    assert_int_equal(w->at_client.reason, ERR_LIMIT);
    fake_peer_close(&p);
}

static void a_server_that_goes_before_it_answered_is_told_apart(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;

    meet(w, &p, 1000);
    assert_true(fake_peer_send(&p, STR("HTTP/1.1 101 ")));
    fake_peer_close(&p);
    assert_int_equal(w->at_client.closes, 1);
    assert_int_equal(w->at_client.reason, ERR_CLOSED);
    assert_non_null(strstr(w->at_client.text, "before"));
}

static void nobody_listening_is_told_once_and_later(void **state)
{
    struct fake_ws *w = *state;

    begin(w, 9, 1000);
    assert_int_equal(w->at_client.closes, 0);
    loop_fake_settle(w->l);
    assert_int_equal(w->at_client.closes, 1);
    assert_int_equal(w->at_client.reason, ERR_IO);
    assert_non_null(strstr(w->at_client.text, "refuses"));
}

static void a_client_may_be_freed_at_any_stage_of_the_handshake(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;

    begin(w, w->port, 1000); /* while it dials */
    ws_conn_free(w->at_client.ws);
    loop_fake_settle(w->l);
    begin(w, w->port, 1000);
    ws_conn_close(w->at_client.ws, WS_CLOSE_NORMAL, STR("")); /* closing then is freeing */
    loop_fake_settle(w->l);
    meet(w, &p, 1000); /* while it waits for the answer */
    assert_int_equal(ws_send(w->at_client.ws, STR("too early")), ERR_CLOSED);
    assert_int_equal(ws_ping(w->at_client.ws, STR("")), ERR_CLOSED);
    assert_null(ws_send_begin(w->at_client.ws, 1));
    ws_conn_free(w->at_client.ws);
    w->at_client.ws = NULL;
    assert_true(fake_peer_ended(&p));
    fake_peer_close(&p);
    assert_int_equal(w->at_client.opens + w->at_client.closes, 0);
    ws_conn_free(NULL);
}

static void frames_that_a_server_masked_are_refused(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;

    meet(w, &p, 1000);
    (void)fake_peer_send(&p, STR(UPGRADE ACCEPT "\r\n\x81\x82\0\0\0\0hi"));
    assert_int_equal(w->at_client.opens, 1);
    assert_int_equal(w->at_client.messages, 0);
    assert_int_equal(w->at_client.closes, 1);
    assert_int_equal(w->at_client.reason, ERR_PROTOCOL);
    fake_peer_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_request_is_that_of_the_rfc),
        T(an_ipv6_host_stands_in_brackets),
        T(only_the_right_answer_opens_the_websocket),
        T(the_answer_may_come_in_any_pieces_with_frames_behind_it),
        T(an_answer_larger_than_a_message_may_be_is_understood),
        T(an_answer_without_end_is_given_up),
        T(a_server_that_goes_before_it_answered_is_told_apart),
        T(nobody_listening_is_told_once_and_later),
        T(a_client_may_be_freed_at_any_stage_of_the_handshake),
        T(frames_that_a_server_masked_are_refused),
    };

    return cmocka_run_group_tests_name("ws client", tests, NULL, NULL);
}
