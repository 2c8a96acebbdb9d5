/* SPDX-License-Identifier: Apache-2.0 */
/* What a chat request says about the form of its answer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/chat.h"

#define BODY(more) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]" more "}"
#define TOOLS      "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"

struct parsed {
    struct arena region;
    struct chat_request r;
    struct api_error e;
    int rc;
};

static int parsed_up(struct parsed *p, const char *body)
{
    memset(p, 0, sizeof *p);
    arena_init(&p->region, 1 << 20);
    p->rc = chat_request_parse(str_from(body), &p->region, &p->r, &p->e);
    return p->rc;
}

static void all_fields_are_found(void **state)
{
    struct parsed p;

    (void)state;
    if (parsed_up(&p,
                  BODY(",\"tools\":" TOOLS ",\"tool_choice\":\"required\",\"parallel_tool_calls\":"
                       "false,\"response_format\":{\"json_schema\":{\"name\":\"n\",\"schema\":{"
                       "\"type\":\"null\"}},\"type\":\"json_schema\"},\"logprobs\":true,"
                       "\"top_logprobs\":20,\"logit_bias\":{\"7\":-100,\"0\":2.5e0},\"min_p\":0.1,"
                       "\"repetition_penalty\":1.5,\"chat_template_kwargs\":{\"a\":1},"
                       "\"reasoning_effort\":\"low\"")) < 0)
        fail_msg("%s", p.e.message);
    assert_true(str_is(p.r.tools, TOOLS));
    assert_true(str_is(p.r.tool_choice, "\"required\""));
    assert_true(p.r.no_parallel_calls && p.r.logprobs);
    assert_true(str_is(p.r.schema, "{\"type\":\"null\"}"));
    assert_non_null(p.r.response_format.p);
    assert_int_equal(p.r.top_logprobs, 20);
    assert_int_equal(p.r.n_biases, 2);
    assert_int_equal(p.r.biases[0].token, 7);
    assert_true(fabsf(p.r.biases[0].add + 100) < 1e-6F && fabsf(p.r.biases[1].add - 2.5F) < 1e-6F);
    assert_true(fabs(p.r.min_p - 0.1) < 1e-9 && fabs(p.r.repetition_penalty - 1.5) < 1e-9);
    assert_true(str_is(p.r.template_kwargs, "{\"a\":1}"));
    assert_true(str_is(p.r.reasoning_effort, "\"low\""));
    assert_null(p.r.beyond_text);
    arena_free(&p.region);
}

static void nulls_and_empty_lists_are_nothing(void **state)
{
    struct parsed p;

    (void)state;
    assert_int_equal(
        parsed_up(&p, BODY(",\"tools\":[],\"tool_choice\":\"auto\",\"response_format\":{"
                           "\"type\":\"text\"},\"logprobs\":null,\"logit_bias\":{},"
                           "\"parallel_tool_calls\":null")),
        0);
    assert_null(p.r.tools.p);
    assert_null(p.r.response_format.p);
    assert_null(p.r.schema.p);
    assert_false(p.r.logprobs || p.r.no_parallel_calls);
    assert_int_equal(p.r.n_biases, 0);
    assert_true(fabs(p.r.repetition_penalty - 1) < 1e-12);
    arena_free(&p.region);
}

static void json_object_is_a_format_without_a_schema(void **state)
{
    struct parsed p;

    (void)state;
    assert_int_equal(parsed_up(&p, BODY(",\"response_format\":{\"type\":\"json_object\"}")), 0);
    assert_non_null(p.r.response_format.p);
    assert_null(p.r.schema.p);
    arena_free(&p.region);
}

/* Other servers' words and kinds: passed on by a coordinator, refused by name by our engine. */
static void what_no_engine_here_does_is_noted(void **state)
{
    static const struct {
        const char *body, *beyond;
    } cases[] = {
        {BODY(",\"response_format\":{\"type\":\"grammar\",\"grammar\":\"x\"}"), "response_format"},
        {BODY(",\"grammar\":\"root ::= x\""), "grammar"},
        {BODY(",\"json_schema\":{}"), "json_schema"},
        {BODY(",\"guided_json\":{}"), "guided_json"},
        {BODY(",\"functions\":[{}]"), "functions"},
        {BODY(",\"function_call\":{\"name\":\"f\"}"), "function_call"},
        {BODY(",\"grammar\":\"\",\"guided_json\":null"), NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parsed p;

        assert_int_equal(parsed_up(&p, cases[i].body), 0);
        if (!cases[i].beyond != !p.r.beyond_text ||
            (cases[i].beyond && strcmp(cases[i].beyond, p.r.beyond_text) != 0))
            fail_msg("%s: %s", cases[i].body, p.r.beyond_text ? p.r.beyond_text : "nothing");
        arena_free(&p.region);
    }
}

/* fields, the parameter that is blamed */
static const struct {
    const char *body, *param;
} wrongs[] = {
    {BODY(",\"tools\":{}"), "tools"},
    {BODY(",\"tools\":[7]"), "tools"},
    {BODY(",\"tool_choice\":7"), "tool_choice"},
    {BODY(",\"tool_choice\":\"always\""), "tool_choice"},
    {BODY(",\"tool_choice\":\"required\""), "tool_choice"},
    {BODY(",\"tools\":[],\"tool_choice\":{}"), "tool_choice"},
    {BODY(",\"parallel_tool_calls\":1"), "parallel_tool_calls"},
    {BODY(",\"response_format\":\"json\""), "response_format"},
    {BODY(",\"response_format\":{}"), "response_format"},
    {BODY(",\"response_format\":{\"type\":7}"), "response_format"},
    {BODY(",\"response_format\":{\"type\":\"json_schema\"}"), "response_format.json_schema"},
    {BODY(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":7}}"),
     "response_format.json_schema.schema"},
    {BODY(",\"logprobs\":1"), "logprobs"},
    {BODY(",\"top_logprobs\":1"), "top_logprobs"},
    {BODY(",\"logprobs\":true,\"top_logprobs\":21"), "top_logprobs"},
    {BODY(",\"logprobs\":true,\"top_logprobs\":-1"), "top_logprobs"},
    {BODY(",\"logit_bias\":[]"), "logit_bias"},
    {BODY(",\"logit_bias\":{\"a\":1}"), "logit_bias"},
    {BODY(",\"logit_bias\":{\"-1\":1}"), "logit_bias"},
    {BODY(",\"logit_bias\":{\"4294967296\":1}"), "logit_bias"},
    {BODY(",\"logit_bias\":{\"1\":100.5}"), "logit_bias"},
    {BODY(",\"logit_bias\":{\"1\":\"NaN\"}"), "logit_bias"},
    {BODY(",\"min_p\":-0.1"), "min_p"},
    {BODY(",\"repetition_penalty\":0"), "repetition_penalty"},
    {BODY(",\"repetition_penalty\":2.1"), "repetition_penalty"},
    {BODY(",\"repetition_penalty\":\"NaN\""), "repetition_penalty"},
    {BODY(",\"chat_template_kwargs\":[]"), "chat_template_kwargs"},
    {BODY(",\"reasoning_effort\":3"), "reasoning_effort"},
};

static void wrong_kinds_and_values_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct parsed p;

        if (parsed_up(&p, wrongs[i].body) != ERR_DENIED || p.e.status != 400 ||
            strcmp(p.e.param, wrongs[i].param) != 0)
            fail_msg("%s: %d, %s", wrongs[i].body, p.rc, p.e.param);
        arena_free(&p.region);
    }
}

static void more_biases_than_allowed_are_refused_and_as_many_pass(void **state)
{
    static char body[64 << 10];

    (void)state;
    for (int extra = 0; extra <= 1; extra++) {
        struct parsed p;
        size_t n = (size_t)snprintf(body, sizeof body, "%s", "{\"model\":\"m\",\"logit_bias\":{");

        for (int i = 0; i < CHAT_MAX_BIASES + extra; i++)
            n += (size_t)snprintf(body + n, sizeof body - n, "%s\"%d\":1", i > 0 ? "," : "", i);
        (void)snprintf(body + n, sizeof body - n,
                       "},\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}");
        assert_int_equal(parsed_up(&p, body), extra ? ERR_DENIED : 0);
        assert_int_equal(p.r.n_biases, extra ? 0 : CHAT_MAX_BIASES);
        arena_free(&p.region);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_are_found),
        cmocka_unit_test(nulls_and_empty_lists_are_nothing),
        cmocka_unit_test(json_object_is_a_format_without_a_schema),
        cmocka_unit_test(what_no_engine_here_does_is_noted),
        cmocka_unit_test(wrong_kinds_and_values_are_refused_by_name),
        cmocka_unit_test(more_biases_than_allowed_are_refused_and_as_many_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
