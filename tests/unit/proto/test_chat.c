/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a chat request: what is taken from a good one, what is forwarded of it, and for each
 * bad one the error that names the field. Bad bodies are M (a model and a message) and one more
 * field, unless the case says otherwise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "proto/chat.h"

enum { REGION_BYTES = 32 << 20, BUF_BYTES = 16 << 20 };

#define USER(content) "{\"role\":\"user\",\"content\":" content "}"
#define HI            USER("\"hi\"")
#define M             "{\"model\":\"m\",\"messages\":[" HI "]"
#define MESSAGES(m)   "{\"model\":\"m\",\"messages\":" m "}"

struct bad {
    const char *body, *code, *param;
};

static const struct bad bad_texts[] = {
    {"", "invalid_json", ""},
    {" ", "invalid_json", ""},
    {"{", "invalid_json", ""},
    {M, "invalid_json", ""},
    {M "},", "invalid_json", ""},
    {M "}}", "invalid_json", ""},
    {M ",}", "invalid_json", ""},
    {M "// no\n}", "invalid_json", ""},
    {M ",\"x\":NaN}", "invalid_json", ""},
    {M ",\"x\":1e999}", "invalid_json", ""},
    {M ",\"x\":\"\\ud800\"}", "invalid_json", ""},
    {M ",\"x\":\"\n\"}", "invalid_json", ""},
    {"null", "invalid_json", ""},
    {"[]", "invalid_json", ""},
    {"\"hi\"", "invalid_json", ""},
    {"7", "invalid_json", ""},
    {M ",\"x\":\"\xFF\"}", "invalid_utf8", ""},
    {M ",\"x\":\"\xC0\x80\"}", "invalid_utf8", ""},
    {M ",\"x\":\"\xED\xA0\x80\"}", "invalid_utf8", ""},
    {"\xEF\xBB\xBF{}", "invalid_json", ""},
    {M ",\"model\":\"other\"}", "invalid_request_error", ""},
    {M ",\"max_tokens\":1,\"max_tokens\":1}", "invalid_request_error", ""},
    {M ",\"max_\\u0074okens\":1}", "invalid_request_error", ""},
};

