/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a chunk from the one before it is what a full look would see: every line after
 * every other, whatever was learned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "shared/chunk_reference.h"

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
    /* L5: the text that is paid for is not where the shortcut looked for it */
    HEAD("c-1") "\"x\":{\"delta\":{\"content\":\"hidden\"}},\"delta\":{\"reasoning\":\"b\"}" TAIL,
    "data: "
    "{\"id\":\"c-1\",\"model\":\"m\",\"x\":{\"delta\":{\"content\":\"abcdef\"}},\"choices\":[{"
    "\"delta\":{"
    "\"content\":\"b\"}}]}",
    "data: "
    "{\"id\":\"c-1\",\"model\":\"m\",\"x\":{\"delta\":{\"content\":\"a\"}},\"choices\":[{\"delta\":"
    "{"
    "\"content\":\"b\"}}]}",
    "data: "
    "{\"id\":\"c-1\",\"model\":\"m\",\"choices\":[{\"delta\":{\"reasoning\":\"b\"}}],\"x\":{"
    "\"delta\":{"
    "\"content\":\"abcdef\"}}}",
    "data: "
    "{\"id\":\"c-1\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"b\"}},{\"delta\":{"
    "\"content\":"
    "\"abcdef\"}}]}",
    HEAD("c-1") "\"delta\":{\"content\":\"abc\",\"content\":\"d\"}" TAIL,
    HEAD("c-1") "\"delta\":{\"content\":\"abc\",\"c\\u006fntent\":\"d\"}" TAIL,
    HEAD("c-1") "\"delta\":{\"content\":\"abc\"},\"delta\":{\"content\":\"d\"}" TAIL,
    HEAD("c-1") "\"delta\":{\"c\\u006fntent\":\"abc\"}" TAIL,
    HEAD("c-1") "\"message\":{\"content\":\"abc\"},\"delta\":{\"content\":\"d\"}" TAIL,
    "data: [DONE]",
    "",
};

enum { N_LINES = sizeof lines / sizeof lines[0] };

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
            if (!reference_same(&known, &seen))
                fail_msg("%s\nafter\n%s\n", lines[b], lines[a]);
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

/* A chunk with `around` bytes about its text is learned up to the room there is for them. */
static void what_does_not_fit_the_memory_is_not_learned(void **state)
{
    (void)state;
    for (int around = CHUNK_SHAPE_BYTES - 1; around <= CHUNK_SHAPE_BYTES + 1; around++) {
        static const char before[] = "data: {\"id\":\"c\",\"model\":\"m\",\"x\":\"";
        static const char after[] = "\",\"choices\":[{\"delta\":{\"content\":\"abc\"}}]}";
        int padding = around + 3 - (int)(sizeof before - 1) - (int)(sizeof after - 1);
        struct chunk_shape *shape = calloc(1, sizeof *shape); /* a byte too many is caught */
        struct chunk_info info;
        struct buf line;

        buf_init(&line, 4096);
        assert_int_equal(buf_printf(&line, "%s%*s%s", before, padding, "", after), 0);
        chunk_inspect_next(shape, buf_view(&line), &info);
        assert_int_equal(info.text_bytes, 3);
        assert_int_equal(shape->prefix_bytes > 0, around <= CHUNK_SHAPE_BYTES);
        buf_free(&line);
        free(shape);
    }
}

/* --- by chance --- */

static uint64_t dice(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*seed >> 33) % n;
}

#define ANY(texts, seed) texts[dice(seed, sizeof(texts) / sizeof(texts)[0])]

static const char *const texts[] = {"",         "a",       "abc def",        "\\n",
                                    "\\\"",     "\\u00e9", "\\ud83d\\ude00", "<",
                                    "\xC3\xA9", "\\\\",    "\"},\"x\":\"",   "\\u0041"};
static const char *const members[] = {
    "\"content\":\"%s\"",
    "\"reasoning\":\"%s\"",
    "\"refusal\":\"%s\"",
    "\"reasoning_content\":\"%s\"",
    "\"c\\u006fntent\":\"%s\"",
    "\"role\":\"%s\"",
    "\"x\":{\"delta\":{\"content\":\"%s\"}}",
    "\"tool_calls\":[{\"function\":{\"name\":\"%s\",\"arguments\":\"y\"}}]",
    "\"content\":[\"%s\"]"};
