/* SPDX-License-Identifier: Apache-2.0 */
/* R16: reads need no write lock and wait for no batch; a batch waits for another process's lock
 * without being lost; and how the file is opened for that. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/list.h"
#include "store/fsname.h"
#include "store/keys.h"
#include "unit/store/fake_store.h"

static const char insert[] = "INSERT INTO accounts (name) VALUES (hex(randomblob(16)))";
static const char count[] = "SELECT count(*) FROM accounts";
enum { ACCOUNTS_AT_FIRST = 4, SECOND_US = 1000000 };

struct fixture {
    struct fake_store f;
    struct db *other; /* another process, as far as SQLite can tell */
};

static int setup(void **state)
{
    static struct fixture x;

    fake_store_open(&x.f);
    x.other = fake_store_side_door(&x.f);
    *state = &x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    db_close(x->other);
    fake_store_close(&x->f);
    return 0;
}

static size_t pump(struct fixture *x)
{
    store_pump(x->f.store);
    return store_poll(x->f.store);
}

static int64_t rows(struct fixture *x)
{
    return fake_store_number(x->other, count) - ACCOUNTS_AT_FIRST;
}

/* --- another process has the write lock --- */

static void a_key_is_found_while_another_process_has_the_write_lock(void **state)
{
    struct fixture *x = *state;
    const struct rand_src rand = rand_system();
    char key[KEY_TEXT_BYTES];
    uint8_t hash[KEY_HASH_BYTES];
    struct key_lookup_op lookup;
    struct sql_op write;

    assert_int_equal(key_create(x->other, STR("alice"), &rand, 1, key), 0);
    key_hash(str_from(key), hash);
    assert_int_equal(db_begin(x->other), 0);
    sql_op_init(&write, insert);
    key_lookup_op_init(&lookup, hash, NULL);
    lookup.op.rc = 1;
    store_submit(x->f.store, &write.op);
    store_submit(x->f.store, &lookup.op);
    assert_int_equal(pump(x), 1);
    assert_int_equal(lookup.op.rc, 0);
    assert_string_equal(lookup.account, "alice");
    assert_int_equal(store_stats(x->f.store).queued_now, 1);
    db_rollback(x->other);
    assert_int_equal(pump(x), 1);
}

static void what_waited_for_the_lock_runs_once_in_its_order(void **state)
{
    struct fixture *x = *state;
    struct sql_op ops[3];
    int order = 0;

    assert_int_equal(db_begin(x->other), 0);
    for (int i = 0; i < 3; i++) {
        sql_op_init(&ops[i], insert);
        ops[i].order = &order;
        store_submit(x->f.store, &ops[i].op);
        assert_int_equal(pump(x), 0);
        assert_int_equal(store_stats(x->f.store).queued_now, i + 1);
    }
    assert_int_equal(store_stats(x->f.store).lock_waits, 3);
    assert_int_equal(store_stats(x->f.store).failed_batches, 0);
    assert_int_equal(db_commit(x->other), 0);
    assert_int_equal(pump(x), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ops[i].op.rc, 0);
        assert_int_equal(ops[i].runs, 1);
        assert_int_equal(ops[i].place, i);
    }
    assert_int_equal(rows(x), 3);
}

static void an_operation_fails_after_five_seconds_without_the_lock_and_a_younger_waits(void **state)
{
    struct fixture *x = *state;
    struct sql_op first, second;
    char message[STORE_MESSAGE_BYTES];

    assert_int_equal(db_begin(x->other), 0);
    sql_op_init(&first, insert);
    sql_op_init(&second, insert);
    store_submit(x->f.store, &first.op);
    assert_int_equal(pump(x), 0);
    x->f.now_us += 1;
    store_submit(x->f.store, &second.op);
    x->f.now_us += 5 * SECOND_US - 2;
    assert_int_equal(pump(x), 0);
    x->f.now_us += 1;
    assert_int_equal(pump(x), 1);
    assert_int_equal(first.op.rc, ERR_STORE);
    assert_int_equal(first.runs, 0);
    assert_int_equal(store_stats(x->f.store).failed_batches, 1);
    store_message(x->f.store, message);
    assert_non_null(strstr(message, "another process"));

    db_rollback(x->other);
    assert_int_equal(pump(x), 1);
    assert_int_equal(second.op.rc, 0);
    assert_int_equal(rows(x), 1);
}

