/* SPDX-License-Identifier: Apache-2.0 */
/* Four event loops. The consumer comes to one, and only another has a provider of its model: the
 * answer, its end, however it ends, and its price are those of a single loop. What is known of a
 * provider's key goes with the key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "coordinator/registry/registry.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, LOOPS = 4, HOME = 0, AWAY = 2 };

#define RARE "{\"model\":\"rare\",\"max_tokens\":100,\"stream\":true," FAKE_MESSAGES "}"

static const struct fake_provider_config plain = {0};
static const struct fake_provider_config rare = {.model = "rare"};
static const struct fake_provider_config broken = {.key = "broken"};

static int up(void **state)
{
    struct fake_world *w = fake_world_new();

    w->n_loops = LOOPS;
    fake_world_start(w);
    *state = w;
    return 0;
}

static size_t connected(const struct fake_world *w, unsigned shard)
{
    return registry_counts(w->hub->shards[shard]->registry).connected;
}

/* Its socket comes to that loop, and stays there. */
static struct fake_provider *join(struct fake_world *w, unsigned shard,
                                  const struct fake_provider_config *config)
{
    size_t before = connected(w, shard);
    struct fake_provider *p;

    fake_world_aim(w, shard);
    p = fake_provider_join(w, config);
    assert_int_equal(connected(w, shard), before + 1);
    return p;
}

static struct fake_consumer *ask(struct fake_world *w, const char *body)
{
    fake_world_aim(w, HOME);
    return fake_consumer_ask(w, &(struct fake_ask){.body = body});
}

static void the_answer_and_its_price_are_those_of_a_single_loop(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, AWAY, &plain);
    struct fake_consumer *c = ask(w, FAKE_STREAM);
    int64_t cost = PROMPT + 30 * 2;

    fake_provider_serve(p, 0, PROMPT, 30);
    assert_string_equal(fake_consumer_text(c), "Hello world");
    fake_world_advance_ms(w, 1000);
    assert_int_equal(fake_world_hold(w, 0).cost, cost);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT - cost);
    assert_int_equal(fake_world_balance(w, fake_provider_account(p)), fake_world_hold(w, 0).payout);
}

static void who_leaves_in_mid_answer_has_it_cancelled_there_and_pays_for_what_came(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, AWAY, &rare);
    struct fake_consumer *c = ask(w, RARE);
    struct fake_hold hold;

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello world", 2);
    assert_string_equal(fake_consumer_text(c), "Hello world");
    fake_consumer_leave(c);
    fake_world_settle(w);
    assert_int_equal(p->jobs[0].cancels, 1);
    fake_world_advance_ms(w, 1000);
    hold = fake_world_hold(w, 0);
    assert_string_equal(hold.outcome, "consumer_gone");
    assert_int_equal(hold.delivered_tokens, 2);
    assert_int_equal(hold.cost + hold.refund, hold.ceiling);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT - hold.cost);
}

static void one_that_says_nothing_there_is_given_up_in_time_and_nothing_is_paid(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, AWAY, &rare);
    struct fake_consumer *c = ask(w, RARE);

    fake_world_advance_ms(w, w->settings.accept_timeout_ms + 1);
    assert_int_equal(p->jobs[0].cancels, 1);
    fake_world_advance_ms(w, w->settings.request_deadline_ms);
    assert_true(fake_consumer_status(c) == 504 || fake_consumer_status(c) == 502);
    assert_int_equal(fake_world_hold(w, 0).cost, 0);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT);
}

static void one_whose_connection_ends_there_leaves_the_request_to_another_loop(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, AWAY, &rare), *other;
    struct fake_consumer *c = ask(w, RARE);

    other = join(w, AWAY - 1, &rare);
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_die(p);
    fake_world_settle(w);
    assert_int_equal(other->n_jobs, 1);
    fake_provider_serve(other, 0, PROMPT, 30);
    assert_true(fake_consumer_done(c));
    fake_world_advance_ms(w, 1000);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 1);
    assert_string_equal(fake_world_hold(w, 0).provider_account, fake_provider_account(other));
}

