/* SPDX-License-Identifier: Apache-2.0 */
/* One request's way through the batch: admitted, decoding, ended. */
#include <sodium.h>
#include <string.h>

#include "provider/engine/scheduler_impl.h"

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
    struct engine_event e = {.kind = ENGINE_FAILED, .tag = slot->request->tag, .code = code};

    if (code == ERR_TIMEOUT) {
        e.code = ERR_PARSE;
        e.wrong = ENGINE_WRONG_GRAMMAR_SLOW;
    }
    scheduler_emit(s, &e);
    slot_drop(s, slot);
}

static void slot_finish(struct scheduler *s, struct slot *slot, enum chunk_finish finish)
{
    struct engine_event e = {.kind = ENGINE_DONE,
                             .tag = slot->request->tag,
                             .finish = finish,
                             .prompt_tokens = slot->n_prompt,
                             .completion_tokens = slot->n_tokens - slot->n_prompt};
    int rc = slot_say(s, slot, true);

    if (rc < 0) {
        slot_fail(s, slot, rc);
        return;
    }
    if (slot->calls && finish == CHUNK_FINISH_STOP)
        e.finish = CHUNK_FINISH_TOOL_CALLS;
    scheduler_emit(s, &e);
    slot_drop(s, slot);
}

/* --- admission --- */

void slot_admit(struct scheduler *s, struct slot *slot, struct request *r)
{
    int32_t context = s->limits.context_tokens, n = r->n_tokens;

    slot->request = r;
    r->slot = slot;
    memcpy(slot->tokens, r->tokens, (size_t)n * sizeof *r->tokens);
    slot->n_prompt = slot->n_tokens = n;
    slot->n_past = 0;
    slot->row = -1;
    slot->read_bytes = 0;
    slot->read_tokens = 0;
    slot->calls = false;
    slot->limit = r->max_tokens < context - n ? n + (int32_t)r->max_tokens : context;
    text_out_init(&slot->text, r->stops, r->n_stops);
    sampler_init(&slot->sampler, &r->sampling);
}

/* --- decoding --- */

void slot_accept(struct scheduler *s, struct slot *slot, int32_t token)
{
    const struct model_ops *ops = s->config.ops;
    char piece[PIECE_MAX_BYTES];
    size_t n;

    slot->tokens[slot->n_tokens++] = token;
    if (ops->is_end(s->config.model, token)) {
        slot_finish(s, slot, CHUNK_FINISH_STOP);
        return;
    }
    n = ops->piece(s->config.model, token, form_keeps(&slot->request->form, token), piece,
                   sizeof piece);
    if (text_out_add(&slot->text, (struct str){piece, n}) < 0) {
        slot_fail(s, slot, ERR_MODEL);
    } else if (slot->text.stopped) {
        slot_finish(s, slot, CHUNK_FINISH_STOP);
    } else if (slot->n_tokens >= slot->limit) {
        slot_finish(s, slot, CHUNK_FINISH_LENGTH);
    } else if (slot_say(s, slot, false) < 0) {
        slot_fail(s, slot, ERR_NOMEM);
    }
    sodium_memzero(piece, n);
}
