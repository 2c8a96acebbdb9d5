/* SPDX-License-Identifier: Apache-2.0 */
#include "net/fake_net.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/loop_ops.h"

enum { SOCKET_BYTES = 64 << 10, FIRST_PORT = 40000 };

static int64_t fake_net_mono(void *ud)
{
    return ((struct fake_net *)ud)->mono_us;
}

static int64_t fake_net_wall(void *ud)
{
    return ((struct fake_net *)ud)->wall_us;
}

struct clock fake_net_clock(struct fake_net *f)
{
    return (struct clock){fake_net_mono, fake_net_wall, f};
}

struct fake_net *fake_net_new(int64_t wall_us)
{
    struct fake_net *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->mono_us = 1000000; /* 0 means "never" in many places */
    f->wall_us = wall_us;
    f->next_port = FIRST_PORT;
    snprintf(f->address, sizeof f->address, "127.0.0.1");
    list_init(&f->loops);
    return f;
}

void fake_net_free(struct fake_net *f)
{
    for (int i = 0; i < f->n_sockets; i++)
        buf_free(&f->sockets[i].in);
    free(f);
}

static size_t fake_net_room(const struct fake_net *f, const struct fake_socket *s)
{
    size_t cap = f->faults.socket_bytes ? f->faults.socket_bytes : SOCKET_BYTES;

    return s->in.len < cap ? cap - s->in.len : 0;
}

static int fake_net_socket(struct fake_net *f, enum fake_kind kind)
{
    int i = 0;

    while (i < f->n_sockets && f->sockets[i].kind != FAKE_FREE)
        i++;
    if (i == FAKE_NET_SOCKETS_MAX)
        return ERR_IO;
    if (i == f->n_sockets)
        f->n_sockets++;
    f->sockets[i] = (struct fake_socket){.kind = kind, .peer = -1};
    buf_init(&f->sockets[i].in, SIZE_MAX / 2);
    return i;
}

int fake_net_accept(struct fake_net *f, int listener, char ret_peer[static 64])
{
    struct fake_socket *s = &f->sockets[listener];
    int sock;

    if (s->n_waiting == 0)
        return ERR_AGAIN;
    if (f->faults.max_accepted && f->n_accepted >= f->faults.max_accepted)
        return ERR_IO;
    sock = s->waiting[0];
    f->sockets[sock].accepted = true;
    f->n_accepted++;
    memmove(s->waiting, s->waiting + 1, (size_t)--s->n_waiting * sizeof s->waiting[0]);
    memcpy(ret_peer, f->sockets[sock].from, sizeof f->sockets[sock].from);
    return sock;
}

static bool fake_net_aimed_at(const struct fake_net *f, const struct fake_socket *s)
{
    const struct loop_part *watch = (const struct loop_part *)(const void *)s->watch;

    return !f->aim || !s->shared || (watch && watch->loop == f->aim);
}

/* Who listens on a port: of several the one that is aimed at, or each in turn. */
static struct fake_socket *fake_net_listener(struct fake_net *f, uint16_t port)
{
    for (int i = 1; i <= f->n_sockets; i++) {
        struct fake_socket *s = &f->sockets[(f->last_listener + i) % f->n_sockets];

        if (s->kind == FAKE_LISTENER && s->port == port && fake_net_aimed_at(f, s)) {
            f->last_listener = (int)(s - f->sockets);
            return s;
        }
    }
    return NULL;
}

int fake_net_connect(struct fake_net *f, uint16_t port)
{
    struct fake_socket *listener = fake_net_listener(f, port);
    int near_end, far_end;

    if (!listener || listener->n_waiting == FAKE_NET_WAITING_MAX)
        return ERR_IO;
    near_end = fake_net_socket(f, FAKE_STREAM);
    far_end = near_end < 0 ? near_end : fake_net_socket(f, FAKE_STREAM);
    if (far_end < 0)
        return ERR_IO;
    f->sockets[near_end].peer = far_end;
    f->sockets[far_end].peer = near_end;
    memcpy(f->sockets[far_end].from, f->address, sizeof f->address);
    listener->waiting[listener->n_waiting++] = far_end;
    return near_end;
}

ssize_t fake_net_recv(struct fake_net *f, int sock, void *ret_bytes, size_t cap)
{
    struct fake_socket *s = &f->sockets[sock];
    size_t n = s->in.len < cap ? s->in.len : cap;

    if (f->faults.recv_max && n > f->faults.recv_max)
        n = f->faults.recv_max;
    if (s->in.len == 0)
        return s->peer_ended || s->peer < 0 ? 0 : ERR_AGAIN;
    memcpy(ret_bytes, buf_view(&s->in).p, n);
    buf_consume(&s->in, n);
    return (ssize_t)n;
}

ssize_t fake_net_sendv(struct fake_net *f, int sock, const struct iovec *iov, int n)
{
    struct fake_socket *peer;
    size_t room, sent = 0;

    if (f->sockets[sock].peer < 0)
        return ERR_CLOSED;
    peer = &f->sockets[f->sockets[sock].peer];
    room = fake_net_room(f, peer);
    if (f->faults.send_max && room > f->faults.send_max)
        room = f->faults.send_max;
    for (int i = 0; i < n && room > sent; i++) {
        size_t take = iov[i].iov_len < room - sent ? iov[i].iov_len : room - sent;

        if (buf_append(&peer->in, iov[i].iov_base, take) < 0)
            return ERR_CLOSED;
        sent += take;
    }
    return sent > 0 ? (ssize_t)sent : ERR_AGAIN;
}

void fake_net_shutdown(struct fake_net *f, int sock)
{
    int peer = f->sockets[sock].peer;

    if (peer >= 0)
        f->sockets[peer].peer_ended = true;
}

void fake_net_close(struct fake_net *f, int sock)
{
    struct fake_socket *s = &f->sockets[sock];

    if (s->peer >= 0) {
        f->sockets[s->peer].peer = -1;
        f->sockets[s->peer].peer_ended = true;
    }
    for (int i = 0; i < s->n_waiting; i++)
        fake_net_close(f, s->waiting[i]);
    f->n_accepted -= s->accepted;
    buf_free(&s->in);
    *s = (struct fake_socket){.kind = FAKE_FREE, .peer = -1};
}

unsigned fake_net_ready(const struct fake_net *f, const struct fake_socket *s)
{
    unsigned ready = 0;

    if (s->kind == FAKE_LISTENER)
        return s->n_waiting > 0 ? LOOP_READABLE : 0;
    if (s->in.len > 0 || s->peer_ended || s->peer < 0)
        ready |= LOOP_READABLE;
    if (s->peer < 0 || fake_net_room(f, &f->sockets[s->peer]) > 0)
        ready |= LOOP_WRITABLE;
    return ready;
}

int fake_net_listen(struct fake_net *f, uint16_t port, bool shared, uint16_t *ret_port)
{
    struct fake_socket *other = port ? fake_net_listener(f, port) : NULL;
    int sock = other && !(shared && other->shared) ? ERR_IO : fake_net_socket(f, FAKE_LISTENER);

    if (sock < 0)
        return sock;
    f->sockets[sock].shared = shared;
    f->sockets[sock].port = port ? port : f->next_port++;
    *ret_port = f->sockets[sock].port;
    return sock;
}
