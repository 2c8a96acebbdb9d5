/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a balance decides whether a request may be dispatched before its hold is
 * durable; the store's every answer corrects it, and only that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, COMPLETION = 20, COST = PROMPT + 2 * COMPLETION, STORE_MS = 20 };

static const struct fake_provider_config plain = {.max_running = 64};
static const struct fake_ask once = {.headers = "Idempotency-Key: one\r\n"};

/* A request is now at the provider although nothing of it is on the disk. */
static bool goes_at_once(struct fake_world *w, struct fake_provider *p)
{
    size_t before = p->n_jobs;

    fake_consumer_stream(w);
    return p->n_jobs == before + 1;
}

static void serve_last(struct fake_world *w, struct fake_provider *p)
{
    fake_world_advance_ms(w, STORE_MS);
    fake_provider_serve(p, p->n_jobs - 1, PROMPT, COMPLETION);
    fake_world_advance_ms(w, 2 * STORE_MS);
}

/* Findings §4: as many holds as the whole credit has room for have come and gone. */
static void holds_that_were_settled_are_not_on_their_way_any_more(void **state)
{
    enum { CREDIT = 1000, REQUESTS = 5 };
    struct fake_world *w = fake_world_new();
    struct fake_provider *p;
    (void)state;

    fake_world_make_key(w, "carol", CREDIT, w->key);
    fake_world_start(w);
    p = fake_provider_join(w, &plain);
    fake_consumer_stream(w); /* the account is known now */
    fake_world_slow_store(w, STORE_MS * 1000);
    serve_last(w, p);
    for (int i = 1; i < REQUESTS; i++) {
        assert_true(goes_at_once(w, p));
        serve_last(w, p);
    }
    assert_int_equal(fake_world_balance(w, "carol"), CREDIT - REQUESTS * COST);
    fake_world_down((void **)&w);
}

/* Findings §4: only an answer that names the balance is believed as one. */
static void a_refusal_for_another_reason_says_nothing_of_the_balance(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *again;

    fake_consumer_ask(w, &once);
    assert_int_equal(p->n_jobs, 1);
    again = fake_consumer_ask(w, &once);
    assert_int_equal(fake_consumer_status(again), 409);
    fake_world_slow_store(w, STORE_MS * 1000);
    assert_true(goes_at_once(w, p));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_that_were_settled_are_not_on_their_way_any_more),
        TEST(a_refusal_for_another_reason_says_nothing_of_the_balance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
