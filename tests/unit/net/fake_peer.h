/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of a connection, driven by hand: it sends exactly these bytes, and reads only when
 * told to. For loop_fake. */
#ifndef TESTS_NET_FAKE_PEER_H
#define TESTS_NET_FAKE_PEER_H

#include "base/buf.h"
#include "net/loop_fake.h"

struct fake_peer {
    struct loop *loop;
    int sock;       /* -1: not connected, or closed */
    struct buf got; /* what was read and not dropped */
    bool ended;     /* the end of the stream was read */
};

/* Connect to `port` and let the loop settle. The test fails when nobody listens. */
void fake_peer_connect(struct fake_peer *p, struct loop *l, uint16_t port);
/* Send what fits the socket and let the loop settle, until everything is sent; false when the
 * socket takes no more. */
bool fake_peer_send(struct fake_peer *p, struct str bytes);
/* Read everything that comes without time passing; what stands in `got` is returned. */
struct str fake_peer_read(struct fake_peer *p);
/* Whether `text` was read (after reading what there is). */
bool fake_peer_got(struct fake_peer *p, const char *text);
/* Forget what was read. */
void fake_peer_forget(struct fake_peer *p);
/* Whether the other end closed, after reading what there is. */
bool fake_peer_ended(struct fake_peer *p);
void fake_peer_close(struct fake_peer *p); /* and settle; closing twice is allowed */

/* A listener and both ends of one connection to it: `far_sock` is what it accepted. */
int fake_peer_pair(struct fake_peer *p, struct loop *l);

#endif
