/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/balances.h"

enum {
    BALANCES_SLOTS = 1024, /* a power of two, twice as many as are used */
    BALANCES_MAX = 512,
};

/* A hash table of account → sum, with its used slots in the order of first use. No account has
 * id 0. */
struct balances {
    struct balances_slot {
        int64_t account, micro_usd;
    } slots[BALANCES_SLOTS];
    uint16_t used[BALANCES_MAX];
    size_t n;
};

static void balances_drop(void *pending)
{
    struct balances *b = pending;

    for (size_t i = 0; i < b->n; i++)
        b->slots[b->used[i]] = (struct balances_slot){0};
    b->n = 0;
}

/* An account that is not there has no row to change: the transfer then names nobody. */
static int balances_write_one(struct db *db, const struct balances_slot *slot)
{
    struct db_stmt *st = db_stmt(db, "UPDATE accounts SET balance = balance + ?2 WHERE id = ?1");

    db_bind_i64(st, 1, slot->account);
    db_bind_i64(st, 2, slot->micro_usd);
    if (db_run(st) < 0 || db_changes(db) != 1)
        return ERR_STORE;
    return 0;
}

static int balances_flush(struct db *db, void *pending)
{
    struct balances *b = pending;

    for (size_t i = 0; i < b->n; i++) {
        const struct balances_slot *slot = &b->slots[b->used[i]];

        if (slot->micro_usd != 0 && balances_write_one(db, slot) < 0)
            return ERR_STORE;
    }
    balances_drop(b);
    return 0;
}

static struct balances *balances_of(struct db *db)
{
    static const struct db_pending_ops ops = {balances_flush, balances_drop};

    return db_pending(db, &ops, sizeof(struct balances));
}

/* The account's slot, or the empty one where it belongs. */
static struct balances_slot *balances_slot_of(struct balances *b, int64_t account)
{
    size_t i = (size_t)(((uint64_t)account * 0x9e3779b97f4a7c15u) >> 32);

    for (;; i++) {
        struct balances_slot *slot = &b->slots[i % BALANCES_SLOTS];

        if (slot->account == account || slot->account == 0)
            return slot;
    }
}

int balances_add(struct db *db, int64_t account, int64_t micro_usd)
{
    struct balances *b = balances_of(db);
    struct balances_slot *slot;

    if (!b)
        return ERR_NOMEM;
    if (b->n == BALANCES_MAX && balances_flush(db, b) < 0)
        return ERR_STORE;
    slot = balances_slot_of(b, account);
    if (slot->account == 0) {
        slot->account = account;
        b->used[b->n++] = (uint16_t)(slot - b->slots);
    }
    if (__builtin_add_overflow(slot->micro_usd, micro_usd, &slot->micro_usd))
        return ERR_STORE;
    return db_in_transaction(db) ? 0 : balances_flush(db, b);
}

int64_t balances_unwritten(struct db *db, int64_t account)
{
    struct balances *b = balances_of(db);

    return b ? balances_slot_of(b, account)->micro_usd : 0;
}

int balances_write(struct db *db)
{
    struct balances *b = balances_of(db);

    return b ? balances_flush(db, b) : ERR_NOMEM;
}
