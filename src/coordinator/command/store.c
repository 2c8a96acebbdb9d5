/* SPDX-License-Identifier: Apache-2.0 */
/* store show. */
#include <stdio.h>

#include "coordinator/command/options.h"
#include "store/migrate.h"

int command_store_show(const struct command_env *env, int argc, const struct str *argv,
                       struct err *ret_err)
{
    char id[STORE_ID_BYTES];
    int64_t schema = 0;
    struct db *db = NULL;
    int rc = command_no_arguments("store show", argc, argv, ret_err);

    if (rc == 0)
        rc = store_open_place(&env->store, DB_MUST_EXIST, &db, ret_err);
    if (rc < 0)
        return rc;
    if (store_id(db, id) < 0 || store_schema(db, &schema) < 0)
        rc = err_set(ret_err, ERR_STORE, "the store %.150s cannot be read: %s", env->store.path,
                     db_message(db));
    else
        dprintf(env->out, "id      %s\nschema  %lld\npath    %s\n", id, (long long)schema,
                env->store.path);
    db_close(db);
    return rc;
}
