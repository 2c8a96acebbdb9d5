/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions made ahead of need (box.h), where there is a core for it on a thread of their own.
 *
 *     loop:   a slot of its slab, a job of its port ─→ orders ─→ the maker's thread makes the keys
 *     loop:   the next request takes what has been made ←─ done ←─────────┘
 *
 * A maker serves one loop or several; each loop has one port. Both ways are lists that are pushed
 * to with one compare-and-swap; no lock is taken and nothing is allocated. The queue is bounded: a
 * port has BOX_PORT_JOBS jobs, and what would need another one is not ordered. Nobody waits for an
 * order, so the loop is not woken: it looks when it needs a session, and makes one itself where
 * there is none. Keys are only ever in slots of the slab, which is locked and wiped. */
#ifndef DARKBLOOM_SEAL_MAKER_H
#define DARKBLOOM_SEAL_MAKER_H

#include "seal/box.h"

enum {
    BOX_PORT_JOBS = 256, /* under way at once; some 15 ms of the maker's time */
    BOX_STOCK_MAX = 16   /* ready for one peer: the requests of one turn of the loop */
};

/* The thread. Made and freed by any, while nobody orders; before its ports are freed. It finishes
 * the session at hand and leaves the rest unmade. ERR_NOMEM, ERR_BUSY: no thread. */
struct box_maker;
int box_maker_new(struct box_maker **ret_maker);
void box_maker_free(struct box_maker *m); /* NULL is allowed */

/* One loop's side; its thread's, as everything below. */
struct box_port;
int box_port_new(struct box_maker *m, struct box_port **ret_port);
/* Nothing is under way, or the maker has been freed: slots that were under way go back, wiped.
 * Before the slab is freed. NULL is allowed. */
void box_port_free(struct box_port *p);

/* What is ready for one peer. Zero it before first use; drop it before it goes. */
struct box_stock {
    struct box_session *ready[BOX_STOCK_MAX];
    unsigned n;       /* ready */
    unsigned ordered; /* under way */
    unsigned wanted;  /* as many as were asked for at once: doubles each time there is none */
};

/* The stock's next session, the caller's to close; NULL: there is none, or none yet. `port` NULL:
 * sessions are made in the loop. */
struct box_session *box_stock_take(struct box_stock *s, struct box_port *port);
/* Let the stock have `target` sessions, ready or under way, as far as jobs and slots go. They are
 * made for `peer_public` as it is now; one that cannot be (a key of low order) is left out without
 * a word. `port` NULL: at once, in this call. */
void box_stock_order(struct box_stock *s, struct box_slab *slab, struct box_port *port,
                     const uint8_t peer_public[static BOX_KEY_BYTES], unsigned target);
/* Wipe what is ready; what is under way is wiped when it comes back. */
void box_stock_drop(struct box_stock *s, struct box_port *port);

#endif