/* One hold each, wherever each was served. */
static void many_at_once_are_answered_once_each(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p[LOOPS];
    struct fake_consumer *c[64];
    size_t jobs = 0;

    for (unsigned i = 0; i < LOOPS; i++)
        p[i] = join(w, i, &(struct fake_provider_config){.max_running = 20});
    for (unsigned i = 0; i < 64; i++) {
        fake_world_aim(w, i % 2); /* half of the loops have no consumer of their own */
        c[i] = fake_consumer_ask_unsettled(w, &(struct fake_ask){.body = FAKE_STREAM});
    }
    fake_world_settle(w);
    for (size_t before = jobs + 1; before != jobs;) { /* some wait until others are served */
        before = jobs;
        for (unsigned i = 0; i < LOOPS; i++) {
            for (; p[i]->n_served < p[i]->n_jobs; jobs++)
                fake_provider_serve(p[i], p[i]->n_served++, PROMPT, 30);
        }
    }
    for (unsigned i = 0; i < LOOPS; i++)
        assert_true(p[i]->n_jobs > 0);
    assert_int_equal(jobs, 64);
    for (unsigned i = 0; i < 64; i++)
        assert_true(fake_consumer_done(c[i]));
    fake_world_advance_ms(w, 1000);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds WHERE outcome = 'completed'"),
                     64);
    assert_int_equal(fake_world_balance(w, FAKE_ACCOUNT), FAKE_CREDIT - 64 * (PROMPT + 30 * 2));
}

/* --- what is known of a key --- */

/* Requests until it is asked no more; each fails at once. Returns how many it was given. */
static size_t fail_all(struct fake_world *w, struct fake_provider *p)
{
    size_t before = p->n_jobs;

    for (int i = 0; i < 30; i++) {
        size_t given = p->n_jobs;
        struct fake_consumer *c = ask(w, FAKE_STREAM);

        while (p->n_jobs > given)
            fake_provider_error(p, given++, 500, "broken");
        fake_consumer_leave(c);
        fake_world_settle(w);
    }
    return p->n_jobs - before;
}

static void one_that_always_fails_gets_no_second_chance_on_another_loop(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 0, &broken);
    size_t given = fail_all(w, p);

    assert_in_range(given, 1, 10);
    for (unsigned i = 1; i < LOOPS; i++) { /* on each in turn: the others are taken by then */
        fake_provider_die(p);
        fake_world_settle(w);
        join(w, i - 1, &rare);
        p = join(w, i, &broken);
        given += fail_all(w, p);
    }
    assert_in_range(given, 1, 10);
}

static void who_has_lied_on_one_loop_is_believed_on_none(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, 0, &(struct fake_provider_config){.key = "liar"});

    p->config.answer = FAKE_FORGES; /* at its next challenge, the key being proven */
    fake_world_advance_ms(w, 2 * w->settings.challenge_interval_ms);
    fake_provider_die(p);
    fake_world_settle(w);
    for (unsigned i = 1; i < LOOPS; i++) {
        join(w, i - 1, &rare);
        p = join(w, i, &(struct fake_provider_config){.key = "liar"});
        fake_consumer_leave(ask(w, FAKE_STREAM));
        assert_int_equal(p->n_jobs, 0);
        fake_provider_die(p);
        fake_world_settle(w);
    }
}

/* The first loop reads them all at the start. */
static void what_was_saved_of_a_key_is_known_on_every_loop_after_a_restart(void **state)
{
    struct fake_world *w = *state;
    size_t given = fail_all(w, join(w, 0, &broken));

    fake_world_stop(w);
    fake_world_start(w);
    join(w, 0, &rare);
    given += fail_all(w, join(w, 1, &broken));
    assert_in_range(given, 1, 11); /* a probe may be due by now */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_answer_and_its_price_are_those_of_a_single_loop),
        TEST(who_leaves_in_mid_answer_has_it_cancelled_there_and_pays_for_what_came),
        TEST(one_that_says_nothing_there_is_given_up_in_time_and_nothing_is_paid),
        TEST(one_whose_connection_ends_there_leaves_the_request_to_another_loop),
        TEST(many_at_once_are_answered_once_each),
        TEST(one_that_always_fails_gets_no_second_chance_on_another_loop),
        TEST(who_has_lied_on_one_loop_is_believed_on_none),
        TEST(what_was_saved_of_a_key_is_known_on_every_loop_after_a_restart),
    };

    return cmocka_run_group_tests_name("requests over four loops", tests, NULL, NULL);
}
