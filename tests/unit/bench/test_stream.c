/* SPDX-License-Identifier: Apache-2.0 */
/* What a measured consumer sees of a stream: times of pieces with content, usage, how it ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>

#include "bench/stream.h"
#include "net/loop_fake.h"

enum { CAP = 8192 };

#define ROLE        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
#define NULL_ROLE   "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n"
#define PIECE(text) "data: {\"choices\":[{\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define THOUGHT     "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"
#define FINISH      "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n"
#define USAGE                                                                                \
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":64,\"completion_tokens\":3,\"total_" \
    "tokens\":67}}\n\n"
#define DONE "data: [DONE]\n\n"

struct world {
    struct loop *loop;
    int listener, sock; /* the server's ends */
    uint16_t port;
    struct stream *stream;
    int pieces, ends;
    bool free_at_piece, free_at_end;
};

static void on_piece(void *ud, struct stream *s)
{
    struct world *w = ud;

    w->pieces++;
    if (w->free_at_piece) {
        stream_free(s);
        w->stream = NULL;
    }
}

static void on_end(void *ud, struct stream *s)
{
    struct world *w = ud;

    w->ends++;
    if (w->free_at_end) {
        stream_free(s);
        w->stream = NULL;
    }
}

static int set_up(void **state)
{
    static struct world world;
    struct world *w = &world;

    *w = (struct world){.sock = -1};
    assert_int_equal(loop_fake_new(0, &w->loop), 0);
    assert_int_equal(loop_listen(w->loop, "127.0.0.1", 0, &w->listener, &w->port, NULL), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    stream_free(w->stream);
    if (w->sock >= 0)
        loop_close(w->loop, w->sock);
    loop_close(w->loop, w->listener);
    loop_free(w->loop);
    return 0;
}

static void ask(struct world *w, const char *key)
{
    const struct stream_config config = {.loop = w->loop,
                                         .port = w->port,
                                         .api_key = key,
                                         .body = STR("{\"stream\":true}"),
                                         .on_piece = on_piece,
                                         .on_end = on_end,
                                         .ud = w};

    assert_int_equal(stream_new(&config, &w->stream), 0);
    loop_fake_settle(w->loop);
    w->sock = loop_accept(w->loop, w->listener, (char[64]){0});
    assert_true(w->sock >= 0);
}

static void say(struct world *w, const char *text)
{
    const struct iovec part = {(void *)text, strlen(text)};

    assert_int_equal(loop_sendv(w->loop, w->sock, &part, 1), strlen(text));
    loop_fake_settle(w->loop);
}

static void say_head(struct world *w, const char *status)
{
    char head[256];

    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nTransfer-Encoding: chunked\r\n\r\n", status);
    say(w, head);
}

static void say_chunk(struct world *w, const char *text)
{
    char chunk[2048];

    snprintf(chunk, sizeof chunk, "%zx\r\n%s\r\n", strlen(text), text);
    say(w, chunk);
}

static void it_asks_with_its_key_and_its_body(void **state)
{
    struct world *w = *state;
    char got[CAP] = "";

    ask(w, "secret");
    assert_true(loop_recv(w->loop, w->sock, got, sizeof got - 1) > 0);
    assert_non_null(strstr(got, "POST /v1/chat/completions HTTP/1.1\r\n"));
    assert_non_null(strstr(got, "Authorization: Bearer secret\r\n"));
    assert_non_null(strstr(got, "Content-Length: 15\r\n\r\n{\"stream\":true}"));
}

static void pieces_with_content_count_at_the_time_of_their_read(void **state)
{
    struct world *w = *state;
    const struct stream_seen *seen;

    ask(w, NULL);
    seen = stream_seen(w->stream);
    say_head(w, "200 OK");
    say_chunk(w, ROLE NULL_ROLE);
    assert_int_equal(seen->pieces, 0);
    loop_fake_advance(w->loop, 7000);
    say_chunk(w, PIECE("a"));
    loop_fake_advance(w->loop, 3000);
    say_chunk(w, PIECE("b \\\"content\\\":\\\"") THOUGHT FINISH);
    assert_int_equal(seen->pieces, 3);
    assert_int_equal(w->pieces, 3);
    assert_int_equal(seen->pieces_us[0] - seen->sent_us, 7000);
    assert_int_equal(seen->pieces_us[1] - seen->sent_us, 10000);
    assert_int_equal(seen->pieces_us[2] - seen->sent_us, 10000);
}

static void usage_and_done_make_it_whole(void **state)
{
    struct world *w = *state;
    const struct stream_seen *seen;

    ask(w, NULL);
    seen = stream_seen(w->stream);
    say_head(w, "200 OK");
    say_chunk(w, PIECE("a") FINISH USAGE DONE);
    assert_false(seen->ended);
    say(w, "0\r\n\r\n");
    assert_true(seen->ended && seen->whole);
    assert_int_equal(seen->prompt_tokens, 64);
    assert_int_equal(seen->completion_tokens, 3);
    assert_int_equal(w->ends, 1);
}

static void an_event_may_come_in_parts(void **state)
{
    struct world *w = *state;

    ask(w, NULL);
    say_head(w, "200 OK");
    say_chunk(w, "data: {\"choices\":[{\"delta\":{\"cont");
    say_chunk(w, "ent\":\"a\"}}]}\n");
    assert_int_equal(w->pieces, 0);
    say_chunk(w, "\n");
    assert_int_equal(w->pieces, 1);
}

static void a_refusal_ends_it_and_is_not_whole(void **state)
{
    struct world *w = *state;

    ask(w, NULL);
    say_head(w, "503 Service Unavailable");
    say_chunk(w, "{\"error\":{}}");
    say(w, "0\r\n\r\n");
    assert_int_equal(stream_seen(w->stream)->status, 503);
    assert_true(stream_seen(w->stream)->ended);
    assert_false(stream_seen(w->stream)->whole);
}

static void a_broken_connection_ends_it_once(void **state)
{
    struct world *w = *state;

    ask(w, NULL);
    say_head(w, "200 OK");
    say_chunk(w, PIECE("a"));
    loop_close(w->loop, w->sock);
    w->sock = -1;
    loop_fake_settle(w->loop);
    assert_int_equal(w->ends, 1);
    assert_false(stream_seen(w->stream)->whole);
}

static void nobody_who_listens_ends_it(void **state)
{
    struct world *w = *state;
    const struct stream_config config = {
        .loop = w->loop, .port = 1, .body = STR("{}"), .on_end = on_end, .ud = w};

    assert_int_equal(stream_new(&config, &w->stream), 0);
    loop_fake_settle(w->loop);
    assert_int_equal(w->ends, 1);
    assert_int_equal(stream_seen(w->stream)->status, 0);
}

static void who_leaves_at_a_piece_hears_no_more_and_the_connection_is_closed(void **state)
{
    struct world *w = *state;
    char got[CAP];

    ask(w, NULL);
    w->free_at_piece = true;
    say_head(w, "200 OK");
    say_chunk(w, PIECE("a") PIECE("b") DONE);
    assert_int_equal(w->pieces, 1);
    assert_int_equal(w->ends, 0);
    assert_true(loop_recv(w->loop, w->sock, got, sizeof got) > 0); /* the request */
    assert_int_equal(loop_recv(w->loop, w->sock, got, sizeof got), 0);
}

static void it_may_be_freed_at_its_end_and_while_it_connects(void **state)
{
    struct world *w = *state;
    const struct stream_config config = {
        .loop = w->loop, .port = w->port, .body = STR("{}"), .on_end = on_end, .ud = w};
    struct stream *s;

    assert_int_equal(stream_new(&config, &s), 0);
    stream_free(s);
    loop_fake_settle(w->loop);
    w->sock = loop_accept(w->loop, w->listener, (char[64]){0});
    if (w->sock >= 0)
        loop_close(w->loop, w->sock);
    ask(w, NULL);
    w->free_at_end = true;
    say_head(w, "200 OK");
    say(w, "0\r\n\r\n");
    assert_int_equal(w->ends, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_asks_with_its_key_and_its_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pieces_with_content_count_at_the_time_of_their_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(usage_and_done_make_it_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_may_come_in_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_ends_it_and_is_not_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_connection_ends_it_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_who_listens_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            who_leaves_at_a_piece_hears_no_more_and_the_connection_is_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_may_be_freed_at_its_end_and_while_it_connects, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
