/* SPDX-License-Identifier: Apache-2.0 */
/* How a provider comes by its trust, and how it loses it: challenges, chunks that are not sealed
 * with its session's key, and two connections that claim one key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "attest/trust.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, INTERVAL_MS = 300000, TIMEOUT_MS = 30000 };

static const struct fake_provider_config plain = {0};
static const struct fake_provider_config busier = {.cpu_usage = 0.5};

/* Whether a request that comes now is given to it. */
static bool is_asked(struct fake_world *w, struct fake_provider *p)
{
    size_t before = p->n_jobs;
    struct fake_consumer *c = fake_consumer_stream(w);
    bool asked = p->n_jobs > before;

    fake_consumer_leave(c);
    return asked;
}

/* --- challenges --- */

/* Four to five minutes, so that those that came together are not challenged together. */
static void a_challenge_comes_at_once_and_then_within_every_five_minutes(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    char first_nonce[sizeof p->nonce];

    assert_int_equal(p->challenges, 1);
    snprintf(first_nonce, sizeof first_nonce, "%s", p->nonce);
    fake_world_advance_ms(w, INTERVAL_MS * 4 / 5 - 1);
    assert_int_equal(p->challenges, 1);
    fake_world_advance_ms(w, INTERVAL_MS / 5 + 1);
    assert_int_equal(p->challenges, 2);
    assert_string_not_equal(p->nonce, first_nonce);
    assert_true(is_asked(w, p));
}

static void an_answer_that_proves_nothing_gives_no_trust(void **state)
{
    static const struct {
        enum fake_answer answer;
        const char *reason;
    } cases[] = {{FAKE_FORGES, "reason=challenge_signature"},
                 {FAKE_OTHER_KEY, "reason=challenge_key"},
                 {FAKE_OTHER_NONCE, NULL}, /* as if it had said nothing */
                 {FAKE_SILENT, NULL}};
    (void)state;

    for (size_t i = 0; i < 4; i++) {
        void *world;
        struct fake_provider *p;

        fake_world_up(&world);
        p = fake_provider_join(world, &(struct fake_provider_config){.answer = cases[i].answer});
        assert_false(is_asked(world, p));
        fake_world_advance_ms(world, TIMEOUT_MS);
        assert_true(fake_world_logged(world, cases[i].reason ? cases[i].reason
                                                             : "reason=challenge_timeout"));
        assert_false(is_asked(world, p));
        assert_false(fake_world_logged(world, "trust=self_signed"));
        fake_world_down(&world);
    }
}

/* It falls silent: when this returns its challenge was missed. */
static void miss_a_challenge(struct fake_world *w, struct fake_provider *p)
{
    int before = p->challenges;

    p->config.answer = FAKE_SILENT;
    while (p->challenges == before)
        fake_world_advance_ms(w, 1000);
    assert_true(is_asked(w, p)); /* it still has time to answer */
    fake_world_advance_ms(w, TIMEOUT_MS);
    assert_false(is_asked(w, p));
}

/* FR-16, FR-18: the trust stays what was proven, and the first new try comes quickly. */
static void a_missed_challenge_suspends_and_the_next_restores(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    miss_a_challenge(w, p);
    assert_true(fake_world_logged(w, "trust=self_signed reason=challenge_timeout"));
    p->config.answer = FAKE_ANSWERS;
    fake_world_advance_ms(w, 2000);
    assert_true(is_asked(w, p));
    assert_false(fake_world_logged(w, "trust=untrusted"));
}

/* R5, FR-16: what was seen in production were eight good answers in forty minutes and no request.
 */
static void after_many_missed_challenges_a_good_answer_restores_on_the_same_socket(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *waiting;
    int asked;

    miss_a_challenge(w, p);
    asked = p->challenges;
    for (int half_hours = 0; half_hours < 6; half_hours++) {
        fake_world_advance_ms(w, 1800 * 1000);
        fake_provider_heartbeat(p);
    }
    /* Two seconds, then 30 s and twice as long each time up to 15 minutes. */
    assert_in_range(p->challenges - asked, 12, 24);
    asked = p->challenges;
    p->config.answer = FAKE_ANSWERS;
    waiting = NULL;
    while (p->challenges == asked) {
        if (waiting)
            fake_consumer_leave(waiting);
        waiting = fake_consumer_stream(w); /* in the queue */
        fake_world_advance_ms(w, 1000);
    }
    assert_non_null(p->ws);
    assert_true(p->n_jobs > 0); /* the answer drained the queue */
    assert_true(is_asked(w, p));
    assert_false(fake_world_logged(w, "trust=untrusted"));
}

