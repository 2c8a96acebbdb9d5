/* SPDX-License-Identifier: Apache-2.0 */
/* FR-1: what is known of a provider's key survives reconnects and restarts, and a distrust is
 * final. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/provider_state.h"
#include "unit/store/fake_store.h"

static struct provider_state_save save;
static struct provider_state_load load;

static int setup(void **state)
{
    static struct fake_store f;

    fake_store_open(&f);
    provider_state_save_init(&save, NULL);
    provider_state_load_init(&load, NULL);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fake_store_close(*state);
    return 0;
}

static int run(struct fake_store *f, struct store_op *op)
{
    return store_run_sync(f->store, op);
}

static struct provider_state_row row_of(int n, const char *text)
{
    struct provider_state_row row = {.saved_wall_us = 1000 + n, .state = str_from(text)};

    snprintf(row.key, sizeof row.key, "%064d", n);
    return row;
}

static void add(int n, const char *distrusted, const char *text)
{
    struct provider_state_row row = row_of(n, text);

    snprintf(row.distrusted, sizeof row.distrusted, "%s", distrusted);
    assert_int_equal(provider_state_add(&save.rows, &row), 0);
}

static void save_all(struct fake_store *f)
{
    assert_int_equal(run(f, &save.op), 0);
    provider_state_save_init(&save, NULL);
}

/* The row of one key; .key[0] is '\0' where there is none. */
static struct provider_state_row find(struct fake_store *f, int n)
{
    struct provider_state_row none = {0};

    provider_state_load_init(&load, NULL);
    memcpy(load.key, row_of(n, "").key, sizeof load.key);
    assert_int_equal(run(f, &load.op), 0);
    assert_false(load.more);
    return load.rows.n ? load.rows.rows[0] : none;
}

static void a_row_is_there_after_a_restart(void **state)
{
    struct fake_store *f = *state;
    struct provider_state_row got;

    add(1, "", "{\"level\":3}");
    add(2, "", "");
    save_all(f);
    fake_store_reopen(f);
    got = find(f, 1);
    assert_string_equal(got.key, row_of(1, "").key);
    assert_true(str_is(got.state, "{\"level\":3}"));
    assert_int_equal(got.saved_wall_us, 1001);
    assert_string_equal(got.distrusted, "");
    assert_int_equal(find(f, 2).state.n, 0);
    assert_int_equal(find(f, 3).key[0], '\0');
}

static void a_later_save_takes_the_place_of_an_earlier_one(void **state)
{
    struct fake_store *f = *state;

    add(1, "", "first");
    save_all(f);
    add(1, "", "second");
    add(1, "", "third"); /* twice in one batch: the last counts */
    save_all(f);
    assert_true(str_is(find(f, 1).state, "third"));
}

static void a_distrust_is_final(void **state)
{
    struct fake_store *f = *state;
    struct provider_state_row got;

    add(1, "", "innocent");
    save_all(f);
    add(1, "wrong_signature", "guilty");
    save_all(f);
    add(1, "", "pretends");
    save_all(f);
    add(1, "another_reason", "again");
    save_all(f);
    fake_store_reopen(f);
    got = find(f, 1);
    assert_string_equal(got.distrusted, "wrong_signature");
    assert_true(str_is(got.state, "again"));
}

static void all_rows_are_read_page_by_page_in_the_order_of_keys(void **state)
{
    enum { ROWS = 150 };
    struct fake_store *f = *state;
    int seen = 0, pages = 0;

    for (int n = ROWS - 1; n >= 0; n--) {
        if (save.rows.n == PROVIDER_STATE_ROWS)
            save_all(f);
        add(n, n == 70 ? "why" : "", n % 2 ? "odd" : "even");
    }
    save_all(f);
    provider_state_load_init(&load, NULL);
    do {
        assert_int_equal(run(f, &load.op), 0);
        pages++;
        for (size_t i = 0; i < load.rows.n; i++, seen++) {
            const struct provider_state_row *row = &load.rows.rows[i];

            assert_string_equal(row->key, row_of(seen, "").key);
            assert_string_equal(row->distrusted, seen == 70 ? "why" : "");
            assert_true(str_is(row->state, seen % 2 ? "odd" : "even"));
        }
    } while (provider_state_load_next(&load));
    assert_int_equal(seen, ROWS);
    assert_int_equal(pages, 3);
}

static void a_page_ends_where_its_text_is_full(void **state)
{
    static char text[PROVIDER_STATE_MAX_BYTES + 1];
    struct fake_store *f = *state;
    int seen = 0, pages = 0;

    memset(text, 'x', PROVIDER_STATE_MAX_BYTES);
    for (int n = 0; n < 10; n++) {
        struct provider_state_row row = row_of(n, text);

        if (provider_state_add(&save.rows, &row) == ERR_LIMIT) {
            assert_int_equal(save.rows.n, 4);
            save_all(f);
            assert_int_equal(provider_state_add(&save.rows, &row), 0);
        }
    }
    save_all(f);
    provider_state_load_init(&load, NULL);
    do {
        assert_int_equal(run(f, &load.op), 0);
        pages++;
        seen += (int)load.rows.n;
        for (size_t i = 0; i < load.rows.n; i++)
            assert_int_equal(load.rows.rows[i].state.n, PROVIDER_STATE_MAX_BYTES);
    } while (provider_state_load_next(&load));
    assert_int_equal(seen, 10);
    assert_int_equal(pages, 3);
}

