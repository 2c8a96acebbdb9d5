/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger in a store of its own, and its operations in one line each. */
#ifndef DARKBLOOM_TESTS_FAKE_LEDGER_H
#define DARKBLOOM_TESTS_FAKE_LEDGER_H

#include "ledger/ledger.h"
#include "unit/store/fake_store.h"

#define BOOT_NOW  "boot-now"
#define BOOT_OLD  "boot-old"
#define PROVIDER  "provider:01ab"
#define MINUTE_US 60000000LL
#define DAY_US    (24 * 60 * MINUTE_US)
#define WALL_US   1700000000000000LL
#define MONO_US   5000000LL /* the boot has been up for five seconds */
/* 1 and 2 USD per million tokens: a token costs 1 or 2 micro-USD. */
#define TEST_PRICE ((struct price){1000000, 2000000})

struct fake_ledger {
    struct fake_store f;
    struct db *db; /* a second connection: what others see, and tampering */
};

/* cmocka fixtures: *state is a struct fake_ledger with nobody in it but alice, who has 10,000. */
int fake_ledger_setup(void **state);
int fake_ledger_teardown(void **state);

/* Hold `ceiling` of the account's money for ten minutes. */
struct ledger_reserve reserve_of(const char *request_id, const char *account, int64_t ceiling);
/* Prompt 100, completion 200 tokens at TEST_PRICE for PROVIDER: 500. */
struct ledger_settle settle_of(const char *request_id, enum ledger_outcome outcome);
/* Run it alone and return its rc. */
int run(struct fake_ledger *l, struct store_op *op);

int64_t balance(struct fake_ledger *l, const char *account);
struct ledger_report audit(struct fake_ledger *l);
/* The ledger balances, and nothing is held but `held` in `open` holds. */
void assert_balanced(struct fake_ledger *l, int64_t open, int64_t held);
/* Change the database behind the ledger's back. */
void tamper(struct fake_ledger *l, const char *sql);

#endif
