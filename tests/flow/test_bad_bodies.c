/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that a chat request cannot have: no JSON, wrong types, values out of range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_bad_request.h"

#define MODEL    "\"model\":\"" FAKE_MODEL "\""
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

#define BODY(name, text, code, param)               \
    {                                               \
        name, BAD_BODY, STR(text), 400, code, param \
    }
#define MEMBER(name, text, code, param)               \
    {                                                 \
        name, BAD_MEMBER, STR(text), 400, code, param \
    }
/* A value of a member, of `messages`, of the only message's content; a message. */
#define VALUE(member, value, code)                                                    \
    {                                                                                 \
        member " " value, BAD_MEMBER, STR("\"" member "\":" value), 400, code, member \
    }
#define LIST(name, value, code, param)    BODY(name, "{" MODEL ",\"messages\":" value "}", code, param)
#define MESSAGE(name, value, code, param) LIST(name, "[" value "]", code, param)
#define CONTENT(name, value, code, param) \
    MESSAGE(name, "{\"role\":\"user\",\"content\":" value "}", code, param)

/* --- what is no JSON object --- */

static const struct bad_request no_json[] = {
    BODY("nothing", "", "invalid_json", NULL),
    BODY("white space", " \r\n\t ", "invalid_json", NULL),
    BODY("a word", "hello", "invalid_json", NULL),
    BODY("a form", "model=x&messages=y", "invalid_json", NULL),
    BODY("a number", "5", "invalid_json", NULL),
    BODY("null", "null", "invalid_json", NULL),
    BODY("an array", "[]", "invalid_json", NULL),
    BODY("a string", "\"{}\"", "invalid_json", NULL),
    BODY("an empty object", "{}", "missing_required_parameter", "model"),
    BODY("two objects", "{" MODEL "," MESSAGES "}{}", "invalid_json", NULL),
    BODY("a word behind", "{" MODEL "," MESSAGES "} x", "invalid_json", NULL),
    BODY("a comma too many", "{" MODEL "," MESSAGES ",}", "invalid_json", NULL),
    BODY("a comma too few", "{" MODEL " " MESSAGES "}", "invalid_json", NULL),
    BODY("a comment", "{" MODEL "," MESSAGES "/* x */}", "invalid_json", NULL),
    BODY("single quotes", "{'model':'x'}", "invalid_json", NULL),
    BODY("a key without quotes", "{model:\"x\"}", "invalid_json", NULL),
    BODY("a byte order mark", "\xef\xbb\xbf{" MODEL "," MESSAGES "}", "invalid_json", NULL),
    BODY("UTF-16", "{\0\"\0m\0\"\0}\0", "invalid_json", NULL),
    BODY("a NUL behind", "{" MODEL "," MESSAGES "}\0", "invalid_json", NULL),
    CONTENT("a raw NUL", "\"a\0b\"", "invalid_json", NULL),
    CONTENT("a raw line break", "\"a\nb\"", "invalid_json", NULL),
    CONTENT("an unknown escape", "\"\\x41\"", "invalid_json", NULL),
    CONTENT("half a \\u", "\"\\u00g0\"", "invalid_json", NULL),
    CONTENT("a lone surrogate, escaped", "\"\\ud800\"", "invalid_json", NULL),
    CONTENT("a low surrogate first, escaped", "\"\\udc00\\ud800\"", "invalid_json", NULL),
    MEMBER("NaN", "\"temperature\":NaN", "invalid_json", NULL),
    MEMBER("Infinity", "\"temperature\":Infinity", "invalid_json", NULL),
    MEMBER("-Infinity", "\"top_p\":-Infinity", "invalid_json", NULL),
    MEMBER("1e999", "\"temperature\":1e999", "invalid_json", NULL),
    MEMBER("-1e999 tokens", "\"max_tokens\":-1e999", "invalid_json", NULL),
    MEMBER("a leading zero", "\"max_tokens\":05", "invalid_json", NULL),
    MEMBER("a leading plus", "\"max_tokens\":+5", "invalid_json", NULL),
    MEMBER("a trailing dot", "\"temperature\":1.", "invalid_json", NULL),
    MEMBER("hexadecimal", "\"max_tokens\":0x10", "invalid_json", NULL),
    MEMBER("True", "\"stream\":True", "invalid_json", NULL),
};

