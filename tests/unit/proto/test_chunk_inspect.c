/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay must know of a chunk, and that a chunk cannot be more than one event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/chunk.h"

/* What is seen, as letters: r role, t text, f finish, u usage, w needs a rewrite. */
static const struct {
    const char *line;
    enum chunk_kind kind;
    const char *seen;
} lines[] = {
    /* what is no content */
    {"data: [DONE]", CHUNK_DONE, ""},
    {"data:[DONE]\r\n\r\n", CHUNK_DONE, ""},
    {"", CHUNK_EMPTY, ""},
    {"data: {}", CHUNK_EMPTY, ""},
    {"data: {\"choices\":[]}", CHUNK_EMPTY, ""},
    {"data: {\"choices\":null}", CHUNK_EMPTY, ""},
    {"data: {\"choices\":[null,1]}", CHUNK_EMPTY, ""},
    {"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3}}", CHUNK_USAGE,
     "u"},
    {"data: {\"choices\":[],\"usage\":null}", CHUNK_EMPTY, "w"},
    {"data: {\"object\":\"chat.completion\",\"choices\":[{\"message\":{\"content\":\"a\"}}]}",
     CHUNK_WHOLE, "tfw"},
    {"data: {\"object\":\"chat.completion\",\"choices\":[{\"message\":{\"content\":\"\"}}]}",
     CHUNK_WHOLE, "fw"},
    {"data: {\"object\":\"chat.completion\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
     CHUNK_WHOLE, "fw"},
    /* what an event stream passes over */
    {"\n\r\n", CHUNK_EMPTY, ""},
    {": comment", CHUNK_EMPTY, ""},
    {": comment\n\n:\n", CHUNK_EMPTY, ""},
    {"event: message\r\nid: 1\nretry: 5", CHUNK_EMPTY, ""},
    /* the provider's engine failed */
    {"data: {\"error\":{\"message\":\"out of memory\"}}", CHUNK_ERROR, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"error\":\"x\"}", CHUNK_ERROR, "t"},
    {"data: {\"object\":\"chat.completion\",\"choices\":[],\"error\":{}}", CHUNK_ERROR, "fw"},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"error\":1}}],\"error\":null}",
     CHUNK_CONTENT, "t"},
    /* deltas */
    {"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}", CHUNK_CONTENT,
     "r"},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}", CHUNK_CONTENT,
     "t"},
    {"data:{ \"choices\" : [ { \"delta\" : { \"content\" : \"a\" } } ] }\n\n", CHUNK_CONTENT, "t"},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"\\\"}],\\\"usage\\\":{\\\\\"}}]}",
     CHUNK_CONTENT, "t"},
    {"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", CHUNK_CONTENT, "f"},
    {"data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}", CHUNK_CONTENT, "t"},
    {"data: {\"choices\":[{\"delta\":{\"tool_calls\":[]}}]}", CHUNK_CONTENT, ""},
    {"data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}", CHUNK_CONTENT, "t"},
    {"data: {\"choices\":[{\"delta\":{\"refusal\":\"no\"}}]}", CHUNK_CONTENT, "t"},
    {"data: {\"choices\":[{\"delta\":{}},{\"delta\":{\"content\":\"b\"}}]}", CHUNK_CONTENT, ""},
    {"data: {\"choices\":[{},{\"finish_reason\":\"length\"}]}", CHUNK_CONTENT, ""},
    {"data: {\"choices\":[null,{\"delta\":{\"content\":\"b\"}}]}", CHUNK_EMPTY, ""},
    {"data: {\"choices\":[[\"{\\\"delta\\\"\",{\"delta\":{\"content\":\"b\"}}]]}", CHUNK_EMPTY, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":7}}]}", CHUNK_CONTENT, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":[{\"function\":{\"name\":\"abc\"}}]}}]}",
     CHUNK_CONTENT, ""},
    {"data: {\"choices\":[{\"delta\":{\"tool_calls\":[7,\"{\"]}}]}", CHUNK_CONTENT, ""},
    {"data: {\"choices\":[{\"message\":{\"content\":\"a\"}}]}", CHUNK_CONTENT, ""},
    {"data: {\"x\":{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}}", CHUNK_EMPTY, ""},
    {"data: {\"choices\":[{\"delta\":{\"c\\u006fntent\":\"a\"}}]}", CHUNK_CONTENT, "t"},
    {"data: {\"choices\":[{\"d\\u0065lta\":{\"content\":\"a\"}}]}", CHUNK_CONTENT, "t"},
    {"data: {\"ch\\u006fices\":[{\"delta\":{\"content\":\"a\"}}]}", CHUNK_CONTENT, "tw"},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"completion_tokens\":1}}",
     CHUNK_CONTENT, "tu"},
    /* what consumers must not see as it is */
    {"data: {\"choices\":[{\"delta\":{\"content\":null}}]}", CHUNK_CONTENT, "w"},
    {"data: {\"choices\":[{\"delta\":{\"role\":null,\"content\":\"a\"}}]}", CHUNK_CONTENT, "t"},
    {"data: {\"choices\":[{\"delta\":{\"tool_calls\":null}}]}", CHUNK_CONTENT, "w"},
    {"data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}", CHUNK_CONTENT, "tw"},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}", CHUNK_CONTENT, "tw"},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"system_fingerprint\":null}",
     CHUNK_CONTENT, "tw"},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"system_fingerprint\":\"fp\"}",
     CHUNK_CONTENT, "t"},
    /* foreign shapes */
    {"data: {\"choices\":[{\"text\":\"a\"}]}", CHUNK_CONTENT, ""},
    {"data: {\"choices\":[{\"delta\":\"a\"}]}", CHUNK_CONTENT, ""},
    {"data: {\"type\":\"response.created\"}", CHUNK_EMPTY, ""},
    /* not a data line with one object */
    {"data:", CHUNK_BAD, ""},
    {"data: [1]", CHUNK_BAD, ""},
    {"data: {", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":", CHUNK_BAD, ""},
    {"{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", CHUNK_BAD, ""},
    {" comment", CHUNK_BAD, ""},
    {": comment\ndata: {\"choices\":[{}]}", CHUNK_BAD, ""},
    {"\ndata: {\"choices\":[{}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{}]}\ndata: {\"choices\":[{}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{}]}\n: comment", CHUNK_BAD, ""},
    {"event: x\ndata: {\"choices\":[{}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{}]} x", CHUNK_BAD, ""},
    {"data: {\"choices\":[{}]}}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{}]}\n\ndata: [DONE]", CHUNK_BAD, ""},
    {"data: {}{\"choices\":[{}]}", CHUNK_BAD, ""},
    /* L5: of two members with one name parsers take either */
    {"data: {\"choices\":[{\"delta\":{\"content\":\"abc\",\"content\":\"\"}}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"abc\",\"c\\u006fntent\":\"\"}}]}", CHUNK_BAD,
     ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"abc\"},\"delta\":{}}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"abc\"}}],\"choices\":[]}", CHUNK_BAD, ""},
    {"data: {\"object\":\"chat.completion\",\"object\":\"chat.completion.chunk\",\"choices\":[{}]}",
     CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"abc\","
     "\"arguments\":\"\"}}]}}]}",
     CHUNK_BAD, ""},
    {"data: "
     "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"abc\"},\"function\":{}}"
     "]}}]}",
     CHUNK_BAD, ""},
    {"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"prompt_tokens\":2}}", CHUNK_BAD, ""},
    {"data: "
     "{\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"x\":{\"a\":1,\"a\":2},\"y\":1,\"y\":2}",
     CHUNK_CONTENT, "t"},
    /* not JSON, however well its brackets match */
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\xFF\"}}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\x01\"}}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\\x\"}}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\\uD800\"}}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\",}}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"},}]}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"x\":tru}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"x\":01}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}]],\"x\":1}", CHUNK_BAD, ""},
    {"data: {\"choices\":[{}],\x0C\"x\":1}", CHUNK_BAD, ""},
    /* a line break is a space in JSON, but the end of a line in an event stream */
    {"data: {\"choices\":\n\n[{\"delta\":{\"content\":\"a\"}}]}", CHUNK_CONTENT, "tw"},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]\r}", CHUNK_CONTENT, "tw"},
};

