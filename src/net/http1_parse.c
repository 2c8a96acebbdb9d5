/* SPDX-License-Identifier: Apache-2.0 */
/* Requests through llhttp, with our bounds: head, number of headers, body. */
#include <stdio.h>

#include "base/b64.h"
#include "net/http1_conn.h"

static const char http_versions[] = "this server speaks HTTP/1.1 and HTTP/1.0";

static int http_parse_refuse(struct http_exchange *x, int status, const char *why)
{
    x->reject_status = status;
    x->reject_why = why;
    return HPE_USER;
}

static int http_parse_refuse_head(struct http_exchange *x, const char *what)
{
    snprintf(x->limit_text, sizeof x->limit_text, "%s larger than the limit of %zu bytes", what,
             x->server->config.max_head_bytes);
    return http_parse_refuse(x, 431, x->limit_text);
}

void http_parse_refuse_memory(struct http_exchange *x, size_t n)
{
    struct err e;

    (void)budget_refusal(conn_budget(x->conn), n + 1, &e);
    snprintf(x->limit_text, sizeof x->limit_text, "%s", e.text);
    (void)http_parse_refuse(x, 503, x->limit_text);
}

/* --- room for bodies --- */

void http_body_release(struct http_exchange *x)
{
    http_count_body(x->server, -(ptrdiff_t)x->body_counted);
    x->body_counted = 0;
}

void http_drop_body(struct http_exchange *x)
{
    buf_free(&x->body);
    x->request.body = (struct str){0};
    http_body_release(x);
}

/* Whether the body may grow by `more` bytes, as they arrive or are announced. */
static int http_check_body(struct http_exchange *x, uint64_t more)
{
    const struct http_server_config *limits = &x->server->config;
    size_t others = atomic_load_explicit(&x->server->totals->body_bytes, memory_order_relaxed) -
                    x->body_counted;

    if (more > limits->max_body_bytes - x->body.len) {
        snprintf(x->limit_text, sizeof x->limit_text,
                 "the body is larger than the limit of %zu bytes; send less",
                 limits->max_body_bytes);
        return http_parse_refuse(x, 413, x->limit_text);
    }
    if (x->body.len + more > limits->small_body_bytes &&
        others + x->body.len + more > limits->max_bodies_bytes) {
        snprintf(x->limit_text, sizeof x->limit_text,
                 "the bodies of all requests together have reached the limit of %zu bytes; try "
                 "again in a second",
                 limits->max_bodies_bytes);
        return http_parse_refuse(x, 503, x->limit_text);
    }
    return 0;
}

/* --- pieces, as the parser finds them --- */

/* Append to the span that is being received; its bytes are the newest of `head`. */
static int http_grow_span(struct http_exchange *x, struct http_span *span, const char *at, size_t n)
{
    if (x->head.len + n > x->server->config.max_head_bytes)
        return http_parse_refuse_head(x, "the request's head is");
    if (span->n == 0)
        span->at = x->head.len;
    if (buf_append(&x->head, at, n) < 0) {
        http_parse_refuse_memory(x, n);
        return HPE_USER;
    }
    span->n += n;
    return 0;
}

static int http_parse_on_url(llhttp_t *p, const char *at, size_t n)
{
    struct http_exchange *x = p->data;

    return http_grow_span(x, &x->target, at, n);
}

/* What follows a chunked body, or a chunk's size, is read past; what it says must not be taken for
 * a header. */
static int http_skip_trailer(struct http_exchange *x, size_t n)
{
    x->trailer_bytes += n;
    if (x->trailer_bytes > x->server->config.max_head_bytes)
        return http_parse_refuse_head(x, "the request's trailers and chunk extensions are");
    return 0;
}

static int http_parse_on_extension(llhttp_t *p, const char *at, size_t n)
{
    (void)at;
    return http_skip_trailer(p->data, n);
}

