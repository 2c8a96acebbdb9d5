/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as they leave: escaped, bounded, one line an event whatever a value holds. */
#include <stdio.h>
#include <unistd.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"

static int64_t fixed_wall_us(void *ud)
{
    (void)ud;
    return 1795467067042999; /* 2026-11-23T20:51:07.042999Z */
}

/* A log whose lines wait in a pipe. */
struct fixture {
    struct log log;
    int read_end;
    char text[8192];
};

static int setup(void **state)
{
    static struct fixture f;
    int ends[2];

    if (pipe(ends) < 0)
        return -1;
    f = (struct fixture){.read_end = ends[0],
                         .log = {.fd = ends[1],
                                 .level = LOG_INFO,
                                 .clock = {.mono_us = fixed_wall_us, .wall_us = fixed_wall_us}}};
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    close(f->read_end);
    return f->log.fd >= 0 ? close(f->log.fd) : 0;
}

/* What was written so far; the log is over. */
static const char *written(struct fixture *f)
{
    ssize_t n;

    close(f->log.fd);
    f->log.fd = -1;
    n = read(f->read_end, f->text, sizeof f->text - 1);
    assert_true(n >= 0);
    f->text[n] = 0;
    return f->text;
}

static void a_line_has_time_level_event_and_its_fields(void **state)
{
    struct fixture *f = *state;

    log_event(&f->log, LOG_WARN, EV_PROVIDER_TRUST, KV_CSTR("provider", "p-1"), KV_INT("level", -2),
              KV_INT("max", INT64_MIN));
    log_event(&f->log, LOG_INFO, EV_STOPPING);
    assert_string_equal(written(f),
                        "ts=2026-11-23T20:51:07.042Z level=warn event=provider_trust provider=p-1 "
                        "level=-2 max=-9223372036854775808\n"
                        "ts=2026-11-23T20:51:07.042Z level=info event=stopping\n");
}

static void lines_below_the_level_are_dropped(void **state)
{
    static const enum log_level levels[] = {LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR};
    struct fixture *f = *state;
    size_t lines = 0;

    for (size_t at = 0; at < 4; at++) {
        f->log.level = levels[at];
        for (size_t i = 0; i < 4; i++)
            log_event(&f->log, levels[i], EV_STARTED);
    }
    for (const char *p = written(f); (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 4 + 3 + 2 + 1);
}

static void a_log_without_a_descriptor_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct log none = f->log;

    none.fd = -1;
    log_event(&none, LOG_ERROR, EV_STORE_FAILED);
    assert_string_equal(written(f), "");
}

static void values_are_quoted_and_escaped_where_logfmt_needs_it(void **state)
{
    static const struct {
        struct str value;
        const char *shown;
    } cases[] = {
        {STR("plain-value/1.0"), "k=plain-value/1.0\n"},
        {STR(""), "k=\"\"\n"},
        {{NULL, 0}, "k=\"\"\n"},
        {STR("two words"), "k=\"two words\"\n"},
        {STR("a=b"), "k=\"a=b\"\n"},
        {STR("say \"hi\""), "k=\"say \\\"hi\\\"\"\n"},
        {STR("back\\slash"), "k=\"back\\\\slash\"\n"},
        {STR("\\\""), "k=\"\\\\\\\"\"\n"},
        {STR("a\nts=2026 level=error"), "k=\"a\\x0ats=2026 level=error\"\n"},
        {STR("a\r\n\t\0\x1b[2J"), "k=\"a\\x0d\\x0a\\x09\\x00\\x1b[2J\"\n"},
        {STR("\x7f"), "k=\"\\x7f\"\n"},
        {STR("\xc3\xa4"), "k=\"\\xc3\\xa4\"\n"},
        {STR("\xc2\x85"), "k=\"\\xc2\\x85\"\n"}, /* a line break to some terminals */
    };
    struct fixture *f = *state;
    const char *line;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        log_event(&f->log, LOG_INFO, EV_STARTED, KV_STR("k", cases[i].value));
    line = written(f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *value = strstr(line, " k=");

        assert_non_null(value);
        assert_memory_equal(value + 1, cases[i].shown, strlen(cases[i].shown));
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "");
}

static void no_byte_of_a_value_can_begin_another_line(void **state)
{
    struct fixture *f = *state;
    const char *text;
    char every[256];

    for (int i = 0; i < 256; i++)
        every[i] = (char)i;
    log_event(&f->log, LOG_INFO, EV_STARTED, KV_STR("k", ((struct str){every, sizeof every})));
    text = written(f);
    for (const char *p = text; *p && p[1]; p++)
        assert_in_range(*p, ' ', '~');
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void a_value_is_cut_at_256_bytes(void **state)
{
    struct fixture *f = *state;
    const char *value;
    char text[1000];

    memset(text, 'v', sizeof text);
    log_event(&f->log, LOG_INFO, EV_STARTED, KV_STR("k", ((struct str){text, sizeof text})));
    value = strstr(written(f), " k=");
    assert_non_null(value);
    assert_int_equal(strspn(value + 3, "v"), 256);
    assert_string_equal(value + 3 + 256, "\n");
}

static void a_line_of_too_many_values_is_cut_and_still_ends(void **state)
{
    struct fixture *f = *state;
    struct log_kv kvs[21] = {0};
    const char *text;
    char value[256];

    memset(value, '\n', sizeof value); /* four characters each when escaped */
    for (size_t i = 0; i < 20; i++)
        kvs[i] = KV_STR("k", ((struct str){value, sizeof value}));
    log_write(&f->log, LOG_INFO, EV_STARTED, kvs);
    text = written(f);
    assert_int_equal(strlen(text), 4096);
    assert_ptr_equal(strchr(text, '\n'), text + 4095);
}

#define WITH_PIPE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PIPE(a_line_has_time_level_event_and_its_fields),
        WITH_PIPE(lines_below_the_level_are_dropped),
        WITH_PIPE(a_log_without_a_descriptor_writes_nothing),
        WITH_PIPE(values_are_quoted_and_escaped_where_logfmt_needs_it),
        WITH_PIPE(no_byte_of_a_value_can_begin_another_line),
        WITH_PIPE(a_value_is_cut_at_256_bytes),
        WITH_PIPE(a_line_of_too_many_values_is_cut_and_still_ends),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