/* --- bytes that are no characters --- */

static const struct bad_request no_utf8[] = {
    CONTENT("\\xff", "\"\xff\"", "invalid_utf8", NULL),
    CONTENT("Latin-1", "\"caf\xe9\"", "invalid_utf8", NULL),
    CONTENT("an overlong slash", "\"\xc0\xaf\"", "invalid_utf8", NULL),
    CONTENT("an overlong NUL", "\"\xc0\x80\"", "invalid_utf8", NULL),
    CONTENT("an overlong euro sign", "\"\xf0\x82\x82\xac\"", "invalid_utf8", NULL),
    CONTENT("a surrogate in UTF-8", "\"\xed\xa0\x80\"", "invalid_utf8", NULL),
    CONTENT("a pair of surrogates in UTF-8", "\"\xed\xa0\xbd\xed\xb8\x80\"", "invalid_utf8", NULL),
    CONTENT("beyond U+10FFFF", "\"\xf4\x90\x80\x80\"", "invalid_utf8", NULL),
    CONTENT("a cut character", "\"\xe2\x82\"", "invalid_utf8", NULL),
    CONTENT("a lone continuation", "\"\x80\"", "invalid_utf8", NULL),
    BODY("in the model", "{\"model\":\"\xff\"," MESSAGES "}", "invalid_utf8", NULL),
    BODY("in a key", "{\"mod\xff\x65l\":\"x\"," MESSAGES "}", "invalid_utf8", NULL),
    MESSAGE("in a role", "{\"role\":\"us\xc3\",\"content\":\"x\"}", "invalid_utf8", NULL),
    MEMBER("in a member that nobody knows", "\"novelty\":\"\xff\"", "invalid_utf8", NULL),
    MEMBER("in a stop", "\"stop\":[\"\xfe\"]", "invalid_utf8", NULL),
};

/* --- what stands twice, or too deep --- */

static const struct bad_request twice[] = {
    MEMBER("max_tokens twice", "\"max_tokens\":5", "invalid_request_error", NULL),
    MEMBER("max_tokens twice, once null", "\"max_tokens\":null", "invalid_request_error", NULL),
    MEMBER("model twice", "\"model\":\"cheap\"", "invalid_request_error", NULL),
    MEMBER("messages twice", "\"messages\":[]", "invalid_request_error", NULL),
    MEMBER("a member twice that nobody knows", "\"x\":1,\"x\":1", "invalid_request_error", NULL),
    MEMBER("a name with an escape", "\"max\\u005ftokens\":9", "invalid_request_error", NULL),
    MESSAGE("role twice", "{\"role\":\"user\",\"content\":\"x\",\"role\":\"system\"}",
            "invalid_request_error", "messages[0]"),
    MESSAGE("content twice", "{\"role\":\"user\",\"content\":\"x\",\"content\":\"y\"}",
            "invalid_request_error", "messages[0]"),
    MESSAGE("content twice, once escaped",
            "{\"role\":\"user\",\"content\":\"x\",\"cont\\u0065nt\":\"y\"}",
            "invalid_request_error", "messages[0]"),
    CONTENT("a part's text twice", "[{\"type\":\"text\",\"text\":\"x\",\"text\":\"y\"}]",
            "invalid_request_error", "messages[0].content[0]"),
    MEMBER("options twice", "\"stream_options\":{},\"stream_options\":{\"include_usage\":true}",
           "invalid_request_error", NULL),
};

/* --- model and messages --- */

