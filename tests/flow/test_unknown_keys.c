/* SPDX-License-Identifier: Apache-2.0 */
/* What a request may cost us before we know whose it is: its head, and few look-ups (findings L2).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/metrics.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, STORE_MS = 10, BODY_BYTES = 6 << 20, READ_AHEAD_BYTES = 512 << 10 };

#define UNKNOWN "nobody-has-this-key"

static const struct fake_provider_config plain = {0};
static const struct fake_ask unknown = {.key = UNKNOWN};

static uint64_t counted(struct fake_world *w, enum metrics_STRANGER how)
{
    return metrics_get(w->coord->metrics, M_STRANGERS, how, 0);
}

static void assert_says(struct fake_consumer *c, int status, const char *code)
{
    if (fake_consumer_status(c) != status || !fake_says(fake_consumer_body(c), code))
        fail_msg("no %d %s: %.*s", status, code, STR_ARG(buf_view(&c->in)));
}

/* --- at the head --- */

/* A chat request of 6 MiB, with that key; freed by the caller. */
static char *large_request(const char *key, size_t *ret_n)
{
    char *text = malloc(BODY_BYTES + 1024);
    int n;

    assert_non_null(text);
    n = snprintf(text, 1024,
                 "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n"
                 "Authorization: Bearer %s\r\n\r\n",
                 BODY_BYTES, key);
    memset(text + n, ' ', BODY_BYTES);
    *ret_n = (size_t)n + BODY_BYTES;
    return text;
}

static void the_body_of_an_unknown_key_is_never_read(void **state)
{
    struct fake_world *w = *state;
    size_t used = budget_used(&w->hub->memory.process), n;
    char *text = large_request(UNKNOWN, &n);
    struct fake_consumer *c;

    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_ask(w, &(struct fake_ask){.raw = {text, n}});
    assert_int_equal(fake_consumer_status(c), 0);
    assert_true(c->out.len > BODY_BYTES - READ_AHEAD_BYTES);
    assert_true(budget_used(&w->hub->memory.process) < used + READ_AHEAD_BYTES);
    fake_world_advance_ms(w, STORE_MS);
    assert_says(c, 401, "\"code\":\"invalid_api_key\"");
    assert_true(fake_says(fake_consumer_body(c), "not known or was revoked"));
    assert_int_equal(
        metrics_get(w->coord->metrics, M_REQUESTS, metrics_outcome(API_AUTH), METRIC_VALUE_OTHER),
        1);
    assert_true(fake_world_logged(w, "event=request_refused status=401 code=invalid_api_key"));
    free(text);
}

/* The same, of which it is known: the body is let in once the store has said whose it is. */
static void the_body_of_a_key_that_is_looked_up_comes_afterwards(void **state)
{
    struct fake_world *w = *state;
    size_t n;
    char *text = large_request(w->key, &n);
    struct fake_consumer *c;

    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_ask(w, &(struct fake_ask){.raw = {text, n}});
    assert_true(c->out.len > BODY_BYTES - READ_AHEAD_BYTES);
    fake_world_advance_ms(w, STORE_MS);
    assert_int_equal(c->out.len, 0);
    assert_says(c, 400, "\"code\":\"invalid_json\"");
    free(text);
}

static void an_unknown_key_is_not_asked_for_its_body(void **state)
{
    static const char *const keys[] = {UNKNOWN, NULL};
    struct fake_world *w = *state;

    for (size_t i = 0; i < 2; i++) {
        struct fake_consumer *c = fake_consumer_ask(
            w, &(struct fake_ask){.key = keys[i], .headers = "Expect: 100-continue\r\n"});

        assert_int_equal(fake_consumer_status(c), keys[i] ? 401 : 100);
    }
}

static void who_leaves_while_its_key_is_looked_up_leaves_nothing(void **state)
{
    static const char *const keys[] = {UNKNOWN, NULL};
    struct fake_world *w = *state;
    size_t used = budget_used(&w->hub->memory.process);

    fake_world_slow_store(w, STORE_MS * 1000);
    for (size_t i = 0; i < 2; i++) {
        fake_consumer_leave(fake_consumer_ask(w, &(struct fake_ask){.key = keys[i]}));
        fake_world_advance_ms(w, STORE_MS);
        assert_int_equal(budget_used(&w->hub->memory.process), used);
    }
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM holds"), 0);
}