static int http_parse_on_field(llhttp_t *p, const char *at, size_t n)
{
    struct http_exchange *x = p->data;

    if (x->head_done)
        return http_skip_trailer(x, n);
    if (x->in_value) {
        x->in_value = false;
        x->n_headers++;
    }
    if (x->n_headers >= HTTP_MAX_HEADERS)
        return http_parse_refuse(x, 431, "the request has more than 64 headers");
    return http_grow_span(x, &x->names[x->n_headers], at, n);
}

static int http_parse_on_value(llhttp_t *p, const char *at, size_t n)
{
    struct http_exchange *x = p->data;

    if (x->head_done)
        return http_skip_trailer(x, n);
    x->in_value = true;
    return http_grow_span(x, &x->values[x->n_headers], at, n);
}

static struct str http_span_text(const struct http_exchange *x, struct http_span s)
{
    return (struct str){s.n > 0 ? x->head.mem + x->head.off + s.at : "", s.n};
}

static bool http_speaks(const llhttp_t *p)
{
    return p->http_major == 1 && p->http_minor <= 1;
}

static size_t http_header_count(const struct http_request *req, struct str name)
{
    size_t n = 0;

    for (size_t i = 0; i < req->n_headers; i++)
        n += str_ieq(req->headers[i].name, name);
    return n;
}

/* Requests with neither length nor chunks have no body; GET with one is tolerated. */
static bool http_has_body(const llhttp_t *p)
{
    return p->flags & F_CHUNKED || (p->flags & F_CONTENT_LENGTH && p->content_length > 0);
}

/* What llhttp lets through and we do not. */
static int http_check_head(struct http_exchange *x)
{
    const struct http_request *req = &x->request;
    const llhttp_t *p = &x->parser;
    size_t hosts = http_header_count(req, STR("Host"));
    size_t codings = http_header_count(req, STR("Transfer-Encoding"));

    if (!http_speaks(p))
        return http_parse_refuse(x, 505, http_versions);
    if (hosts > 1 || (hosts == 0 && p->http_minor == 1)) /* RFC 9112 §3.2 */
        return http_parse_refuse(x, 400, "a request needs one Host header");
    if (codings > 1)
        return http_parse_refuse(x, 400, "a request needs at most one Transfer-Encoding header");
    if (codings == 1 && !(p->flags & F_CHUNKED)) /* an empty one: where the body ends is in doubt */
        return http_parse_refuse(x, 400, "a Transfer-Encoding header needs a coding: chunked");
    if (p->flags & F_CHUNKED && !str_ieq(http_header_get(req, "Transfer-Encoding"), STR("chunked")))
        return http_parse_refuse(x, 501,
                                 "of transfer codings, this server understands `chunked` only");
    if (p->flags & F_CHUNKED && p->http_minor == 0) /* RFC 9112 §6.1 */
        return http_parse_refuse(x, 400, "HTTP/1.0 has no Transfer-Encoding");
    return p->flags & F_CONTENT_LENGTH ? http_check_body(x, p->content_length) : 0;
}

bool http_list_has(struct str list, struct str token)
{
    while (list.n > 0) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma ? (size_t)(comma - list.p) : list.n;

        if (str_ieq(str_trim((struct str){list.p, n}), token))
            return true;
        n += comma ? 1 : 0;
        list = (struct str){list.p + n, list.n - n};
    }
    return false;
}

/* A header of that name may stand several times; together they are one list (RFC 9110 §5.3). */
static bool http_header_has(const struct http_request *req, struct str name, struct str token)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (str_ieq(req->headers[i].name, name) && http_list_has(req->headers[i].value, token))
            return true;
    }
    return false;
}

/* RFC 6455 §4.2.1: a nonce of 16 bytes in base64. */
static bool http_is_ws_key(struct str key)
{
    uint8_t nonce[B64_MAX_BYTES(WS_KEY_TEXT_BYTES)];
    size_t n = 0;

    return key.n == WS_KEY_TEXT_BYTES && b64_decode(key, nonce, sizeof nonce, &n) == 0 &&
           n == WS_KEY_BYTES;
}