static void what_matters_of_a_chunk_is_seen(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct str line = str_from(lines[i].line);
        char *copy = malloc(line.n ? line.n : 1); /* exact: a byte read beyond is caught */
        struct chunk_info info;
        char seen[8] = "";
        size_t n = 0;

        memcpy(copy, line.p, line.n);
        memset(&info, 0x5A, sizeof info);
        chunk_inspect((struct str){copy, line.n}, &info);
        if (info.kind != CHUNK_BAD) {
            static const char letters[] = "rtfuw";
            const bool flags[] = {info.has_role, info.has_text, info.has_finish, info.has_usage,
                                  info.needs_rewrite};

            for (size_t f = 0; f < sizeof flags / sizeof flags[0]; f++) {
                if (flags[f])
                    seen[n++] = letters[f];
            }
        }
        if (info.kind != lines[i].kind || strcmp(seen, lines[i].seen) != 0)
            fail_msg("%s: kind %d, seen \"%s\"", lines[i].line, info.kind, seen);
        free(copy);
    }
}

static void the_object_and_its_head_are_spans_of_the_line(void **state)
{
    const struct str line = STR("data: {\"id\":\"chatcmpl-\\\"1\",\"created\":1700000000,\"model\":"
                                "\"org/m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]} \r\n");
    struct chunk_info info;

    (void)state;
    chunk_inspect(line, &info);
    assert_int_equal(info.kind, CHUNK_CONTENT);
    assert_ptr_equal(info.json.p, line.p + 6);
    assert_int_equal(info.json.p[info.json.n - 1], '}');
    assert_int_equal(info.json.n, line.n - 6 - 3);
    assert_true(str_is(info.head.id, "chatcmpl-\\\"1"));
    assert_true(str_is(info.head.model, "org/m"));
    assert_int_equal(info.head.created_s, 1700000000);
}

