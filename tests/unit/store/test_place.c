/* SPDX-License-Identifier: Apache-2.0 */
/* Whose store it is, whatever it is called (R13), and whether it is the one that was here before
 * (FR-50). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/store/fake_store.h"

/* "test.db", which the fixture removes, and a second name that each test removes itself. */
struct fixture {
    struct fake_store f;
    char other[128];
    struct err e;
};

static int setup(void **state)
{
    static struct fixture x;

    x = (struct fixture){0};
    fake_store_dir(&x.f);
    snprintf(x.other, sizeof x.other, "%s/other.db", x.f.dir);
    *state = &x;
    return 0;
}

static int teardown(void **state)
{
    fake_store_close(&((struct fixture *)*state)->f);
    return 0;
}

/* Open the store by a name; on success it is closed again. */
static int try_open(struct fixture *x, const char *path)
{
    struct store_config config = fake_store_config(&x->f);
    struct store *store = NULL;
    int rc;

    config.path = path;
    x->e = (struct err){0};
    rc = store_open(&config, &store, &x->e);
    store_close(store);
    return rc;
}

/* The same in a process of its own, which says by its exit status how it went. */
static int try_open_elsewhere(struct fixture *x, const char *path)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(-try_open(x, path));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void close_store(struct fixture *x)
{
    store_close(x->f.store);
    x->f.store = NULL;
}

static void remove_other_lock(const struct fixture *x)
{
    char path[136];

    snprintf(path, sizeof path, "%s-lock", x->other);
    unlink(path);
}

static void says(const struct fixture *x, const char *words)
{
    if (!strstr(x->e.text, words))
        fail_msg("\"%s\" does not say \"%s\"", x->e.text, words);
}

static void read_lock_file(const struct fixture *x, char ret_text[static 128])
{
    char path[128];
    FILE *file;
    size_t n;

    snprintf(path, sizeof path, "%s-lock", x->f.path);
    file = fopen(path, "r");
    assert_non_null(file);
    n = fread(ret_text, 1, 127, file);
    ret_text[n] = '\0';
    fclose(file);
}

/* --- whose --- */

static void a_symbolic_link_leads_to_the_same_owner(void **state) /* R13 */
{
    struct fixture *x = *state;

    fake_store_reopen(&x->f);
    assert_int_equal(symlink("test.db", x->other), 0);
    assert_int_equal(try_open(x, x->other), ERR_BUSY);
    says(x, "another coordinator (process ");
    close_store(x);
    assert_int_equal(try_open(x, x->other), 0);
    assert_int_equal(unlink(x->other), 0);
}

static void a_link_to_the_directory_leads_to_the_same_owner(void **state) /* R13 */
{
    struct fixture *x = *state;
    char link[96], path[128];

    snprintf(link, sizeof link, "%s-link", x->f.dir);
    snprintf(path, sizeof path, "%s/test.db", link);
    fake_store_reopen(&x->f);
    assert_int_equal(symlink(x->f.dir, link), 0);
    assert_int_equal(try_open(x, path), ERR_BUSY);
    assert_int_equal(unlink(link), 0);
}

static void a_file_with_two_names_is_refused_to_everybody(void **state) /* R13 */
{
    struct fixture *x = *state;
    struct db *db = NULL;

    fake_store_reopen(&x->f);
    assert_int_equal(link(x->f.path, x->other), 0);
    assert_int_equal(try_open(x, x->other), ERR_STORE);
    says(x, "2 names (hard links)");
    assert_int_equal(store_open_db(x->other, DB_MUST_EXIST, &db, &x->e), ERR_STORE);
    close_store(x);
    assert_int_equal(try_open(x, x->f.path), ERR_STORE);
    assert_int_equal(unlink(x->other), 0);
    remove_other_lock(x);
    assert_int_equal(try_open(x, x->f.path), 0);
}

/* As with a file that is mounted by itself: nothing beside it tells whose it is. */
static void a_file_under_a_new_name_still_has_its_owner(void **state) /* R13 */
{
    struct fixture *x = *state;

    fake_store_reopen(&x->f);
    assert_int_equal(rename(x->f.path, x->other), 0);
    assert_int_equal(try_open_elsewhere(x, x->other), ERR_BUSY);
    assert_int_equal(rename(x->other, x->f.path), 0);
    close_store(x);
    assert_int_equal(try_open_elsewhere(x, x->f.path), 0);
    remove_other_lock(x);
}

static void a_link_to_nothing_makes_no_store(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(symlink("nowhere.db", x->f.path), 0);
    assert_int_equal(try_open(x, x->f.path), ERR_STORE);
    says(x, "a symbolic link to a file that is not there");
}

/* --- which --- */

static void a_missing_store_is_not_begun_again(void **state) /* FR-50 */
{
    struct fixture *x = *state;
    char text[128];

    fake_store_reopen(&x->f);
    close_store(x);
    assert_int_equal(unlink(x->f.path), 0);
    assert_int_equal(try_open(x, x->f.path), ERR_STORE);
    says(x, "is missing or blank");
    read_lock_file(x, text);
    text[strlen(text) - 1] = '\0';
    says(x, strchr(text, '\n') + 1); /* the id of the store that was here */
    says(x, "--store-new");
    assert_int_equal(access(x->f.path, F_OK), -1);
}

