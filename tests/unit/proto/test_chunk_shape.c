/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a chunk from the one before it is what a full look would see: every line after
 * every other, whatever was learned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/chunk.h"

#define HEAD(id)    "data: {\"id\":\"" id "\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,"
#define TAIL        ",\"finish_reason\":null}]}"
#define TEXT(text)  HEAD("c-1") "\"delta\":{\"content\":\"" text "\"}" TAIL
#define DELTA(d)    HEAD("c-1") "\"delta\":{" d "}" TAIL
#define LONG_PREFIX "\"padding\":\"01234567890123456789012345678901234567890123456789012345\","

static const char *const lines[] = {
    TEXT("a"),
    TEXT("some more of it"),
    TEXT("\xC3\xA9 \xF0\x9F\x98\x80"),
    TEXT(""),
    TEXT("\\\""),
    TEXT("\\n"),
    TEXT("a\\"),
    TEXT("a\\\\"),
    TEXT("\\n\\t\\/\\b\\f\\r b"),
    TEXT("\\x"),
    TEXT("\\u00e9"),
    TEXT("\\uD800"),
    TEXT("a\x01"),
    TEXT("a\x7F"),
    TEXT("a\xFF"),
    TEXT("a\xF0\x9F\x98"),
    "data: {\"error\":{}}",
    ": comment",
    TEXT("a\"},\"x\":{\"content\":\"b"),
    TEXT("a\"},\"finish_reason\":\"stop\",\"x\":{\"y\":\"b"),
    TEXT("a\",\"reasoning_content\":\"b"),
    TEXT("a\",\"role\":\"assistant"),
    TEXT("a\nb"),
    TEXT("a\n\ndata: [DONE]\n\ndata: b"),
    TEXT("a\rb"),
    HEAD("c-1") "\"delta\":{\"content\":\"a\",\"reasoning\":\"hm\"}" TAIL,
    TEXT("a") "\n",
    TEXT("a") "\r\n\r\n",
    TEXT("a") " x",
    TEXT("a") "}",
    HEAD("c-1") "\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}",
    HEAD("c-1") "\"delta\":{\"content\":\"a\"},\"finish_reason\":null}],\"usage\":null}",
    HEAD("c-1") "\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":1}}",
    HEAD("another") "\"delta\":{\"content\":\"a\"}" TAIL,
    HEAD("c-2") "\"delta\":{\"content\":\"a\"}" TAIL,
    HEAD("c\\\"delta\\\":") "\"delta\":{\"content\":\"a\"}" TAIL,
    HEAD("c-1") "\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"b\"}" TAIL,
    HEAD("c-1") LONG_PREFIX LONG_PREFIX LONG_PREFIX LONG_PREFIX LONG_PREFIX LONG_PREFIX LONG_PREFIX
    "\"delta\":{\"content\":\"a\"}" TAIL,
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"id\":\"c-1\",\"model\":\"m\"}",
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
    "data: {\"id\":\"c-1\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a",
    DELTA("\"role\":\"assistant\",\"content\":\"\""),
    DELTA("\"content\":null"),
    DELTA("\"content\":7"),
    DELTA(""),
    DELTA("\"content\": \"a\""),
    "data: [DONE]",
    "",
};

enum { N_LINES = sizeof lines / sizeof lines[0] };

static void assert_same(const struct chunk_info *a, const struct chunk_info *b)
{
    assert_int_equal(a->kind, b->kind);
    if (a->kind == CHUNK_BAD)
        return;
    assert_ptr_equal(a->json.p, b->json.p);
    assert_int_equal(a->json.n, b->json.n);
    assert_int_equal(a->has_role, b->has_role);
    assert_int_equal(a->has_text, b->has_text);
    assert_int_equal(a->text_bytes, b->text_bytes);
    assert_int_equal(a->has_finish, b->has_finish);
    assert_int_equal(a->needs_rewrite, b->needs_rewrite);
    assert_int_equal(a->has_usage, b->has_usage);
    assert_int_equal(a->prompt_tokens, b->prompt_tokens);
    assert_int_equal(a->completion_tokens, b->completion_tokens);
    assert_ptr_equal(a->head.id.p, b->head.id.p);
    assert_int_equal(a->head.id.n, b->head.id.n);
    assert_ptr_equal(a->head.model.p, b->head.model.p);
    assert_int_equal(a->head.model.n, b->head.model.n);
    assert_int_equal(a->head.created_s, b->head.created_s);
}

static void every_line_after_every_other_is_seen_for_what_it_is(void **state)
{
    (void)state;
    for (size_t a = 0; a < N_LINES; a++) {
        for (size_t b = 0; b < N_LINES; b++) {
            struct str line = str_from(lines[b]);
            char *copy = malloc(line.n ? line.n : 1); /* exact: a byte read beyond is caught */
            struct chunk_shape shape = {0};
            struct chunk_info known, seen;

            memcpy(copy, line.p, line.n);
            line.p = copy;
            chunk_inspect_next(&shape, str_from(lines[0]), &known);
            chunk_inspect_next(&shape, str_from(lines[a]), &known);
            chunk_inspect_next(&shape, line, &known);
            chunk_inspect(line, &seen);
            if (known.kind != seen.kind || known.needs_rewrite != seen.needs_rewrite)
                print_error("%s\nafter\n%s\n", lines[b], lines[a]);
            assert_same(&known, &seen);
            free(copy);
        }
    }
}

/* It must be possible to fail: the shortcut is taken. */
static void a_chunk_that_fits_is_not_looked_at_again(void **state)
{
    struct chunk_shape shape = {0};
    struct chunk_info info;

    (void)state;
    chunk_inspect_next(&shape, str_from(lines[0]), &info);
    assert_true(shape.prefix_bytes > 0);
    shape.info.completion_tokens = 42; /* only what was learned can say so */
    chunk_inspect_next(&shape, str_from(lines[1]), &info);
    assert_int_equal(info.completion_tokens, 42);
    chunk_inspect_next(&shape, STR(DELTA("\"content\":null")), &info);
    assert_int_equal(info.completion_tokens, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_after_every_other_is_seen_for_what_it_is),
        cmocka_unit_test(a_chunk_that_fits_is_not_looked_at_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
