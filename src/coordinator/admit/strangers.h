/* SPDX-License-Identifier: Apache-2.0 */
/* How many keys that no loop knows an address may have looked up at the store in a second. A
 * look-up that finds an account is given back: what counts is what comes to nothing. One table for
 * all loops, of a fixed size: of more addresses than it has room for those are forgotten that were
 * silent the longest.
 *
 * Threads: any; a lock is held for a few reads of one row. */
#ifndef DARKBLOOM_COORDINATOR_ADMIT_STRANGERS_H
#define DARKBLOOM_COORDINATOR_ADMIT_STRANGERS_H

#include <stdint.h>

#include "base/err.h"

enum { STRANGERS_MAX = 4096 }; /* addresses at once: 96 KiB */

struct strangers;

/* `per_s` look-ups a second for each address, as many at once; 0: unlimited. NULL: no memory. */
struct strangers *strangers_new(int64_t per_s);
void strangers_free(struct strangers *s); /* NULL is allowed */

/* Another limit from now on, for every address. */
void strangers_limit(struct strangers *s, int64_t per_s);

/* One look-up for the peer (http_peer). IPv6 counts by its /64, which is one customer's; what is no
 * address counts as one. 0, or ERR_BUSY with seconds until the next one. */
int strangers_take(struct strangers *s, const char *peer, int64_t now_us, int *ret_retry_after_s);
/* It was no stranger. */
void strangers_give_back(struct strangers *s, const char *peer);

#endif
