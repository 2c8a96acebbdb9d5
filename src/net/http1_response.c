/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: heads, whole bodies, chunked streams, the WebSocket upgrade. */
#include <stdio.h>
#include <time.h>

#include "net/http1_conn.h"

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].status == status)
            return table[i].text;
    }
    return "Status";
}

/* "Date: " and an IMF-fixdate (RFC 9110 §5.6.7), made once a second. */
static struct str http_date_line(struct http_server *s)
{
    time_t now = (time_t)(clock_wall_us(&s->clock) / 1000000);
    struct tm tm;

    if (now != s->date_s) {
        gmtime_r(&now, &tm);
        s->date_n = strftime(s->date, sizeof s->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        s->date_s = now;
    }
    return (struct str){s->date, s->date_n};
}

/* --- writing in place --- */

static char *http_put(char *at, const char *p, size_t n)
{
    if (n > 0)
        memcpy(at, p, n);
    return at + n;
}

static char *http_put_str(char *at, struct str s)
{
    return http_put(at, s.p, s.n);
}

enum { DECIMAL_MAX_BYTES = 20 };

static char *http_put_decimal(char *at, uint64_t n)
{
    char digits[DECIMAL_MAX_BYTES];
    size_t from = sizeof digits;

    do
        digits[--from] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return http_put(at, digits + from, sizeof digits - from);
}

/* A value from elsewhere must not end the line it stands in, nor make clients refuse the whole
 * answer: no control character but the tab (RFC 9110 §5.5). */
static bool http_is_field_value(struct str v)
{
    size_t i = 0;

    for (; i + 8 <= v.n; i += 8) { /* a word without any is the common case */
        const uint64_t ones = 0x0101010101010101U, tops = ones << 7;
        uint64_t w, del;

        memcpy(&w, v.p + i, sizeof w);
        del = w ^ (ones * 0x7F);
        if (((w - ones * 0x20) & ~w & tops) || ((del - ones) & ~del & tops))
            break;
    }
    for (; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];

        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return false;
    }
    return true;
}

static char *http_put_header(char *at, const struct http_header *h)
{
    if (!http_is_field_value(h->value))
        return at;
    at = http_put(http_put_str(at, h->name), ": ", 2);
    return http_put(http_put_str(at, h->value), "\r\n", 2);
}

int http_head_append(struct http_exchange *x, int status, const struct http_header *headers,
                     size_t n, struct buf *out)
{
    const struct str version = STR("HTTP/1.1 "), close = STR("Connection: close\r\n");
    struct str text = str_from(http_status_text(status)), date = http_date_line(x->server);
    size_t room = version.n + DECIMAL_MAX_BYTES + 1 + text.n + 2 + date.n + close.n;
    char *start, *at;

    for (size_t i = 0; i < n; i++)
        room += headers[i].name.n + headers[i].value.n + 4;
    start = buf_reserve(out, room);
    if (!start)
        return ERR_LIMIT;
    at = http_put(http_put_decimal(http_put_str(start, version), (uint64_t)status), " ", 1);
    at = http_put(http_put_str(at, text), "\r\n", 2);
    at = http_put_str(at, date);
    for (size_t i = 0; i < n; i++)
        at = http_put_header(at, &headers[i]);
    if (!x->keep_alive || x->server->draining)
        at = http_put_str(at, close);
    buf_commit(out, (size_t)(at - start));
    return 0;
}

int http_length_append(size_t n, struct buf *out)
{
    const struct str name = STR("Content-Length: "), end = STR("\r\n\r\n");
    char line[64];
    char *at = http_put_str(http_put_decimal(http_put_str(line, name), n), end);

    return buf_append(out, line, (size_t)(at - line));
}

/* The output cannot even take a head: give the connection up. */
static void http_give_up(struct http_exchange *x)
{
    x->keep_alive = false;
    conn_dirty(x->conn);
    http_exchange_done(x);
}

void http_respond(struct http_exchange *x, int status, const struct http_header *headers, size_t n,
                  struct str body)
{
    struct buf *out = conn_out(x->conn);
    bool bodiless = status == 204 || status == 304 || status < 200; /* RFC 9110 §6.4.1 */
    int rc = http_head_append(x, status, headers, n, out);

    if (rc == 0 && bodiless)
        rc = buf_append_str(out, STR("\r\n"));
    else if (rc == 0)
        rc = http_length_append(body.n, out);
    if (rc == 0 && !bodiless && !x->is_head) {
        if (body.n >
            out->max_bytes - out->len) /* a whole answer may be larger than a stream's queue */
            out->max_bytes = out->len + body.n;
        rc = buf_append_str(out, body);
    }
    if (rc < 0) {
        http_give_up(x);
        return;
    }
    conn_dirty(x->conn);
    http_exchange_done(x);
}

