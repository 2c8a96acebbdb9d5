/* SPDX-License-Identifier: Apache-2.0 */
/* Version 1 of the schema: keys, accounts and the ledger. Amounts are integer micro-USD, times are
 * microseconds since 1970 UTC. STRICT tables refuse a sum that has left the range of 64-bit
 * integers instead of rounding it. */
#include "store/migrate.h"

/* clang-format off */
const char migration_001_sql[] =
    /* balance is what the account's entries sum to, kept beside them so that a reserve reads one
     * row. Only the world, from which money comes, may be below zero. */
    "CREATE TABLE accounts (\n"
    "    id      INTEGER PRIMARY KEY,\n"
    "    name    TEXT    NOT NULL UNIQUE,\n"
    "    balance INTEGER NOT NULL DEFAULT 0 CHECK (balance >= 0 OR id = 1)\n"
    ") STRICT;\n"
    "INSERT INTO accounts (id, name)\n"
    "    VALUES (1, 'world'), (2, 'platform'), (3, 'holds'), (4, 'unclaimed');\n"

    /* A key is stored as its SHA-256; prefix is what people see of it in lists. */
    "CREATE TABLE api_keys (\n"
    "    hash       BLOB    PRIMARY KEY,\n"
    "    prefix     TEXT    NOT NULL,\n"
    "    account    INTEGER NOT NULL REFERENCES accounts (id),\n"
    "    created_us INTEGER NOT NULL,\n"
    "    revoked_us INTEGER\n"
    ") STRICT, WITHOUT ROWID;\n"
    "CREATE INDEX api_keys_prefix ON api_keys (prefix);\n"

    /* One row a request, kept after settlement: it answers a repeated reserve, settle or
     * Idempotency-Key. Open means settled_us IS NULL. Prices are micro-USD per million tokens. The
     * counts are the last checkpoint's until the settlement's replace them. */
    "CREATE TABLE holds (\n"
    "    id               INTEGER PRIMARY KEY,\n"
    "    request_id       TEXT    NOT NULL UNIQUE,\n"
    "    account          INTEGER NOT NULL REFERENCES accounts (id),\n"
    "    model            TEXT    NOT NULL,\n"
    "    input_price      INTEGER NOT NULL,\n"
    "    output_price     INTEGER NOT NULL,\n"
    "    ceiling          INTEGER NOT NULL CHECK (ceiling > 0),\n"
    "    boot_id          TEXT    NOT NULL,\n"
    "    created_us       INTEGER NOT NULL,\n"
    "    deadline_us      INTEGER NOT NULL,\n"
    "    expires_us       INTEGER NOT NULL,\n"
    "    idempotency_key  TEXT,\n"
    "    body_hash        BLOB,\n"
    "    provider_account TEXT,\n"
    "    prompt_tokens    INTEGER NOT NULL DEFAULT 0,\n"
    "    delivered_tokens INTEGER NOT NULL DEFAULT 0,\n"
    "    settled_us       INTEGER,\n"
    "    outcome          TEXT,\n"
    "    cost             INTEGER,\n"
    "    payout           INTEGER,\n"
    "    fee              INTEGER,\n"
    "    refund           INTEGER\n"
    ") STRICT;\n"
    "CREATE INDEX holds_open ON holds (expires_us) WHERE settled_us IS NULL;\n"
    "CREATE UNIQUE INDEX holds_idempotency ON holds (account, idempotency_key)\n"
    "    WHERE idempotency_key IS NOT NULL;\n"

    /* A movement of money and its lines, which sum to zero. A hold has at most one reserve and one
     * settle; a credit's reference is used once. The account 'holds' is a control account: what one
     * hold holds is the sum of its transfers' entries there. (A check with IN would build a table
     * in memory for each insert.) */
    "CREATE TABLE transfers (\n"
    "    id        INTEGER PRIMARY KEY,\n"
    "    kind      TEXT    NOT NULL\n"
    "        CHECK (kind = 'reserve' OR kind = 'settle' OR kind = 'credit'),\n"
    "    hold      INTEGER REFERENCES holds (id),\n"
    "    reference TEXT,\n"
    "    at_us     INTEGER NOT NULL\n"
    ") STRICT;\n"
    "CREATE UNIQUE INDEX transfers_hold ON transfers (hold, kind) WHERE hold IS NOT NULL;\n"
    "CREATE UNIQUE INDEX transfers_reference ON transfers (reference) WHERE reference IS NOT NULL;\n"

    "CREATE TABLE entries (\n"
    "    transfer INTEGER NOT NULL REFERENCES transfers (id),\n"
    "    account  INTEGER NOT NULL REFERENCES accounts (id),\n"
    "    amount   INTEGER NOT NULL,\n"
    "    PRIMARY KEY (transfer, account)\n"
    ") STRICT, WITHOUT ROWID;\n";
/* clang-format on */
