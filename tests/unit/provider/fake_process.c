/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/provider/fake_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void on_connected(void *ud, int sock_or_err)
{
    struct fake_process *p = ud;

    assert_true(sock_or_err >= 0);
    p->connected = sock_or_err;
}

/* A start cannot let the loop run, so wires are made ahead. */
static void make_wires(struct fake_process *p)
{
    char peer[64];

    while (p->n_spare < 2) {
        loop_connect(p->loop, "127.0.0.1", p->port, on_connected, p);
        loop_fake_settle(p->loop);
        p->spare[p->n_spare].daemon_end = p->connected;
        p->spare[p->n_spare].engine_end = loop_accept(p->loop, p->listener, peer);
        assert_true(p->spare[p->n_spare++].engine_end >= 0);
    }
}

void fake_process_up(struct fake_process *p, struct loop *loop)
{
    *p = (struct fake_process){.loop = loop};
    buf_init(&p->in, 16 << 20);
    assert_int_equal(loop_listen(loop, "127.0.0.1", 0, &p->listener, &p->port, NULL), 0);
    make_wires(p);
}

void fake_process_down(struct fake_process *p)
{
    if (p->running)
        loop_close(p->loop, p->engine_end);
    while (p->n_spare > 0) {
        loop_close(p->loop, p->spare[--p->n_spare].engine_end);
        loop_close(p->loop, p->spare[p->n_spare].daemon_end);
    }
    loop_close(p->loop, p->listener);
    buf_free(&p->in);
}

static int fake_start(void *ud, void (*exited)(void *exited_ud, int status), void *exited_ud,
                      int *ret_sock, struct err *ret_err)
{
    struct fake_process *p = ud;

    assert_false(p->running);
    p->starts++;
    if (p->start_fails)
        return err_set(ret_err, ERR_CONFIG, "it is not there");
    p->running = true;
    p->exited = exited;
    p->exited_ud = exited_ud;
    assert_true(p->n_spare > 0);
    p->engine_end = p->spare[--p->n_spare].engine_end;
    *ret_sock = p->spare[p->n_spare].daemon_end;
    return 0;
}

static void fake_kill(void *ud)
{
    ((struct fake_process *)ud)->kills++;
}

struct process_ops fake_process_ops(struct fake_process *p)
{
    return (struct process_ops){fake_start, fake_kill, p};
}

bool fake_process_hears(struct fake_process *p, struct wire_msg *ret_msg)
{
    char bytes[4096];
    ssize_t n;
    int rc;

    loop_fake_settle(p->loop);
    while ((n = loop_recv(p->loop, p->engine_end, bytes, sizeof bytes)) > 0)
        assert_int_equal(buf_append(&p->in, bytes, (size_t)n), 0);
    buf_consume(&p->in, p->heard_bytes);
    p->heard_bytes = 0;
    rc = wire_next(buf_view(&p->in), WIRE_DAEMON, ret_msg, &p->heard_bytes);
    assert_true(rc >= 0);
    return rc == 1;
}

void fake_process_says_bytes(struct fake_process *p, struct str bytes)
{
    struct iovec iov = {.iov_base = (char *)bytes.p, .iov_len = bytes.n};

    assert_int_equal(loop_sendv(p->loop, p->engine_end, &iov, 1), (ssize_t)bytes.n);
    loop_fake_settle(p->loop);
}

void fake_process_says(struct fake_process *p, const struct wire_msg *m)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(wire_append(&out, m), 0);
    fake_process_says_bytes(p, buf_view(&out));
    buf_free(&out);
}

void fake_process_ends(struct fake_process *p, int status)
{
    assert_true(p->running);
    loop_close(p->loop, p->engine_end);
    p->running = false;
    buf_clear(&p->in);
    p->heard_bytes = 0;
    p->exited(p->exited_ud, status);
    make_wires(p);
}
