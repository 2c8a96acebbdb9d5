/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ask, how often, and whom for: keys, rate limits, trust levels, models. All of it is
 * decided before any money is held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "attest/trust.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80 };

static const struct fake_provider_config plain = {0};

static void assert_refused(struct fake_world *w, struct fake_consumer *c, int status,
                           const char *says)
{
    struct str body = fake_consumer_body(c);

    assert_int_equal(fake_consumer_status(c), status);
    assert_true(fake_consumer_done(c));
    assert_true(str_starts(body, STR("{\"error\":{\"message\":\"")));
    assert_true(fake_says(body, "\"type\":\""));
    assert_true(fake_says(body, "\"param\":"));
    if (!fake_says(body, says))
        fail_msg("\"%s\" is not in %.*s", says, STR_ARG(body));
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 0);
}

/* --- keys --- */

static void without_a_known_key_it_is_401(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    static const struct fake_ask asks[] = {
        {.key = ""},
        {.key = "eigeninference-"
                "0000000000000000000000000000000000000000000000000000000000000000"},
        {.key = "x"},
        {.key = "", .headers = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n"},
        {.key = "", .headers = "Authorization: Bearer \r\n"},
        {.key = "", .headers = "Authorization: Bearer\r\n"}};

    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++)
        assert_refused(w, fake_consumer_ask(w, &asks[i]), 401, "\"code\":\"invalid_api_key\"");
    assert_int_equal(p->n_jobs, 0);
}

static void a_key_shortened_or_changed_by_one_letter_is_401(void **state)
{
    struct fake_world *w = *state;
    char key[KEY_TEXT_BYTES];

    memcpy(key, w->key, sizeof key);
    key[KEY_TEXT_BYTES - 2] ^= 1;
    assert_refused(w, fake_consumer_ask(w, &(struct fake_ask){.key = key}), 401,
                   "not known or was revoked");
    key[KEY_TEXT_BYTES - 2] = 0;
    assert_refused(w, fake_consumer_ask(w, &(struct fake_ask){.key = key}), 401,
                   "not known or was revoked");
}

static void what_is_wrong_with_a_body_is_told_only_to_a_known_key(void **state)
{
    struct fake_world *w = *state;

    assert_refused(w, fake_consumer_ask(w, &(struct fake_ask){.body = "{", .key = "x"}), 401,
                   "\"code\":\"invalid_api_key\"");
    assert_refused(w, fake_consumer_ask(w, &(struct fake_ask){.body = "{"}), 400,
                   "\"code\":\"invalid_json\"");
}

static void a_key_made_while_the_coordinator_runs_works_at_once(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    char key[KEY_TEXT_BYTES];

    fake_world_make_key(w, "bob", FAKE_CREDIT, key);
    fake_consumer_ask(w, &(struct fake_ask){.key = key});
    assert_int_equal(p->n_jobs, 1);
}

static void a_revoked_key_is_401_although_it_was_known(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    fake_consumer_stream(w);
    fake_provider_serve(p, 0, PROMPT, 40);
    fake_world_revoke_key(w, w->key);
    fake_world_advance_ms(w, 11000); /* the store looks for others' changes when it has work */
    c = fake_consumer_stream(w);
    assert_int_equal(fake_consumer_status(c), 401);
    assert_true(fake_says(fake_consumer_body(c), "not known or was revoked"));
    assert_int_equal(p->n_jobs, 1);
}

/* --- rates --- */

static struct fake_world *limited_world(void)
{
    struct fake_world *w = fake_world_new();

    w->settings.rate_per_s = 0.5;
    w->settings.rate_burst = 2;
    fake_world_start(w);
    return w;
}

