/* SPDX-License-Identifier: Apache-2.0 */
/* The world of fake loops: virtual time and in-memory sockets, which loops beside one another
 * share. Sockets come in pairs; what one sends waits at the other. Private to loop_fake.c. */
#ifndef DARKBLOOM_NET_FAKE_NET_H
#define DARKBLOOM_NET_FAKE_NET_H

#include "base/buf.h"
#include "base/list.h"
#include "net/loop_fake.h"

enum { FAKE_NET_SOCKETS_MAX = 4096, FAKE_NET_WAITING_MAX = 64 };

enum fake_kind { FAKE_FREE, FAKE_LISTENER, FAKE_STREAM };

struct fake_socket {
    enum fake_kind kind;
    int peer;        /* -1: the other end is closed */
    struct buf in;   /* what the peer sent and nobody has read */
    bool peer_ended; /* the peer will send nothing more */
    bool accepted;
    bool shared;                       /* listener: connections go to each of its port in turn */
    char from[64];                     /* accepted: the address of who connected */
    uint16_t port;                     /* listener */
    int waiting[FAKE_NET_WAITING_MAX]; /* listener: connections to accept */
    int n_waiting;
    struct loop_watch *watch;
};

struct fake_net {
    struct list_node loops; /* struct loop_fake; the last one to go frees this */
    int64_t mono_us, wall_us;
    struct loop_fake_faults faults;
    struct fake_socket sockets[FAKE_NET_SOCKETS_MAX];
    int n_sockets, n_accepted, last_listener;
    uint16_t next_port;
    char address[64]; /* of who connects now */
    const struct loop
        *aim; /* whose listener they reach, of several on a port; NULL: each in turn */
};

struct fake_net *fake_net_new(int64_t wall_us); /* NULL: no memory */
void fake_net_free(struct fake_net *f);
struct clock fake_net_clock(struct fake_net *f);

/* A listener, or a negative ERR_ code. */
int fake_net_listen(struct fake_net *f, uint16_t port, bool shared, uint16_t *ret_port);
int fake_net_accept(struct fake_net *f, int listener, char ret_peer[static 64]);
/* The near end of a new connection to who listens on `port`, or ERR_IO. */
int fake_net_connect(struct fake_net *f, uint16_t port);
ssize_t fake_net_recv(struct fake_net *f, int sock, void *ret_bytes, size_t cap);
ssize_t fake_net_sendv(struct fake_net *f, int sock, const struct iovec *iov, int n);
void fake_net_shutdown(struct fake_net *f, int sock);
void fake_net_close(struct fake_net *f, int sock);
/* LOOP_READABLE and LOOP_WRITABLE, as far as it is. */
unsigned fake_net_ready(const struct fake_net *f, const struct fake_socket *s);

#endif