/* RFC 6455 §4.2.1; headers that stand twice say two things. */
static bool http_is_ws_upgrade(const struct http_exchange *x)
{
    const struct http_request *req = &x->request;

    return str_is(req->method, "GET") && !x->http10 && !http_has_body(&x->parser) &&
           http_header_has(req, STR("Upgrade"), STR("websocket")) &&
           http_header_has(req, STR("Connection"), STR("upgrade")) &&
           http_header_count(req, STR("Sec-WebSocket-Version")) == 1 &&
           str_is(http_header_get(req, "Sec-WebSocket-Version"), "13") &&
           http_header_count(req, STR("Sec-WebSocket-Key")) == 1 &&
           http_is_ws_key(http_header_get(req, "Sec-WebSocket-Key"));
}

/* The part of a target that names something here: all of it, or in the absolute form, as proxies
 * send it, what follows the authority (RFC 9112 §3.2.2). */
static struct str http_origin_form(struct str target)
{
    const char *authority =
        target.n > 0 && target.p[0] != '/' ? memmem(target.p, target.n, "://", 3) : NULL;
    size_t at = authority ? (size_t)(authority - target.p) + 3 : 0;

    while (authority && at < target.n && target.p[at] != '/' && target.p[at] != '?')
        at++;
    return (struct str){target.p + at, target.n - at};
}

/* Who must not send a body hears so before it is asked for (RFC 9110 §10.1.1). */
static int http_ask_owner(struct http_exchange *x)
{
    const struct http_server *s = x->server;
    const char *why = "";
    int status = s->ops->on_head ? s->ops->on_head(s->ud, x, &why) : 0;

    if (status == HTTP_HEAD_WAIT) {
        x->state = HTTP_WAITING;
        return HPE_PAUSED;
    }
    if (status == 0)
        return 0;
    x->on_abort = NULL; /* it refused itself */
    return http_parse_refuse(x, status, why);
}

static void http_take_head(struct http_exchange *x)
{
    struct http_request *req = &x->request;
    struct str target = http_origin_form(http_span_text(x, x->target));
    const char *question = memchr(target.p, '?', target.n);

    req->n_headers = x->n_headers;
    for (size_t i = 0; i < x->n_headers; i++)
        req->headers[i] = (struct http_header){http_span_text(x, x->names[i]),
                                               str_trim(http_span_text(x, x->values[i]))};
    req->method = str_from(llhttp_method_name((llhttp_method_t)x->parser.method));
    req->path = question ? (struct str){target.p, (size_t)(question - target.p)} : target;
    req->query = question ? (struct str){question + 1, target.n - req->path.n - 1} : STR("");
    if (req->path.n == 0)
        req->path = STR("/");
    x->http10 = x->parser.http_major == 1 && x->parser.http_minor == 0;
    req->wants_upgrade = http_is_ws_upgrade(x);
    x->is_head = x->parser.method == HTTP_HEAD;
    x->keep_alive = !x->http10 && !http_header_has(req, STR("Connection"), STR("close"));
}

/* A body that the client holds back is asked for (RFC 9110 §10.1.1). */
static void http_ask_for_body(struct http_exchange *x)
{
    const struct str go_on = STR("HTTP/1.1 100 Continue\r\n\r\n");

    if (!x->http10 && http_header_has(&x->request, STR("Expect"), STR("100-continue")))
        (void)conn_write(x->conn, &go_on, 1);
}

static int http_parse_on_headers_complete(llhttp_t *p)
{
    struct http_exchange *x = p->data;
    int rc;

    if (x->in_value)
        x->n_headers++;
    x->in_value = false;
    x->head_done = true;
    x->head_done_us = clock_mono_us(&x->server->clock);
    http_take_head(x);
    if (http_check_head(x) != 0)
        return HPE_USER;
    if (!http_has_body(p))
        return 0;
    rc = http_ask_owner(x);
    if (rc == 0)
        http_ask_for_body(x);
    return rc;
}

/* A chunk's size is known before its bytes come. */
static int http_parse_on_chunk_header(llhttp_t *p)
{
    return http_check_body(p->data, p->content_length);
}

