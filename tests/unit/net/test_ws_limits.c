/* SPDX-License-Identifier: Apache-2.0 */
/* What a WebSocket's peer can make this end hold: messages, pongs, output that it does not read
 * (findings L1, L11). */
#include "fake_ws.h"

/* Frames of a client, masked with zeros. */
#define PING(c) "\x89\x81\0\0\0\0" c

/* Begin a message of `n` bytes and send `sent` of them. */
static bool send_part(struct fake_peer *p, unsigned first, uint32_t n, size_t sent)
{
    static char bytes[FAKE_MESSAGE_MAX_BYTES];
    uint8_t head[14] = {(uint8_t)first, 0xFF};

    memset(bytes, 't', sizeof bytes);
    for (int i = 0; i < 4; i++)
        head[6 + i] = (uint8_t)(n >> (24 - 8 * i));
    return fake_peer_send(p, (struct str){(const char *)head, sizeof head}) &&
           fake_peer_send(p, (struct str){bytes, sent});
}

static size_t count(struct str all, const char *what, size_t n)
{
    size_t found = 0;

    for (size_t i = 0; i + n <= all.n; i++)
        found += memcmp(all.p + i, what, n) == 0;
    return found;
}

/* --- memory --- */

static void a_message_that_is_still_arriving_is_charged_whole_or_in_fragments(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer whole, pieces;
    size_t before;

    fake_ws_open_peer(w, &whole);
    before = budget_used(&w->memory);
    assert_true(send_part(&whole, 0x81, 90000, 50000));
    assert_in_range(budget_used(&w->memory) - before, 50000, 100100);
    fake_peer_close(&whole);
    fake_ws_open_peer(w, &pieces);
    before = budget_used(&w->memory);
    assert_true(send_part(&pieces, 0x01, 50000, 50000)); /* not the last fragment */
    assert_in_range(budget_used(&w->memory) - before, 50000, 100100);
    assert_true(send_part(&pieces, 0x80, 10, 10));
    assert_int_equal(w->at_server.messages, 1);
    fake_peer_close(&pieces);
}

/* L1: many sockets that each stay below their own limit. */
static void messages_beyond_the_classs_budget_end_the_connection_with_1013(void **state)
{
    struct fake_ws *w = *state;

    for (int fragments = 0; fragments < 2; fragments++) {
        struct fake_peer p;

        w->memory.max_bytes = 40000;
        fake_ws_open_peer(w, &p);
        (void)send_part(&p, fragments ? 0x01 : 0x81, 90000, 60000);
        (void)send_part(&p, 0x80, 60000, 60000);
        assert_int_equal(w->at_server.closes, fragments + 1);
        assert_int_equal(w->at_server.reason, ERR_BUSY);
        assert_true(fake_peer_got(&p, "\x03\xf5no memory is left")); /* 1013 */
        assert_true(p.ended);
        assert_int_equal(w->at_server.messages, 0);
        fake_peer_close(&p);
    }
}

static void a_peer_that_registered_may_send_and_get_more(void **state)
{
    static char text[5000];
    struct fake_ws *w = *state;
    struct ws_conn_config more = w->config;
    struct budget known;
    struct fake_peer p;

    w->config.max_message_bytes = w->config.out_max_bytes = 1000;
    budget_init(&known, "known peers", 1 << 20, NULL);
    more.budget = &known;
    fake_ws_open_peer(w, &p);
    assert_int_equal(ws_send(w->at_server.ws, (struct str){text, sizeof text}), ERR_LIMIT);
    assert_true(send_part(&p, 0x81, 1000, 999)); /* in the middle of a message */
    assert_int_equal(ws_conn_set_limits(w->at_server.ws, &more), 0);
    assert_int_equal(budget_used(&w->memory), 0);
    assert_true(fake_peer_send(&p, STR("t")));
    assert_int_equal(w->at_server.messages, 1);
    assert_true(send_part(&p, 0x81, 50000, 50000));
    assert_int_equal(w->at_server.messages, 2);
    assert_true(send_part(&p, 0x01, 50000, 50000));
    assert_true(send_part(&p, 0x80, 30000, 30000));
    assert_int_equal(w->at_server.messages, 3);
    assert_int_equal(ws_send(w->at_server.ws, (struct str){text, sizeof text}), 0);
    assert_ptr_equal(ws_conn_budget(w->at_server.ws)->parent, &known);
    fake_peer_close(&p);
}

static void limits_that_a_class_has_no_room_for_are_not_taken(void **state)
{
    struct fake_ws *w = *state;
    struct ws_conn_config more = w->config;
    struct budget full;
    struct fake_peer p;

    budget_init(&full, "known peers", 10, NULL);
    more.budget = &full;
    more.max_message_bytes = 10;
    fake_ws_open_peer(w, &p);
    assert_int_equal(ws_conn_set_limits(w->at_server.ws, &more), ERR_LIMIT);
    assert_true(send_part(&p, 0x81, 5000, 5000)); /* as before */
    assert_int_equal(w->at_server.messages, 1);
    fake_peer_close(&p);
}