/* A wrong signature is final, on this socket and for what else it says. */
static void a_wrong_signature_is_final_at_once(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    p->config.answer = FAKE_FORGES;
    fake_world_advance_ms(w, INTERVAL_MS);
    assert_true(fake_world_logged(w, "trust=untrusted reason=challenge_signature"));
    p->config.answer = FAKE_ANSWERS;
    fake_provider_heartbeat(p);
    fake_world_advance_ms(w, 3 * INTERVAL_MS);
    assert_int_equal(p->challenges, 2); /* it is not even asked any more */
    assert_false(is_asked(w, p));
}

/* FR-1, §5.3: the key, not the connection, is distrusted. */
static void a_distrusted_key_stays_so_on_its_next_connection(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){.key = "liar"});
    struct fake_provider *again, *other;

    p->config.answer = FAKE_FORGES;
    fake_world_advance_ms(w, INTERVAL_MS);
    fake_provider_die(p);
    fake_world_settle(w);
    again = fake_provider_join(w, &(struct fake_provider_config){.key = "liar"});
    assert_false(is_asked(w, again));
    fake_world_advance_ms(w, 10 * INTERVAL_MS);
    assert_false(is_asked(w, again));
    other = fake_provider_join(w, &plain);
    assert_true(is_asked(w, other));
}

/* Whoever replays another's attestation has not proven its key: the owner must not pay for it. */
static void a_forged_answer_under_anothers_key_does_not_distrust_its_owner(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *owner =
        fake_provider_join(w, &(struct fake_provider_config){.key = "same"});
    struct fake_provider *thief =
        fake_provider_join(w, &(struct fake_provider_config){.key = "same", .answer = FAKE_FORGES});

    assert_true(fake_world_logged(w, "trust=untrusted reason=challenge_signature"));
    assert_true(is_asked(w, owner));
    assert_int_equal(thief->n_jobs, 0);
    fake_provider_die(owner);
    fake_world_settle(w);
    assert_true(is_asked(w, fake_provider_join(w, &(struct fake_provider_config){.key = "same"})));
}

static void in_open_mode_too_a_provider_has_to_answer(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *p;
    (void)state;

    w->settings.min_trust = TRUST_NONE;
    fake_world_start(w);
    p = fake_provider_join(w, &(struct fake_provider_config){.no_attestation = true});
    assert_true(is_asked(w, p));
    p->config.answer = FAKE_SILENT;
    fake_world_advance_ms(w, INTERVAL_MS + TIMEOUT_MS);
    assert_false(is_asked(w, p));
    fake_world_down((void **)&w);
}

static void running_answers_outlive_a_missed_challenge(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    p->config.answer = FAKE_SILENT;
    fake_world_advance_ms(w, INTERVAL_MS);
    c = fake_consumer_stream(w);
    fake_provider_accept(p, 0, PROMPT);
    fake_world_advance_ms(w, TIMEOUT_MS);
    assert_false(is_asked(w, p));
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_consumer_text(c), "Hello world");
}

/* --- chunks --- */

static void in_plaintext(struct fake_provider *p)
{
    fake_provider_send(p,
                       &(struct provider_msg){.type = MSG_INFERENCE_RESPONSE_CHUNK,
                                              .chunk = {.request_id = str_from(p->jobs[0].wire_id),
                                                        .data = STR("data: {\"choices\":[]}"),
                                                        .tokens = PROTO_UNSET}});
}

static void in_plaintext_beside_a_sealed_one(struct fake_provider *p)
{
    struct provider_msg m = fake_provider_chunk(p, 0, STR("data: {\"choices\":[]}"), 1);

    m.chunk.data = STR("data: {\"choices\":[]}");
    fake_provider_send(p, &m);
}

static void with_nothing_in_it(struct fake_provider *p)
{
    fake_provider_send(p,
                       &(struct provider_msg){.type = MSG_INFERENCE_RESPONSE_CHUNK,
                                              .chunk = {.request_id = str_from(p->jobs[0].wire_id),
                                                        .tokens = PROTO_UNSET}});
}

