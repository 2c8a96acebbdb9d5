/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SECOND_US = 1000000, MS_US = 1000, NAME_BYTES = 40 };

enum log_sink_kind {
    LOG_SINK_FILE,   /* never says "later" */
    LOG_SINK_SOCKET, /* journald's: asked not to block with each send */
    LOG_SINK_PIPE,   /* opened anew, non-blocking */
    LOG_SINK_POLLED  /* could not be opened anew: looked at before each write */
};

static const struct {
    int per_s, burst; /* 0: no limit */
} log_sink_rates[] = {
#define LOG_EVENT(name, per_s, burst, help) [EV_##name] = {per_s, burst},
#include "base/log_events.def"
#undef LOG_EVENT
};

/* --- life --- */

static enum log_sink_kind log_sink_kind_of(int fd, int *ret_fd)
{
    struct stat st;
    char name[NAME_BYTES];

    *ret_fd = fd;
    if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode))
        return LOG_SINK_FILE;
    if (S_ISSOCK(st.st_mode))
        return LOG_SINK_SOCKET;
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    fd = open(name, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return LOG_SINK_POLLED;
    *ret_fd = fd;
    return LOG_SINK_PIPE;
}

void log_sink_open(struct log_sink *s, int fd, void (*wake)(void *ud, int64_t delay_ms), void *ud)
{
    *s = (struct log_sink){.wake = wake, .ud = ud};
    s->kind = log_sink_kind_of(fd, &s->fd);
    s->own_fd = s->fd != fd;
    buf_init(&s->lines, LOG_SINK_BYTES);
}

static int64_t log_sink_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void log_sink_close(struct log_sink *s, int wait_ms)
{
    int64_t end_ms = log_sink_now_ms() + wait_ms;
    int64_t left_ms = wait_ms;

    log_sink_flush(s);
    while (s->lines.len > 0 && left_ms > 0) {
        struct pollfd p = {.fd = s->fd, .events = POLLOUT};

        (void)poll(&p, 1, (int)left_ms);
        log_sink_flush(s);
        left_ms = end_ms - log_sink_now_ms();
    }
    buf_free(&s->lines);
    if (s->own_fd)
        close(s->fd);
}

/* --- limits --- */

/* A line is due 1 / per_s after the one before; up to `burst` of them may come early. */
bool log_sink_admit(struct log_sink *s, enum log_event event, int64_t now_us)
{
    int per_s = log_sink_rates[event].per_s, burst = log_sink_rates[event].burst;
    struct log_sink_limit *l = &s->limits[event];
    int64_t gap_us;

    if (per_s == 0)
        return true;
    gap_us = SECOND_US / per_s;
    if (l->free_us < now_us)
        l->free_us = now_us;
    if (l->free_us - now_us <= (burst - 1) * gap_us) {
        l->free_us += gap_us;
        return true;
    }
    s->dropped_rate++;
    if (l->suppressed++ == 0) {
        l->summary_us = now_us + LOG_SINK_SUMMARY_MS * MS_US;
        if (s->n_suppressing++ == 0)
            s->wake(s->ud, LOG_SINK_SUMMARY_MS);
    }
    return false;
}

uint64_t log_sink_suppressed(struct log_sink *s, enum log_event event, int64_t now_us)
{
    struct log_sink_limit *l = &s->limits[event];
    uint64_t n = l->suppressed;

    if (n == 0 || now_us < l->summary_us)
        return 0;
    l->suppressed = 0;
    s->n_suppressing--;
    return n;
}

/* --- the backlog --- */

void log_sink_put(struct log_sink *s, enum log_level level, struct str line)
{
    size_t reserve = level >= LOG_WARN ? 0 : LOG_SINK_RESERVE;

    if (s->lines.len + line.n > LOG_SINK_BYTES - reserve || buf_append_str(&s->lines, line) < 0) {
        s->dropped_full++;
        s->untold++;
        return;
    }
    if (s->lines.len == line.n && !s->blocked)
        s->wake(s->ud, 0);
}

/* A pipe takes up to PIPE_BUF bytes whole or not at all: lines of several writers do not mix. */
static size_t log_sink_piece(const struct log_sink *s, struct str waiting)
{
    const char *end;

    if ((s->kind != LOG_SINK_PIPE && s->kind != LOG_SINK_POLLED) || waiting.n <= PIPE_BUF)
        return waiting.n;
    end = memrchr(waiting.p, '\n', PIPE_BUF);
    return end ? (size_t)(end - waiting.p) + 1 : PIPE_BUF;
}

static ssize_t log_sink_write(const struct log_sink *s, struct str waiting)
{
    size_t n = log_sink_piece(s, waiting);
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};

    if (s->kind == LOG_SINK_SOCKET)
        return send(s->fd, waiting.p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (s->kind == LOG_SINK_POLLED && poll(&p, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(s->fd, waiting.p, n);
}

void log_sink_flush(struct log_sink *s)
{
    s->blocked = false;
    while (s->lines.len > 0) {
        ssize_t n = log_sink_write(s, buf_view(&s->lines));

        if (n > 0) {
            buf_consume(&s->lines, (size_t)n);
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            s->blocked = true;
            s->wake(s->ud, LOG_SINK_RETRY_MS);
            return;
        } else { /* the reader is gone, the disk is full: nothing is owed to anybody */
            s->dropped_full++;
            buf_clear(&s->lines);
        }
    }
}