/* Five seconds of being refused the lock, not five seconds of life. */
static void an_old_operation_has_its_five_seconds_of_trying(void **state)
{
    struct fixture *x = *state;
    struct sql_op op, later;

    sql_op_init(&op, insert);
    store_submit(x->f.store, &op.op);
    x->f.now_us += 60 * SECOND_US;
    assert_int_equal(db_begin(x->other), 0);
    assert_int_equal(pump(x), 0);
    db_rollback(x->other);
    assert_int_equal(pump(x), 1);
    assert_int_equal(op.op.rc, 0);

    /* And the next wait begins at its own first refusal. */
    sql_op_init(&later, insert);
    store_submit(x->f.store, &later.op);
    x->f.now_us += 60 * SECOND_US;
    assert_int_equal(db_begin(x->other), 0);
    assert_int_equal(pump(x), 0);
    db_rollback(x->other);
    assert_int_equal(pump(x), 1);
    assert_int_equal(later.op.rc, 0);
}

static void closing_waits_for_nobodys_lock(void **state)
{
    struct fixture *x = *state;
    struct sql_op op;

    assert_int_equal(db_begin(x->other), 0);
    sql_op_init(&op, insert);
    store_submit(x->f.store, &op.op);
    store_close(x->f.store);
    x->f.store = NULL;
    assert_int_equal(op.op.rc, ERR_STORE);
    db_rollback(x->other);
}

static void an_unthreaded_store_waits_for_nobodys_lock_at_start_up(void **state)
{
    struct fixture *x = *state;
    struct sql_op op;

    assert_int_equal(db_begin(x->other), 0);
    sql_op_init(&op, insert);
    assert_int_equal(store_run_sync(x->f.store, &op.op), ERR_STORE);
    db_rollback(x->other);
    assert_int_equal(store_run_sync(x->f.store, &op.op), 0);
    assert_int_equal(rows(x), 1);
}

/* --- reads and batches --- */

static int count_run(struct db *db, struct store_op *op)
{
    struct sql_op *o = list_owner(op, struct sql_op, op);

    return fake_store_number(db, o->sql) > 0 ? 0 : ERR_STORE;
}

static void read_op_init(struct sql_op *o)
{
    sql_op_init(o, count);
    o->op.run = count_run;
    o->op.flags = STORE_READS;
}

static void reads_and_batches_take_turns(void **state)
{
    enum { READS = 100, WRITES = 300 };
    struct fixture *x = *state;
    static struct sql_op reads[READS], writes[WRITES];
    struct store_stats before = store_stats(x->f.store), after;
    int order = 0;

    for (int i = 0; i < WRITES; i++) {
        sql_op_init(&writes[i], insert);
        writes[i].order = &order;
        store_submit(x->f.store, &writes[i].op);
    }
    for (int i = 0; i < READS; i++) {
        read_op_init(&reads[i]);
        reads[i].order = &order;
        store_submit(x->f.store, &reads[i].op);
    }
    assert_int_equal(pump(x), READS + WRITES);
    assert_int_equal(reads[0].place, 0);
    assert_int_equal(reads[63].place, 63);
    assert_int_equal(writes[0].place, 64);
    assert_int_equal(writes[255].place, 64 + 255);
    assert_int_equal(reads[64].place, 64 + 256);
    assert_int_equal(reads[99].place, 99 + 256);
    assert_int_equal(writes[256].place, 100 + 256);
    after = store_stats(x->f.store);
    assert_int_equal(after.batches - before.batches, 2); /* a read is no commit */
    assert_int_equal(after.reads - before.reads, READS);
    assert_int_equal(after.ops - before.ops, READS + WRITES);
}

static void count_wake(void *ud)
{
    ++*(int *)ud;
}

static void whoever_pumps_is_told_of_reads_and_of_writes(void **state)
{
    struct fixture *x = *state;
    struct store_config config = fake_store_config(&x->f);
    struct sql_op read, write;
    int wakes = 0;

    store_close(x->f.store);
    x->f.store = NULL;
    config.wake = count_wake;
    config.wake_ud = &wakes;
    assert_int_equal(store_open(&config, &x->f.store, NULL), 0);
    store_kick(x->f.store);
    assert_int_equal(wakes, 0);
    read_op_init(&read);
    store_push(x->f.store, &read.op);
    assert_int_equal(wakes, 0);
    store_kick(x->f.store);
    assert_int_equal(wakes, 1);
    assert_int_equal(pump(x), 1);
    sql_op_init(&write, insert);
    store_submit(x->f.store, &write.op);
    assert_int_equal(wakes, 2);
    assert_int_equal(pump(x), 1);
}

static void a_read_that_writes_is_undone_and_told_so(void **state)
{
    struct fixture *x = *state;
    struct sql_op before, liar, after;

    read_op_init(&before);
    sql_op_init(&liar, insert);
    liar.op.flags = STORE_READS;
    read_op_init(&after);
    store_submit(x->f.store, &before.op);
    store_submit(x->f.store, &liar.op);
    store_submit(x->f.store, &after.op);
    pump(x);
    assert_int_equal(before.op.rc, 0);
    assert_int_equal(liar.op.rc, ERR_INTERNAL);
    assert_int_equal(after.op.rc, 0);
    assert_int_equal(rows(x), 0);
}

