/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/admin/: one evaluator, one reason (FR-19). What the operator is shown is what the router goes
 * by, and nobody else is shown it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

#define KEY "an-admin-key-of-24-chars"

enum { PROMPT = 80 };

static const struct fake_provider_config plain = {0};

static int up(void **state)
{
    struct fake_world *w = fake_world_new();

    w->settings.admin_key = STR(KEY);
    fake_world_start(w);
    *state = w;
    return 0;
}

static int up_on_two_loops(void **state)
{
    struct fake_world *w = fake_world_new();

    w->n_loops = 2;
    w->settings.admin_key = STR(KEY);
    fake_world_start(w);
    fake_world_aim(w, 0);
    *state = w;
    return 0;
}

static struct fake_consumer *ask(struct fake_world *w, const char *target)
{
    return fake_consumer_ask(w, &(struct fake_ask){.target = target, .body = "", .key = KEY});
}

static void assert_answers(struct fake_consumer *c, int status, const char *says)
{
    if (fake_consumer_status(c) != status || !fake_says(fake_consumer_body(c), says))
        fail_msg("%d %s is not %d\n%.*s", status, says, fake_consumer_status(c),
                 STR_ARG(fake_consumer_body(c)));
}

static void only_the_admin_key_gets_in(void **state)
{
    static const char *const targets[] = {"GET /v1/admin/providers",
                                          "GET /v1/admin/routing/explain?model=m",
                                          "POST /v1/admin/providers/forgive?key=0"};
    static const char *const keys[] = {NULL /* a consumer's */, "", KEY "x", "an-admin-key"};
    struct fake_world *w = *state;

    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            assert_answers(
                fake_consumer_ask(
                    w, &(struct fake_ask){.target = targets[i], .body = "", .key = keys[k]}),
                401, "\"code\":\"invalid_api_key\"");
    }
}

/* One with a body hears it at its head, also from the holder of an account's key. */
static void without_the_admin_key_no_body_is_asked_for(void **state)
{
    struct fake_world *w = *state;
    const struct fake_ask forgive = {.target = "POST /v1/admin/providers/forgive",
                                     .headers = "Expect: 100-continue\r\n"};

    assert_answers(fake_consumer_ask(w, &forgive), 401, "this needs the admin key");
}

static void without_an_admin_key_nobody_gets_in(void **state)
{
    struct fake_world *w = fake_world_new();

    fake_world_start(w);
    assert_answers(ask(w, "GET /v1/admin/providers"), 401, "no admin key is set");
    *state = w;
    fake_world_down(state);
}

static void a_provider_is_shown_with_the_first_gate_that_fails(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c;

    fake_provider_join(w, &plain);
    fake_provider_join(w, &(struct fake_provider_config){.answer = FAKE_SILENT});
    c = ask(w, "GET /v1/admin/providers");
    assert_answers(c, 200, "\"counts\":{\"connected\":2,\"trusted\":1,\"routable\":1}");
    assert_answers(c, 200, "\"by_gate\":{\"ok\":1,\"challenge_pending\":1}");
    assert_answers(c, 200,
                   "\"connected\":true,\"trusted\":false,\"routable\":false,\"gate\":"
                   "\"challenge_pending\",\"meaning\":\"");
    assert_answers(c, 200, "\"models\":[{\"model\":\"" FAKE_MODEL "\",\"gate\":\"ok\",");
    assert_answers(c, 200, "\"more\":false");
}

static void a_gate_and_a_limit_choose_what_is_shown_and_not_what_is_counted(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c;

    fake_provider_join(w, &plain);
    fake_provider_join(w, &(struct fake_provider_config){.answer = FAKE_SILENT});
    c = ask(w, "GET /v1/admin/providers?gate=challenge_pending");
    assert_false(fake_says(fake_consumer_body(c), "\"routable\":true"));
    assert_answers(c, 200, "\"counts\":{\"connected\":2,");
    c = ask(w, "GET /v1/admin/providers?limit=1");
    assert_answers(c, 200, "\"more\":true,\"counts\":{\"connected\":2,");
    assert_false(fake_says(fake_consumer_body(c), "\"routable\":false"));
    c = ask(w, "GET /v1/admin/providers?limit=0&format=text");
    assert_answers(c, 200, "2 connected, 1 trusted, 1 routable\n");
}

