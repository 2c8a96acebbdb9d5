/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server over in-memory sockets: a client sends arbitrary bytes in arbitrary pieces. The
 * first byte chooses the pieces, the second how requests are answered. */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "net/http1.h"
#include "net/loop_fake.h"

enum { BODY_LIMIT_BYTES = 4096 };

struct world {
    struct loop *loop;
    struct conn *client;
    uint8_t mode;
};

static void on_request(void *ud, struct http_exchange *x)
{
    struct world *w = ud;
    const struct http_request *req = http_request_of(x);
    const struct str piece = STR("data: x\n\n");

    if (req->body.n > BODY_LIMIT_BYTES || req->n_headers > HTTP_MAX_HEADERS)
        abort();
    if (w->mode & 1) {
        http_stream_begin(x, 200, NULL, 0);
        (void)http_stream_write(x, &piece, 1);
        http_stream_end(x);
    } else {
        http_respond(x, 200, NULL, 0, req->path);
    }
}

static const char *on_reject(void *ud, int status, const char *why, struct buf *ret_body)
{
    (void)ud;
    if (status < 400 || status > 599)
        abort();
    (void)buf_append_str(ret_body, str_from(why));
    return "text/plain";
}

static void on_data(void *ud)
{
    struct world *w = ud;

    buf_clear(conn_in(w->client));
}

static void on_close(void *ud, int reason)
{
    struct world *w = ud;

    (void)reason;
    conn_free(w->client);
    w->client = NULL;
}

static void on_connect(void *ud, int sock)
{
    static const struct conn_ops ops = {.on_data = on_data, .on_close = on_close};
    const struct conn_config config = {.in_max_bytes = 1U << 20, .out_max_bytes = 1U << 20};
    struct world *w = ud;

    if (sock >= 0)
        (void)conn_new(w->loop, sock, &config, &ops, w, &w->client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_server_ops ops = {.on_request = on_request, .on_reject = on_reject};
    const struct http_server_config config = {.max_body_bytes = BODY_LIMIT_BYTES};
    struct world w = {0};
    struct http_server *server;
    uint16_t port;
    int sock;

    if (size < 2 || loop_fake_new(1700000000000000, &w.loop) < 0)
        return 0;
    w.mode = data[1];
    loop_fake_set_faults(w.loop, (struct loop_fake_faults){.recv_max = 1 + data[0]});
    if (loop_listen(w.loop, "127.0.0.1", 0, &sock, &port, NULL) < 0 ||
        http_server_new(w.loop, sock, &config, &ops, &w, &server) < 0)
        abort();
    loop_connect(w.loop, "127.0.0.1", port, on_connect, &w);
    loop_fake_settle(w.loop);
    if (w.client) {
        struct str all = {(const char *)data + 2, size - 2};

        (void)conn_write(w.client, &all, 1);
        loop_fake_settle(w.loop);
        loop_fake_advance(w.loop, 70000000); /* every time-out */
    }
    conn_free(w.client);
    http_server_free(server);
    loop_free(w.loop);
    return 0;
}