static const struct bad_request messages[] = {
    BODY("no model", "{" MESSAGES "}", "missing_required_parameter", "model"),
    BODY("model null", "{\"model\":null," MESSAGES "}", "missing_required_parameter", "model"),
    BODY("an empty model", "{\"model\":\"\"," MESSAGES "}", "invalid_value", "model"),
    BODY("model 5", "{\"model\":5," MESSAGES "}", "invalid_type", "model"),
    BODY("model true", "{\"model\":true," MESSAGES "}", "invalid_type", "model"),
    BODY("a list of models", "{\"model\":[\"" FAKE_MODEL "\"]," MESSAGES "}", "invalid_type",
         "model"),
    BODY("a model with a NUL", "{\"model\":\"" FAKE_MODEL "\\u0000\"," MESSAGES "}",
         "invalid_value", "model"),
    {"an unknown model", BAD_BODY, STR("{\"model\":\"gpt-4o\"," MESSAGES "}"), 404,
     "model_not_found", "model"},
    {"another case", BAD_BODY, STR("{\"model\":\"SmolLM2-135M-Instruct\"," MESSAGES "}"), 404,
     "model_not_found", "model"},
    {"a blank behind", BAD_BODY, STR("{\"model\":\"" FAKE_MODEL " \"," MESSAGES "}"), 404,
     "model_not_found", "model"},
    {"a path", BAD_BODY, STR("{\"model\":\"../../etc/passwd\"," MESSAGES "}"), 404,
     "model_not_found", "model"},
    {"SQL", BAD_BODY, STR("{\"model\":\"'; DROP TABLE holds; --\"," MESSAGES "}"), 404,
     "model_not_found", "model"},
    {"a format", BAD_BODY, STR("{\"model\":\"%s%n%s%n\"," MESSAGES "}"), 404, "model_not_found",
     "model"},
    {"a line break", BAD_BODY, STR("{\"model\":\"x\\r\\nSet-Cookie: a\"," MESSAGES "}"), 404,
     "model_not_found", "model"},
    BODY("no messages", "{" MODEL "}", "missing_required_parameter", "messages"),
    LIST("messages null", "null", "missing_required_parameter", "messages"),
    LIST("no message", "[]", "invalid_value", "messages"),
    LIST("messages a string", "\"hi\"", "invalid_type", "messages"),
    LIST("messages an object", "{\"role\":\"user\",\"content\":\"x\"}", "invalid_type", "messages"),
    MESSAGE("a message that is a string", "\"hi\"", "invalid_type", "messages[0]"),
    MESSAGE("a message that is null", "null", "invalid_type", "messages[0]"),
    MESSAGE("a message that is a list", "[]", "invalid_type", "messages[0]"),
    MESSAGE("an empty message", "{}", "missing_required_parameter", "messages[0].role"),
    MESSAGE("no role", "{\"content\":\"x\"}", "missing_required_parameter", "messages[0].role"),
    MESSAGE("role null", "{\"role\":null,\"content\":\"x\"}", "missing_required_parameter",
            "messages[0].role"),
    MESSAGE("role 1", "{\"role\":1,\"content\":\"x\"}", "invalid_type", "messages[0].role"),
    MESSAGE("an unknown role", "{\"role\":\"king\",\"content\":\"x\"}", "invalid_value",
            "messages[0].role"),
    MESSAGE("User", "{\"role\":\"User\",\"content\":\"x\"}", "invalid_value", "messages[0].role"),
    MESSAGE("an empty role", "{\"role\":\"\",\"content\":\"x\"}", "invalid_value",
            "messages[0].role"),
    MESSAGE("no content", "{\"role\":\"user\"}", "missing_required_parameter",
            "messages[0].content"),
    CONTENT("content null", "null", "missing_required_parameter", "messages[0].content"),
    CONTENT("content 5", "5", "invalid_type", "messages[0].content"),
    CONTENT("content false", "false", "invalid_type", "messages[0].content"),
    CONTENT("content an object", "{\"text\":\"x\"}", "invalid_type", "messages[0].content"),
    CONTENT("no part", "[]", "invalid_type", "messages[0].content"),
    CONTENT("a part that is a string", "[\"x\"]", "invalid_type", "messages[0].content[0]"),
    CONTENT("a part that is null", "[null]", "invalid_type", "messages[0].content[0]"),
    CONTENT("a part without a type", "[{\"text\":\"x\"}]", "invalid_type",
            "messages[0].content[0]"),
    CONTENT("a part whose type is a number", "[{\"type\":1,\"text\":\"x\"}]", "invalid_type",
            "messages[0].content[0]"),
    CONTENT("a part without its text", "[{\"type\":\"text\"}]", "invalid_type",
            "messages[0].content[0]"),
    CONTENT("a part whose text is a number", "[{\"type\":\"text\",\"text\":7}]", "invalid_type",
            "messages[0].content[0]"),
    CONTENT("the second part", "[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\"}]",
            "invalid_type", "messages[0].content[1]"),
    LIST("the third message",
         "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":null},"
         "{\"role\":\"user\",\"content\":7}]",
         "invalid_type", "messages[2].content"),
};

