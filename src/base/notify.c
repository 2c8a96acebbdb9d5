/* SPDX-License-Identifier: Apache-2.0 */
#include "base/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

enum { MESSAGE_BYTES = 512, STATUS_BYTES = 256 };

/* A path, or '@' and a name in the abstract namespace, whose length counts (unix(7)). */
static bool notify_address(struct notify *n, const char *name)
{
    size_t len = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof n->to.sun_path)
        return false;
    n->to = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(n->to.sun_path, name, len);
    n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/'));
    if (name[0] == '@')
        n->to.sun_path[0] = 0;
    return true;
}

/* Another process may be the one that is watched: WATCHDOG_PID names it. */
static int64_t notify_watchdog_of(const char *(*env)(const char *name))
{
    const char *usec = env("WATCHDOG_USEC"), *pid = env("WATCHDOG_PID");
    int64_t us, watched;

    if (!usec || str_to_i64(str_from(usec), &us) < 0 || us <= 0)
        return 0;
    if (pid && (str_to_i64(str_from(pid), &watched) < 0 || watched != getpid()))
        return 0;
    return us;
}

void notify_open(struct notify *n, const char *(*env)(const char *name))
{
    const char *name = env("NOTIFY_SOCKET");

    *n = (struct notify){.fd = -1};
    if (!name || !notify_address(n, name))
        return;
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    n->watchdog_us = n->fd >= 0 ? notify_watchdog_of(env) : 0;
}

void notify_close(struct notify *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

__attribute__((format(printf, 2, 3))) static void notify_send(const struct notify *n,
                                                              const char *fmt, ...)
{
    char text[MESSAGE_BYTES];
    va_list ap;
    int len;
    ssize_t sent;

    if (n->fd < 0)
        return;
    va_start(ap, fmt);
    len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (len <= 0 || len >= MESSAGE_BYTES)
        return;
    sent =
        sendto(n->fd, text, (size_t)len, MSG_NOSIGNAL, (const struct sockaddr *)&n->to, n->to_len);
    (void)sent; /* a manager that does not listen misses it */
}

void notify_ready(const struct notify *n, const char *status)
{
    notify_send(n, "READY=1\nSTATUS=%s\n", status);
}

void notify_reloading(const struct notify *n)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    notify_send(n, "RELOADING=1\nMONOTONIC_USEC=%lld\n",
                (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
}

void notify_stopping(const struct notify *n, const char *status)
{
    notify_send(n, "STOPPING=1\nSTATUS=%s\n", status);
}

void notify_status(const struct notify *n, const char *fmt, ...)
{
    char status[STATUS_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(status, sizeof status, fmt, ap);
    va_end(ap);
    notify_send(n, "STATUS=%s\n", status);
}

void notify_watchdog(const struct notify *n)
{
    notify_send(n, "WATCHDOG=1\n");
}