static const struct bad bad_messages[] = {
    {"{}", "missing_required_parameter", "model"},
    {"{\"model\":null,\"messages\":[" HI "]}", "missing_required_parameter", "model"},
    {"{\"model\":7,\"messages\":[" HI "]}", "invalid_type", "model"},
    {"{\"model\":[\"m\"],\"messages\":[" HI "]}", "invalid_type", "model"},
    {"{\"model\":\"\",\"messages\":[" HI "]}", "invalid_value", "model"},
    {"{\"model\":\"a\\u0000b\",\"messages\":[" HI "]}", "invalid_value", "model"},
    {"{\"model\":\"m\"}", "missing_required_parameter", "messages"},
    {MESSAGES("null"), "missing_required_parameter", "messages"},
    {MESSAGES("\"hi\""), "invalid_type", "messages"},
    {MESSAGES("{}"), "invalid_type", "messages"},
    {MESSAGES("[]"), "invalid_value", "messages"},
    {MESSAGES("[\"hi\"]"), "invalid_type", "messages[0]"},
    {MESSAGES("[null]"), "invalid_type", "messages[0]"},
    {MESSAGES("[" HI ",[]]"), "invalid_type", "messages[1]"},
    {MESSAGES("[{\"content\":\"hi\"}]"), "missing_required_parameter", "messages[0].role"},
    {MESSAGES("[{\"role\":null,\"content\":\"hi\"}]"), "missing_required_parameter",
     "messages[0].role"},
    {MESSAGES("[{\"role\":1,\"content\":\"hi\"}]"), "invalid_type", "messages[0].role"},
    {MESSAGES("[{\"role\":\"\",\"content\":\"hi\"}]"), "invalid_value", "messages[0].role"},
    {MESSAGES("[{\"role\":\"User\",\"content\":\"hi\"}]"), "invalid_value", "messages[0].role"},
    {MESSAGES("[{\"role\":\"user\\u0000\",\"content\":\"hi\"}]"), "invalid_value",
     "messages[0].role"},
    {MESSAGES("[" HI ",{\"role\":\"root\",\"content\":\"hi\"}]"), "invalid_value",
     "messages[1].role"},
    {MESSAGES("[{\"role\":\"user\"}]"), "missing_required_parameter", "messages[0].content"},
    {MESSAGES("[" USER("null") "]"), "missing_required_parameter", "messages[0].content"},
    {MESSAGES("[" USER("7") "]"), "invalid_type", "messages[0].content"},
    {MESSAGES("[" USER("{}") "]"), "invalid_type", "messages[0].content"},
    {MESSAGES("[" USER("[]") "]"), "invalid_type", "messages[0].content"},
    {MESSAGES("[" USER("[\"hi\"]") "]"), "invalid_type", "messages[0].content[0]"},
    {MESSAGES("[" USER("[{}]") "]"), "invalid_type", "messages[0].content[0]"},
    {MESSAGES("[" USER("[{\"type\":7}]") "]"), "invalid_type", "messages[0].content[0]"},
    {MESSAGES("[" USER("[{\"type\":\"text\"}]") "]"), "invalid_type", "messages[0].content[0]"},
    {MESSAGES("[" USER("[{\"type\":\"text\",\"text\":1}]") "]"), "invalid_type",
     "messages[0].content[0]"},
    {MESSAGES("[" HI "," USER("[{\"type\":\"text\",\"text\":\"a\"},7]") "]"), "invalid_type",
     "messages[1].content[1]"},
    {MESSAGES("[{\"role\":\"assistant\"}]"), "missing_required_parameter", "messages[0].content"},
    {MESSAGES("[{\"role\":\"assistant\",\"content\":7}]"), "invalid_type", "messages[0].content"},
    {MESSAGES("[{\"role\":\"system\",\"content\":null}]"), "missing_required_parameter",
     "messages[0].content"},
    {MESSAGES("[{\"role\":\"tool\",\"tool_call_id\":\"c\"}]"), "missing_required_parameter",
     "messages[0].content"},
    {MESSAGES("[{\"role\":\"user\",\"content\":\"a\",\"content\":\"b\"}]"), "invalid_request_error",
     "messages[0]"},
    {MESSAGES("[" HI ",{\"role\":\"user\",\"content\":\"a\",\"r\\u006fle\":\"system\"}]"),
     "invalid_request_error", "messages[1]"},
    {MESSAGES("[" USER("[{\"type\":\"text\",\"text\":\"a\",\"text\":\"b\"}]") "]"),
     "invalid_request_error", "messages[0].content[0]"},
};

#define LIMIT(value) M ",\"max_tokens\":" value "}"

