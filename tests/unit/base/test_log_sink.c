/* SPDX-License-Identifier: Apache-2.0 */
/* A log that holds nobody up (L8): bounded, never blocking, and limited where strangers cause it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log_sink.h"

enum { TEXT_BYTES = 1 << 20 };

/* A log in virtual time into a pipe or a socket, whose other end the test reads, or does not. */
struct fixture {
    struct log log;
    struct log_sink sink;
    int read_end, write_end;
    int64_t now_us;
    int wakes;
    int64_t last_delay_ms;
    char text[TEXT_BYTES];
};

static int64_t fake_now(void *ud)
{
    return ((struct fixture *)ud)->now_us;
}

static void on_wake(void *ud, int64_t delay_ms)
{
    struct fixture *f = ud;

    f->wakes++;
    f->last_delay_ms = delay_ms;
}

static struct fixture *open_on(int read_end, int write_end)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->read_end = read_end;
    f->write_end = write_end;
    f->now_us = 1790000000000000;
    assert_int_equal(fcntl(read_end, F_SETFL, O_NONBLOCK), 0);
    f->log = (struct log){.fd = write_end,
                          .level = LOG_DEBUG,
                          .clock = {.mono_us = fake_now, .wall_us = fake_now, .ud = f},
                          .sink = &f->sink};
    log_sink_open(&f->sink, write_end, on_wake, f);
    return f;
}

static int up(void **state)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    *state = open_on(ends[0], ends[1]);
    return 0;
}

static int down(void **state)
{
    struct fixture *f = *state;

    log_close(&f->log, 1);
    close(f->read_end);
    close(f->write_end);
    free(f);
    return 0;
}

/* What has come since the last time. */
static const char *arrived(struct fixture *f)
{
    size_t n = 0;
    ssize_t got;

    while ((got = read(f->read_end, f->text + n, TEXT_BYTES - 1 - n)) > 0)
        n += (size_t)got;
    f->text[n] = 0;
    return f->text;
}

static int count(const char *text, const char *what)
{
    int n = 0;

    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        n++;
    return n;
}

static void lines_leave_together_at_the_flush(void **state)
{
    struct fixture *f = *state;

    log_event(&f->log, LOG_INFO, EV_STARTED);
    log_event(&f->log, LOG_INFO, EV_STOPPING);
    assert_int_equal(f->wakes, 1); /* for the first */
    assert_int_equal(f->last_delay_ms, 0);
    assert_string_equal(arrived(f), "");
    log_flush(&f->log);
    assert_int_equal(count(arrived(f), "\n"), 2);
    log_event(&f->log, LOG_INFO, EV_STARTED);
    assert_int_equal(f->wakes, 2);
}

static void a_warning_is_tried_at_once_behind_what_waits(void **state)
{
    struct fixture *f = *state;
    const char *text;

    log_event(&f->log, LOG_INFO, EV_STARTED);
    log_event(&f->log, LOG_WARN, EV_CONFIG_WARNING);
    text = arrived(f);
    assert_int_equal(count(text, "\n"), 2);
    assert_true(strstr(text, "event=started") < strstr(text, "event=config_warning"));
}

/* Fails where warnings are blocking writes: the pipe holds 64 KiB, the test would never end. */
static void a_pipe_that_nobody_reads_blocks_nothing(void **state)
{
    struct fixture *f = *state;
    int whole;

    for (int i = 0; i < 20000; i++)
        log_event(&f->log, LOG_WARN, EV_CONFIG_WARNING, KV_INT("i", i));
    assert_true(f->sink.dropped_full > 0);
    assert_true(f->sink.lines.len <= LOG_SINK_BYTES);
    assert_int_equal(f->last_delay_ms, LOG_SINK_RETRY_MS);
    whole = 0;
    for (int i = 0; i < 20; i++) { /* it is read again */
        const char *text = arrived(f);

        whole += count(text, "event=config_warning");
        log_flush(&f->log);
    }
    assert_int_equal(whole + (int)f->sink.dropped_full, 20000);
}

static void what_was_lost_is_said_once_there_is_room(void **state)
{
    struct fixture *f = *state;
    char expected[80];
    int said = 0;

    for (int i = 0; i < 20000; i++)
        log_event(&f->log, LOG_INFO, EV_STARTED);
    snprintf(expected, sizeof expected, "event=log_dropped lines=%llu\n",
             (unsigned long long)f->sink.dropped_full);
    for (int i = 0; i < 20; i++) {
        log_flush(&f->log);
        said += count(arrived(f), expected);
    }
    assert_int_equal(said, 1);
    log_flush(&f->log);
    assert_string_equal(arrived(f), "");
}

static void lines_that_were_kept_are_whole_and_in_order(void **state)
{
    struct fixture *f = *state;
    int next = 0;

    for (int i = 0; i < 3000; i++)
        log_event(&f->log, LOG_INFO, EV_STARTED, KV_INT("i", i));
    for (int i = 0; i < 20; i++) {
        const char *at;

        log_flush(&f->log);
        for (at = strstr(arrived(f), " i="); at && next < 3000; at = strstr(at + 1, " i="))
            assert_int_equal(strtol(at + 3, NULL, 10), next++);
    }
    assert_true(next > 2000);
}

