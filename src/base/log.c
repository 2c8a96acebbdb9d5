/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/log_sink.h"

enum { LINE_BYTES = 4096, VALUE_MAX_BYTES = 256 };

const char *const log_level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};

static const char *const log_event_names[] = {
#define LOG_EVENT(name, per_s, burst, help) [EV_##name] = #name,
#include "base/log_events.def"
#undef LOG_EVENT
};

struct line {
    char text[LINE_BYTES];
    size_t n;
};

static void log_put(struct line *l, char c)
{
    if (l->n < sizeof l->text - 1) /* the last byte is for the newline */
        l->text[l->n++] = c;
}

static void log_put_text(struct line *l, const char *s)
{
    while (*s)
        log_put(l, *s++);
}

static bool log_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 127 || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\')
            return false;
    }
    return s.n > 0;
}

/* Quoted with escapes; bytes outside printable ASCII as \xHH, so that a line stays a line. */
static void log_put_quoted(struct line *l, struct str s)
{
    static const char hex[] = "0123456789abcdef";

    log_put(l, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\') {
            log_put(l, '\\');
            log_put(l, (char)c);
        } else if (c >= ' ' && c < 127) {
            log_put(l, (char)c);
        } else {
            log_put(l, '\\');
            log_put(l, 'x');
            log_put(l, hex[c >> 4]);
            log_put(l, hex[c & 15]);
        }
    }
    log_put(l, '"');
}

static void log_put_kv(struct line *l, const struct log_kv *kv)
{
    log_put(l, ' ');
    log_put_text(l, kv->key);
    log_put(l, '=');
    if (kv->kind == LOG_KV_INT) {
        char number[24];

        snprintf(number, sizeof number, "%lld", (long long)kv->i);
        log_put_text(l, number);
    } else {
        struct str s = kv->s;

        if (s.n > VALUE_MAX_BYTES)
            s.n = VALUE_MAX_BYTES;
        if (log_plain(s))
            for (size_t i = 0; i < s.n; i++)
                log_put(l, s.p[i]);
        else
            log_put_quoted(l, s);
    }
}

void log_event_name(enum log_event event, char ret_name[static LOG_EVENT_NAME_BYTES])
{
    size_t n = 0;

    for (const char *s = log_event_names[event]; *s && n < LOG_EVENT_NAME_BYTES - 1; s++)
        ret_name[n++] = (char)(*s >= 'A' && *s <= 'Z' ? *s + ('a' - 'A') : *s);
    ret_name[n] = 0;
}

static void log_put_time(struct line *l, int64_t wall_us)
{
    char text[CLOCK_RFC3339_BYTES];
    char ms[8];

    clock_rfc3339(wall_us, text);
    text[CLOCK_RFC3339_BYTES - 2] = 0; /* the Z goes behind the milliseconds */
    snprintf(ms, sizeof ms, ".%03dZ", (int)(wall_us / 1000 % 1000));
    log_put_text(l, text);
    log_put_text(l, ms);
}

static void log_write_all(int fd, struct str text)
{
    /* A log that cannot be written must not stop the program. */
    ssize_t written = write(fd, text.p, text.n);

    (void)written;
}

static struct str log_format(const struct log *lg, enum log_level level, enum log_event event,
                             const struct log_kv *kvs, struct line *l)
{
    char name[LOG_EVENT_NAME_BYTES];

    l->n = 0;
    log_put_text(l, "ts=");
    log_put_time(l, clock_wall_us(&lg->clock));
    log_put_text(l, " level=");
    log_put_text(l, log_level_names[level]);
    log_put_text(l, " event=");
    log_event_name(event, name);
    log_put_text(l, name);
    for (; kvs->key; kvs++)
        log_put_kv(l, kvs);
    l->text[l->n++] = '\n';
    return (struct str){l->text, l->n};
}

void log_write(const struct log *lg, enum log_level level, enum log_event event,
               const struct log_kv *kvs)
{
    struct log_sink *sink = lg->sink;
    struct line l;

    if ((lg->fd < 0 && !sink) || level < lg->level)
        return;
    if (!sink) {
        log_write_all(lg->fd, log_format(lg, level, event, kvs, &l));
        return;
    }
    if (!log_sink_admit(sink, event, clock_mono_us(&lg->clock)))
        return;
    log_sink_put(sink, level, log_format(lg, level, event, kvs, &l));
    if (level >= LOG_WARN)
        log_sink_flush(sink);
}

/* --- what was not written --- */

static void log_tell_suppressed(const struct log *lg, int64_t now_us)
{
    for (int e = 0; e < EV_COUNT; e++) {
        uint64_t n = log_sink_suppressed(lg->sink, (enum log_event)e, now_us);
        char name[LOG_EVENT_NAME_BYTES];

        if (n == 0)
            continue;
        log_event_name((enum log_event)e, name);
        log_event(lg, LOG_WARN, EV_LOG_SUPPRESSED, KV_CSTR("of", name), KV_INT("lines", n));
    }
    if (lg->sink->n_suppressing > 0)
        lg->sink->wake(lg->sink->ud, LOG_SINK_SUMMARY_MS);
}

/* Only once there is room for the line itself. */
static void log_tell_dropped(const struct log *lg)
{
    uint64_t n = lg->sink->untold;

    if (n == 0 || lg->sink->lines.len > 0)
        return;
    lg->sink->untold = 0;
    log_event(lg, LOG_WARN, EV_LOG_DROPPED, KV_INT("lines", n));
}

void log_flush(const struct log *lg)
{
    if (!lg->sink)
        return;
    if (lg->sink->n_suppressing > 0)
        log_tell_suppressed(lg, clock_mono_us(&lg->clock));
    log_sink_flush(lg->sink);
    log_tell_dropped(lg);
}

void log_close(const struct log *lg, int wait_ms)
{
    if (!lg->sink)
        return;
    if (lg->sink->n_suppressing > 0)
        log_tell_suppressed(lg, INT64_MAX);
    log_flush(lg);
    log_sink_close(lg->sink, wait_ms);
}
