/* SPDX-License-Identifier: Apache-2.0 */
/* Double-entry money: every movement is a transfer whose entries sum to zero, so all entries always
 * sum to zero. Only this room moves money. Each reserve and each settle is atomic and idempotent by
 * request id.
 *
 *   reserve   consumer −ceiling            holds +ceiling
 *   settle    holds −ceiling               provider +payout, platform +fee, consumer +rest
 *   release   settle with cost 0
 *   credit    world −amount                consumer +amount
 *
 * "holds" is one account for all holds; what a single hold holds is the sum of its own transfers
 * there. The row of a hold stays after settlement: it answers every repetition.
 *
 * Clocks: nothing is decided by the wall clock, which may jump; it is stored for people to read. A
 * hold carries the id of the boot (one run of the coordinator) and its request's deadline by that
 * run's monotonic clock, which governs the request too, and expires 60 s after it. So
 *
 *   a hold of this boot    ends when its request settles it, or when it has expired
 *   a hold of another boot has nobody left who would settle it: the next sweep does, at start-up
 *
 * both at the last checkpoint. Two coordinators never share a store (store/owner.h), or each would
 * take the other's holds for an earlier boot's.
 *
 * Operations embed a store_op: fill the inputs through the _init function, store_submit, read the
 * results in done. */
#ifndef DARKBLOOM_LEDGER_LEDGER_H
#define DARKBLOOM_LEDGER_LEDGER_H

#include "base/rand.h"
#include "ledger/price.h"
#include "store/keys.h"
#include "store/store.h"

#define LEDGER_HOLD_GRACE_US        (60LL * 1000000)
#define LEDGER_CREDIT_MAX_MICRO_USD 1000000000000LL /* a million USD in one credit */
#define LEDGER_BALANCE_MAX_MICRO_USD \
    1000000000000000LL /* credit may not lift a balance above this */
enum { LEDGER_ID_BYTES = 36 + 1, LEDGER_IDEMPOTENCY_MAX_BYTES = 255, LEDGER_MODEL_MAX_BYTES = 256 };

enum ledger_outcome {
    LEDGER_RELEASED,        /* nothing was delivered: whole hold back */
    LEDGER_COMPLETED,       /* the provider finished */
    LEDGER_CONSUMER_GONE,   /* charged for what was delivered */
    LEDGER_PROVIDER_FAILED, /* charged for what was delivered */
    LEDGER_DEADLINE,        /* cut at the request's deadline, charged for what was delivered */
    LEDGER_RECOVERED,       /* settled at start-up at the last checkpoint */
    LEDGER_EXPIRED,         /* the hold's own expiry */
    LEDGER_STOPPED,         /* cut by the coordinator itself (it stops, or has no room): charged for
                               what was delivered */
    LEDGER_OUTCOME_COUNT
};
/* As stored: "released", "completed", … "unknown" for a number that is none. */
const char *ledger_outcome_name(enum ledger_outcome o);

struct ledger_reserve {
    struct store_op op;
    /* in */
    char request_id[LEDGER_ID_BYTES];
    char account[ACCOUNT_MAX_BYTES + 1];
    char model[LEDGER_MODEL_MAX_BYTES + 1];
    char boot_id[LEDGER_ID_BYTES];
    struct price price;
    int64_t ceiling_micro_usd;
    int64_t now_wall_us;                   /* stored, not compared */
    int64_t now_mono_us, deadline_mono_us; /* of the coordinator's monotonic clock */
    char idempotency_key[LEDGER_IDEMPOTENCY_MAX_BYTES + 1]; /* "": none */
    uint8_t body_hash[32];                                  /* SHA-256, with an idempotency key */
    /* out: op.rc 0; ERR_FUNDS (balance set, nothing held); ERR_EXISTS: the idempotency key was used
     * with the same body by a request that runs or was charged, ERR_CONFLICT: with another body, or
     * the request_id holds another amount or account (first_request_id, first_open set); ERR_RANGE:
     * ceiling not above 0, negative price, or a time beyond int64; ERR_STORE. The same request_id
     * again: 0, nothing moves, also when it is settled by now. */
    int64_t balance_micro_usd; /* after the hold (ERR_FUNDS: what is there) */
    char first_request_id[LEDGER_ID_BYTES];
    bool first_open;
};
void ledger_reserve_init(struct ledger_reserve *r, void (*done)(struct store_op *op));

