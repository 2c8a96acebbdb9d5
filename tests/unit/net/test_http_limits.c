/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers can make an HTTP server hold (findings L1, L6): memory. All of it in virtual time.
 */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_connection_its_head_its_body_and_its_answer_are_charged),
        T(a_request_for_which_the_budget_has_no_room_is_refused_by_name),
        T(a_refusal_for_want_of_memory_says_whose),
        T(a_connection_for_which_there_is_no_memory_is_closed_at_once),
        T(an_upgrade_that_a_budget_refuses_can_still_be_answered),
    };

    return cmocka_run_group_tests_name("http limits", tests, NULL, NULL);
}