static const struct bad bad_fields[] = {
    {LIMIT("0"), "invalid_value", "max_tokens"},
    {LIMIT("-1"), "invalid_value", "max_tokens"},
    {LIMIT("-0"), "invalid_value", "max_tokens"},
    {LIMIT("10000001"), "invalid_value", "max_tokens"},
    {LIMIT("1000000000000000000"), "invalid_value", "max_tokens"},
    {LIMIT("18446744073709551615"), "invalid_value", "max_tokens"},
    {LIMIT("18446744073709551617"), "invalid_value", "max_tokens"},
    {LIMIT("1e18"), "invalid_value", "max_tokens"},
    {LIMIT("1e2"), "invalid_type", "max_tokens"},
    {LIMIT("1.5"), "invalid_type", "max_tokens"},
    {LIMIT("\"8\""), "invalid_type", "max_tokens"},
    {LIMIT("true"), "invalid_type", "max_tokens"},
    {LIMIT("[8]"), "invalid_type", "max_tokens"},
    {M ",\"max_completion_tokens\":0}", "invalid_value", "max_completion_tokens"},
    {M ",\"max_output_tokens\":\"8\"}", "invalid_type", "max_output_tokens"},
    {M ",\"max_tokens\":8,\"max_completion_tokens\":-1}", "invalid_value", "max_completion_tokens"},
    {M ",\"stream_options\":{\"include_usage\":\"true\"}}", "invalid_type",
     "stream_options.include_usage"},
    {M ",\"temperature\":-0.01}", "invalid_value", "temperature"},
    {M ",\"temperature\":2.01}", "invalid_value", "temperature"},
    {M ",\"temperature\":1e308}", "invalid_value", "temperature"},
    {M ",\"temperature\":\"1\"}", "invalid_type", "temperature"},
    {M ",\"top_p\":1.1}", "invalid_value", "top_p"},
    {M ",\"top_p\":-1}", "invalid_value", "top_p"},
    {M ",\"top_p\":{}}", "invalid_type", "top_p"},
    {M ",\"min_p\":1.1}", "invalid_value", "min_p"},
    {M ",\"min_p\":\"x\"}", "invalid_type", "min_p"},
    {M ",\"user\":5}", "invalid_type", "user"},
    {M ",\"top_k\":1.5}", "invalid_type", "top_k"},
    {M ",\"top_k\":-1}", "invalid_value", "top_k"},
    {M ",\"top_k\":18446744073709551615}", "invalid_value", "top_k"},
    {M ",\"frequency_penalty\":2.5}", "invalid_value", "frequency_penalty"},
    {M ",\"presence_penalty\":-2.5}", "invalid_value", "presence_penalty"},
    {M ",\"presence_penalty\":true}", "invalid_type", "presence_penalty"},
    {M ",\"n\":2}", "unsupported_parameter", "n"},
    {M ",\"n\":0}", "unsupported_parameter", "n"},
    {M ",\"n\":-1}", "unsupported_parameter", "n"},
    {M ",\"n\":\"1\"}", "invalid_type", "n"},
    {M ",\"n\":1.0}", "invalid_type", "n"},
    {M ",\"seed\":0.5}", "invalid_type", "seed"},
    {M ",\"seed\":\"7\"}", "invalid_type", "seed"},
    {M ",\"stream\":1}", "invalid_type", "stream"},
    {M ",\"stream\":\"true\"}", "invalid_type", "stream"},
    {M ",\"stream_options\":true}", "invalid_type", "stream_options"},
    {M ",\"stream_options\":[]}", "invalid_type", "stream_options"},
    {M ",\"stop\":7}", "invalid_type", "stop"},
    {M ",\"stop\":{\"a\":1}}", "invalid_type", "stop"},
    {M ",\"stop\":[\"a\",7]}", "invalid_type", "stop"},
    {M ",\"stop\":[null]}", "invalid_type", "stop"},
    {M ",\"stop\":\"\"}", "invalid_value", "stop"},
    {M ",\"stop\":[\"a\",\"\"]}", "invalid_value", "stop"},
    {M ",\"stop\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", "invalid_value", "stop"},
};

static int parse(struct str body, struct arena *region, struct chat_request *ret,
                 struct api_error *e)
{
    arena_init(region, REGION_BYTES);
    *e = (struct api_error){0};
    return chat_request_parse(body, region, ret, e);
}

static void assert_refused(const struct bad *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* Of the exact size and on the heap, so that a byte read beyond is caught. */
        size_t len = strlen(cases[i].body);
        char *body = malloc(len ? len : 1);
        struct chat_request r;
        struct arena region;
        struct api_error e;
        int rc;

        memcpy(body, cases[i].body, len);
        rc = parse((struct str){body, len}, &region, &r, &e);
        if (rc != ERR_DENIED || strcmp(e.code, cases[i].code) || strcmp(e.param, cases[i].param))
            fail_msg("%s: %d %s (%s): %s", cases[i].body, rc, e.code, e.param, e.message);
        assert_int_equal(e.status, 400);
        assert_true(strlen(e.message) > 10);
        assert_non_null(strstr(e.message, cases[i].param));
        arena_free(&region);
        free(body);
    }
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    assert_refused(bad_texts, sizeof bad_texts / sizeof bad_texts[0]);
}

static void bad_messages_are_refused(void **state)
{
    (void)state;
    assert_refused(bad_messages, sizeof bad_messages / sizeof bad_messages[0]);
}

static void bad_fields_are_refused(void **state)
{
    (void)state;
    assert_refused(bad_fields, sizeof bad_fields / sizeof bad_fields[0]);
}

static void a_nul_byte_in_the_body_is_refused(void **state)
{
    static const char body[] = M ",\"x\":\"\0\"}";
    struct chat_request r;
    struct arena region;
    struct api_error e;

    (void)state;
    assert_int_equal(parse((struct str){body, sizeof body - 1}, &region, &r, &e), ERR_DENIED);
    assert_string_equal(e.code, "invalid_json");
    arena_free(&region);
}

