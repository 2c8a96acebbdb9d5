/* SPDX-License-Identifier: Apache-2.0 */
/* Providers that fail, refuse, leave or restart: what it costs the others' requests, and how they
 * come back (R6, FR-1, FR-13, FR-15). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/crypto.h>

#include "coordinator/registry/provider.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, AT_ONCE = 12, REQUESTS = 100, STORM = 1000, KEYS_BYTES = 1 << 20 };

static const struct fake_provider_config two_slots = {.max_running = 2};

/* --- R6 --- */

struct mix {
    struct fake_world *w;
    struct fake_provider *healthy[2], *broken;
    size_t served[2], failed;
    struct fake_consumer *open[AT_ONCE];
};

static void fail_what_the_broken_one_has(struct mix *m)
{
    while (m->failed < m->broken->n_jobs)
        fake_provider_error(m->broken, m->failed++, 500, "broken");
}

/* Each healthy one finishes one answer. */
static void serve_some(struct mix *m)
{
    for (size_t i = 0; i < 2; i++) {
        if (m->served[i] < m->healthy[i]->n_jobs)
            fake_provider_serve(m->healthy[i], m->served[i]++, PROMPT, 40);
    }
}

/* 44 of 100 were answered and 217 requests given to the broken one, before it had a breaker. */
static void beside_one_that_fails_always_every_request_is_answered_as_of_R6(void **state)
{
    struct fake_world *w = *state;
    struct mix m = {.w = w};
    size_t asked = 0, answered = 0;

    m.healthy[0] = fake_provider_join(w, &two_slots);
    m.healthy[1] = fake_provider_join(w, &two_slots);
    m.broken = fake_provider_join(w, &two_slots);
    while (answered < REQUESTS) {
        for (size_t i = 0; i < AT_ONCE; i++) {
            if (!m.open[i] && asked < REQUESTS) {
                m.open[i] = fake_consumer_stream(w);
                asked++;
            }
        }
        fail_what_the_broken_one_has(&m);
        fake_world_advance_ms(w, 50);
        serve_some(&m);
        for (size_t i = 0; i < AT_ONCE; i++) {
            if (!m.open[i] || !fake_consumer_done(m.open[i]))
                continue;
            assert_int_equal(fake_consumer_status(m.open[i]), 200);
            assert_string_equal(fake_consumer_text(m.open[i]), "Hello world");
            m.open[i] = NULL;
            answered++;
        }
    }
    assert_in_range(m.broken->n_jobs, 3, 10);
}

/* --- endings --- */

/* Three requests run there when its connection ends so; whether its key is asked afterwards. */
static bool is_asked_after(void (*end)(struct fake_provider *p))
{
    const struct fake_provider_config config = {.key = "key"};
    struct fake_world *w = fake_world_new();
    struct fake_provider *p, *again;
    bool asked;

    fake_world_start(w);
    p = fake_provider_join(w, &config);
    for (int i = 0; i < 3; i++)
        fake_consumer_stream(w);
    assert_int_equal(p->n_jobs, 3);
    end(p);
    fake_world_settle(w);
    again = fake_provider_join(w, &config);
    fake_consumer_stream(w);
    asked = again->n_jobs > 0;
    fake_world_down((void **)&w);
    return asked;
}

static void say_going_away(struct fake_provider *p)
{
    fake_provider_close(p, WS_CLOSE_GOING_AWAY);
}

static void drain_and_drop(struct fake_provider *p)
{
    fake_provider_drain(p);
    fake_provider_die(p);
}

static void close_without_a_reason(struct fake_provider *p)
{
    fake_provider_close(p, WS_CLOSE_NORMAL);
}

static void who_leaves_with_work_undone_has_failed_unless_it_said_goodbye(void **state)
{
    (void)state;
    assert_false(is_asked_after(fake_provider_die));
    assert_false(is_asked_after(close_without_a_reason));
    assert_true(is_asked_after(say_going_away));
    assert_true(is_asked_after(drain_and_drop));
}

