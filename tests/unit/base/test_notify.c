/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager hears. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/notify.h"

static const char *fake_socket, *fake_watchdog, *fake_pid;

static const char *look_up(const char *name)
{
    return strcmp(name, "NOTIFY_SOCKET") == 0   ? fake_socket
           : strcmp(name, "WATCHDOG_USEC") == 0 ? fake_watchdog
           : strcmp(name, "WATCHDOG_PID") == 0  ? fake_pid
                                                : NULL;
}

/* A manager's socket at `name`, as NOTIFY_SOCKET spells it. */
static int listen_at(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    size_t n = strlen(name);

    memcpy(at.sun_path, name, n);
    if (name[0] == '@')
        at.sun_path[0] = 0;
    assert_int_equal(
        bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
        0);
    fake_socket = name;
    return fd;
}

static const char *heard(int fd)
{
    static char text[600];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = 0;
    return text;
}

static void assert_all_messages(int fd)
{
    struct notify n;
    const char *text;

    notify_open(&n, look_up);
    assert_true(n.fd >= 0);
    notify_ready(&n, "it works");
    assert_string_equal(heard(fd), "READY=1\nSTATUS=it works\n");
    notify_reloading(&n);
    text = heard(fd);
    assert_memory_equal(text, "RELOADING=1\nMONOTONIC_USEC=", 27);
    assert_true(strtoll(text + 27, NULL, 10) > 0);
    notify_status(&n, "%d requests", 3);
    assert_string_equal(heard(fd), "STATUS=3 requests\n");
    notify_watchdog(&n);
    assert_string_equal(heard(fd), "WATCHDOG=1\n");
    notify_stopping(&n, "bye");
    assert_string_equal(heard(fd), "STOPPING=1\nSTATUS=bye\n");
    notify_close(&n);
    close(fd);
}

static void a_socket_at_a_path_hears_everything(void **state)
{
    char dir[] = "/tmp/darkbloom-notify-XXXXXX";
    char path[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    assert_all_messages(listen_at(path));
    unlink(path);
    rmdir(dir);
}

static void an_abstract_socket_hears_everything_too(void **state)
{
    char name[64];

    (void)state;
    snprintf(name, sizeof name, "@darkbloom-notify-%d", (int)getpid());
    assert_all_messages(listen_at(name));
}

static void without_a_manager_nothing_is_sent(void **state)
{
    static const char *const names[] = {NULL, "", "@", "relative", "vsock:2:1"};
    struct notify n;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        fake_socket = names[i];
        notify_open(&n, look_up);
        assert_int_equal(n.fd, -1);
        notify_ready(&n, "nobody hears it");
        notify_close(&n);
    }
}

static void a_manager_that_does_not_listen_holds_nothing_up(void **state)
{
    char name[64];
    struct notify n;
    int fd;

    (void)state;
    snprintf(name, sizeof name, "@darkbloom-notify-deaf-%d", (int)getpid());
    fd = listen_at(name);
    notify_open(&n, look_up);
    for (int i = 0; i < 10000; i++) /* more than its socket holds */
        notify_watchdog(&n);
    close(fd);
    notify_watchdog(&n);
    notify_close(&n);
}

static void the_watchdog_is_asked_for_this_process_only(void **state)
{
    char name[64], pid[16];
    struct notify n;
    int fd;

    (void)state;
    snprintf(name, sizeof name, "@darkbloom-notify-dog-%d", (int)getpid());
    fd = listen_at(name);
    fake_watchdog = "30000000";
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    fake_pid = pid;
    notify_open(&n, look_up);
    assert_int_equal(n.watchdog_us, 30000000);
    notify_close(&n);
    fake_pid = "1";
    notify_open(&n, look_up);
    assert_int_equal(n.watchdog_us, 0);
    notify_close(&n);
    fake_pid = NULL;
    fake_watchdog = "-5";
    notify_open(&n, look_up);
    assert_int_equal(n.watchdog_us, 0);
    notify_close(&n);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_at_a_path_hears_everything),
        cmocka_unit_test(an_abstract_socket_hears_everything_too),
        cmocka_unit_test(without_a_manager_nothing_is_sent),
        cmocka_unit_test(a_manager_that_does_not_listen_holds_nothing_up),
        cmocka_unit_test(the_watchdog_is_asked_for_this_process_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
