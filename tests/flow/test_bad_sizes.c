/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that are too large, too deep, too slow, or never whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_bad_request.h"

enum { MIB = 1 << 20, BODY_MAX_BYTES = 6 * MIB, TEXT_MAX_BYTES = 8 * MIB };

#define MODEL    "\"model\":\"" FAKE_MODEL "\""
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
#define CHAT     "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\n"
#define AUTH     "Authorization: Bearer $KEY\r\n"

/* `before`, `n` times `piece`, `after`. */
struct repeated {
    struct bad_request row; /* without its text */
    const char *before, *piece, *after;
    size_t n;
};

#define BODY(name, before, piece, n, after, code, param)                 \
    {                                                                    \
        {name, BAD_BODY, {0}, 400, code, param}, before, piece, after, n \
    }
#define RAW(name, before, piece, n, after, status, code)                  \
    {                                                                     \
        {name, BAD_RAW, {0}, status, code, NULL}, before, piece, after, n \
    }

static const struct repeated rows[] = {
    BODY("129 fields", "{" MODEL "," MESSAGES, ",\"x\":1", 127, "}", "invalid_request_error", NULL),
    BODY("100,000 fields", "{" MODEL "," MESSAGES, ",\"x\":1", 100000, "}", "invalid_request_error",
         NULL),
    BODY("a message of 129 fields", "{" MODEL ",\"messages\":[{\"role\":\"user\"", ",\"x\":1", 128,
         "}]}", "invalid_request_error", "messages[0]"),
    BODY("a part of 129 fields",
         "{" MODEL ",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"", ",\"x\":1",
         128, "}]}]}", "invalid_request_error", "messages[0].content[0]"),
    BODY("100,000 messages, the last one without content", "{" MODEL ",\"messages\":[",
         "{\"role\":\"user\",\"content\":\"x\"},", 100000, "{\"role\":\"user\"}]}",
         "missing_required_parameter", "messages[100000].content"),
    BODY("100,000 parts, the last one of a number",
         "{" MODEL ",\"messages\":[{\"role\":\"user\",\"content\":[",
         "{\"type\":\"text\",\"text\":\"x\"},", 100000, "7]}]}", "invalid_type",
         "messages[0].content[100000]"),
    BODY("100,000 stops", "{" MODEL "," MESSAGES ",\"stop\":[\"a\"", ",\"a\"", 100000, "]}",
         "invalid_value", "stop"),
    BODY("a stop of 1,025 bytes", "{" MODEL "," MESSAGES ",\"stop\":\"", "x", 1025, "\"}",
         "invalid_value", "stop"),
    BODY("a stop of a megabyte", "{" MODEL "," MESSAGES ",\"stop\":\"", "x", MIB, "\"}",
         "invalid_value", "stop"),
    BODY("a model of 257 bytes", "{" MESSAGES ",\"model\":\"", "x", 257, "\"}", "invalid_value",
         "model"),
    BODY("a model of a megabyte", "{" MESSAGES ",\"model\":\"", "x", MIB, "\"}", "invalid_value",
         "model"),
    BODY("a role of a megabyte", "{" MODEL ",\"messages\":[{\"content\":\"x\",\"role\":\"", "x",
         MIB, "\"}]}", "invalid_value", "messages[0].role"),
    BODY("a role of a megabyte of two-byte letters",
         "{" MODEL ",\"messages\":[{\"content\":\"x\",\"role\":\"", "\xc3\xa4", MIB, "\"}]}",
         "invalid_value", "messages[0].role"),
    BODY("a name of a megabyte, twice", "{\"", "x", MIB, "\":1,\"x\":1,\"x\":2}",
         "invalid_request_error", NULL),
    BODY("a number of 100,000 digits", "{" MODEL "," MESSAGES ",\"max_tokens\":1", "0", 100000, "}",
         "invalid_json", NULL),
    BODY("a number of 300 digits", "{" MODEL "," MESSAGES ",\"max_tokens\":1", "0", 300, "}",
         "invalid_value", "max_tokens"),
    BODY("a number with 100,000 digits behind the point",
         "{" MODEL "," MESSAGES ",\"temperature\":2.", "1", 100000, "}", "invalid_value",
         "temperature"),
    BODY("lists 300 deep", "{" MODEL "," MESSAGES ",\"x\":[", "[", 300, "", "invalid_request_error",
         NULL),
    BODY("lists 100,000 deep", "{" MODEL "," MESSAGES ",\"x\":", "[", 100000, "",
         "invalid_request_error", NULL),
    BODY("objects 100,000 deep", "{" MODEL "," MESSAGES ",\"x\":", "{\"a\":", 100000, "",
         "invalid_request_error", NULL),
    BODY("messages 100,000 deep", "{" MODEL ",\"messages\":", "[", 100000, "",
         "invalid_request_error", NULL),
    BODY("5 MiB of white space", "", " ", 5 * MIB, "", "invalid_json", NULL),
    BODY("5 MiB that never end", "{" MODEL ",\"messages\":\"", "x", 5 * MIB, "", "invalid_json",
         NULL),
    BODY("5 MiB with a bad byte at the end", "{" MODEL ",\"x\":\"", "x", 5 * MIB, "\xff\"}",
         "invalid_utf8", NULL),

    RAW("a byte over 6 MiB", CHAT AUTH "Content-Length: 6291457\r\n\r\n", "x", BODY_MAX_BYTES, "",
        413, "request_too_large"),
    RAW("a length of 2^63", CHAT AUTH "Content-Length: 9223372036854775808\r\n\r\n", "x", 1, "",
        413, "request_too_large"),
    RAW("a length of 2^64 - 1", CHAT AUTH "Content-Length: 18446744073709551615\r\n\r\n", "x", 1,
        "", 413, "request_too_large"),
    RAW("a chunk of 7 MiB", CHAT AUTH "Transfer-Encoding: chunked\r\n\r\n700000\r\n", "x", 1, "",
        413, "request_too_large"),
    RAW("chunks of 64 KiB, 97 of them", CHAT AUTH "Transfer-Encoding: chunked\r\n\r\n", "$64K", 97,
        "", 413, "request_too_large"),
    RAW("7 MiB without a key", CHAT "Content-Length: 7340032\r\n\r\n", "x", 7 * MIB, "", 413,
        "request_too_large"),
    RAW("5 MiB without a key", CHAT "Content-Length: 5242880\r\n\r\n", "x", 5 * MIB, "", 401,
        "invalid_api_key"),
    RAW("5 MiB to nowhere", "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5242880\r\n\r\n",
        "x", 5 * MIB, "", 404, "not_found"),
    RAW("65 headers", "GET /health HTTP/1.1\r\nHost: test\r\n", "X-A: b\r\n", 64, "\r\n", 431,
        "headers_too_large"),
    RAW("100,000 headers", "GET /health HTTP/1.1\r\nHost: test\r\n", "X-A: b\r\n", 100000, "\r\n",
        431, "headers_too_large"),
    RAW("a header of 17 KiB", "GET /health HTTP/1.1\r\nHost: test\r\nX-A: ", "x", 17 << 10,
        "\r\n\r\n", 431, "headers_too_large"),
    RAW("a header of a megabyte", "GET /health HTTP/1.1\r\nHost: test\r\nX-A: ", "x", MIB,
        "\r\n\r\n", 431, "headers_too_large"),
    RAW("a name of 17 KiB", "GET /health HTTP/1.1\r\nHost: test\r\nX-", "A", 17 << 10,
        ": b\r\n\r\n", 431, "headers_too_large"),
    RAW("a target of 17 KiB", "GET /", "x", 17 << 10, " HTTP/1.1\r\nHost: test\r\n\r\n", 431,
        "headers_too_large"),
    RAW("a query of 17 KiB", "GET /health?", "x", 17 << 10, " HTTP/1.1\r\nHost: test\r\n\r\n", 431,
        "headers_too_large"),
    RAW("a method of 17 KiB", "", "X", 17 << 10, " / HTTP/1.1\r\nHost: test\r\n\r\n", 400,
        "invalid_request_error"),
    RAW("a key of 17 KiB", CHAT "Content-Length: 2\r\nAuthorization: Bearer ", "x", 17 << 10,
        "\r\n\r\n{}", 431, "headers_too_large"),
    RAW("a trailer of 17 KiB", CHAT AUTH "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX-A: ",
        "x", 17 << 10, "\r\n\r\n", 431, "headers_too_large"),
    RAW("a chunk extension of a megabyte", CHAT AUTH "Transfer-Encoding: chunked\r\n\r\n1;", "x",
        MIB, "\r\n", 431, "headers_too_large"),
};

