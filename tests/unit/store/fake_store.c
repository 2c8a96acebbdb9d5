/* SPDX-License-Identifier: Apache-2.0 */
/* A database in a directory of its own, a clock that stands still, and small operations to submit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "unit/store/fake_store.h"

static int64_t fake_now(void *ud)
{
    return ((const struct fake_store *)ud)->now_us;
}

static void on_foreign_change(void *ud)
{
    ((struct fake_store *)ud)->foreign_changes++;
}

struct store_config fake_store_config(struct fake_store *f)
{
    return (struct store_config){.path = f->path,
                                 .clock = {.mono_us = fake_now, .wall_us = fake_now, .ud = f},
                                 .on_foreign_change = on_foreign_change,
                                 .change_ud = f};
}

void fake_store_dir(struct fake_store *f)
{
    *f = (struct fake_store){.now_us = 1700000000000000};
    snprintf(f->dir, sizeof f->dir, "/tmp/darkbloom-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/test.db", f->dir);
}

void fake_store_reopen(struct fake_store *f)
{
    struct store_config config = fake_store_config(f);
    struct err e = {0};

    store_close(f->store);
    f->store = NULL;
    if (store_open(&config, &f->store, &e) < 0)
        fail_msg("%s", e.text);
}

void fake_store_open(struct fake_store *f)
{
    fake_store_dir(f);
    fake_store_reopen(f);
}

void fake_store_close(struct fake_store *f)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-lock"};

    store_close(f->store);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char name[128];

        snprintf(name, sizeof name, "%s%s", f->path, suffixes[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(f->dir), 0);
}

struct db *fake_store_side_door(struct fake_store *f)
{
    struct db *db = NULL;

    assert_int_equal(db_open(f->path, DB_MUST_EXIST, &db, NULL), 0);
    return db;
}

int64_t fake_store_number(struct db *db, const char *sql)
{
    struct db_stmt *st = db_stmt(db, sql);
    int64_t n;

    if (db_step(st) <= 0)
        fail_msg("%s: %s", sql, db_message(db));
    n = db_col_i64(st, 0);
    db_reset(st);
    return n;
}

static int sql_run(struct db *db, struct store_op *op)
{
    struct sql_op *o = list_owner(op, struct sql_op, op);

    o->runs++;
    if (db_exec(db, o->sql) < 0)
        return ERR_STORE;
    return o->rc_after;
}

static void sql_done(struct store_op *op)
{
    struct sql_op *o = list_owner(op, struct sql_op, op);

    if (o->order)
        o->place = (*o->order)++;
}

void sql_op_init(struct sql_op *o, const char *sql)
{
    *o = (struct sql_op){.op = {.run = sql_run, .done = sql_done}, .sql = sql, .place = -1};
}
