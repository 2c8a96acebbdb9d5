/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator as a process: what its signals do. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/coordinator/fake_process.h"

enum { ANSWER_BYTES = 1 << 18 };

static void assert_answers(uint16_t port, const char *path, const char *words)
{
    static char answer[ANSWER_BYTES];

    fake_process_get(fake_process_connect(port), path, answer, sizeof answer);
    if (!strstr(answer, words))
        fail_msg("%s answered %s", path, answer);
}

static void sighup_reads_the_settings_again(void **state)
{
    struct fake_process p;

    (void)state;
    fake_process_prepare(&p, "server.cors_origin = \"https://a.example\"");
    fake_process_start(&p);
    assert_answers(p.port, "/health", "Access-Control-Allow-Origin: https://a.example\r\n");
    fake_process_write_settings(&p, "server.cors_origin = \"https://b.example\"");
    fake_process_signal(&p, SIGHUP);
    fake_process_wait_for(&p, "event=reloaded");
    assert_answers(p.port, "/health", "Access-Control-Allow-Origin: https://b.example\r\n");
    assert_answers(p.metrics_port, "/metrics",
                   "\ndarkbloom_settings_reloads_total{result=\"applied\"} 1\n");
    fake_process_write_settings(&p, "server.cors_origin = 7");
    fake_process_signal(&p, SIGHUP);
    fake_process_wait_for(&p, "event=reload_refused");
    assert_non_null(strstr(p.said, "server.cors_origin"));
    assert_answers(p.port, "/health", "Access-Control-Allow-Origin: https://b.example\r\n");
    fake_process_signal(&p, SIGTERM);
    assert_int_equal(fake_process_end(&p), 0);
    fake_process_free(&p);
}

static void the_log_level_is_one_of_them(void **state)
{
    struct fake_process p;

    (void)state;
    fake_process_prepare(&p, "");
    fake_process_start(&p);
    fake_process_write_settings(&p, "log.level = \"error\"");
    fake_process_signal(&p, SIGHUP);
    fake_process_wait_for(&p, "setting=log.level");
    fake_process_signal(&p, SIGTERM);
    assert_int_equal(fake_process_end(&p), 0);
    assert_null(strstr(p.said, "event=stopping")); /* an info */
    fake_process_free(&p);
}

static void sigterm_ends_it_well(void **state)
{
    struct fake_process p;

    (void)state;
    fake_process_prepare(&p, "");
    fake_process_start(&p);
    assert_answers(p.port, "/ready", "{\"status\":\"ready\"}");
    fake_process_signal(&p, SIGTERM);
    assert_int_equal(fake_process_end(&p), 0);
    assert_non_null(strstr(p.said, "event=stopping signal=15"));
    fake_process_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sighup_reads_the_settings_again),
        cmocka_unit_test(the_log_level_is_one_of_them),
        cmocka_unit_test(sigterm_ends_it_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
