/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider's inference_error means (R1, FR-7, FR-39, FR-46). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/provider_error.h"

/* Words that must appear nowhere: a prompt's, from a provider that quotes it. */
#define SECRET "the patient's name is"

static struct provider_verdict judge(int64_t status, const char *code, const char *param)
{
    const struct msg_inference_error m = {
        .request_id = STR("r"),
        .error = STR(SECRET),
        .status_code = status,
        .code = code ? str_from(code) : (struct str){0},
        .param = param ? str_from(param) : (struct str){0},
        .prompt_tokens = PROTO_UNSET,
        .context_tokens = PROTO_UNSET,
    };
    struct provider_verdict v;

    provider_error_judge(&m, &v);
    return v;
}

/* R1: one provider that answers 401, 402 or 429 to everything took every request down with it. */
static void of_a_status_alone_only_400_413_and_422_are_the_requests_fault(void **state)
{
    (void)state;
    for (int64_t status = -1; status <= 1000; status++) {
        struct provider_verdict v = judge(status, NULL, NULL);
        bool request = status == 400 || status == 413 || status == 422;
        bool load = status == 429 || status == 503;

        assert_int_equal(v.class, request ? PROVIDER_REQUEST_FAULT
                                  : load  ? PROVIDER_REFUSED_LOAD
                                          : PROVIDER_FAULT);
        assert_int_equal(v.error.status, request ? status : load ? v.error.status : 502);
    }
    assert_int_equal(judge(INT64_MAX, NULL, NULL).class, PROVIDER_FAULT);
    assert_int_equal(judge(INT64_MIN, NULL, NULL).class, PROVIDER_FAULT);
}

static const struct {
    int64_t status;
    const char *code, *param;
    enum provider_error_class class;
    enum api_error_id id;
    const char *reason;
} rows[] = {
    /* what our own provider sends */
    {400, "context_length_exceeded", "messages", PROVIDER_REQUEST_FAULT, API_CONTEXT_LENGTH,
     "context_length_exceeded"},
    {400, "invalid_value", "messages", PROVIDER_REQUEST_FAULT, API_BAD_VALUE, "invalid_value"},
    {400, "unsupported_parameter", "tools", PROVIDER_REQUEST_FAULT, API_UNSUPPORTED,
     "unsupported_parameter"},
    {400, "missing_required_parameter", "model", PROVIDER_REQUEST_FAULT, API_MISSING_FIELD,
     "missing_required_parameter"},
    {400, "invalid_type", "stop", PROVIDER_REQUEST_FAULT, API_BAD_TYPE, "invalid_type"},
    {400, "invalid_json", NULL, PROVIDER_REQUEST_FAULT, API_BAD_JSON, "invalid_json"},
    {400, "invalid_utf8", NULL, PROVIDER_REQUEST_FAULT, API_BAD_UTF8, "invalid_utf8"},
    {400, "invalid_request_error", NULL, PROVIDER_REQUEST_FAULT, API_BAD_REQUEST,
     "invalid_request_error"},
    {503, "overloaded", NULL, PROVIDER_REFUSED_LOAD, API_NO_CAPACITY, "overloaded"},
    {500, "internal_error", NULL, PROVIDER_FAULT, API_PROVIDER, "internal_error"},
    {404, "model_not_found", "model", PROVIDER_FAULT, API_PROVIDER, "model_not_found"},
    /* what the coordinator made is not the consumer's fault */
    {400, "invalid_request_error", "encrypted_body", PROVIDER_FAULT, API_PROVIDER,
     "invalid_request_error"},
    {400, "invalid_request_error", "request_id", PROVIDER_FAULT, API_PROVIDER,
     "invalid_request_error"},
    /* want of room has many words and statuses */
    {503, "busy", NULL, PROVIDER_REFUSED_LOAD, API_NO_CAPACITY, "busy"},
    {500, "no_capacity", NULL, PROVIDER_REFUSED_LOAD, API_NO_CAPACITY, "no_capacity"},
    {0, "queue_full", NULL, PROVIDER_REFUSED_LOAD, API_NO_CAPACITY, "queue_full"},
    {429, "rate_limit_exceeded", NULL, PROVIDER_REFUSED_LOAD, API_NO_CAPACITY,
     "rate_limit_exceeded"},
    {504, "deadline_exceeded", NULL, PROVIDER_REFUSED_LOAD, API_NO_CAPACITY, "deadline_exceeded"},
    {503, "model_loading", NULL, PROVIDER_REFUSED_LOAD, API_NO_CAPACITY, "model_loading"},
    {503, "draining", NULL, PROVIDER_REFUSED_LOAD, API_NO_CAPACITY, "draining"},
    /* a code that blames the request needs a status that does so too */
    {503, "invalid_value", "messages", PROVIDER_REFUSED_LOAD, API_NO_CAPACITY, "status_503"},
    {500, "context_length_exceeded", NULL, PROVIDER_FAULT, API_PROVIDER, "other"},
    {401, "invalid_request_error", NULL, PROVIDER_FAULT, API_PROVIDER, "other"},
    {0, "unsupported_parameter", "tools", PROVIDER_FAULT, API_PROVIDER, "other"},
    /* a code that blames the provider is believed whatever the status */
    {400, "internal_error", NULL, PROVIDER_FAULT, API_PROVIDER, "internal_error"},
    {400, "overloaded", NULL, PROVIDER_REFUSED_LOAD, API_NO_CAPACITY, "overloaded"},
    /* words that stand in no table: the status decides alone */
    {400, SECRET, SECRET, PROVIDER_REQUEST_FAULT, API_BAD_REQUEST, "status_400"},
    {413, "too_big", NULL, PROVIDER_REQUEST_FAULT, API_BODY_TOO_LARGE, "status_413"},
    {422, "Overloaded", NULL, PROVIDER_REQUEST_FAULT, API_UNPROCESSABLE, "status_422"},
    {418, SECRET, NULL, PROVIDER_FAULT, API_PROVIDER, "other"},
};

