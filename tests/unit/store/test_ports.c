/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads share one store, and each gets back what it submitted. The last test is what TSan
 * looks at. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/list.h"
#include "unit/store/fake_store.h"

static const char table[] = "CREATE TABLE t (id INTEGER PRIMARY KEY, sender INTEGER)";
static const char insert[] = "INSERT INTO t DEFAULT VALUES";

static int setup(void **state)
{
    static struct fake_store f;
    struct sql_op create;

    fake_store_open(&f);
    sql_op_init(&create, table);
    assert_int_equal(store_run_sync(f.store, &create.op), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fake_store_close(*state);
    return 0;
}

/* What a port was told. */
struct ear {
    struct store_port *port;
    int wakes, changes;
};

static void ear_woken(void *ud)
{
    ((struct ear *)ud)->wakes++;
}

static void ear_changed(void *ud)
{
    ((struct ear *)ud)->changes++;
}

static void ear_open(struct ear *e, struct store *s)
{
    const struct store_port_config config = {
        .wake = ear_woken, .wake_ud = e, .on_foreign_change = ear_changed, .change_ud = e};

    *e = (struct ear){0};
    assert_int_equal(store_port_new(s, &config, &e->port), 0);
}

static void submit(struct store *s, struct store_port *port, struct sql_op *op, int *order)
{
    sql_op_init(op, insert);
    op->op.port = port;
    op->order = order;
    store_submit(s, &op->op);
}

static void an_operation_is_handed_back_where_it_was_submitted(void **state)
{
    struct fake_store *f = *state;
    struct ear a, b;
    struct sql_op ops[5];
    int order = 0;

    ear_open(&a, f->store);
    ear_open(&b, f->store);
    submit(f->store, a.port, &ops[0], &order);
    submit(f->store, NULL, &ops[1], &order);
    submit(f->store, a.port, &ops[2], &order);
    store_pump(f->store); /* one batch for all of them */
    assert_int_equal(store_stats(f->store).batches, 2);
    assert_int_equal(a.wakes, 1);
    assert_int_equal(b.wakes, 0);
    assert_int_equal(store_port_poll(b.port), 0);
    assert_int_equal(store_port_poll(a.port), 2);
    assert_int_equal(ops[0].place, 0);
    assert_int_equal(ops[2].place, 1);
    assert_int_equal(ops[1].place, -1);
    assert_int_equal(store_poll(f->store), 1);
    assert_int_equal(ops[1].place, 2);

    submit(f->store, b.port, &ops[3], &order);
    store_pump(f->store);
    submit(f->store, b.port, &ops[4], &order);
    store_pump(f->store);
    assert_int_equal(b.wakes, 2);
    assert_int_equal(a.wakes, 1); /* nothing new for it */
    assert_int_equal(store_port_poll(b.port), 2);
    assert_int_equal(ops[3].place, 3);
    assert_int_equal(ops[4].place, 4);
}

static void a_foreign_change_is_told_to_every_port_once(void **state)
{
    struct fake_store *f = *state;
    struct db *other = fake_store_side_door(f);
    struct ear a, b;

    ear_open(&a, f->store);
    ear_open(&b, f->store);
    assert_int_equal(db_exec(other, insert), 0);
    f->now_us += 1000000;
    store_pump(f->store);
    assert_int_equal(a.wakes, 1);
    assert_int_equal(b.wakes, 1);
    for (int i = 0; i < 2; i++) {
        store_port_poll(a.port);
        store_port_poll(b.port);
        store_poll(f->store);
    }
    assert_int_equal(a.changes, 1);
    assert_int_equal(b.changes, 1);
    assert_int_equal(f->foreign_changes, 1);
    db_close(other);
}

static void closing_hands_every_port_its_own(void **state)
{
    struct fake_store *f = *state;
    struct ear a, b;
    struct sql_op ops[3];
    int order = 0;

    ear_open(&a, f->store);
    ear_open(&b, f->store);
    submit(f->store, a.port, &ops[0], &order);
    submit(f->store, b.port, &ops[1], &order);
    store_pump(f->store);
    submit(f->store, b.port, &ops[2], &order); /* not even begun */
    store_close(f->store);
    f->store = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ops[i].op.rc, 0);
        assert_in_range(ops[i].place, 0, 2);
    }
}

/* --- threads --- */

enum { THREADS = 4, EACH = 300 };

struct worker {
    struct store *store;
    struct store_port *port;
    pthread_t thread;
    sem_t woken;
    int n_done; /* plain memory: only this thread may touch it */
};

struct work {
    struct store_op op;
    struct worker *by;
    char sql[64];
};

static void worker_woken(void *ud)
{
    sem_post(&((struct worker *)ud)->woken);
}

static int work_run(struct db *db, struct store_op *op)
{
    return db_exec(db, list_owner(op, struct work, op)->sql);
}

static void work_done(struct store_op *op)
{
    struct work *w = list_owner(op, struct work, op);

    assert_int_equal(op->rc, 0);
    w->by->n_done++;
}

static void *worker_run(void *ud)
{
    struct worker *w = ud;
    struct work *works = calloc(EACH, sizeof *works);

    if (!works)
        abort();
    for (int i = 0; i < EACH; i++) {
        works[i] =
            (struct work){.op = {.run = work_run, .done = work_done, .port = w->port}, .by = w};
        snprintf(works[i].sql, sizeof works[i].sql, "INSERT INTO t (sender) VALUES (%d)", i);
        store_push(w->store, &works[i].op);
        store_kick(w->store);
        if (i % 7 == 0)
            store_port_poll(w->port);
    }
    while (w->n_done < EACH) {
        sem_wait(&w->woken);
        store_port_poll(w->port);
    }
    free(works);
    return NULL;
}

static void each_thread_sees_only_its_own_operations(void **state)
{
    static struct worker workers[THREADS];
    struct fake_store *f = *state;
    struct store_config config = fake_store_config(f);
    struct db *db;

    store_close(f->store);
    config.threaded = true;
    config.clock = clock_system();
    assert_int_equal(store_open(&config, &f->store, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        const struct store_port_config port = {.wake = worker_woken, .wake_ud = &workers[i]};

        workers[i] = (struct worker){.store = f->store};
        assert_int_equal(sem_init(&workers[i].woken, 0, 0), 0);
        assert_int_equal(store_port_new(f->store, &port, &workers[i].port), 0);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    assert_true(store_stats(f->store).batches < THREADS * EACH);
    db = fake_store_side_door(f);
    assert_int_equal(fake_store_number(db, "SELECT count(*) FROM t"), THREADS * EACH);
    db_close(db);
    store_close(f->store);
    f->store = NULL;
    for (int i = 0; i < THREADS; i++)
        sem_destroy(&workers[i].woken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        TEST(an_operation_is_handed_back_where_it_was_submitted),
        TEST(a_foreign_change_is_told_to_every_port_once),
        TEST(closing_hands_every_port_its_own),
        TEST(each_thread_sees_only_its_own_operations),
    };

    return cmocka_run_group_tests_name("ports of a store", tests, NULL, NULL);
}