/* --- sizes --- */

static struct str body_with(struct buf *b, const char *before, const char *unit, size_t times,
                            const char *after)
{
    buf_init(b, BUF_BYTES);
    assert_int_equal(buf_append_str(b, str_from(before)), 0);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(buf_append_str(b, str_from(unit)), 0);
    assert_int_equal(buf_append_str(b, str_from(after)), 0);
    return buf_view(b);
}

static const struct {
    const char *what, *before, *unit;
    size_t times;
    const char *after, *code, *param; /* code "": accepted */
} sizes[] = {
    {"the longest model", "{\"messages\":[" HI "],\"model\":\"", "m", 256, "\"}", "", ""},
    {"a longer model", "{\"messages\":[" HI "],\"model\":\"", "m", 257, "\"}", "invalid_value",
     "model"},
    {"a prompt of 6 MB", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"",
     "abcdef", 1000000, "\"}]}", "", ""},
    {"many messages", "{\"model\":\"m\",\"messages\":[" HI, "," HI, 100000, "]}", "", ""},
    {"a role of a megabyte", "{\"model\":\"m\",\"messages\":[{\"content\":\"\",\"role\":\"", "r",
     1000000, "\"}]}", "invalid_value", "messages[0].role"},
    {"the most stops", M ",\"stop\":[\"a\"", ",\"a\"", 15, "]}", "", ""},
    {"a stop more", M ",\"stop\":[\"a\"", ",\"a\"", 16, "]}", "invalid_value", "stop"},
    {"the longest stop", M ",\"stop\":\"", "s", 1024, "\"}", "", ""},
    {"a longer stop", M ",\"stop\":[\"a\",\"", "s", 1025, "\"]}", "invalid_value", "stop"},
    {"a name of a megabyte, twice", M ",\"x\":1,\"", "x", 1000000, "\":1,\"x\":2}",
     "invalid_request_error", ""},
    /* L2: each of these took a tenth of a second and more */
    {"a million fields", "{\"a\":1", ",\"a\":1", 1000000, "}", "invalid_request_error", ""},
    {"a million fields of a message", "{\"model\":\"m\",\"messages\":[{\"a\":1", ",\"a\":1",
     1000000, "}]}", "invalid_request_error", "messages[0]"},
    {"a million fields of a part",
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
     "[{\"a\":1",
     ",\"a\":1", 1000000, "}]}]}", "invalid_request_error", "messages[0].content[0]"},
    {"three million numbers", M ",\"x\":[0", ",1", 3000000, "]}", "", ""},
    {"nesting nobody sends", M ",\"x\":", "[", 100000, "}", "invalid_request_error", ""},
};

static void sizes_have_limits_and_what_is_within_them_passes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct buf body;
        struct chat_request r;
        struct arena region;
        struct api_error e;
        int rc =
            parse(body_with(&body, sizes[i].before, sizes[i].unit, sizes[i].times, sizes[i].after),
                  &region, &r, &e);

        if ((rc == 0) != (sizes[i].code[0] == 0) || strcmp(e.code, sizes[i].code) ||
            strcmp(e.param, sizes[i].param))
            fail_msg("%s: %d %s (%s): %s", sizes[i].what, rc, e.code, e.param, e.message);
        arena_free(&region);
        buf_free(&body);
    }
}

static void more_than_128_fields_are_refused(void **state)
{
    (void)state;
    for (int n = 128; n <= 129; n++) { /* with the model and the messages */
        struct buf body;
        struct chat_request r;
        struct arena region;
        struct api_error e;

        body_with(&body, M, "", 0, "");
        for (int i = 2; i < n; i++)
            assert_int_equal(buf_printf(&body, ",\"x%d\":1", i), 0);
        assert_int_equal(buf_append_str(&body, STR("}")), 0);
        assert_int_equal(parse(buf_view(&body), &region, &r, &e), n == 128 ? 0 : ERR_DENIED);
        assert_string_equal(e.code, n == 128 ? "" : "invalid_request_error");
        arena_free(&region);
        buf_free(&body);
    }
}