static void beyond_the_burst_it_is_429_with_the_limit_and_when_it_ends(void **state)
{
    struct fake_world *w = limited_world();
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;
    (void)state;

    fake_consumer_stream(w);
    fake_consumer_stream(w);
    c = fake_consumer_stream(w);
    assert_int_equal(fake_consumer_status(c), 429);
    assert_true(str_is(fake_consumer_header(c, "Retry-After"), "2"));
    assert_true(str_is(fake_consumer_header(c, "X-RateLimit-Reset"), "1790000002"));
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"rate_limit_exceeded\""));
    assert_true(fake_says(fake_consumer_body(c), "0.5 requests a second (burst 2)"));
    assert_int_equal(p->n_jobs, 2);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 2);
    fake_world_advance_ms(w, 1999);
    assert_int_equal(fake_consumer_status(fake_consumer_stream(w)), 429);
    fake_world_advance_ms(w, 1);
    fake_consumer_stream(w);
    assert_int_equal(p->n_jobs, 3);
    fake_world_down((void **)&w);
}

static void a_body_that_is_wrong_counts_like_any_other(void **state)
{
    struct fake_world *w = limited_world();
    const struct fake_ask broken = {.body = "{"};
    (void)state;

    assert_int_equal(fake_consumer_status(fake_consumer_ask(w, &broken)), 400);
    assert_int_equal(fake_consumer_status(fake_consumer_ask(w, &broken)), 400);
    assert_int_equal(fake_consumer_status(fake_consumer_ask(w, &broken)), 429);
    fake_world_down((void **)&w);
}

static void the_rate_belongs_to_the_account_not_to_the_key(void **state)
{
    struct fake_world *w = limited_world();
    struct fake_provider *p = fake_provider_join(w, &plain);
    char other_key[KEY_TEXT_BYTES], other_account[KEY_TEXT_BYTES];
    (void)state;

    fake_world_make_key(w, FAKE_ACCOUNT, 0, other_key);
    fake_world_make_key(w, "bob", FAKE_CREDIT, other_account);
    fake_consumer_stream(w);
    fake_consumer_ask(w, &(struct fake_ask){.key = other_key});
    assert_int_equal(p->n_jobs, 2);
    assert_int_equal(
        fake_consumer_status(fake_consumer_ask(w, &(struct fake_ask){.key = other_key})), 429);
    fake_consumer_ask(w, &(struct fake_ask){.key = other_account});
    assert_int_equal(p->n_jobs, 3);
    fake_world_down((void **)&w);
}

static void idleness_saves_up_no_more_than_the_burst(void **state)
{
    struct fake_world *w = limited_world();
    struct fake_provider *p = fake_provider_join(w, &plain);
    (void)state;

    fake_consumer_leave(fake_consumer_stream(w));
    fake_world_advance_ms(w, 3600000);
    fake_provider_heartbeat(p);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fake_consumer_status(fake_consumer_stream(w)), 0);
    assert_int_equal(fake_consumer_status(fake_consumer_stream(w)), 429);
    fake_world_down((void **)&w);
}

/* --- models --- */

static void an_unknown_model_is_404_before_any_hold(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = fake_consumer_ask(
        w, &(struct fake_ask){.body = "{\"model\":\"gpt-unheard-of\"," FAKE_MESSAGES "}"});

    assert_refused(w, c, 404, "\"code\":\"model_not_found\"");
    assert_true(fake_says(fake_consumer_body(c), "`gpt-unheard-of`"));
    assert_true(fake_says(fake_consumer_body(c), "\"param\":\"model\""));
}

static void a_model_that_a_provider_announced_is_known(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p =
        fake_provider_join(w, &(struct fake_provider_config){.model = "announced"});

    fake_consumer_ask(w, &(struct fake_ask){.body = "{\"model\":\"announced\"," FAKE_MESSAGES "}"});
    assert_int_equal(p->n_jobs, 1);
    fake_consumer_stream(w); /* the other model: this provider has it not */
    assert_int_equal(p->n_jobs, 1);
}

/* --- trust --- */

static void a_trust_level_that_does_not_exist_is_400(void **state)
{
    static const char *const headers[] = {"X-Min-Trust-Level: total\r\n",
                                          "X-Min-Trust-Level: HARDWARE2\r\n",
                                          "X-Min-Trust-Level: \r\n"};
    struct fake_world *w = *state;

    for (size_t i = 0; i < 3; i++)
        assert_refused(w, fake_consumer_ask(w, &(struct fake_ask){.headers = headers[i]}), 400,
                       "\"param\":\"X-Min-Trust-Level\"");
}

