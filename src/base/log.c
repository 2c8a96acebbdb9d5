/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

enum { LINE_BYTES = 4096, VALUE_MAX_BYTES = 256 };

const char *const log_level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};

static const char *const event_names[] = {
#define LOG_EVENT(name, help) [EV_##name] = #name,
#include "base/log_events.def"
#undef LOG_EVENT
};

struct line {
    char text[LINE_BYTES];
    size_t n;
};

static void put(struct line *l, char c)
{
    if (l->n < sizeof l->text - 1) /* the last byte is for the newline */
        l->text[l->n++] = c;
}

static void put_text(struct line *l, const char *s)
{
    while (*s)
        put(l, *s++);
}

static bool plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 127 || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\')
            return false;
    }
    return s.n > 0;
}

/* Quoted with escapes; bytes outside printable ASCII as \xHH, so that a line stays a line. */
static void put_quoted(struct line *l, struct str s)
{
    static const char hex[] = "0123456789abcdef";

    put(l, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\') {
            put(l, '\\');
            put(l, (char)c);
        } else if (c >= ' ' && c < 127) {
            put(l, (char)c);
        } else {
            put(l, '\\');
            put(l, 'x');
            put(l, hex[c >> 4]);
            put(l, hex[c & 15]);
        }
    }
    put(l, '"');
}

static void put_kv(struct line *l, const struct log_kv *kv)
{
    put(l, ' ');
    put_text(l, kv->key);
    put(l, '=');
    if (kv->kind == LOG_KV_INT) {
        char number[24];

        snprintf(number, sizeof number, "%lld", (long long)kv->i);
        put_text(l, number);
    } else {
        struct str s = kv->s;

        if (s.n > VALUE_MAX_BYTES)
            s.n = VALUE_MAX_BYTES;
        if (plain(s))
            for (size_t i = 0; i < s.n; i++)
                put(l, s.p[i]);
        else
            put_quoted(l, s);
    }
}

static void put_event(struct line *l, enum log_event event)
{
    for (const char *s = event_names[event]; *s; s++)
        put(l, (char)(*s >= 'A' && *s <= 'Z' ? *s + ('a' - 'A') : *s));
}

static void put_time(struct line *l, int64_t wall_us)
{
    char text[CLOCK_RFC3339_BYTES];
    char ms[8];

    clock_rfc3339(wall_us, text);
    text[CLOCK_RFC3339_BYTES - 2] = 0; /* the Z goes behind the milliseconds */
    snprintf(ms, sizeof ms, ".%03dZ", (int)(wall_us / 1000 % 1000));
    put_text(l, text);
    put_text(l, ms);
}

static void write_all(int fd, struct str text)
{
    /* A log that cannot be written must not stop the program. */
    ssize_t written = write(fd, text.p, text.n);

    (void)written;
}

void log_flush(const struct log *lg)
{
    if (!lg->backlog || lg->backlog->lines.len == 0)
        return;
    write_all(lg->fd, buf_view(&lg->backlog->lines));
    buf_clear(&lg->backlog->lines);
}

/* Keep a line for later; false: it has to be written now. */
static bool keep(const struct log *lg, enum log_level level, struct str line)
{
    struct log_backlog *b = lg->backlog;
    bool first = b && b->lines.len == 0;

    if (!b || level >= LOG_WARN || buf_append_str(&b->lines, line) < 0)
        return false;
    if (first)
        b->on_first(b->ud);
    return true;
}

void log_write(const struct log *lg, enum log_level level, enum log_event event,
               const struct log_kv *kvs)
{
    struct line l;

    if (lg->fd < 0 || level < lg->level)
        return;
    l.n = 0;
    put_text(&l, "ts=");
    put_time(&l, clock_wall_us(&lg->clock));
    put_text(&l, " level=");
    put_text(&l, log_level_names[level]);
    put_text(&l, " event=");
    put_event(&l, event);
    for (; kvs->key; kvs++)
        put_kv(&l, kvs);
    l.text[l.n++] = '\n';
    if (keep(lg, level, (struct str){l.text, l.n}))
        return;
    log_flush(lg);
    write_all(lg->fd, (struct str){l.text, l.n});
}
