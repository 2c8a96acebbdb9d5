/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's own copy of a request. */
#include <stdlib.h>

#include "provider/engine/scheduler_impl.h"

enum { STOPS_BYTES = 64 << 10 };

static int request_copy_texts(struct request *r, const struct chat_request *chat)
{
    r->messages = arena_dup(&r->region, chat->messages);
    for (size_t i = 0; i < chat->n_stops && r->messages.p; i++) {
        r->stops[i] = arena_dup(&r->region, chat->stops[i]);
        if (!r->stops[i].p)
            return ERR_NOMEM;
        r->n_stops++;
    }
    return r->messages.p ? 0 : ERR_NOMEM;
}

struct request *request_new(uint64_t tag, const struct chat_request *chat, uint64_t seed,
                            int32_t context_tokens)
{
    struct request *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    arena_init(&r->region,
               chat->messages.n + STOPS_BYTES + (size_t)context_tokens * sizeof *r->tokens);
    r->tag = tag;
    r->max_tokens = chat->max_tokens > 0 ? chat->max_tokens : CHAT_DEFAULT_MAX_TOKENS;
    r->sampling = (struct sampling){.temperature = chat->temperature,
                                    .top_p = chat->top_p,
                                    .top_k = chat->top_k,
                                    .frequency_penalty = chat->frequency_penalty,
                                    .presence_penalty = chat->presence_penalty,
                                    .seed = chat->has_seed ? (uint64_t)chat->seed : seed};
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
    arena_free(&r->region);
    free(r);
}
