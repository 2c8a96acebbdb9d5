/* SPDX-License-Identifier: Apache-2.0 */
/* One movement of money: a few lines that sum to zero, posted together. The only code that changes
 * a balance. Internal to ledger/; store thread, inside a transaction. */
#ifndef DARKBLOOM_LEDGER_TRANSFER_H
#define DARKBLOOM_LEDGER_TRANSFER_H

#include "store/account.h"

enum { TRANSFER_MAX_LINES = 4 };

struct transfer {
    const char *kind;     /* "reserve", "settle" or "credit" */
    int64_t hold;         /* id of the hold; 0: none */
    struct str reference; /* .p NULL: none */
    int64_t at_us;
    struct transfer_line {
        int64_t account; /* id */
        int64_t micro_usd;
    } lines[TRANSFER_MAX_LINES];
    size_t n_lines;
};

/* Add to an account's line: an account that appears twice (a consumer paid for its own provider)
 * has one line; nothing is added for 0. At most TRANSFER_MAX_LINES accounts. */
void transfer_add(struct transfer *t, int64_t account, int64_t micro_usd);

/* Write the transfer and add its lines to the balances (balances.h), which refuse at the latest
 * before the commit where an account would leave its range. The lines must sum to zero (CHECK). 0;
 * ERR_EXISTS where the hold or the reference has such a transfer already; ERR_STORE. */
int transfer_post(struct db *db, const struct transfer *t);

/* What the transfer adds to an account; 0 where it has no line. */
int64_t transfer_of(const struct transfer *t, int64_t account);

#endif
