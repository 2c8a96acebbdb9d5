/* SPDX-License-Identifier: Apache-2.0 */
/* What is held, what is charged and who waits for the store: the hold's commit holds back the first
 * token and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"
#include "ledger/ledger.h"

enum {
    PROMPT = 80,
    STORE_MS = 20,
    /* One token a byte of the messages at most, and what the template adds. */
    PROMPT_CEILING =
        sizeof FAKE_MESSAGES - sizeof "\"messages\":" + FAKE_OVERHEAD + 16 /* for one message */,
    CEILING = PROMPT_CEILING + 2 * 100,
    MARK_TOKENS = 16 /* of an answer may be no text */
};

static const struct fake_provider_config plain = {0};

static size_t holds_ever(struct fake_world *w)
{
    return (size_t)fake_world_query(w, "SELECT count(*) FROM holds");
}

/* --- the hold --- */

static void the_hold_is_the_most_that_the_request_can_cost(void **state)
{
    struct fake_world *w = *state;

    fake_provider_join(w, &plain);
    fake_consumer_stream(w);
    assert_int_equal(fake_world_hold(w, 0).ceiling, CEILING);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT - CEILING);
}

static void credit_below_the_ceiling_is_402_with_both_amounts(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    char key[KEY_TEXT_BYTES];
    struct fake_consumer *c;

    fake_world_make_key(w, "poor", CEILING - 1, key);
    c = fake_consumer_ask(w, &(struct fake_ask){.key = key});
    assert_int_equal(fake_consumer_status(c), 402);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"insufficient_quota\""));
    assert_true(fake_says(fake_consumer_body(c), "cost up to 0.000287 USD"));
    assert_true(fake_says(fake_consumer_body(c), "the account has 0.000286 USD"));
    assert_int_equal(p->n_jobs, 0);
    assert_int_equal(holds_ever(w), 0);
    assert_int_equal(fake_world_balance(w, "poor"), CEILING - 1);
}

static void the_last_credit_is_enough_for_one_request_at_a_time(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    char key[KEY_TEXT_BYTES];
    struct fake_consumer *first, *second;

    fake_world_make_key(w, "poor", CEILING, key);
    fake_world_slow_store(w, STORE_MS * 1000);
    first = fake_consumer_ask(w, &(struct fake_ask){.key = key});
    second = fake_consumer_ask(w, &(struct fake_ask){.key = key});
    fake_world_advance_ms(w, STORE_MS);
    assert_int_equal(p->n_jobs, 1); /* the second waits for the store's word */
    fake_world_advance_ms(w, STORE_MS);
    assert_int_equal(fake_consumer_status(second), 402);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_int_equal(fake_consumer_status(first), 200);
    assert_int_equal(p->n_jobs, 1);
}

/* Another process spends all that the account has. */
static void spend_elsewhere(struct fake_world *w)
{
    int64_t all = fake_world_balance(w, FAKE_ACCOUNT);
    struct ledger_reserve r;
    struct ledger_settle s;

    ledger_reserve_init(&r, NULL);
    ledger_settle_init(&s, NULL);
    snprintf(r.request_id, sizeof r.request_id, "elsewhere");
    snprintf(s.request_id, sizeof s.request_id, "elsewhere");
    snprintf(r.account, sizeof r.account, FAKE_ACCOUNT);
    snprintf(r.boot_id, sizeof r.boot_id, "another-process");
    snprintf(s.provider_account, sizeof s.provider_account, "unclaimed");
    r.price = s.price = (struct price){FAKE_INPUT_PRICE, FAKE_OUTPUT_PRICE};
    r.ceiling_micro_usd = s.prompt_tokens = all;
    r.deadline_mono_us = 600000000;
    s.outcome = LEDGER_COMPLETED;
    assert_int_equal(db_begin(w->db), 0);
    assert_int_equal(r.op.run(w->db, &r.op), 0);
    assert_int_equal(s.op.run(w->db, &s.op), 0);
    assert_int_equal(db_commit(w->db), 0);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), 0);
}

