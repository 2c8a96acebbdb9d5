/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 7: the provider's sealed chunks become the consumer's answer. Nothing leaves before the
 * hold is committed, nor a lone role before the first text: until then chunks wait in `early`, and
 * the request can still be retried. The stage ends when the provider is done and the consumer's
 * socket is not behind. Nothing is allocated per chunk once the buffers have grown. */
#include "base/num.h"
#include "coordinator/flow/flow.h"

/* An opened chunk that waits in `early`: this header, then `n` bytes of its line. */
struct early_head {
    uint32_t n;
    uint32_t tokens;
};

static bool may_leave(const struct request *r)
{
    return r->hold == HOLD_COMMITTED;
}

static void cut_slow_consumer(struct request *r)
{
    size_t pending = http_out_pending(r->x);

    log_event(r->coord->log, LOG_WARN, EV_SLOW_CONSUMER, KV_CSTR("request", r->id),
              KV_INT("queued_bytes", pending));
    api_error_set(
        &r->error, API_SLOW_CONSUMER, NULL,
        "the stream was cut: %zu bytes wait unread and the next would exceed the limit of "
        "%d",
        pending, FLOW_CONSUMER_QUEUE_BYTES);
    flow_cancel(r, LEDGER_CONSUMER_GONE);
}

/* The chunk decrypts but is no part of an answer: what came before it stands, if it has left. */
static void refuse_chunk(struct request *r)
{
    api_error_set(&r->error, API_PROVIDER, NULL, "the provider's answer cannot be read");
    flow_attempt_failed(r, "unreadable chunk", true);
}

/* The first content: from here on this provider's answer is the answer. */
static void begin(struct request *r)
{
    r->content_sent = true;
    r->times.first_chunk = clock_mono_us(&r->coord->clock);
    loop_timer_clear(r->coord->loop, &r->attempt_timer);
    if (r->x)
        http_drop_body(r->x); /* kept for a retry until now */
    r->body = (struct str){0};
    r->reply->head(r);
    if (r->stage == STAGE_DISPATCH)
        flow_move(r, STAGE_RELAY);
}

/* A provider's word for its tokens is believed as far as its text goes: what counts is delivered.
 * It may hold text back and then send several tokens' at once, so the sums are compared. */
static void count_relayed(struct request *r, const struct chunk_info *info, int64_t tokens)
{
    r->relayed_text_bytes += (int64_t)info->text_bytes;
    r->claimed_tokens += tokens;
    r->relayed_tokens = num_min(r->claimed_tokens, r->relayed_text_bytes + r->silent_tokens);
}

static void hand_to_consumer(struct request *r, const struct chunk_info *info, int64_t tokens)
{
    int rc;

    if (!r->content_sent)
        begin(r);
    count_relayed(r, info, tokens);
    rc = r->x ? r->reply->chunk(r, info) : 0;
    if (rc == ERR_LIMIT)
        cut_slow_consumer(r);
    else if (rc < 0)
        refuse_chunk(r);
}

static void let_out(struct request *r)
{
    struct early_head head;

    while (r->early.len >= sizeof head && r->stage < STAGE_SETTLE) {
        struct str v = buf_view(&r->early);
        struct chunk_info info;

        memcpy(&head, v.p, sizeof head);
        chunk_inspect_next(&r->shape, (struct str){v.p + sizeof head, head.n}, &info);
        hand_to_consumer(r, &info, head.tokens);
        if (r->stage < STAGE_SETTLE)
            buf_consume(&r->early, sizeof head + head.n);
    }
}

void flow_let_out(struct request *r)
{
    if (r->early_has_text)
        let_out(r);
    if (r->stage == STAGE_RELAY)
        flow_resume(r);
}

static int keep_early(struct request *r, struct str line, int64_t tokens)
{
    struct early_head head = {(uint32_t)line.n, (uint32_t)tokens};
    int rc = buf_append(&r->early, &head, sizeof head);

    return rc < 0 ? rc : buf_append_str(&r->early, line);
}

/* An old peer does not say how many tokens a chunk stands for: one, if it carries text. */
static int64_t tokens_of(const struct msg_inference_response_chunk *m,
                         const struct chunk_info *info)
{
    if (m->tokens >= 0)
        return num_min(m->tokens, CHAT_MAX_TOKENS_LIMIT);
    return info->has_text ? 1 : 0;
}

