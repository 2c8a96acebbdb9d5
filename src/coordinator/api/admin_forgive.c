/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/admin/providers/forgive. The registries first, then the store: whatever a registry saves
 * of the key before the store has forgiven it cannot bring the distrust back (provider_state.h: a
 * saved distrust stays, a lack of one changes nothing). */
#include <stdlib.h>

#include "base/log.h"
#include "coordinator/api/admin.h"
#include "coordinator/coord.h"
#include "coordinator/reply/answer.h"
#include "store/provider_state.h"

struct forgive {
    struct admin_query q;
    struct provider_state_forgive op;
    char key[ADMIN_VALUE_BYTES + 1];
    bool found; /* by a registry */
};

static void forgive_answer(struct forgive *f)
{
    struct coord *c = f->q.home;

    if (f->op.op.rc < 0) {
        admin_fail(&f->q, API_STORE, NULL, "the key could not be forgiven in the store; try again");
    } else if (!f->found && !f->op.found) {
        admin_fail(&f->q, API_NOT_FOUND, "key", "no such key is distrusted");
    } else {
        log_event(c->log, LOG_WARN, EV_KEY_FORGIVEN, KV_CSTR("key", f->key));
        if (f->q.text)
            writer_printf(&f->q.w, "forgiven; its provider is challenged anew: %s\n", f->key);
        else
            writer_printf(&f->q.w, "{\"key\":\"%s\",\"forgiven\":true}\n", f->key);
    }
    admin_finish(&f->q);
    free(f);
}

static void forgive_stored(struct store_op *op)
{
    forgive_answer(list_owner(op, struct forgive, op.op));
}

static void forgive_visit(struct hub_round *r, struct coord *c)
{
    struct forgive *f = list_owner(r, struct forgive, q.round);

    if (registry_forgive(c->registry, str_from(f->key)) == 0)
        f->found = true;
}

static void forgive_visited(struct hub_round *r)
{
    struct forgive *f = list_owner(r, struct forgive, q.round);

    provider_state_forgive_init(&f->op, forgive_stored);
    memcpy(f->op.key, f->key, sizeof f->op.key);
    coord_submit(f->q.home, &f->op.op);
}

static int forgive_params(struct forgive *f)
{
    int rc = admin_param(&f->q, "key", f->key);

    if (rc == ERR_NOT_FOUND)
        admin_fail(&f->q, API_MISSING_FIELD, "key", "name the key, as `providers --json` shows it");
    if (rc < 0)
        return rc;
    if (strlen(f->key) == PROVIDER_STATE_KEY_BYTES - 1 &&
        strspn(f->key, "0123456789abcdef") == PROVIDER_STATE_KEY_BYTES - 1)
        return 0;
    admin_fail(&f->q, API_BAD_VALUE, "key",
               "it must be 64 lower-case hex digits, as `providers --json` shows it");
    return ERR_USAGE;
}

void admin_forgive(struct coord *c, struct http_exchange *x)
{
    static const char *const names[] = {"key", NULL};
    struct forgive *f = calloc(1, sizeof *f);

    if (!f) {
        answer_no_memory(c, x);
        return;
    }
    if (admin_begin(&f->q, c, x, names) < 0 || forgive_params(f) < 0) {
        admin_finish(&f->q);
        free(f);
        return;
    }
    hub_round(c, &f->q.round, forgive_visit, forgive_visited);
}
