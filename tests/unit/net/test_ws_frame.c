/* SPDX-License-Identifier: Apache-2.0 */
/* Framing without I/O (RFC 6455 section 5): what a byte stream means must not depend on how it was
 * cut into pieces. */
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/ws.h"

enum { MAX_MESSAGE_BYTES = 70000, TRACE_BYTES = 4096 };

/* --- a stream in, a text of events out --- */

/* "text:hello ping: close:..." and at the end "!code" when the parser refused. Long payloads are
 * given by length and sum. */
struct trace {
    char text[TRACE_BYTES];
    size_t n;
};

static const char *const opcode_names[] = {[WS_TEXT] = "text",
                                           [WS_BINARY] = "binary",
                                           [WS_CLOSE] = "close",
                                           [WS_PING] = "ping",
                                           [WS_PONG] = "pong"};

static void trace_message(struct trace *t, const struct ws_message *m)
{
    unsigned long sum = 0;

    assert_true(m->opcode == WS_TEXT || m->opcode == WS_BINARY || m->opcode >= WS_CLOSE);
    for (size_t i = 0; i < m->payload.n; i++)
        sum = sum * 31 + (unsigned char)m->payload.p[i];
    if (m->payload.n > 40)
        t->n += (size_t)snprintf(t->text + t->n, TRACE_BYTES - t->n, "%s:%zu/%lx ",
                                 opcode_names[m->opcode], m->payload.n, sum);
    else
        t->n += (size_t)snprintf(t->text + t->n, TRACE_BYTES - t->n, "%s:%.*s ",
                                 opcode_names[m->opcode], STR_ARG(m->payload));
    assert_true(t->n < TRACE_BYTES);
}

/* False when the parser refused. */
static bool drain(struct ws_parser *p, struct buf *in, struct trace *t)
{
    struct ws_message m;
    int code = 0, rc;

    while ((rc = ws_parser_next(p, in, &m, &code)) > 0)
        trace_message(t, &m);
    if (rc < 0)
        t->n += (size_t)snprintf(t->text + t->n, TRACE_BYTES - t->n, "!%d %d", code, rc);
    return rc == 0;
}

/* The pieces end at each of `cuts` (ascending, ended by the stream's length). */
static void trace_pieces(struct str stream, const size_t *cuts, bool expect_mask,
                         struct trace *ret_trace)
{
    struct ws_parser p;
    struct buf in;
    size_t at = 0;

    *ret_trace = (struct trace){0};
    ws_parser_init(&p, expect_mask, MAX_MESSAGE_BYTES);
    buf_init(&in, MAX_MESSAGE_BYTES * 4);
    for (;; cuts++) {
        assert_int_equal(buf_append(&in, stream.p + at, *cuts - at), 0);
        at = *cuts;
        if (!drain(&p, &in, ret_trace) || at == stream.n)
            break;
    }
    buf_free(&in);
    ws_parser_free(&p);
}

static void trace_whole(struct str stream, bool expect_mask, struct trace *ret_trace)
{
    trace_pieces(stream, &stream.n, expect_mask, ret_trace);
}

/* --- frames by hand --- */

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* One frame: first byte as given, length in 0, 2 or 8 further bytes, masked or not. */
static void put_frame(struct buf *b, unsigned first, size_t length_bytes, bool masked,
                      struct str payload)
{
    uint8_t head[14] = {(uint8_t)first, (uint8_t)(masked ? 0x80 : 0)};
    size_t n = 2;
    char *at;

    head[1] |= (uint8_t)(length_bytes == 8 ? 127 : length_bytes == 2 ? 126 : payload.n);
    for (size_t i = length_bytes; i > 0; i--)
        head[n++] = (uint8_t)((uint64_t)payload.n >> (8 * (i - 1)));
    assert_int_equal(buf_append(b, head, n), 0);
    if (masked)
        assert_int_equal(buf_append(b, mask, 4), 0);
    at = buf_reserve(b, payload.n);
    assert_non_null(at);
    for (size_t i = 0; i < payload.n; i++)
        at[i] = (char)(payload.p[i] ^ (masked ? mask[i % 4] : 0));
    buf_commit(b, payload.n);
}

static void text_frame(struct buf *b, unsigned first, const char *payload)
{
    put_frame(b, first, 0, true, str_from(payload));
}

/* --- the examples of RFC 6455 section 5.7 --- */