/* L2: names are hashed when there are many; a twin is found wherever the two stand. */
static void a_name_that_stands_twice_is_found_among_few_and_many(void **state)
{
    static const int counts[] = {2, 3, 9, 10, 11, 12, 63, 126};

    (void)state;
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        int n = counts[c];

        for (int twin = -1; twin < n - 1; twin++) { /* the last is named as this one; -1: as none */
            struct buf body;
            struct chat_request r;
            struct arena region;
            struct api_error e;

            body_with(&body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\"",
                      "", 0, "");
            for (int i = 0; i < n; i++)
                assert_int_equal(
                    buf_printf(&body, ",\"x%d\":1", i == n - 1 && twin >= 0 ? twin : i), 0);
            assert_int_equal(buf_append_str(&body, STR("}]}")), 0);
            assert_int_equal(parse(buf_view(&body), &region, &r, &e), twin < 0 ? 0 : ERR_DENIED);
            assert_string_equal(e.param, twin < 0 ? "" : "messages[0]");
            if (twin >= 0)
                assert_non_null(strstr(e.message, "stands twice"));
            arena_free(&region);
            buf_free(&body);
        }
    }
}

/* What is priced must be what is forwarded: a body that the scanner cannot follow to its end is
 * refused here, before any money is held. */
static void a_body_nested_too_deep_to_be_forwarded_is_refused(void **state)
{
    static const struct {
        size_t depth;
        int code;
    } cases[] = {{256, 0}, {257, ERR_DENIED}, {5000, ERR_DENIED}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf body, forwarded;
        struct chat_request r;
        struct arena region;
        struct api_error e;

        body_with(&body, "{\"model\":\"m\",\"x\":", "[", cases[i].depth, "");
        for (size_t k = 0; k < cases[i].depth; k++)
            assert_int_equal(buf_append_str(&body, STR("]")), 0);
        assert_int_equal(buf_append_str(&body, STR(",\"messages\":[" HI "]}")), 0);
        buf_init(&forwarded, BUF_BYTES);
        assert_int_equal(parse(buf_view(&body), &region, &r, &e), cases[i].code);
        if (cases[i].code == 0) {
            assert_true(r.prompt_bytes >= strlen(HI));
            assert_int_equal(chat_request_rewrite(&r, buf_view(&body), 1, &forwarded), 0);
        } else {
            assert_string_equal(e.code, "invalid_request_error");
            assert_non_null(strstr(e.message, "256"));
        }
        buf_free(&forwarded);
        arena_free(&region);
        buf_free(&body);
    }
}

/* --- what is taken from a good one --- */

static void a_full_request_is_understood(void **state)
{
    static const char body[] =
        "{\"model\":\"org/m-1\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"}," HI
        "],\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":100,"
        "\"max_completion_tokens\":50,\"temperature\":0,\"top_p\":0.5,\"top_k\":40,"
        "\"frequency_penalty\":-2,\"presence_penalty\":2,\"seed\":-7,\"n\":1,"
        "\"stop\":[\"\\n\\u0041\",\"b\"],\"user\":\"u\"}";
    struct chat_request r;
    struct arena region;
    struct api_error e;

    (void)state;
    if (parse(STR(body), &region, &r, &e) < 0)
        fail_msg("%s", e.message);
    assert_true(str_is(r.model, "org/m-1"));
    assert_true(str_is(r.messages, "[{\"role\":\"system\",\"content\":\"s\"}," HI "]"));
    assert_true(r.messages.p > body && r.messages.p < body + sizeof body);
    assert_int_equal(r.n_messages, 2);
    assert_int_equal(r.prompt_bytes, r.messages.n);
    assert_true(r.stream && r.include_usage && r.has_seed);
    assert_int_equal(r.max_tokens, 50);
    assert_true(fabs(r.temperature) < 1e-12 && fabs(r.top_p - 0.5) < 1e-12);
    assert_int_equal(r.top_k, 40);
    assert_true(fabs(r.frequency_penalty + 2) < 1e-12 && fabs(r.presence_penalty - 2) < 1e-12);
    assert_int_equal(r.seed, -7);
    assert_int_equal(r.n_stops, 2);
    assert_true(str_is(r.stops[0], "\nA") && str_is(r.stops[1], "b"));
    assert_null(r.beyond_text);
    arena_free(&region);
}