static void the_store_decides_although_the_known_balance_would_do(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    fake_consumer_stream(w); /* the account is known now */
    fake_provider_serve(p, 0, PROMPT, 40);
    spend_elsewhere(w);
    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_stream(w);
    assert_int_equal(p->n_jobs, 2);
    fake_provider_text(p, 1, "Hello", 1);
    fake_world_advance_ms(w, STORE_MS);
    assert_int_equal(fake_consumer_status(c), 402);
    assert_int_equal(p->jobs[1].cancels, 1);
    assert_int_equal(holds_ever(w), 2);
    fake_consumer_stream(w); /* the refusal said what is left: this one waits for the store */
    assert_int_equal(p->n_jobs, 2);
}

/* --- who waits for the store --- */

static void dispatch_does_not_wait_for_the_commit_but_the_first_token_does(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_stream(w);
    fake_world_advance_ms(w, STORE_MS); /* the key */
    assert_int_equal(p->n_jobs, 1);
    assert_int_equal(holds_ever(w), 0);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_role(p, 0);
    fake_provider_text(p, 0, "Hel", 1);
    fake_provider_text(p, 0, "lo", 1);
    fake_world_advance_ms(w, STORE_MS - 1);
    assert_int_equal(fake_consumer_status(c), 0);
    fake_world_advance_ms(w, 1);
    assert_true(fake_world_hold(w, 0).open);
    assert_string_equal(fake_consumer_text(c), "Hello");
    fake_provider_text(p, 0, " world", 1);
    assert_string_equal(fake_consumer_text(c), "Hello world");
}

static void the_end_does_not_wait_for_the_settlement(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_world_slow_store(w, STORE_MS * 1000);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
    assert_int_equal(fake_number(fake_consumer_event(c, 4), "cost_micro_usd"), PROMPT + 80);
    assert_true(fake_world_hold(w, 0).open);
    fake_world_advance_ms(w, STORE_MS);
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 80);
}

static void a_settlement_waits_a_moment_for_the_next_hold_to_share_its_commit(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    uint64_t batches;

    fake_world_store_company(w, 2000);
    fake_consumer_stream(w);
    fake_provider_serve(p, 0, PROMPT, 10);
    assert_true(fake_world_hold(w, 0).open);
    batches = store_stats(w->hub->store).batches;
    fake_consumer_stream(w);
    assert_false(fake_world_hold(w, 0).open);
    assert_true(fake_world_hold(w, 1).open);
    assert_int_equal(store_stats(w->hub->store).batches, batches + 1);

    fake_provider_serve(p, 1, PROMPT, 10); /* nobody comes */
    assert_true(fake_world_hold(w, 1).open);
    fake_world_advance_ms(w, 2);
    assert_false(fake_world_hold(w, 1).open);
}

static void an_answer_complete_before_the_commit_leaves_with_it(void **state)
{
    static const char *const bodies[] = {FAKE_STREAM, FAKE_WHOLE};
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        void *world;
        struct fake_world *w;
        struct fake_provider *p;
        struct fake_consumer *c;

        fake_world_up(&world);
        w = world;
        p = fake_provider_join(w, &plain);
        fake_world_slow_store(w, STORE_MS * 1000);
        c = fake_consumer_ask(w, &(struct fake_ask){.body = bodies[i]});
        fake_world_advance_ms(w, STORE_MS);
        fake_provider_serve(p, 0, PROMPT, 40);
        assert_int_equal(fake_consumer_status(c), 0);
        fake_world_advance_ms(w, STORE_MS);
        assert_int_equal(fake_consumer_status(c), 200);
        assert_true(fake_consumer_done(c));
        assert_true(fake_says(fake_consumer_body(c), "world"));
        fake_world_advance_ms(w, STORE_MS);
        assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
        fake_world_down(&world);
    }
}

/* The provider's time-outs are over when it is done, however long the disk takes. */
static void an_answer_complete_before_the_commit_waits_for_it_beyond_the_time_outs(void **state)
{
    enum { SLOW_MS = 11000 };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    w->settings.first_token_timeout_ms = 10000;
    fake_consumer_leave(fake_consumer_stream(w)); /* the account is known now */
    fake_world_slow_store(w, SLOW_MS * 1000);
    c = fake_consumer_stream(w);
    fake_provider_serve(p, 1, PROMPT, 40);
    fake_world_advance_ms(w, SLOW_MS - 1);
    assert_int_equal(fake_consumer_status(c), 0);
    fake_world_advance_ms(w, 1);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_consumer_text(c), "Hello world");
    fake_world_advance_ms(w, SLOW_MS);
    assert_string_equal(fake_world_hold(w, 1).outcome, "completed");
}

