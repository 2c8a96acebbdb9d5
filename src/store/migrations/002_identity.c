/* SPDX-License-Identifier: Apache-2.0 */
/* Version 2: the store's own name, by which a start notices that it has another store before it, or
 * a blank one (FR-50). Not a secret. */
#include "store/migrate.h"

/* clang-format off */
const char migration_002_sql[] =
    "CREATE TABLE store_identity (\n"
    "    one INTEGER PRIMARY KEY CHECK (one = 1),\n"
    "    id  TEXT    NOT NULL\n"
    ") STRICT;\n"
    "INSERT INTO store_identity (one, id) VALUES (1, lower(hex(randomblob(16))));\n";
/* clang-format on */
