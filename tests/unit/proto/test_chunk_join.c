/* SPDX-License-Identifier: Apache-2.0 */
/* A stream put together again for a consumer that wants one answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/chunk.h"

enum { REGION_BYTES = 8 << 20, ANSWER_BYTES = 1 << 20, OUT_BYTES = 32 << 20, CHUNKS_MAX = 6 };

#define HEAD        "{\"id\":\"chatcmpl-1\",\"created\":7,\"model\":\"theirs\",\"choices\":["
#define DELTA(d)    HEAD "{\"index\":0,\"delta\":{" d "},\"finish_reason\":null}]}"
#define END(reason) HEAD "{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}]}"
#define CALL(c)     DELTA("\"tool_calls\":[" c "]")

#define X64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct chunk_head ours = {STR("chatcmpl-ours"), STR("ours"), 9};

/* `message` and `finish` of the answer; the rest is the same everywhere. */
static const struct {
    const char *what;
    const char *chunks[CHUNKS_MAX];
    const char *message, *finish;
} streams[] = {
    {"text",
     {DELTA("\"role\":\"assistant\",\"content\":\"\""), DELTA("\"content\":\"Hel\""),
      DELTA("\"content\":\"lo\\n\\u00e9\""), END("stop")},
     "{\"role\":\"assistant\",\"content\":\"Hello\\n\xC3\xA9\"}",
     "stop"},
    {"cut",
     {DELTA("\"content\":\"a\""), END("length")},
     "{\"role\":\"assistant\",\"content\":\"a\"}",
     "length"},
    {"without an end",
     {DELTA("\"content\":\"a\"")},
     "{\"role\":\"assistant\",\"content\":\"a\"}",
     "stop"},
    {"nothing at all", {END("stop")}, "{\"role\":\"assistant\",\"content\":\"\"}", "stop"},
    {"reasoning",
     {DELTA("\"reasoning\":\"h\""), DELTA("\"reasoning_content\":\"m\""),
      DELTA("\"content\":\"a\"")},
     "{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"hm\"}",
     "stop"},
    {"a think block over two chunks",
     {DELTA("\"content\":\"<thi\""), DELTA("\"content\":\"nk>hm</think>a<think>2</think>b\"")},
     "{\"role\":\"assistant\",\"content\":\"ab\",\"reasoning\":\"hm\\n\\n2\"}",
     "stop"},
    {"a think block in capitals",
     {DELTA("\"content\":\"<THINK>hm</Think><a<think\"")},
     "{\"role\":\"assistant\",\"content\":\"<a<think\",\"reasoning\":\"hm\"}",
     "stop"},
    {"a think block that never ends",
     {DELTA("\"content\":\"a<think>b\"")},
     "{\"role\":\"assistant\",\"content\":\"a<think>b\"}",
     "stop"},
    {"tool calls in pieces",
     {CALL(
          "{\"index\":0,\"id\":\"c0\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\"\"}}"),
      CALL("{\"index\":1,\"id\":\"c1\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}"),
      CALL("{\"index\":0,\"function\":{\"arguments\":\":1}\"}}"), END("tool_calls")},
     "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"c0\",\"type\":"
     "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}},{\"id\":\"c1\","
     "\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]}",
     "tool_calls"},
    {"tool calls without numbers or an end",
     {CALL("{\"id\":\"a\",\"function\":{\"name\":\"f\"}},{\"id\":\"b\"}")},
     "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\","
     "\"function\":{\"name\":\"f\",\"arguments\":\"\"}},{\"id\":\"b\",\"type\":\"function\","
     "\"function\":{\"name\":\"\",\"arguments\":\"\"}}]}",
     "tool_calls"},
    {"whole",
     {"{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":7,\"choices\":[{"
      "\"message\":{\"content\":\"all\",\"reasoning\":\"r\"},\"finish_reason\":\"length\"}]}"},
     "{\"role\":\"assistant\",\"content\":\"all\",\"reasoning\":\"r\"}",
     "length"},
    {"a refusal",
     {DELTA("\"refusal\":\"I \""), DELTA("\"refusal\":\"won't\",\"content\":null"), END("stop")},
     "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":\"I won't\"}",
     "stop"},
    {"think blocks at both ends",
     {DELTA("\"content\":\"<think>a</think>b<think></think><think>c</think>\"")},
     "{\"role\":\"assistant\",\"content\":\"b\",\"reasoning\":\"a\\n\\n\\n\\nc\"}",
     "stop"},
    {"names that are said again",
     {CALL("{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\"}}"),
      CALL("{\"index\":0,\"id\":\"d\",\"function\":{\"name\":\"g\"}}"), END("stop"), END("length")},
     "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","
     "\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}",
     "length"},
    {"what stands in the other's place",
     {HEAD "{\"message\":{\"content\":\"hidden\"},\"delta\":{\"content\":\"seen\"}}]}",
      HEAD "{\"delta\":{\"content\":\"!\"}},{\"delta\":{\"content\":\"second choice\"}}]}"},
     "{\"role\":\"assistant\",\"content\":\"seen!\"}",
     "stop"},
    {"members of a wrong type",
     {DELTA("\"content\":7,\"tool_calls\":{},\"reasoning\":[]")},
     "{\"role\":\"assistant\",\"content\":\"\"}",
     "stop"},
};

