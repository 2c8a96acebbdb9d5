/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer. */
#include "fake_consumer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CONSUMER_MAX_BYTES = 64 << 20 };

/* --- the socket --- */

static void update_watch(struct fake_consumer *c)
{
    loop_watch_set(c->watch, (c->deaf ? 0 : LOOP_READABLE) | (c->out.len > 0 ? LOOP_WRITABLE : 0));
}

static void drop(struct fake_consumer *c)
{
    loop_watch_remove(c->watch);
    c->watch = NULL;
    if (c->sock >= 0)
        loop_close(c->w->loop, c->sock);
    c->sock = -1;
}

static void read_some(struct fake_consumer *c)
{
    char bytes[16384];
    ssize_t n;

    while ((n = loop_recv(c->w->loop, c->sock, bytes, sizeof bytes)) > 0)
        assert_int_equal(buf_append(&c->in, bytes, (size_t)n), 0);
    if (n == ERR_AGAIN)
        return;
    c->ended = true;
    drop(c);
}

static void on_ready(void *ud, unsigned events)
{
    struct fake_consumer *c = ud;

    if ((events & LOOP_WRITABLE) && c->out.len > 0) {
        struct str v = buf_view(&c->out);
        struct iovec iov = {(void *)(uintptr_t)v.p, v.n};
        ssize_t n = loop_sendv(c->w->loop, c->sock, &iov, 1);

        if (n > 0)
            buf_consume(&c->out, (size_t)n);
        else if (n == ERR_CLOSED)
            buf_clear(&c->out);
    }
    if (events & LOOP_READABLE)
        read_some(c);
    if (c->watch)
        update_watch(c);
}

static void on_connected(void *ud, int sock)
{
    struct fake_consumer *c = ud;

    assert_true(sock >= 0);
    c->sock = sock;
    assert_int_equal(loop_watch_add(c->w->loop, sock, LOOP_READABLE, on_ready, c, &c->watch), 0);
    update_watch(c);
}

static void write_request(struct fake_consumer *c, const struct fake_ask *ask)
{
    const char *body = ask->body ? ask->body : FAKE_STREAM;
    const char *key = ask->key ? ask->key : c->w->key;
    int rc;

    if (ask->raw.p) {
        assert_int_equal(buf_append_str(&c->out, ask->raw), 0);
        return;
    }
    rc = buf_printf(&c->out, "%s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n%s%s%s%s%s\r\n%s",
                    ask->target ? ask->target : "POST /v1/chat/completions", strlen(body),
                    ask->no_receipt ? "" : "X-Darkbloom-Receipt: 1\r\n",
                    key[0] ? "Authorization: Bearer " : "", key, key[0] ? "\r\n" : "",
                    ask->headers ? ask->headers : "", body);

    assert_int_equal(rc, 0);
}

struct fake_consumer *fake_consumer_ask_unsettled(struct fake_world *w, const struct fake_ask *ask)
{
    struct fake_consumer *c = calloc(1, sizeof *c);

    assert_non_null(c);
    assert_true(w->n_consumers < FAKE_CONSUMERS);
    w->consumers[w->n_consumers++] = c;
    *c = (struct fake_consumer){.w = w, .sock = -1, .deaf = ask->deaf, .was_deaf = ask->deaf};
    buf_init(&c->out, CONSUMER_MAX_BYTES);
    buf_init(&c->in, CONSUMER_MAX_BYTES);
    buf_init(&c->body, CONSUMER_MAX_BYTES);
    write_request(c, ask);
    loop_connect(w->loop, "127.0.0.1", ask->port ? ask->port : w->coord->port, on_connected, c);
    return c;
}

struct fake_consumer *fake_consumer_ask(struct fake_world *w, const struct fake_ask *ask)
{
    struct fake_consumer *c = fake_consumer_ask_unsettled(w, ask);

    fake_world_settle(w);
    return c;
}

void fake_consumer_ask_again(struct fake_consumer *c, const struct fake_ask *ask)
{
    assert_non_null(c->watch);
    buf_clear(&c->in);
    write_request(c, ask);
    update_watch(c);
    fake_world_settle(c->w);
}

struct fake_consumer *fake_consumer_stream(struct fake_world *w)
{
    return fake_consumer_ask(w, &(struct fake_ask){.body = FAKE_STREAM});
}

struct fake_consumer *fake_consumer_whole(struct fake_world *w)
{
    return fake_consumer_ask(w, &(struct fake_ask){.body = FAKE_WHOLE});
}

void fake_consumer_listen(struct fake_consumer *c)
{
    c->deaf = false;
    if (c->watch)
        update_watch(c);
    fake_world_settle(c->w);
}

void fake_consumer_take(struct fake_consumer *c, size_t bytes)
{
    char piece[4096];

    while (bytes > 0) {
        size_t want = bytes < sizeof piece ? bytes : sizeof piece;
        ssize_t n = loop_recv(c->w->loop, c->sock, piece, want);

        if (n <= 0)
            break;
        assert_int_equal(buf_append(&c->in, piece, (size_t)n), 0);
        bytes -= (size_t)n;
    }
    fake_world_settle(c->w);
}

void fake_consumer_leave(struct fake_consumer *c)
{
    if (c->left)
        return;
    c->left = true;
    drop(c);
    fake_world_settle(c->w);
}

void fake_consumer_shut(struct fake_consumer *c)
{
    loop_shutdown(c->w->loop, c->sock);
    fake_world_settle(c->w);
}

