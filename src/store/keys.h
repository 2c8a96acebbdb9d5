/* SPDX-License-Identifier: Apache-2.0 */
/* API keys: "eigeninference-" and 64 lower-case hex digits, shown once, stored as SHA-256. A key
 * belongs to an account. The functions run on the store thread (inside a store_op) or on a database
 * opened by the command line. */
#ifndef DARKBLOOM_STORE_KEYS_H
#define DARKBLOOM_STORE_KEYS_H

#include "base/rand.h"
#include "store/account.h"
#include "store/store.h"

#define KEY_TAG "eigeninference-"
enum {
    KEY_TEXT_BYTES = 15 + 64 + 1, /* with its NUL */
    KEY_HASH_BYTES = 32,
    KEY_PREFIX_BYTES = 15 + 8, /* the tag and 8 hex digits: what lists show */
};

/* SHA-256 of the key's text: what is stored and looked up. */
void key_hash(struct str key, uint8_t ret_hash[static KEY_HASH_BYTES]);

/* Make a key for `account`, opening the account where there is none. The text is a secret: the
 * caller wipes it. ERR_RANGE and ERR_DENIED as account_name_check, or ERR_STORE. */
int key_create(struct db *db, struct str account, const struct rand_src *rand, int64_t wall_us,
               char ret_key[static KEY_TEXT_BYTES]);

/* Owner of an active key. 0, ERR_NOT_FOUND or ERR_STORE. */
int key_lookup(struct db *db, const uint8_t hash[static KEY_HASH_BYTES],
               char ret_account[static ACCOUNT_MAX_BYTES + 1]);

/* Revoke by whole key or by its listed prefix. 0, ERR_NOT_FOUND (no active key fits), ERR_CONFLICT
 * (the prefix fits several), ERR_STORE. */
int key_revoke(struct db *db, struct str key_or_prefix, int64_t wall_us);

struct key_info {
    struct str prefix, account; /* borrowed for the call */
    int64_t created_us;
    int64_t balance_micro_usd; /* the account's */
    bool active;
};
/* Call `each` for every key, oldest first. 0 or ERR_STORE. */
int key_list(struct db *db, void (*each)(void *ud, const struct key_info *info), void *ud);

/* Look a key up from the loop: an operation to embed. op.rc as key_lookup. */
struct key_lookup_op {
    struct store_op op;
    uint8_t hash[KEY_HASH_BYTES];
    char account[ACCOUNT_MAX_BYTES + 1]; /* result when op.rc is 0 */
    int64_t balance_micro_usd;           /* result: the account's balance */
    struct account_settings settings;    /* result: what the account has set for itself */
};
void key_lookup_op_init(struct key_lookup_op *k, const uint8_t hash[static KEY_HASH_BYTES],
                        void (*done)(struct store_op *op));

#endif
