/* SPDX-License-Identifier: Apache-2.0 */
/* Requests whose head is wrong: keys, our own headers, paths and methods. And odd heads that have
 * to be served all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_bad_request.h"

enum { PROMPT = 80, COMPLETION = 20 };

#define AUTH   "Authorization: Bearer $KEY\r\n"
#define LENGTH "Content-Length: $LENGTH\r\n"
#define CHAT   "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\n" LENGTH
#define EIGHT  "xxxxxxxx"
#define LONG   EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT /* 64 */

#define LINES(name, lines, code, param)                      \
    {                                                        \
        name, BAD_LINES, STR(lines "\r\n"), 400, code, param \
    }
#define KEYS(name, lines)                                             \
    {                                                                 \
        name, BAD_HEAD, STR(CHAT lines), 401, "invalid_api_key", NULL \
    }
#define TARGET(target, status, code)                                                               \
    {                                                                                              \
        target, BAD_RAW, STR(target " HTTP/1.1\r\nHost: test\r\n" AUTH "\r\n"), status, code, NULL \
    }

/* --- whose request it is --- */

static const struct bad_request keys[] = {
    KEYS("no Authorization", ""),
    KEYS("an empty one", "Authorization:\r\n"),
    KEYS("Basic", "Authorization: Basic dXNlcjpwYXNz\r\n"),
    KEYS("Basic with a key", "Authorization: Basic $KEY\r\n"),
    KEYS("Bearer alone", "Authorization: Bearer\r\n"),
    KEYS("Bearer and a blank", "Authorization: Bearer \r\n"),
    KEYS("a key without its scheme", "Authorization: $KEY\r\n"),
    KEYS("no blank between", "Authorization: Bearer$KEY\r\n"),
    KEYS("a colon behind the scheme", "Authorization: Bearer: $KEY\r\n"),
    KEYS("a key in quotes", "Authorization: Bearer \"$KEY\"\r\n"),
    KEYS("a key twice in one line", "Authorization: Bearer $KEY $KEY\r\n"),
    KEYS("two keys with a comma", "Authorization: Bearer $KEY, Bearer $KEY\r\n"),
    KEYS("an unknown key", "Authorization: Bearer sk-0123456789\r\n"),
    KEYS("a key of one letter", "Authorization: Bearer x\r\n"),
    KEYS("a key with a letter more", "Authorization: Bearer $KEY0\r\n"),
    KEYS("a revoked key", "Authorization: Bearer $REVOKED\r\n"),
    KEYS("a key that is SQL", "Authorization: Bearer ' OR 1=1 --\r\n"),
    KEYS("a key that is no UTF-8", "Authorization: Bearer \xff\xfe\r\n"),
    KEYS("a key of 8 KiB",
         "Authorization: Bearer " LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG
             LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG "\r\n"),
    KEYS("a key in another header", "X-Api-Key: $KEY\r\n"),
    KEYS("a key in a cookie", "Cookie: key=$KEY\r\n"),
    {"two keys", BAD_HEAD, STR(CHAT AUTH AUTH), 400, "invalid_request_error", "Authorization"},
    {"Basic before Bearer", BAD_HEAD, STR(CHAT "Authorization: Basic eDp5\r\n" AUTH), 400,
     "invalid_request_error", "Authorization"},
    {"two keys, one of them revoked", BAD_HEAD, STR(CHAT AUTH "Authorization: Bearer $REVOKED\r\n"),
     400, "invalid_request_error", "Authorization"},
    {"models without a key", BAD_RAW, STR("GET /v1/models HTTP/1.1\r\nHost: test\r\n\r\n"), 401,
     "invalid_api_key", NULL},
    {"models with a revoked key", BAD_RAW,
     STR("GET /v1/models HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer $REVOKED\r\n\r\n"), 401,
     "invalid_api_key", NULL},
    {"models with two keys", BAD_RAW,
     STR("GET /v1/models HTTP/1.1\r\nHost: test\r\n" AUTH AUTH "\r\n"), 400,
     "invalid_request_error", "Authorization"},
};

/* --- what it asks for in its head --- */

