/* SPDX-License-Identifier: Apache-2.0 */
/* Settings read again while the program runs: all that may change, at once, or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/reload.h"

enum { REGION_BYTES = 8 << 20, LOG_BYTES = 1 << 16 };

struct fixture {
    char path[64];
    char *argv[2];
    struct cfg_source src;
    struct arena region;
    struct settings loaded, used;
    struct reload reload;
    struct log log;
    const struct settings *now;
    char said[LOG_BYTES];
};

static void write_file(const struct fixture *x, const char *text)
{
    FILE *f = fopen(x->path, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

#define START                                                      \
    "[server]\nport = 1234\ncors_origin = \"https://a.example\"\n" \
    "[routing]\nqueue_wait_ms = 100\n[limits]\nrate_per_s = 5.0\n" \
    "[[model]]\nid = \"one\"\ninput_price_micro_usd = 1\n"

static int up(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);
    int fd;

    assert_non_null(x);
    snprintf(x->path, sizeof x->path, "/tmp/darkbloom-reload-XXXXXX");
    fd = mkstemp(x->path);
    assert_true(fd >= 0);
    close(fd);
    write_file(x, START);
    x->src = (struct cfg_source){.table = &settings_table, .argc = 1, .argv = x->argv};
    arena_init(&x->region, REGION_BYTES);
    assert_int_equal(reload_read(&x->src, str_from(x->path), &x->region, &x->loaded, NULL), 0);
    x->used = x->loaded;
    x->used.max_connections = 10; /* as the system's limit made it */
    reload_init(&x->reload, &x->src, str_from(x->path), &x->loaded, &x->used);
    x->log = (struct log){.fd = memfd_create("log", MFD_CLOEXEC), .clock = clock_system()};
    *state = x;
    return 0;
}

static int down(void **state)
{
    struct fixture *x = *state;

    reload_free(&x->reload);
    arena_free(&x->region);
    close(x->log.fd);
    unlink(x->path);
    free(x);
    return 0;
}

static int again(struct fixture *x, const char *text)
{
    write_file(x, text);
    assert_int_equal(ftruncate(x->log.fd, 0), 0);
    assert_int_equal(lseek(x->log.fd, 0, SEEK_SET), 0);
    return reload_again(&x->reload, &x->log, &x->now);
}

/* Whether the log of the last reload says it. */
static bool said(struct fixture *x, const char *words)
{
    ssize_t n = pread(x->log.fd, x->said, sizeof x->said - 1, 0);

    assert_true(n >= 0);
    x->said[n] = 0;
    return strstr(x->said, words) != NULL;
}

static void what_may_change_is_taken_and_named(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(again(x, "[server]\nport = 1234\ncors_origin = \"https://b.example\"\n"
                              "[routing]\nqueue_wait_ms = 200\n[limits]\nrate_per_s = 5.0\n"
                              "[[model]]\nid = \"one\"\ninput_price_micro_usd = 7\n"
                              "[[model]]\nid = \"two\"\n"),
                     0);
    assert_true(str_is(x->now->cors_origin, "https://b.example"));
    assert_int_equal(x->now->queue_wait_ms, 200);
    assert_int_equal(x->now->n_models, 2);
    assert_int_equal(x->now->models[0].input_price_micro_usd, 7);
    assert_true(said(x, "event=setting_changed setting=server.cors_origin"));
    assert_true(said(x, "event=setting_changed setting=routing.queue_wait_ms"));
    assert_true(said(x, "event=setting_changed setting=model"));
    assert_false(said(x, "rate_per_s"));
    assert_false(said(x, "config_warning"));
}

static void what_needs_a_restart_stays_and_is_named(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(again(x, "[server]\nport = 4321\n[store]\npath = \"other.db\"\n"), 0);
    assert_int_equal(x->now->port, 1234);
    assert_true(str_is(x->now->store_path, "darkbloom.db"));
    assert_true(said(x, "event=config_warning setting=server.port"));
    assert_true(said(x, "event=config_warning setting=store.path"));
    assert_true(said(x, "next start"));
}

/* Else each reload would warn of a limit that nobody changed. */
static void a_limit_that_the_system_lowered_is_no_change(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(again(x, START), 0);
    assert_int_equal(x->now->max_connections, 10);
    assert_false(said(x, "event="));
}

static void one_bad_value_refuses_all_by_its_name(void **state)
{
    static const struct {
        const char *text, *named;
    } cases[] = {
        {"[routing]\nqueue_wait_ms = -1\nqueue_max = 5\n", "routing.queue_wait_ms"},
        {"[routing]\nqueue_wait_ms = \"x\"\n", "routing.queue_wait_ms"},
        {"[routing]\nqueue_weight = 3\n", "routing.queue_weight"},
        {"[server]\ncors_origin = \"a b\"\n", "server.cors_origin"},
        {"[[model]]\nid = \"\"\n", "[[model]]"},
        {"[routing\n", "TOML"},
    };
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        x->now = NULL;
        assert_true(again(x, cases[i].text) < 0);
        assert_null(x->now);
        if (!said(x, "level=error event=reload_refused") || !said(x, cases[i].named))
            fail_msg("%s: %s", cases[i].named, x->said);
    }
}

static void a_file_that_is_gone_refuses_too(void **state)
{
    struct fixture *x = *state;

    unlink(x->path);
    assert_true(reload_again(&x->reload, &x->log, &x->now) < 0);
    assert_true(said(x, x->path));
}

/* Who is in the middle of something may hold a string of the settings before. */
static void the_settings_before_stay_readable_until_the_reload_after(void **state)
{
    struct fixture *x = *state;
    struct str origin;

    assert_int_equal(again(x, "[server]\ncors_origin = \"https://b.example\"\n"), 0);
    origin = x->now->cors_origin;
    assert_int_equal(again(x, "[server]\ncors_origin = \"https://c.example\"\n"), 0);
    assert_true(str_is(origin, "https://b.example")); /* ASan would say otherwise */
    assert_true(said(x, "setting=server.cors_origin"));
    assert_int_equal(again(x, START), 0);
    assert_true(str_is(x->now->cors_origin, "https://a.example"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_may_change_is_taken_and_named),
        TEST(what_needs_a_restart_stays_and_is_named),
        TEST(a_limit_that_the_system_lowered_is_no_change),
        TEST(one_bad_value_refuses_all_by_its_name),
        TEST(a_file_that_is_gone_refuses_too),
        TEST(the_settings_before_stay_readable_until_the_reload_after),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