/* Of a stream's chunks and of a whole answer alike; null and empty ones are none. */
static void logprobs_of_all_chunks_stand_in_the_answer(void **state)
{
#define PROBS(list) "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"logprobs\":" list "}]}"
    static const char *const chunks[] = {
        PROBS("null"),
        PROBS("{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97],\"top_logprobs\":[]}]"
              "}"),
        PROBS("{\"content\":null}"),
        PROBS("{\"content\":[{\"token\":\"\\\"\"},{\"token\":\"c\"}],\"refusal\":null}"),
    };
#undef PROBS
    const char *want =
        ",\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97],"
        "\"top_logprobs\":[]},{\"token\":\"\\\"\"},{\"token\":\"c\"}],\"refusal\":null},"
        "\"finish_reason\":";
    struct chunk_join *j;
    struct arena region;
    struct buf out;

    (void)state;
    arena_init(&region, REGION_BYTES);
    buf_init(&out, OUT_BYTES);
    assert_int_equal(chunk_join_new(&region, ANSWER_BYTES, NULL, &j), 0);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++)
        assert_int_equal(chunk_join_add(j, str_from(chunks[i])), 0);
    assert_int_equal(chunk_join_write(j, &ours, 5, 3, (struct str){0}, &out), 0);
    assert_non_null(memmem(buf_view(&out).p, out.len, want, strlen(want)));
    chunk_join_free(j);
    buf_free(&out);
    arena_free(&region);
}

static void logprobs_without_end_are_refused(void **state)
{
    const char *chunk =
        "{\"choices\":[{\"logprobs\":{\"content\":[{\"token\":\"aaaaaaaaaaaaaaaaaaaaaaaa\"}]}}]}";
    struct chunk_join *j;
    struct arena region;
    int rc = 0, n = 0;

    (void)state;
    arena_init(&region, REGION_BYTES);
    assert_int_equal(chunk_join_new(&region, 1024, NULL, &j), 0);
    for (; rc == 0 && n < 100000; n++)
        rc = chunk_join_add(j, str_from(chunk));
    assert_int_equal(rc, ERR_LIMIT);
    assert_true(n > 100);
    chunk_join_free(j);
    arena_free(&region);
}

