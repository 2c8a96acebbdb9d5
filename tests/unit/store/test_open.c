/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store: new, again, and what is refused with a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/store/fake_store.h"

enum { SCHEMA_NEWEST = 6 };

static int setup(void **state)
{
    static struct fake_store f;

    fake_store_dir(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fake_store_close(*state);
    return 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void refused(struct fake_store *f, const char *because)
{
    struct store_config config = fake_store_config(f);
    struct err e = {0};

    assert_int_equal(store_open(&config, &f->store, &e), ERR_STORE);
    assert_null(f->store);
    if (!strstr(e.text, because) || !strstr(e.text, f->dir))
        fail_msg("\"%s\" says neither %s nor where", e.text, because);
}

static void a_new_store_is_private_and_has_the_newest_schema(void **state)
{
    struct fake_store *f = *state;
    struct stat st;
    struct db *db;

    fake_store_reopen(f);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    db = fake_store_side_door(f);
    assert_int_equal(fake_store_number(db, "SELECT max(version) FROM schema_version"),
                     SCHEMA_NEWEST);
    assert_int_equal(fake_store_number(db, "SELECT count(*) FROM accounts"), 4);
    db_close(db);
}

static void what_was_committed_is_there_after_reopening(void **state)
{
    struct fake_store *f = *state;
    struct sql_op insert;
    struct db *db;

    fake_store_reopen(f);
    sql_op_init(&insert, "INSERT INTO accounts (name) VALUES ('alice')");
    assert_int_equal(store_run_sync(f->store, &insert.op), 0);
    fake_store_reopen(f);
    db = fake_store_side_door(f);
    assert_int_equal(fake_store_number(db, "SELECT count(*) FROM accounts WHERE name = 'alice'"),
                     1);
    assert_int_equal(fake_store_number(db, "SELECT count(*) FROM schema_version"), SCHEMA_NEWEST);
    db_close(db);
}

static void a_store_that_must_exist_is_not_made(void **state)
{
    struct fake_store *f = *state;
    struct db *db = NULL;
    struct err e = {0};

    assert_int_equal(store_open_db(f->path, DB_MUST_EXIST, &db, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, f->path));
    assert_int_equal(access(f->path, F_OK), -1);
}

static void a_newer_schema_is_refused(void **state)
{
    struct fake_store *f = *state;
    struct sql_op newer;

    fake_store_reopen(f);
    sql_op_init(&newer, "INSERT INTO schema_version VALUES (999, 'from the future')");
    assert_int_equal(store_run_sync(f->store, &newer.op), 0);
    store_close(f->store);
    f->store = NULL;
    refused(f, "schema 999");
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    struct fake_store *f = *state;

    write_file(f->path, "This is a letter to my aunt, and it is long enough to have been a header. "
                        "It goes on for a while so that nobody takes it for an empty file.");
    refused(f, "not a usable SQLite database");
}

static void the_database_of_another_program_is_refused_and_left_alone(void **state)
{
    struct fake_store *f = *state;
    struct db *db = NULL;

    assert_int_equal(db_open(f->path, DB_CREATE, &db, NULL), 0);
    assert_int_equal(db_exec(db, "CREATE TABLE bookmarks (url TEXT)"), 0);
    refused(f, "another program");
    assert_int_equal(fake_store_number(db, "SELECT count(*) FROM sqlite_schema"), 1);
    db_close(db);
}

static void a_directory_that_is_missing_is_named(void **state)
{
    struct fake_store *f = *state;
    char path[sizeof f->path];

    memcpy(path, f->path, sizeof path);
    snprintf(f->path, sizeof f->path, "%s/missing/test.db", f->dir);
    refused(f, "cannot be opened");
    memcpy(f->path, path, sizeof path);
}

static void a_store_has_one_owner_at_a_time(void **state)
{
    struct fake_store *f = *state;
    struct store_config config = fake_store_config(f);
    struct store *second = NULL;
    struct err e = {0};
    char process[32];

    fake_store_reopen(f);
    assert_int_equal(store_open(&config, &second, &e), ERR_BUSY);
    assert_null(second);
    snprintf(process, sizeof process, "process %d", (int)getpid());
    assert_non_null(strstr(e.text, process));

    store_close(f->store);
    f->store = NULL;
    assert_int_equal(store_open(&config, &f->store, &e), 0);
}

static void commands_reach_an_owned_store(void **state)
{
    struct fake_store *f = *state;
    struct db *db = NULL;

    fake_store_reopen(f);
    assert_int_equal(store_open_db(f->path, DB_MUST_EXIST, &db, NULL), 0);
    db_close(db);
}

static void a_statement_knows_unique_keys_from_other_failures(void **state)
{
    struct fake_store *f = *state;
    struct db_stmt *st;
    struct db *db;

    fake_store_reopen(f);
    db = fake_store_side_door(f);
    st = db_stmt(db, "INSERT INTO accounts (name) VALUES (?1)");
    db_bind_str(st, 1, STR("alice"));
    assert_int_equal(db_run(st), 0);
    assert_int_equal(db_run(st), ERR_EXISTS);
    assert_int_equal(db_run(db_stmt(db, "INSERT INTO accounts (name, balance) VALUES ('b', -1)")),
                     ERR_STORE);
    assert_null(db_stmt(db, "SELECT nonsense FROM nowhere"));
    assert_non_null(strstr(db_message(db), "nowhere"));
    assert_int_equal(db_step(NULL), ERR_STORE);
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        TEST(a_new_store_is_private_and_has_the_newest_schema),
        TEST(what_was_committed_is_there_after_reopening),
        TEST(a_store_that_must_exist_is_not_made),
        TEST(a_newer_schema_is_refused),
        TEST(a_file_that_is_no_database_is_refused),
        TEST(the_database_of_another_program_is_refused_and_left_alone),
        TEST(a_directory_that_is_missing_is_named),
        TEST(a_store_has_one_owner_at_a_time),
        TEST(commands_reach_an_owned_store),
        TEST(a_statement_knows_unique_keys_from_other_failures),
    };

    return cmocka_run_group_tests_name("store: opening", tests, NULL, NULL);
}
