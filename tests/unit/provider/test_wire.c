/* SPDX-License-Identifier: Apache-2.0 */
/* What daemon and engine say to each other, and what neither may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "provider/wire/wire.h"

enum { FRAMES_BYTES = 16 << 20 };

static struct buf frame_of(const struct wire_msg *m)
{
    struct buf out;

    buf_init(&out, FRAMES_BYTES);
    assert_int_equal(wire_append(&out, m), 0);
    return out;
}

static const struct wire_msg text_event = {.type = WIRE_EVENT,
                                           .event = {.kind = ENGINE_TEXT,
                                                     .tag = UINT64_C(0xFEDCBA9876543210),
                                                     .text = {"h\xC3\xA9llo", 6},
                                                     .tokens = 3,
                                                     .prompt_tokens = 42,
                                                     .completion_tokens = 7,
                                                     .finish = CHUNK_FINISH_LENGTH,
                                                     .code = ERR_LIMIT}};

static void an_event_comes_over_whole(void **state)
{
    struct buf out = frame_of(&text_event);
    struct wire_msg m;
    size_t n = 0;

    (void)state;
    assert_int_equal(wire_next(buf_view(&out), WIRE_ENGINE, &m, &n), 1);
    assert_int_equal(n, out.len);
    assert_int_equal(m.type, WIRE_EVENT);
    assert_int_equal(m.event.kind, ENGINE_TEXT);
    assert_true(m.event.tag == text_event.event.tag);
    assert_true(str_eq(m.event.text, text_event.event.text));
    assert_int_equal(m.event.tokens, 3);
    assert_int_equal(m.event.prompt_tokens, 42);
    assert_int_equal(m.event.completion_tokens, 7);
    assert_int_equal(m.event.finish, CHUNK_FINISH_LENGTH);
    assert_int_equal(m.event.code, ERR_LIMIT);
    buf_free(&out);
}

static void what_is_to_be_loaded_comes_over_whole(void **state)
{
    const struct wire_msg open = {.type = WIRE_OPEN,
                                  .open = {.version = STR("1.2"),
                                           .model_path = STR("/m/x.gguf"),
                                           .slots = 8,
                                           .context_tokens = 4096,
                                           .threads = 2,
                                           .invariant = true,
                                           .max_waiting = 32,
                                           .seed = UINT64_MAX,
                                           .memory_growth_bytes = INT64_C(2) << 30}};
    struct buf out = frame_of(&open);
    struct wire_msg m;
    size_t n;

    (void)state;
    assert_int_equal(wire_next(buf_view(&out), WIRE_DAEMON, &m, &n), 1);
    assert_true(str_is(m.open.version, "1.2") && str_is(m.open.model_path, "/m/x.gguf"));
    assert_int_equal(m.open.slots, 8);
    assert_int_equal(m.open.context_tokens, 4096);
    assert_int_equal(m.open.threads, 2);
    assert_true(m.open.invariant && m.open.seed == UINT64_MAX);
    assert_int_equal(m.open.max_waiting, 32);
    assert_true(m.open.memory_growth_bytes == INT64_C(2) << 30);
    buf_free(&out);
}

static void a_part_of_a_frame_is_waited_for(void **state)
{
    struct buf out = frame_of(&text_event);
    struct wire_msg m;
    size_t n;

    (void)state;
    for (size_t i = 0; i < out.len; i++)
        assert_int_equal(wire_next((struct str){buf_view(&out).p, i}, WIRE_ENGINE, &m, &n), 0);
    buf_free(&out);
}

static void frames_follow_one_another(void **state)
{
    const struct wire_msg load = {.type = WIRE_LOAD, .load = {.running = 2, .forward_passes = 9}};
    struct buf out = frame_of(&text_event);
    struct wire_msg m;
    size_t n;

    (void)state;
    assert_int_equal(wire_append(&out, &load), 0);
    assert_int_equal(wire_next(buf_view(&out), WIRE_ENGINE, &m, &n), 1);
    buf_consume(&out, n);
    assert_int_equal(wire_next(buf_view(&out), WIRE_ENGINE, &m, &n), 1);
    assert_int_equal(m.type, WIRE_LOAD);
    assert_int_equal(m.load.running, 2);
    assert_int_equal(m.load.forward_passes, 9);
    buf_consume(&out, n);
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

/* A good event's frame with one byte changed: `at` counts from its beginning. */
static int judge_changed(size_t at, char to)
{
    struct buf out = frame_of(&text_event);
    struct wire_msg m;
    size_t n;
    int rc;

    ((char *)buf_view(&out).p)[at] = to;
    rc = wire_next(buf_view(&out), WIRE_ENGINE, &m, &n);
    buf_free(&out);
    return rc;
}