static void what_does_not_fit_is_refused_and_the_rest_stays(void **state)
{
    static char text[PROVIDER_STATE_MAX_BYTES + 2];
    struct provider_state_row row = row_of(1, "x");

    (void)state;
    memset(text, 'x', sizeof text - 1);
    row.state = str_from(text);
    assert_int_equal(provider_state_add(&save.rows, &row), ERR_RANGE);
    row = row_of(1, "x");
    row.key[63] = '\0';
    assert_int_equal(provider_state_add(&save.rows, &row), ERR_RANGE);
    assert_int_equal(save.rows.n, 0);
    for (int n = 0; n < PROVIDER_STATE_ROWS; n++)
        add(n, "", "x");
    row = row_of(99, "x");
    assert_int_equal(provider_state_add(&save.rows, &row), ERR_LIMIT);
    assert_int_equal(save.rows.n, PROVIDER_STATE_ROWS);
}

static int64_t prune(struct fake_store *f, int64_t before, int64_t max_rows)
{
    struct provider_state_prune p;

    provider_state_prune_init(&p, NULL);
    p.before_wall_us = before;
    p.max_rows = max_rows;
    assert_int_equal(run(f, &p.op), 0);
    return p.removed;
}

static void old_rows_are_forgotten_the_distrusted_last(void **state)
{
    struct fake_store *f = *state;

    add(1, "why", "1");
    for (int n = 2; n <= 5; n++)
        add(n, "", "x");
    save_all(f);
    assert_int_equal(prune(f, 1003, INT64_MAX), 1); /* 2: saved at 1002 */
    assert_int_equal(find(f, 1).key[0], '0');
    assert_int_equal(find(f, 2).key[0], '\0');
    assert_int_equal(find(f, 3).key[0], '0');
    assert_int_equal(prune(f, 0, 2), 2); /* 3 and 4 are the oldest of four */
    assert_int_equal(find(f, 4).key[0], '\0');
    assert_int_equal(find(f, 5).key[0], '0');
    assert_int_equal(prune(f, 0, 2), 0);
    assert_int_equal(prune(f, 0, 0), 2);
    assert_int_equal(find(f, 1).key[0], '\0');
}

static void a_thousand_rows_are_forgotten_at_a_time(void **state)
{
    struct fake_store *f = *state;

    for (int n = 0; n < 1100; n++) {
        if (save.rows.n == PROVIDER_STATE_ROWS)
            save_all(f);
        add(n, "", "x");
    }
    save_all(f);
    assert_int_equal(prune(f, INT64_MAX, 0), 1000);
    assert_int_equal(prune(f, 0, 1), 99);
    assert_int_equal(find(f, 1099).key[0], '0');
}

static void a_damaged_row_is_left_out_and_hides_no_other(void **state)
{
    struct fake_store *f = *state;
    struct db *db = fake_store_side_door(f);

    add(1, "", "x");
    add(3, "", "y");
    save_all(f);
    assert_int_equal(db_exec(db, "INSERT INTO provider_state VALUES (hex(zeroblob(31))"
                                 " || '02', NULL, 0, hex(zeroblob(9000)))"),
                     0);
    db_close(db);
    provider_state_load_init(&load, NULL);
    assert_int_equal(run(f, &load.op), 0);
    assert_int_equal(load.rows.n, 2);
    assert_true(str_is(load.rows.rows[1].state, "y"));
}

static void a_distrust_is_final_until_the_operator_forgives_the_key(void **state)
{
    struct provider_state_forgive forgive;

    add(1, "challenge_signature", "a");
    save_all(*state);
    provider_state_forgive_init(&forgive, NULL);
    memcpy(forgive.key, row_of(1, "").key, sizeof forgive.key);
    assert_int_equal(run(*state, &forgive.op), 0);
    assert_true(forgive.found);
    assert_string_equal(find(*state, 1).distrusted, "");
    assert_true(str_is(find(*state, 1).state, "a"));
    assert_int_equal(run(*state, &forgive.op), 0); /* nothing is left to forgive */
    assert_false(forgive.found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        TEST(a_row_is_there_after_a_restart),
        TEST(a_later_save_takes_the_place_of_an_earlier_one),
        TEST(a_distrust_is_final),
        TEST(a_distrust_is_final_until_the_operator_forgives_the_key),
        TEST(all_rows_are_read_page_by_page_in_the_order_of_keys),
        TEST(a_page_ends_where_its_text_is_full),
        TEST(what_does_not_fit_is_refused_and_the_rest_stays),
        TEST(old_rows_are_forgotten_the_distrusted_last),
        TEST(a_thousand_rows_are_forgotten_at_a_time),
        TEST(a_damaged_row_is_left_out_and_hides_no_other),
    };

    return cmocka_run_group_tests_name("store: provider state", tests, NULL, NULL);
}