static void a_blank_file_is_not_taken_for_the_store(void **state) /* FR-50 */
{
    struct fixture *x = *state;
    struct db *db = NULL;

    fake_store_reopen(&x->f);
    close_store(x);
    assert_int_equal(truncate(x->f.path, 0), 0);
    assert_int_equal(try_open(x, x->f.path), ERR_STORE);
    says(x, "is missing or blank");

    /* Not of zero bytes, but without tables. */
    assert_int_equal(db_open(x->f.path, DB_MUST_EXIST, &db, NULL), 0);
    assert_int_equal(db_exec(db, "CREATE TABLE t (a); DROP TABLE t"), 0);
    db_close(db);
    assert_int_equal(try_open(x, x->f.path), ERR_STORE);
    says(x, "is missing or blank");
}

static void an_empty_store_begins_anew_when_told_so(void **state)
{
    struct fixture *x = *state;
    struct store_config config = fake_store_config(&x->f);
    char before[128], after[128];

    fake_store_reopen(&x->f);
    close_store(x);
    read_lock_file(x, before);
    assert_int_equal(unlink(x->f.path), 0);
    config.begin_anew = true;
    assert_int_equal(store_open(&config, &x->f.store, &x->e), 0);
    close_store(x);
    read_lock_file(x, after);
    assert_string_not_equal(strchr(before, '\n'), strchr(after, '\n'));
    assert_int_equal(try_open(x, x->f.path), 0); /* and from now on without being told */
}

static void a_restored_copy_is_welcome(void **state)
{
    struct fixture *x = *state;
    char command[600];

    fake_store_reopen(&x->f);
    close_store(x);
    snprintf(command, sizeof command, "cp %s %s && rm %s && mv %s %s", x->f.path, x->other,
             x->f.path, x->other, x->f.path);
    assert_int_equal(system(command), 0);
    assert_int_equal(try_open(x, x->f.path), 0);
}

static void the_lock_file_names_process_and_store(void **state)
{
    struct fixture *x = *state;
    char expected[128], text[128], id[STORE_ID_BYTES];
    struct db *db;

    fake_store_reopen(&x->f);
    db = fake_store_side_door(&x->f);
    assert_int_equal(store_id(db, id), 0);
    db_close(db);
    assert_int_equal(strspn(id, "0123456789abcdef"), 32);
    snprintf(expected, sizeof expected, "%d\n%s\n", (int)getpid(), id);
    read_lock_file(x, text);
    assert_string_equal(text, expected);
}

static void an_expected_id_takes_that_store_and_no_other(void **state) /* FR-50 */
{
    struct fixture *x = *state;
    struct store_config config = fake_store_config(&x->f);
    char id[STORE_ID_BYTES];
    struct db *db;

    fake_store_reopen(&x->f);
    db = fake_store_side_door(&x->f);
    assert_int_equal(store_id(db, id), 0);
    db_close(db);
    close_store(x);
    config.id = id;
    assert_int_equal(store_open(&config, &x->f.store, &x->e), 0);
    close_store(x);

    config.id = "0123456789abcdef0123456789abcdef";
    assert_int_equal(store_open(&config, &x->f.store, &x->e), ERR_STORE);
    says(x, id);
    says(x, "store.id demands 0123456789abcdef0123456789abcdef");

    /* The whole directory is another one, as when a volume is not mounted. */
    config.id = id;
    config.path = x->other;
    config.begin_anew = true;
    assert_int_equal(store_open(&config, &x->f.store, &x->e), ERR_STORE);
    says(x, "store.id demands");
    assert_int_equal(access(x->other, F_OK), -1);
    remove_other_lock(x);
}

static void a_store_without_a_marker_is_taken_as_it_is(void **state)
{
    struct fixture *x = *state;
    char lock[128];

    fake_store_reopen(&x->f);
    close_store(x);
    snprintf(lock, sizeof lock, "%s-lock", x->f.path);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(try_open(x, x->f.path), 0);

    /* As the first version left it: a process id without a store's. */
    assert_int_equal(truncate(lock, 0), 0);
    assert_int_equal(try_open(x, x->f.path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        TEST(a_symbolic_link_leads_to_the_same_owner),
        TEST(a_link_to_the_directory_leads_to_the_same_owner),
        TEST(a_file_with_two_names_is_refused_to_everybody),
        TEST(a_file_under_a_new_name_still_has_its_owner),
        TEST(a_link_to_nothing_makes_no_store),
        TEST(a_missing_store_is_not_begun_again),
        TEST(a_blank_file_is_not_taken_for_the_store),
        TEST(an_empty_store_begins_anew_when_told_so),
        TEST(a_restored_copy_is_welcome),
        TEST(the_lock_file_names_process_and_store),
        TEST(an_expected_id_takes_that_store_and_no_other),
        TEST(a_store_without_a_marker_is_taken_as_it_is),
    };

    return cmocka_run_group_tests_name("store: place", tests, NULL, NULL);
}