enum { AT_KIND = 5, AT_TEXT_LENGTH = 5 + 16, AT_TEXT = 5 + 20, AT_TOKENS = 5 + 26 };

static void what_the_table_does_not_allow_is_a_broken_protocol(void **state)
{
    (void)state;
    assert_int_equal(judge_changed(4, WIRE_TYPES), ERR_PROTOCOL);
    assert_int_equal(judge_changed(4, (char)0xFF), ERR_PROTOCOL);
    assert_int_equal(judge_changed(4, WIRE_LOAD), ERR_PROTOCOL); /* too long for it */
    assert_int_equal(judge_changed(3, 1), ERR_PROTOCOL);         /* 16 MiB */
    assert_int_equal(judge_changed(0, 1), ERR_PROTOCOL);         /* ends inside of a field */
    assert_int_equal(judge_changed(AT_KIND, ENGINE_FAILED + 1), ERR_PROTOCOL);
    assert_int_equal(judge_changed(AT_TEXT_LENGTH, 7), ERR_PROTOCOL);
    assert_int_equal(judge_changed(AT_TEXT_LENGTH + 3, (char)0x80), ERR_PROTOCOL);
    assert_int_equal(judge_changed(AT_TEXT, (char)0xC3), ERR_PROTOCOL);       /* no UTF-8 */
    assert_int_equal(judge_changed(AT_TOKENS + 7, (char)0xFF), ERR_PROTOCOL); /* negative */
    assert_int_equal(judge_changed(AT_TEXT, 'x'), 1);
}

static void each_end_may_say_only_its_own(void **state)
{
    struct buf out = frame_of(&text_event);
    struct wire_msg m;
    size_t n;

    (void)state;
    assert_int_equal(wire_next(buf_view(&out), WIRE_DAEMON, &m, &n), ERR_PROTOCOL);
    buf_free(&out);
}

static void what_is_out_of_bounds_is_not_written(void **state)
{
    char *body = calloc(1, WIRE_BODY_MAX_BYTES + 1);
    struct wire_msg m = {.type = WIRE_SUBMIT, .submit = {1, {body, WIRE_BODY_MAX_BYTES + 1}}};
    struct buf out;

    (void)state;
    buf_init(&out, FRAMES_BYTES);
    assert_int_equal(wire_append(&out, &m), ERR_RANGE);
    m.submit.body.n--;
    assert_int_equal(wire_append(&out, &m), 0);
    buf_free(&out);
    buf_init(&out, 10);
    assert_int_equal(wire_append(&out, &text_event), ERR_LIMIT);
    assert_int_equal(out.len, 0);
    buf_free(&out);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_comes_over_whole),
        cmocka_unit_test(what_is_to_be_loaded_comes_over_whole),
        cmocka_unit_test(a_part_of_a_frame_is_waited_for),
        cmocka_unit_test(frames_follow_one_another),
        cmocka_unit_test(what_the_table_does_not_allow_is_a_broken_protocol),
        cmocka_unit_test(each_end_may_say_only_its_own),
        cmocka_unit_test(what_is_out_of_bounds_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