/* --- numbers, flags and stops --- */

static const struct bad_request values[] = {
    VALUE("max_completion_tokens", "0", "invalid_value"),
    VALUE("max_completion_tokens", "-5", "invalid_value"),
    VALUE("max_completion_tokens", "-9223372036854775808", "invalid_value"),
    VALUE("max_completion_tokens", "-9223372036854775809", "invalid_value"),
    VALUE("max_completion_tokens", "2147483648", "invalid_value"),
    VALUE("max_completion_tokens", "9223372036854775807", "invalid_value"),
    VALUE("max_completion_tokens", "9223372036854775808", "invalid_value"),
    VALUE("max_completion_tokens", "18446744073709551615", "invalid_value"),
    VALUE("max_completion_tokens", "18446744073709551616", "invalid_value"),
    VALUE("max_completion_tokens", "1e300", "invalid_value"),
    VALUE("max_completion_tokens", "10000001", "invalid_value"),
    VALUE("max_completion_tokens", "1.5", "invalid_type"),
    VALUE("max_completion_tokens", "\"5\"", "invalid_type"),
    VALUE("max_completion_tokens", "true", "invalid_type"),
    VALUE("max_completion_tokens", "[5]", "invalid_type"),
    VALUE("max_completion_tokens", "{}", "invalid_type"),
    VALUE("max_output_tokens", "0", "invalid_value"),
    VALUE("max_output_tokens", "-1", "invalid_value"),
    VALUE("max_output_tokens", "\"many\"", "invalid_type"),
    VALUE("temperature", "-0.1", "invalid_value"),
    VALUE("temperature", "2.1", "invalid_value"),
    VALUE("temperature", "1e308", "invalid_value"),
    VALUE("temperature", "9223372036854775807", "invalid_value"),
    VALUE("temperature", "\"5\"", "invalid_type"),
    VALUE("temperature", "true", "invalid_type"),
    VALUE("temperature", "[]", "invalid_type"),
    VALUE("top_p", "-1", "invalid_value"),
    VALUE("top_p", "1.0001", "invalid_value"),
    VALUE("top_p", "\"0.5\"", "invalid_type"),
    VALUE("top_p", "{}", "invalid_type"),
    VALUE("top_k", "-1", "invalid_value"),
    VALUE("top_k", "2147483648", "invalid_value"),
    VALUE("top_k", "9223372036854775808", "invalid_value"),
    VALUE("top_k", "1.5", "invalid_type"),
    VALUE("top_k", "\"40\"", "invalid_type"),
    VALUE("min_p", "2", "invalid_value"),
    VALUE("min_p", "-0.5", "invalid_value"),
    VALUE("min_p", "\"0\"", "invalid_type"),
    VALUE("frequency_penalty", "-2.5", "invalid_value"),
    VALUE("frequency_penalty", "\"x\"", "invalid_type"),
    VALUE("presence_penalty", "2.5", "invalid_value"),
    VALUE("presence_penalty", "false", "invalid_type"),
    VALUE("seed", "1.5", "invalid_type"),
    VALUE("seed", "\"5\"", "invalid_type"),
    VALUE("seed", "18446744073709551616", "invalid_type"),
    VALUE("seed", "-9223372036854775809", "invalid_type"),
    VALUE("n", "0", "unsupported_parameter"),
    VALUE("n", "2", "unsupported_parameter"),
    VALUE("n", "-1", "unsupported_parameter"),
    VALUE("n", "9223372036854775808", "unsupported_parameter"),
    VALUE("n", "\"1\"", "invalid_type"),
    VALUE("n", "1.0", "invalid_type"),
    VALUE("stream", "\"true\"", "invalid_type"),
    VALUE("stream", "1", "invalid_type"),
    VALUE("stream_options", "true", "invalid_type"),
    VALUE("stream_options", "[]", "invalid_type"),
    MEMBER("include_usage a string", "\"stream_options\":{\"include_usage\":\"yes\"}",
           "invalid_type", "stream_options.include_usage"),
    MEMBER("include_usage 1", "\"stream_options\":{\"include_usage\":1}", "invalid_type",
           "stream_options.include_usage"),
    VALUE("user", "5", "invalid_type"),
    VALUE("user", "{}", "invalid_type"),
    VALUE("stop", "5", "invalid_type"),
    VALUE("stop", "{}", "invalid_type"),
    VALUE("stop", "true", "invalid_type"),
    VALUE("stop", "\"\"", "invalid_value"),
    VALUE("stop", "[\"\"]", "invalid_value"),
    VALUE("stop", "[\"a\",5]", "invalid_type"),
    VALUE("stop", "[null]", "invalid_type"),
    VALUE("stop", "[[\"a\"]]", "invalid_type"),
    VALUE("stop",
          "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\","
          "\"14\",\"15\",\"16\",\"17\"]",
          "invalid_value"),
};