static void a_coordinator_that_stops_meanwhile_takes_no_body(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c;

    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_stream(w);
    hub_drain(w->hub, 1000, NULL, NULL);
    fake_world_advance_ms(w, STORE_MS);
    assert_says(c, 503, "\"code\":\"overloaded\"");
    assert_true(str_is(fake_consumer_header(c, "Retry-After"), "1"));
    assert_true(fake_says(fake_consumer_body(c), "is stopping"));
}

static void a_coordinator_that_ends_meanwhile_forgets_who_waits(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c;

    fake_world_slow_store(w, STORE_MS * 1000);
    c = fake_consumer_stream(w);
    fake_world_stop(w);
    assert_true(c->ended);
    assert_int_equal(fake_consumer_status(c), 0);
}

/* --- again and again --- */

static void a_key_that_was_unknown_a_moment_ago_asks_no_store(void **state)
{
    struct fake_world *w = *state;

    assert_says(fake_consumer_ask(w, &unknown), 401, "\"code\":\"invalid_api_key\"");
    assert_int_equal(counted(w, METRIC_STRANGER_LOOKED_UP), 1);
    fake_world_slow_store(w, STORE_MS * 1000);
    for (int i = 0; i < 2; i++) { /* with a body, and without */
        const struct fake_ask models = {
            .key = UNKNOWN, .target = "GET /v1/models", .body = "", .no_receipt = true};

        assert_says(fake_consumer_ask(w, i == 0 ? &unknown : &models), 401,
                    "\"code\":\"invalid_api_key\"");
    }
    assert_int_equal(counted(w, METRIC_STRANGER_LOOKED_UP), 1);
    assert_int_equal(counted(w, METRIC_STRANGER_REMEMBERED), 2);
    fake_world_advance_ms(w, 10000);
    assert_int_equal(fake_consumer_status(fake_consumer_ask(w, &unknown)), 0);
    fake_world_advance_ms(w, STORE_MS);
    assert_int_equal(counted(w, METRIC_STRANGER_LOOKED_UP), 2);
}

/* --- from one address --- */

static struct fake_world *strict_world(int64_t per_s)
{
    struct fake_world *w = fake_world_new();

    w->settings.unknown_keys_per_s = per_s;
    fake_world_start(w);
    return w;
}

/* Another unknown key every time. */
static struct fake_consumer *guess(struct fake_world *w)
{
    char key[32];

    (void)snprintf(key, sizeof key, "guess-%zu", w->n_consumers);
    return fake_consumer_ask(w, &(struct fake_ask){.key = key});
}

static void beyond_its_limit_an_address_is_429_without_a_look_up(void **state)
{
    struct fake_world *w = strict_world(3);
    struct fake_consumer *c;
    (void)state;

    for (int i = 0; i < 3; i++)
        assert_says(guess(w), 401, "\"code\":\"invalid_api_key\"");
    fake_world_slow_store(w, STORE_MS * 1000); /* it is not asked */
    c = guess(w);
    assert_says(c, 429, "\"code\":\"rate_limit_exceeded\"");
    assert_true(str_is(fake_consumer_header(c, "Retry-After"), "1"));
    assert_true(str_is(fake_consumer_header(c, "X-RateLimit-Reset"), "1790000001"));
    assert_true(fake_says(fake_consumer_body(c), "limit of 3 unknown API keys a second"));
    assert_int_equal(counted(w, METRIC_STRANGER_REFUSED), 1);
    loop_fake_set_address(w->loop, "192.0.2.7");
    assert_int_equal(fake_consumer_status(guess(w)), 0);
    loop_fake_set_address(w->loop, "127.0.0.1");
    fake_world_advance_ms(w, 1000);
    assert_int_equal(fake_consumer_status(guess(w)), 0);
    fake_world_down((void **)&w);
}

static void strangers_at_its_address_do_not_harm_a_known_key(void **state)
{
    struct fake_world *w = strict_world(2);
    struct fake_provider *p = fake_provider_join(w, &plain);
    char fresh[KEY_TEXT_BYTES];
    (void)state;

    fake_world_make_key(w, "bob", FAKE_CREDIT, fresh);
    fake_consumer_stream(w);
    fake_provider_serve(p, 0, PROMPT, 40);
    for (int i = 0; i < 4; i++)
        guess(w);
    assert_int_equal(fake_consumer_status(guess(w)), 429);
    fake_consumer_stream(w);
    assert_int_equal(p->n_jobs, 2);
    /* One that is not in memory yet waits like its neighbours. */
    assert_int_equal(fake_consumer_status(fake_consumer_ask(w, &(struct fake_ask){.key = fresh})),
                     429);
    fake_world_advance_ms(w, 1000);
    fake_consumer_ask(w, &(struct fake_ask){.key = fresh});
    assert_int_equal(p->n_jobs, 3);
    fake_world_down((void **)&w);
}

