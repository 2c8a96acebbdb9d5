/* SPDX-License-Identifier: Apache-2.0 */
/* API keys in the store: made, looked up by hash, listed, revoked. */
#include "store/keys.h"

#include <sodium.h>
#include <stdio.h>

#include "base/b64.h"
#include "base/list.h"

enum { SECRET_BYTES = 32 };

_Static_assert(sizeof KEY_TAG - 1 + 2 * SECRET_BYTES + 1 == KEY_TEXT_BYTES, "shape of a key");
_Static_assert(KEY_HASH_BYTES == crypto_hash_sha256_BYTES, "keys are stored as SHA-256");

void key_hash(struct str key, uint8_t ret_hash[static KEY_HASH_BYTES])
{
    crypto_hash_sha256(ret_hash, (const unsigned char *)key.p, key.n);
}

static struct str keys_hash_bytes(const uint8_t hash[static KEY_HASH_BYTES])
{
    return (struct str){(const char *)hash, KEY_HASH_BYTES};
}

static int keys_insert(struct db *db, struct str key, int64_t account, int64_t wall_us)
{
    uint8_t hash[KEY_HASH_BYTES];
    struct db_stmt *st = db_stmt(db, "INSERT INTO api_keys (hash, prefix, account, created_us)"
                                     " VALUES (?1, ?2, ?3, ?4)");

    key_hash(key, hash);
    db_bind_blob(st, 1, keys_hash_bytes(hash));
    db_bind_str(st, 2, (struct str){key.p, KEY_PREFIX_BYTES});
    db_bind_i64(st, 3, account);
    db_bind_i64(st, 4, wall_us);
    return db_run(st) < 0 ? ERR_STORE : 0;
}

int key_create(struct db *db, struct str account, const struct rand_src *rand, int64_t wall_us,
               char ret_key[static KEY_TEXT_BYTES])
{
    uint8_t secret[SECRET_BYTES];
    char text[KEY_TEXT_BYTES] = KEY_TAG;
    int64_t account_id;
    int rc = account_name_check(account);

    if (rc < 0)
        return rc;
    rand_fill(rand, secret, sizeof secret);
    hex_encode(secret, sizeof secret, text + sizeof KEY_TAG - 1);
    rc = account_ensure(db, account, &account_id);
    if (rc == 0)
        rc = keys_insert(db, (struct str){text, KEY_TEXT_BYTES - 1}, account_id, wall_us);
    if (rc == 0)
        memcpy(ret_key, text, sizeof text);
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(text, sizeof text);
    return rc;
}

static int keys_find(struct db *db, struct key_lookup_op *k)
{
    struct db_stmt *st =
        db_stmt(db, "SELECT a.name, a.balance, s.first_content_ms, s.request_deadline_ms"
                    " FROM api_keys k JOIN accounts a ON a.id = k.account"
                    " LEFT JOIN account_settings s ON s.account = a.id"
                    " WHERE k.hash = ?1 AND k.revoked_us IS NULL");
    int rc;

    db_bind_blob(st, 1, keys_hash_bytes(k->hash));
    rc = db_step(st);
    if (rc > 0) {
        snprintf(k->account, sizeof k->account, "%.*s", STR_ARG(db_col_str(st, 0)));
        k->balance_micro_usd = db_col_i64(st, 1);
        k->settings = (struct account_settings){db_col_i64(st, 2), db_col_i64(st, 3)};
    }
    db_reset(st);
    return rc > 0 ? 0 : rc < 0 ? ERR_STORE : ERR_NOT_FOUND;
}

int key_lookup(struct db *db, const uint8_t hash[static KEY_HASH_BYTES],
               char ret_account[static ACCOUNT_MAX_BYTES + 1])
{
    struct key_lookup_op k;
    int rc;

    key_lookup_op_init(&k, hash, NULL);
    rc = keys_find(db, &k);
    if (rc == 0)
        memcpy(ret_account, k.account, sizeof k.account);
    return rc;
}

/* How many active keys the text names: the hash decides for a whole key, which may also be looked
 * for by somebody who lost the list. */
static int keys_count_active(struct db *db, struct str prefix, const uint8_t *hash, int64_t *ret_n)
{
    struct db_stmt *st = db_stmt(db, "SELECT count(*) FROM api_keys"
                                     " WHERE revoked_us IS NULL AND (prefix = ?1 OR hash = ?2)");
    int rc;

    db_bind_str(st, 1, prefix);
    db_bind_blob(st, 2, keys_hash_bytes(hash));
    rc = db_step(st);
    if (rc > 0)
        *ret_n = db_col_i64(st, 0);
    db_reset(st);
    return rc > 0 ? 0 : ERR_STORE;
}

int key_revoke(struct db *db, struct str key_or_prefix, int64_t wall_us)
{
    uint8_t hash[KEY_HASH_BYTES];
    struct db_stmt *st;
    int64_t n = 0;

    key_hash(key_or_prefix, hash);
    if (keys_count_active(db, key_or_prefix, hash, &n) < 0)
        return ERR_STORE;
    if (n != 1)
        return n == 0 ? ERR_NOT_FOUND : ERR_CONFLICT;
    st = db_stmt(db, "UPDATE api_keys SET revoked_us = ?3"
                     " WHERE revoked_us IS NULL AND (prefix = ?1 OR hash = ?2)");
    db_bind_str(st, 1, key_or_prefix);
    db_bind_blob(st, 2, keys_hash_bytes(hash));
    db_bind_i64(st, 3, wall_us);
    return db_run(st) < 0 ? ERR_STORE : 0;
}

int key_list(struct db *db, void (*each)(void *ud, const struct key_info *info), void *ud)
{
    struct db_stmt *st =
        db_stmt(db, "SELECT k.prefix, a.name, k.created_us, a.balance, k.revoked_us"
                    " FROM api_keys k JOIN accounts a ON a.id = k.account"
                    " ORDER BY k.created_us, k.prefix");
    int rc;

    while ((rc = db_step(st)) > 0) {
        struct key_info info = {
            .prefix = db_col_str(st, 0),
            .account = db_col_str(st, 1),
            .created_us = db_col_i64(st, 2),
            .balance_micro_usd = db_col_i64(st, 3),
            .active = db_col_is_null(st, 4),
        };

        each(ud, &info);
    }
    db_reset(st);
    return rc < 0 ? ERR_STORE : 0;
}

static int keys_lookup_run(struct db *db, struct store_op *op)
{
    return keys_find(db, list_owner(op, struct key_lookup_op, op));
}

void key_lookup_op_init(struct key_lookup_op *k, const uint8_t hash[static KEY_HASH_BYTES],
                        void (*done)(struct store_op *op))
{
    *k = (struct key_lookup_op){.op = {.run = keys_lookup_run, .done = done, .flags = STORE_READS}};
    memcpy(k->hash, hash, KEY_HASH_BYTES);
}
