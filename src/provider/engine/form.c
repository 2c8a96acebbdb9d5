/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/form.h"

#include <llama.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/span.h"
#include "provider/engine/chat_shim.h"
#include "provider/engine/constrain.h"
#include "provider/engine/schema_check.h"

/* --- what is asked for --- */

static struct str form_member(struct str object, const char *name)
{
    struct str want = str_from(name), value = {0};
    struct span_member m;
    size_t cursor = 0;

    while (span_next(object, &cursor, &m) > 0) {
        if (span_same_text(m.key, want))
            value = m.value;
    }
    if (str_eq(value, STR("null")))
        value = (struct str){0};
    return value;
}

/* Names go into a grammar and into the answer. */
static bool form_is_name(struct str json)
{
    if (json.n < 3 || json.n > 66 || json.p[0] != '"')
        return false;
    for (size_t i = 1; i < json.n - 1; i++) {
        char c = json.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-' || c == '.'))
            return false;
    }
    return true;
}

static enum engine_wrong form_check_tool(struct str tool)
{
    struct str function = form_member(tool, "function"), parameters;

    if (!span_text_is(form_member(tool, "type"), "function") || !function.p ||
        function.p[0] != '{' || !form_is_name(form_member(function, "name")))
        return ENGINE_WRONG_TOOLS;
    parameters = form_member(function, "parameters");
    if (!parameters.p)
        return ENGINE_WRONG_NONE;
    if (parameters.p[0] != '{')
        return ENGINE_WRONG_TOOLS;
    return schema_check(parameters, false) == ENGINE_WRONG_NONE ? ENGINE_WRONG_NONE
                                                                : ENGINE_WRONG_TOOL_SCHEMA;
}

static enum engine_wrong form_check_tools(struct str tools)
{
    enum engine_wrong wrong = ENGINE_WRONG_NONE;
    struct str tool;
    size_t cursor = 0, n = 0;

    if (tools.n > FORM_TOOLS_MAX_BYTES)
        return ENGINE_WRONG_TOOLS;
    while (wrong == ENGINE_WRONG_NONE && span_next_element(tools, &cursor, &tool) > 0)
        wrong = ++n > FORM_TOOLS_MAX ? ENGINE_WRONG_TOOLS : form_check_tool(tool);
    return wrong;
}

static enum engine_wrong form_check(const struct form_ask *ask)
{
    enum engine_wrong wrong = ENGINE_WRONG_NONE;

    if (ask->template_kwargs.n > FORM_KWARGS_MAX_BYTES)
        return ENGINE_WRONG_KWARGS;
    if (ask->tools.p)
        wrong = form_check_tools(ask->tools);
    if (wrong == ENGINE_WRONG_NONE && ask->schema.p)
        wrong = schema_check(ask->schema, true);
    return wrong;
}

static struct chat_shim_text form_text(struct str s)
{
    return (struct chat_shim_text){s.p, s.n};
}

static struct chat_shim_ask form_shim_ask(const struct form_ask *ask)
{
    struct str any = STR("{\"type\":\"object\"}"); /* what json_object without a schema means */

    return (struct chat_shim_ask){
        .messages = form_text(ask->messages),
        .tools = form_text(ask->tools),
        .tool_choice = form_text(ask->tool_choice),
        .schema = form_text(ask->schema.p || !ask->response_format.p ? ask->schema : any),
        .kwargs = form_text(ask->template_kwargs),
        .effort = form_text(ask->reasoning_effort),
        .parallel = !ask->no_parallel_calls};
}

static int form_wrong_of(int shim, enum engine_wrong *ret_wrong)
{
    static const enum engine_wrong of[] = {
        [-CHAT_SHIM_MESSAGES] = ENGINE_WRONG_MESSAGES,  [-CHAT_SHIM_TOOLS] = ENGINE_WRONG_TOOLS,
        [-CHAT_SHIM_CHOICE] = ENGINE_WRONG_TOOL_CHOICE, [-CHAT_SHIM_SCHEMA] = ENGINE_WRONG_SCHEMA,
        [-CHAT_SHIM_NO_TOOLS] = ENGINE_WRONG_NO_TOOLS,  [-CHAT_SHIM_KWARGS] = ENGINE_WRONG_KWARGS};

    if (shim == CHAT_SHIM_MEMORY)
        return ERR_NOMEM;
    *ret_wrong = of[-shim];
    return ERR_PARSE;
}

/* --- what it brings along --- */

static int form_by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static void form_take_lists(const struct llama_vocab *vocab, const struct chat_form *from,
                            struct form *f)
{
    const char *text;
    int32_t two[2];

    for (size_t i = 0;
         f->reader && f->n_kept < FORM_KEPT_MAX && (text = chat_form_item(from, CHAT_FORM_KEPT, i));
         i++) {
        if (llama_tokenize(vocab, text, (int32_t)strlen(text), two, 2, false, true) == 1)
            f->kept[f->n_kept++] = two[0];
    }
    qsort(f->kept, f->n_kept, sizeof *f->kept, form_by_number);
    for (size_t i = 0;
         f->n_stops < FORM_STOPS_MAX && (text = chat_form_item(from, CHAT_FORM_STOPS, i)); i++) {
        if (*text && strlen(text) < FORM_STOP_BYTES)
            memcpy(f->stops[f->n_stops++], text, strlen(text) + 1);
    }
}

static int form_take(const struct llama_vocab *vocab, const struct chat_form *from,
                     const struct form_ask *ask, struct form *f, enum engine_wrong *ret_wrong)
{
    bool failed;
    int rc = constraint_new(vocab, from, &f->constraint);

    if (rc == ERR_PARSE || rc == ERR_LIMIT) {
        *ret_wrong = ask->response_format.p ? ENGINE_WRONG_SCHEMA : ENGINE_WRONG_TOOLS;
        return ERR_PARSE;
    }
    if (rc < 0)
        return rc;
    f->reader = chat_reader_new(from, &failed);
    form_take_lists(vocab, from, f);
    return failed ? ERR_NOMEM : 0;
}

int form_render(struct chat_shim *shim, const struct llama_vocab *vocab, const struct form_ask *ask,
                struct buf *out, struct form *ret_form, enum engine_wrong *ret_wrong)
{
    struct chat_shim_ask shim_ask = form_shim_ask(ask);
    struct chat_form *from = NULL;
    struct form f = {0};
    int rc;

    *ret_wrong = form_check(ask);
    if (*ret_wrong != ENGINE_WRONG_NONE)
        return ERR_PARSE;
    rc = chat_shim_apply(shim, &shim_ask, &from);
    if (rc < 0)
        return form_wrong_of(rc, ret_wrong);
    rc = buf_append(out, chat_form_prompt(from).p, chat_form_prompt(from).n);
    if (rc == 0)
        rc = form_take(vocab, from, ask, &f, ret_wrong);
    chat_form_free(from);
    if (rc < 0)
        form_free(&f);
    else
        *ret_form = f;
    return rc;
}

void form_free(struct form *f)
{
    chat_reader_free(f->reader);
    constraint_free(f->constraint);
    *f = (struct form){0};
}

bool form_keeps(const struct form *f, int32_t token)
{
    return f->n_kept > 0 && bsearch(&token, f->kept, f->n_kept, sizeof token, form_by_number);
}
