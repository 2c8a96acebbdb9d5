/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of a connection, driven by hand. */
#include "fake_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void on_connect(void *ud, int sock)
{
    ((struct fake_peer *)ud)->sock = sock;
}

void fake_peer_connect(struct fake_peer *p, struct loop *l, uint16_t port)
{
    *p = (struct fake_peer){.loop = l, .sock = -1};
    buf_init(&p->got, 64 << 20);
    loop_connect(l, "127.0.0.1", port, on_connect, p);
    loop_fake_settle(l);
    assert_true(p->sock >= 0);
}

bool fake_peer_send(struct fake_peer *p, struct str bytes)
{
    while (bytes.n > 0) {
        struct iovec iov = {(void *)bytes.p, bytes.n};
        ssize_t n = p->sock < 0 ? ERR_CLOSED : loop_sendv(p->loop, p->sock, &iov, 1);

        if (n < 0)
            return false;
        bytes = (struct str){bytes.p + n, bytes.n - (size_t)n};
        loop_fake_settle(p->loop);
    }
    return true;
}

struct str fake_peer_read(struct fake_peer *p)
{
    bool more = p->sock >= 0;

    while (more) {
        char bytes[4096];
        ssize_t n;

        loop_fake_settle(p->loop);
        n = loop_recv(p->loop, p->sock, bytes, sizeof bytes);
        more = n > 0;
        p->ended |= n == 0 || n == ERR_CLOSED;
        if (more)
            assert_int_equal(buf_append(&p->got, bytes, (size_t)n), 0);
    }
    return buf_view(&p->got);
}

bool fake_peer_got(struct fake_peer *p, const char *text)
{
    struct str all = fake_peer_read(p);

    return memmem(all.p, all.n, text, strlen(text)) != NULL;
}

void fake_peer_forget(struct fake_peer *p)
{
    (void)fake_peer_read(p);
    buf_clear(&p->got);
}

bool fake_peer_ended(struct fake_peer *p)
{
    (void)fake_peer_read(p);
    return p->ended;
}

void fake_peer_close(struct fake_peer *p)
{
    if (p->sock >= 0) {
        loop_close(p->loop, p->sock);
        p->sock = -1;
        loop_fake_settle(p->loop);
    }
    buf_free(&p->got);
}

int fake_peer_pair(struct fake_peer *p, struct loop *l)
{
    int listener, far_sock;
    uint16_t port;

    assert_int_equal(loop_listen(l, "127.0.0.1", 0, &listener, &port, NULL), 0);
    fake_peer_connect(p, l, port);
    far_sock = loop_accept(l, listener, NULL);
    assert_true(far_sock >= 0);
    loop_close(l, listener);
    return far_sock;
}
