/* SPDX-License-Identifier: Apache-2.0 */
/* Many operations, few commits, and each operation with its own result. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "unit/store/fake_store.h"

enum { MANY = 600 };

static const char table[] =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES t (id)"
    " DEFERRABLE INITIALLY DEFERRED, pad BLOB)";
static const char insert[] = "INSERT INTO t DEFAULT VALUES";
static const char count[] = "SELECT count(*) FROM t";

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

static int64_t rows(struct fake_store *f)
{
    struct db *db = fake_store_side_door(f);
    int64_t n = fake_store_number(db, count);

    db_close(db);
    return n;
}

static void run_batch(struct fake_store *f, struct store_op *const *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store_submit(f->store, ops[i]);
    store_pump(f->store);
    store_poll(f->store);
}

static void operations_that_wait_share_commits_of_at_most_256(void **state)
{
    struct fake_store *f = *state;
    static struct sql_op ops[MANY];
    uint64_t before = store_stats(f->store).batches;
    int order = 0;

    for (int i = 0; i < MANY; i++) {
        sql_op_init(&ops[i], insert);
        ops[i].order = &order;
        store_submit(f->store, &ops[i].op);
    }
    assert_int_equal(store_stats(f->store).queued_now, MANY);
    store_pump(f->store);
    assert_int_equal(store_stats(f->store).batches - before, 3);
    assert_int_equal(rows(f), MANY); /* durable before anybody is told */
    assert_int_equal(order, 0);
    assert_int_equal(store_poll(f->store), MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(ops[i].op.rc, 0);
        assert_int_equal(ops[i].place, i); /* handed back in order */
        assert_int_equal(ops[i].runs, 1);
        assert_int_equal(ops[i].op.committed_us, f->now_us);
    }
}

static void a_failing_operation_is_undone_and_hurts_no_other(void **state)
{
    struct fake_store *f = *state;
    struct sql_op ok1, refused, broken, ok2;

    sql_op_init(&ok1, insert);
    sql_op_init(&refused, insert);
    refused.rc_after = ERR_FUNDS; /* says no after it has written */
    sql_op_init(&broken, "INSERT INTO no_such_table DEFAULT VALUES");
    sql_op_init(&ok2, insert);
    store_submit(f->store, &ok1.op);
    store_submit(f->store, &refused.op);
    store_submit(f->store, &broken.op);
    store_submit(f->store, &ok2.op);
    store_pump(f->store);
    store_poll(f->store);
    assert_int_equal(ok1.op.rc, 0);
    assert_int_equal(refused.op.rc, ERR_FUNDS);
    assert_int_equal(broken.op.rc, ERR_STORE);
    assert_int_equal(ok2.op.rc, 0);
    assert_int_equal(rows(f), 2);
    assert_int_equal(store_stats(f->store).failed_ops, 2);
    assert_int_equal(store_stats(f->store).failed_batches, 0);
}

/* Savepoints cost a tenth of an operation and are needed by few. */
static void only_a_batch_with_something_to_undo_is_run_again(void **state)
{
    struct fake_store *f = *state;
    struct sql_op ok, refuses, lies, broken;
    struct store_op *const clean[] = {&ok.op, &refuses.op}, *const unclean[] = {&ok.op, &lies.op},
                           *const failing[] = {&ok.op, &broken.op};

    sql_op_init(&ok, insert);
    sql_op_init(&refuses, "SELECT 1");
    refuses.rc_after = ERR_FUNDS;
    refuses.op.flags = STORE_REFUSES_CLEAN;
    run_batch(f, clean, 2);
    assert_int_equal(refuses.op.rc, ERR_FUNDS);
    assert_int_equal(ok.runs, 1);
    assert_int_equal(store_stats(f->store).repeated_batches, 0);
    assert_int_equal(rows(f), 1);

    sql_op_init(&lies, insert); /* says that it refuses clean, and does not */
    lies.rc_after = ERR_FUNDS;
    lies.op.flags = STORE_REFUSES_CLEAN;
    run_batch(f, unclean, 2);
    assert_int_equal(lies.op.rc, ERR_FUNDS);
    assert_int_equal(ok.runs, 3);
    assert_int_equal(store_stats(f->store).repeated_batches, 1);
    assert_int_equal(rows(f), 2);

    sql_op_init(&broken, "SELECT no_such_column"); /* a failure is no refusal */
    broken.op.flags = STORE_REFUSES_CLEAN;
    run_batch(f, failing, 2);
    assert_int_equal(broken.op.rc, ERR_STORE);
    assert_int_equal(store_stats(f->store).repeated_batches, 2);
    assert_int_equal(store_stats(f->store).failed_batches, 0);
    assert_int_equal(rows(f), 3);
}

