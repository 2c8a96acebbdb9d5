/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/visitor.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

#include "net/conn.h"

enum { IN_MAX_BYTES = 1 << 20, OUT_MAX_BYTES = 16 << 10, TAIL_BYTES = 16 };

struct visitor {
    struct visitors *all;
    struct list_node link;
    struct visit visit;
    struct clock clock;
    int64_t began_us;
    struct conn *conn;
    bool connecting;
    struct loop_timer leave;
    llhttp_t parser;
    llhttp_settings_t settings;
    char tail[TAIL_BYTES]; /* the newest bytes of the body */
    bool done, failed;
};

static void visitor_free(struct visitor *v)
{
    loop_timer_clear(v->visit.loop, &v->leave);
    conn_free(v->conn);
    list_remove(&v->link);
    free(v);
}

static void visitor_end(struct visitor *v, enum visit_end end)
{
    struct visitors *all = v->all;
    int64_t us = clock_mono_us(&v->clock) - v->began_us;

    all->ended[end]++;
    all->n--;
    all->longest_us = us > all->longest_us ? us : all->longest_us;
    if (v->connecting) { /* the loop still holds a pointer: visitor_on_connect frees */
        v->done = true;
        loop_timer_clear(v->visit.loop, &v->leave);
        list_remove(&v->link);
        list_init(&v->link);
        return;
    }
    visitor_free(v);
}

static int visitor_on_body(llhttp_t *p, const char *at, size_t n)
{
    struct visitor *v = p->data;
    size_t keep = n < TAIL_BYTES ? n : TAIL_BYTES;

    memmove(v->tail, v->tail + keep, TAIL_BYTES - keep);
    memcpy(v->tail + TAIL_BYTES - keep, at + n - keep, keep);
    return 0;
}

static int visitor_on_complete(llhttp_t *p)
{
    struct visitor *v = p->data;

    v->done = true;
    v->failed =
        p->status_code != 200 || (v->visit.stream && !memmem(v->tail, sizeof v->tail, "[DONE]", 6));
    return 0;
}

static void visitor_on_data(void *ud)
{
    struct visitor *v = ud;
    struct buf *in = conn_in(v->conn);
    struct str bytes = buf_view(in);
    bool bad = llhttp_execute(&v->parser, bytes.p, bytes.n) != HPE_OK;

    buf_consume(in, bytes.n);
    if (v->done)
        visitor_end(v, v->failed ? VISIT_REFUSED : VISIT_ANSWERED);
    else if (bad)
        visitor_end(v, VISIT_BROKEN);
}

static void visitor_on_close(void *ud, int reason)
{
    (void)reason;
    visitor_end(ud, VISIT_BROKEN);
}

static void visitor_on_leave(void *ud)
{
    visitor_end(ud, VISIT_LEFT);
}

static int visitor_ask(struct visitor *v)
{
    const struct visit *visit = &v->visit;
    struct buf body, out;
    struct str parts[2];
    int rc;

    buf_init(&body, OUT_MAX_BYTES);
    buf_init(&out, OUT_MAX_BYTES);
    rc = visit->bad_body
             ? buf_append_str(&body, STR("{\"model\":\"bench-model\",\"messages\":"))
             : buf_printf(&body,
                          "{\"model\":\"bench-model\",\"stream\":%s,\"max_tokens\":%d,\"messages\":"
                          "[{\"role\":\"user\",\"content\":\"%0200d\"}]}",
                          visit->stream ? "true" : "false", visit->max_tokens, 7);
    if (rc == 0)
        rc = buf_printf(&out,
                        "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
                        "Content-Type: application/json\r\nAuthorization: Bearer %s\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        visit->api_key, body.len);
    parts[0] = buf_view(&out);
    parts[1] = buf_view(&body);
    if (rc == 0)
        rc = conn_write(v->conn, parts, 2);
    buf_free(&body);
    buf_free(&out);
    return rc;
}

static void visitor_on_connect(void *ud, int sock)
{
    static const struct conn_ops ops = {.on_data = visitor_on_data, .on_close = visitor_on_close};
    const struct conn_config config = {.in_max_bytes = IN_MAX_BYTES,
                                       .out_max_bytes = OUT_MAX_BYTES};
    struct visitor *v = ud;

    v->connecting = false;
    if (v->done) { /* has left meanwhile */
        if (sock >= 0)
            loop_close(v->visit.loop, sock);
        visitor_free(v);
        return;
    }
    if (sock < 0 || conn_new(v->visit.loop, sock, &config, &ops, v, &v->conn) < 0) {
        visitor_end(v, VISIT_BROKEN);
        return;
    }
    llhttp_settings_init(&v->settings);
    v->settings.on_body = visitor_on_body;
    v->settings.on_message_complete = visitor_on_complete;
    llhttp_init(&v->parser, HTTP_RESPONSE, &v->settings);
    v->parser.data = v;
    if (visitor_ask(v) < 0)
        visitor_end(v, VISIT_BROKEN);
}

void visitors_init(struct visitors *v)
{
    *v = (struct visitors){.n = 0};
    list_init(&v->here);
}

int visitor_come(struct visitors *all, const struct visit *visit)
{
    struct visitor *v = calloc(1, sizeof *v);

    if (!v)
        return ERR_NOMEM;
    v->all = all;
    v->visit = *visit;
    v->clock = loop_clock(visit->loop);
    v->began_us = clock_mono_us(&v->clock);
    v->connecting = true;
    list_push_back(&all->here, &v->link);
    all->n++;
    if (visit->leave_after_us > 0)
        loop_timer_set(visit->loop, &v->leave, visit->leave_after_us, visitor_on_leave, v);
    loop_connect(visit->loop, "127.0.0.1", visit->port, visitor_on_connect, v);
    return 0;
}

int64_t visitors_oldest_us(const struct visitors *all)
{
    const struct visitor *v;

    if (list_empty(&all->here))
        return 0;
    v = list_owner(all->here.next, struct visitor, link);
    return clock_mono_us(&v->clock) - v->began_us;
}

void visitors_free(struct visitors *all)
{
    while (!list_empty(&all->here))
        visitor_end(list_owner(all->here.next, struct visitor, link), VISIT_LEFT);
}