static const char *const choices[] = {"{\"index\":0,\"delta\":{%s},\"finish_reason\":null}",
                                      "{\"delta\":{%s},\"message\":{\"content\":\"z\"}}",
                                      "{\"message\":{%s}}", "7,{\"delta\":{%s}}",
                                      "{\"delta\":{%s}},{\"delta\":{\"content\":\"second\"}}"};
static const char *const lines_of[] = {
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[%s]}",
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[%s],\"usage\":{\"prompt_tokens\":3}}",
    "data: {\"id\":\"c\",\"model\":\"m\",\"delta\":{\"content\":\"\"},\"choices\":[%s]}",
    "data: {\"object\":\"chat.completion\",\"id\":\"c\",\"model\":\"m\",\"choices\":[%s]}"};

/* A line of the parts above; the formats are all from these tables. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void make_line(struct buf *out, uint64_t *seed)
{
    char said[512] = "", choice[1024];
    bool common = dice(seed, 2); /* what streams are made of */
    size_t n = 0;

    for (uint64_t k = common ? 1 : 1 + dice(seed, 2); k > 0; k--) {
        n += (size_t)snprintf(said + n, sizeof said - n, n ? "," : "%s", "");
        n += (size_t)snprintf(said + n, sizeof said - n, common ? members[0] : ANY(members, seed),
                              ANY(texts, seed));
    }
    snprintf(choice, sizeof choice, common ? choices[0] : ANY(choices, seed), said);
    buf_clear(out);
    assert_int_equal(buf_printf(out, common ? lines_of[0] : ANY(lines_of, seed), choice), 0);
}
#pragma GCC diagnostic pop

/* One byte of a line cut out, doubled or changed to what means something in JSON. */
static void mutate(struct buf *line, struct buf *out, uint64_t *seed)
{
    struct str v = buf_view(line);
    size_t at = dice(seed, v.n);
    size_t skip = dice(seed, 2);
    char c = "\"\\{}[]:,a\n"[dice(seed, 10)];

    buf_clear(out);
    assert_int_equal(buf_append(out, v.p, at), 0);
    assert_int_equal(buf_append(out, &c, dice(seed, 2)), 0);
    assert_int_equal(buf_append(out, v.p + at + skip, v.n - at - skip), 0);
}

static void assert_seen(struct chunk_shape *shape, struct str line)
{
    struct chunk_info known, seen;

    chunk_inspect_next(shape, line, &known);
    chunk_inspect(line, &seen);
    if (!reference_same(&known, &seen))
        fail_msg("not as the full look: %.*s", STR_ARG(line));
    if (seen.kind != CHUNK_BAD && seen.text_bytes != reference_text_bytes(seen.json))
        fail_msg("%zu bytes of text: %.*s", seen.text_bytes, STR_ARG(line));
}

/* L5: what is counted is what an SDK shows, whatever was learned from the chunk before. */
static void text_counts_where_an_sdk_shows_it(void **state)
{
    struct chunk_shape shape = {0};
    uint64_t seed = 20261127;
    struct buf line, mutant;
    size_t learned = 0;

    (void)state;
    buf_init(&line, 4096);
    buf_init(&mutant, 4096);
    for (int round = 0; round < 30000; round++) {
        make_line(&line, &seed);
        assert_seen(&shape, buf_view(&line));
        learned += shape.prefix_bytes > 0;
        for (int k = 0; k < 4; k++) {
            struct chunk_shape after = shape;

            mutate(&line, &mutant, &seed);
            assert_seen(&after, buf_view(&mutant));
        }
    }
    assert_true(learned > 1000);
    buf_free(&line);
    buf_free(&mutant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_after_every_other_is_seen_for_what_it_is),
        cmocka_unit_test(a_chunk_that_fits_is_not_looked_at_again),
        cmocka_unit_test(what_does_not_fit_the_memory_is_not_learned),
        cmocka_unit_test(text_counts_where_an_sdk_shows_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