static char *text_of(const struct repeated *r, size_t *ret_n)
{
    static char kib64[8 + 65536 + 2 + 1];
    struct str piece = str_from(r->piece), before = str_from(r->before), after = str_from(r->after);
    char *text = malloc(TEXT_MAX_BYTES), *at = text;

    assert_non_null(text);
    if (str_is(piece, "$64K")) {
        memset(kib64, 'x', sizeof kib64 - 1);
        memcpy(kib64, "010000\r\n", 8);
        memcpy(kib64 + 8 + 65536, "\r\n", 2);
        piece = str_from(kib64);
    }
    assert_true(before.n + r->n * piece.n + after.n <= TEXT_MAX_BYTES);
    memcpy(at, before.p, before.n);
    at += before.n;
    for (size_t i = 0; i < r->n; i++, at += piece.n)
        memcpy(at, piece.p, piece.n);
    memcpy(at, after.p, after.n);
    *ret_n = (size_t)(at - text) + after.n;
    return text;
}

static void what_is_too_large_or_too_deep_is_told_its_limit(void **state)
{
    struct bad_world b;
    (void)state;

    bad_world_up(&b);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bad_request row = rows[i].row;
        char *text = text_of(&rows[i], &row.text.n);

        row.text.p = text;
        bad_request_send(&b, &row, false);
        bad_request_send(&b, &row, true);
        free(text);
    }
    bad_world_down(&b);
}