/* After a start, or behind a proxy, many known keys come from one address at once. */
static void keys_that_turn_out_to_be_known_do_not_count(void **state)
{
    struct fake_world *w = strict_world(1);
    struct fake_provider *p = fake_provider_join(w, &plain);
    (void)state;

    for (int i = 0; i < 5; i++) {
        char key[KEY_TEXT_BYTES], account[16];

        (void)snprintf(account, sizeof account, "account-%d", i);
        fake_world_make_key(w, account, FAKE_CREDIT, key);
        fake_consumer_ask(w, &(struct fake_ask){.key = key});
        fake_provider_serve(p, (size_t)i, PROMPT, 40);
    }
    assert_int_equal(p->n_jobs, 5);
    assert_int_equal(counted(w, METRIC_STRANGER_REFUSED), 0);
    fake_world_down((void **)&w);
}

static void the_limit_is_that_of_all_loops_together(void **state)
{
    struct fake_world *w = fake_world_new();
    (void)state;

    w->settings.unknown_keys_per_s = 3;
    w->n_loops = 2;
    fake_world_start(w);
    for (unsigned i = 0; i < 4; i++) {
        fake_world_aim(w, i % 2);
        assert_int_equal(fake_consumer_status(guess(w)), i < 3 ? 401 : 429);
    }
    fake_world_down((void **)&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

/* An SDK that opens many connections, or a proxy before us: they are no strangers, and one look-up
 * does for all. */
static void many_who_come_at_once_with_one_key_ask_once(void **state)
{
    enum { MANY = 30 };
    struct fake_world *w = strict_world(1);
    struct fake_consumer *c[MANY];

    *state = w;
    fake_world_slow_store(w, STORE_MS * 1000);
    for (size_t i = 0; i < MANY; i++)
        c[i] = fake_consumer_ask(w, &(struct fake_ask){.target = "GET /v1/models", .body = ""});
    for (size_t i = 0; i < MANY; i += 3)
        fake_consumer_leave(c[i]);
    fake_world_advance_ms(w, 2 * STORE_MS);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(fake_consumer_status(c[i]), i % 3 == 0 ? 0 : 200);
    assert_int_equal(counted(w, METRIC_STRANGER_REFUSED), 0);
    fake_world_down(state);
}

/* The same with a key that nobody has: it is one look-up, and each of them is told. */
static void many_who_come_at_once_with_an_unknown_key_are_all_refused(void **state)
{
    enum { MANY = 20 };
    struct fake_world *w = *state;
    struct fake_consumer *c[MANY];

    fake_world_slow_store(w, STORE_MS * 1000);
    for (size_t i = 0; i < MANY; i++)
        c[i] = fake_consumer_ask(w, &unknown);
    fake_world_advance_ms(w, 2 * STORE_MS);
    for (size_t i = 0; i < MANY; i++)
        assert_says(c[i], 401, "\"code\":\"invalid_api_key\"");
    assert_int_equal(counted(w, METRIC_STRANGER_LOOKED_UP), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_body_of_an_unknown_key_is_never_read),
        TEST(the_body_of_a_key_that_is_looked_up_comes_afterwards),
        TEST(an_unknown_key_is_not_asked_for_its_body),
        TEST(who_leaves_while_its_key_is_looked_up_leaves_nothing),
        TEST(a_coordinator_that_stops_meanwhile_takes_no_body),
        TEST(a_coordinator_that_ends_meanwhile_forgets_who_waits),
        TEST(a_key_that_was_unknown_a_moment_ago_asks_no_store),
        cmocka_unit_test(many_who_come_at_once_with_one_key_ask_once),
        TEST(many_who_come_at_once_with_an_unknown_key_are_all_refused),
        cmocka_unit_test(beyond_its_limit_an_address_is_429_without_a_look_up),
        cmocka_unit_test(strangers_at_its_address_do_not_harm_a_known_key),
        cmocka_unit_test(keys_that_turn_out_to_be_known_do_not_count),
        cmocka_unit_test(the_limit_is_that_of_all_loops_together),
    };

    return cmocka_run_group_tests_name("unknown keys", tests, NULL, NULL);
}
