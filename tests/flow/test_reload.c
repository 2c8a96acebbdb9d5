/* SPDX-License-Identifier: Apache-2.0 */
/* New settings under a running coordinator: what runs goes on, what comes finds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "attest/trust.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80 };

static const struct fake_provider_config plain = {0};

/* The world's settings with room to change them. */
struct changed {
    struct settings settings;
    struct settings_model models[2];
};

static struct changed changed(const struct fake_world *w)
{
    return (struct changed){.settings = w->settings, .models = {w->model}};
}

static void taken(void *ud, int rc)
{
    (void)ud;
    assert_int_equal(rc, 0);
}

static void take(struct fake_world *w, struct changed *c, size_t n_models)
{
    c->settings.models = c->models;
    c->settings.n_models = n_models;
    hub_take_settings(w->hub, &c->settings, taken, NULL);
    fake_world_settle(w);
}

static void a_stream_goes_on_under_the_price_that_it_began_with(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);
    struct changed new = changed(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "before ", 40);
    new.models[0].output_price_micro_usd = 1000 * FAKE_OUTPUT_PRICE;
    new.settings.cors_origin = STR("https://new.example");
    take(w, &new, 1);
    fake_provider_text(p, 0, "after", 40);
    fake_provider_finish(p, 0);
    fake_provider_complete(p, 0, PROMPT, 80);
    fake_world_advance_ms(w, 100);
    assert_string_equal(fake_consumer_text(c), "before after");
    assert_true(fake_consumer_done(c));
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT * 1 + 80 * 2);
    c = fake_consumer_stream(w); /* the next one pays the new price */
    fake_provider_serve(p, 1, PROMPT, 40);
    assert_true(
        str_is(fake_consumer_header(c, "Access-Control-Allow-Origin"), "https://new.example"));
    assert_int_equal(fake_world_hold(w, 1).cost, PROMPT * 1 + 40 * 2000);
    fake_consumer_leave(c);
    fake_world_stop(w); /* the settings are this function's */
}

/* FR-48: a gate is loosened without a restart. */
static void a_lower_trust_level_routes_to_who_is_there_already(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *p;
    struct fake_consumer *c;
    struct changed new;

    w->settings.min_trust = TRUST_HARDWARE;
    fake_world_start(w);
    *state = w;
    p = fake_provider_join(w, &plain);
    c = fake_consumer_stream(w);
    assert_int_equal(p->n_jobs, 0);
    new = changed(w);
    new.settings.min_trust = TRUST_SELF_SIGNED;
    take(w, &new, 1);
    fake_consumer_leave(c);
    c = fake_consumer_stream(w);
    assert_int_equal(p->n_jobs, 1);
    new.settings.min_trust = TRUST_HARDWARE; /* and tightened again */
    take(w, &new, 1);
    fake_provider_serve(p, 0, PROMPT, 5);
    assert_int_equal(fake_consumer_status(c), 200); /* what ran went on */
    c = fake_consumer_stream(w);
    assert_int_equal(p->n_jobs, 1);
    fake_consumer_leave(c);
    fake_world_stop(w);
    fake_world_down(state);
}

static void a_model_that_is_added_is_known_and_one_that_is_left_out_is_not_priced(void **state)
{
    struct fake_world *w = *state;
    struct changed new = changed(w);
    struct fake_consumer *c;

    c = fake_consumer_ask(
        w, &(struct fake_ask){.body = "{\"model\":\"second\",\"max_tokens\":9," FAKE_MESSAGES "}"});
    assert_int_equal(fake_consumer_status(c), 404);
    new.models[1] = (struct settings_model){.id = STR("second"),
                                            .display_name = STR("Second"),
                                            .input_price_micro_usd = 5,
                                            .output_price_micro_usd = 6};
    take(w, &new, 2);
    c = fake_consumer_ask(
        w, &(struct fake_ask){.body = "{\"model\":\"second\",\"max_tokens\":9," FAKE_MESSAGES "}"});
    assert_int_not_equal(fake_consumer_status(c), 404);
    fake_consumer_leave(c);
    fake_world_stop(w);
}

static void a_rate_limit_counts_from_now_on(void **state)
{
    struct fake_world *w = *state;
    struct changed new = changed(w);

    fake_provider_join(w, &plain);
    new.settings.rate_per_s = 0.001;
    new.settings.rate_burst = 1;
    take(w, &new, 1);
    fake_consumer_leave(fake_consumer_stream(w));
    assert_int_equal(fake_consumer_status(fake_consumer_stream(w)), 429);
    new.settings.rate_per_s = 0;
    take(w, &new, 1);
    assert_int_not_equal(fake_consumer_status(fake_consumer_stream(w)), 429);
    fake_world_stop(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stream_goes_on_under_the_price_that_it_began_with),
        cmocka_unit_test(a_lower_trust_level_routes_to_who_is_there_already),
        TEST(a_model_that_is_added_is_known_and_one_that_is_left_out_is_not_priced),
        TEST(a_rate_limit_counts_from_now_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