static void an_answer_that_outgrows_the_wait_for_its_hold_is_given_up(void **state)
{
    enum { TEXT_BYTES = 6 << 20 };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;
    char *text = calloc(1, TEXT_BYTES + 1);

    assert_non_null(text);
    memset(text, 'x', TEXT_BYTES);
    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_stream(w);
    fake_world_advance_ms(w, STORE_MS);
    for (int i = 0; i < 3; i++)
        fake_provider_text(p, 0, text, 1);
    free(text);
    assert_int_equal(p->jobs[0].cancels, 1);
    assert_int_equal(fake_consumer_status(c), 503);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"overloaded\""));
    fake_world_advance_ms(w, 2 * STORE_MS);
    assert_string_equal(fake_world_hold(w, 0).outcome, "released");
}

/* --- what is charged --- */

static const struct charge {
    const char *name;
    int64_t accepted;           /* prompt tokens said at the start; 0: not said */
    int64_t tokens;             /* of each of two chunks; PROTO_UNSET: not said */
    int64_t prompt, completion; /* said at the end */
    int64_t cost;
} charges[] = {
    {"what the provider counted", 80, 20, 80, 40, 80 + 80},
    {"the end's prompt count, not the start's", 80, 20, 70, 40, 70 + 80},
    {"what was relayed, where the end does not count", 80, 20, 80, 0, 80 + 80},
    {"at least 100", 10, 1, 10, 2, 100},
    {"no more prompt than its bytes allow", 80, 20, 1000000000, 40, PROMPT_CEILING + 80},
    {"no more completion than was asked for", 80, 150, 80, 300, 80 + 200},
    {"no more completion than its chunks stood for", 80, 20, 80, 1000000000, 80 + 80},
    {"never above the hold", INT64_MAX, 150, INT64_MAX, INT64_MAX, CEILING},
    {"nothing negative", 80, 20, -1, -1, 80 + 80},
    {"an old peer's count, where its chunks hold several tokens", 80, PROTO_UNSET, 80, 15, 80 + 30},
    {"an old peer's count up to its text's bytes", 80, PROTO_UNSET, 80, 1000,
     80 + 2 * (5 + MARK_TOKENS)},
    {"an old peer's prompt as bytes / 4, its chunks as one token each", 0, PROTO_UNSET, 0, 0, 100},
};

static void the_charge_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof charges / sizeof charges[0]; i++) {
        const struct charge *x = &charges[i];
        void *world;
        struct fake_world *w;
        struct fake_provider *p;
        struct fake_consumer *c;

        fake_world_up(&world);
        w = world;
        p = fake_provider_join(w, &plain);
        c = fake_consumer_stream(w);
        fake_provider_accept(p, 0, x->accepted);
        fake_provider_text(p, 0, "Hel", x->tokens);
        fake_provider_text(p, 0, "lo", x->tokens);
        fake_provider_complete(p, 0, x->prompt, x->completion);
        if (fake_world_hold(w, 0).cost != x->cost)
            fail_msg("%s: %lld, not %lld", x->name, (long long)fake_world_hold(w, 0).cost,
                     (long long)x->cost);
        assert_int_equal(fake_number(fake_consumer_body(c), "cost_micro_usd"), x->cost);
        fake_world_down(&world);
    }
}

/* A token is at least one byte of text, but for the end, marks, and a stop string. */
static void more_tokens_than_bytes_are_not_charged(void **state)
{
    static const struct {
        const char *body;
        int64_t silent;
    } cases[] = {
        {FAKE_STREAM, MARK_TOKENS},
        {FAKE_WHOLE, MARK_TOKENS},
        {"{\"model\":\"" FAKE_MODEL "\",\"max_tokens\":100,\"stop\":[\"####\",\"#\"]," FAKE_MESSAGES
         "}",
         MARK_TOKENS + 4},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        void *world;
        struct fake_world *w;
        struct fake_provider *p;

        fake_world_up(&world);
        w = world;
        p = fake_provider_join(w, &plain);
        fake_consumer_ask(w, &(struct fake_ask){.body = cases[i].body});
        fake_provider_accept(p, 0, PROMPT);
        fake_provider_exaggerate(p, 0, "Hel", 40);
        fake_provider_exaggerate(p, 0, "lo", 40);
        fake_provider_complete(p, 0, PROMPT, 80);
        assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 5 + cases[i].silent);
        fake_world_down(&world);
    }
}