static void the_examples_of_the_rfc_are_understood_and_written(void **state)
{
    static const char single[] = "\x81\x05\x48\x65\x6c\x6c\x6f";
    static const char masked[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    static const char fragments[] = "\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f";
    static const char ping[] = "\x89\x05\x48\x65\x6c\x6c\x6f";
    static const char masked_pong[] = "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    static const struct {
        struct str bytes;
        bool masked;
        const char *events;
    } cases[] = {{STR(single), false, "text:Hello "},
                 {STR(masked), true, "text:Hello "},
                 {STR(fragments), false, "text:Hello "},
                 {STR(ping), false, "ping:Hello "},
                 {STR(masked_pong), true, "pong:Hello "}};
    struct buf out;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trace t;

        trace_whole(cases[i].bytes, cases[i].masked, &t);
        assert_string_equal(t.text, cases[i].events);
    }
    buf_init(&out, 100);
    assert_int_equal(ws_frame_append(&out, WS_TEXT, STR("Hello"), NULL), 0);
    assert_true(str_eq(buf_view(&out), STR(single)));
    buf_clear(&out);
    assert_int_equal(ws_frame_append(&out, WS_TEXT, STR("Hello"), mask), 0);
    assert_true(str_eq(buf_view(&out), STR(masked)));
    buf_clear(&out);
    assert_int_equal(ws_frame_append(&out, WS_PONG, STR("Hello"), mask), 0);
    assert_true(str_eq(buf_view(&out), STR(masked_pong)));
    buf_free(&out);
}

