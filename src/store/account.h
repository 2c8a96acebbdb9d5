/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts: names that money and keys belong to. Balances move in ledger/ only. */
#ifndef DARKBLOOM_STORE_ACCOUNT_H
#define DARKBLOOM_STORE_ACCOUNT_H

#include "store/db.h"

enum { ACCOUNT_MAX_BYTES = 128 };

/* The ledger's own accounts, made by the first migration. */
enum account_fixed {
    ACCOUNT_WORLD = 1,     /* where credit comes from; the only one below zero */
    ACCOUNT_PLATFORM = 2,  /* fees */
    ACCOUNT_HOLDS = 3,     /* what all open holds hold */
    ACCOUNT_UNCLAIMED = 4, /* earned by providers without a key */
};

#define ACCOUNT_UNCLAIMED_NAME "unclaimed"

/* Whether people may open an account of this name: 1..128 letters, digits and . _ : @ - (0, else
 * ERR_RANGE), and neither one of the fixed ones nor "provider:…", to which providers earn
 * (ERR_DENIED). */
int account_name_check(struct str name);

/* The id of an account, made with balance 0 where there is none. 0 or ERR_STORE. */
int account_ensure(struct db *db, struct str name, int64_t *ret_id);

/* What an account has set for itself (FR-40). */
struct account_settings {
    int64_t first_content_ms;    /* from a request's receipt to content; 0: the coordinator's */
    int64_t request_deadline_ms; /* from its receipt to its end; 0: the coordinator's */
};

/* 0; ERR_NOT_FOUND: no such account; ERR_STORE, as for a negative number. */
int account_settings_get(struct db *db, struct str name, struct account_settings *ret_settings);
int account_settings_set(struct db *db, struct str name, const struct account_settings *settings);

#endif