static int http_parse_on_body(llhttp_t *p, const char *at, size_t n)
{
    struct http_exchange *x = p->data;

    if (http_check_body(x, n) != 0)
        return HPE_USER;
    if (buf_append(&x->body, at, n) < 0) {
        http_parse_refuse_memory(x, n);
        return HPE_USER;
    }
    http_count_body(x->server, (ptrdiff_t)x->body.cap - (ptrdiff_t)x->body_counted);
    x->body_counted = x->body.cap;
    return 0;
}

static int http_parse_on_complete(llhttp_t *p)
{
    struct http_exchange *x = p->data;

    x->complete = true;
    return HPE_PAUSED; /* what follows belongs to the next exchange */
}

void http_parse_init(struct http_server *s)
{
    llhttp_settings_init(&s->settings);
    s->settings.on_url = http_parse_on_url;
    s->settings.on_header_field = http_parse_on_field;
    s->settings.on_header_value = http_parse_on_value;
    s->settings.on_headers_complete = http_parse_on_headers_complete;
    s->settings.on_chunk_extension_name = http_parse_on_extension;
    s->settings.on_chunk_extension_value = http_parse_on_extension;
    s->settings.on_chunk_header = http_parse_on_chunk_header;
    s->settings.on_body = http_parse_on_body;
    s->settings.on_message_complete = http_parse_on_complete;
}

void http_parse_reset(struct http_exchange *x)
{
    llhttp_init(&x->parser, HTTP_REQUEST, &x->server->settings);
    x->parser.data = x;
    http_body_release(x);
    buf_wipe(&x->head); /* a key */
    buf_wipe(&x->body); /* a prompt */
    memset(x->names, 0, x->n_headers * sizeof *x->names);
    memset(x->values, 0, x->n_headers * sizeof *x->values);
    x->target = (struct http_span){0};
    x->n_headers = x->trailer_bytes = 0;
    x->in_value = x->got_bytes = x->head_done = x->complete = false;
    x->reject_status = 0;
    x->on_abort = NULL;
    x->on_drain = NULL;
    x->ud = NULL;
}

void http_parse_resume(struct http_exchange *x)
{
    llhttp_resume(&x->parser);
    http_ask_for_body(x);
}

static void http_finish_request(struct http_exchange *x)
{
    x->request.body = buf_view(&x->body);
    x->request.received_us = clock_mono_us(&x->server->clock);
}

int http_parse(struct http_exchange *x)
{
    struct buf *in = conn_in(x->conn);
    struct str v = buf_view(in);
    llhttp_errno_t rc;
    size_t used = v.n;

    if (v.n == 0)
        return 0;
    x->got_bytes = true;
    rc = llhttp_execute(&x->parser, v.p, v.n);
    if (rc != HPE_OK) {
        const char *stopped_at = llhttp_get_error_pos(&x->parser);

        used = stopped_at ? (size_t)(stopped_at - v.p) : v.n;
    }
    buf_consume(in, used);
    if (x->complete) {
        http_finish_request(x);
        return 1;
    }
    if (rc == HPE_OK || x->state == HTTP_WAITING)
        return 0;
    if (x->reject_status)
        return ERR_PARSE;
    if (rc == HPE_PAUSED_H2_UPGRADE || (rc == HPE_INVALID_VERSION && !http_speaks(&x->parser)))
        http_parse_refuse(x, 505, http_versions);
    else
        http_parse_refuse(x, 400, llhttp_get_error_reason(&x->parser));
    return ERR_PARSE;
}

struct str http_header_get(const struct http_request *req, const char *name)
{
    struct str want = str_from(name);

    for (size_t i = 0; i < req->n_headers; i++) {
        if (str_ieq(req->headers[i].name, want))
            return req->headers[i].value;
    }
    return (struct str){0};
}

int http_header_once(const struct http_request *req, const char *name, struct str *ret_value)
{
    struct str want = str_from(name), value = {0};

    for (size_t i = 0; i < req->n_headers; i++) {
        if (!str_ieq(req->headers[i].name, want))
            continue;
        if (value.p)
            return ERR_EXISTS;
        value = req->headers[i].value;
    }
    *ret_value = value;
    return 0;
}