/* The failing one is shown as the router sees it, until its back-off is over. */
static void one_that_is_left_alone_says_for_how_long(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c;

    for (int i = 0; i < 3; i++) {
        fake_consumer_whole(w);
        fake_provider_error(p, (size_t)i, 500, "broken");
    }
    c = ask(w, "GET /v1/admin/providers");
    assert_answers(c, 200, "\"trusted\":true,\"routable\":false,\"gate\":\"failing\"");
    assert_true(fake_number(fake_consumer_body(c), "back_off_ms") > 0);
    assert_answers(ask(w, "GET /v1/admin/routing/explain?model=" FAKE_MODEL), 200,
                   "\"best\":null,\"runner_up\":null");
}

static void a_decision_is_shown_with_its_runner_up(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c;

    fake_provider_join(w, &plain);
    fake_provider_join(w, &plain);
    c = ask(w, "GET /v1/admin/routing/explain?model=" FAKE_MODEL "&tokens=100");
    assert_answers(c, 200,
                   "{\"model\":\"" FAKE_MODEL "\",\"min_trust\":\"self_signed\","
                   "\"tokens\":100,\"decisions\":[{\"loop\":0,\"best\":{\"provider\":{");
    assert_answers(c, 200, "\"runner_up\":{\"provider\":{");
    assert_answers(c, 200, "\"offers_by_gate\":{\"ok\":2}");
    c = ask(w, "GET /v1/admin/routing/explain?format=text&model=" FAKE_MODEL);
    assert_answers(c, 200, "  runner-up  ");
    c = ask(w, "GET /v1/admin/routing/explain?model=nobodys");
    assert_answers(c, 200, "\"best\":null");
}

static void who_demands_more_trust_is_told_how_many_lack_it(void **state)
{
    struct fake_world *w = *state;

    fake_provider_join(w, &plain);
    assert_answers(ask(w, "GET /v1/admin/routing/explain?min_trust=hardware&model=" FAKE_MODEL),
                   200, "\"too_little_trust\":1,");
    /* the settings' own trust is the least */
    assert_answers(ask(w, "GET /v1/admin/routing/explain?min_trust=none&model=" FAKE_MODEL), 200,
                   "\"min_trust\":\"self_signed\"");
}

static void what_is_wrong_with_a_question_is_named(void **state)
{
    static const struct {
        const char *target;
        int status;
        const char *says;
    } rows[] = {
        {"GET /v1/admin/providers?limit=10001", 400, "\"param\":\"limit\""},
        {"GET /v1/admin/providers?limit=-1", 400, "\"param\":\"limit\""},
        {"GET /v1/admin/providers?limit=1&limit=1", 400, "it stands there twice"},
        {"GET /v1/admin/providers?gate=nonsense", 400, "\"param\":\"gate\""},
        {"GET /v1/admin/providers?gat=ok", 400, "\"param\":\"gat\",\"code\":\"unsupported_"},
        {"GET /v1/admin/providers?format=xml", 400, "\"param\":\"format\""},
        {"GET /v1/admin/providers?gate=%f", 400, "\"param\":\"gate\""},
        {"GET /v1/admin/routing/explain", 400, "\"code\":\"missing_required_parameter\""},
        {"GET /v1/admin/routing/explain?model=a&min_trust=much", 400, "\"param\":\"min_trust\""},
        {"GET /v1/admin/routing/explain?model=a&tokens=x", 400, "\"param\":\"tokens\""},
        {"POST /v1/admin/providers/forgive", 400, "\"code\":\"missing_required_parameter\""},
        {"POST /v1/admin/providers/forgive?key=abc", 400, "\"param\":\"key\""},
        {"GET /v1/admin/providers/forgive?key=abc", 405, "\"code\":\"method_not_allowed\""},
        {"GET /v1/admin", 404, "\"code\":\"not_found\""},
    };
    struct fake_world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_answers(ask(w, rows[i].target), rows[i].status, rows[i].says);
}

