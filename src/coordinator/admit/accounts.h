/* SPDX-License-Identifier: Apache-2.0 */
/* Who may enter: API keys → accounts, as a map in memory in front of the store. Each loop has its
 * own; an account's balance and rate are those of all loops (purse.h). Belongs to the loop's
 * thread. */
#ifndef DARKBLOOM_COORDINATOR_ADMIT_ACCOUNTS_H
#define DARKBLOOM_COORDINATOR_ADMIT_ACCOUNTS_H

#include "base/clock.h"
#include "base/list.h"
#include "coordinator/admit/purse.h"
#include "store/keys.h"

/* Lives until accounts_free; never moves. */
struct account {
    char name[ACCOUNT_MAX_BYTES + 1];
    struct account_settings settings; /* its own limits of time */
    struct purse *purse;
    struct list_node waiting; /* its tickets in this loop's queues of all models: admit/queue.h */
};

enum {
    ACCOUNTS_UNKNOWN_MAX = 4096, /* unknown keys that each loop remembers: 160 KiB */
    ACCOUNTS_UNKNOWN_S = 10      /* how long */
};

struct accounts;

/* `purses` outlive it. NULL: no memory. */
struct accounts *accounts_new(const struct clock *clock, struct purses *purses);
void accounts_free(struct accounts *as);

/* This loop's struct of an account that another loop has let in. NULL: no memory. */
struct account *accounts_by_name(struct accounts *as, const char *name);

/* The account of a key whose owner is known, or NULL: ask the store. */
struct account *accounts_by_key(struct accounts *as, const uint8_t hash[static KEY_HASH_BYTES]);

/* Remember what the store answered. NULL without memory. */
struct account *accounts_learn(struct accounts *as, const uint8_t hash[static KEY_HASH_BYTES],
                               const char *name, int64_t balance_micro_usd,
                               const struct account_settings *settings);

/* The store does not know this key, or no longer: it need not be asked again for a while. Of more
 * such keys than there is room for, the oldest are forgotten. */
void accounts_learn_unknown(struct accounts *as, const uint8_t hash[static KEY_HASH_BYTES]);
bool accounts_is_unknown(const struct accounts *as, const uint8_t hash[static KEY_HASH_BYTES]);

/* Another process changed the store: keys and balances must be asked for again. */
void accounts_forget(struct accounts *as);

/* Take one request out of the account's bucket. 0, or ERR_BUSY with seconds until the next one. */
int accounts_take(struct accounts *as, struct account *a, int *ret_retry_after_s);

/* Whether the known balance covers a hold, so that dispatch need not wait for the commit. */
bool account_covers(const struct account *a, int64_t micro_usd);
void account_hold_submitted(struct account *a, int64_t micro_usd);
void account_hold_decided(struct account *a, int64_t micro_usd, int64_t balance_micro_usd);
void account_balance_is(struct account *a, int64_t balance_micro_usd);

#endif