static void absent_and_null_fields_mean_the_defaults(void **state)
{
    static const char *const bodies[] = {
        M "}",
        M ",\"stream\":null,\"stream_options\":null,\"max_tokens\":null,\"temperature\":null,"
          "\"top_p\":null,\"top_k\":null,\"frequency_penalty\":null,\"presence_penalty\":null,"
          "\"seed\":null,\"n\":null,\"stop\":null,\"tools\":null,\"logprobs\":null,"
          "\"response_format\":null}",
        M ",\"stream\":false,\"stream_options\":{},\"stop\":[],\"tools\":[],\"logit_bias\":{},"
          "\"logprobs\":false,\"response_format\":{\"type\":\"text\"}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct chat_request r;
        struct arena region;
        struct api_error e;

        if (parse(str_from(bodies[i]), &region, &r, &e) < 0)
            fail_msg("%s: %s", bodies[i], e.message);
        assert_false(r.stream || r.include_usage || r.has_seed);
        assert_int_equal(r.max_tokens, 0);
        assert_true(fabs(r.temperature - 1) < 1e-12 && fabs(r.top_p - 1) < 1e-12);
        assert_int_equal(r.top_k, 0);
        assert_int_equal(r.n_stops, 0);
        assert_null(r.beyond_text);
        arena_free(&region);
    }
}

/* `beyond`: what an engine that knows only text would have to refuse. */
static const struct {
    const char *body, *beyond;
} forms[] = {
    {MESSAGES("[" USER("\"\"") "]"), NULL},
    {MESSAGES("[" USER("\"\\u0000\\ud83d\\ude00\"") "]"), NULL},
    {MESSAGES(
         "[" USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"\"}]") "]"),
     NULL},
    {MESSAGES("[" USER("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}]") "]"),
     "messages[0].content[0]"},
    {MESSAGES("[" HI "," USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"input_audio\"},"
                              "{\"type\":\"file\"}]") "]"),
     "messages[1].content[1]"},
    {MESSAGES("[" HI ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}]"), NULL},
    {MESSAGES("[{\"role\":\"assistant\",\"function_call\":{}}]"), "messages[0].function_call"},
    {MESSAGES("[{\"role\":\"assistant\",\"content\":\"a\",\"tool_calls\":[{}]}]"), NULL},
    {MESSAGES("[{\"role\":\"assistant\",\"content\":\"a\",\"tool_calls\":[]}]"), NULL},
    {MESSAGES("[{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"4\"}]"), NULL},
    /* R18: as an SDK gives it back */
    {MESSAGES("[{\"role\":\"assistant\",\"content\":null}]"), NULL},
    {MESSAGES("[{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"annotations\":[],"
              "\"audio\":null,\"function_call\":null,\"tool_calls\":null,\"name\":null}]"),
     NULL},
    {MESSAGES("[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[ ]}]"), NULL},
    {MESSAGES("[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":\"function\",\"content\":"
              "\"f\"}]"),
     NULL},
    {M ",\"tools\":[{\"type\":\"function\"}]}", NULL},
    {M ",\"functions\":[{}]}", "functions"},
    {M ",\"logit_bias\":{\"1\":5,\"2\":-100}}", NULL},
    {M ",\"response_format\":{\"type\":\"json_object\"}}", NULL},
    {M ",\"response_format\":{\"type\":\"grammar\"}}", "response_format"},
    {M ",\"response_format\": { \"type\" : \"text\" } }", NULL},
    {M ",\"modalities\":[\"text\",\"audio\"]}", "modalities"},
    {M ",\"modalities\":[\"text\"],\"tool_choice\":\"auto\",\"top_logprobs\":0}", NULL},
    {M ",\"tool_choice\":\"required\",\"tools\":[{}]}", NULL},
    {M ",\"audio\":{}}", "audio"},
    {M ",\"something\":[{\"quite\":\"new\"}]}", NULL},
    {M ",\"stop\":\"END\"}", NULL},
    {M ",\"max_tokens\":10000000}", NULL},
    {M ",\"top_p\":0}", NULL},
};

static void good_forms_pass_and_what_asks_for_more_than_text_is_noted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct chat_request r;
        struct arena region;
        struct api_error e;

        if (parse(str_from(forms[i].body), &region, &r, &e) < 0)
            fail_msg("%s: %s", forms[i].body, e.message);
        if (!r.beyond_text != !forms[i].beyond ||
            (r.beyond_text && strcmp(r.beyond_text, forms[i].beyond) != 0))
            fail_msg("%s: %s", forms[i].body, r.beyond_text ? r.beyond_text : "nothing");
        arena_free(&region);
    }
}