void fake_consumer_forget(struct fake_consumer *c)
{
    struct fake_world *w = c->w;

    fake_consumer_leave(c);
    assert_ptr_equal(w->consumers[w->n_consumers - 1], c);
    w->n_consumers--;
    fake_consumer_free(c);
}

void fake_consumer_free(struct fake_consumer *c)
{
    drop(c);
    buf_free(&c->out);
    buf_free(&c->in);
    buf_free(&c->body);
    free(c);
}

/* --- what has come so far --- */

/* The head with its empty line; .n 0: not there yet. */
static struct str head_of(struct fake_consumer *c)
{
    struct str v = buf_view(&c->in);
    const char *end = memmem(v.p, v.n, "\r\n\r\n", 4);

    return (struct str){v.p, end ? (size_t)(end - v.p) + 4 : 0};
}

int fake_consumer_status(struct fake_consumer *c)
{
    struct str head = head_of(c);
    int64_t status;

    if (head.n == 0)
        return 0;
    assert_true(str_starts(head, STR("HTTP/1.1 ")));
    assert_int_equal(str_to_i64((struct str){head.p + 9, 3}, &status), 0);
    return (int)status;
}

struct str fake_consumer_header(struct fake_consumer *c, const char *name)
{
    struct str head = head_of(c), want = str_from(name);

    for (size_t i = 0; i + want.n + 3 < head.n; i++) {
        const char *end;

        if (head.p[i] != '\n' || head.p[i + 1 + want.n] != ':' ||
            !str_ieq((struct str){head.p + i + 1, want.n}, want))
            continue;
        end = memchr(head.p + i + 1, '\r', head.n - i - 1);
        return str_trim(
            (struct str){head.p + i + want.n + 2, (size_t)(end - head.p) - i - want.n - 2});
    }
    return (struct str){0};
}

/* Undo the chunked coding as far as it has come; whether its end was there. */
static bool unchunk(struct str coded, struct buf *ret_body)
{
    while (coded.n > 0) {
        const char *line_end = memmem(coded.p, coded.n, "\r\n", 2);
        char *digits_end;
        size_t size, skip;

        if (!line_end)
            return false;
        size = strtoull(coded.p, &digits_end, 16);
        assert_ptr_equal(digits_end, line_end);
        skip = (size_t)(line_end - coded.p) + 2;
        if (size == 0)
            return coded.n >= skip + 2;
        if (coded.n < skip + size + 2)
            return false;
        assert_int_equal(buf_append(ret_body, coded.p + skip, size), 0);
        coded.p += skip + size + 2;
        coded.n -= skip + size + 2;
    }
    return false;
}

static bool read_body(struct fake_consumer *c)
{
    struct str head = head_of(c), all = buf_view(&c->in);
    struct str rest = {all.p + head.n, all.n - head.n};
    struct str length = fake_consumer_header(c, "Content-Length");
    int64_t n;

    buf_clear(&c->body);
    if (head.n == 0)
        return false;
    if (!length.p)
        return unchunk(rest, &c->body);
    assert_int_equal(str_to_i64(length, &n), 0);
    assert_true(rest.n <= (size_t)n);
    assert_int_equal(buf_append_str(&c->body, rest), 0);
    return rest.n == (size_t)n;
}

struct str fake_consumer_body(struct fake_consumer *c)
{
    (void)read_body(c);
    return buf_view(&c->body);
}

bool fake_consumer_done(struct fake_consumer *c)
{
    return read_body(c);
}

struct str fake_consumer_event(struct fake_consumer *c, size_t nth)
{
    struct str body = fake_consumer_body(c);
    const char *end;

    while ((end = memmem(body.p, body.n, "\n\n", 2))) {
        struct str event = {body.p, (size_t)(end - body.p)};

        body = (struct str){end + 2, body.n - event.n - 2};
        if (event.p[0] == ':')
            continue;
        assert_true(str_starts(event, STR("data: ")));
        if (nth-- == 0)
            return (struct str){event.p + 6, event.n - 6};
    }
    return (struct str){0};
}

size_t fake_consumer_events(struct fake_consumer *c)
{
    size_t n = 0;

    while (fake_consumer_event(c, n).p)
        n++;
    return n;
}

const char *fake_consumer_text(struct fake_consumer *c)
{
    static const char marker[] = "\"content\":\"";
    static char text[4096];
    struct str event;
    size_t n = 0;

    for (size_t i = 0; (event = fake_consumer_event(c, i)).p; i++) {
        const char *at = memmem(event.p, event.n, marker, sizeof marker - 1);

        for (at = at ? at + sizeof marker - 1 : "\""; *at != '"'; at++) {
            assert_true(n < sizeof text - 1);
            text[n++] = *at;
        }
    }
    text[n] = 0;
    return text;
}

bool fake_says(struct str json, const char *member)
{
    return json.n > 0 && memmem(json.p, json.n, member, strlen(member)) != NULL;
}

int64_t fake_number(struct str json, const char *name)
{
    char member[64];
    const char *at;

    snprintf(member, sizeof member, "\"%s\":", name);
    at = json.n > 0 ? memmem(json.p, json.n, member, strlen(member)) : NULL;
    if (!at)
        fail_msg("no %s in %.*s", name, STR_ARG(json));
    return strtoll(at + strlen(member), NULL, 10);
}
