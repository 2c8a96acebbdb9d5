/* SPDX-License-Identifier: Apache-2.0 */
/* Ending a hold: the one way in which settle, recovery and expiry do it. Internal to ledger/. */
#ifndef DARKBLOOM_LEDGER_SETTLE_H
#define DARKBLOOM_LEDGER_SETTLE_H

#include "ledger/ledger.h"

/* An open hold and what is to become of it. */
struct settlement {
    int64_t hold, account; /* ids */
    int64_t ceiling_micro_usd;
    enum ledger_outcome outcome;
    struct str provider_account; /* empty: unclaimed */
    int64_t prompt_tokens, completion_tokens;
    int64_t cost_micro_usd; /* 0..ceiling */
    int64_t at_us;
    int64_t balance_micro_usd; /* the consumer's before, and after settlement_post */
};

/* Mark the hold settled and move its money. 0 or ERR_STORE. */
int settlement_post(struct db *db, struct settlement *s);

#endif
