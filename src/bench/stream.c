/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/stream.h"

#include <llhttp.h>
#include <stdlib.h>

#include "net/conn.h"

enum { IN_MAX_BYTES = 4 << 20, OUT_MAX_BYTES = 4 << 20, PIECES_AT_FIRST = 512 };

struct stream {
    struct stream_config config;
    struct clock clock;
    struct conn *conn;
    struct buf body; /* of the request until it is sent */
    struct buf text; /* of the answer, not yet read as events */
    llhttp_t parser;
    llhttp_settings_t settings;
    int64_t *pieces_us;
    size_t cap;
    struct stream_seen seen;
    bool connecting, inside; /* the loop, or a callback, still holds a pointer */
    bool message_over, done, freed;
};

static void stream_release(struct stream *s)
{
    conn_free(s->conn);
    buf_free(&s->body);
    buf_free(&s->text);
    free(s->pieces_us);
    free(s);
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    s->freed = true;
    conn_free(s->conn);
    s->conn = NULL;
    if (!s->connecting && !s->inside)
        stream_release(s);
}

const struct stream_seen *stream_seen(const struct stream *s)
{
    return &s->seen;
}

static void stream_end(struct stream *s)
{
    if (s->seen.ended || s->freed)
        return;
    s->seen.ended = true;
    s->seen.end_us = clock_mono_us(&s->clock);
    s->seen.whole = s->seen.status == 200 && s->done;
    s->config.on_end(s->config.ud, s);
}

/* --- what came --- */

static void stream_take_piece(struct stream *s, int64_t now_us)
{
    if (s->seen.pieces == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : PIECES_AT_FIRST;
        int64_t *more = realloc(s->pieces_us, cap * sizeof *more);

        if (!more)
            return;
        s->pieces_us = more;
        s->cap = cap;
    }
    s->pieces_us[s->seen.pieces++] = now_us;
    s->seen.pieces_us = s->pieces_us;
    if (s->config.on_piece)
        s->config.on_piece(s->config.ud, s);
}

static void stream_take_number(struct str event, const char *name, int64_t *ret_value)
{
    const char *at = memmem(event.p, event.n, name, strlen(name));
    struct str digits;

    if (!at)
        return;
    digits.p = at + strlen(name);
    digits.n = 0;
    while (digits.p + digits.n < event.p + event.n && digits.p[digits.n] >= '0' &&
           digits.p[digits.n] <= '9')
        digits.n++;
    (void)str_to_i64(digits, ret_value); /* no number: what is known stays */
}

/* Content and what a model thinks (`reasoning_content`) are pieces; inside of texts quotes are
 * escaped, so the name is found only where it is one. */
static void stream_take_event(struct stream *s, struct str event, int64_t now_us)
{
    static const struct str content = {"content\":\"", 10};
    const char *at = memmem(event.p, event.n, content.p, content.n);

    if (memmem(event.p, event.n, "[DONE]", 6))
        s->done = true;
    if (memmem(event.p, event.n, "\"usage\":{", 9)) {
        stream_take_number(event, "\"prompt_tokens\":", &s->seen.prompt_tokens);
        stream_take_number(event, "\"completion_tokens\":", &s->seen.completion_tokens);
    }
    if (at && at + content.n < event.p + event.n && at[content.n] != '"')
        stream_take_piece(s, now_us);
}

static void stream_take_events(struct stream *s)
{
    int64_t now_us = clock_mono_us(&s->clock);
    const char *end;

    while (!s->freed) {
        struct str text = buf_view(&s->text);

        end = memmem(text.p, text.n, "\n\n", 2);
        if (!end)
            break;
        stream_take_event(s, (struct str){text.p, (size_t)(end - text.p)}, now_us);
        buf_consume(&s->text, (size_t)(end - text.p) + 2);
    }
}

static int stream_on_body(llhttp_t *p, const char *at, size_t n)
{
    struct stream *s = p->data;

    return buf_append(&s->text, at, n) == 0 ? 0 : HPE_USER;
}

static int stream_on_complete(llhttp_t *p)
{
    struct stream *s = p->data;

    s->message_over = true;
    return 0;
}

static void stream_on_data(void *ud)
{
    struct stream *s = ud;
    struct buf *in = conn_in(s->conn);
    struct str bytes = buf_view(in);
    bool bad = llhttp_execute(&s->parser, bytes.p, bytes.n) != HPE_OK;

    buf_consume(in, bytes.n);
    s->seen.status = s->parser.status_code;
    s->inside = true;
    stream_take_events(s);
    if (s->message_over || bad)
        stream_end(s);
    s->inside = false;
    if (s->freed)
        stream_release(s);
}

static void stream_on_close(void *ud, int reason)
{
    struct stream *s = ud;

    (void)reason;
    s->inside = true;
    stream_end(s);
    s->inside = false;
    if (s->freed)
        stream_release(s);
}

/* --- asking --- */

static int stream_ask(struct stream *s)
{
    const char *key = s->config.api_key;
    struct buf head;
    struct str parts[2];
    int rc;

    buf_init(&head, OUT_MAX_BYTES);
    rc = buf_printf(&head,
                    "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n"
                    "Content-Type: application/json\r\n%s%s%sContent-Length: %zu\r\n\r\n",
                    key ? "Authorization: Bearer " : "", key ? key : "", key ? "\r\n" : "",
                    s->body.len);
    parts[0] = buf_view(&head);
    parts[1] = buf_view(&s->body);
    if (rc == 0)
        rc = conn_write(s->conn, parts, 2);
    s->seen.sent_us = clock_mono_us(&s->clock);
    buf_free(&head);
    buf_free(&s->body);
    return rc;
}

static void stream_on_connect(void *ud, int sock)
{
    static const struct conn_ops ops = {.on_data = stream_on_data, .on_close = stream_on_close};
    const struct conn_config config = {
        .in_max_bytes = IN_MAX_BYTES, .out_max_bytes = OUT_MAX_BYTES, .urgent = true};
    struct stream *s = ud;

    s->connecting = false;
    if (s->freed) {
        if (sock >= 0)
            loop_close(s->config.loop, sock);
        stream_release(s);
        return;
    }
    llhttp_settings_init(&s->settings);
    s->settings.on_body = stream_on_body;
    s->settings.on_message_complete = stream_on_complete;
    llhttp_init(&s->parser, HTTP_RESPONSE, &s->settings);
    s->parser.data = s;
    if (sock < 0 || conn_new(s->config.loop, sock, &config, &ops, s, &s->conn) < 0 ||
        stream_ask(s) < 0)
        stream_on_close(s, ERR_CLOSED);
}

int stream_new(const struct stream_config *config, struct stream **ret_stream)
{
    struct stream *s = calloc(1, sizeof *s);

    if (!s)
        return ERR_NOMEM;
    s->config = *config;
    s->clock = loop_clock(config->loop);
    buf_init(&s->body, OUT_MAX_BYTES);
    buf_init(&s->text, IN_MAX_BYTES);
    if (buf_append_str(&s->body, config->body) < 0) {
        stream_release(s);
        return ERR_NOMEM;
    }
    s->connecting = true;
    loop_connect(config->loop, "127.0.0.1", config->port, stream_on_connect, s);
    *ret_stream = s;
    return 0;
}