static void limits_lowered_in_the_middle_of_a_message_refuse_the_rest_of_it(void **state)
{
    struct fake_ws *w = *state;
    struct ws_conn_config less = w->config;
    struct fake_peer p;

    less.max_message_bytes = 100;
    fake_ws_open_peer(w, &p);
    assert_true(send_part(&p, 0x01, 1000, 1000));
    assert_int_equal(ws_conn_set_limits(w->at_server.ws, &less), 0);
    (void)send_part(&p, 0x80, 1, 1);
    assert_int_equal(w->at_server.reason, ERR_LIMIT);
    assert_true(fake_peer_got(&p, "\x03\xf1")); /* 1009 */
    fake_peer_close(&p);
}

/* --- pongs --- */

/* L1, RFC 6455 §5.5.3: pings that come together get one answer, to the newest. */
static void of_pings_that_come_together_the_newest_is_answered(void **state)
{
    struct fake_ws *w = *state;
    struct fake_peer p;

    fake_ws_open_peer(w, &p);
    assert_true(fake_peer_send(&p, STR(PING("a") PING("b") PING("c"))));
    assert_true(str_is(fake_peer_read(&p), "\x8a\x01"
                                           "c"));
    fake_peer_forget(&p);
    assert_true(fake_peer_send(&p, STR(PING("d"))));
    assert_true(str_is(fake_peer_read(&p), "\x8a\x01"
                                           "d"));
    fake_peer_close(&p);
}

/* L1: a peer that pings and does not read had a pong queued for each. */
static void pings_of_a_peer_that_does_not_read_queue_one_pong(void **state)
{
    static char text[3000];
    struct fake_ws *w = *state;
    struct fake_peer p;
    size_t pending;

    fake_ws_open_peer(w, &p);
    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 1000});
    memset(text, 't', sizeof text);
    assert_int_equal(ws_send(w->at_server.ws, (struct str){text, sizeof text}), 0);
    loop_fake_settle(w->l);
    pending = ws_out_pending(w->at_server.ws);
    assert_true(pending > 0);
    for (int i = 0; i < 1000; i++)
        assert_true(fake_peer_send(&p, STR(PING("x"))));
    assert_true(fake_peer_send(&p, STR(PING("y"))));
    assert_int_equal(ws_out_pending(w->at_server.ws), pending);
    loop_fake_set_faults(w->l, (struct loop_fake_faults){0});
    assert_int_equal(count(fake_peer_read(&p), "\x8a\x01", 2), 1);
    assert_true(fake_peer_got(&p, "\x8a\x01y"));
    fake_peer_close(&p);
}

/* --- peers that do not read --- */

static void a_peer_that_does_not_read_is_cut_and_the_owner_told_so(void **state)
{
    static char text[3000];
    struct fake_ws *w = *state;
    struct fake_peer p;

    w->config.stall_ms = 10000;
    fake_ws_open_peer(w, &p);
    loop_fake_set_faults(w->l, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_int_equal(ws_send(w->at_server.ws, (struct str){text, sizeof text}), 0);
    loop_fake_advance(w->l, 9999999);
    assert_true(fake_peer_send(&p, STR(PING("x")))); /* talking is not reading */
    assert_int_equal(w->at_server.closes, 0);
    loop_fake_advance(w->l, 1);
    assert_int_equal(w->at_server.closes, 1);
    assert_int_equal(w->at_server.reason, ERR_TIMEOUT);
    assert_string_equal(w->at_server.text, "the peer does not read");
    fake_peer_close(&p);
}

/* --- ended inside a callback --- */

/* L11: the payload is the owner's until its callback returns, also when it closes in it. */
static void a_payload_stays_valid_until_the_callback_that_closes_returns(void **state)
{
    struct fake_ws *w = *state;

    for (int fragments = 0; fragments < 2; fragments++) {
        struct fake_peer p;

        w->at_server.act = WS_ACT_CLOSE_AND_LOOK;
        w->at_server.messages = 0;
        fake_ws_open_peer(w, &p);
        if (fragments) {
            assert_true(send_part(&p, 0x01, 3000, 3000));
            (void)send_part(&p, 0x80, 1, 1);
        } else { /* in pieces, so that it stands in the connection's own memory */
            assert_true(send_part(&p, 0x81, 3000, 2000));
            (void)fake_peer_send(&p, (struct str){(char[1000]){0}, 1000});
        }
        assert_int_equal(w->at_server.messages, 1);
        assert_null(w->at_server.ws);
        assert_true(fake_peer_got(&p, "enough"));
        fake_peer_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_message_that_is_still_arriving_is_charged_whole_or_in_fragments),
        T(messages_beyond_the_classs_budget_end_the_connection_with_1013),
        T(a_peer_that_registered_may_send_and_get_more),
        T(limits_that_a_class_has_no_room_for_are_not_taken),
        T(limits_lowered_in_the_middle_of_a_message_refuse_the_rest_of_it),
        T(of_pings_that_come_together_the_newest_is_answered),
        T(pings_of_a_peer_that_does_not_read_queue_one_pong),
        T(a_peer_that_does_not_read_is_cut_and_the_owner_told_so),
        T(a_payload_stays_valid_until_the_callback_that_closes_returns),
    };

    return cmocka_run_group_tests_name("ws limits", tests, NULL, NULL);
}
