/* SPDX-License-Identifier: Apache-2.0 */
/* Chat templates, the grammars of tool calls and schemas, and the reading of answers, through
 * libllama-common, which is C++ without a C interface. Every
 * exception ends here, and nothing that the library would log leaves it: its messages quote
 * prompts and answers. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_CHAT_SHIM_H
#define DARKBLOOM_PROVIDER_ENGINE_CHAT_SHIM_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>

struct llama_model;
struct chat_shim;   /* a model's template */
struct chat_form;   /* a rendered request, and how its answer is made and read */
struct chat_reader; /* an answer on its way from text to content, reasoning and calls */

/* What the dates in templates say, whatever the day (docs/decisions/009). */
#define CHAT_SHIM_DATE "26 Jul 2024"

/* The model's own template (or the library's for models without one). NULL: it cannot be read. */
struct chat_shim *chat_shim_new(const struct llama_model *model);
void chat_shim_free(struct chat_shim *s);
/* Whether the template shows a request's tools to the model. */
bool chat_shim_knows_tools(const struct chat_shim *s);

/* --- a request --- */

struct chat_shim_text {
    const char *p; /* JSON; NULL: absent */
    size_t n;
};

struct chat_shim_ask {
    struct chat_shim_text messages;    /* an array, as in the request */
    struct chat_shim_text tools;       /* an array, or absent */
    struct chat_shim_text tool_choice; /* a string, or {"function":{"name"}} */
    struct chat_shim_text schema;      /* that the answer must fit, or absent */
    struct chat_shim_text kwargs;      /* an object of variables for the template */
    struct chat_shim_text effort;      /* a string: reasoning_effort */
    bool parallel;                     /* several calls in one answer */
};

enum chat_shim_wrong {
    CHAT_SHIM_MESSAGES = -1, /* the template cannot render them */
    CHAT_SHIM_TOOLS = -2,    /* no list of functions, or none that a grammar can be made of */
    CHAT_SHIM_CHOICE = -3,   /* a function that is not among the tools */
    CHAT_SHIM_SCHEMA = -4,   /* no grammar can be made of it */
    CHAT_SHIM_NO_TOOLS = -5, /* the template does not know tools */
    CHAT_SHIM_KWARGS = -6,
    CHAT_SHIM_MEMORY = -7,
};

/* Render with the prompt for an answer behind it. 0, or one of the above. */
int chat_shim_apply(struct chat_shim *s, const struct chat_shim_ask *ask,
                    struct chat_form **ret_form);
void chat_form_free(struct chat_form *f); /* wipes the prompt */

struct chat_shim_text chat_form_prompt(const struct chat_form *f);
/* GBNF that the answer must fit, from its first token or, where it is lazy, from what triggers it;
 * "" for none. */
const char *chat_form_grammar(const struct chat_form *f);
bool chat_form_is_lazy(const struct chat_form *f);
/* The beginning of the answer that stands in the prompt already, for a grammar that is not lazy. */
struct chat_shim_text chat_form_begun(const struct chat_form *f);

enum chat_form_list {
    CHAT_FORM_STOPS,    /* texts that end an answer */
    CHAT_FORM_KEPT,     /* special tokens whose text the reader needs */
    CHAT_FORM_WORDS,    /* texts that trigger a lazy grammar */
    CHAT_FORM_PATTERNS, /* regular expressions that do */
    CHAT_FORM_THINKS,   /* what begins reasoning, if the template knows any */
    CHAT_FORM_THOUGHT,  /* what ends it */
};
/* The i-th of a list; NULL behind its end. */
const char *chat_form_item(const struct chat_form *f, enum chat_form_list list, size_t i);

/* --- an answer --- */

enum chat_shim_channel {
    CHAT_SHIM_CONTENT,
    CHAT_SHIM_REASONING,
    CHAT_SHIM_CALL_ID, /* begins a call; "" where the model gave none */
    CHAT_SHIM_CALL_NAME,
    CHAT_SHIM_CALL_ARGUMENTS,
};

/* NULL: the answer is its content as it stands, or no memory (*ret_failed). */
struct chat_reader *chat_reader_new(const struct chat_form *f, bool *ret_failed);
void chat_reader_free(struct chat_reader *r); /* wipes the text */

/* The next text of the answer. 0, or -1: no memory. */
int chat_reader_add(struct chat_reader *r, const char *text, size_t n);
/* Bytes of the answer so far. */
size_t chat_reader_bytes(const struct chat_reader *r);

/* What is new since the last time, in order; `take` returns 0 to go on. `end`: nothing follows; of
 * an answer that does not have the template's form the rest is content. Costs time linear in the
 * answer so far. Returns what `take` returned, or -1: no memory. */
int chat_reader_read(struct chat_reader *r, bool end,
                     int (*take)(void *ud, enum chat_shim_channel channel, int call,
                                 const char *text, size_t n),
                     void *ud);

#ifdef __cplusplus
}
#endif

#endif
