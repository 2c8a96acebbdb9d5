/* SPDX-License-Identifier: Apache-2.0 */
/* The proof at start-up, over scripted models that depend on their batch in known ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "provider/engine/invariance.h"
#include "unit/provider/fake_model.h"

static int set_up(void **state)
{
    struct fake_model *m = calloc(1, sizeof *m);

    assert_non_null(m);
    fake_model_init(m);
    *state = m;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void a_model_whose_rows_know_no_company_is_invariant(void **state)
{
    struct fake_model *m = *state;

    assert_int_equal(invariance_check(&fake_model_ops, m), 1);
    assert_int_equal(m->most_seqs, 3);
    assert_false(m->broke_order);
    for (int i = 0; i < FAKE_SEQS; i++)
        assert_int_equal(m->length[i], 0);
}

static void two_sequences_need_no_room_for_a_third(void **state)
{
    struct fake_model *m = *state;

    m->few_seqs = 2;
    m->few_rows = FAKE_CONTEXT - 4; /* one long text, with the steps behind it */
    assert_int_equal(invariance_check(&fake_model_ops, m), 1);
    m->few_rows--;
    assert_int_equal(invariance_check(&fake_model_ops, m), 0);
}

static void one_whose_rows_change_with_the_size_of_the_batch_is_not(void **state)
{
    struct fake_model *m = *state;

    m->dependent = true;
    assert_int_equal(invariance_check(&fake_model_ops, m), 0);
    for (int i = 0; i < FAKE_SEQS; i++)
        assert_int_equal(m->length[i], 0);
}

static void one_that_computes_a_lone_row_otherwise_over_a_long_text_is_not(void **state)
{
    struct fake_model *m = *state;

    m->lone_rows_differ_from = FAKE_CONTEXT - 10;
    assert_int_equal(invariance_check(&fake_model_ops, m), 0);
}

static void a_model_that_fails_is_an_error(void **state)
{
    struct fake_model *m = *state;

    m->fail_next = true;
    assert_int_equal(invariance_check(&fake_model_ops, m), ERR_MODEL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_model_whose_rows_know_no_company_is_invariant),
        TEST(two_sequences_need_no_room_for_a_third),
        TEST(one_whose_rows_change_with_the_size_of_the_batch_is_not),
        TEST(one_that_computes_a_lone_row_otherwise_over_a_long_text_is_not),
        TEST(a_model_that_fails_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