struct ledger_settle {
    struct store_op op;
    /* in */
    char request_id[LEDGER_ID_BYTES];
    char provider_account[ACCOUNT_MAX_BYTES + 1]; /* "provider:<hex>", an account, or unclaimed */
    enum ledger_outcome outcome;
    struct price price;                       /* the chosen provider's */
    int64_t prompt_tokens, completion_tokens; /* both 0 with LEDGER_RELEASED */
    int64_t now_wall_us;
    /* out: op.rc 0; ERR_NOT_FOUND: no such hold; ERR_STORE. The cost is ledger_charge's, with
     * delivered false for LEDGER_RELEASED only. Where it is 0 the request's idempotency key is free
     * again, as after a sweep that charged nothing. A second settle of the same request (also after
     * recovery or expiry settled it) moves nothing and returns what the first one did. */
    int64_t cost_micro_usd, payout_micro_usd, fee_micro_usd, refund_micro_usd;
    int64_t balance_micro_usd; /* the consumer's, after */
    bool already;
};
void ledger_settle_init(struct ledger_settle *s, void (*done)(struct store_op *op));

/* What settle will charge, for the receipt that does not wait for it: min(cost, ceiling), 0 when
 * nothing was delivered. Negative counts are 0; a cost beyond int64 is the ceiling. */
int64_t ledger_charge(const struct price *p, int64_t ceiling_micro_usd, int64_t prompt_tokens,
                      int64_t completion_tokens, bool delivered);

enum { LEDGER_CHECKPOINT_MAX = 256 };
struct ledger_checkpoint_row {
    char request_id[LEDGER_ID_BYTES];
    char provider_account[ACCOUNT_MAX_BYTES + 1];
    int64_t prompt_tokens, delivered_tokens;
};
struct ledger_checkpoint { /* nobody waits for it; rows of settled holds are ignored, and counts
                              never go down. op.rc 0 or ERR_STORE */
    struct store_op op;
    size_t n;
    struct ledger_checkpoint_row rows[LEDGER_CHECKPOINT_MAX];
};
void ledger_checkpoint_init(struct ledger_checkpoint *c, void (*done)(struct store_op *op));

/* Settle open holds that nobody will: those of all boots but this one (LEDGER_RECOVERED), and those
 * of this one that have expired by its monotonic clock (LEDGER_EXPIRED). At start-up, before the
 * first reserve, and from time to time. Each is charged its last checkpoint at the hold's own
 * price; without one the whole hold goes back. op.rc 0; ERR_MISSING: no boot_id; ERR_STORE (then
 * none is settled). */
struct ledger_sweep {
    struct store_op op;
    int64_t now_wall_us; /* stored, not compared */
    int64_t now_mono_us;
    char boot_id[LEDGER_ID_BYTES];
    int64_t settled, released; /* out: charged for something; given back whole */
};
void ledger_sweep_init(struct ledger_sweep *s, void (*done)(struct store_op *op));

/* Credit an account from the world (deposits, demo credit), opening it where there is none.
 * `reference` names the reason and makes it idempotent: a second credit with the same reference
 * moves nothing and returns 0. ERR_RANGE: amount not in 1..LEDGER_CREDIT_MAX, or the balance would
 * exceed LEDGER_BALANCE_MAX; ERR_MISSING: empty reference; ERR_STORE. Inside the caller's
 * transaction. */
int ledger_credit(struct db *db, struct str account, int64_t amount_micro_usd, struct str reference,
                  int64_t wall_us);

/* 0 and the balance (0 for an unknown account), or ERR_STORE. */
int ledger_balance(struct db *db, struct str account, int64_t *ret_micro_usd);

struct ledger_report {
    int64_t entries, transfers, accounts;
    int64_t sum_micro_usd;        /* of all entries: must be 0 */
    int64_t unbalanced_transfers; /* or with one account twice: must be 0 */
    int64_t balance_mismatches;   /* cached balances that differ from their entries, accounts that
                                     have entries and no row: must be 0 */
    int64_t negative_accounts;    /* consumers or holds below 0: must be 0 */
    int64_t open_holds;
    int64_t
        expired_open_holds;  /* by the wall clock: a hint, a step of it changes this figure only */
    int64_t hold_mismatches; /* open holds whose account has not the ceiling, settled ones that
                                still hold money: must be 0 */
    int64_t held_micro_usd;
};
/* Recompute everything from the entries. 0 (also when something is wrong: read the report), or
 * ERR_STORE. Reads every entry: on a running coordinator's store use a handle of its own
 * (store_open_db) inside db_begin_read, which gives one consistent view and blocks nobody. */
int ledger_check(struct db *db, int64_t now_wall_us, struct ledger_report *ret_report);
bool ledger_report_ok(const struct ledger_report *r);

#endif
