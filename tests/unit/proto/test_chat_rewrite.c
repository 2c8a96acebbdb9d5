/* SPDX-License-Identifier: Apache-2.0 */
/* What of a chat request is forwarded to its provider. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "proto/chat.h"

enum { REGION_BYTES = 1 << 20, BUF_BYTES = 1 << 20 };

#define USER(content) "{\"role\":\"user\",\"content\":" content "}"
#define HI            USER("\"hi\"")
#define M             "{\"model\":\"m\",\"messages\":[" HI "]"
#define MESSAGES(m)   "{\"model\":\"m\",\"messages\":" m "}"

static void a_rewrite_changes_the_limits_and_nothing_else(void **state)
{
    static const struct {
        const char *body, *forwarded;
    } cases[] = {
        {M "}", "{\"max_tokens\":42,\"model\":\"m\",\"messages\":[" HI "]}"},
        {"{}", "{\"max_tokens\":42}"},
        {"{\"max_tokens\":7}", "{\"max_tokens\":42}"},
        {"{\"a\":1,\"max_tokens\":null,\"b\":2,\"max_completion_tokens\":7,"
         "\"max_output_tokens\":7}",
         "{\"max_tokens\":42,\"a\":1,\"b\":2}"},
        {"\n{ \"n\" : 9007199254740993 , \"s\":\"\\u0041 <&> \xC3\xA9\",\"d\":1.0000, "
         "\"in\":{\"max_tokens\":7}\n}",
         "{\"max_tokens\":42,\"n\" : 9007199254740993,\"s\":\"\\u0041 <&> \xC3\xA9\","
         "\"d\":1.0000,\"in\":{\"max_tokens\":7}}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out;

        buf_init(&out, BUF_BYTES);
        assert_int_equal(
            chat_request_rewrite(&(struct chat_request){0}, str_from(cases[i].body), 42, &out), 0);
        if (!str_is(buf_view(&out), cases[i].forwarded))
            fail_msg("%s", cases[i].body);
        buf_free(&out);
    }
}

/* R18: a template may print "None" for a null, and older engines refuse it. */
static void the_null_of_an_assistant_that_calls_nothing_is_forwarded_as_empty(void **state)
{
#define SAYS_NULL "{\"role\":\"assistant\",\"content\" : null ,\"name\":null}"
#define SAYS_NONE "{\"role\":\"assistant\",\"content\" : \"\" ,\"name\":null}"
#define CALLS     "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"content\":null}]}"
#define QUOTES    USER("\"\\\"content\\\":null\"")
    static const struct {
        const char *body, *forwarded;
    } cases[] = {
        {MESSAGES("[" SAYS_NULL "]"),
         "{\"max_tokens\":42,\"model\":\"m\",\"messages\":[" SAYS_NONE "]}"},
        {MESSAGES("[ " QUOTES " , " SAYS_NULL ", " CALLS "," SAYS_NULL ",[]"
                  "]"),
         NULL},
        {"{\"max_tokens\":1,\"messages\":[ " QUOTES " , " SAYS_NULL ", " CALLS "," SAYS_NULL
         " ], \"model\":\"m\",\"x\":" SAYS_NULL "}",
         "{\"max_tokens\":42,\"messages\":[ " QUOTES " , " SAYS_NONE ", " CALLS "," SAYS_NONE
         " ],\"model\":\"m\",\"x\":" SAYS_NULL "}"},
        {MESSAGES("[" CALLS "]"), "{\"max_tokens\":42,\"model\":\"m\",\"messages\":[" CALLS "]}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_request r;
        struct arena region;
        struct api_error e;
        struct buf out;
        int rc;

        arena_init(&region, REGION_BYTES);
        rc = chat_request_parse(str_from(cases[i].body), &region, &r, &e);
        assert_int_equal(rc, cases[i].forwarded ? 0 : ERR_DENIED);
        buf_init(&out, BUF_BYTES);
        if (rc == 0) {
            assert_int_equal(chat_request_rewrite(&r, str_from(cases[i].body), 42, &out), 0);
            if (!str_is(buf_view(&out), cases[i].forwarded))
                fail_msg("%.*s", STR_ARG(buf_view(&out)));
        }
        buf_free(&out);
        arena_free(&region);
    }
}

static void a_rewrite_that_does_not_fit_or_is_no_object_is_refused(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 30);
    assert_int_equal(chat_request_rewrite(&(struct chat_request){0}, STR(M "}"), 42, &out),
                     ERR_LIMIT);
    buf_clear(&out);
    assert_int_equal(chat_request_rewrite(&(struct chat_request){0}, STR("[]"), 42, &out),
                     ERR_PARSE);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rewrite_changes_the_limits_and_nothing_else),
        cmocka_unit_test(the_null_of_an_assistant_that_calls_nothing_is_forwarded_as_empty),
        cmocka_unit_test(a_rewrite_that_does_not_fit_or_is_no_object_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