/* --- what never becomes whole --- */

enum { HEAD_TIMEOUT_MS = 10000, IDLE_TIMEOUT_MS = 60000, LINGER_MS = 3000 };

/* A good request, whose first `n` bytes somebody sends. */
static void write_good(const struct bad_world *b, struct buf *out)
{
    buf_init(out, MIB);
    assert_int_equal(buf_printf(out,
                                CHAT "Authorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n%s",
                                b->w->key, sizeof BAD_GOOD_BODY - 1, BAD_GOOD_BODY),
                     0);
}

static void hangs_up(struct fake_consumer *c)
{
    fake_consumer_leave(c);
}

/* It goes on reading, and is told nothing: nobody knows whether it is one. */
static void ends_its_half(struct fake_consumer *c)
{
    fake_consumer_shut(c);
    assert_true(c->ended);
    assert_int_equal(c->in.len, 0);
}

static void falls_silent(struct fake_consumer *c)
{
    fake_world_advance_ms(c->w, HEAD_TIMEOUT_MS);
    assert_int_equal(fake_consumer_status(c), 408);
    assert_true(fake_says(fake_consumer_body(c), "\"code\":\"request_timeout\""));
    fake_world_advance_ms(c->w, LINGER_MS);
    assert_true(c->ended);
}

static void a_request_that_never_becomes_whole_costs_nothing(void **state)
{
    static void (*const ways[])(struct fake_consumer * c) = {hangs_up, ends_its_half, falls_silent};
    struct bad_world b;
    struct buf good;
    (void)state;

    bad_world_up(&b);
    write_good(&b, &good);
    /* From the head's end on the key is looked up, and stays in memory: once the store has noticed
     * that keys were made. */
    for (int i = 0; i < 2; i++) {
        fake_consumer_forget(
            fake_consumer_ask(b.w, &(struct fake_ask){.target = "GET /v1/models", .body = ""}));
        fake_world_advance_ms(b.w, 11000);
    }
    for (size_t i = 0; i < 3 * (good.len - 1); i++) {
        size_t n = i / 3 + 1;
        const struct bad_state before = bad_state_of(&b);
        struct fake_consumer *c =
            fake_consumer_ask(b.w, &(struct fake_ask){.raw = {buf_view(&good).p, n}});
        char name[32];

        snprintf(name, sizeof name, "%zu bytes", n);
        ways[i % 3](c);
        fake_consumer_forget(c);
        fake_provider_heartbeat(b.idle); /* all in all hours go by */
        fake_world_settle(b.w);
        bad_state_check(&b, &before, name, n > 1);
    }
    buf_free(&good);
    bad_world_down(&b);
}

static void who_says_nothing_is_closed_without_a_word(void **state)
{
    struct bad_world b;
    struct fake_consumer *c;
    (void)state;

    bad_world_up(&b);
    c = fake_consumer_ask(b.w, &(struct fake_ask){.raw = STR("")});
    fake_world_advance_ms(b.w, IDLE_TIMEOUT_MS - 1);
    assert_false(c->ended);
    fake_world_advance_ms(b.w, 1);
    assert_true(c->ended);
    assert_int_equal(c->in.len, 0);
    bad_world_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_too_large_or_too_deep_is_told_its_limit),
        cmocka_unit_test(a_request_that_never_becomes_whole_costs_nothing),
        cmocka_unit_test(who_says_nothing_is_closed_without_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
