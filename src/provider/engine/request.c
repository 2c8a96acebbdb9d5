/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's own copy of a request. */
#include <stdlib.h>

#include "provider/engine/scheduler_impl.h"

enum { STOPS_BYTES = 64 << 10 /* and token biases */ };

static int request_copy_texts(struct request *r, const struct chat_request *chat)
{
    const struct {
        struct str from, *to;
    } texts[] = {{chat->messages, &r->ask.messages},
                 {chat->tools, &r->ask.tools},
                 {chat->tool_choice, &r->ask.tool_choice},
                 {chat->response_format, &r->ask.response_format},
                 {chat->schema, &r->ask.schema},
                 {chat->template_kwargs, &r->ask.template_kwargs},
                 {chat->reasoning_effort, &r->ask.reasoning_effort}};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (!texts[i].from.p)
            continue;
        *texts[i].to = arena_dup(&r->region, texts[i].from);
        if (!texts[i].to->p)
            return ERR_NOMEM;
    }
    r->how.biases = arena_array(&r->region, struct chat_bias, chat->n_biases + 1);
    if (!r->how.biases)
        return ERR_NOMEM;
    if (chat->n_biases > 0)
        memcpy((void *)r->how.biases, chat->biases, chat->n_biases * sizeof *chat->biases);
    r->ask.no_parallel_calls = chat->no_parallel_calls;
    for (size_t i = 0; i < chat->n_stops; i++) {
        r->stops[i] = arena_dup(&r->region, chat->stops[i]);
        if (!r->stops[i].p)
            return ERR_NOMEM;
        r->n_stops++;
    }
    return 0;
}

/* arena_alloc rounds each text up. */
static size_t request_text_bytes(const struct chat_request *chat)
{
    return chat->messages.n + chat->tools.n + chat->tool_choice.n + chat->response_format.n +
           chat->schema.n + chat->template_kwargs.n + chat->reasoning_effort.n + STOPS_BYTES;
}

struct request *request_new(uint64_t tag, const struct chat_request *chat, uint64_t seed,
                            int32_t context_tokens)
{
    struct request *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    arena_init(&r->region, request_text_bytes(chat) + (size_t)context_tokens * sizeof *r->tokens);
    r->tag = tag;
    r->max_tokens = chat->max_tokens > 0 ? chat->max_tokens : CHAT_DEFAULT_MAX_TOKENS;
    r->sampling = (struct sampling){.temperature = chat->temperature,
                                    .top_p = chat->top_p,
                                    .top_k = chat->top_k,
                                    .frequency_penalty = chat->frequency_penalty,
                                    .presence_penalty = chat->presence_penalty,
                                    .seed = chat->has_seed ? (uint64_t)chat->seed : seed};
    r->how = (struct draw_how){.n_biases = chat->n_biases,
                               .repetition_penalty = chat->repetition_penalty,
                               .min_p = chat->min_p,
                               .logprobs = chat->logprobs,
                               .top_logprobs = (int32_t)chat->top_logprobs};
    if (request_copy_texts(r, chat) < 0) {
        request_free(r);
        return NULL;
    }
    return r;
}

void request_free(struct request *r)
{
    if (!r)
        return;
    form_free(&r->form);
    arena_free(&r->region);
    free(r);
}