void http_stream_begin(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t n)
{
    struct buf *out = conn_out(x->conn);

    if (x->http10)
        x->keep_alive = false; /* no chunks in HTTP/1.0: the end of the connection ends the body */
    x->state = HTTP_STREAMING;
    /* A head fits: the exchange has just begun and the queue holds megabytes. */
    (void)http_head_append(x, status, headers, n, out);
    (void)buf_append_str(out, x->http10 ? STR("\r\n") : STR("Transfer-Encoding: chunked\r\n\r\n"));
    conn_dirty(x->conn);
}

static size_t http_hex_digits(size_t n)
{
    size_t digits = 1;

    while (n >>= 4)
        digits++;
    return digits;
}

static char *http_put_hex(char *at, size_t n)
{
    static const char digit[] = "0123456789abcdef";

    for (size_t i = http_hex_digits(n); i > 0; i--)
        *at++ = digit[n >> (4 * (i - 1)) & 15];
    return at;
}

int http_stream_write(struct http_exchange *x, const struct str *parts, int n)
{
    struct buf *out = conn_out(x->conn);
    size_t payload = 0, framing;
    char *at;

    for (int i = 0; i < n; i++)
        payload += parts[i].n;
    if (payload == 0 || x->is_head)
        return 0; /* an empty chunk would end the stream; HEAD has no body */
    framing = x->http10 ? 0 : http_hex_digits(payload) + 4;
    at = buf_reserve(out, payload + framing);
    if (!at)
        return ERR_LIMIT;
    if (!x->http10)
        at = http_put(http_put_hex(at, payload), "\r\n", 2);
    for (int i = 0; i < n; i++)
        at = http_put(at, parts[i].p, parts[i].n);
    if (!x->http10)
        http_put(at, "\r\n", 2);
    buf_commit(out, payload + framing);
    conn_dirty(x->conn);
    return 0;
}

void http_stream_end(struct http_exchange *x)
{
    if (!x->http10 && !x->is_head && buf_append_str(conn_out(x->conn), STR("0\r\n\r\n")) < 0)
        x->keep_alive = false;
    conn_dirty(x->conn);
    http_exchange_done(x);
}

void http_stream_abort(struct http_exchange *x)
{
    http_give_up(x);
}

const struct http_request *http_request_of(const struct http_exchange *x)
{
    return &x->request;
}

const char *http_peer(const struct http_exchange *x)
{
    return x->peer;
}

void http_set_ud(struct http_exchange *x, void *ud)
{
    x->ud = ud;
}

void *http_ud(const struct http_exchange *x)
{
    return x->ud;
}

void http_on_abort(struct http_exchange *x, void (*cb)(void *ud, int reason), void *ud)
{
    x->on_abort = cb;
    x->abort_ud = ud;
}

void http_on_drain(struct http_exchange *x, void (*cb)(void *ud), void *ud)
{
    x->on_drain = cb;
    x->drain_ud = ud;
}

size_t http_out_pending(const struct http_exchange *x)
{
    return conn_out_pending(x->conn);
}

bool http_out_has_room(const struct http_exchange *x, size_t n)
{
    return budget_refuser(conn_budget(x->conn), n) == NULL;
}

void http_flush(struct http_exchange *x)
{
    conn_flush(x->conn);
}

bool http_out_blocked(const struct http_exchange *x)
{
    return conn_blocked(x->conn);
}

uint64_t http_out_taken(const struct http_exchange *x)
{
    return conn_taken_total(x->conn);
}

uint64_t http_out_queued(const struct http_exchange *x)
{
    return conn_taken_total(x->conn) + conn_out_pending(x->conn);
}

int64_t http_out_last_taken_us(const struct http_exchange *x)
{
    return conn_last_taken_us(x->conn);
}

int http_upgrade_ws(struct http_exchange *x, const struct ws_conn_config *config,
                    const struct ws_conn_ops *ops, void *ud, struct ws_conn **ret_ws)
{
    struct conn *c = x->conn;
    size_t before = conn_out(c)->len;
    char accept[29];
    int rc;

    ws_accept_key(http_header_get(&x->request, "Sec-WebSocket-Key"), accept);
    rc = buf_printf(conn_out(c),
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                    accept);
    if (rc == 0)
        rc = ws_conn_accept(c, config, ops, ud, ret_ws);
    if (rc < 0) {
        conn_out(c)->len = before;
        return rc;
    }
    conn_dirty(c);
    http_exchange_release(x);
    return 0;
}
