/* SPDX-License-Identifier: Apache-2.0 */
/* A loop in virtual time over in-memory sockets: coordinator, scripted providers and scripted
 * consumers run in one thread, and a test of a 30-second time-out takes microseconds. Peers find
 * each other by port through loop_listen and loop_connect as on a real loop. */
#ifndef DARKBLOOM_NET_LOOP_FAKE_H
#define DARKBLOOM_NET_LOOP_FAKE_H

#include "net/loop.h"

struct loop_fake_faults {
    size_t recv_max;     /* > 0: a recv returns at most this many bytes (splits every frame) */
    size_t send_max;     /* > 0: a send takes at most this many bytes */
    size_t socket_bytes; /* bytes an unread socket holds before sends say ERR_AGAIN; 0: 64 KiB */
    int max_accepted;    /* > 0: accepting more sockets than this fails: no descriptors */
};

/* Virtual wall time starts at `wall_us`. */
int loop_fake_new(int64_t wall_us, struct loop **ret_loop);
/* Another loop in the world of `l`: the same time, and sockets that either may watch. What settles,
 * runs or advances one does so with all. */
int loop_fake_beside(struct loop *l, struct loop **ret_loop);
void loop_fake_set_faults(struct loop *l, struct loop_fake_faults faults);
/* Who connects from now on does so from this address ("127.0.0.1" before). */
void loop_fake_set_address(struct loop *l, const char *address);
/* Of several loops that listen on one port (loop_listen_shared), who connects from now on reaches
 * this one. */
void loop_fake_aim(struct loop *l);

/* One iteration: whether anything happened. */
bool loop_fake_step(struct loop *l);
/* Run iterations until nothing is ready and nothing is due now. Virtual time does not move. */
void loop_fake_settle(struct loop *l);
/* Move virtual time forward, stopping at every timer on the way, settling after each. */
void loop_fake_advance(struct loop *l, int64_t us);

#endif