static void a_stream_becomes_one_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct chunk_join *j;
        struct arena region;
        struct buf out, expected;

        arena_init(&region, REGION_BYTES);
        buf_init(&out, OUT_BYTES);
        buf_init(&expected, OUT_BYTES);
        assert_int_equal(chunk_join_new(&region, ANSWER_BYTES, NULL, &j), 0);
        for (size_t k = 0; k < CHUNKS_MAX && streams[i].chunks[k]; k++)
            assert_int_equal(chunk_join_add(j, str_from(streams[i].chunks[k])), 0);
        assert_int_equal(chunk_join_write(j, &ours, 5, 3, STR("\"receipt\":{}"), &out), 0);
        assert_int_equal(
            buf_printf(&expected,
                       "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":7,"
                       "\"model\":\"ours\",\"choices\":[{\"index\":0,\"message\":%s,"
                       "\"finish_reason\":\"%s\"}],\"usage\":{\"prompt_tokens\":5,"
                       "\"completion_tokens\":3,\"total_tokens\":8},\"receipt\":{}}",
                       streams[i].message, streams[i].finish),
            0);
        if (!str_eq(buf_view(&out), buf_view(&expected)))
            fail_msg("%s: %.*s", streams[i].what, STR_ARG(buf_view(&out)));
        chunk_join_free(j);
        buf_free(&out);
        buf_free(&expected);
        arena_free(&region);
    }
}

/* What the chunks did not say is ours. */
static const struct {
    const char *chunk, *id;
    int created_s;
} heads[] = {
    {NULL, "chatcmpl-ours", 9},
    {"{\"choices\":[]}", "chatcmpl-ours", 9},
    {"{\"id\":\"\",\"created\":0,\"choices\":[]}", "chatcmpl-ours", 9},
    {"{\"id\":7,\"created\":\"7\",\"choices\":[]}", "chatcmpl-ours", 9},
    {"{\"created\":7,\"choices\":[]}", "chatcmpl-ours", 7},
    {"{\"id\":\"theirs\",\"created\":-7,\"choices\":[]}", "theirs", 9},
};

static void an_answer_has_an_id_and_a_time_and_ends_after_its_usage(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct chunk_join *j;
        struct arena region;
        struct buf out, expected;

        arena_init(&region, REGION_BYTES);
        buf_init(&out, OUT_BYTES);
        buf_init(&expected, OUT_BYTES);
        assert_int_equal(chunk_join_new(&region, ANSWER_BYTES, NULL, &j), 0);
        if (heads[i].chunk)
            assert_int_equal(chunk_join_add(j, str_from(heads[i].chunk)), 0);
        assert_int_equal(chunk_join_write(j, &ours, 0, 0, (struct str){0}, &out), 0);
        assert_int_equal(
            buf_printf(&expected,
                       "{\"id\":\"%s\",\"object\":\"chat.completion\",\"created\":%d,"
                       "\"model\":\"ours\",\"choices\":[{\"index\":0,\"message\":{"
                       "\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":\"stop\"}],"
                       "\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,"
                       "\"total_tokens\":0}}",
                       heads[i].id, heads[i].created_s),
            0);
        if (!str_eq(buf_view(&out), buf_view(&expected)))
            fail_msg("%s: %.*s", heads[i].chunk, STR_ARG(buf_view(&out)));
        chunk_join_free(j);
        buf_free(&out);
        buf_free(&expected);
        arena_free(&region);
    }
}