static void the_accept_key_is_that_of_the_rfc(void **state)
{
    char accept[29];

    (void)state;
    ws_accept_key(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* --- lengths --- */

static void every_length_form_is_written_at_its_minimum_and_read_back(void **state)
{
    static const struct {
        size_t payload, head;
    } cases[] = {{0, 2},   {1, 2},     {125, 2},    {126, 4},
                 {127, 4}, {65535, 4}, {65536, 10}, {70000, 10}};
    static char payload[MAX_MESSAGE_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (char)(i * 7 % 251);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int masked = 0; masked < 2; masked++) {
            struct str p = {payload, cases[i].payload};
            struct ws_parser parser;
            struct ws_message m;
            struct buf b;
            int code;

            buf_init(&b, 80000);
            assert_int_equal(ws_frame_append(&b, WS_BINARY, p, masked ? mask : NULL), 0);
            assert_int_equal(b.len, cases[i].head + (masked ? 4 : 0) + p.n);
            ws_parser_init(&parser, masked, MAX_MESSAGE_BYTES);
            assert_int_equal(ws_parser_next(&parser, &b, &m, &code), 1);
            assert_int_equal(m.opcode, WS_BINARY);
            assert_true(str_eq(m.payload, p));
            assert_int_equal(ws_parser_next(&parser, &b, &m, &code), 0);
            assert_int_equal(b.len, 0);
            ws_parser_free(&parser);
            buf_free(&b);
        }
    }
}

static void a_length_in_a_longer_form_than_needed_is_understood(void **state)
{
    struct trace t;
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    put_frame(&b, 0x81, 2, true, STR("short"));
    put_frame(&b, 0x81, 8, true, STR("shorter"));
    trace_whole(buf_view(&b), true, &t);
    assert_string_equal(t.text, "text:short text:shorter ");
    buf_free(&b);
}

static void a_frame_that_does_not_fit_the_output_is_not_begun(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    assert_int_equal(ws_frame_append(&b, WS_TEXT, STR("12345"), mask), ERR_LIMIT);
    assert_int_equal(b.len, 0);
    assert_int_equal(ws_frame_append(&b, WS_TEXT, STR("1234"), mask), 0);
    assert_int_equal(b.len, 10);
    buf_free(&b);
}

/* --- streams, and what they mean --- */

struct piece {
    unsigned first; /* FIN, reserved bits, opcode */
    const char *payload;
};

static const struct {
    const char *what;
    struct piece pieces[6];
    const char *events;
} streams[] = {
    {"two messages", {{0x81, "one"}, {0x82, "two"}}, "text:one binary:two "},
    {"empty messages", {{0x81, ""}, {0x82, ""}, {0x89, ""}}, "text: binary: ping: "},
    {"three fragments", {{0x01, "a"}, {0x00, "b"}, {0x80, "c"}}, "text:abc "},
    {"empty fragments", {{0x01, ""}, {0x00, ""}, {0x00, "x"}, {0x80, ""}}, "text:x "},
    {"a character cut by fragments", {{0x01, "\xe2"}, {0x00, "\x82"}, {0x80, "\xac"}}, "text:€ "},
    {"a ping between fragments",
     {{0x02, "a"}, {0x89, "p"}, {0x80, "b"}, {0x81, "c"}},
     "ping:p binary:ab text:c "},
    {"fragments twice", {{0x01, "a"}, {0x80, "b"}, {0x01, "c"}, {0x80, "d"}}, "text:ab text:cd "},
    {"a close with code and reason", {{0x88, "\x03\xe8 bye"}}, "close:\x03\xe8 bye "},
    {"a close without code", {{0x88, ""}}, "close: "},
    {"an application's close code", {{0x88, "\x0f\xa0"}}, "close:\x0f\xa0 "}, /* 4000 */
    {"a library's close code", {{0x88, "\x0b\xb8"}}, "close:\x0b\xb8 "},      /* 3000 */
    {"reserved bit 1", {{0x81, "ok"}, {0xC1, "x"}}, "text:ok !1002 -10"},
    {"reserved bit 2", {{0xA1, "x"}}, "!1002 -10"},
    {"reserved bit 3", {{0x91, "x"}}, "!1002 -10"},
    {"an unknown data opcode", {{0x83, "x"}}, "!1002 -10"},
    {"the last unknown data opcode", {{0x87, "x"}}, "!1002 -10"},
    {"an unknown control opcode", {{0x8B, "x"}}, "!1002 -10"},
    {"the last unknown control opcode", {{0x8F, "x"}}, "!1002 -10"},
    {"a fragmented ping", {{0x09, "x"}}, "!1002 -10"},
    {"a fragmented close", {{0x08, "\x03\xe8"}}, "!1002 -10"},
    {"a continuation of nothing", {{0x80, "x"}}, "!1002 -10"},
    {"a continuation after the end", {{0x01, "a"}, {0x80, "b"}, {0x80, "c"}}, "text:ab !1002 -10"},
    {"a message inside a message", {{0x01, "a"}, {0x81, "b"}}, "!1002 -10"},
    {"text that is not UTF-8", {{0x81, "a\xff"}}, "!1007 -5"},
    {"text cut in a character", {{0x81, "\xe2\x82"}}, "!1007 -5"},
    {"fragments that are not UTF-8", {{0x01, "\xe2\x82"}, {0x80, "x"}}, "!1007 -5"},
    {"binary that is not UTF-8", {{0x82, "\xff"}}, "binary:\xff "},
    {"a close with half a code", {{0x88, "\x03"}}, "!1002 -10"},
    {"close code 999", {{0x88, "\x03\xe7"}}, "!1002 -10"},
    {"close code 1005, never sent", {{0x88, "\x03\xed"}}, "!1002 -10"},
    {"close code 1006, never sent", {{0x88, "\x03\xee"}}, "!1002 -10"},
    {"close code 1015, never sent", {{0x88, "\x03\xf7"}}, "!1002 -10"},
    {"close code 2999, not registered", {{0x88, "\x0b\xb7"}}, "!1002 -10"},
    {"close code 5000", {{0x88, "\x13\x88"}}, "!1002 -10"},
    {"a close reason that is not UTF-8", {{0x88, "\x03\xe8\xff"}}, "!1007 -5"},
};

static void build(struct buf *b, const struct piece pieces[6])
{
    for (size_t i = 0; i < 6 && pieces[i].payload; i++)
        text_frame(b, pieces[i].first, pieces[i].payload);
}

static void a_stream_of_frames_means_what_the_rfc_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct trace t;
        struct buf b;

        buf_init(&b, 1000);
        build(&b, streams[i].pieces);
        trace_whole(buf_view(&b), true, &t);
        if (strcmp(t.text, streams[i].events) != 0)
            fail_msg("%s: `%s` instead of `%s`", streams[i].what, t.text, streams[i].events);
        buf_free(&b);
    }
}

