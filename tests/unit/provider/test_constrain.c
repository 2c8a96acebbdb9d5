/* SPDX-License-Identifier: Apache-2.0 */
/* Grammars of schemas and tools over a vocabulary of bytes: what is allowed, when, and what an
 * answer becomes that takes whatever is allowed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <yyjson.h>

#include "base/err.h"
#include "provider/engine/chat_shim.h"
#include "provider/engine/constrain.h"
#include "provider/engine/form.h"
#include "unit/provider/fake_templates.h"
#include "unit/provider/fake_vocab.h"

#define HI "[{\"role\":\"user\",\"content\":\"hi\"}]"
#define TOOLS                                                                              \
    "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":{\"type\":" \
    "\"object\",\"properties\":{\"city\":{\"enum\":[\"A\"]}},\"required\":[\"city\"]}}}]"

enum { VOCAB_MAX = 512, ANSWER_MAX = 512 };

struct world {
    struct llama_model *model;
    const struct llama_vocab *vocab;
    struct chat_shim *shim;
    struct buf prompt;
    struct form form;
    float logits[VOCAB_MAX];
    int32_t n;
    char answer[ANSWER_MAX];
};

static void world_open(struct world *w, const char *template, const struct form_ask *ask)
{
    enum engine_wrong wrong;

    memset(w, 0, sizeof *w);
    w->model = fake_vocab_open(template);
    w->vocab = llama_model_get_vocab(w->model);
    w->n = llama_vocab_n_tokens(w->vocab);
    w->shim = chat_shim_new(w->model);
    buf_init(&w->prompt, 1 << 20);
    assert_int_equal(form_render(w->shim, w->vocab, ask, &w->prompt, &w->form, &wrong), 0);
    assert_non_null(w->form.constraint);
}

static void world_close(struct world *w)
{
    form_free(&w->form);
    buf_free(&w->prompt);
    chat_shim_free(w->shim);
    llama_model_free(w->model);
}

/* The answer goes on with a text, byte by byte or as one special token. */
static int say(struct world *w, const char *text)
{
    int rc = 0;

    if ((text[0] == '<' || text[0] == '[') && text[1] && strchr("t/|T", text[1]))
        return constraint_accept(w->form.constraint, fake_vocab_token(w->model, text));
    for (; rc == 0 && *text; text++)
        rc = constraint_accept(w->form.constraint, fake_vocab_token(w->model, (char[]){*text, 0}));
    return rc;
}

static bool may_say(struct world *w, const char *text)
{
    return constraint_allows(w->form.constraint, fake_vocab_token(w->model, text));
}

/* Take the likeliest allowed token until the answer may end; later bytes are likelier, so that no
 * string goes on for ever. */
static const char *take_what_fits(struct world *w)
{
    size_t n = 0;

    while (n < ANSWER_MAX - 1) {
        int32_t best = -1;

        for (int32_t i = 0; i < w->n; i++)
            w->logits[i] = (float)((i * 37) % 101);
        if (may_say(w, "<|im_end|>"))
            return w->answer;
        assert_int_equal(constraint_mask(w->form.constraint, w->logits, w->n), 0);
        for (int32_t i = 0; i < w->n; i++) {
            if (isfinite(w->logits[i]) && (best < 0 || w->logits[i] > w->logits[best]))
                best = i;
        }
        assert_true(best >= 0 && constraint_allows(w->form.constraint, best));
        n += (size_t)llama_token_to_piece(w->vocab, best, w->answer + n, (int32_t)(ANSWER_MAX - n),
                                          0, true);
        assert_int_equal(constraint_accept(w->form.constraint, best), 0);
    }
    fail_msg("no end: %s", w->answer);
    return NULL;
}

static void an_answer_of_whatever_fits_is_json_of_the_schema(void **state)
{
    const struct form_ask ask = {
        .messages = STR(HI),
        .response_format = STR("{}"),
        .schema = STR("{\"type\":\"object\",\"properties\":{\"kind\":{\"enum\":[\"ab\",\"cd\"]},"
                      "\"n\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":2,"
                      "\"maxItems\":2}},\"required\":[\"kind\",\"n\"],"
                      "\"additionalProperties\":false}")};
    struct world w;
    yyjson_doc *doc;
    const char *kind, *json;

    (void)state;
    world_open(&w, TEMPLATE_PLAIN, &ask);
    json = take_what_fits(&w);
    json = strchr(json, '{'); /* before it white space, or a fence that the reader takes away */
    assert_non_null(json);
    doc = yyjson_read(json, strlen(json), YYJSON_READ_STOP_WHEN_DONE);
    assert_non_null(doc);
    kind = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "kind"));
    assert_true(strcmp(kind, "ab") == 0 || strcmp(kind, "cd") == 0);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), "n")), 2);
    yyjson_doc_free(doc);
    world_close(&w);
}