static void under_a_foreign_key(struct fake_provider *p)
{
    struct provider_msg m = fake_provider_chunk(p, 0, STR("data: {\"choices\":[]}"), 1);

    m.chunk.encrypted_data.ephemeral_public_key =
        STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    fake_provider_send(p, &m);
}

static void with_another_letter(struct fake_provider *p)
{
    struct provider_msg m = fake_provider_chunk(p, 0, STR("data: {\"choices\":[]}"), 1);
    char *letter = p->sealed.mem + p->sealed.off + 60; /* of what the message shows */

    *letter = *letter == 'A' ? 'B' : 'A';
    fake_provider_send(p, &m);
}

static void that_is_no_base64(struct fake_provider *p)
{
    struct provider_msg m = fake_provider_chunk(p, 0, STR("data: {\"choices\":[]}"), 1);

    m.chunk.encrypted_data.ciphertext = STR("!!!!");
    fake_provider_send(p, &m);
}

static const struct {
    void (*say)(struct fake_provider *p);
    const char *reason;
} bad_chunks[] = {
    {in_plaintext, "trust=untrusted reason=plaintext_chunk"},
    {in_plaintext_beside_a_sealed_one, "trust=untrusted reason=plaintext_chunk"},
    {with_nothing_in_it, "trust=untrusted reason=plaintext_chunk"},
    {under_a_foreign_key, "trust=untrusted reason=foreign_key"},
    {with_another_letter, "trust=untrusted reason=undecryptable_chunk"},
    {that_is_no_base64, "trust=untrusted reason=undecryptable_chunk"},
};

static void a_chunk_not_sealed_to_the_session_costs_the_trust_for_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_chunks / sizeof bad_chunks[0]; i++) {
        void *world;
        struct fake_provider *p;

        fake_world_up(&world);
        p = fake_provider_join(world, &plain);
        fake_consumer_whole(world);
        assert_int_equal(p->n_jobs, 1);
        bad_chunks[i].say(p);
        fake_world_settle(world);
        if (!fake_world_logged(world, bad_chunks[i].reason))
            fail_msg("not logged: %s", bad_chunks[i].reason);
        assert_false(is_asked(world, p));
        fake_provider_heartbeat(p);
        fake_world_advance_ms(world, 2 * INTERVAL_MS);
        assert_false(is_asked(world, p));
        fake_world_down(&world);
    }
}

/* Its connection is as good as before: "disconnected" would send people looking for a network. */
static void who_lost_an_answer_to_a_broken_rule_is_told_so(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hello", 1);
    in_plaintext(p);
    fake_world_settle(w);
    assert_true(fake_consumer_done(c));
    assert_true(fake_says(fake_consumer_body(c),
                          "the provider is no longer trusted: an answer arrived unencrypted"));
}

static void all_requests_of_a_provider_that_lies_go_elsewhere(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *liar =
        fake_provider_join(w, &(struct fake_provider_config){.max_running = 2});
    struct fake_provider *other = NULL;
    struct fake_consumer *first = fake_consumer_stream(w), *second = fake_consumer_stream(w);

    assert_int_equal(liar->n_jobs, 2);
    other = fake_provider_join(w, &busier);
    in_plaintext(liar);
    fake_world_settle(w);
    assert_int_equal(other->n_jobs, 2);
    fake_provider_serve(other, 0, PROMPT, 40);
    fake_provider_serve(other, 1, PROMPT, 40);
    assert_true(fake_consumer_done(first));
    assert_true(fake_consumer_done(second));
}

/* --- keys that cannot be encrypted to --- */

/* Points of low order: whatever is sealed to them can be opened by everybody (RFC 7748 §6.1). */
static const char *const low_order[] = {
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "7P///////////////////////////////////////38="};

static void a_provider_with_a_key_of_low_order_is_never_asked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof low_order / sizeof low_order[0]; i++) {
        struct fake_world *w = fake_world_new();
        struct fake_provider *without_key, *other;

        w->settings.min_trust = TRUST_NONE;
        fake_world_start(w);
        without_key = fake_provider_join(
            w, &(struct fake_provider_config){.no_attestation = true, .public_key = low_order[i]});
        other = fake_provider_join(w, &busier);
        assert_true(is_asked(w, other));
        assert_int_equal(without_key->n_jobs, 0);
        assert_true(fake_world_logged(w, "usable_key=0"));
        fake_world_down((void **)&w);
    }
}

