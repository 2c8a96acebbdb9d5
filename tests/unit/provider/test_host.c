/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's end of the wire, over a socketpair and a scripted engine. Nothing waits: what the
 * daemon says lies in the socket before the host is asked to serve. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "provider/engine/host/host.h"
#include "unit/provider/fake_engine.h"

#define BODY                                                                                   \
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":7," \
    "\"stop\":[\"x\"]}"

struct world {
    int daemon_end, engine_end;
    struct host host;
    struct fake_engine engine;
    struct engine_port port;
    struct buf heard; /* what the engine said */
    size_t taken;
};

static int up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    w->daemon_end = ends[0];
    w->engine_end = ends[1];
    host_init(&w->host, w->engine_end);
    w->port = fake_engine_port(&w->engine);
    buf_init(&w->heard, 1 << 20);
    *state = w;
    return 0;
}

static int down(void **state)
{
    struct world *w = *state;

    if (w->daemon_end >= 0)
        close(w->daemon_end);
    close(w->engine_end);
    host_free(&w->host);
    buf_free(&w->heard);
    free(w);
    return 0;
}

static void daemon_says(struct world *w, const struct wire_msg *m)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(wire_append(&out, m), 0);
    assert_int_equal(send(w->daemon_end, buf_view(&out).p, out.len, 0), (ssize_t)out.len);
    buf_free(&out);
}

static void daemon_submits(struct world *w, uint64_t tag, const char *body)
{
    const struct wire_msg m = {.type = WIRE_SUBMIT, .submit = {tag, str_from(body)}};

    daemon_says(w, &m);
}

/* The daemon says no more; the host serves what was said. */
static int serve(struct world *w)
{
    assert_int_equal(shutdown(w->daemon_end, SHUT_WR), 0);
    return host_serve(&w->host, &w->port);
}

