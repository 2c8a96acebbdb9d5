/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that a provider writes, to the byte, and that the relay sees in them what they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/chunk.h"

enum { OUT_BYTES = 1 << 16 };

static const struct chunk_head head = {STR("chatcmpl-1"), STR("org/\"m\""), 1700000000};

#define HEAD(object)                                                                           \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"" object "\",\"created\":1700000000,\"model\":" \
    "\"org/\\\"m\\\"\",\"choices\":["
#define CHUNK HEAD("chat.completion.chunk")

static int role(struct buf *out)
{
    return chunk_write_role(&head, out);
}

static int content(struct buf *out)
{
    return chunk_write_content(&head, STR("a\"\\\n\x02\xC3\xA9\xF0\x9F\x98\x80</b>"), out);
}

static int no_content(struct buf *out)
{
    return chunk_write_content(&head, STR(""), out);
}

static int broken_content(struct buf *out)
{
    return chunk_write_content(&head, STR("a\xFF\xF0\x9F"), out);
}

static int stop(struct buf *out)
{
    return chunk_write_finish(&head, CHUNK_FINISH_STOP, out);
}

static int length(struct buf *out)
{
    return chunk_write_finish(&head, CHUNK_FINISH_LENGTH, out);
}

static int usage(struct buf *out)
{
    return chunk_write_usage(&head, 5, INT64_C(9007199254740993), out);
}

static int whole(struct buf *out)
{
    return chunk_write_whole(&head, &(struct chunk_message){.content = STR("hi\n")},
                             CHUNK_FINISH_LENGTH, 5, 3, out);
}

static const struct {
    int (*write)(struct buf *out);
    const char *line;
    enum chunk_kind kind;
    bool has_role, has_text, has_finish;
} lines[] = {
    {role,
     CHUNK "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
           "\"finish_reason\":null}]}",
     CHUNK_CONTENT, true, false, false},
    {content,
     CHUNK "{\"index\":0,\"delta\":{\"content\":\"a\\\"\\\\\\n\\u0002\xC3\xA9"
           "\xF0\x9F\x98\x80</b>\"},\"finish_reason\":null}]}",
     CHUNK_CONTENT, false, true, false},
    {no_content, CHUNK "{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":null}]}",
     CHUNK_CONTENT, false, false, false},
    {broken_content,
     CHUNK "{\"index\":0,\"delta\":{\"content\":\"a\xEF\xBF\xBD\xEF\xBF\xBD"
           "\xEF\xBF\xBD\"},\"finish_reason\":null}]}",
     CHUNK_CONTENT, false, true, false},
    {stop, CHUNK "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}", CHUNK_CONTENT, false,
     false, true},
    {length, CHUNK "{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}", CHUNK_CONTENT,
     false, false, true},
    {usage,
     CHUNK "],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":9007199254740993,"
           "\"total_tokens\":9007199254740998}}",
     CHUNK_USAGE, false, false, false},
    {whole,
     HEAD("chat.completion") "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
                             "\"hi\\n\"},\"finish_reason\":\"length\"}],\"usage\":{"
                             "\"prompt_tokens\":5,\"completion_tokens\":3,"
                             "\"total_tokens\":8}}",
     CHUNK_WHOLE, true, true, true},
};

static void each_line_is_written_to_the_byte_and_seen_for_what_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct chunk_info info;
        struct buf out;

        buf_init(&out, OUT_BYTES);
        assert_int_equal(lines[i].write(&out), 0);
        if (!str_is(buf_view(&out), lines[i].line))
            fail_msg("%.*s", STR_ARG(buf_view(&out)));
        chunk_inspect(buf_view(&out), &info);
        assert_int_equal(info.kind, lines[i].kind);
        assert_int_equal(info.has_role, lines[i].has_role);
        assert_int_equal(info.has_text, lines[i].has_text);
        assert_int_equal(info.has_finish, lines[i].has_finish);
        assert_int_equal(info.needs_rewrite, info.kind == CHUNK_WHOLE);
        buf_free(&out);
    }
}

static void a_line_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct buf out;

        buf_init(&out, strlen(lines[i].line) - 1);
        assert_int_equal(lines[i].write(&out), ERR_LIMIT);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_written_to_the_byte_and_seen_for_what_it_is),
        cmocka_unit_test(a_line_that_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