static const struct bad_request lines[] = {
    LINES("an empty Idempotency-Key", "Idempotency-Key:", "invalid_value", "Idempotency-Key"),
    LINES("an Idempotency-Key of blanks", "Idempotency-Key:    ", "invalid_value",
          "Idempotency-Key"),
    LINES("an Idempotency-Key of 256 bytes", "Idempotency-Key: " LONG LONG LONG LONG,
          "invalid_value", "Idempotency-Key"),
    LINES("two Idempotency-Keys", "Idempotency-Key: a\r\nIdempotency-Key: b",
          "invalid_request_error", "Idempotency-Key"),
    LINES("the same Idempotency-Key twice", "Idempotency-Key: a\r\nidempotency-key: a",
          "invalid_request_error", "Idempotency-Key"),
    LINES("a level that does not exist", "X-Min-Trust-Level: gold", "invalid_value",
          "X-Min-Trust-Level"),
    LINES("an empty level", "X-Min-Trust-Level:", "invalid_value", "X-Min-Trust-Level"),
    LINES("a level in capitals", "X-Min-Trust-Level: HARDWARE", "invalid_value",
          "X-Min-Trust-Level"),
    LINES("a level as a number", "X-Min-Trust-Level: 2", "invalid_value", "X-Min-Trust-Level"),
    LINES("a level with more behind", "X-Min-Trust-Level: hardware, none", "invalid_value",
          "X-Min-Trust-Level"),
    LINES("two levels", "X-Min-Trust-Level: none\r\nX-Min-Trust-Level: hardware",
          "invalid_request_error", "X-Min-Trust-Level"),
    LINES("a receipt of yes", "X-Darkbloom-Receipt: yes", "invalid_value", "X-Darkbloom-Receipt"),
    LINES("a receipt of 2", "X-Darkbloom-Receipt: 2", "invalid_value", "X-Darkbloom-Receipt"),
    LINES("an empty receipt", "X-Darkbloom-Receipt:", "invalid_value", "X-Darkbloom-Receipt"),
    LINES("two receipts", "X-Darkbloom-Receipt: 0\r\nX-Darkbloom-Receipt: 1",
          "invalid_request_error", "X-Darkbloom-Receipt"),
};

/* --- where it goes --- */

static const struct bad_request targets[] = {
    TARGET("GET /", 404, "not_found"),
    TARGET("GET /v1", 404, "not_found"),
    TARGET("GET /v1/", 404, "not_found"),
    TARGET("GET /favicon.ico", 404, "not_found"),
    TARGET("GET /v1/models/", 404, "not_found"),
    TARGET("POST /v1/completions", 404, "not_found"),
    TARGET("POST /v1/embeddings", 404, "not_found"),
    TARGET("POST /v1/chat/completions/", 404, "not_found"),
    TARGET("POST //v1/chat/completions", 404, "not_found"),
    TARGET("POST /v1//chat/completions", 404, "not_found"),
    TARGET("POST /v1/chat/completions/../completions", 404, "not_found"),
    TARGET("POST /V1/chat/completions", 404, "not_found"),
    TARGET("POST /v1/chat%2fcompletions", 404, "not_found"),
    TARGET("POST /v1/chat/completions%00", 404, "not_found"),
    TARGET("POST /v1/chat/completions;x=1", 404, "not_found"),
    TARGET("GET /../../etc/passwd", 404, "not_found"),
    TARGET("GET /<script>alert(1)</script>", 404, "not_found"),
    TARGET("GET /%s%n%s%n", 404, "not_found"),
    TARGET("GET ?model=x", 400, "invalid_request_error"),
    TARGET("GET *", 404, "not_found"),
    TARGET("GET http://test/nowhere", 404, "not_found"),
    TARGET("GET /" LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG, 404, "not_found"),
    TARGET("GET /metrics", 404, "not_found"),
    TARGET("GET /v1/chat/completions", 405, "method_not_allowed"),
    TARGET("PUT /v1/chat/completions", 405, "method_not_allowed"),
    TARGET("DELETE /v1/chat/completions", 405, "method_not_allowed"),
    TARGET("PATCH /v1/chat/completions", 405, "method_not_allowed"),
    TARGET("TRACE /v1/chat/completions", 405, "method_not_allowed"),
    TARGET("PROPFIND /v1/chat/completions", 405, "method_not_allowed"),
    TARGET("POST /v1/models", 405, "method_not_allowed"),
    TARGET("DELETE /health", 405, "method_not_allowed"),
    TARGET("POST /ws/provider", 405, "method_not_allowed"),
    TARGET("GET /ws/provider", 400, "invalid_request_error"),
    TARGET("POST /v1/chat/completions", 400, "invalid_json"),
    TARGET("CONNECT test:443", 404, "not_found"),
    TARGET("CONNECT /v1/chat/completions", 405, "method_not_allowed"),
};

