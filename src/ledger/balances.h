/* SPDX-License-Identifier: Apache-2.0 */
/* What the open transaction has added to balances and not written yet. A batch moves money of a few
 * accounts hundreds of times (each of its transfers has "holds", each settle "platform"); the sum
 * of an account is written once, before the commit (db_pending). Until then what the table says is
 * short by that sum, so whoever reads a balance inside a transaction adds it, or has it written
 * first. Internal to ledger/; store thread. */
#ifndef DARKBLOOM_LEDGER_BALANCES_H
#define DARKBLOOM_LEDGER_BALANCES_H

#include "store/db.h"

/* Add to an account's balance. 0; ERR_NOMEM; ERR_STORE, also where the sum leaves 64 bits.
 * Outside of a transaction it is written at once. */
int balances_add(struct db *db, int64_t account, int64_t micro_usd);

/* What has been added to the account's balance and not written: 0 for most. */
int64_t balances_unwritten(struct db *db, int64_t account);

/* Write all sums now. 0, or ERR_STORE: an account is not there or would leave its range; then the
 * transaction has to be rolled back. */
int balances_write(struct db *db);

#endif
