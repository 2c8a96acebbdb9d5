/* SPDX-License-Identifier: Apache-2.0 */
/* TLS under a bare connection: what its owner is handed and when, and its way to another loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_tls.h"
#include "net/conn.h"
#include "net/tls.h"
#include "shared/cert.h"

enum { IN_MAX_BYTES = 1000, OUT_MAX_BYTES = 50000, SECOND_US = 1000000, RECORD_BYTES = 16000 };

struct world {
    struct loop *a, *b;
    struct fake_peer peer;
    struct fake_tls tls;
    struct tls_context *ctx;
    struct budget memory;
    struct conn *conn;
    struct buf got;
    size_t at_once; /* the owner takes no more than this of what is there */
    int calls, drains, closes, reason;
};

static void on_data(void *ud)
{
    struct world *w = ud;
    struct str v = str_cut(buf_view(conn_in(w->conn)), w->at_once);

    w->calls++;
    assert_int_equal(buf_append_str(&w->got, v), 0);
    buf_consume(conn_in(w->conn), v.n);
    if (conn_in(w->conn)->len > 0)
        conn_resume(w->conn);
}

static void on_drain(void *ud)
{
    ((struct world *)ud)->drains++;
}

static void on_close(void *ud, int reason)
{
    struct world *w = ud;

    w->closes++;
    w->reason = reason;
    conn_free(w->conn);
    w->conn = NULL;
}

static int setup(void **state)
{
    static const struct conn_ops ops = {
        .on_data = on_data, .on_drain = on_drain, .on_close = on_close};
    static struct world w;
    const struct conn_config config = {.in_max_bytes = IN_MAX_BYTES,
                                       .out_max_bytes = OUT_MAX_BYTES,
                                       .memory_max_bytes = 100000,
                                       .stall_ms = 5000,
                                       .budget = &w.memory};
    struct cert_files files;

    w = (struct world){.at_once = SIZE_MAX};
    buf_init(&w.got, 1 << 20);
    budget_init_shared(&w.memory, "the test's connection", 1 << 20, NULL);
    cert_make(&files, "one.example");
    if (tls_context_new(&(struct tls_files){files.cert, files.key, "cert", "key"}, &w.ctx, NULL) <
            0 ||
        loop_fake_new(0, &w.a) < 0 || loop_fake_beside(w.a, &w.b) < 0 ||
        conn_new(w.a, fake_peer_pair(&w.peer, w.a), &config, &ops, &w, &w.conn) < 0 ||
        conn_secure(w.conn, w.ctx, NULL) < 0)
        return -1;
    cert_remove(&files);
    fake_tls_begin(&w.tls, &w.peer, 0, NULL);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    conn_free(w->conn);
    fake_tls_free(&w->tls);
    fake_peer_close(&w->peer);
    tls_context_free(w->ctx);
    buf_free(&w->got);
    loop_free(w->b);
    loop_free(w->a);
    assert_int_equal(budget_used(&w->memory), 0);
    return 0;
}

static void pattern(char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)('a' + i % 23);
}

static void send_record(struct world *w)
{
    char bytes[RECORD_BYTES];

    pattern(bytes, sizeof bytes);
    fake_tls_send(&w->tls, (struct str){bytes, sizeof bytes});
}

static void assert_got_record(struct world *w)
{
    char bytes[RECORD_BYTES];

    pattern(bytes, sizeof bytes);
    assert_true(str_eq(buf_view(&w->got), (struct str){bytes, sizeof bytes}));
}

static void a_record_larger_than_the_input_arrives_in_pieces(void **state)
{
    struct world *w = *state;

    send_record(w);
    assert_int_equal(w->calls, RECORD_BYTES / IN_MAX_BYTES);
    assert_got_record(w);
}

static void however_little_the_owner_takes_at_once(void **state)
{
    static const size_t bites[] = {1, 999, 333};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof bites / sizeof bites[0]; i++) {
        buf_clear(&w->got);
        w->at_once = bites[i];
        send_record(w);
        assert_got_record(w);
    }
}

static void a_paused_owner_gets_the_rest_of_the_record_later(void **state)
{
    struct world *w = *state;

    assert_true(fake_tls_open(&w->tls));
    conn_pause(w->conn);
    send_record(w);
    assert_int_equal(w->calls, 0);
    assert_int_equal(conn_in(w->conn)->len, IN_MAX_BYTES);
    conn_resume(w->conn);
    loop_fake_settle(w->a);
    assert_got_record(w);
}

static void a_partial_message_that_is_left_waits_without_a_busy_loop(void **state)
{
    struct world *w = *state;

    w->at_once = 0;
    assert_true(fake_tls_open(&w->tls));
    assert_int_equal(SSL_write(w->tls.ssl, "abc", 3), 3);
    w->at_once = 3;
    fake_tls_pump(&w->tls);
    assert_int_equal(w->calls, 1);
    assert_false(loop_fake_step(w->a));
}

static void what_is_written_before_the_handshake_leaves_after_it(void **state)
{
    struct world *w = *state;
    struct str hello = STR("hello");

    assert_int_equal(conn_write(w->conn, &hello, 1), 0);
    loop_fake_settle(w->a);
    assert_true(conn_blocked(w->conn));
    assert_false(loop_fake_step(w->a)); /* and nothing spins */
    assert_string_equal(fake_tls_answer(&w->tls), "hello");
    assert_false(conn_blocked(w->conn));
}

static void a_finish_before_the_handshake_waits_for_it(void **state)
{
    struct world *w = *state;
    struct str hello = STR("hello");

    assert_int_equal(conn_write(w->conn, &hello, 1), 0);
    conn_finish(w->conn, 2000, 1000);
    w->conn = NULL;
    assert_string_equal(fake_tls_answer(&w->tls), "hello");
    assert_true(w->tls.ended);
    assert_true(fake_peer_ended(&w->peer));
}