static void a_stream_cut_at_any_two_places_means_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct buf b;

        buf_init(&b, 1000);
        build(&b, streams[i].pieces);
        for (size_t one = 0; one <= b.len; one++) {
            for (size_t two = one; two <= b.len; two++) {
                const size_t cuts[] = {one, two, b.len};
                struct trace t;

                trace_pieces(buf_view(&b), cuts, true, &t);
                if (strcmp(t.text, streams[i].events) != 0)
                    fail_msg("%s, cut at %zu and %zu: `%s`", streams[i].what, one, two, t.text);
            }
        }
        buf_free(&b);
    }
}

static void a_stream_byte_by_byte_means_the_same(void **state)
{
    size_t cuts[1024];

    (void)state;
    for (size_t i = 0; i < 1024; i++)
        cuts[i] = i + 1;
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct trace t;
        struct buf b;

        buf_init(&b, 1000);
        build(&b, streams[i].pieces);
        trace_pieces(buf_view(&b), cuts, true, &t);
        assert_string_equal(t.text, streams[i].events);
        buf_free(&b);
    }
}

static void every_length_form_survives_every_cut_near_its_head(void **state)
{
    static const size_t sizes[] = {125, 126, 65535, 65536};
    static char payload[65536];

    (void)state;
    memset(payload, 'p', sizeof payload);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct trace whole, t;
        struct buf b;

        buf_init(&b, 70000);
        assert_int_equal(ws_frame_append(&b, WS_TEXT, (struct str){payload, sizes[i]}, mask), 0);
        text_frame(&b, 0x89, "after");
        trace_whole(buf_view(&b), true, &whole);
        assert_non_null(strstr(whole.text, "ping:after"));
        for (size_t cut = 0; cut < 20; cut++) {
            const size_t head[] = {cut, b.len}, tail[] = {b.len - cut, b.len};

            trace_pieces(buf_view(&b), head, true, &t);
            assert_string_equal(t.text, whole.text);
            trace_pieces(buf_view(&b), tail, true, &t);
            assert_string_equal(t.text, whole.text);
        }
        buf_free(&b);
    }
}

/* --- masks and limits --- */

static void masks_are_required_from_clients_and_refused_from_servers(void **state)
{
    static const unsigned firsts[] = {0x81, 0x82, 0x88, 0x89, 0x8A};

    (void)state;
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        for (int masked = 0; masked < 2; masked++) {
            struct trace t;
            struct buf b;

            buf_init(&b, 100);
            put_frame(&b, firsts[i], 0, masked, STR(""));
            trace_whole(buf_view(&b), !masked, &t);
            assert_string_equal(t.text, "!1002 -10");
            trace_whole(buf_view(&b), masked, &t);
            assert_null(strchr(t.text, '!'));
            buf_free(&b);
        }
    }
}

static void masking_twice_gives_the_payload_back_at_every_length_and_alignment(void **state)
{
    (void)state;
    for (size_t n = 0; n < 40; n++) {
        for (size_t shift = 0; shift < 8; shift++) {
            char text[64], original[64];

            for (size_t i = 0; i < 64; i++)
                text[i] = original[i] = (char)(i * 3);
            ws_mask(text + shift, n, mask);
            for (size_t i = 0; i < n; i++)
                assert_int_equal((uint8_t)text[shift + i],
                                 (uint8_t)original[shift + i] ^ mask[i % 4]);
            assert_memory_equal(text, original, shift);
            assert_memory_equal(text + shift + n, original + shift + n, 64 - shift - n);
            ws_mask(text + shift, n, mask);
            assert_memory_equal(text, original, 64);
        }
    }
}