static void a_demanded_level_is_met_or_waited_for(void **state)
{
    static const struct {
        const char *header;
        size_t served;
    } cases[] = {{"X-Min-Trust-Level: none\r\n", 1},
                 {"X-Min-Trust-Level: self_signed\r\n", 1},
                 {"X-Min-Trust-Level: hardware_virtual\r\n", 0},
                 {"X-Min-Trust-Level: hardware\r\n", 0}};
    (void)state;

    for (size_t i = 0; i < 4; i++) {
        void *world;
        struct fake_provider *p;

        fake_world_up(&world);
        p = fake_provider_join(world, &plain);
        fake_consumer_ask(world, &(struct fake_ask){.headers = cases[i].header});
        assert_int_equal(p->n_jobs, cases[i].served);
        fake_world_down(&world);
    }
}

/* A coordinator of that minimum, and a provider without attestation. */
static size_t served_unattested(int min_trust, const char *header)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *p;
    size_t served;

    w->settings.min_trust = min_trust;
    fake_world_start(w);
    p = fake_provider_join(w, &(struct fake_provider_config){.no_attestation = true});
    fake_consumer_ask(w, &(struct fake_ask){.headers = header});
    served = p->n_jobs;
    fake_world_down((void **)&w);
    return served;
}

static void a_provider_without_attestation_serves_in_open_mode_only(void **state)
{
    (void)state;
    assert_int_equal(served_unattested(TRUST_NONE, NULL), 1);
    assert_int_equal(served_unattested(TRUST_NONE, "X-Min-Trust-Level: self_signed\r\n"), 0);
    assert_int_equal(served_unattested(TRUST_SELF_SIGNED, NULL), 0);
    /* A consumer cannot lower what the coordinator demands. */
    assert_int_equal(served_unattested(TRUST_SELF_SIGNED, "X-Min-Trust-Level: none\r\n"), 0);
    assert_int_equal(served_unattested(TRUST_HARDWARE, NULL), 0);
}

static void an_unattested_provider_earns_for_nobody(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *p;
    struct fake_consumer *c;
    (void)state;

    w->settings.min_trust = TRUST_NONE;
    fake_world_start(w);
    p = fake_provider_join(w, &(struct fake_provider_config){.no_attestation = true});
    c = fake_consumer_stream(w);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(str_is(fake_consumer_header(c, "X-Provider-Trust-Level"), "none"));
    assert_true(str_is(fake_consumer_header(c, "X-Provider-Attested"), "false"));
    assert_null(fake_consumer_header(c, "X-Attestation-Se-Public-Key").p);
    assert_int_equal(fake_world_balance(w, "unclaimed"), 152);
    fake_world_down((void **)&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_known_key_it_is_401),
        TEST(a_key_shortened_or_changed_by_one_letter_is_401),
        TEST(what_is_wrong_with_a_body_is_told_only_to_a_known_key),
        TEST(a_key_made_while_the_coordinator_runs_works_at_once),
        TEST(a_revoked_key_is_401_although_it_was_known),
        cmocka_unit_test(beyond_the_burst_it_is_429_with_the_limit_and_when_it_ends),
        cmocka_unit_test(a_body_that_is_wrong_counts_like_any_other),
        cmocka_unit_test(the_rate_belongs_to_the_account_not_to_the_key),
        cmocka_unit_test(idleness_saves_up_no_more_than_the_burst),
        TEST(an_unknown_model_is_404_before_any_hold),
        TEST(a_model_that_a_provider_announced_is_known),
        TEST(a_trust_level_that_does_not_exist_is_400),
        cmocka_unit_test(a_demanded_level_is_met_or_waited_for),
        cmocka_unit_test(a_provider_without_attestation_serves_in_open_mode_only),
        cmocka_unit_test(an_unattested_provider_earns_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
