/* SPDX-License-Identifier: Apache-2.0 */
/* One request's way through the batch: admitted, prefilled, decoding, ended. */
#include <sodium.h>
#include <stdlib.h>

#include "provider/engine/scheduler_impl.h"

/* --- requests --- */

struct request *request_new(uint64_t tag, const struct chat_request *chat, uint64_t seed)
{
    struct request *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    arena_init(&r->region, chat->messages.n + (64U << 10));
    r->tag = tag;
    r->messages = arena_dup(&r->region, chat->messages);
    r->max_tokens = chat->max_tokens > 0 ? chat->max_tokens : CHAT_DEFAULT_MAX_TOKENS;
    r->sampling = (struct sampling){.temperature = chat->temperature,
                                    .top_p = chat->top_p,
                                    .top_k = chat->top_k,
                                    .frequency_penalty = chat->frequency_penalty,
                                    .presence_penalty = chat->presence_penalty,
                                    .seed = chat->has_seed ? (uint64_t)chat->seed : seed};
    for (size_t i = 0; i < chat->n_stops && r->messages.p; i++) {
        r->stops[i] = arena_dup(&r->region, chat->stops[i]);
        if (!r->stops[i].p)
            break;
        r->n_stops++;
    }
    if (!r->messages.p || r->n_stops < chat->n_stops) {
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

/* --- ends --- */

void slot_drop(struct scheduler *s, struct slot *slot)
{
    struct request *r = slot->request;

    s->config.ops->forget(s->config.model, (int32_t)(slot - s->slots));
    sodium_memzero(slot->tokens, (size_t)slot->n_tokens * sizeof *slot->tokens);
    text_out_free(&slot->text);
    slot->request = NULL;
    slot->n_tokens = slot->n_past = slot->n_prompt = 0;
    pthread_mutex_lock(&s->lock);
    list_remove(&r->link);
    s->n_running--;
    pthread_mutex_unlock(&s->lock);
    request_free(r);
}

void slot_fail(struct scheduler *s, struct slot *slot, int code)
{
    const struct engine_event e = {.kind = ENGINE_FAILED, .tag = slot->request->tag, .code = code};

    scheduler_emit(s, &e);
    slot_drop(s, slot);
}

static void emit_text(struct scheduler *s, struct slot *slot, bool all)
{
    struct str text = text_out_ready(&slot->text, all);
    struct engine_event e = {.kind = ENGINE_TEXT, .tag = slot->request->tag, .text = text};

    if (text.n == 0)
        return;
    e.tokens = slot->text.tokens;
    scheduler_emit(s, &e);
    (void)text_out_taken(&slot->text, text.n);
}

static void slot_finish(struct scheduler *s, struct slot *slot, enum chunk_finish finish)
{
    const struct engine_event e = {.kind = ENGINE_DONE,
                                   .tag = slot->request->tag,
                                   .finish = finish,
                                   .prompt_tokens = slot->n_prompt,
                                   .completion_tokens = slot->n_tokens - slot->n_prompt};

    emit_text(s, slot, true);
    pthread_mutex_lock(&s->lock);
    s->load.requests_served++;
    pthread_mutex_unlock(&s->lock);
    scheduler_emit(s, &e);
    slot_drop(s, slot);
}

/* --- admission --- */

/* Prompt tokens, or why the request cannot run. A token is at most some hundred bytes, so a text
 * far beyond the context is refused before it is tokenised. */
static int32_t tokenise(struct scheduler *s, struct slot *slot)
{
    const struct model_ops *ops = s->config.ops;
    int32_t context = s->limits.context_tokens;
    int32_t n;
    int rc;

    rc = ops->render(s->config.model, slot->request->messages, &s->prompt);
    if (rc < 0)
        return rc;
    if (s->prompt.len > (size_t)context * PROMPT_BYTES_A_TOKEN)
        return ERR_LIMIT;
    n = ops->tokenize(s->config.model, buf_view(&s->prompt), slot->tokens, context);
    return n >= context ? ERR_LIMIT : n == 0 ? ERR_PARSE : n;
}

void slot_admit(struct scheduler *s, struct slot *slot, struct request *r)
{
    struct engine_event e = {.kind = ENGINE_ADMITTED, .tag = r->tag};
    int32_t n;

    slot->request = r;
    slot->n_past = slot->n_tokens = 0;
    slot->row = -1;
    text_out_init(&slot->text, r->stops, r->n_stops);
    sampler_init(&slot->sampler, &r->sampling);
    n = tokenise(s, slot);
    buf_wipe(&s->prompt);
    if (n < 0) {
        slot_fail(s, slot, n);
        return;
    }
    slot->n_prompt = slot->n_tokens = n;
    slot->limit = r->max_tokens < s->limits.context_tokens - n ? n + (int32_t)r->max_tokens
                                                               : s->limits.context_tokens;
    e.prompt_tokens = n;
    scheduler_emit(s, &e);
}

/* --- decoding --- */

void slot_accept(struct scheduler *s, struct slot *slot, int32_t token)
{
    const struct model_ops *ops = s->config.ops;
    char piece[PIECE_MAX_BYTES];
    size_t n;

    slot->tokens[slot->n_tokens++] = token;
    pthread_mutex_lock(&s->lock);
    s->load.tokens_generated++;
    pthread_mutex_unlock(&s->lock);
    if (ops->is_end(s->config.model, token)) {
        slot_finish(s, slot, CHUNK_FINISH_STOP);
        return;
    }
    n = ops->piece(s->config.model, token, piece, sizeof piece);
    if (text_out_add(&slot->text, (struct str){piece, n}) < 0) {
        slot_fail(s, slot, ERR_MODEL);
    } else if (slot->text.stopped) {
        slot_finish(s, slot, CHUNK_FINISH_STOP);
    } else if (slot->n_tokens >= slot->limit) {
        slot_finish(s, slot, CHUNK_FINISH_LENGTH);
    } else {
        emit_text(s, slot, false);
    }
    sodium_memzero(piece, n);
}