/* The next frame of the engine's end; false: none. */
static bool daemon_hears(struct world *w, struct wire_msg *ret_msg)
{
    char bytes[65536];
    ssize_t n;
    int rc;

    while ((n = recv(w->daemon_end, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        assert_int_equal(buf_append(&w->heard, bytes, (size_t)n), 0);
    buf_consume(&w->heard, w->taken);
    w->taken = 0;
    rc = wire_next(buf_view(&w->heard), WIRE_ENGINE, ret_msg, &w->taken);
    assert_true(rc >= 0);
    return rc == 1;
}

static void a_submitted_body_is_parsed_and_handed_to_the_engine(void **state)
{
    struct world *w = *state;

    daemon_submits(w, 77, BODY);
    assert_int_equal(serve(w), 0);
    assert_int_equal(w->engine.n_submitted, 1);
    assert_int_equal(w->engine.submitted[0], 77);
    assert_int_equal(w->engine.last.max_tokens, 7);
    assert_int_equal(w->engine.last.n_stops, 1);
    assert_string_equal(w->engine.last_messages, "[{\"role\":\"user\",\"content\":\"hi\"}]");
}

static void a_body_that_is_none_fails_that_request_alone(void **state)
{
    struct world *w = *state;
    struct wire_msg m;

    daemon_submits(w, 1, "{\"model\":");
    daemon_submits(w, 2, BODY);
    assert_int_equal(serve(w), 0);
    assert_int_equal(w->engine.n_submitted, 1);
    assert_true(daemon_hears(w, &m));
    assert_int_equal(m.event.kind, ENGINE_FAILED);
    assert_int_equal(m.event.tag, 1);
    assert_int_equal(m.event.code, ERR_PARSE);
}

static void what_the_engine_refuses_is_told_with_its_code(void **state)
{
    struct world *w = *state;
    struct wire_msg m;

    w->engine.submit_answer = ERR_BUSY;
    daemon_submits(w, 1, BODY);
    assert_int_equal(serve(w), 0);
    assert_true(daemon_hears(w, &m));
    assert_int_equal(m.event.code, ERR_BUSY);
}

static void a_cancel_is_passed_on(void **state)
{
    const struct wire_msg m = {.type = WIRE_CANCEL, .cancel = {5}};
    struct world *w = *state;

    daemon_says(w, &m);
    assert_int_equal(serve(w), 0);
    assert_int_equal(w->engine.n_cancelled, 1);
    assert_int_equal(w->engine.cancelled[0], 5);
}

static void events_and_counters_leave_in_order_with_one_wake(void **state)
{
    struct world *w = *state;
    struct wire_msg m;

    w->host.engine = w->port;
    fake_engine_admit(&w->engine, 1, 42);
    fake_engine_text(&w->engine, 1, "hi", 2);
    fake_engine_done(&w->engine, 1, 42, 2, CHUNK_FINISH_STOP);
    w->engine.load = (struct load){.running = 1, .forward_passes = 3};
    host_wake(&w->host);
    assert_true(daemon_hears(w, &m) && m.event.kind == ENGINE_ADMITTED);
    assert_int_equal(m.event.prompt_tokens, 42);
    assert_true(daemon_hears(w, &m) && m.event.kind == ENGINE_TEXT);
    assert_true(str_is(m.event.text, "hi") && m.event.tokens == 2);
    assert_true(daemon_hears(w, &m) && m.event.kind == ENGINE_DONE);
    assert_int_equal(m.event.finish, CHUNK_FINISH_STOP);
    assert_true(daemon_hears(w, &m));
    assert_int_equal(m.type, WIRE_LOAD);
    assert_int_equal(m.load.forward_passes, 3);
    host_wake(&w->host); /* nothing has changed */
    assert_false(daemon_hears(w, &m));
}

static void no_text_stays_behind_in_its_buffer(void **state)
{
    static const char secret[] = "a secret that was said";
    struct world *w = *state;

    w->host.engine = w->port;
    fake_engine_text(&w->engine, 1, secret, 1);
    host_wake(&w->host);
    assert_true(w->host.out.cap > 0);
    assert_null(memmem(w->host.out.mem, w->host.out.cap, secret, sizeof secret - 1));
}

static void a_frame_that_only_an_engine_may_say_ends_it(void **state)
{
    const struct wire_msg m = {.type = WIRE_LOAD};
    struct world *w = *state;

    daemon_says(w, &m);
    assert_int_equal(serve(w), ERR_PROTOCOL);
}

static void a_second_open_ends_it(void **state)
{
    const struct wire_msg m = {.type = WIRE_OPEN,
                               .open = {.version = STR("1"), .model_path = STR("/m"), .slots = 1}};
    struct world *w = *state;

    daemon_says(w, &m);
    assert_int_equal(serve(w), ERR_PROTOCOL);
}

static void an_engine_whose_passes_fail_ends(void **state)
{
    struct world *w = *state;

    w->engine.load.crashed = true;
    daemon_submits(w, 1, BODY);
    assert_int_equal(serve(w), ERR_MODEL);
}

static void a_daemon_that_is_gone_breaks_nothing(void **state)
{
    struct world *w = *state;

    w->host.engine = w->port;
    close(w->daemon_end);
    w->daemon_end = -1;
    fake_engine_text(&w->engine, 1, "x", 1);
    host_wake(&w->host);
    assert_true(w->host.broken);
    fake_engine_text(&w->engine, 1, "y", 1);
    host_wake(&w->host);
}

static void last_words_cross_and_not_while_somebody_writes(void **state)
{
    struct world *w = *state;
    struct wire_msg m;

    host_last_words(&w->host, STR("an assertion at x.c:1"));
    assert_true(daemon_hears(w, &m));
    assert_true(str_is(m.last_words.text, "an assertion at x.c:1"));
    pthread_mutex_lock(&w->host.lock);
    host_last_words(&w->host, STR("not now"));
    pthread_mutex_unlock(&w->host.lock);
    assert_false(daemon_hears(w, &m));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_submitted_body_is_parsed_and_handed_to_the_engine),
        TEST(a_body_that_is_none_fails_that_request_alone),
        TEST(what_the_engine_refuses_is_told_with_its_code),
        TEST(a_cancel_is_passed_on),
        TEST(events_and_counters_leave_in_order_with_one_wake),
        TEST(no_text_stays_behind_in_its_buffer),
        TEST(a_frame_that_only_an_engine_may_say_ends_it),
        TEST(a_second_open_ends_it),
        TEST(an_engine_whose_passes_fail_ends),
        TEST(a_daemon_that_is_gone_breaks_nothing),
        TEST(last_words_cross_and_not_while_somebody_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
