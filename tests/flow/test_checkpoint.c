/* SPDX-License-Identifier: Apache-2.0 */
/* What a crash may cost: delivered counts reach the store every quarter of a second, and a new
 * start settles what an earlier one left at the last of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"
#include "ledger/ledger.h"

enum { PROMPT = 80, CEILING = 300 };

static const struct fake_provider_config plain = {0};

static void delivered_counts_are_noted_every_quarter_second(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_hold h;

    fake_consumer_stream(w);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 30);
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 0);
    fake_world_advance_ms(w, 250);
    h = fake_world_hold(w, 0);
    assert_true(h.open);
    assert_int_equal(h.delivered_tokens, 30);
    assert_int_equal(h.prompt_tokens, PROMPT);
    assert_string_equal(h.provider_account, fake_provider_account(p));
    fake_provider_text(p, 0, " world", 10);
    fake_world_advance_ms(w, 250);
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 40);
}

static void a_checkpoint_believes_no_more_than_a_settlement(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_hold h;

    fake_consumer_stream(w);
    fake_provider_accept(p, 0, INT64_MAX);
    fake_provider_usage(p, 0, 1000000000, 1);
    fake_provider_text(p, 0, "Hello", 300);
    fake_world_advance_ms(w, 250);
    h = fake_world_hold(w, 0);
    assert_int_equal(h.delivered_tokens, 100); /* as many as were asked for */
    assert_int_equal(h.prompt_tokens * 1 + h.delivered_tokens * 2, h.ceiling);
}

/* More streams than one batch of checkpoints takes. */
static void every_one_of_many_streams_is_noted_within_a_tick(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p =
        fake_provider_join(w, &(struct fake_provider_config){.max_running = 1024});

    fake_world_advance_ms(w, 1); /* between two ticks */
    for (size_t i = 0; i < LEDGER_CHECKPOINT_MAX + 20; i++) {
        fake_consumer_stream(w);
        fake_provider_text(p, i, "Hello", 30);
    }
    fake_world_slow_store(w, 4000);
    fake_world_advance_ms(w, 250 + 2 * 4);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds WHERE delivered_tokens = 30"),
                     LEDGER_CHECKPOINT_MAX + 20);
    fake_world_slow_store(w, 0);
}

static void reserve_and_checkpoint(struct fake_world *w, struct ledger_reserve *r,
                                   struct ledger_checkpoint *c)
{
    ledger_reserve_init(r, NULL);
    snprintf(r->request_id, sizeof r->request_id, "before-the-crash");
    snprintf(r->account, sizeof r->account, FAKE_ACCOUNT);
    snprintf(r->model, sizeof r->model, FAKE_MODEL);
    snprintf(r->boot_id, sizeof r->boot_id, "an-earlier-boot");
    r->price = (struct price){FAKE_INPUT_PRICE, FAKE_OUTPUT_PRICE};
    r->ceiling_micro_usd = CEILING;
    r->now_wall_us = FAKE_WALL_US;
    r->deadline_mono_us = 600000000;
    ledger_checkpoint_init(c, NULL);
    c->n = 1;
    c->rows[0] = (struct ledger_checkpoint_row){.request_id = "before-the-crash",
                                                .provider_account = "provider:01ab",
                                                .prompt_tokens = PROMPT,
                                                .delivered_tokens = 30};
    assert_int_equal(db_begin(w->db), 0);
    assert_int_equal(r->op.run(w->db, &r->op), 0);
    assert_int_equal(c->op.run(w->db, &c->op), 0);
    assert_int_equal(db_commit(w->db), 0);
}

static void holds_of_an_earlier_boot_are_settled_at_their_checkpoint(void **state)
{
    static struct ledger_checkpoint checkpoint;
    struct ledger_reserve reserve;
    struct fake_world *w = fake_world_new();
    (void)state;

    reserve_and_checkpoint(w, &reserve, &checkpoint);
    fake_world_start(w);
    assert_string_equal(fake_world_hold(w, 0).outcome, "recovered");
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 60);
    assert_int_equal(fake_world_balance(w, "provider:01ab"), 133);
    assert_true(fake_world_logged(w, "ledger_recovered"));
    fake_world_down((void **)&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(delivered_counts_are_noted_every_quarter_second),
        TEST(a_checkpoint_believes_no_more_than_a_settlement),
        TEST(every_one_of_many_streams_is_noted_within_a_tick),
        cmocka_unit_test(holds_of_an_earlier_boot_are_settled_at_their_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
