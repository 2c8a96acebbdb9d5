/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/text_out.h"

void text_out_init(struct text_out *t, const struct str *stops, size_t n_stops)
{
    *t = (struct text_out){.stops = stops, .n_stops = n_stops};
    buf_init(&t->held, TEXT_OUT_MAX_BYTES);
}

void text_out_free(struct text_out *t)
{
    buf_free(&t->held);
}

/* Cut at the earliest stop string that is whole. */
static void text_out_find_stop(struct text_out *t)
{
    struct str v = buf_view(&t->held);
    size_t first = v.n;

    for (size_t i = 0; i < t->n_stops; i++) {
        const char *at = v.n > 0 ? memmem(v.p, v.n, t->stops[i].p, t->stops[i].n) : NULL;

        if (at && (size_t)(at - v.p) < first) {
            first = (size_t)(at - v.p);
            t->stopped = true;
        }
    }
    if (t->stopped)
        t->held.len = first;
}

int text_out_add(struct text_out *t, struct str bytes)
{
    int rc = buf_append_str(&t->held, bytes);

    t->tokens++;
    if (rc == 0)
        text_out_find_stop(t);
    return rc;
}

/* Length of the sequence that a first byte announces. */
static size_t text_out_announced(unsigned char c)
{
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

/* Bytes at the end that belong to a character whose rest is still to come. */
static size_t text_out_incomplete_tail(struct str v)
{
    for (size_t back = 1; back <= 3 && back <= v.n; back++) {
        unsigned char c = (unsigned char)v.p[v.n - back];

        if (c >= 0xC0)
            return text_out_announced(c) > back ? back : 0;
        if (c < 0x80)
            return 0;
    }
    return 0;
}

/* Longest end of the text that begins some stop string. */
static size_t text_out_stop_tail(const struct text_out *t, struct str v)
{
    size_t longest = 0;

    for (size_t i = 0; i < t->n_stops; i++) {
        struct str stop = t->stops[i];
        size_t n = stop.n - 1 < v.n ? stop.n - 1 : v.n;

        for (; n > longest; n--) {
            if (memcmp(v.p + v.n - n, stop.p, n) == 0)
                longest = n;
        }
    }
    return longest;
}

/* Models can emit bytes that are no UTF-8; each is replaced, so that what leaves always is. */
static int text_out_repair(struct text_out *t, size_t n)
{
    struct buf fixed;
    struct str v = buf_view(&t->held);
    int rc = 0;

    if (str_is_utf8((struct str){v.p, n}))
        return 0;
    buf_init(&fixed, 3 * (size_t)TEXT_OUT_MAX_BYTES);
    for (size_t i = 0; rc == 0 && i < n;) {
        size_t len = text_out_announced((unsigned char)v.p[i]);

        if (i + len <= n && str_is_utf8((struct str){v.p + i, len})) {
            rc = buf_append(&fixed, v.p + i, len);
            i += len;
        } else {
            rc = buf_append_str(&fixed, STR("\xEF\xBF\xBD"));
            i++;
        }
    }
    if (rc == 0)
        rc = buf_append(&fixed, v.p + n, v.n - n);
    if (rc == 0 && fixed.len <= TEXT_OUT_MAX_BYTES) {
        struct buf old = t->held;

        fixed.max_bytes = TEXT_OUT_MAX_BYTES;
        t->held = fixed;
        fixed = old;
    }
    buf_free(&fixed);
    return rc;
}

struct str text_out_ready(struct text_out *t, bool all)
{
    struct str v = buf_view(&t->held);
    size_t keep = 0, after;

    if (!all && !t->stopped) {
        size_t stop = text_out_stop_tail(t, v);

        keep = text_out_incomplete_tail(v);
        keep = stop > keep ? stop : keep;
    }
    if (text_out_repair(t, v.n - keep) < 0)
        return (struct str){0};
    after = t->held.len;
    return (struct str){buf_view(&t->held).p, after - keep};
}

int64_t text_out_taken(struct text_out *t, size_t n)
{
    int64_t tokens = n > 0 ? t->tokens : 0;

    if (n > 0)
        t->tokens = 0;
    buf_consume(&t->held, n);
    return tokens;
}