#define SEND(rows) bad_requests_send(rows, sizeof(rows) / sizeof(rows)[0])

static void without_one_known_key_it_is_refused(void **state)
{
    (void)state;
    SEND(keys);
}

/* Of two lines of which only one counts, nobody knows which. */
static void a_wrong_or_repeated_header_of_ours_is_named(void **state)
{
    (void)state;
    SEND(lines);
}

static void what_is_nowhere_is_404_and_what_is_not_done_there_405(void **state)
{
    (void)state;
    SEND(targets);
}

/* --- odd, but served --- */

static const struct {
    const char *name, *target, *lines;
    const char *trace; /* X-Request-Id of the answer; NULL: another one than was sent */
} odd[] = {
    {"a trace id", NULL, "X-Request-Id: abc-1\r\n", "abc-1"},
    {"a trace id of 64 bytes", NULL, "X-Request-Id: " LONG "\r\n", LONG},
    {"a trace id of 65 bytes", NULL, "X-Request-Id: " LONG "x\r\n", NULL},
    {"an empty trace id", NULL, "X-Request-Id:\r\n", NULL},
    {"a trace id with a blank", NULL, "X-Request-Id: a b\r\n", NULL},
    {"a trace id with a tab", NULL, "X-Request-Id: a\tb\r\n", NULL},
    {"a trace id that is no ASCII", NULL, "X-Request-Id: \xc3\xa4\r\n", NULL},
    {"a trace id in quotes", NULL, "X-Request-Id: \"a\"\r\n", "\"a\""},
    {"two trace ids", NULL, "X-Request-Id: a\r\nX-Request-Id: b\r\n", "a"},
    {"a query", "POST /v1/chat/completions?api-version=1", "", NULL},
    {"a target with its host", "POST http://other/v1/chat/completions", "", NULL},
    {"a receipt of 0", NULL, "X-Darkbloom-Receipt: 0\r\n", NULL},
    {"a level below the coordinator's", NULL, "X-Min-Trust-Level: none\r\n", NULL},
    {"an expectation that nobody knows", NULL, "Expect: 200-maybe\r\n", NULL},
    {"an upgrade to HTTP/2", NULL,
     "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", NULL},
    {"an upgrade to a WebSocket", NULL,
     "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
     NULL},
    {"another content type", NULL, "Content-Type: text/plain\r\n", NULL},
    {"an Idempotency-Key of 255 bytes", NULL,
     "Idempotency-Key: " LONG LONG LONG EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT "xxxxxxx\r\n",
     NULL},
};

static void an_odd_head_is_served_and_an_odd_trace_id_replaced(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        const struct fake_ask ask = {.body = BAD_GOOD_BODY,
                                     .target = odd[i].target,
                                     .headers = odd[i].lines,
                                     .no_receipt = true};
        struct bad_world b;
        struct fake_consumer *c;
        struct str trace;

        bad_world_up(&b);
        c = fake_consumer_ask(b.w, &ask);
        if (b.idle->n_jobs != 1)
            fail_msg("%s: %.*s", odd[i].name, STR_ARG(buf_view(&c->in)));
        fake_provider_serve(b.idle, 0, PROMPT, COMPLETION);
        trace = fake_consumer_header(c, "X-Request-Id");
        if (!fake_consumer_done(c) || fake_consumer_status(c) != 200)
            fail_msg("%s: status %d", odd[i].name, fake_consumer_status(c));
        if (odd[i].trace ? !str_is(trace, odd[i].trace) : trace.n != RAND_UUID_BYTES - 1)
            fail_msg("%s: %.*s", odd[i].name, STR_ARG(trace));
        fake_world_down((void **)&b.w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_one_known_key_it_is_refused),
        cmocka_unit_test(a_wrong_or_repeated_header_of_ours_is_named),
        cmocka_unit_test(what_is_nowhere_is_404_and_what_is_not_done_there_405),
        cmocka_unit_test(an_odd_head_is_served_and_an_odd_trace_id_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