static void one_that_drains_finishes_and_gets_nothing_new(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &two_slots);
    struct fake_consumer *c = fake_consumer_stream(w), *next;

    fake_provider_drain(p);
    next = fake_consumer_stream(w);
    assert_int_equal(p->n_jobs, 1);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_string_equal(fake_consumer_text(c), "Hello world");
    assert_int_equal(p->n_jobs, 1);
    fake_provider_heartbeat(p); /* it has come to itself: who waited is served */
    fake_world_settle(w);
    assert_int_equal(p->n_jobs, 2);
    fake_provider_serve(p, 1, PROMPT, 40);
    assert_true(fake_consumer_done(next));
}

/* A stranger's words are no part of our log (FR-46). */
static void what_a_provider_says_when_it_closes_is_not_logged_but_its_code_is(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &two_slots);

    fake_provider_close(p, 4321);
    assert_true(fake_world_logged(w, "code=4321"));
    assert_false(fake_world_logged(w, "as the test says"));
}

/* --- FR-13 --- */

static void chunks_for_nobody_are_counted_and_told_to_stop_as_of_FR_13(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &two_slots);
    struct fake_consumer *c = fake_consumer_stream(w);
    unsigned cancels;

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 1);
    fake_consumer_leave(c);
    fake_world_settle(w);
    assert_int_equal(p->jobs[0].cancels, 1);
    for (int i = 0; i < 8; i++) /* under way when it was cancelled: no fuss */
        fake_provider_text(p, 0, "more", 1);
    assert_int_equal(p->jobs[0].cancels, 1);
    for (int i = 0; i < 200; i++) /* it has not heard */
        fake_provider_text(p, 0, "more", 1);
    cancels = p->jobs[0].cancels;
    assert_in_range(cancels, 2, 1 + 208 / 32);
    assert_int_equal(registry_work(w->coord->registry).late_chunks, 208);
}

/* --- FR-15 --- */

static size_t routable(const struct fake_world *w)
{
    return registry_counts(w->coord->registry).routable;
}

static void a_thousand_that_restart_at_once_are_routable_within_a_minute_as_of_FR_15(void **state)
{
    struct fake_world *w = fake_world_new();
    struct registry_work work;
    int within_ms = 0;

    (void)state;
    w->settings.max_connections = 3000;
    fake_world_start(w);
    for (int i = 0; i < STORM; i++)
        (void)fake_provider_join(w, &two_slots);
    assert_int_equal(routable(w), STORM);
    for (int i = 0; i < STORM; i++)
        fake_provider_die(w->providers[i]);
    fake_world_settle(w);
    assert_int_equal(routable(w), 0);
    for (int i = 0; i < STORM; i++) {
        fake_provider_come_back(w->providers[i]);
        if (i % 50 == 49) /* as many as may wait to be accepted; no time goes by */
            fake_world_settle(w);
    }
    while (routable(w) < STORM * 95 / 100 && within_ms < 60000) {
        fake_world_advance_ms(w, 100);
        within_ms += 100;
    }
    assert_true(within_ms < 60000);
    work = registry_work(w->coord->registry);
    assert_int_equal(work.verified, 2 * 2 * STORM); /* an attestation and an answer each time */
    assert_true(work.verify_deferred > 0);          /* a turn of the loop checks eight */
    /* And they are not challenged in step afterwards. */
    for (int i = 0; i < STORM; i++)
        w->providers[i]->challenges = 0;
    fake_world_advance_ms(w, w->settings.challenge_interval_ms * 9 / 10);
    within_ms = 0;
    for (int i = 0; i < STORM; i++)
        within_ms += w->providers[i]->challenges;
    assert_in_range(within_ms, STORM * 4 / 10, STORM * 6 / 10);
    fake_world_down((void **)&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(beside_one_that_fails_always_every_request_is_answered_as_of_R6),
        cmocka_unit_test(who_leaves_with_work_undone_has_failed_unless_it_said_goodbye),
        TEST(one_that_drains_finishes_and_gets_nothing_new),
        TEST(what_a_provider_says_when_it_closes_is_not_logged_but_its_code_is),
        TEST(chunks_for_nobody_are_counted_and_told_to_stop_as_of_FR_13),
        cmocka_unit_test(a_thousand_that_restart_at_once_are_routable_within_a_minute_as_of_FR_15),
    };

    /* A provider's program has one signing key; this one has a thousand. */
    if (CRYPTO_secure_malloc_init(KEYS_BYTES, 0) == 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
