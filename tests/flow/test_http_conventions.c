/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of any HTTP API expects: HEAD, Allow, Retry-After, CORS and a trace id on every
 * answer, errors in one form wherever they come from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80 };

static struct fake_consumer *ask(struct fake_world *w, const char *target)
{
    return fake_consumer_ask(w, &(struct fake_ask){.target = target, .body = ""});
}

static void assert_common_headers(struct fake_consumer *c)
{
    assert_true(str_is(fake_consumer_header(c, "Access-Control-Allow-Origin"), "*"));
    assert_true(fake_consumer_header(c, "X-Request-Id").n > 0);
    assert_true(str_is(fake_consumer_header(c, "Content-Type"), "application/json"));
}

static void head_is_get_without_a_body(void **state)
{
    static const char *const targets[] = {"HEAD /health", "HEAD /v1/models"};
    struct fake_world *w = *state;

    for (size_t i = 0; i < 2; i++) {
        struct fake_consumer *c = ask(w, targets[i]);

        assert_int_equal(fake_consumer_status(c), 200);
        assert_true(fake_consumer_header(c, "Content-Length").n > 1);
        assert_memory_equal(buf_view(&c->in).p + c->in.len - 4, "\r\n\r\n", 4);
    }
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
    static const struct {
        const char *target, *allow;
    } cases[] = {{"POST /health", "GET, HEAD, OPTIONS"},
                 {"DELETE /v1/models", "GET, HEAD, OPTIONS"},
                 {"GET /v1/chat/completions", "POST, OPTIONS"},
                 {"HEAD /v1/chat/completions", "POST, OPTIONS"}};
    struct fake_world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_consumer *c = ask(w, cases[i].target);

        assert_int_equal(fake_consumer_status(c), 405);
        assert_true(str_is(fake_consumer_header(c, "Allow"), cases[i].allow));
        assert_common_headers(c);
    }
    assert_null(fake_consumer_header(ask(w, "GET /nowhere"), "Allow").p);
}

static void another_websocket_version_is_told_ours(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = fake_consumer_ask(
        w, &(struct fake_ask){.target = "GET /ws/provider",
                              .body = "",
                              .headers = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                         "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                                         "Sec-WebSocket-Version: 8\r\n"});

    assert_int_equal(fake_consumer_status(c), 426);
    assert_true(str_is(fake_consumer_header(c, "Sec-WebSocket-Version"), "13"));
    assert_int_equal(fake_consumer_status(ask(w, "GET /ws/provider")), 400);
}

static void what_the_http_layer_refuses_looks_like_any_error(void **state)
{
    char large[20000];
    const struct {
        const char *headers;
        int status;
    } cases[] = {{"No colon\r\n", 400},
                 {"Content-Length: 7\r\n", 400}, /* a second one */
                 {large, 431}};
    struct fake_world *w = *state;

    snprintf(large, sizeof large, "X-Large: %017000d\r\n", 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_consumer *c =
            fake_consumer_ask(w, &(struct fake_ask){.headers = cases[i].headers});

        assert_int_equal(fake_consumer_status(c), cases[i].status);
        assert_common_headers(c);
        assert_true(fake_says(fake_consumer_body(c), "{\"error\":{\"message\":\""));
    }
}

static void an_error_keeps_the_trace_id_of_its_request(void **state)
{
    struct fake_world *w = *state;
    struct fake_consumer *c = fake_consumer_ask(
        w, &(struct fake_ask){.body = "{", .headers = "X-Request-Id: trace-1\r\n"});

    assert_int_equal(fake_consumer_status(c), 400);
    assert_true(str_is(fake_consumer_header(c, "X-Request-Id"), "trace-1"));
    c = fake_consumer_ask(w, &(struct fake_ask){.target = "GET /health",
                                                .body = "",
                                                .headers = "X-Request-Id: trace-2\r\n"});
    assert_true(str_is(fake_consumer_header(c, "X-Request-Id"), "trace-2"));
}

static void a_body_that_goes_nowhere_is_refused_before_it_is_sent(void **state)
{
    static const struct {
        const char *target;
        int status;
        const char *allow;
    } cases[] = {{"POST /nowhere", 404, NULL},
                 {"PUT /health", 405, "GET, HEAD, OPTIONS"},
                 {"POST /v1/models", 405, "GET, HEAD, OPTIONS"}};
    struct fake_world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_consumer *c =
            fake_consumer_ask(w, &(struct fake_ask){.target = cases[i].target,
                                                    .headers = "Expect: 100-continue\r\n"});

        assert_int_equal(fake_consumer_status(c), cases[i].status); /* and no 100 before it */
        assert_common_headers(c);
        if (cases[i].allow)
            assert_true(str_is(fake_consumer_header(c, "Allow"), cases[i].allow));
        else
            assert_null(fake_consumer_header(c, "Allow").p);
    }
}

/* Six megabytes of whoever asks would be held for the time that they take to arrive. */
static void a_body_without_a_key_is_refused_before_it_is_sent(void **state)
{
    static const char *const keys[] = {"", "Authorization: Basic YTpi\r\n",
                                       "Authorization: Bearer \r\n"};
    struct fake_world *w = *state;

    for (size_t i = 0; i < 3; i++) {
        char headers[200];
        struct fake_consumer *c;

        snprintf(headers, sizeof headers, "%sX-Request-Id: trace-3\r\nExpect: 100-continue\r\n",
                 keys[i]);
        c = fake_consumer_ask(w, &(struct fake_ask){.key = "", .headers = headers});
        assert_int_equal(fake_consumer_status(c), 401); /* and no 100 before it */
        assert_common_headers(c);
        assert_true(str_is(fake_consumer_header(c, "X-Request-Id"), "trace-3"));
        assert_true(fake_says(fake_consumer_body(c), "\"code\":\"invalid_api_key\""));
    }
}

static void an_attested_provider_says_whether_it_has_a_secure_enclave(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &(struct fake_provider_config){0});
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(str_is(fake_consumer_header(c, "X-Provider-Attested"), "true"));
    assert_true(str_is(fake_consumer_header(c, "X-Provider-Secure-Enclave"), "false"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(head_is_get_without_a_body),
        TEST(a_wrong_method_is_told_the_right_ones),
        TEST(another_websocket_version_is_told_ours),
        TEST(what_the_http_layer_refuses_looks_like_any_error),
        TEST(an_error_keeps_the_trace_id_of_its_request),
        TEST(a_body_without_a_key_is_refused_before_it_is_sent),
        TEST(a_body_that_goes_nowhere_is_refused_before_it_is_sent),
        TEST(an_attested_provider_says_whether_it_has_a_secure_enclave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
