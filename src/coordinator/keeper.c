/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/keeper.h"

#include <stdio.h>
#include <stdlib.h>

#include "coordinator/coord.h"
#include "coordinator/registry/registry.h"
#include "store/provider_state.h"

enum { KEEPER_WAIT_US = 1000000 };

/* Rows that nobody has changed for half a year say nothing any more; 200,000 are some 100 MB. */
#define KEEPER_OLD_US   (INT64_C(180) * 86400 * 1000000)
#define KEEPER_MAX_ROWS 200000

struct keeper {
    struct coord *coord;
    struct provider_state_save save;
    struct provider_state_prune prune;
    struct buf text; /* of one record */
    struct loop_timer timer;
    bool busy; /* `save` is in the store's hands */
};

static void keeper_submit(struct keeper *k);

struct keeper *keeper_new(struct coord *c)
{
    struct keeper *k = calloc(1, sizeof *k);

    if (k) {
        k->coord = c;
        buf_init(&k->text, PROVIDER_STATE_MAX_BYTES);
    }
    return k;
}

/* --- loading --- */

static void keeper_take(struct keeper *k, const struct provider_state_row *row)
{
    int rc = registry_load_record(k->coord->registry, str_from(row->key), row->state,
                                  str_from(row->distrusted));

    if (rc < 0)
        log_event(k->coord->log, LOG_WARN, EV_RECORD_UNREADABLE, KV_CSTR("key", row->key),
                  KV_CSTR("error", err_str(rc)));
}

int keeper_load(struct keeper *k, struct err *ret_err)
{
    struct provider_state_load *load = calloc(1, sizeof *load);
    int rc;

    if (!load)
        return err_set(ret_err, ERR_NOMEM, "no memory to load the providers' records");
    provider_state_load_init(load, NULL);
    do {
        rc = store_run_sync(k->coord->hub->store, &load->op);
        for (size_t i = 0; rc == 0 && i < load->rows.n; i++)
            keeper_take(k, &load->rows.rows[i]);
    } while (rc == 0 && provider_state_load_next(load));
    free(load);
    if (rc < 0)
        return err_set(ret_err, rc, "the providers' records could not be loaded: %s", err_str(rc));
    provider_state_prune_init(&k->prune, NULL);
    k->prune.before_wall_us = clock_wall_us(&k->coord->clock) - KEEPER_OLD_US;
    k->prune.max_rows = KEEPER_MAX_ROWS;
    coord_submit_soon(k->coord, &k->prune.op);
    return 0;
}

/* --- saving --- */

static void keeper_due(void *ud)
{
    keeper_submit(ud);
}

void keeper_dirty(struct keeper *k)
{
    if (!k->busy && !k->timer.place)
        loop_timer_set(k->coord->loop, &k->timer, KEEPER_WAIT_US, keeper_due, k);
}

static void keeper_saved(struct store_op *op)
{
    struct keeper *k = list_owner(op, struct keeper, save.op);
    const struct provider_state_rows *rows = &k->save.rows;

    k->busy = false;
    /* What was not written is told again, which sets the timer. */
    for (size_t i = 0; op->rc < 0 && i < rows->n; i++)
        registry_keep_record(k->coord->registry, str_from(rows->rows[i].key));
    if (registry_has_unsaved(k->coord->registry))
        keeper_dirty(k);
}

/* The next record that has changed, added to the batch. 0, or ERR_NOT_FOUND, ERR_LIMIT: no more
 * now.
 */
static int keeper_add_one(struct keeper *k)
{
    struct provider_state_row row = {.saved_wall_us = clock_wall_us(&k->coord->clock)};
    struct registry_saved saved;
    int rc;

    if (k->save.rows.n == PROVIDER_STATE_ROWS ||
        sizeof k->save.rows.text - k->save.rows.used < PROVIDER_STATE_MAX_BYTES)
        return ERR_LIMIT;
    buf_clear(&k->text);
    rc = registry_next_record(k->coord->registry, &k->text, &saved);
    if (rc < 0)
        return rc;
    snprintf(row.key, sizeof row.key, "%.*s", STR_ARG(saved.key));
    snprintf(row.distrusted, sizeof row.distrusted, "%s", saved.distrusted);
    row.state = buf_view(&k->text);
    return provider_state_add(&k->save.rows, &row);
}

static void keeper_submit(struct keeper *k)
{
    if (k->busy)
        return;
    provider_state_save_init(&k->save, keeper_saved);
    while (keeper_add_one(k) == 0)
        ;
    if (k->save.rows.n == 0)
        return;
    k->busy = true;
    coord_submit_soon(k->coord, &k->save.op);
}

void keeper_flush(struct keeper *k)
{
    if (!k)
        return;
    loop_timer_clear(k->coord->loop, &k->timer);
    keeper_submit(k);
}

void keeper_free(struct keeper *k)
{
    if (!k)
        return;
    loop_timer_clear(k->coord->loop, &k->timer);
    buf_free(&k->text);
    free(k);
}
