/* SPDX-License-Identifier: Apache-2.0 */
/* Which models are known, and what bounds their requests: the word of providers that may be asked,
 * and nobody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/coordinator/fake_fleet.h"

enum { MODELS_MAX = 10000 };

static struct provider *offering(struct fake_fleet *f, int64_t context, int64_t overhead)
{
    return fake_fleet_add_with(f, &(struct fake_member){.n_models = 1,
                                                        .slots = 4,
                                                        .context_length = context,
                                                        .template_overhead = overhead});
}

/* --- bounds --- */

static void without_a_provider_nothing_is_bounded(void **state)
{
    struct fake_fleet *f = *state;

    assert_int_equal(model_context(f->models[0]), INT64_MAX);
    assert_int_equal(model_overhead(f->models[0]), TEMPLATE_OVERHEAD_TOKENS);
}

static void the_largest_context_and_template_bound_the_request(void **state)
{
    struct fake_fleet *f = *state;

    (void)offering(f, 2048, 40);
    (void)offering(f, 8192, 30);
    (void)offering(f, 4096, 20);
    assert_int_equal(model_context(f->models[0]), 8192);
    assert_int_equal(model_overhead(f->models[0]), 40);
    assert_int_equal(model_context(f->models[1]), INT64_MAX);
}

static void a_bound_goes_with_those_who_gave_it(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *first = offering(f, 8192, 40), *second = offering(f, 8192, 20),
                    *small = offering(f, 2048, 30);

    offers_withdraw(first);
    assert_int_equal(model_context(f->models[0]), 8192);
    assert_int_equal(model_overhead(f->models[0]), 30);
    second->challenge.passed = false;
    offers_update(second);
    assert_int_equal(model_context(f->models[0]), 2048);
    second->challenge.passed = true;
    offers_update(second);
    assert_int_equal(model_context(f->models[0]), 8192);
    offers_withdraw(small);
    offers_withdraw(second);
    assert_int_equal(model_context(f->models[0]), INT64_MAX);
}

static void one_unknown_context_lifts_the_bound(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *unknown;

    (void)offering(f, 2048, 40);
    unknown = offering(f, 0, 40);
    assert_int_equal(model_context(f->models[0]), INT64_MAX);
    offers_withdraw(unknown);
    assert_int_equal(model_context(f->models[0]), 2048);
}

static void who_may_not_be_asked_bounds_nobody(void **state)
{
    struct fake_fleet *f = *state;

    f->settings.min_trust = TRUST_SELF_SIGNED;
    (void)offering(f, 1, 4096);
    assert_int_equal(model_context(f->models[0]), INT64_MAX);
    assert_int_equal(model_overhead(f->models[0]), TEMPLATE_OVERHEAD_TOKENS);
}

/* --- known models --- */

static void fill(struct fake_fleet *f)
{
    char id[32];

    for (int i = 0; f->reg->models.used < MODELS_MAX; i++) {
        snprintf(id, sizeof id, "announced-%d", i);
        assert_non_null(model_add(f->reg, str_from(id)));
    }
}

/* A provider that may be asked comes with a model of this name. */
static struct provider *serving(struct fake_fleet *f, const char *id)
{
    struct provider *p = offering(f, 2048, 40);

    p->challenge.passed = false;
    offers_update(p);
    p->offers[0].id = str_from(id);
    p->challenge.passed = true;
    offers_update(p);
    return p;
}

static void a_model_that_is_served_displaces_one_that_nobody_needs(void **state)
{
    struct fake_fleet *f = *state;

    f->models[0]->configured = true;
    f->models[1]->n_requests = 1;
    fill(f);
    assert_null(model_add(f->reg, STR("announced by a stranger")));
    (void)serving(f, "served");
    assert_non_null(registry_model(f->reg, STR("served")));
    assert_int_equal(f->reg->models.used, MODELS_MAX);
    assert_ptr_equal(registry_model(f->reg, STR("m0")), f->models[0]);
    assert_ptr_equal(registry_model(f->reg, STR("m1")), f->models[1]);
    f->models[1]->n_requests = 0;
}

static void models_that_are_asked_for_are_not_displaced(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p;
    struct model *m;
    size_t cursor = 0;

    fill(f);
    while ((m = registry_model_next(f->reg, &cursor)))
        m->n_requests = 1;
    p = serving(f, "one more");
    assert_null(registry_model(f->reg, STR("one more")));
    assert_null(p->offers[0].model);
    offers_withdraw(p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_fleet_up, fake_fleet_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_provider_nothing_is_bounded),
        TEST(the_largest_context_and_template_bound_the_request),
        TEST(a_bound_goes_with_those_who_gave_it),
        TEST(one_unknown_context_lifts_the_bound),
        TEST(who_may_not_be_asked_bounds_nobody),
        TEST(a_model_that_is_served_displaces_one_that_nobody_needs),
        TEST(models_that_are_asked_for_are_not_displaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
