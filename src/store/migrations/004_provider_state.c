/* SPDX-License-Identifier: Apache-2.0 */
/* Version 4: what is known of a provider's proven key, which survives its reconnect and our restart
 * (FR-1). `state` is the registry's own text and nothing here reads it. `distrusted` is the reason
 * code of a distrust, which is final: nothing sets it back. The index finds the oldest rows first,
 * the distrusted ones last. */
#include "store/migrate.h"

/* clang-format off */
const char migration_004_sql[] =
    "CREATE TABLE provider_state (\n"
    "    key        TEXT    PRIMARY KEY CHECK (length(key) = 64),\n"
    "    distrusted TEXT,\n"
    "    saved_us   INTEGER NOT NULL,\n"
    "    state      TEXT    NOT NULL\n"
    ") STRICT, WITHOUT ROWID;\n"
    "CREATE INDEX provider_state_age ON provider_state (distrusted IS NOT NULL, saved_us);\n";
/* clang-format on */