/* A provider holds back what might still become a stop string, or half a character. */
static void tokens_that_come_before_their_text_are_charged_when_it_comes(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    fake_consumer_stream(w);
    fake_provider_exaggerate(p, 0, "a", 40);
    fake_provider_exaggerate(p, 0, "0123456789012345678901234567890123456789", 1);
    fake_provider_complete(p, 0, PROMPT, 41);
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 41);
}

static void an_old_peers_counts_are_guessed(void **state)
{
    static const struct str role =
        STR("data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}");
    static const struct str finish =
        STR("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_hold h;

    fake_consumer_stream(w);
    fake_provider_line(p, 0, role, PROTO_UNSET);
    for (int i = 0; i < 5; i++)
        fake_provider_text(p, 0, "x", PROTO_UNSET);
    fake_provider_line(p, 0, finish, PROTO_UNSET);
    fake_provider_complete(p, 0, 0, 0);
    h = fake_world_hold(w, 0);
    assert_int_equal(h.delivered_tokens, 5); /* neither the role nor the finish */
    assert_int_equal(h.prompt_tokens, (sizeof FAKE_MESSAGES - sizeof "\"messages\":") / 4 + 1);
}

static void each_model_has_its_price_and_an_unlisted_one_the_default(void **state)
{
    static const struct {
        const char *model;
        int64_t input_price, output_price;
    } cases[] = {{FAKE_MODEL, FAKE_INPUT_PRICE, FAKE_OUTPUT_PRICE},
                 {"dear", 10000000, 20000000},
                 {"unlisted", PRICE_DEFAULT_INPUT, PRICE_DEFAULT_OUTPUT}};
    struct settings_model models[2];
    struct fake_world *w = fake_world_new();
    (void)state;

    models[0] = w->model;
    models[1] = (struct settings_model){STR("dear"), STR("Dear"), 10000000, 20000000};
    w->settings.models = models;
    w->settings.n_models = 2;
    fake_world_start(w);
    for (size_t i = 0; i < 3; i++) {
        struct fake_provider *p =
            fake_provider_join(w, &(struct fake_provider_config){.model = cases[i].model});
        char body[300];
        struct fake_hold h;

        snprintf(body, sizeof body, "{\"model\":\"%s\",\"max_tokens\":1000," FAKE_MESSAGES "}",
                 cases[i].model);
        fake_consumer_ask(w, &(struct fake_ask){.body = body});
        fake_provider_serve(p, 0, PROMPT, 1000);
        h = fake_world_hold(w, i);
        assert_int_equal(h.ceiling, PROMPT_CEILING * cases[i].input_price / 1000000 +
                                        cases[i].output_price / 1000);
        assert_int_equal(h.cost,
                         PROMPT * cases[i].input_price / 1000000 + cases[i].output_price / 1000);
    }
    fake_world_down((void **)&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_hold_is_the_most_that_the_request_can_cost),
        TEST(credit_below_the_ceiling_is_402_with_both_amounts),
        TEST(the_last_credit_is_enough_for_one_request_at_a_time),
        TEST(the_store_decides_although_the_known_balance_would_do),
        TEST(dispatch_does_not_wait_for_the_commit_but_the_first_token_does),
        TEST(the_end_does_not_wait_for_the_settlement),
        TEST(a_settlement_waits_a_moment_for_the_next_hold_to_share_its_commit),
        cmocka_unit_test(an_answer_complete_before_the_commit_leaves_with_it),
        TEST(an_answer_complete_before_the_commit_waits_for_it_beyond_the_time_outs),
        TEST(an_answer_that_outgrows_the_wait_for_its_hold_is_given_up),
        cmocka_unit_test(the_charge_is),
        cmocka_unit_test(more_tokens_than_bytes_are_not_charged),
        TEST(tokens_that_come_before_their_text_are_charged_when_it_comes),
        TEST(an_old_peers_counts_are_guessed),
        cmocka_unit_test(each_model_has_its_price_and_an_unlisted_one_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
