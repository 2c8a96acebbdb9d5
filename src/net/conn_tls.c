/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's stream, sealed: what OpenSSL does to the conn between its buffers and the socket.
 * In the middle of a handshake sending waits for input, and reading may wait for output. */
#include "net/conn_impl.h"

int conn_secure(struct conn *c, struct tls_context *ctx, const char *host)
{
    int rc;

    CHECK(!c->tls && c->state == CONN_OPEN && c->out.len == 0);
    if (c->memory.max_bytes < SIZE_MAX)
        c->memory.max_bytes += TLS_GREETING_BYTES;
    rc = budget_charge(&c->memory, TLS_GREETING_BYTES, NULL);
    if (rc < 0)
        return rc;
    c->tls_bytes = TLS_GREETING_BYTES;
    rc = tls_new(ctx, c->loop, c->sock, host, &c->tls);
    if (rc < 0) {
        budget_release(&c->memory, c->tls_bytes);
        c->tls_bytes = 0;
    }
    return rc;
}

const struct tls *conn_tls(const struct conn *c)
{
    return c->tls;
}

/* What a handshake needs and an open connection does not. */
static void conn_tls_settle(struct conn *c)
{
    if (c->tls_bytes == TLS_OPEN_BYTES || !tls_is_open(c->tls))
        return;
    budget_release(&c->memory, c->tls_bytes - TLS_OPEN_BYTES);
    c->tls_bytes = TLS_OPEN_BYTES;
}

unsigned conn_tls_events(const struct conn *c, unsigned want)
{
    bool send = c->blocked && tls_send_wants_write(c->tls);
    bool recv = want & LOOP_READABLE && tls_recv_wants_write(c->tls);

    return (want & ~(unsigned)LOOP_WRITABLE) | (send || recv ? LOOP_WRITABLE : 0);
}

ssize_t conn_tls_recv(struct conn *c, size_t room)
{
    ssize_t n = tls_recv(c->tls, c->loop->scratch, room);

    conn_tls_settle(c);
    if (c->blocked && !tls_send_wants_write(c->tls)) { /* it waited for what came now */
        c->blocked = false;
        conn_dirty(c);
    }
    if (n == ERR_AGAIN)
        conn_watch(c);
    return n;
}

ssize_t conn_tls_send(struct conn *c)
{
    uint64_t before = tls_taken_total(c->tls);
    ssize_t n = tls_send(c->tls, c->out.mem + c->out.off, c->out.len);

    conn_tls_settle(c);
    if (n == ERR_AGAIN && tls_taken_total(c->tls) > before) { /* a part of a record went */
        c->last_taken_us = clock_mono_us(&c->loop->clock);
        if (c->state == CONN_FINISHING)
            conn_timer_in(c, CONN_FINISH_STALL_MS);
    }
    return n;
}

/* Where all was sent the peer is told that this is the end, if the socket takes it. */
void conn_tls_free(struct conn *c)
{
    if (c->out.len == 0)
        (void)tls_end(c->tls);
    tls_free(c->tls);
    budget_release(&c->memory, c->tls_bytes);
}
