/* SPDX-License-Identifier: Apache-2.0 */
/* "Direct": the null provider's answers over plain HTTP, to subtract. */
#include <stdlib.h>

#include "bench/null_provider.h"
#include "net/http1.h"
#include "proto/chunk.h"

struct null_upstream {
    struct loop *loop;
    const struct null_script *script;
    struct http_server *server;
};

struct answer {
    struct null_upstream *up;
    struct http_exchange *x;
    struct loop_timer timer;
    int sent;
};

static const struct chunk_head head = {
    .id = STR("chatcmpl-bench"), .model = STR("bench-model"), .created_s = 1};

static void null_upstream_write_event(struct answer *a, struct buf *line)
{
    struct str parts[2] = {buf_view(line), STR("\n\n")};

    (void)http_stream_write(a->x, parts, 2);
    buf_free(line);
}

static void null_upstream_finish(struct answer *a)
{
    struct buf line;
    struct str done = STR("data: [DONE]\n\n");

    buf_init(&line, 4096);
    (void)chunk_write_finish(&head, CHUNK_FINISH_STOP, &line);
    null_upstream_write_event(a, &line);
    (void)http_stream_write(a->x, &done, 1);
    http_stream_end(a->x);
    loop_timer_clear(a->up->loop, &a->timer);
    free(a);
}

static void null_upstream_send_chunks(void *ud)
{
    struct answer *a = ud;
    const struct null_script *script = a->up->script;

    if (a->sent == 0) {
        const struct http_header type = {STR("Content-Type"), STR("text/event-stream")};

        http_stream_begin(a->x, 200, &type, 1);
    }
    do {
        struct buf line;

        buf_init(&line, 4096);
        (void)chunk_write_content(&head, STR(" token"), &line);
        null_upstream_write_event(a, &line);
        a->sent++;
    } while (script->pace_us == 0 && a->sent < script->chunks);
    if (a->sent >= script->chunks)
        null_upstream_finish(a);
    else
        loop_timer_set(a->up->loop, &a->timer, script->pace_us, null_upstream_send_chunks, a);
}

static void null_upstream_on_abort(void *ud, int reason)
{
    struct answer *a = ud;

    (void)reason;
    loop_timer_clear(a->up->loop, &a->timer);
    free(a);
}

static void null_upstream_on_request(void *ud, struct http_exchange *x)
{
    struct null_upstream *up = ud;
    struct answer *a = calloc(1, sizeof *a);

    if (!a) {
        http_respond(x, 503, NULL, 0, STR(""));
        return;
    }
    a->up = up;
    a->x = x;
    http_on_abort(x, null_upstream_on_abort, a);
    if (up->script->first_us > 0)
        loop_timer_set(up->loop, &a->timer, up->script->first_us, null_upstream_send_chunks, a);
    else
        null_upstream_send_chunks(a);
}

static const char *null_upstream_on_reject(void *ud, int status, const char *why,
                                           struct buf *ret_body)
{
    (void)ud;
    (void)status;
    (void)buf_append_str(ret_body, str_from(why));
    return "text/plain";
}

int null_upstream_new(struct loop *l, const struct null_script *script, uint16_t *ret_port,
                      struct null_upstream **ret_upstream)
{
    static const struct http_server_ops ops = {.on_request = null_upstream_on_request,
                                               .on_reject = null_upstream_on_reject};
    const struct http_server_config config = {0};
    struct null_upstream *up = calloc(1, sizeof *up);
    int sock;
    int rc = up ? loop_listen(l, "127.0.0.1", 0, &sock, ret_port, NULL) : ERR_NOMEM;

    if (rc == 0) {
        up->loop = l;
        up->script = script;
        rc = http_server_new(l, sock, &config, &ops, up, &up->server);
    }
    if (rc < 0)
        free(up);
    else
        *ret_upstream = up;
    return rc;
}

void null_upstream_free(struct null_upstream *up)
{
    if (!up)
        return;
    http_server_free(up->server);
    free(up);
}
