/* SPDX-License-Identifier: Apache-2.0 */
/* Requests through real templates of several shapes: the prompt, and what is read from an answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "provider/engine/chat_shim.h"
#include "provider/engine/constrain.h"
#include "provider/engine/form.h"
#include "unit/provider/fake_templates.h"
#include "unit/provider/fake_vocab.h"

#define HI "[{\"role\":\"user\",\"content\":\"hi\"}]"
#define TOOL(name)                                                                         \
    "{\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"parameters\":{\"type\":" \
    "\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},\"required\":[\"city\"]}}}"
#define TOOLS "[" TOOL("weather") "," TOOL("time") "]"

struct world {
    struct llama_model *model;
    struct chat_shim *shim;
    struct buf prompt;
    struct form form;
    enum engine_wrong wrong;
    char said[4096]; /* "C:content R:reasoning #0 id N:name A:arguments", merged by kind */
    int last_channel, last_call;
};

static void world_open(struct world *w, const char *template)
{
    memset(w, 0, sizeof *w);
    w->model = fake_vocab_open(template);
    w->shim = chat_shim_new(w->model);
    assert_non_null(w->shim);
    buf_init(&w->prompt, 1 << 20);
    w->last_channel = -1;
}

static void world_close(struct world *w)
{
    form_free(&w->form);
    buf_free(&w->prompt);
    chat_shim_free(w->shim);
    llama_model_free(w->model);
}

static int world_render(struct world *w, const struct form_ask *ask)
{
    return form_render(w->shim, llama_model_get_vocab(w->model), ask, &w->prompt, &w->form,
                       &w->wrong);
}

static bool prompt_holds(const struct world *w, const char *text)
{
    struct str v = buf_view(&w->prompt);

    return memmem(v.p, v.n, text, strlen(text)) != NULL;
}

static int take(void *ud, enum chat_shim_channel channel, int call, const char *text, size_t n)
{
    static const char letters[] = {'C', 'R', '#', 'N', 'A'};
    struct world *w = ud;
    size_t used = strlen(w->said);

    if ((int)channel != w->last_channel || call != w->last_call)
        used += (size_t)snprintf(w->said + used, sizeof w->said - used,
                                 "%s%c%d:", used > 0 ? "|" : "", letters[channel], call);
    (void)snprintf(w->said + used, sizeof w->said - used, "%.*s", (int)n, text);
    w->last_channel = (int)channel;
    w->last_call = call;
    return 0;
}

/* The answer arrives byte by byte and is read after each. */
static const char *read_bytewise(struct world *w, const char *answer)
{
    assert_non_null(w->form.reader);
    for (const char *p = answer; *p; p++) {
        assert_int_equal(chat_reader_add(w->form.reader, p, 1), 0);
        assert_int_equal(chat_reader_read(w->form.reader, false, take, w), 0);
    }
    assert_int_equal(chat_reader_read(w->form.reader, true, take, w), 0);
    return w->said;
}

