/* SPDX-License-Identifier: Apache-2.0 */
/* Version 5: what an account has set for itself (FR-40); NULL is the coordinator's own setting. */
#include "store/migrate.h"

/* clang-format off */
const char migration_005_sql[] =
    "CREATE TABLE account_settings (\n"
    "    account             INTEGER PRIMARY KEY REFERENCES accounts (id),\n"
    "    first_content_ms    INTEGER CHECK (first_content_ms > 0),\n"
    "    request_deadline_ms INTEGER CHECK (request_deadline_ms > 0)\n"
    ") STRICT;\n";
/* clang-format on */
