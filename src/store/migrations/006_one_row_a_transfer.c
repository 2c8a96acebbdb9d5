/* SPDX-License-Identifier: Apache-2.0 */
/* Version 6: a transfer's lines stand in its own row. Rows of their own cost a third of a request's
 * time in the ledger, and no single row could say that a transfer balances: now the table refuses
 * one that does not. `entries` becomes a view of the lines. A transfer's accounts exist because
 * posting it changes the balance of each (ledger/transfer.c); a foreign key for each line would
 * cost as much as the rest of the insert. A ledger that does not balance is not brought up. */
#include "store/migrate.h"

/* clang-format off */
const char migration_006_sql[] =
    "DROP INDEX transfers_hold;\n"
    "DROP INDEX transfers_reference;\n"
    "ALTER TABLE transfers RENAME TO transfers_1;\n"

    /* A hold has at most one reserve and one settle; a credit's reference is used once. Two to four
     * lines, no account twice. (A check with IN would build a table in memory for each insert.) */
    "CREATE TABLE transfers (\n"
    "    id        INTEGER PRIMARY KEY,\n"
    "    kind      TEXT    NOT NULL\n"
    "        CHECK (kind = 'reserve' OR kind = 'settle' OR kind = 'credit'),\n"
    "    hold      INTEGER REFERENCES holds (id),\n"
    "    reference TEXT,\n"
    "    at_us     INTEGER NOT NULL,\n"
    "    account_1 INTEGER NOT NULL,\n"
    "    amount_1  INTEGER NOT NULL,\n"
    "    account_2 INTEGER NOT NULL,\n"
    "    amount_2  INTEGER NOT NULL,\n"
    "    account_3 INTEGER,\n"
    "    amount_3  INTEGER,\n"
    "    account_4 INTEGER,\n"
    "    amount_4  INTEGER,\n"
    "    CHECK (amount_1 + amount_2 + coalesce(amount_3, 0) + coalesce(amount_4, 0) = 0)\n"
    ") STRICT;\n"
    "INSERT INTO transfers\n"
    "    SELECT t.id, t.kind, t.hold, t.reference, t.at_us,\n"
    "           max(CASE n WHEN 1 THEN account END), max(CASE n WHEN 1 THEN amount END),\n"
    "           max(CASE n WHEN 2 THEN account END), max(CASE n WHEN 2 THEN amount END),\n"
    "           max(CASE n WHEN 3 THEN account END), max(CASE n WHEN 3 THEN amount END),\n"
    "           max(CASE n WHEN 4 THEN account END), max(CASE n WHEN 4 THEN amount END)\n"
    "    FROM transfers_1 t LEFT JOIN (SELECT transfer, account, amount,\n"
    "            row_number() OVER (PARTITION BY transfer ORDER BY account) AS n FROM entries) e\n"
    "        ON e.transfer = t.id\n"
    "    GROUP BY t.id;\n"
    "DROP TABLE entries;\n"
    "DROP TABLE transfers_1;\n"
    "CREATE UNIQUE INDEX transfers_hold ON transfers (hold, kind) WHERE hold IS NOT NULL;\n"
    "CREATE UNIQUE INDEX transfers_reference ON transfers (reference) WHERE reference IS NOT NULL;\n"

    "CREATE VIEW entries (transfer, hold, account, amount) AS\n"
    "    SELECT id, hold, account_1, amount_1 FROM transfers\n"
    "    UNION ALL SELECT id, hold, account_2, amount_2 FROM transfers\n"
    "    UNION ALL SELECT id, hold, account_3, amount_3 FROM transfers WHERE account_3 IS NOT NULL\n"
    "    UNION ALL SELECT id, hold, account_4, amount_4 FROM transfers WHERE account_4 IS NOT NULL;\n";
/* clang-format on */