/* The operator's word ends a distrust, at once and over restarts; nothing else does. */
static void a_forgiven_key_is_trusted_again_and_stays_so(void **state)
{
    struct fake_provider_config config = {.key = "liar"};
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &config);
    char target[160];

    p->config.answer = FAKE_FORGES;
    fake_world_advance_ms(w, 2 * w->settings.challenge_interval_ms);
    assert_answers(ask(w, "GET /v1/admin/providers"), 200,
                   "\"gate\":\"distrusted\",\"meaning\":\"");
    p->config.answer = FAKE_ANSWERS;
    snprintf(target, sizeof target, "POST /v1/admin/providers/forgive?key=%s",
             fake_provider_account(p) + strlen("provider:"));
    assert_answers(ask(w, target), 200, "\"forgiven\":true}");
    fake_world_settle(w);
    assert_answers(ask(w, "GET /v1/admin/providers"), 200, "\"trusted\":true,\"routable\":true,");
    assert_answers(ask(w, target), 404, "no such key is distrusted");
    fake_world_advance_ms(w, 1500); /* saved once a second */
    fake_world_stop(w);
    fake_world_start(w);
    p = fake_provider_join(w, &config);
    fake_consumer_whole(w);
    assert_int_equal(p->n_jobs, 1);
    fake_provider_serve(p, 0, PROMPT, 40);
}

/* Its provider is away, and the registry may have forgotten it: the store has not. */
static void a_key_that_is_not_connected_can_be_forgiven(void **state)
{
    struct fake_provider_config config = {.key = "liar"};
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &config);
    char target[160];

    snprintf(target, sizeof target, "POST /v1/admin/providers/forgive?key=%s",
             fake_provider_account(p) + strlen("provider:"));
    p->config.answer = FAKE_FORGES;
    fake_world_advance_ms(w, 2 * w->settings.challenge_interval_ms);
    fake_provider_die(p);
    fake_world_stop(w);
    fake_world_start(w);
    assert_answers(ask(w, target), 200, "\"forgiven\":true}");
    fake_world_stop(w);
    fake_world_start(w);
    p = fake_provider_join(w, &config);
    assert_answers(ask(w, "GET /v1/admin/providers"), 200, "\"routable\":true,");
}

static void all_loops_are_shown(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c;

    for (unsigned i = 0; i < 2; i++) {
        fake_world_aim(w, i);
        fake_provider_join(w, &plain);
    }
    c = ask(w, "GET /v1/admin/providers");
    assert_answers(c, 200, "\"counts\":{\"connected\":2,\"trusted\":2,\"routable\":2}");
    assert_answers(c, 200, "\"loop\":0,");
    assert_answers(c, 200, "\"loop\":1,");
    assert_answers(ask(w, "GET /v1/admin/routing/explain?model=" FAKE_MODEL), 200,
                   ",{\"loop\":1,\"best\":{");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, up, fake_world_down)
        TEST(only_the_admin_key_gets_in),
        cmocka_unit_test(without_an_admin_key_nobody_gets_in),
        TEST(a_provider_is_shown_with_the_first_gate_that_fails),
        TEST(a_gate_and_a_limit_choose_what_is_shown_and_not_what_is_counted),
        TEST(without_the_admin_key_no_body_is_asked_for),
        TEST(one_that_is_left_alone_says_for_how_long),
        TEST(a_decision_is_shown_with_its_runner_up),
        TEST(who_demands_more_trust_is_told_how_many_lack_it),
        TEST(what_is_wrong_with_a_question_is_named),
        TEST(a_forgiven_key_is_trusted_again_and_stays_so),
        TEST(a_key_that_is_not_connected_can_be_forgiven),
        cmocka_unit_test_setup_teardown(all_loops_are_shown, up_on_two_loops, fake_world_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