static const struct {
    const char *usage;
    int64_t prompt, completion;
} usages[] = {
    {"{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}", 5, 3},
    {"{\"completion_tokens\":9007199254740993}", 0, INT64_C(9007199254740993)},
    {"{\"prompt_tokens\":-5,\"completion_tokens\":3.5}", 0, 0},
    {"{\"prompt_tokens\":\"5\",\"completion_tokens\":null}", 0, 0},
    {"{\"prompt_tokens\":99999999999999999999}", 0, 0},
    {"{\"details\":{\"prompt_tokens\":7}}", 0, 0},
    {"{}", 0, 0},
};

static void counts_that_are_no_counts_are_zero(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof usages / sizeof usages[0]; i++) {
        struct chunk_info info;
        struct buf line;

        buf_init(&line, 1024);
        assert_int_equal(buf_printf(&line, "data: {\"choices\":[],\"usage\":%s}", usages[i].usage),
                         0);
        chunk_inspect(buf_view(&line), &info);
        assert_int_equal(info.kind, CHUNK_USAGE);
        assert_int_equal(info.prompt_tokens, usages[i].prompt);
        assert_int_equal(info.completion_tokens, usages[i].completion);
        buf_free(&line);
    }
}

/* Longer than what is parsed on the stack. */
static void a_long_chunk_is_looked_at_as_closely(void **state)
{
    static const struct {
        const char *tail;
        enum chunk_kind kind;
    } tails[] = {{"\"}}]}", CHUNK_CONTENT}, {"\x02\"}}]}", CHUNK_BAD}};

    (void)state;
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        struct chunk_info info;
        struct buf line;

        buf_init(&line, 1 << 20);
        assert_int_equal(
            buf_append_str(&line, STR("data: {\"choices\":[{\"delta\":{\"content\":\"")), 0);
        for (int n = 0; n < 10000; n++)
            assert_int_equal(buf_append_str(&line, STR("word ")), 0);
        assert_int_equal(buf_append_str(&line, str_from(tails[i].tail)), 0);
        chunk_inspect(buf_view(&line), &info);
        assert_int_equal(info.kind, tails[i].kind);
        buf_free(&line);
    }
}

#define DELTA(d) "{\"choices\":[{\"delta\":{" d "}}]}"

/* What was said, in bytes of UTF-8: a token is at least one of them. */
static const struct {
    const char *json;
    size_t bytes;
} texts[] = {
    {DELTA("\"content\":\"abc\""), 3},
    {DELTA("\"content\":\"\""), 0},
    {DELTA("\"content\":null"), 0},
    {DELTA("\"content\":7"), 0},
    {DELTA("\"content\":\"\xC3\xA9\""), 2},
    {DELTA("\"content\":\"\\n\\\"\\\\\""), 3},
    {DELTA("\"content\":\"\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\""), 1 + 2 + 3 + 4},
    {DELTA("\"content\":\"a\",\"reasoning\":\"bc\",\"refusal\":\"d\""), 4},
    {DELTA("\"reasoning\":\"bc\",\"reasoning_content\":\"hidden\""), 2},
    {DELTA("\"reasoning_content\":\"shown\",\"reasoning\":\"\""), 5},
    {DELTA("\"reasoning_content\":\"shown\",\"reasoning\":null"), 5},
    {DELTA("\"content\":[\"abc\",{\"text\":\"abc\"}]"), 0},
    {DELTA("\"content\":[{\"function\":{\"name\":\"abc\"}}]"), 0},
    {DELTA("\"content\":\"a\"},\"message\":{\"content\":\"bc\""), 1},
    {DELTA("\"reasoning_content\":\"hm\""), 2},
    {DELTA("\"role\":\"assistant\",\"x\":\"abc\""), 0},
    {DELTA("\"tool_calls\":[{\"id\":\"call_1\",\"function\":{\"name\":\"f\",\"arguments\":"
           "\"{\\\"a\\\":1}\"}},{\"index\":1,\"function\":{\"arguments\":\"xyz\"}}]"),
     1 + 7 + 3},
    {"{\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"b\"}}]}", 1},
    {"{\"x\":{\"delta\":{\"content\":\"hidden\"}},\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
     1},
    {"{\"object\":\"chat.completion\",\"choices\":[{\"message\":{\"role\":\"assistant\","
     "\"content\":\"abc\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]}}]}",
     4},
};

static void text_is_counted_in_the_bytes_it_stands_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct chunk_info info;
        struct buf line;

        buf_init(&line, 1024);
        assert_int_equal(buf_printf(&line, "data: %s", texts[i].json), 0);
        chunk_inspect(buf_view(&line), &info);
        if (info.text_bytes != texts[i].bytes)
            fail_msg("%s: %zu", texts[i].json, info.text_bytes);
        buf_free(&line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_matters_of_a_chunk_is_seen),
        cmocka_unit_test(the_object_and_its_head_are_spans_of_the_line),
        cmocka_unit_test(a_long_chunk_is_looked_at_as_closely),
        cmocka_unit_test(text_is_counted_in_the_bytes_it_stands_for),
        cmocka_unit_test(counts_that_are_no_counts_are_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
