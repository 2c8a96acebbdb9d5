/* SPDX-License-Identifier: Apache-2.0 */
/* What a slot's answer says, as events: text as it comes, or what its reader makes of it. */
#include "provider/engine/chat_shim.h"
#include "provider/engine/scheduler_impl.h"

static const enum engine_channel slot_channels[] = {
    [CHAT_SHIM_CONTENT] = ENGINE_CONTENT,
    [CHAT_SHIM_REASONING] = ENGINE_REASONING,
    [CHAT_SHIM_CALL_ID] = ENGINE_CALL_ID,
    [CHAT_SHIM_CALL_NAME] = ENGINE_CALL_NAME,
    [CHAT_SHIM_CALL_ARGUMENTS] = ENGINE_CALL_ARGUMENTS,
};

/* The first text after some tokens stands for them. */
static void slot_emit_text(struct scheduler *s, struct slot *slot, enum engine_channel channel,
                           int32_t call, struct str text)
{
    const struct engine_event e = {.kind = ENGINE_TEXT,
                                   .tag = slot->request->tag,
                                   .text = text,
                                   .channel = channel,
                                   .call = call,
                                   .tokens = slot->read_tokens};

    slot->read_tokens = 0;
    scheduler_emit(s, &e);
}

struct slot_said {
    struct scheduler *s;
    struct slot *slot;
};

static int slot_take_news(void *ud, enum chat_shim_channel channel, int call, const char *text,
                          size_t n)
{
    struct slot_said *said = ud;

    said->slot->calls |= channel == CHAT_SHIM_CALL_ID;
    slot_emit_text(said->s, said->slot, slot_channels[channel], call, (struct str){text, n});
    return 0;
}

static bool slot_is_due(const struct slot *slot, size_t bytes)
{
    return (bytes - slot->read_bytes) * READ_AGAIN_PART >= bytes;
}

static int slot_read(struct scheduler *s, struct slot *slot, struct str text, bool all)
{
    struct chat_reader *reader = slot->request->form.reader;
    struct slot_said said = {s, slot};
    size_t bytes;

    if (chat_reader_add(reader, text.p, text.n) < 0)
        return ERR_NOMEM;
    bytes = chat_reader_bytes(reader);
    if (!all && (text.n == 0 || !slot_is_due(slot, bytes)))
        return 0;
    slot->read_bytes = bytes;
    return chat_reader_read(reader, all, slot_take_news, &said) < 0 ? ERR_NOMEM : 0;
}

int slot_say(struct scheduler *s, struct slot *slot, bool all)
{
    struct str text = text_out_ready(&slot->text, all);
    int rc = 0;

    if (text.n > 0)
        slot->read_tokens += slot->text.tokens;
    if (slot->request->form.reader)
        rc = slot_read(s, slot, text, all);
    else if (text.n > 0)
        slot_emit_text(s, slot, ENGINE_CONTENT, 0, text);
    if (text.n > 0)
        (void)text_out_taken(&slot->text, text.n);
    return rc;
}

/* Before the text of its token, which follows it. */
int slot_say_logprobs(struct scheduler *s, struct slot *slot, const float *logits, int32_t token)
{
    const struct request *r = slot->request;
    struct engine_event e = {.kind = ENGINE_TEXT, .tag = r->tag, .channel = ENGINE_LOGPROBS};
    int rc = 0;

    buf_clear(&s->logprobs);
    if (slot->n_tokens > slot->n_prompt)
        rc = buf_append_str(&s->logprobs, STR(","));
    if (rc == 0)
        rc = draw_write_logprobs(&r->how, s->config.ops, s->config.model, logits, token,
                                 &s->logprobs);
    if (rc < 0)
        return rc;
    e.text = buf_view(&s->logprobs);
    scheduler_emit(s, &e);
    buf_wipe(&s->logprobs);
    return 0;
}