/* What is quoted of the request is its own text, cut between characters. */
static const struct {
    const char *body, *words;
} quotes[] = {
    {M ",\"temperature\":2.0000001}", "temperature is 2.0000001, but"},
    {M ",\"top_k\":-12345678901}", "top_k is -12345678901, but"},
    {M ",\"max_tokens\":99999999999999999999999999999999999999999999}",
     "max_tokens is 9999999999999999999999999999999999999999, but"},
    {MESSAGES("[{\"role\":\"0123456789012345678901234567890123456789\",\"content\":\"\"}]"),
     "`0123456789012345678901234567890123456789`, but must be one of system, developer, user, "
     "assistant, tool, function"},
    {MESSAGES("[{\"role\":\"012345678901234567890123456789012345678\xF0\x9F\x98\x80\","
              "\"content\":\"\"}]"),
     "`012345678901234567890123456789012345678`, but must be one of system, developer, user, "
     "assistant, tool, function"},
    {M ",\"012345678901234567890123456789012345678\xC3\xA9\":1,"
       "\"012345678901234567890123456789012345678\xC3\xA9\":1}",
     "`012345678901234567890123456789012345678` stands twice"},
};

static void what_a_refusal_quotes_is_as_it_was_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof quotes / sizeof quotes[0]; i++) {
        struct chat_request r;
        struct arena region;
        struct api_error e;

        assert_int_equal(parse(str_from(quotes[i].body), &region, &r, &e), ERR_DENIED);
        if (!strstr(e.message, quotes[i].words))
            fail_msg("%s", e.message);
        arena_free(&region);
    }
}

static void the_smallest_of_the_limits_counts(void **state)
{
    static const struct {
        const char *body;
        int64_t limit;
    } cases[] = {
        {M ",\"max_tokens\":1}", 1},
        {M ",\"max_completion_tokens\":2}", 2},
        {M ",\"max_output_tokens\":3}", 3},
        {M ",\"max_output_tokens\":3,\"max_tokens\":9,\"max_completion_tokens\":4}", 3},
        {M ",\"max_tokens\":null,\"max_completion_tokens\":4}", 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_request r;
        struct arena region;
        struct api_error e;

        assert_int_equal(parse(str_from(cases[i].body), &region, &r, &e), 0);
        assert_int_equal(r.max_tokens, cases[i].limit);
        arena_free(&region);
    }
}

/* A token is at least a byte: everything that a template may print counts. */
static void what_a_template_may_print_is_priced(void **state)
{
    static const char body[] = "{\"tools\":[{\"a\": 1}],\"model\":\"m\",\"response_format\":"
                               "{\"type\":\"text\"},\"functions\":[2],\"messages\":[ " HI " ]}";
    struct chat_request r;
    struct arena region;
    struct api_error e;

    (void)state;
    assert_int_equal(parse(STR(body), &region, &r, &e), 0);
    assert_int_equal(r.prompt_bytes, strlen("[{\"a\": 1}]") + strlen("{\"type\":\"text\"}") +
                                         strlen("[2]") + strlen("[ " HI " ]"));
    arena_free(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(bad_messages_are_refused),
        cmocka_unit_test(bad_fields_are_refused),
        cmocka_unit_test(a_nul_byte_in_the_body_is_refused),
        cmocka_unit_test(sizes_have_limits_and_what_is_within_them_passes),
        cmocka_unit_test(more_than_128_fields_are_refused),
        cmocka_unit_test(a_body_nested_too_deep_to_be_forwarded_is_refused),
        cmocka_unit_test(a_full_request_is_understood),
        cmocka_unit_test(absent_and_null_fields_mean_the_defaults),
        cmocka_unit_test(good_forms_pass_and_what_asks_for_more_than_text_is_noted),
        cmocka_unit_test(what_a_refusal_quotes_is_as_it_was_sent),
        cmocka_unit_test(the_smallest_of_the_limits_counts),
        cmocka_unit_test(what_a_template_may_print_is_priced),
        cmocka_unit_test(a_name_that_stands_twice_is_found_among_few_and_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
