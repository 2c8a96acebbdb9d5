/* SPDX-License-Identifier: Apache-2.0 */
/* What is no HTTP/1.1, or could be read in two ways (request smuggling, RFC 9112 §11.2), or ends
 * too early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_bad_request.h"

#define AUTH   "Authorization: Bearer $KEY\r\n"
#define LENGTH "Content-Length: $LENGTH\r\n"
#define START  "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\n"
#define CHAT   START LENGTH AUTH

/* A whole head with a good body behind; a whole request; a chunked body. */
#define HEAD(name, text, status)                                         \
    {                                                                    \
        name, BAD_HEAD, STR(text), status, "invalid_request_error", NULL \
    }
#define RAW(name, text, status)                                         \
    {                                                                   \
        name, BAD_RAW, STR(text), status, "invalid_request_error", NULL \
    }
#define CHUNKS(name, text) RAW(name, START AUTH "Transfer-Encoding: chunked\r\n\r\n" text, 400)
#define LINE(name, line)   HEAD(name, CHAT line "\r\n", 400)

static const struct bad_request start_lines[] = {
    RAW("an unknown method", "BREW /health HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    RAW("a method in small letters", "get /health HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    RAW("no method", " /health HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    RAW("no target", "GET  HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    RAW("no version", "GET /health\r\nHost: test\r\n\r\n", 505),
    RAW("HTTP/0.9", "GET /health HTTP/0.9\r\nHost: test\r\n\r\n", 505),
    RAW("HTTP/1.2", "GET /health HTTP/1.2\r\nHost: test\r\n\r\n", 505),
    RAW("HTTP/2.0", "GET /health HTTP/2.0\r\nHost: test\r\n\r\n", 505),
    RAW("HTTP/9.9", "GET /health HTTP/9.9\r\nHost: test\r\n\r\n", 505),
    RAW("HTTP/x.y", "GET /health HTTP/x.y\r\nHost: test\r\n\r\n", 505),
    RAW("HTTP/1.1 and more", "GET /health HTTP/1.1 x\r\nHost: test\r\n\r\n", 400),
    RAW("another protocol", "GET /health FTP/1.1\r\nHost: test\r\n\r\n", 400),
    RAW("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    RAW("a TLS client", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", 400),
    RAW("an SSH client", "SSH-2.0-OpenSSH_9.2\r\n", 400),
    RAW("an SMTP client", "EHLO test\r\n", 400),
    RAW("a NUL", "\0", 400),
    RAW("a NUL in the target", "GET /he\0alth HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    RAW("a blank in the target", "GET /he alth HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    RAW("a control character in the target", "GET /\x01 HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    RAW("a target that is no path", "GET health HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    RAW("lines that end without CR", "GET /health HTTP/1.1\nHost: test\n\n", 400),
    RAW("lines that end without LF", "GET /health HTTP/1.1\rHost: test\r\r", 400),
};

static const struct bad_request fields[] = {
    RAW("no Host", "GET /health HTTP/1.1\r\n\r\n", 400),
    LINE("two Hosts", "Host: other"),
    LINE("a folded line", "X-A: b\r\n c"),
    LINE("a folded line of tabs", "X-A: b\r\n\tc"),
    LINE("no colon", "X-A"),
    LINE("a blank before the colon", "X-A : b"),
    LINE("a blank before the name", " X-A: b"),
    LINE("no name", ": b"),
    LINE("a blank in the name", "X A: b"),
    LINE("a NUL in the name", "X\0A: b"),
    LINE("a NUL in the value", "X-A: b\0c"),
    LINE("a NUL in an Idempotency-Key", "Idempotency-Key: b\0c"),
    LINE("a control character in the value", "X-A: b\x01"),
    LINE("a lone CR in the value", "X-A: b\rc"),
    LINE("a lone LF behind the value", "X-A: b\nX-B: c"),
    LINE("a name that is no ASCII", "X-\xc3\xa4: b"),
    LINE("a name with a bracket", "X[A]: b"),
};

static const struct bad_request lengths[] = {
    HEAD("length and chunks", CHAT "Transfer-Encoding: chunked\r\n", 400),
    HEAD("chunks and length", START AUTH "Transfer-Encoding: chunked\r\n" LENGTH, 400),
    HEAD("two lengths", CHAT "Content-Length: 5\r\n", 400),
    HEAD("the same length twice", CHAT LENGTH, 400),
    HEAD("two lengths in a line", START AUTH "Content-Length: 5, 5\r\n", 400),
    HEAD("a length of -1", START AUTH "Content-Length: -1\r\n", 400),
    HEAD("a length of +5", START AUTH "Content-Length: +5\r\n", 400),
    HEAD("a length of 5x", START AUTH "Content-Length: 5x\r\n", 400),
    HEAD("a length in hexadecimal", START AUTH "Content-Length: 0x10\r\n", 400),
    HEAD("an empty length", START AUTH "Content-Length:\r\n", 400),
    HEAD("a length with a fraction", START AUTH "Content-Length: 5.0\r\n", 400),
    HEAD("a length of 2^64", START AUTH "Content-Length: 18446744073709551616\r\n", 400),
    HEAD("an unknown coding", START AUTH "Transfer-Encoding: brotli\r\n", 400),
    HEAD("gzip over chunks", START AUTH "Transfer-Encoding: gzip, chunked\r\n", 501),
    HEAD("chunks over gzip", START AUTH "Transfer-Encoding: chunked, gzip\r\n", 400),
    HEAD("chunked twice", START AUTH "Transfer-Encoding: chunked, chunked\r\n", 400),
    HEAD("chunked on two lines",
         START AUTH "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
    HEAD("identity before chunked",
         START AUTH "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", 400),
    HEAD("xchunked", START AUTH "Transfer-Encoding: xchunked\r\n", 400),
    HEAD("an empty coding", START AUTH "Transfer-Encoding:\r\n", 400),
    HEAD("no chunks in HTTP/1.0",
         "POST /v1/chat/completions HTTP/1.0\r\n" AUTH "Transfer-Encoding: chunked\r\n", 400),
    CHUNKS("a size that is none", "xyz\r\nabc\r\n0\r\n\r\n"),
    CHUNKS("a size of -1", "-1\r\nabc\r\n0\r\n\r\n"),
    CHUNKS("a size of 0x3", "0x3\r\nabc\r\n0\r\n\r\n"),
    CHUNKS("an empty size", "\r\nabc\r\n0\r\n\r\n"),
    CHUNKS("a size beyond 64 bits", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    CHUNKS("a chunk longer than its size", "3\r\nabcd\r\n0\r\n\r\n"),
    CHUNKS("a chunk without its end", "3\r\nabc0\r\n\r\n"),
    CHUNKS("a chunk that ends in LF", "3\r\nabc\n0\r\n\r\n"),
    CHUNKS("a size that ends in LF", "3\nabc\r\n0\r\n\r\n"),
    CHUNKS("a blank behind the size", "3 \r\nabc\r\n0\r\n\r\n"),
    CHUNKS("a trailer that is none", "3\r\nabc\r\n0\r\nX\0: y\r\n\r\n"),
};

static const struct bad_request behind[] = {
    RAW("garbage behind a request", "GET /health HTTP/1.1\r\nHost: test\r\n\r\ngarbage\r\n\r\n",
        400),
    RAW("NULs behind a request", "GET /health HTTP/1.1\r\nHost: test\r\n\r\n\0\0\0\0", 400),
    RAW("a body behind a GET", "GET /health HTTP/1.1\r\nHost: test\r\n\r\n{\"a\":1}\r\n\r\n", 400),
    {"a second request without a key", BAD_RAW,
     STR("GET /health HTTP/1.1\r\nHost: test\r\n\r\n" START "Content-Length: 2\r\n\r\n{}"), 401,
     "invalid_api_key", NULL},
    {"a second request with an empty body", BAD_RAW,
     STR("GET /health HTTP/1.1\r\nHost: test\r\n\r\n" START AUTH "Content-Length: 0\r\n\r\n"), 400,
     "invalid_json", NULL},
    {"an empty chunked body", BAD_RAW,
     STR(START AUTH "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, "invalid_json", NULL},
};

/* RFC 6455 §4.2.1, one thing wrong in each. */
#define WS(name, lines, status) \
    RAW(name, "GET /ws/provider HTTP/1.1\r\nHost: test\r\n" lines "\r\n", status)
#define WS_UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define WS_KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define WS_13      "Sec-WebSocket-Version: 13\r\n"

static const struct bad_request upgrades[] = {
    WS("no upgrade", "", 400),
    WS("no Connection", "Upgrade: websocket\r\n" WS_KEY WS_13, 400),
    WS("no Upgrade", "Connection: Upgrade\r\n" WS_KEY WS_13, 400),
    WS("another protocol", "Connection: Upgrade\r\nUpgrade: h2c\r\n" WS_KEY WS_13, 400),
    WS("no key", WS_UPGRADE WS_13, 400),
    WS("a short key", WS_UPGRADE WS_13 "Sec-WebSocket-Key: AAAA\r\n", 400),
    WS("a long key", WS_UPGRADE WS_13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==AAAA\r\n", 400),
    WS("no version", WS_UPGRADE WS_KEY, 400),
    WS("version 8", WS_UPGRADE WS_KEY "Sec-WebSocket-Version: 8\r\n", 426),
    WS("two versions", WS_UPGRADE WS_KEY "Sec-WebSocket-Version: 13, 8\r\n", 426),
    RAW("HTTP/1.0", "GET /ws/provider HTTP/1.0\r\n" WS_UPGRADE WS_KEY WS_13 "\r\n", 400), /* L10 */
    {"a POST", BAD_RAW,
     STR("POST /ws/provider HTTP/1.1\r\nHost: test\r\n" WS_UPGRADE WS_KEY WS_13 "\r\n"), 405,
     "method_not_allowed", NULL},
    {"another path", BAD_RAW,
     STR("GET /ws/other HTTP/1.1\r\nHost: test\r\n" WS_UPGRADE WS_KEY WS_13 "\r\n"), 404,
     "not_found", NULL},
};

#define SEND(rows) bad_requests_send(rows, sizeof(rows) / sizeof(rows)[0])

static void a_start_line_that_is_none_is_answered_and_closed(void **state)
{
    (void)state;
    SEND(start_lines);
}

static void a_field_line_that_is_none_is_400(void **state)
{
    (void)state;
    SEND(fields);
}

static void a_body_whose_end_is_in_doubt_is_not_read(void **state)
{
    (void)state;
    SEND(lengths);
}

static void what_stands_behind_a_request_is_a_request_or_400(void **state)
{
    (void)state;
    SEND(behind);
}

static void a_handshake_with_one_thing_wrong_is_no_websocket(void **state)
{
    (void)state;
    SEND(upgrades);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_line_that_is_none_is_answered_and_closed),
        cmocka_unit_test(a_field_line_that_is_none_is_400),
        cmocka_unit_test(a_body_whose_end_is_in_doubt_is_not_read),
        cmocka_unit_test(what_stands_behind_a_request_is_a_request_or_400),
        cmocka_unit_test(a_handshake_with_one_thing_wrong_is_no_websocket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