static void a_plain_template_needs_no_reader_and_no_grammar(void **state)
{
    const struct form_ask ask = {.messages = STR(HI)};
    struct world w;

    (void)state;
    world_open(&w, TEMPLATE_PLAIN);
    assert_int_equal(world_render(&w, &ask), 0);
    assert_true(
        str_is(buf_view(&w.prompt), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"));
    assert_null(w.form.reader);
    assert_null(w.form.constraint);
    world_close(&w);
}

static void the_day_does_not_change_a_prompt(void **state)
{
    const struct form_ask ask = {.messages = STR(HI)};
    struct world w;

    (void)state;
    world_open(&w, TEMPLATE_DATED);
    assert_int_equal(world_render(&w, &ask), 0);
    if (!prompt_holds(&w, "Today is " CHAT_SHIM_DATE ", " CHAT_SHIM_DATE))
        fail_msg("%.*s", STR_ARG(buf_view(&w.prompt)));
    world_close(&w);
}

static void tools_stand_in_the_prompt_with_calls_and_results_of_earlier_turns(void **state)
{
    const struct form_ask ask = {
        .messages =
            STR("[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":"
                "null,\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{"
                "\"name\":\"weather\",\"arguments\":\"{\\\"city\\\":\\\"Oslo\\\"}\"}}]},"
                "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"rain\"}]"),
        .tools = STR(TOOLS)};
    struct world w;

    (void)state;
    world_open(&w, TEMPLATE_TAGGED);
    assert_int_equal(world_render(&w, &ask), 0);
    assert_true(prompt_holds(&w, "\"name\": \"weather\""));
    assert_true(prompt_holds(&w, "\"name\": \"time\""));
    assert_true(prompt_holds(&w, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":"));
    assert_true(prompt_holds(&w, "<tool_response>\nrain\n</tool_response>"));
    assert_non_null(w.form.constraint);
    assert_true(form_keeps(&w.form, fake_vocab_token(w.model, "<tool_call>")));
    assert_false(form_keeps(&w.form, fake_vocab_token(w.model, "<|im_start|>")));
    world_close(&w);
}

/* template, whether tools are sent, answer, what is read of it */
static const struct {
    const char *name, *template;
    bool tools;
    const char *answer, *said;
} answers[] = {
    {"content alone", TEMPLATE_TAGGED, false, "Hello there.", "C0:Hello there."},
    {"reasoning that the model opens", TEMPLATE_TAGGED, false, "<think>\nhm\n</think>\n\nYes.",
     "R0:hm\n|C0:Yes."},
    {"reasoning that the template opens", TEMPLATE_THINKING, false, "hm, a < b\n</think>\n\nYes.",
     "R0:hm, a < b\n|C0:Yes."},
    {"one call", TEMPLATE_TAGGED, true,
     "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>",
     "#0:|N0:weather|A0:{\"city\": \"Oslo\"}"},
    {"content, then two calls", TEMPLATE_TAGGED, true,
     "I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": "
     "\"A\"}}\n</tool_call>\n"
     "<tool_call>\n{\"name\": \"time\", \"arguments\": {\"city\": \"B\"}}\n</tool_call>",
     "C0:I look.\n|#0:|N0:weather|A0:{\"city\": \"A\"}|#1:|N1:time|A1:{\"city\": \"B\"}"},
    {"reasoning, then a call", TEMPLATE_THINKING, true,
     "hm\n</think>\n\n<tool_call>\n{\"name\": \"time\", \"arguments\": {\"city\": "
     "\"B\"}}\n</tool_call>",
     "R0:hm\n|#0:|N0:time|A0:{\"city\": \"B\"}"},
    {"calls in one array", TEMPLATE_ARRAY, true,
     "[TOOL_CALLS][{\"name\": \"weather\", \"arguments\": {\"city\": \"A\"}}, {\"name\": \"time\", "
     "\"arguments\": {\"city\": \"B\"}}]",
     "#0:|N0:weather|A0:{\"city\": \"A\"}|#1:|N1:time|A1:{\"city\": \"B\"}"},
    {"a call that is cut", TEMPLATE_TAGGED, true,
     "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Os",
     "#0:|N0:weather|A0:{\"city\": \"Os"},
};

static void answers_are_read_into_content_reasoning_and_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        const struct form_ask ask = {.messages = STR(HI),
                                     .tools = answers[i].tools ? STR(TOOLS) : (struct str){0}};
        struct world w;

        world_open(&w, answers[i].template);
        if (world_render(&w, &ask) < 0)
            fail_msg("%s: wrong %d", answers[i].name, (int)w.wrong);
        if (strcmp(read_bytewise(&w, answers[i].answer), answers[i].said) != 0)
            fail_msg("%s: %s", answers[i].name, w.said);
        world_close(&w);
    }
}