static void an_operation_knows_when_it_was_submitted_and_when_it_was_durable(void **state)
{
    struct fixture *x = *state;
    struct sql_op read, write;

    read_op_init(&read);
    sql_op_init(&write, insert);
    store_push(x->f.store, &write.op);
    x->f.now_us += 7;
    store_push(x->f.store, &read.op);
    x->f.now_us += 13;
    pump(x);
    assert_int_equal(write.op.committed_us - write.op.submitted_us, 20);
    assert_int_equal(read.op.committed_us - read.op.submitted_us, 13);
}

/* --- the file --- */

static void a_file_system_without_shared_memory_is_named(void **state)
{
    struct fixture *x = *state;
    sqlite3_vfs *usual = sqlite3_vfs_find(NULL);
    char path[128], expected[64];
    struct db *db = NULL;
    struct err e = {0};
    int rc;

    snprintf(path, sizeof path, "%s/no-wal.db", x->f.dir);
    sqlite3_vfs_register(sqlite3_vfs_find("unix-dotfile"), 1); /* as on such a file system */
    rc = db_open(path, DB_CREATE, &db, &e);
    sqlite3_vfs_register(usual, 1);
    assert_int_equal(rc, ERR_STORE);
    assert_non_null(strstr(e.text, path));
    snprintf(expected, sizeof expected, "lies on a file system (");
    assert_non_null(strstr(e.text, expected));
    assert_null(strstr(e.text, "(unknown)"));
    assert_int_equal(remove(path), 0);
}

static void file_systems_have_names_or_numbers(void **state)
{
    char name[FSNAME_BYTES];

    (void)state;
    fsname("/proc", name);
    assert_string_equal(name, "0x9fa0"); /* PROC_SUPER_MAGIC of statfs(2) */
    fsname("/dev", name);
    assert_string_equal(name, "tmpfs"); /* devtmpfs tells the same */
    fsname("/no/such/file", name);
    assert_string_equal(name, "unknown");
}

static void commits_reach_the_disk_itself(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(fake_store_number(x->other, "PRAGMA synchronous"), 2); /* FULL */
    assert_int_equal(fake_store_number(x->other, "PRAGMA fullfsync"), 1);   /* macOS */
    assert_int_equal(fake_store_number(x->other, "PRAGMA checkpoint_fullfsync"), 1);
    assert_int_equal(fake_store_number(x->other, "PRAGMA foreign_keys"), 1);
}

static int64_t log_bytes(struct fixture *x)
{
    char path[128];
    struct stat st;

    snprintf(path, sizeof path, "%s-wal", x->f.path);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void write_mebibytes(struct fixture *x, int n)
{
    for (int i = 0; i < n; i++) {
        struct sql_op op;

        sql_op_init(&op, "INSERT INTO big (pad) VALUES (zeroblob(1048576))");
        assert_int_equal(store_run_sync(x->f.store, &op.op), 0);
    }
}

static void a_log_that_a_long_read_made_grow_is_cut_again(void **state)
{
    struct fixture *x = *state;
    struct sql_op create;

    sql_op_init(&create, "CREATE TABLE big (pad BLOB)");
    assert_int_equal(store_run_sync(x->f.store, &create.op), 0);
    assert_int_equal(db_begin_read(x->other), 0);
    (void)rows(x); /* the view is taken by the first read */
    write_mebibytes(x, 48);
    assert_in_range(log_bytes(x), 48 << 20, 64 << 20);
    db_rollback(x->other);
    write_mebibytes(x, 3); /* folded, begun again from the front, cut */
    assert_in_range(log_bytes(x), 1, 32 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        TEST(a_key_is_found_while_another_process_has_the_write_lock),
        TEST(what_waited_for_the_lock_runs_once_in_its_order),
        TEST(an_operation_fails_after_five_seconds_without_the_lock_and_a_younger_waits),
        TEST(an_old_operation_has_its_five_seconds_of_trying),
        TEST(closing_waits_for_nobodys_lock),
        TEST(an_unthreaded_store_waits_for_nobodys_lock_at_start_up),
        TEST(reads_and_batches_take_turns),
        TEST(whoever_pumps_is_told_of_reads_and_of_writes),
        TEST(a_read_that_writes_is_undone_and_told_so),
        TEST(an_operation_knows_when_it_was_submitted_and_when_it_was_durable),
        TEST(a_file_system_without_shared_memory_is_named),
        TEST(file_systems_have_names_or_numbers),
        TEST(commits_reach_the_disk_itself),
        TEST(a_log_that_a_long_read_made_grow_is_cut_again),
    };

    return cmocka_run_group_tests_name("store: locks", tests, NULL, NULL);
}