/* Info lines of strangers do not take the room of an error. */
static void a_full_backlog_has_room_for_an_error(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 20000; i++)
        log_event(&f->log, LOG_INFO, EV_STARTED);
    log_event(&f->log, LOG_ERROR, EV_STORE_FAILED, KV_CSTR("why", "here"));
    for (int i = 0; i < 20 && !strstr(arrived(f), "why=here"); i++)
        log_flush(&f->log);
    assert_non_null(strstr(f->text, "why=here"));
}

static void the_descriptor_itself_stays_blocking_for_others(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fcntl(f->write_end, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(f->sink.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

static void a_reader_that_is_gone_costs_nothing(void **state)
{
    struct fixture *f = *state;

    (void)signal(SIGPIPE, SIG_IGN);
    close(f->read_end);
    f->read_end = open("/dev/null", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    for (int i = 0; i < 100; i++)
        log_event(&f->log, LOG_WARN, EV_CONFIG_WARNING);
    assert_int_equal(f->sink.lines.len, 0);
}

/* journald's stderr is a socket. */
static void a_socket_that_nobody_reads_blocks_nothing_either(void **state)
{
    struct fixture *f;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    f = open_on(ends[0], ends[1]);
    for (int i = 0; i < 20000; i++)
        log_event(&f->log, LOG_WARN, EV_CONFIG_WARNING);
    assert_true(f->sink.dropped_full > 0);
    assert_int_equal(fcntl(f->write_end, F_GETFL) & O_NONBLOCK, 0);
    for (int i = 0; i < 20; i++) {
        (void)arrived(f);
        log_flush(&f->log);
    }
    assert_int_equal(f->sink.lines.len, 0);
    *state = f;
    down(state);
}

static void at_the_end_a_slow_reader_is_waited_for_but_not_for_ever(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 20000; i++)
        log_event(&f->log, LOG_INFO, EV_STARTED);
    assert_true(f->sink.lines.len > 100000);
    log_close(&f->log, 1); /* nobody reads */
    assert_true(count(arrived(f), "\n") > 100);
    log_sink_open(&f->sink, f->write_end, on_wake, f);
}

/* --- limits --- */

static void refuse_many(struct fixture *f, int n)
{
    for (int i = 0; i < n; i++)
        log_event(&f->log, LOG_WARN, EV_PROVIDER_PROTOCOL, KV_INT("i", i));
}

static void an_event_of_strangers_is_limited_and_its_rest_is_counted(void **state)
{
    struct fixture *f = *state;
    const char *text;

    refuse_many(f, 1000);
    text = arrived(f);
    assert_int_equal(count(text, "event=provider_protocol"), 50);
    assert_int_equal(f->sink.dropped_rate, 950);
    assert_int_equal(f->last_delay_ms, LOG_SINK_SUMMARY_MS);
    log_flush(&f->log);
    assert_string_equal(arrived(f), ""); /* not yet */
    f->now_us += LOG_SINK_SUMMARY_MS * 1000LL;
    log_flush(&f->log);
    text = arrived(f);
    assert_int_equal(count(text, "event=log_suppressed of=provider_protocol lines=950\n"), 1);
    f->now_us += LOG_SINK_SUMMARY_MS * 1000LL;
    log_flush(&f->log);
    assert_string_equal(arrived(f), "");
}

static void a_limit_recovers_at_its_rate(void **state)
{
    struct fixture *f = *state;

    refuse_many(f, 1000);
    (void)arrived(f);
    f->now_us += 1000000; /* 10 a second */
    refuse_many(f, 1000);
    assert_int_equal(count(arrived(f), "event=provider_protocol"), 10);
    f->now_us += 3600 * 1000000LL;
    refuse_many(f, 1000);
    assert_int_equal(count(arrived(f), "event=provider_protocol"), 50);
}

static void one_events_flood_leaves_the_others_alone(void **state)
{
    struct fixture *f = *state;

    refuse_many(f, 1000);
    (void)arrived(f);
    log_event(&f->log, LOG_WARN, EV_MODELS_FULL);
    for (int i = 0; i < 1000; i++)
        log_event(&f->log, LOG_INFO, EV_REQUEST_DONE); /* one a request, however many */
    log_flush(&f->log);
    assert_int_equal(count(arrived(f), "event=models_full"), 1);
    assert_int_equal(count(f->text, "event=request_done"), 1000);
}

static void what_was_suppressed_is_said_at_the_end_too(void **state)
{
    struct fixture *f = *state;

    refuse_many(f, 60);
    (void)arrived(f);
    log_close(&f->log, 1);
    assert_int_equal(count(arrived(f), "event=log_suppressed of=provider_protocol lines=10\n"), 1);
    log_sink_open(&f->sink, f->write_end, on_wake, f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_leave_together_at_the_flush),
        TEST(a_warning_is_tried_at_once_behind_what_waits),
        TEST(a_pipe_that_nobody_reads_blocks_nothing),
        TEST(what_was_lost_is_said_once_there_is_room),
        TEST(lines_that_were_kept_are_whole_and_in_order),
        TEST(a_full_backlog_has_room_for_an_error),
        TEST(the_descriptor_itself_stays_blocking_for_others),
        TEST(a_reader_that_is_gone_costs_nothing),
        cmocka_unit_test(a_socket_that_nobody_reads_blocks_nothing_either),
        TEST(at_the_end_a_slow_reader_is_waited_for_but_not_for_ever),
        TEST(an_event_of_strangers_is_limited_and_its_rest_is_counted),
        TEST(a_limit_recovers_at_its_rate),
        TEST(one_events_flood_leaves_the_others_alone),
        TEST(what_was_suppressed_is_said_at_the_end_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