static const struct {
    const char *what, *chunk;
    size_t max_bytes;
    int code;
} refused[] = {
    {"not JSON", "{\"choices\":", ANSWER_BYTES, ERR_PARSE},
    {"nothing", "", ANSWER_BYTES, ERR_PARSE},
    {"content beyond the limit", DELTA("\"content\":\"123456789\""), 8, ERR_LIMIT},
    {"reasoning beyond the limit", DELTA("\"reasoning\":\"123456789\""), 8, ERR_LIMIT},
    {"arguments beyond the limit", CALL("{\"function\":{\"arguments\":\"123456789\"}}"), 8,
     ERR_LIMIT},
    {"the 65th tool call", CALL("{\"index\":64}"), ANSWER_BYTES, ERR_LIMIT},
    {"a finish reason of 256 bytes",
     HEAD "{\"delta\":{},\"finish_reason\":\"" X64 X64 X64 X64 "\"}]}", ANSWER_BYTES, ERR_LIMIT},
    {"a name of 257 bytes", CALL("{\"function\":{\"name\":\"" X64 X64 X64 X64 "x\"}}"),
     ANSWER_BYTES, ERR_LIMIT},
    {"a name of 256 bytes", CALL("{\"function\":{\"name\":\"" X64 X64 X64 X64 "\"}}"), ANSWER_BYTES,
     0},
    {"an id of 257 bytes", "{\"id\":\"" X64 X64 X64 X64 "x\"}", ANSWER_BYTES, ERR_LIMIT},
    {"a tool call far out", CALL("{\"index\":18446744073709551615}"), ANSWER_BYTES, ERR_LIMIT},
};

static void what_cannot_be_joined_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct chunk_join *j;
        struct arena region;
        int rc;

        arena_init(&region, REGION_BYTES);
        assert_int_equal(chunk_join_new(&region, refused[i].max_bytes, NULL, &j), 0);
        rc = chunk_join_add(j, str_from(refused[i].chunk));
        if (rc != refused[i].code)
            fail_msg("%s: %d", refused[i].what, rc);
        chunk_join_free(j);
        arena_free(&region);
    }
}

static void an_answer_needs_room_for_its_tokens_and_no_more_than_16_mib(void **state)
{
    (void)state;
    assert_int_equal(chunk_join_bytes(0), 64 << 10);
    assert_int_equal(chunk_join_bytes(8192), (64 << 10) + (2 << 20));
    assert_true(chunk_join_bytes(10000000) <= 16 << 20);
    assert_true(chunk_join_bytes(10000000) > (16 << 20) - CHUNK_TOKEN_MAX_BYTES - 1);
    assert_int_equal(chunk_join_bytes(INT64_MAX), chunk_join_bytes(10000000));
}

/* L4: 66 texts of 32 MiB each were 2.1 GiB a request. What is in one is no room for another. */
static void all_texts_of_an_answer_share_one_bound(void **state)
{
    static char chunk[40 << 10];
    struct chunk_join *j;
    struct arena region;
    struct budget class;
    size_t most = chunk_join_bytes(1000), added = 0;
    int rc = 0;

    (void)state;
    arena_init(&region, REGION_BYTES);
    budget_init(&class, "the test", SIZE_MAX, NULL);
    assert_int_equal(chunk_join_new(&region, most, &class, &j), 0);
    for (int i = 0; rc == 0; i++) {
        static const char filler[20 << 10] = {0};
        int n = snprintf(chunk, sizeof chunk,
                         CALL("{\"index\":%d,\"function\":{\"arguments\":\"%0*d\"}}"), i % 60,
                         (int)sizeof filler, 0);

        rc = chunk_join_add(j, (struct str){chunk, (size_t)n});
        added += rc == 0 ? sizeof filler : 0;
        assert_true(budget_used(&class) <= most);
    }
    assert_int_equal(rc, ERR_LIMIT);
    assert_true(added > most / 2 && added <= most);
    assert_int_equal(chunk_join_add(j, STR(DELTA("\"content\":\"a\""))), 0); /* what fits, fits */
    chunk_join_free(j);
    assert_int_equal(budget_used(&class), 0);
    arena_free(&region);
}

/* A healthy answer of the longest tokens there are is whole, whatever the buffers grow to. */
static void an_answer_of_the_longest_tokens_fits(void **state)
{
    static char line[600];
    struct chunk_join *j;
    struct arena region;
    struct buf out;
    int n = snprintf(line, sizeof line, DELTA("\"content\":\"%*s\""), CHUNK_TOKEN_MAX_BYTES, "");

    (void)state;
    arena_init(&region, REGION_BYTES);
    buf_init(&out, OUT_BYTES);
    assert_int_equal(chunk_join_new(&region, chunk_join_bytes(5000), NULL, &j), 0);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(chunk_join_add(j, (struct str){line, (size_t)n}), 0);
    assert_int_equal(chunk_join_write(j, &ours, 1, 5000, (struct str){0}, &out), 0);
    assert_true(out.len > 5000 * CHUNK_TOKEN_MAX_BYTES);
    chunk_join_free(j);
    buf_free(&out);
    arena_free(&region);
}

