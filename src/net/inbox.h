/* SPDX-License-Identifier: Apache-2.0 */
/* Messages from any thread to one loop. A message is a struct inbox_item in whatever it is about;
 * posting hands that over: from then on it belongs to the loop's thread, which runs `run` once.
 *
 *     sender:  item in its owner → inbox_post
 *     loop:    a wake-up → item->run(item->ud), in the order of posting of each sender
 *
 * Nothing is allocated and no lock is taken: a list that senders push to with one compare-and-swap
 * (LIFO, turned round when it is taken) and one wake-up for all that is posted until the loop takes
 * it. At most INBOX_TURN messages run in one iteration; the rest are next, so that sockets and
 * timers get their turn between. */
#ifndef DARKBLOOM_NET_INBOX_H
#define DARKBLOOM_NET_INBOX_H

#include "net/loop.h"

enum { INBOX_TURN = 64 };

struct inbox;

/* Zero it before first use. Between inbox_post and `run` only the inbox touches it. */
struct inbox_item {
    struct inbox_item *next;
    void (*run)(void *ud);
    void *ud;
    bool posted;
};

/* The loop's thread. 0, ERR_NOMEM or ERR_IO. */
int inbox_new(struct loop *l, struct inbox **ret_inbox);

/* Any thread. `run` is called on the loop's thread, never from inside this call; there it may post
 * the item again, to here or elsewhere, or free it. */
void inbox_post(struct inbox *in, struct inbox_item *item, void (*run)(void *ud), void *ud);

/* Run what has been posted, and what that posts here. The loop's thread, or any once that has
 * ended: what its loop will not run any more. */
void inbox_drain(struct inbox *in);

/* Nobody posts any more, and all that was posted has run. Not from inside `run`. NULL is allowed.
 */
void inbox_free(struct inbox *in);

#endif