static int open_chunk(struct request *r, const struct msg_inference_response_chunk *m,
                      enum trust_reason *ret_reason)
{
    *ret_reason = TRUST_REASON_PLAINTEXT_CHUNK;
    if (!m->has_encrypted_data || m->data.n > 0)
        return ERR_PROTOCOL;
    *ret_reason = TRUST_REASON_FOREIGN_KEY;
    if (!str_is(m->encrypted_data.ephemeral_public_key, provider_view(r->live->offer).x25519_b64))
        return ERR_PROTOCOL;
    *ret_reason = TRUST_REASON_UNDECRYPTABLE;
    return box_open(r->session, m->encrypted_data.ciphertext, &r->plain);
}

static void relay_chunk(struct request *r, const struct msg_inference_response_chunk *m,
                        const struct chunk_info *info)
{
    int64_t tokens = tokens_of(m, info);
    bool binds = info->has_text || info->has_finish;

    r->chunks_uncounted |= m->tokens < 0 && info->has_text;
    if (may_leave(r) && r->early.len == 0 && (r->content_sent || binds)) {
        hand_to_consumer(r, info, tokens);
        return;
    }
    if (keep_early(r, buf_view(&r->plain), tokens) < 0) {
        api_error_set(&r->error, API_OVERLOADED, NULL,
                      "the answer came faster than its hold could be stored; try again");
        flow_fail(r);
        return;
    }
    r->early_has_text |= binds;
    if (may_leave(r))
        flow_let_out(r);
}

/* What becomes of each kind of chunk; one that is not named here is refused. The relay writes its
 * own usage and [DONE]. */
enum { REFUSED, KEPT_BACK, RELAYED };
static const uint8_t fates[] = {
    [CHUNK_CONTENT] = RELAYED, [CHUNK_WHOLE] = RELAYED,   [CHUNK_DONE] = KEPT_BACK,
    [CHUNK_USAGE] = KEPT_BACK, [CHUNK_EMPTY] = KEPT_BACK, [CHUNK_ERROR] = REFUSED,
    [CHUNK_BAD] = REFUSED};

void flow_chunk(struct request *r, const struct msg_inference_response_chunk *m)
{
    enum trust_reason reason;
    struct chunk_info info;

    if (open_chunk(r, m, &reason) < 0) {
        provider_distrust(r->live->provider, reason); /* this attempt is then lost */
        return;
    }
    chunk_inspect_next(&r->shape, buf_view(&r->plain), &info);
    if (info.kind == CHUNK_USAGE && info.prompt_tokens > 0)
        r->prompt_tokens = info.prompt_tokens;
    if (fates[info.kind] == RELAYED)
        relay_chunk(r, m, &info);
    else if (fates[info.kind] == REFUSED)
        refuse_chunk(r);
}

static void on_drain(void *ud)
{
    struct request *r = ud;

    if (r->stage == STAGE_RELAY)
        flow_resume(r);
}

/* A stream that waits long for its first token gets its head and comments. */
static void on_head_timer(void *ud)
{
    struct request *r = ud;

    if (r->stage >= STAGE_RELAY || !r->x || !r->reply->comment)
        return;
    if (r->hold == HOLD_COMMITTED)
        r->reply->comment(r);
    loop_timer_set(r->coord->loop, &r->head_timer, r->coord->settings->head_after_ms * 1000,
                   on_head_timer, r);
}

void flow_watch_head(struct request *r)
{
    if (r->reply->comment && !r->head_timer.place)
        loop_timer_set(r->coord->loop, &r->head_timer, r->coord->settings->head_after_ms * 1000,
                       on_head_timer, r);
}

enum flow_verdict flow_relay(struct request *r)
{
    if (!r->provider_done || !may_leave(r))
        return FLOW_WAIT;
    if (r->early.len > 0) { /* a role and nothing else: the answer is empty */
        let_out(r);
        if (r->stage != STAGE_RELAY)
            return FLOW_NEXT;
    }
    if (r->x && http_out_blocked(r->x)) {
        http_on_drain(r->x, on_drain, r);
        return FLOW_WAIT;
    }
    r->outcome = LEDGER_COMPLETED;
    return FLOW_NEXT;
}
