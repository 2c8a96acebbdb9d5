/* SPDX-License-Identifier: Apache-2.0 */
/* The client's end of a WebSocket over in-memory sockets: a server sends arbitrary bytes in
 * arbitrary pieces (the first byte chooses). Invariants: nothing is handed over before the right
 * answer to the handshake, nothing after the end, and the end is told once with its reason. */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "net/loop_fake.h"
#include "net/ws.h"

enum { LIMIT_BYTES = 4096 };

struct world {
    struct loop *loop;
    struct ws_conn *ws;
    bool open, closed;
};

static void on_open(void *ud)
{
    struct world *w = ud;

    if (w->open || w->closed)
        abort();
    w->open = true;
}

static void on_message(void *ud, struct str payload)
{
    struct world *w = ud;

    if (!w->open || w->closed || payload.n > LIMIT_BYTES)
        abort();
    (void)ws_send(w->ws, payload);
}

static void on_close(void *ud, int reason, const char *text)
{
    struct world *w = ud;

    if (w->closed || reason >= 0 || !text[0])
        abort();
    w->closed = true;
    ws_conn_free(w->ws);
    w->ws = NULL;
}

/* The handshake's key is always the same, and so is its right answer (among the seeds). */
static void count_up(void *ud, void *ret_bytes, size_t n)
{
    uint8_t *at = ret_bytes;

    (void)ud;
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)(i + 1);
}

static int dial(struct world *w, int *ret_sock)
{
    static const struct ws_conn_ops ops = {
        .on_open = on_open, .on_message = on_message, .on_close = on_close};
    const struct ws_conn_config config = {
        .max_message_bytes = LIMIT_BYTES, .out_max_bytes = 1 << 16, .rand = {count_up, NULL}};
    int listener;
    uint16_t port;

    if (loop_listen(w->loop, "127.0.0.1", 0, &listener, &port, NULL) < 0 ||
        ws_conn_connect(w->loop, "127.0.0.1", port, "/", &config, &ops, w, &w->ws) < 0)
        return -1;
    loop_fake_settle(w->loop);
    *ret_sock = loop_accept(w->loop, listener, NULL);
    loop_close(w->loop, listener);
    return *ret_sock < 0 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {0};
    size_t at = 1;
    int sock;

    if (size == 0 || loop_fake_new(0, &w.loop) < 0)
        return 0;
    if (dial(&w, &sock) < 0)
        abort();
    loop_fake_set_faults(w.loop, (struct loop_fake_faults){.recv_max = 1 + data[0]});
    while (at < size) {
        struct iovec iov = {(void *)(data + at), size - at};
        ssize_t n = loop_sendv(w.loop, sock, &iov, 1);

        if (n <= 0)
            break;
        at += (size_t)n;
        loop_fake_settle(w.loop);
    }
    loop_close(w.loop, sock);
    loop_fake_settle(w.loop);
    if (!w.closed)
        abort();
    loop_free(w.loop);
    return 0;
}
