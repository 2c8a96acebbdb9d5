/* SPDX-License-Identifier: Apache-2.0 */
/* Where the lines of a program go that may not wait for whoever reads them: a bounded backlog in
 * front of a descriptor that is written without blocking, and a limit on each event's lines.
 *
 * If the reader stops, lines wait in the backlog; when that is full they are dropped and counted,
 * and one line says how many once there is room again. Of an event whose row in log_events.def has
 * a limit, lines beyond it are suppressed and counted, and one line every 10 s says how many.
 *
 * One thread: a sink belongs to one loop. A regular file is written as it is: only its disk can
 * hold that up. */
#ifndef DARKBLOOM_BASE_LOG_SINK_H
#define DARKBLOOM_BASE_LOG_SINK_H

#include "base/buf.h"
#include "base/log.h"

enum {
    LOG_SINK_BYTES = 256 << 10,  /* of waiting lines */
    LOG_SINK_RESERVE = 32 << 10, /* of these for warnings and errors only */
    LOG_SINK_RETRY_MS = 50,      /* when the descriptor took nothing */
    LOG_SINK_SUMMARY_MS = 10000  /* between two counts of an event's suppressed lines */
};

struct log_sink_limit {
    int64_t free_us;     /* mono: when a line of this event costs nothing again */
    int64_t summary_us;  /* mono: when to say how many were suppressed; 0: none were */
    uint64_t suppressed; /* since the last time that was said */
};

struct log_sink {
    int fd;
    int kind; /* enum in log_sink.c: what the descriptor is */
    bool own_fd;
    struct buf lines;
    bool blocked; /* the descriptor took nothing: wake was called for another try */
    /* Call log_flush in `delay_ms` (0: at the end of this turn). Calls while one is due may be
     * answered by that one, if it is not later. */
    void (*wake)(void *ud, int64_t delay_ms);
    void *ud;
    struct log_sink_limit limits[EV_COUNT];
    size_t n_suppressing;                /* events with suppressed lines that were not told of */
    uint64_t untold;                     /* lines dropped since the last time that was said */
    uint64_t dropped_full, dropped_rate; /* ever: for metrics */
};

/* Lines go to `fd`. Where it is a pipe or a terminal it is opened anew, so that other users of it
 * are not made non-blocking. Allocates nothing yet. */
void log_sink_open(struct log_sink *s, int fd, void (*wake)(void *ud, int64_t delay_ms), void *ud);
/* Write what waits, for at most `wait_ms` if nobody reads it. For log_close. */
void log_sink_close(struct log_sink *s, int wait_ms);

/* For log.c. Whether a line of this event may be written now. */
bool log_sink_admit(struct log_sink *s, enum log_event event, int64_t now_us);
/* Keep a line until the next flush; dropped and counted where there is no room. */
void log_sink_put(struct log_sink *s, enum log_level level, struct str line);
/* Write what the descriptor takes. */
void log_sink_flush(struct log_sink *s);
/* How many lines were suppressed, if it is time to say so; the count begins anew. 0: nothing to
 * say. */
uint64_t log_sink_suppressed(struct log_sink *s, enum log_event event, int64_t now_us);

#endif