static void a_code_and_a_status_together_say_whose_fault_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct provider_verdict v = judge(rows[i].status, rows[i].code, rows[i].param);

        if (v.class != rows[i].class || v.error.id != rows[i].id ||
            strcmp(v.reason, rows[i].reason) != 0)
            fail_msg("%d %s: %s, %s, %s", (int)rows[i].status, rows[i].code,
                     provider_error_class_name(v.class), v.error.code, v.reason);
    }
}

/* FR-46: providers' error prose held prompt text. */
static void no_word_of_a_provider_gets_through(void **state)
{
    static const char *const codes[] = {SECRET, "invalid_value", "context_length_exceeded",
                                        "overloaded", NULL};
    static const int64_t statuses[] = {0, 400, 401, 413, 422, 429, 500, 503};

    (void)state;
    for (size_t c = 0; c < sizeof codes / sizeof codes[0]; c++) {
        for (size_t s = 0; s < sizeof statuses / sizeof statuses[0]; s++) {
            struct provider_verdict v = judge(statuses[s], codes[c], SECRET);
            struct buf out;

            buf_init(&out, 4096);
            assert_int_equal(api_error_write(&v.error, &out), 0);
            assert_null(memmem(buf_view(&out).p, out.len, SECRET, strlen(SECRET)));
            assert_string_equal(v.error.param, "");
            assert_null(strstr(v.reason, SECRET));
            assert_true(strlen(v.error.message) > 0);
            buf_free(&out);
        }
    }
}

static void only_names_of_parameters_are_passed_on(void **state)
{
    static const struct {
        const char *param;
        bool passed;
    } params[] = {
        {"messages", true},
        {"messages[0]", true},
        {"messages[12].content[3]", true},
        {"messages[1234567].tool_calls", true},
        {"response_format", true},
        {"stream_options.include_usage", true},
        {"messages[12345678].content[3]", false},
        {"messages[].role", false},
        {"messages[-1].role", false},
        {"messages[1].role ", false},
        {"messages[1].secret", false},
        {"messages[1", false},
        {"message", false},
        {"messagess", false},
        {"", false},
        {"tools\n", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++)
        assert_string_equal(judge(400, "invalid_value", params[i].param).error.param,
                            params[i].passed ? params[i].param : "");
    /* The consumer cannot mend what is not its own fault. */
    assert_string_equal(judge(503, "overloaded", "messages").error.param, "");
    assert_string_equal(judge(404, "model_not_found", "model").error.param, "");
}

static void numbers_of_tokens_come_as_numbers_or_not_at_all(void **state)
{
    static const struct {
        int64_t prompt, context;
        const char *says;
    } cases[] = {
        {9000, 8192, "has 9000 tokens, and the model's context holds 8192"},
        {PROTO_UNSET, 8192, "which is 8192"},
        {0, 8192, "which is 8192"},
        {-5, 1, "which is 1 "},
        {9000, PROTO_UNSET, "more tokens than the model's context holds with"},
        {9000, 0, "more tokens than the model's context holds with"},
        {9000, INT64_MAX, "more tokens than the model's context holds with"},
        {INT64_MAX, 8192, "which is 8192"},
        {PROVIDER_ERROR_TOKENS_MAX, PROVIDER_ERROR_TOKENS_MAX, "has 100000000 tokens"},
        {PROVIDER_ERROR_TOKENS_MAX + 1, 1, "which is 1 "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct msg_inference_error m = {.status_code = 400,
                                        .code = STR("context_length_exceeded"),
                                        .param = STR("messages"),
                                        .prompt_tokens = cases[i].prompt,
                                        .context_tokens = cases[i].context};
        struct provider_verdict v;

        provider_error_judge(&m, &v);
        if (!strstr(v.error.message, cases[i].says))
            fail_msg("%s", v.error.message);
        assert_string_equal(v.error.param, "messages");
        assert_string_equal(v.error.code, "context_length_exceeded");
        m.status_code = 503; /* then the numbers are no business of the consumer's */
        provider_error_judge(&m, &v);
        assert_null(strstr(v.error.message, "8192"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_status_alone_only_400_413_and_422_are_the_requests_fault),
        cmocka_unit_test(a_code_and_a_status_together_say_whose_fault_it_is),
        cmocka_unit_test(no_word_of_a_provider_gets_through),
        cmocka_unit_test(only_names_of_parameters_are_passed_on),
        cmocka_unit_test(numbers_of_tokens_come_as_numbers_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