static void a_handshake_that_never_comes_does_not_hold_a_finish_up(void **state)
{
    struct world *w = *state;
    struct str hello = STR("hello");

    assert_int_equal(conn_write(w->conn, &hello, 1), 0);
    conn_finish(w->conn, 2000, 1000);
    w->conn = NULL;
    loop_fake_advance(w->a, 11 * SECOND_US);
    assert_true(fake_peer_ended(&w->peer));
    assert_int_equal(budget_used(&w->memory), 0);
}

static void an_open_connection_is_charged_less_than_a_handshake(void **state)
{
    struct world *w = *state;
    size_t before = budget_used(&w->memory);

    assert_true(before >= TLS_GREETING_BYTES);
    assert_true(fake_tls_open(&w->tls));
    assert_int_equal(before - budget_used(&w->memory), TLS_GREETING_BYTES - TLS_OPEN_BYTES);
}

static void without_room_in_the_budget_there_is_no_tls(void **state)
{
    struct world *w = *state;
    static const struct conn_ops ops = {.on_data = on_data, .on_close = on_close};
    const struct conn_config config = {.in_max_bytes = 1, .budget = &w->memory};
    struct fake_peer peer;
    struct conn *c;

    assert_int_equal(conn_new(w->a, fake_peer_pair(&peer, w->a), &config, &ops, w, &c), 0);
    w->memory.max_bytes = budget_used(&w->memory) + TLS_GREETING_BYTES - 1;
    assert_int_equal(conn_secure(c, w->ctx, NULL), ERR_LIMIT);
    conn_free(c);
    fake_peer_close(&peer);
}

static void who_takes_nothing_is_given_up(void **state)
{
    struct world *w = *state;
    static const char zeros[20000];
    struct str part = {zeros, sizeof zeros};
    char some[500];

    assert_true(fake_tls_open(&w->tls));
    fake_tls_pump(&w->tls);
    loop_fake_set_faults(w->a, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_int_equal(conn_write(w->conn, &part, 1), 0);
    loop_fake_advance(w->a, 4 * SECOND_US);
    assert_int_equal(w->closes, 0);
    assert_int_equal(loop_recv(w->a, w->peer.sock, some, sizeof some), sizeof some);
    loop_fake_advance(w->a, 4 * SECOND_US); /* a part of a record is progress */
    assert_int_equal(w->closes, 0);
    loop_fake_advance(w->a, 2 * SECOND_US);
    assert_int_equal(w->closes, 1);
    assert_int_equal(w->reason, ERR_TIMEOUT);
}

/* --- to another loop --- */

static void a_connection_moves_with_its_keys_and_what_it_holds(void **state)
{
    struct world *w = *state;
    static char zeros[20000];
    struct str part = {zeros, sizeof zeros};

    memset(zeros, 'z', sizeof zeros);
    assert_true(fake_tls_open(&w->tls));
    fake_tls_pump(&w->tls);
    conn_pause(w->conn);
    send_record(w); /* opened by a part, the rest of it is inside OpenSSL */
    loop_fake_set_faults(w->a, (struct loop_fake_faults){.socket_bytes = 1000});
    assert_int_equal(conn_write(w->conn, &part, 1), 0);
    loop_fake_settle(w->a); /* a record has left by a part */
    assert_true(conn_blocked(w->conn));
    conn_detach(w->conn);
    assert_int_equal(conn_attach(w->conn, w->b, NULL), 0);
    loop_fake_settle(w->b);
    assert_int_equal(w->calls, 0);
    conn_resume(w->conn);
    fake_tls_pump(&w->tls);
    assert_got_record(w);
    assert_true(str_eq(buf_view(&w->tls.got), part));
    assert_int_equal(w->closes, 0);
    fake_tls_send(&w->tls, STR("more"));
    assert_int_equal(w->got.len, RECORD_BYTES + 4);
}

static void and_in_the_middle_of_its_handshake(void **state)
{
    struct world *w = *state;

    loop_fake_set_faults(w->a, (struct loop_fake_faults){.socket_bytes = 100});
    (void)SSL_do_handshake(w->tls.ssl);
    {
        char *hello;
        long n = BIO_get_mem_data(w->tls.out, &hello);

        assert_true(fake_peer_send(&w->peer, (struct str){hello, (size_t)n}));
        (void)BIO_reset(w->tls.out);
    }
    conn_detach(w->conn); /* its own flight is stuck */
    assert_int_equal(conn_attach(w->conn, w->b, NULL), 0);
    assert_true(fake_tls_open(&w->tls));
    fake_tls_send(&w->tls, STR("more"));
    assert_true(str_is(buf_view(&w->got), "more"));
}

#define W(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        W(a_record_larger_than_the_input_arrives_in_pieces),
        W(however_little_the_owner_takes_at_once),
        W(a_paused_owner_gets_the_rest_of_the_record_later),
        W(a_partial_message_that_is_left_waits_without_a_busy_loop),
        W(what_is_written_before_the_handshake_leaves_after_it),
        W(a_finish_before_the_handshake_waits_for_it),
        W(a_handshake_that_never_comes_does_not_hold_a_finish_up),
        W(an_open_connection_is_charged_less_than_a_handshake),
        W(without_room_in_the_budget_there_is_no_tls),
        W(who_takes_nothing_is_given_up),
        W(a_connection_moves_with_its_keys_and_what_it_holds),
        W(and_in_the_middle_of_its_handshake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