static void when_the_commit_fails_each_operation_runs_alone(void **state)
{
    struct fake_store *f = *state;
    struct sql_op ok1, poison, ok2;
    char message[STORE_MESSAGE_BYTES];

    sql_op_init(&ok1, insert);
    sql_op_init(&poison, "INSERT INTO t (parent) VALUES (-1)"); /* noticed at commit only */
    sql_op_init(&ok2, insert);
    store_submit(f->store, &ok1.op);
    store_submit(f->store, &poison.op);
    store_submit(f->store, &ok2.op);
    store_pump(f->store);
    store_poll(f->store);
    assert_int_equal(ok1.op.rc, 0);
    assert_int_equal(poison.op.rc, ERR_STORE);
    assert_int_equal(ok2.op.rc, 0);
    assert_int_equal(ok1.runs, 2);
    assert_int_equal(rows(f), 2);
    assert_int_equal(store_stats(f->store).failed_batches, 1);
    store_message(f->store, message);
    assert_non_null(strstr(message, "FOREIGN KEY"));
}

static void a_full_database_fails_what_does_not_fit_and_works_again_after(void **state)
{
    struct fake_store *f = *state;
    struct sql_op small, large, later;
    struct sql_op limit, unlimit;

    sql_op_init(&limit, "PRAGMA max_page_count = 40");
    assert_int_equal(store_run_sync(f->store, &limit.op), 0);
    sql_op_init(&small, insert);
    sql_op_init(&large, "INSERT INTO t (pad) VALUES (zeroblob(1000000))");
    store_submit(f->store, &small.op);
    store_submit(f->store, &large.op);
    store_pump(f->store);
    store_poll(f->store);
    assert_int_equal(small.op.rc, 0);
    assert_int_equal(large.op.rc, ERR_STORE);
    assert_int_equal(rows(f), 1);

    sql_op_init(&unlimit, "PRAGMA max_page_count = 1000000");
    assert_int_equal(store_run_sync(f->store, &unlimit.op), 0);
    sql_op_init(&later, "INSERT INTO t (pad) VALUES (zeroblob(1000000))");
    assert_int_equal(store_run_sync(f->store, &later.op), 0);
    assert_int_equal(rows(f), 2);
}

/* The write-ahead log cannot grow, as on a full disk: nothing can be committed. */
static void a_full_disk_fails_the_batch_and_the_store_works_again_after(void **state)
{
    struct fake_store *f = *state;
    struct rlimit unlimited, tight;
    struct sql_op ops[3], after;
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    tight = (struct rlimit){.rlim_cur = 8192, .rlim_max = unlimited.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    for (int i = 0; i < 3; i++) {
        sql_op_init(&ops[i], insert);
        store_submit(f->store, &ops[i].op);
    }
    store_pump(f->store);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    signal(SIGXFSZ, old);
    store_poll(f->store);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ops[i].op.rc, ERR_STORE);
    assert_int_equal(rows(f), 0);

    sql_op_init(&after, insert);
    assert_int_equal(store_run_sync(f->store, &after.op), 0);
    assert_int_equal(rows(f), 1);
}

static void a_change_by_another_process_is_told_within_a_second(void **state)
{
    struct fake_store *f = *state;
    struct db *other = fake_store_side_door(f);
    struct sql_op own;

    sql_op_init(&own, insert);
    store_run_sync(f->store, &own.op);
    f->now_us += 1000000;
    store_pump(f->store);
    store_poll(f->store);
    assert_int_equal(f->foreign_changes, 0); /* our own commits are no news */

    assert_int_equal(db_exec(other, insert), 0);
    f->now_us += 999999;
    store_pump(f->store);
    store_poll(f->store);
    assert_int_equal(f->foreign_changes, 0);
    f->now_us += 1;
    store_pump(f->store);
    store_poll(f->store);
    assert_int_equal(f->foreign_changes, 1);
    f->now_us += 1000000;
    store_pump(f->store);
    store_poll(f->store);
    assert_int_equal(f->foreign_changes, 1); /* told once */
    db_close(other);
}

static struct fake_store *resubmit_to;
static void resubmit_once(struct store_op *op)
{
    op->done = NULL;
    store_submit(resubmit_to->store, op);
}

static void closing_finishes_what_is_queued_and_what_that_submits(void **state)
{
    struct fake_store *f = *state;
    struct sql_op again;

    sql_op_init(&again, insert);
    again.op.done = resubmit_once;
    resubmit_to = f;
    store_submit(f->store, &again.op);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(again.runs, 2);
    fake_store_reopen(f);
    assert_int_equal(rows(f), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        TEST(operations_that_wait_share_commits_of_at_most_256),
        TEST(a_failing_operation_is_undone_and_hurts_no_other),
        TEST(only_a_batch_with_something_to_undo_is_run_again),
        TEST(when_the_commit_fails_each_operation_runs_alone),
        TEST(a_full_database_fails_what_does_not_fit_and_works_again_after),
        TEST(a_full_disk_fails_the_batch_and_the_store_works_again_after),
        TEST(a_change_by_another_process_is_told_within_a_second),
        TEST(closing_finishes_what_is_queued_and_what_that_submits),
    };

    return cmocka_run_group_tests_name("store: group commit", tests, NULL, NULL);
}