static void a_key_that_fails_only_when_it_is_needed_sends_the_request_elsewhere(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *broken = fake_provider_join(w, &plain);
    struct fake_provider *other = fake_provider_join(w, &busier);

    fake_world_break_key(w, 0);
    assert_true(is_asked(w, other));
    assert_int_equal(broken->n_jobs, 0);
}

static void without_another_provider_a_broken_key_is_the_providers_error(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c;

    fake_provider_join(w, &plain);
    fake_world_break_key(w, 0);
    c = fake_consumer_stream(w);
    assert_int_equal(fake_consumer_status(c), 502);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"provider_error\""));
    fake_world_assert_at_rest(w);
}

/* --- one key, two connections --- */

static void a_second_connection_with_a_proven_key_replaces_the_first(void **state)
{
    struct fake_world *w = *state;
    const struct fake_provider_config same = {.key = "same"};
    struct fake_provider *older = fake_provider_join(w, &same), *newer;
    struct fake_consumer *c = fake_consumer_stream(w);

    assert_int_equal(older->n_jobs, 1);
    newer = fake_provider_join(w, &same);
    assert_null(older->ws);
    assert_non_null(strstr(older->close_text, "1000"));
    assert_non_null(newer->ws);
    assert_int_equal(newer->n_jobs, 1); /* what ran at the first goes on there */
    fake_provider_serve(newer, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
    assert_string_equal(fake_world_hold(w, 0).provider_account, fake_provider_account(newer));
}

static void an_unproven_claim_to_a_key_displaces_nobody_and_earns_nothing(void **state)
{
    static const enum fake_answer answers[] = {FAKE_SILENT, FAKE_FORGES};
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        void *world;
        struct fake_provider *owner, *thief;

        fake_world_up(&world);
        owner = fake_provider_join(world, &(struct fake_provider_config){.key = "same"});
        thief = fake_provider_join(
            world, &(struct fake_provider_config){.key = "same", .answer = answers[i]});
        fake_world_advance_ms(world, TIMEOUT_MS);
        assert_non_null(owner->ws);
        assert_true(is_asked(world, owner));
        assert_int_equal(thief->n_jobs, 0);
        fake_world_down(&world);
    }
}

static void the_older_connections_end_does_not_unseat_the_newer(void **state)
{
    struct fake_world *w = *state;
    const struct fake_provider_config same = {.key = "same"};
    struct fake_provider *third;

    fake_provider_join(w, &same);
    fake_provider_join(w, &same);
    fake_world_advance_ms(w, 1000); /* the first is gone */
    third = fake_provider_join(w, &same);
    assert_null(w->providers[1]->ws);
    assert_true(is_asked(w, third));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_challenge_comes_at_once_and_then_within_every_five_minutes),
        cmocka_unit_test(an_answer_that_proves_nothing_gives_no_trust),
        TEST(a_missed_challenge_suspends_and_the_next_restores),
        TEST(after_many_missed_challenges_a_good_answer_restores_on_the_same_socket),
        TEST(a_wrong_signature_is_final_at_once),
        TEST(a_distrusted_key_stays_so_on_its_next_connection),
        TEST(a_forged_answer_under_anothers_key_does_not_distrust_its_owner),
        cmocka_unit_test(in_open_mode_too_a_provider_has_to_answer),
        TEST(running_answers_outlive_a_missed_challenge),
        cmocka_unit_test(a_chunk_not_sealed_to_the_session_costs_the_trust_for_good),
        TEST(who_lost_an_answer_to_a_broken_rule_is_told_so),
        TEST(all_requests_of_a_provider_that_lies_go_elsewhere),
        cmocka_unit_test(a_provider_with_a_key_of_low_order_is_never_asked),
        TEST(a_key_that_fails_only_when_it_is_needed_sends_the_request_elsewhere),
        TEST(without_another_provider_a_broken_key_is_the_providers_error),
        TEST(a_second_connection_with_a_proven_key_replaces_the_first),
        cmocka_unit_test(an_unproven_claim_to_a_key_displaces_nobody_and_earns_nothing),
        TEST(the_older_connections_end_does_not_unseat_the_newer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
