/* SPDX-License-Identifier: Apache-2.0 */
/* Version 3: a hold expires by the monotonic clock of the boot that made it, which no step of the
 * wall clock moves; deadline_us and expires_us stay for people to read. An open hold of an older
 * schema belongs to another boot, and those are settled whatever their deadline, so 0 does for it.
 * The index finds holds by boot and expiry. Requests that were charged nothing give their
 * Idempotency-Key back. */
#include "store/migrate.h"

/* clang-format off */
const char migration_003_sql[] =
    "ALTER TABLE holds ADD COLUMN expires_mono_us INTEGER NOT NULL DEFAULT 0;\n"
    "DROP INDEX holds_open;\n"
    "CREATE INDEX holds_open ON holds (boot_id, expires_mono_us) WHERE settled_us IS NULL;\n"
    "UPDATE holds SET idempotency_key = NULL, body_hash = NULL\n"
    "    WHERE settled_us IS NOT NULL AND cost = 0 AND idempotency_key IS NOT NULL;\n";
/* clang-format on */
