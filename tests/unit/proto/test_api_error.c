/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as a consumer's SDK reads them: all four members, always, and valid JSON whatever a
 * message quotes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <yyjson.h>

#include "proto/api_error.h"

enum { OUT_BYTES = 1 << 16 };

static yyjson_doc *written(const struct api_error *e)
{
    struct buf out;
    yyjson_doc *doc;

    buf_init(&out, OUT_BYTES);
    assert_int_equal(api_error_write(e, &out), 0);
    doc = yyjson_read(buf_view(&out).p, out.len, 0);
    if (!doc)
        fail_msg("not JSON: %.*s", STR_ARG(buf_view(&out)));
    buf_free(&out);
    return doc;
}

static const char *member(yyjson_doc *doc, const char *name)
{
    yyjson_val *error = yyjson_obj_get(yyjson_doc_get_root(doc), "error");

    assert_int_equal(yyjson_obj_size(error), 4);
    return yyjson_get_str(yyjson_obj_get(error, name));
}

static void every_row_has_a_status_a_type_and_a_code(void **state)
{
    (void)state;
    for (int id = API_OK + 1; id < API_ERROR_COUNT; id++) {
        struct api_error e;
        yyjson_doc *doc;

        assert_int_equal(api_error_set(&e, (enum api_error_id)id, "p", "because of %d", id),
                         ERR_DENIED);
        assert_int_equal(e.id, id);
        assert_true(e.status >= 400 && e.status <= 599);
        doc = written(&e);
        assert_non_null(strstr(member(doc, "message"), "because of"));
        assert_true(strlen(member(doc, "type")) > 0);
        assert_string_equal(member(doc, "code"), e.code);
        assert_true(strlen(e.code) > 0);
        assert_string_equal(member(doc, "param"), "p");
        yyjson_doc_free(doc);
    }
}

/* What SDKs and retry middleware decide by. */
static void the_statuses_that_clients_act_on_are_these(void **state)
{
    static const struct {
        enum api_error_id id;
        int status;
        const char *type, *code;
    } rows[] = {
        {API_BAD_JSON, 400, "invalid_request_error", "invalid_json"},
        {API_CONTEXT_LENGTH, 400, "invalid_request_error", "context_length_exceeded"},
        {API_AUTH, 401, "authentication_error", "invalid_api_key"},
        {API_FUNDS, 402, "insufficient_funds", "insufficient_quota"},
        {API_MODEL_NOT_FOUND, 404, "model_not_found", "model_not_found"},
        {API_IN_PROGRESS, 409, "idempotency_error", "idempotency_key_in_use"},
        {API_BODY_TOO_LARGE, 413, "invalid_request_error", "request_too_large"},
        {API_IDEMPOTENCY_MISMATCH, 422, "idempotency_error", "idempotency_key_reused"},
        {API_RATE_LIMIT, 429, "rate_limit_exceeded", "rate_limit_exceeded"},
        {API_INTERNAL, 500, "internal_error", "internal_error"},
        {API_PROVIDER, 502, "provider_error", "provider_error"},
        {API_NO_CAPACITY, 429, "model_not_available", "model_not_available"},
        {API_TIMEOUT, 504, "timeout", "timeout"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct api_error e;
        yyjson_doc *doc;

        (void)api_error_set(&e, rows[i].id, NULL, "x");
        assert_int_equal(e.status, rows[i].status);
        assert_string_equal(e.code, rows[i].code);
        doc = written(&e);
        assert_string_equal(member(doc, "type"), rows[i].type);
        yyjson_doc_free(doc);
    }
}

static void an_error_without_a_parameter_says_null(void **state)
{
    struct api_error e;
    struct buf out;

    (void)state;
    (void)api_error_set(&e, API_BAD_JSON, NULL, "no");
    buf_init(&out, OUT_BYTES);
    assert_int_equal(api_error_write(&e, &out), 0);
    assert_true(str_is(buf_view(&out),
                       "{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\","
                       "\"param\":null,\"code\":\"invalid_json\"}}"));
    buf_free(&out);
}

static void what_a_message_quotes_is_escaped(void **state)
{
    struct api_error e;
    yyjson_doc *doc;

    (void)state;
    (void)api_error_set(&e, API_BAD_VALUE, "a\"b", "it says \"%s\"", "x\\\n\x01</script>");
    doc = written(&e);
    assert_string_equal(member(doc, "message"), "it says \"x\\\n\x01</script>\"");
    assert_string_equal(member(doc, "param"), "a\"b");
    yyjson_doc_free(doc);
}

static void a_message_that_is_cut_ends_with_a_whole_character(void **state)
{
    (void)state;
    for (size_t lead = 0; lead < 5; lead++) {
        char text[600] = "....";
        struct api_error e;
        yyjson_doc *doc;

        for (size_t at = lead; at + 4 < sizeof text; at += 4)
            memcpy(text + at, "\xF0\x9F\x98\x80", 4);
        (void)api_error_set(&e, API_BAD_VALUE, NULL, "%s", text);
        doc = written(&e);
        assert_null(strstr(member(doc, "message"), "\xEF\xBF\xBD"));
        assert_true(strlen(member(doc, "message")) > sizeof e.message - 8);
        yyjson_doc_free(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_a_status_a_type_and_a_code),
        cmocka_unit_test(the_statuses_that_clients_act_on_are_these),
        cmocka_unit_test(an_error_without_a_parameter_says_null),
        cmocka_unit_test(what_a_message_quotes_is_escaped),
        cmocka_unit_test(a_message_that_is_cut_ends_with_a_whole_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