/* R12: our own want of memory is no fault of the provider's answer. */
static void a_class_without_room_is_told_from_an_answer_too_long(void **state)
{
    struct chunk_join *j;
    struct arena region;
    struct budget class;

    (void)state;
    arena_init(&region, REGION_BYTES);
    budget_init(&class, "the test", 100, NULL);
    assert_int_equal(chunk_join_new(&region, ANSWER_BYTES, &class, &j), 0);
    assert_int_equal(chunk_join_add(j, STR(DELTA("\"content\":\"" X64 X64 "\""))), ERR_NOMEM);
    chunk_join_free(j);
    arena_free(&region);
}

/* What is thought stands twice while it moves. */
static void a_full_answer_that_is_all_thought_is_written(void **state)
{
    static const char moved[] = "\"content\":\"a\",\"reasoning\":\"" X64 X64 "\"";
    struct chunk_join *j;
    struct arena region;
    struct buf out;

    (void)state;
    arena_init(&region, REGION_BYTES);
    buf_init(&out, OUT_BYTES);
    assert_int_equal(chunk_join_new(&region, 200, NULL, &j), 0);
    assert_int_equal(chunk_join_add(j, STR(DELTA("\"content\":\"<think>" X64 X64 "</think>a\""))),
                     0);
    assert_int_equal(chunk_join_write(j, &ours, 1, 1, (struct str){0}, &out), 0);
    assert_non_null(memmem(buf_view(&out).p, out.len, moved, sizeof moved - 1));
    chunk_join_free(j);
    buf_free(&out);
    arena_free(&region);
}

/* One that is not read in one pass takes longer than a test may. */
static void a_chunk_of_many_tool_calls_is_read_in_one_pass(void **state)
{
    struct chunk_join *j;
    struct arena region;
    struct buf chunk;

    (void)state;
    arena_init(&region, REGION_BYTES);
    buf_init(&chunk, OUT_BYTES);
    assert_int_equal(buf_append_str(&chunk, STR(HEAD "{\"delta\":{\"tool_calls\":[{}")), 0);
    for (int i = 0; i < 1000000; i++)
        assert_int_equal(buf_append_str(&chunk, STR(",{\"index\":0}")), 0);
    assert_int_equal(buf_append_str(&chunk, STR("]}}]}")), 0);
    assert_int_equal(chunk_join_new(&region, ANSWER_BYTES, NULL, &j), 0);
    assert_int_equal(chunk_join_add(j, buf_view(&chunk)), 0);
    chunk_join_free(j);
    buf_free(&chunk);
    arena_free(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_becomes_one_answer),
        cmocka_unit_test(logprobs_of_all_chunks_stand_in_the_answer),
        cmocka_unit_test(logprobs_without_end_are_refused),
        cmocka_unit_test(an_answer_has_an_id_and_a_time_and_ends_after_its_usage),
        cmocka_unit_test(what_cannot_be_joined_is_refused),
        cmocka_unit_test(an_answer_needs_room_for_its_tokens_and_no_more_than_16_mib),
        cmocka_unit_test(all_texts_of_an_answer_share_one_bound),
        cmocka_unit_test(an_answer_of_the_longest_tokens_fits),
        cmocka_unit_test(a_class_without_room_is_told_from_an_answer_too_long),
        cmocka_unit_test(a_full_answer_that_is_all_thought_is_written),
        cmocka_unit_test(a_chunk_of_many_tool_calls_is_read_in_one_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
