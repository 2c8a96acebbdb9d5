/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks of foreign backends as a consumer's SDK expects them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/chunk.h"

enum { REGION_BYTES = 1 << 20, OUT_BYTES = 1 << 16 };

#define DELTA(members) "{\"choices\":[{\"delta\":{" members "},\"finish_reason\":null}]}"

static const struct {
    const char *what, *from;
    bool add_role, drop_usage;
    const char *to;
} cases[] = {
    {"nothing to do", DELTA("\"content\":\"a\""), false, true, DELTA("\"content\":\"a\"")},
    {"no content", DELTA("\"content\":null"), false, false, DELTA("\"content\":\"\"")},
    {"all texts", DELTA("\"content\":null,\"reasoning\":null,\"refusal\":null,\"tool_calls\":null"),
     false, false, DELTA("\"content\":\"\",\"reasoning\":\"\",\"refusal\":\"\",\"tool_calls\":[]")},
    {"reasoning under its other name", DELTA("\"reasoning_content\":\"hm\""), false, false,
     DELTA("\"reasoning\":\"hm\"")},
    {"reasoning under both names", DELTA("\"reasoning\":\"a\",\"reasoning_content\":\"b\""), false,
     false, DELTA("\"reasoning\":\"a\"")},
    {"an empty reasoning gives way", DELTA("\"reasoning\":\"\",\"reasoning_content\":\"b\""), false,
     false, DELTA("\"reasoning\":\"b\"")},
    {"a null reasoning gives way", DELTA("\"reasoning_content\":\"b\",\"reasoning\":null"), false,
     false, DELTA("\"reasoning\":\"b\"")},
    {"a whole answer becomes a chunk",
     "{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
     "\"assistant\","
     "\"content\":null,\"tool_calls\":[{\"id\":\"a\"},{\"id\":\"b\"},7]},\"delta\":{}},7],"
     "\"usage\":{}}",
     true, true,
     "{\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
     "\"assistant\","
     "\"content\":\"\",\"tool_calls\":[{\"id\":\"a\",\"index\":0},{\"id\":\"b\",\"index\":1},7]}},"
     "7]}"},
    {"reasoning that is null", DELTA("\"reasoning_content\":null"), false, false,
     DELTA("\"reasoning\":\"\"")},
    {"a role is added behind", DELTA("\"content\":\"a\""), true, false,
     DELTA("\"content\":\"a\",\"role\":\"assistant\"")},
    {"a role to nothing", DELTA(""), true, false, DELTA("\"role\":\"assistant\"")},
    {"a role that stands", DELTA("\"role\":\"tool\""), true, false, DELTA("\"role\":\"tool\"")},
    {"a role that is null", DELTA("\"role\":null,\"content\":\"a\""), true, false,
     DELTA("\"role\":\"assistant\",\"content\":\"a\"")},
    {"null usage goes", "{\"choices\":[],\"usage\":null,\"system_fingerprint\":null}", false, false,
     "{\"choices\":[]}"},
    {"usage stays", "{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", false, false,
     "{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}"},
    {"usage goes", "{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", false, true,
     "{\"choices\":[]}"},
    {"a fingerprint stays", "{\"choices\":[],\"system_fingerprint\":\"fp\"}", false, true,
     "{\"choices\":[],\"system_fingerprint\":\"fp\"}"},
    {"line breaks and spaces go", "{ \"choices\" :\n\r[ { \"delta\" : { } } ]\t}", false, false,
     "{\"choices\":[{\"delta\":{}}]}"},
    {"numbers and escapes keep their meaning",
     DELTA("\"content\":\"\\u0041\\n\\\"\\u00e9\",\"x\":[1,-9007199254740993,1.5]"), false, false,
     DELTA("\"content\":\"A\\n\\\"\xC3\xA9\",\"x\":[1,-9007199254740993,1.5]")},
    {"a delta that is none", "{\"choices\":[{\"delta\":\"a\"},7]}", true, true,
     "{\"choices\":[{\"delta\":\"a\"},7]}"},
    {"choices that are none", "{\"choices\":{\"delta\":{}}}", true, true,
     "{\"choices\":{\"delta\":{}}}"},
};

static void each_chunk_becomes_what_consumers_expect(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena region;
        struct buf out;
        int rc;

        arena_init(&region, REGION_BYTES);
        buf_init(&out, OUT_BYTES);
        rc = chunk_normalise(str_from(cases[i].from), cases[i].add_role, cases[i].drop_usage,
                             &region, &out);
        if (rc < 0 || !str_is(buf_view(&out), cases[i].to))
            fail_msg("%s: %d %.*s", cases[i].what, rc, STR_ARG(buf_view(&out)));
        arena_free(&region);
        buf_free(&out);
    }
}

static void what_is_not_json_is_refused(void **state)
{
    static const char *const broken[] = {"", "{", "{\"choices\":[]} x", "{\"a\":\"\n\"}",
                                         "{\"a\":\"\xFF\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct arena region;
        struct buf out;

        arena_init(&region, REGION_BYTES);
        buf_init(&out, OUT_BYTES);
        assert_int_equal(chunk_normalise(str_from(broken[i]), true, true, &region, &out),
                         ERR_PARSE);
        assert_int_equal(out.len, 0);
        arena_free(&region);
        buf_free(&out);
    }
}

static void a_chunk_that_does_not_fit_is_refused(void **state)
{
    struct arena region;
    struct buf out;

    (void)state;
    arena_init(&region, REGION_BYTES);
    buf_init(&out, 10);
    assert_int_equal(chunk_normalise(STR(DELTA("\"content\":\"a\"")), true, true, &region, &out),
                     ERR_LIMIT);
    arena_free(&region);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_chunk_becomes_what_consumers_expect),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(a_chunk_that_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
