/* SPDX-License-Identifier: Apache-2.0 */
/* What all event loops must know of an account together: its last known balance, the holds that are
 * on their way to the store, its rate of requests, how many of them wait. Each loop has an account
 * struct of its own (accounts.h), which points here.
 *
 * Threads: a purse is found under a lock, once for each loop; everything in it is atomic. */
#ifndef DARKBLOOM_COORDINATOR_ADMIT_PURSE_H
#define DARKBLOOM_COORDINATOR_ADMIT_PURSE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "store/account.h"

/* Lives until purses_free; never moves. */
struct purse {
    char name[ACCOUNT_MAX_BYTES + 1];
    /* What the store said last, INT64_MIN: not known. A hint, which saves waiting: what two loops
     * hear at the same moment may be noted in either order, another process may spend too. Only the
     * store decides. */
    _Atomic int64_t balance_micro_usd;
    _Atomic int64_t pending_micro_usd; /* holds submitted and not decided */
    _Atomic int64_t rate_until_ns;     /* mono: as far as requests are paid for: purse_take */
    _Atomic int64_t n_waiting;         /* requests in the queues of all models and loops */
};

struct purses;

/* `rate_per_s` of each account, 0: unlimited; `rate_burst` at once. NULL: no memory. */
struct purses *purses_new(double rate_per_s, int64_t rate_burst);
void purses_free(struct purses *ps); /* NULL is allowed */

/* Other limits from now on, for every account. */
void purses_limit_rate(struct purses *ps, double rate_per_s, int64_t rate_burst);

/* The account's, a new one where there is none. NULL: no memory. */
struct purse *purses_find(struct purses *ps, const char *name);

/* Take one request out of the account's rate. 0, or ERR_BUSY with seconds until the next one. */
int purse_take(const struct purses *ps, struct purse *p, int64_t now_us, int *ret_retry_after_s);

/* Whether the known balance, less what is pending, covers a hold. */
bool purse_covers(const struct purse *p, int64_t micro_usd);
void purse_pend(struct purse *p, int64_t micro_usd); /* negative: decided */
void purse_set_balance(struct purse *p, int64_t balance_micro_usd);
void purse_forget_balance(struct purse *p);

#endif
