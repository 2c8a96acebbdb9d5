/* SPDX-License-Identifier: Apache-2.0 */
/* How a provider stops (FR-35): announced, with its running answers finished, in bounded time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_world.h"

#define BODY "{\"model\":\"" FAKE_MODEL "\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define STREAM                 \
    "{\"model\":\"" FAKE_MODEL \
    "\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"

static uint64_t last_tag(const struct fake_world *w)
{
    assert_true(w->engine.n_submitted > 0);
    return w->engine.submitted[w->engine.n_submitted - 1];
}

static struct box_session *ask(struct fake_world *w, const char *request_id, const char *body)
{
    struct box_session *session = fake_coordinator_request(&w->coordinator, request_id, body);

    loop_fake_settle(w->loop);
    return session;
}

static void expect_draining(struct fake_world *w, size_t nth)
{
    const struct provider_msg *m = fake_coordinator_got(&w->coordinator, MSG_INFERENCE_ERROR, nth);

    assert_non_null(m);
    assert_int_equal(m->error.status_code, 503);
    assert_true(str_is(m->error.code, "draining"));
}

/* FR-35: whoever stops says so at once, to coordinators of either kind, and not only by refusing.
 */
static void stopping_is_announced_in_a_heartbeat(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s = ask(w, "r1", STREAM);
    size_t heartbeats = fake_coordinator_count(&w->coordinator, MSG_HEARTBEAT);
    const struct provider_msg *m;

    fake_world_stop(w);
    loop_fake_settle(w->loop);
    for (int i = 0; i < 2; i++) { /* and again with each further one */
        m = fake_coordinator_got(&w->coordinator, MSG_HEARTBEAT, heartbeats + (size_t)i);
        assert_non_null(m);
        assert_int_equal(m->heartbeat.backend_capacity.max_running, 0);
        assert_true(str_is(m->heartbeat.backend_capacity.slots[0].state, "reloading"));
        assert_int_equal(m->heartbeat.warm_models.n, 0);
        fake_world_advance_ms(w, 5000);
    }
    box_session_close(s);
}

static void stopping_lets_running_requests_end(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s = ask(w, "r1", STREAM);
    uint64_t tag = last_tag(w);

    fake_world_stop(w);
    box_session_close(ask(w, "r2", BODY));
    expect_draining(w, 0);
    assert_false(w->stopped);

    fake_engine_done(&w->engine, tag, 12, 0, CHUNK_FINISH_STOP);
    fake_world_run(w);
    fake_world_advance_ms(w, PROVIDER_LINGER_MS + PROVIDER_SENT_MS);
    assert_true(w->stopped);
    assert_non_null(fake_coordinator_got(&w->coordinator, MSG_INFERENCE_COMPLETE, 0));
    assert_true(w->coordinator.closed);
    box_session_close(s);
}

/* FR-35: five seconds cut most answers; after the limit what runs ends with a code, not in silence.
 */
static void stopping_waits_for_the_drain_timeout_at_most(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s = ask(w, "r1", STREAM);

    fake_world_stop(w);
    fake_world_advance_ms(w, FAKE_DRAIN_MS - 1);
    assert_false(w->stopped);
    assert_int_equal(w->engine.n_cancelled, 0);
    fake_world_advance_ms(w, 2 + PROVIDER_LINGER_MS);
    assert_true(w->stopped);
    assert_int_equal(w->engine.n_cancelled, 1);
    expect_draining(w, 0);
    fake_world_advance_ms(w, 60000);
    assert_int_equal(w->coordinator.connections, 1);
    box_session_close(s);
}

static void a_second_signal_ends_what_runs_at_once(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s1 = ask(w, "r1", STREAM);
    struct box_session *s2 = ask(w, "r2", BODY);

    fake_world_stop(w);
    fake_world_advance_ms(w, 1000);
    assert_false(w->stopped);
    fake_world_stop(w);
    fake_world_advance_ms(w, PROVIDER_LINGER_MS + PROVIDER_SENT_MS);
    assert_true(w->stopped);
    assert_int_equal(w->engine.n_cancelled, 2);
    expect_draining(w, 0);
    expect_draining(w, 1);
    assert_true(w->coordinator.closed);
    box_session_close(s1);
    box_session_close(s2);
}

static void a_lost_connection_ends_the_stopping(void **state)
{
    struct fake_world *w = *state;
    struct box_session *s = ask(w, "r1", STREAM);

    fake_world_stop(w);
    fake_coordinator_hang_up(&w->coordinator);
    fake_world_advance_ms(w, 2 + PROVIDER_LINGER_MS);
    assert_true(w->stopped);
    assert_int_equal(w->coordinator.connections, 1);
    box_session_close(s);
}

/* The last answer is still in our own output when its job has ended. */
static void stopping_lets_the_last_output_leave(void **state)
{
    struct fake_world *w = *state;
    enum { PIECE = 1 << 20 };
    char *text = calloc(1, PIECE + 1);
    struct box_session *s = ask(w, "r1", STREAM);
    struct str line;
    int64_t tokens;

    assert_non_null(text);
    memset(text, 'x', PIECE);
    fake_world_stop(w);
    fake_engine_text(&w->engine, last_tag(w), text, 1);
    fake_engine_done(&w->engine, last_tag(w), 12, 1, CHUNK_FINISH_STOP);
    provider_on_engine(w->provider); /* the loop does not run: nobody reads */
    fake_world_advance_ms(w, PROVIDER_LINGER_MS + 10 * PROVIDER_SENT_MS);
    assert_true(w->stopped);
    line = fake_coordinator_chunk(&w->coordinator, "r1", s, 1, &tokens);
    assert_true(line.n > PIECE);
    assert_non_null(fake_coordinator_got(&w->coordinator, MSG_INFERENCE_COMPLETE, 0));
    box_session_close(s);
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stopping_is_announced_in_a_heartbeat),
        TEST(stopping_lets_running_requests_end),
        TEST(stopping_waits_for_the_drain_timeout_at_most),
        TEST(a_second_signal_ends_what_runs_at_once),
        TEST(a_lost_connection_ends_the_stopping),
        TEST(stopping_lets_the_last_output_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
