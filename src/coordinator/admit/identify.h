/* SPDX-License-Identifier: Apache-2.0 */
/* From an Authorization header to an account: the key's hash in memory, or a question to the store
 * that suspends the caller. */
#ifndef DARKBLOOM_COORDINATOR_ADMIT_IDENTIFY_H
#define DARKBLOOM_COORDINATOR_ADMIT_IDENTIFY_H

#include "coordinator/admit/accounts.h"
#include "coordinator/coord.h"
#include "proto/api_error.h"

enum { IDENTIFY_PEER_BYTES = 64 };

/* Embed in what waits; it must live until `done` was called. */
struct identify {
    struct coord *coord;
    struct key_lookup_op lookup;
    void (*done)(struct identify *q);
    bool pending;
    int rc; /* 0, ERR_AGAIN while pending, ERR_MISSING (no token), ERR_EXISTS (two), ERR_NOT_FOUND,
               ERR_BUSY (too many unknown ones from this address), ERR_STORE, ERR_NOMEM */
    int retry_after_s;       /* of ERR_BUSY */
    struct account *account; /* when rc is 0 */
    char peer[IDENTIFY_PEER_BYTES];
    struct list_node others; /* of the one that asks the store: who waits for its answer */
    struct list_node link;   /* among these */
};

/* From memory alone. 0: known; ERR_AGAIN: the store must say; otherwise refused: identify_error. */
int identify_recall(struct identify *q, struct coord *c, const struct http_request *req);

/* From memory or from the store, which an address may ask so often (admit/strangers.h); who comes
 * with a key that the store is being asked for waits for that answer and asks nothing. 0: known
 * now; ERR_AGAIN: `done` will be called later; otherwise refused: identify_error. */
int identify_start(struct identify *q, struct coord *c, const struct http_exchange *x,
                   void (*done)(struct identify *q));

/* What to tell a caller that was refused. */
void identify_error(const struct identify *q, struct api_error *ret_error);

#endif
