/* SPDX-License-Identifier: Apache-2.0 */
/* What a rendered request brings along for its answer: a reader that splits it into content,
 * reasoning and calls, a grammar that it must fit, tokens and texts that the template knows. Made
 * on the preparing thread, used on the batch thread. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_FORM_H
#define DARKBLOOM_PROVIDER_ENGINE_FORM_H

#include "base/buf.h"
#include "provider/engine/engine_port.h"

struct chat_shim;
struct chat_reader;
struct constraint;
struct llama_vocab;

enum {
    FORM_KEPT_MAX = 64,
    FORM_STOPS_MAX = 8,
    FORM_STOP_BYTES = 64,
    FORM_TOOLS_MAX = 128,           /* functions in a request */
    FORM_TOOLS_MAX_BYTES = 1 << 20, /* all together */
    FORM_KWARGS_MAX_BYTES = 4096
};

/* A request's texts, as in struct chat_request; .p NULL: absent. */
struct form_ask {
    struct str messages, tools, tool_choice, response_format, schema, template_kwargs,
        reasoning_effort;
    bool no_parallel_calls;
};

/* Zeroed: an answer is content as it stands, of any tokens. */
struct form {
    struct chat_reader *reader;    /* NULL: content as it stands */
    struct constraint *constraint; /* NULL: any tokens */
    int32_t kept[FORM_KEPT_MAX];   /* special tokens whose text the reader needs, ascending */
    size_t n_kept;
    char stops[FORM_STOPS_MAX][FORM_STOP_BYTES]; /* texts that end the answer, with their NUL */
    size_t n_stops;
};

/* Append the prompt to `out`. 0; ERR_PARSE with *ret_wrong; ERR_LIMIT, ERR_NOMEM. */
int form_render(struct chat_shim *shim, const struct llama_vocab *vocab, const struct form_ask *ask,
                struct buf *out, struct form *ret_form, enum engine_wrong *ret_wrong);
void form_free(struct form *f); /* leaves it zeroed */

bool form_keeps(const struct form *f, int32_t token);

#endif