#define SEND(rows) bad_requests_send(rows, sizeof(rows) / sizeof(rows)[0])

static void what_is_no_json_is_400_without_a_field(void **state)
{
    (void)state;
    SEND(no_json);
}

static void what_is_no_utf8_is_told_as_that(void **state)
{
    (void)state;
    SEND(no_utf8);
}

/* What is priced must be what is forwarded, whichever of the two a parser takes. */
static void what_stands_twice_is_400_and_named(void **state)
{
    (void)state;
    SEND(twice);
}

static void a_wrong_model_or_message_is_named_by_its_place(void **state)
{
    (void)state;
    SEND(messages);
}

static void a_wrong_value_is_named_by_its_field(void **state)
{
    (void)state;
    SEND(values);
}

/* Wherever a connection's bytes may end, but the length says that this is all. */
static void a_body_cut_at_any_byte_is_no_json(void **state)
{
    static const char body[] = BAD_GOOD_BODY;
    struct bad_world b;
    (void)state;

    bad_world_up(&b);
    for (size_t n = 0; n < sizeof body - 1; n++) {
        char name[32];
        const struct bad_request row = {name, BAD_BODY, {body, n}, 400, "invalid_json", NULL};

        snprintf(name, sizeof name, "cut behind byte %zu", n);
        bad_request_send(&b, &row, n > 0);
    }
    bad_world_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_json_is_400_without_a_field),
        cmocka_unit_test(what_is_no_utf8_is_told_as_that),
        cmocka_unit_test(what_stands_twice_is_400_and_named),
        cmocka_unit_test(a_wrong_model_or_message_is_named_by_its_place),
        cmocka_unit_test(a_wrong_value_is_named_by_its_field),
        cmocka_unit_test(a_body_cut_at_any_byte_is_no_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
