/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager what a service does (sd_notify(3)): a datagram to the socket that
 * $NOTIFY_SOCKET names, abstract ones too. Without that variable nothing is sent. It never blocks:
 * a manager that does not listen loses the message. One thread. */
#ifndef DARKBLOOM_BASE_NOTIFY_H
#define DARKBLOOM_BASE_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    int fd; /* -1: nobody asked */
    struct sockaddr_un to;
    socklen_t to_len;
    int64_t watchdog_us; /* send notify_watchdog at least this often; 0: not asked for */
};

/* Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. An address that is none counts as unset. */
void notify_open(struct notify *n, const char *(*env)(const char *name));
void notify_close(struct notify *n);

/* READY=1 and STATUS=text: started, or done reloading. */
void notify_ready(const struct notify *n, const char *status);
/* RELOADING=1 with MONOTONIC_USEC (Type=notify-reload); notify_ready ends it. */
void notify_reloading(const struct notify *n);
/* STOPPING=1 and STATUS=text. */
void notify_stopping(const struct notify *n, const char *status);
/* STATUS=text alone. */
void notify_status(const struct notify *n, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void notify_watchdog(const struct notify *n);

#endif
