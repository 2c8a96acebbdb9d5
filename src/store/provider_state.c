/* SPDX-License-Identifier: Apache-2.0 */
#include "store/provider_state.h"

#include <stdio.h>

#include "base/list.h"

enum { PRUNE_MAX_ROWS = 1000 };

int provider_state_add(struct provider_state_rows *rows, const struct provider_state_row *row)
{
    struct provider_state_row *mine = &rows->rows[rows->n];

    if (strlen(row->key) != PROVIDER_STATE_KEY_BYTES - 1 || row->state.n > PROVIDER_STATE_MAX_BYTES)
        return ERR_RANGE;
    if (rows->n == PROVIDER_STATE_ROWS || row->state.n > sizeof rows->text - rows->used)
        return ERR_LIMIT;
    *mine = *row;
    mine->state.p = rows->text + rows->used;
    if (row->state.n > 0)
        memcpy(rows->text + rows->used, row->state.p, row->state.n);
    rows->used += row->state.n;
    rows->n++;
    return 0;
}

/* --- saving --- */

static int provider_state_save_row(struct db *db, const struct provider_state_row *row)
{
    struct db_stmt *st = db_stmt(db, "INSERT INTO provider_state (key, distrusted, saved_us, state)"
                                     " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO UPDATE SET"
                                     " distrusted = coalesce(distrusted, excluded.distrusted),"
                                     " saved_us = excluded.saved_us, state = excluded.state");

    db_bind_str(st, 1, str_from(row->key));
    if (row->distrusted[0])
        db_bind_str(st, 2, str_from(row->distrusted));
    db_bind_i64(st, 3, row->saved_wall_us);
    db_bind_str(st, 4, row->state);
    return db_run(st) < 0 ? ERR_STORE : 0;
}

static int provider_state_save_run(struct db *db, struct store_op *op)
{
    const struct provider_state_save *s = list_owner(op, struct provider_state_save, op);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->rows.n; i++)
        rc = provider_state_save_row(db, &s->rows.rows[i]);
    return rc;
}

void provider_state_save_init(struct provider_state_save *s, void (*done)(struct store_op *op))
{
    s->op = (struct store_op){.run = provider_state_save_run, .done = done};
    s->rows.n = s->rows.used = 0;
}

/* --- loading --- */

/* ERR_LIMIT: the page is full. A row that this program would not write is left out. */
static int provider_state_take(struct db_stmt *st, struct provider_state_rows *rows)
{
    struct provider_state_row row = {.saved_wall_us = db_col_i64(st, 2)};
    int rc;

    snprintf(row.key, sizeof row.key, "%.*s", STR_ARG(db_col_str(st, 0)));
    snprintf(row.distrusted, sizeof row.distrusted, "%.*s", STR_ARG(db_col_str(st, 1)));
    row.state = db_col_str(st, 3);
    rc = provider_state_add(rows, &row);
    return rc == ERR_RANGE ? 0 : rc;
}

static struct db_stmt *provider_state_question(struct db *db, const struct provider_state_load *l)
{
    struct db_stmt *st;

    if (l->key[0]) {
        st = db_stmt(db, "SELECT key, distrusted, saved_us, state FROM provider_state"
                         " WHERE key = ?1");
        db_bind_str(st, 1, str_from(l->key));
    } else {
        st = db_stmt(db, "SELECT key, distrusted, saved_us, state FROM provider_state"
                         " WHERE key > ?1 ORDER BY key");
        db_bind_str(st, 1, str_from(l->after));
    }
    return st;
}

static int provider_state_load_run(struct db *db, struct store_op *op)
{
    struct provider_state_load *l = list_owner(op, struct provider_state_load, op);
    struct db_stmt *st = provider_state_question(db, l);
    int rc;

    l->rows.n = l->rows.used = 0;
    l->more = false;
    while ((rc = db_step(st)) > 0) {
        if (provider_state_take(st, &l->rows) < 0) {
            l->more = true;
            rc = 0;
            break;
        }
    }
    db_reset(st);
    return rc < 0 ? ERR_STORE : 0;
}

void provider_state_load_init(struct provider_state_load *l, void (*done)(struct store_op *op))
{
    l->op = (struct store_op){.run = provider_state_load_run, .done = done, .flags = STORE_READS};
    l->key[0] = l->after[0] = '\0';
    l->rows.n = l->rows.used = 0;
    l->more = false;
}

bool provider_state_load_next(struct provider_state_load *l)
{
    if (!l->more || l->rows.n == 0)
        return false;
    memcpy(l->after, l->rows.rows[l->rows.n - 1].key, sizeof l->after);
    return true;
}

/* --- forgiving --- */

static int provider_state_forgive_run(struct db *db, struct store_op *op)
{
    struct provider_state_forgive *f = list_owner(op, struct provider_state_forgive, op);
    struct db_stmt *st = db_stmt(db, "UPDATE provider_state SET distrusted = NULL"
                                     " WHERE key = ?1 AND distrusted IS NOT NULL");

    f->found = false;
    db_bind_str(st, 1, str_from(f->key));
    if (db_run(st) < 0)
        return ERR_STORE;
    f->found = db_changes(db) > 0;
    return 0;
}

void provider_state_forgive_init(struct provider_state_forgive *f,
                                 void (*done)(struct store_op *op))
{
    *f = (struct provider_state_forgive){.op = {.run = provider_state_forgive_run, .done = done}};
}

/* --- forgetting --- */

static int provider_state_forget_old(struct db *db, int64_t before_wall_us)
{
    struct db_stmt *st =
        db_stmt(db, "DELETE FROM provider_state WHERE key IN (SELECT key FROM provider_state"
                    " WHERE (distrusted IS NOT NULL) = 0 AND saved_us < ?1"
                    " ORDER BY saved_us LIMIT ?2)");

    db_bind_i64(st, 1, before_wall_us);
    db_bind_i64(st, 2, PRUNE_MAX_ROWS);
    return db_run(st);
}

static int provider_state_forget_most(struct db *db, int64_t max_rows, int64_t left)
{
    struct db_stmt *st =
        db_stmt(db, "DELETE FROM provider_state WHERE key IN (SELECT key FROM provider_state"
                    " ORDER BY distrusted IS NOT NULL, saved_us"
                    " LIMIT max(0, min(?2, (SELECT count(*) FROM provider_state) - ?1)))");

    db_bind_i64(st, 1, max_rows);
    db_bind_i64(st, 2, left);
    return db_run(st);
}

static int provider_state_prune_run(struct db *db, struct store_op *op)
{
    struct provider_state_prune *p = list_owner(op, struct provider_state_prune, op);

    p->removed = 0;
    if (provider_state_forget_old(db, p->before_wall_us) < 0)
        return ERR_STORE;
    p->removed = db_changes(db);
    if (provider_state_forget_most(db, p->max_rows, PRUNE_MAX_ROWS - p->removed) < 0)
        return ERR_STORE;
    p->removed += db_changes(db);
    return 0;
}

void provider_state_prune_init(struct provider_state_prune *p, void (*done)(struct store_op *op))
{
    *p = (struct provider_state_prune){.op = {.run = provider_state_prune_run, .done = done},
                                       .max_rows = INT64_MAX};
}
