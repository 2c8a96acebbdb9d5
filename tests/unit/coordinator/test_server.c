/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator as a process: what its signals do. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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

/* --- draining --- */

/* A request that waits in the queue: there is no provider. */
static int wait_in_the_queue(struct fake_process *p, const char *key)
{
    static const char body[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
                               "\"content\":\"hi\"}],\"max_tokens\":1}";
    char request[600];
    int sock = fake_process_connect(p->port);

    snprintf(request, sizeof request,
             "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer %s\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             key, sizeof body - 1, body);
    fake_process_send(sock, request);
    return sock;
}

static void wait_until_one_waits(const struct fake_process *p)
{
    static char answer[ANSWER_BYTES];

    do {
        fake_process_get(fake_process_connect(p->metrics_port), "/metrics", answer, sizeof answer);
    } while (!strstr(answer, "\ndarkbloom_requests_waiting{model=\"other\"} 1\n"));
}

static const char slow_settings[] =
    "routing.queue_wait_ms = 60000\nrouting.first_content_ms = 60000\n"
    "[[model]]\nid = \"m\"\n";

static void a_second_signal_ends_it_at_once(void **state)
{
    struct fake_process p;
    char key[KEY_TEXT_BYTES];
    int sock;

    (void)state;
    fake_process_prepare(&p, slow_settings);
    fake_process_make_key(&p, key);
    fake_process_start(&p);
    sock = wait_in_the_queue(&p, key);
    wait_until_one_waits(&p);
    fake_process_signal(&p, SIGTERM);
    fake_process_wait_for(&p, "event=stopping signal=15 requests=1");
    assert_answers(p.port, "/ready", "\"code\":\"draining\"");
    fake_process_signal(&p, SIGTERM);
    assert_int_equal(fake_process_end(&p), 0);
    close(sock);
    fake_process_free(&p);
}

static void what_outlasts_the_drain_is_cut(void **state)
{
    struct fake_process p;
    char key[KEY_TEXT_BYTES], settings[300];
    int sock;

    (void)state;
    snprintf(settings, sizeof settings, "server.drain_timeout_ms = 100\n%s", slow_settings);
    fake_process_prepare(&p, settings);
    fake_process_make_key(&p, key);
    fake_process_start(&p);
    sock = wait_in_the_queue(&p, key);
    wait_until_one_waits(&p);
    fake_process_signal(&p, SIGTERM);
    assert_int_equal(fake_process_end(&p), 0);
    assert_non_null(strstr(p.said, "event=request_done"));
    close(sock);
    fake_process_free(&p);
}

/* --- the service manager --- */

/* All that was heard until these words came, one message a line. */
static void hear_until(int fd, const char *words, char *heard, size_t size)
{
    size_t n = strlen(heard);

    while (!strstr(heard, words)) {
        ssize_t got = recv(fd, heard + n, size - 1 - n, 0);

        assert_true(got > 0);
        n += (size_t)got;
        heard[n] = 0;
    }
}

static void the_service_manager_hears_of_every_change(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char name[64], heard[4096] = "";
    struct fake_process p;

    (void)state;
    snprintf(name, sizeof name, "@darkbloom-server-%d", (int)getpid());
    memcpy(at.sun_path + 1, name + 1, strlen(name) - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", "20000", 1);
    fake_process_prepare(&p, "");
    fake_process_start(&p);
    hear_until(fd, "READY=1\nSTATUS=running\n", heard, sizeof heard);
    hear_until(fd, "WATCHDOG=1\n", heard, sizeof heard);
    heard[0] = 0;
    fake_process_signal(&p, SIGHUP);
    hear_until(fd, "RELOADING=1\nMONOTONIC_USEC=", heard, sizeof heard);
    hear_until(fd, "READY=1\n", heard, sizeof heard);
    fake_process_signal(&p, SIGTERM);
    hear_until(fd, "STOPPING=1\n", heard, sizeof heard);
    assert_int_equal(fake_process_end(&p), 0);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    close(fd);
    fake_process_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sighup_reads_the_settings_again),
        cmocka_unit_test(the_log_level_is_one_of_them),
        cmocka_unit_test(sigterm_ends_it_well),
        cmocka_unit_test(a_second_signal_ends_it_at_once),
        cmocka_unit_test(what_outlasts_the_drain_is_cut),
        cmocka_unit_test(the_service_manager_hears_of_every_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