static void a_message_over_the_limit_is_refused_at_its_header(void **state)
{
    static const struct {
        uint8_t head[14];
        size_t n;
    } cases[] = {
        {{0x82, 0xfe, 0x00, 0xc9, 1, 2, 3, 4}, 8},                          /* 201 */
        {{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}, 14},             /* 65536 */
        {{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 14}, /* 2^64 - 1 */
        {{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 14},
        {{0x02, 0xfe, 0x00, 0xc9, 1, 2, 3, 4}, 8}, /* also as a first fragment */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ws_parser p;
        struct ws_message m;
        struct buf in;
        int code = 0;

        ws_parser_init(&p, true, 200);
        buf_init(&in, 100);
        assert_int_equal(buf_append(&in, cases[i].head, cases[i].n), 0);
        assert_int_equal(ws_parser_next(&p, &in, &m, &code), ERR_LIMIT);
        assert_int_equal(code, WS_CLOSE_TOO_BIG);
        buf_free(&in);
        ws_parser_free(&p);
    }
}

static void fragments_are_counted_together_against_the_limit(void **state)
{
    static const struct {
        size_t first, second;
        int rc;
    } cases[] = {
        {100, 100, 1}, {100, 101, ERR_LIMIT}, {200, 0, 1}, {200, 1, ERR_LIMIT}, {0, 200, 1}};
    char payload[201] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ws_parser p;
        struct ws_message m;
        struct buf in;
        int code = 0;

        ws_parser_init(&p, true, 200);
        buf_init(&in, 1000);
        put_frame(&in, 0x02, 2, true, (struct str){payload, cases[i].first});
        put_frame(&in, 0x80, 2, true, (struct str){payload, cases[i].second});
        if (cases[i].rc < 0)
            in.len -= cases[i].second; /* seen at the header */
        assert_int_equal(ws_parser_next(&p, &in, &m, &code), cases[i].rc);
        if (cases[i].rc < 0)
            assert_int_equal(code, WS_CLOSE_TOO_BIG);
        else
            assert_int_equal(m.payload.n, 200);
        buf_free(&in);
        ws_parser_free(&p);
    }
}

static void a_control_frame_of_more_than_125_bytes_breaks_the_protocol(void **state)
{
    static const unsigned firsts[] = {0x88, 0x89, 0x8A};
    char payload[126];

    (void)state;
    memset(payload, 'x', sizeof payload);
    memcpy(payload, "\x03\xe8", 2);
    for (size_t i = 0; i < 3; i++) {
        struct trace t;
        struct buf b;

        buf_init(&b, 400);
        put_frame(&b, firsts[i], 0, true, (struct str){payload, 125});
        trace_whole(buf_view(&b), true, &t);
        assert_null(strchr(t.text, '!'));
        buf_clear(&b);
        put_frame(&b, firsts[i], 2, true, (struct str){payload, 126});
        trace_whole(buf_view(&b), true, &t);
        assert_string_equal(t.text, "!1002 -10");
        buf_free(&b);
    }
}

static void what_held_a_large_fragmented_message_is_given_back(void **state)
{
    static char text[60000];
    struct ws_parser p;
    struct ws_message m;
    struct buf in;
    int code = 0;

    (void)state;
    memset(text, 't', sizeof text);
    ws_parser_init(&p, false, MAX_MESSAGE_BYTES);
    buf_init(&in, 2 * MAX_MESSAGE_BYTES);
    assert_int_equal(ws_frame_append(&in, WS_TEXT, (struct str){text, sizeof text}, NULL), 0);
    ((char *)in.mem)[0] = WS_TEXT; /* not the last */
    assert_int_equal(buf_append(&in, "\x80\x01x", 3), 0);
    assert_int_equal(ws_parser_next(&p, &in, &m, &code), 1);
    assert_int_equal(m.payload.n, sizeof text + 1);
    assert_int_equal(ws_parser_next(&p, &in, &m, &code), 0);
    assert_int_equal(p.message.cap, 0);
    ws_parser_free(&p);
    buf_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc_are_understood_and_written),
        cmocka_unit_test(the_accept_key_is_that_of_the_rfc),
        cmocka_unit_test(every_length_form_is_written_at_its_minimum_and_read_back),
        cmocka_unit_test(a_length_in_a_longer_form_than_needed_is_understood),
        cmocka_unit_test(a_frame_that_does_not_fit_the_output_is_not_begun),
        cmocka_unit_test(a_stream_of_frames_means_what_the_rfc_says),
        cmocka_unit_test(a_stream_cut_at_any_two_places_means_the_same),
        cmocka_unit_test(a_stream_byte_by_byte_means_the_same),
        cmocka_unit_test(every_length_form_survives_every_cut_near_its_head),
        cmocka_unit_test(masks_are_required_from_clients_and_refused_from_servers),
        cmocka_unit_test(masking_twice_gives_the_payload_back_at_every_length_and_alignment),
        cmocka_unit_test(a_message_over_the_limit_is_refused_at_its_header),
        cmocka_unit_test(fragments_are_counted_together_against_the_limit),
        cmocka_unit_test(a_control_frame_of_more_than_125_bytes_breaks_the_protocol),
        cmocka_unit_test(what_held_a_large_fragmented_message_is_given_back),
    };

    return cmocka_run_group_tests_name("ws_frame", tests, NULL, NULL);
}