/* More tokens than CONSTRAINT_TOP, and the one that fits is the least likely of all. */
static void the_whole_vocabulary_is_asked_where_no_likely_token_fits(void **state)
{
    const struct form_ask ask = {
        .messages = STR(HI), .response_format = STR("{}"), .schema = STR("{\"enum\":[\"x\"]}")};
    int32_t wanted, fitting = 0;
    struct world w;

    (void)state;
    world_open(&w, TEMPLATE_PLAIN, &ask);
    assert_true(w.n > CONSTRAINT_TOP);
    assert_int_equal(say(&w, "\""), 0);
    wanted = fake_vocab_token(w.model, "x");
    for (int32_t i = 0; i < w.n; i++)
        w.logits[i] = i == wanted ? -50 : (float)i;
    assert_int_equal(constraint_mask(w.form.constraint, w.logits, w.n), 0);
    for (int32_t i = 0; i < w.n; i++)
        fitting += isfinite(w.logits[i]) != 0;
    assert_int_equal(fitting, 1);
    assert_true(w.logits[wanted] > -51 && w.logits[wanted] < -49);
    world_close(&w);
}

static void a_token_that_does_not_fit_is_not_accepted(void **state)
{
    const struct form_ask ask = {
        .messages = STR(HI), .response_format = STR("{}"), .schema = STR("{\"enum\":[\"x\"]}")};
    struct world w;

    (void)state;
    world_open(&w, TEMPLATE_PLAIN, &ask);
    assert_int_equal(say(&w, "\""), 0);
    assert_int_equal(say(&w, "y"), ERR_MODEL);
    world_close(&w);
}

static void tools_that_may_be_called_bind_nothing_until_their_word(void **state)
{
    const struct form_ask ask = {.messages = STR(HI), .tools = STR(TOOLS)};
    struct world w;

    (void)state;
    world_open(&w, TEMPLATE_TAGGED, &ask);
    assert_int_equal(say(&w, "Any text { at all"), 0);
    assert_true(may_say(&w, "Z") && may_say(&w, "<|im_end|>"));
    assert_int_equal(say(&w, "<tool_call>"), 0);
    assert_int_equal(say(&w, "\n"), 0);
    assert_false(may_say(&w, "Z"));
    assert_false(may_say(&w, "<|im_end|>"));
    assert_int_equal(say(&w, "{\"name\": \"weather\", \"arguments\": {\"city\": \""), 0);
    assert_true(may_say(&w, "A"));
    assert_false(may_say(&w, "B"));
    world_close(&w);
}

static void a_word_inside_reasoning_binds_nothing(void **state)
{
    const struct form_ask ask = {.messages = STR(HI), .tools = STR(TOOLS)};
    struct world w;

    (void)state;
    world_open(&w, TEMPLATE_THINKING, &ask);
    assert_int_equal(say(&w, "I could use "), 0);
    assert_int_equal(say(&w, "<tool_call>"), 0);
    assert_int_equal(say(&w, "\nor not"), 0);
    assert_true(may_say(&w, "Z"));
    assert_int_equal(say(&w, "</think>"), 0);
    assert_true(may_say(&w, "Z"));
    assert_int_equal(say(&w, "<tool_call>"), 0);
    assert_int_equal(say(&w, "\n"), 0);
    assert_false(may_say(&w, "Z"));
    world_close(&w);
}

static void a_required_call_binds_from_the_first_token(void **state)
{
    const struct form_ask ask = {.messages = STR(HI),
                                 .tools = STR(TOOLS),
                                 .tool_choice = STR("\"required\""),
                                 .no_parallel_calls = true};
    struct world w;

    (void)state;
    world_open(&w, TEMPLATE_ARRAY, &ask);
    assert_false(may_say(&w, "<|im_end|>"));
    assert_int_equal(say(&w, "[TOOL_CALLS]"), 0);
    assert_false(may_say(&w, "Z") || may_say(&w, "<|im_end|>"));
    assert_non_null(strstr(take_what_fits(&w), "weather"));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_of_whatever_fits_is_json_of_the_schema),
        cmocka_unit_test(the_whole_vocabulary_is_asked_where_no_likely_token_fits),
        cmocka_unit_test(a_token_that_does_not_fit_is_not_accepted),
        cmocka_unit_test(tools_that_may_be_called_bind_nothing_until_their_word),
        cmocka_unit_test(a_word_inside_reasoning_binds_nothing),
        cmocka_unit_test(a_required_call_binds_from_the_first_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
