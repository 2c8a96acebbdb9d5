/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in logfmt, one line an event, to a file descriptor. Only programs log. The event's name
 * is stable and comes from the table in log_events.def, so that logs can be searched; the
 * reference (`make docs`) comes from there too. Prompts, completions and keys never reach a log:
 * there is no field kind that takes unbounded text from a consumer. */
#ifndef DARKBLOOM_BASE_LOG_H
#define DARKBLOOM_BASE_LOG_H

#include "base/clock.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
extern const char *const log_level_names[]; /* "debug", …, NULL: by level */

enum log_event {
#define LOG_EVENT(name, per_s, burst, help) EV_##name,
#include "base/log_events.def"
#undef LOG_EVENT
    EV_COUNT
};

struct log_sink;

struct log {
    int fd;               /* where lines go; -1 writes nothing */
    enum log_level level; /* lines below this are dropped */
    struct clock clock;
    /* NULL: each line is written at once, however long that takes. Otherwise one thread only; lines
     * wait to leave together, warnings and errors are tried at once, and nothing blocks. */
    struct log_sink *sink;
};

struct log_kv {
    const char *key; /* NULL ends the list */
    enum { LOG_KV_STR, LOG_KV_INT } kind;
    struct str s;
    int64_t i;
};

#define KV_STR(k, v)  ((struct log_kv){.key = (k), .kind = LOG_KV_STR, .s = (v)})
#define KV_CSTR(k, v) ((struct log_kv){.key = (k), .kind = LOG_KV_STR, .s = str_from(v)})
#define KV_INT(k, v)  ((struct log_kv){.key = (k), .kind = LOG_KV_INT, .i = (int64_t)(v)})

/* log_event(&log, LOG_INFO, EV_PROVIDER_REGISTERED, KV_CSTR("provider", id), KV_INT("models", 3));
 * String values are cut at 256 bytes and quoted where logfmt needs it; control characters are
 * escaped, so a line stays a line. Thread-safe without a sink (one write(2) a line). */
#define log_event(lg, lv, ev, ...) \
    log_write((lg), (lv), (ev), (const struct log_kv[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})

void log_write(const struct log *lg, enum log_level level, enum log_event event,
               const struct log_kv *kvs);

/* Write what waits in the sink, if there is one, and say what was suppressed or dropped. Its `wake`
 * asks for this. */
void log_flush(const struct log *lg);

/* The same at the end: what was suppressed is said now, and the sink is closed, after
 * waiting for its reader for `wait_ms` at most. Nothing may be logged to it afterwards. */
void log_close(const struct log *lg, int wait_ms);

/* An event's name as lines spell it, in lower case, NUL-terminated. */
#define LOG_EVENT_NAME_BYTES 40
void log_event_name(enum log_event event, char ret_name[static LOG_EVENT_NAME_BYTES]);

#endif
