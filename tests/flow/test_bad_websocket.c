/* SPDX-License-Identifier: Apache-2.0 */
/* Providers that break WebSocket (RFC 6455). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_bad_frame.h"

enum { MIB = 1 << 20 };

/* First bytes of frames: FIN 0x80, RSV1 to RSV3 0x40 to 0x10, and the opcode. */
enum { FIN = 0x80, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

#define BEAT "{\"type\":\"heartbeat\",\"status\":\"busy\"}"

#define FRAME(fn, first, text)             \
    static void fn(struct bad_link *b)     \
    {                                      \
        bad_ws_frame(b, first, STR(text)); \
    }
#define BYTES(fn, text)                       \
    static void fn(struct bad_link *b)        \
    {                                         \
        bad_bytes(b, text, sizeof(text) - 1); \
    }

FRAME(sets_rsv1, FIN | 0x40 | TEXT, BEAT)
FRAME(sets_rsv2, FIN | 0x20 | TEXT, BEAT)
FRAME(sets_rsv3, FIN | 0x10 | PING, "")
FRAME(invents_a_data_opcode, FIN | 3, BEAT)
FRAME(invents_another_data_opcode, FIN | 7, BEAT)
FRAME(invents_a_control_opcode, FIN | 11, "")
FRAME(invents_another_control_opcode, FIN | 15, "")
FRAME(goes_on_with_nothing, FIN, BEAT)
FRAME(fragments_a_ping, PING, "x")
FRAME(fragments_a_close, CLOSE, "\x03\xe8")
FRAME(pings_with_126_bytes, FIN | PING,
      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
      "12345678901234567890123456789012345")
FRAME(closes_with_a_byte, FIN | CLOSE, "\x03")
FRAME(closes_with_0, FIN | CLOSE, "\x00\x00")
FRAME(closes_with_999, FIN | CLOSE, "\x03\xe7")
FRAME(closes_with_1005, FIN | CLOSE, "\x03\xed")
FRAME(closes_with_1006, FIN | CLOSE, "\x03\xee")
FRAME(closes_with_5000, FIN | CLOSE, "\x13\x88")
FRAME(closes_without_utf8, FIN | CLOSE, "\x03\xe8\xff")
FRAME(closes_with_1000, FIN | CLOSE, "\x03\xe8")
FRAME(says_no_utf8, FIN | TEXT, "{\"type\":\"heartbeat\",\"status\":\"\xff\"}")
FRAME(says_no_utf8_in_binary, FIN | BINARY, "{\"type\":\"heartbeat\",\"status\":\"\xff\"}")
FRAME(says_garbage_in_binary, FIN | BINARY, "\x00\x01\x02\x03")
FRAME(beats_in_binary, FIN | BINARY, BEAT)
FRAME(pings, FIN | PING, "")
FRAME(pongs_unasked, FIN | PONG, "x")
BYTES(says_it_unmasked, "\x81\x02{}")
BYTES(pings_unmasked, "\x89\x00")
BYTES(speaks_http, "GET / HTTP/1.1\r\nHost: test\r\n\r\n")
BYTES(speaks_tls, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
BYTES(says_nul, "\x00\x00\x00\x00\x00\x00\x00\x00")
BYTES(announces_10_mib_and_a_byte, "\x81\xff\x00\x00\x00\x00\x00\xa0\x00\x01\x01\x02\x03\x04")
BYTES(announces_2_to_the_63, "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04")
BYTES(announces_2_to_the_64, "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04")

static void begins_a_text_within_another(struct bad_link *b)
{
    bad_ws_frame(b, TEXT, STR("{\"type\":"));
    bad_ws_frame(b, FIN | TEXT, STR(BEAT));
}

static void says_no_utf8_in_two_fragments(struct bad_link *b)
{
    bad_ws_frame(b, TEXT, STR("{\"type\":\"heartbeat\",\"status\":\"\xc3"));
    bad_ws_frame(b, FIN, STR("x\"}"));
}

/* A message in fragments that are each allowed, and together 12 MiB. */
static void adds_up_to_12_mib(struct bad_link *b)
{
    char *piece = calloc(1, MIB);

    assert_non_null(piece);
    for (int i = 0; i < 12 && b->bad->ws; i++)
        bad_ws_frame(b, i == 0 ? TEXT : 0, (struct str){piece, MIB});
    free(piece);
}

static void beats_in_fragments_with_a_ping_between(struct bad_link *b)
{
    bad_ws_frame(b, TEXT, STR("{\"type\":\"heart"));
    bad_ws_frame(b, FIN | PING, STR("x"));
    bad_ws_frame(b, 0, STR(""));
    bad_ws_frame(b, FIN, STR("beat\",\"status\":\"busy\"}"));
}

static void beats_byte_by_byte(struct bad_link *b)
{
    static const char frame[] = "\x81\x94\0\0\0\0{\"type\":\"heartbeat\"}";

    for (size_t i = 0; i < sizeof frame - 1; i++)
        bad_bytes(b, frame + i, 1);
}

#define CLOSES(say_, code_)                                                                   \
    {                                                                                         \
        .name = #say_, .when = BAD_ANSWERING, .say = say_, .close = code_, .fate = BAD_BROKEN \
    }
#define FIRST(say_, code_)                                                \
    {                                                                     \
        .name = #say_, .when = BAD_CONNECTED, .say = say_, .close = code_ \
    }
#define HARMLESS(say_)                                    \
    {                                                     \
        .name = #say_, .when = BAD_ANSWERING, .say = say_ \
    }

static const struct bad_frame frames[] = {
    CLOSES(sets_rsv1, 1002),
    CLOSES(sets_rsv2, 1002),
    CLOSES(sets_rsv3, 1002),
    CLOSES(invents_a_data_opcode, 1002),
    CLOSES(invents_another_data_opcode, 1002),
    CLOSES(invents_a_control_opcode, 1002),
    CLOSES(invents_another_control_opcode, 1002),
    CLOSES(goes_on_with_nothing, 1002),
    CLOSES(begins_a_text_within_another, 1002),
    CLOSES(fragments_a_ping, 1002),
    CLOSES(fragments_a_close, 1002),
    CLOSES(pings_with_126_bytes, 1002),
    CLOSES(closes_with_a_byte, 1002),
    CLOSES(closes_with_0, 1002),
    CLOSES(closes_with_999, 1002),
    CLOSES(closes_with_1005, 1002),
    CLOSES(closes_with_1006, 1002),
    CLOSES(closes_with_5000, 1002),
    CLOSES(closes_without_utf8, 1007),
    CLOSES(closes_with_1000, 1000),
    CLOSES(says_it_unmasked, 1002),
    CLOSES(pings_unmasked, 1002),
    CLOSES(speaks_http, 1002),
    CLOSES(speaks_tls, 1002),
    CLOSES(says_nul, 1002),
    CLOSES(says_no_utf8, 1007),
    CLOSES(says_no_utf8_in_binary, 1007),
    CLOSES(says_garbage_in_binary, 1007),
    CLOSES(says_no_utf8_in_two_fragments, 1007),
    CLOSES(announces_10_mib_and_a_byte, 1009),
    CLOSES(announces_2_to_the_63, 1009),
    CLOSES(announces_2_to_the_64, 1009),
    CLOSES(adds_up_to_12_mib, 1009),
    FIRST(speaks_http, 1002),
    FIRST(says_it_unmasked, 1002),
    FIRST(announces_2_to_the_63, 1009),
    FIRST(announces_10_mib_and_a_byte, 1009),
    FIRST(adds_up_to_12_mib, 1009),
    FIRST(beats_in_binary, 1008),
    HARMLESS(beats_in_binary),
    HARMLESS(beats_in_fragments_with_a_ping_between),
    HARMLESS(beats_byte_by_byte),
    HARMLESS(pings),
    HARMLESS(pongs_unasked),
};

static void what_breaks_the_websocket_closes_and_what_does_not_is_read(void **state)
{
    (void)state;
    bad_frames_send(frames, sizeof frames / sizeof frames[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_breaks_the_websocket_closes_and_what_does_not_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
