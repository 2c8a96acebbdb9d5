/* SPDX-License-Identifier: Apache-2.0 */
/* The refusals are closed codes (FR-46): each is one that the coordinator's table knows, and none
 * carries a word of the request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "provider/serve/refusal.h"

#define SECRET "the patient's name is"

static struct provider_verdict judged(const struct api_error *e)
{
    const struct msg_inference_error m = {
        .error = str_from(e->message),
        .status_code = e->status,
        .code = str_from(e->code),
        .param = str_from(e->param),
        .prompt_tokens = e->prompt_tokens > 0 ? e->prompt_tokens : PROTO_UNSET,
        .context_tokens = e->context_tokens > 0 ? e->context_tokens : PROTO_UNSET};
    struct provider_verdict v;

    provider_error_judge(&m, &v);
    return v;
}

static void each_refusal_is_judged_as_it_is_meant(void **state)
{
    static const struct {
        const char *code;
        enum provider_error_class class;
    } meant[] = {
#define MEANT(name, status, code, param, class_) {code, PROVIDER_##class_},
        REFUSAL_TABLE(MEANT)
#undef MEANT
    };

    (void)state;
    for (int i = 0; i < REFUSAL_COUNT; i++) {
        struct api_error e;
        struct provider_verdict v;

        assert_int_equal(refusal_set(&e, (enum refusal)i), ERR_DENIED);
        v = judged(&e);
        assert_int_equal(v.class, meant[i].class);
        assert_string_equal(v.reason, meant[i].code); /* known by its code, not by its status */
        assert_string_equal(e.code, meant[i].code);
        assert_true(e.message[0] != '\0');
    }
}

/* What the parser finds is the request's own fault for every provider, whatever it found. */
static void what_the_parser_found_is_passed_on_as_a_code_and_a_known_parameter(void **state)
{
    static const enum api_error_id found[] = {API_BAD_JSON,      API_BAD_UTF8, API_BAD_REQUEST,
                                              API_MISSING_FIELD, API_BAD_TYPE, API_BAD_VALUE,
                                              API_UNSUPPORTED};

    (void)state;
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        struct api_error f, e;

        (void)api_error_set(&f, found[i], "messages[17].content", "it says " SECRET);
        assert_int_equal(refusal_of_parse(&f, &e), ERR_DENIED);
        assert_int_equal(judged(&e).class, PROVIDER_REQUEST_FAULT);
        assert_int_equal(e.status, 400);
        assert_string_equal(e.code, f.code);
        assert_string_equal(e.param, "messages[17].content");
        assert_null(strstr(e.message, SECRET));
        (void)api_error_set(&f, found[i], SECRET, "it says " SECRET);
        (void)refusal_of_parse(&f, &e);
        assert_string_equal(e.param, "");
    }
}

static void what_is_not_supported_is_named_where_the_name_is_one_of_the_api(void **state)
{
    struct api_error e;

    (void)state;
    assert_int_equal(refusal_unsupported(&e, "tools"), ERR_DENIED);
    assert_string_equal(e.code, "unsupported_parameter");
    assert_string_equal(e.param, "tools");
    assert_int_equal(judged(&e).class, PROVIDER_REQUEST_FAULT);
    (void)refusal_unsupported(&e, SECRET);
    assert_string_equal(e.param, "");
}

static void a_long_prompt_carries_its_numbers_and_no_more(void **state)
{
    struct api_error e;

    (void)state;
    (void)refusal_of_engine(ERR_LIMIT, 4010, 2048, &e);
    assert_int_equal(e.prompt_tokens, 4010);
    assert_int_equal(e.context_tokens, 2048);
    assert_non_null(strstr(e.message, "4010"));
    assert_non_null(strstr(judged(&e).error.message, "4010"));
    (void)refusal_of_engine(ERR_LIMIT, 0, 2048, &e); /* refused before anybody counted */
    assert_null(strstr(e.message, " 0 "));
    assert_non_null(strstr(e.message, "2048"));
}

static void a_run_that_is_too_long_says_so_and_how_to_break_it(void **state)
{
    struct api_error e;

    (void)state;
    (void)refusal_of_engine(ERR_RANGE, 0, 2048, &e);
    assert_string_equal(e.code, "run_too_long");
    assert_string_equal(e.param, "messages");
    assert_int_equal(judged(&e).class, PROVIDER_REQUEST_FAULT);
    assert_string_equal(judged(&e).error.code, "invalid_value");
    assert_non_null(strstr(e.message, "65536 characters"));
    assert_non_null(strstr(e.message, "break them up with spaces"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_is_judged_as_it_is_meant),
        cmocka_unit_test(what_the_parser_found_is_passed_on_as_a_code_and_a_known_parameter),
        cmocka_unit_test(what_is_not_supported_is_named_where_the_name_is_one_of_the_api),
        cmocka_unit_test(a_long_prompt_carries_its_numbers_and_no_more),
        cmocka_unit_test(a_run_that_is_too_long_says_so_and_how_to_break_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