static void reasoning_that_the_template_opens_comes_with_the_first_byte(void **state)
{
    const struct form_ask ask = {.messages = STR(HI)};
    struct world w;

    (void)state;
    world_open(&w, TEMPLATE_THINKING);
    assert_int_equal(world_render(&w, &ask), 0);
    assert_int_equal(chat_reader_add(w.form.reader, "O", 1), 0);
    assert_int_equal(chat_reader_read(w.form.reader, false, take, &w), 0);
    assert_string_equal(w.said, "R0:O");
    world_close(&w);
}

#define WRONG(why, ...)                      \
    {                                        \
        ENGINE_WRONG_##why,                  \
        {                                    \
            .messages = STR(HI), __VA_ARGS__ \
        }                                    \
    }
static const struct {
    enum engine_wrong wrong;
    struct form_ask ask;
} wrongs[] = {
    {ENGINE_WRONG_MESSAGES, {.messages = STR("[{\"role\":\"user\"}]")}},
    {ENGINE_WRONG_MESSAGES,
     {.messages = STR("[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"x\":1}]}]")}},
    WRONG(TOOLS, .tools = STR("[{}]")),
    WRONG(TOOLS, .tools = STR("[{\"type\":\"retrieval\"}]")),
    WRONG(TOOLS, .tools = STR("[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]")),
    WRONG(TOOLS, .tools = STR("[{\"type\":\"function\",\"function\":{\"name\":\"\"}}]")),
    WRONG(TOOLS, .tools = STR("[{\"type\":\"function\",\"function\":{\"name\":\"a\","
                              "\"parameters\":7}}]")),
    WRONG(TOOL_SCHEMA, .tools = STR("[{\"type\":\"function\",\"function\":{\"name\":\"a\","
                                    "\"parameters\":{\"$ref\":\"#/nowhere\"}}}]")),
    WRONG(TOOL_CHOICE, .tools = STR(TOOLS), .tool_choice = STR("{\"type\":\"function\"}")),
    WRONG(TOOL_CHOICE, .tools = STR(TOOLS),
          .tool_choice = STR("{\"type\":\"function\",\"function\":{\"name\":\"none\"}}")),
    WRONG(SCHEMA_DEPTH, .response_format = STR("{}"),
          .schema = STR("{\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{"
                        "\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{"
                        "\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{"
                        "\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{"
                        "\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{"
                        "\"items\":{\"items\":{}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}")),
};

static void what_cannot_be_rendered_is_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct world w;
        int rc;

        world_open(&w, TEMPLATE_TAGGED);
        rc = world_render(&w, &wrongs[i].ask);
        if (rc != ERR_PARSE || w.wrong != wrongs[i].wrong)
            fail_msg("case %zu: %d, wrong %d instead of %d", i, rc, (int)w.wrong,
                     (int)wrongs[i].wrong);
        world_close(&w);
    }
}

static void a_template_without_tools_refuses_them_unless_none_is_chosen(void **state)
{
    struct form_ask ask = {.messages = STR(HI), .tools = STR(TOOLS)};
    struct world w;

    (void)state;
    world_open(&w, TEMPLATE_PLAIN);
    assert_int_equal(world_render(&w, &ask), ERR_PARSE);
    assert_int_equal(w.wrong, ENGINE_WRONG_NO_TOOLS);
    ask.tool_choice = STR("\"none\"");
    assert_int_equal(world_render(&w, &ask), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_template_needs_no_reader_and_no_grammar),
        cmocka_unit_test(the_day_does_not_change_a_prompt),
        cmocka_unit_test(tools_stand_in_the_prompt_with_calls_and_results_of_earlier_turns),
        cmocka_unit_test(answers_are_read_into_content_reasoning_and_calls),
        cmocka_unit_test(reasoning_that_the_template_opens_comes_with_the_first_byte),
        cmocka_unit_test(what_cannot_be_rendered_is_told_apart),
        cmocka_unit_test(a_template_without_tools_refuses_them_unless_none_is_chosen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
