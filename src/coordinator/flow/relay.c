/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 7: the provider's sealed chunks become the consumer's answer. Nothing leaves before the
 * hold is committed, nor a role or a finish before the first text: until then chunks wait in
 * `early`, and the request can still be retried. The stage ends when the provider is done and the
 * consumer's socket is not behind. Nothing is allocated per chunk once the buffers have grown. */
#include "base/num.h"
#include "coordinator/flow/flow.h"

/* An opened chunk that waits in `early`: this header, then `n` bytes of its line. */
struct relay_early {
    uint32_t n;
    uint32_t tokens;
};

/* A provider may go on past the limit by what its last step held; beyond that it is stopped. */
enum { RELAY_OVERRUN_TOKENS = 64 };

/* So much a socket takes of a consumer that keeps up, without being tried. */
enum { RELAY_UNTRIED_BYTES = 4096 };

/* The early head of a stream leaves so long before its limit to first content, whatever the account
 * has set. */
enum { RELAY_HEAD_BEFORE_US = 200000 };

static bool relay_may_leave(const struct request *r)
{
    return r->hold.state == HOLD_COMMITTED;
}

static void relay_cut_slow_consumer(struct request *r)
{
    size_t pending = http_out_pending(r->reply.x);

    log_event(r->coord->log, LOG_WARN, EV_SLOW_CONSUMER, KV_CSTR("request", r->id),
              KV_INT("queued_bytes", pending));
    api_error_set(
        &r->error, API_SLOW_CONSUMER, NULL,
        "the stream was cut: %zu bytes wait unread and the next would exceed the limit of "
        "%d",
        pending, REPLY_QUEUE_BYTES);
    flow_fail(r, LEDGER_CONSUMER_GONE);
}

/* The chunk decrypts but is no part of an answer: what came before it stands, if it was seen. */
static void relay_refuse_chunk(struct request *r, const char *why, const char *code)
{
    api_error_set(&r->error, API_PROVIDER, NULL, "%s", why);
    flow_attempt_failed(r, METRIC_ATTEMPT_FAILED, code, true);
}

/* Our own want of memory says nothing of the provider (R12). */
static void relay_no_memory(struct request *r)
{
    api_error_set(&r->error, API_OVERLOADED, NULL,
                  "the coordinator has no room for this answer now; try again");
    r->error.retry_after_s = 1;
    flow_attempt_end(r, METRIC_ATTEMPT_CANCELLED, true);
    flow_fail(r, LEDGER_STOPPED);
}

/* The first content: where the consumer sees it, this provider's answer is the answer. */
static void relay_begin(struct request *r)
{
    struct reply *rp = &r->reply;

    record_first_content(r);
    rp->answering = true;
    if (rp->x && !rp->ops->restart) { /* the body was kept for a retry until now */
        http_drop_body(rp->x);
        r->body = (struct str){0};
    }
    rp->ops->head(rp);
    if (r->stage == STAGE_DISPATCH)
        flow_move(r, STAGE_RELAY);
}

/* A provider's word for its tokens is believed as far as its text goes: what counts is delivered.
 * It may hold text back and then send several tokens' at once, so the sums are compared. */
static void relay_count(struct request *r, const struct chunk_info *info, int64_t tokens)
{
    struct request_attempts *t = &r->tries;

    t->text_bytes += (int64_t)info->text_bytes;
    t->claimed_tokens += tokens;
    t->relayed_tokens = num_min(t->claimed_tokens, t->text_bytes + r->hold.silent_tokens);
}

/* By the tokens that are believed, or by text that no number of tokens allowed can stand for: a
 * provider may claim none. */
static bool relay_is_past_limit(const struct request *r)
{
    int64_t most = r->hold.output_limit + RELAY_OVERRUN_TOKENS;

    return r->tries.relayed_tokens > most || r->tries.text_bytes > most * CHUNK_TOKEN_MAX_BYTES;
}

static void relay_hand_over(struct request *r, const struct chunk_info *info, int64_t tokens)
{
    struct reply *rp = &r->reply;
    int rc;

    if (r->times.first_content == 0)
        relay_begin(r);
    relay_count(r, info, tokens);
    rc = rp->x ? rp->ops->chunk(rp, info, r->tries.relayed_tokens) : 0;
    if (rc == ERR_LIMIT)
        relay_cut_slow_consumer(r);
    else if (rc == ERR_NOMEM)
        relay_no_memory(r);
    else if (rc < 0)
        relay_refuse_chunk(r, "the provider's answer cannot be read", "unreadable_chunk");
    else if (relay_is_past_limit(r))
        relay_refuse_chunk(r, "the provider went on past the number of tokens asked for",
                           "past_limit");
}

static void relay_let_out(struct request *r)
{
    struct buf *early = &r->tries.early;
    struct relay_early head;

    while (early->len >= sizeof head && r->stage < STAGE_SETTLE) {
        struct str v = buf_view(early);
        struct chunk_info info;

        memcpy(&head, v.p, sizeof head);
        chunk_inspect_next(&r->tries.shape, (struct str){v.p + sizeof head, head.n}, &info);
        relay_hand_over(r, &info, head.tokens);
        if (early->len > 0) /* a failure has emptied it */
            buf_consume(early, sizeof head + head.n);
    }
}

void flow_let_out(struct request *r)
{
    if (r->tries.early_has_text)
        relay_let_out(r);
    if (r->stage == STAGE_RELAY)
        flow_resume(r);
}

static int relay_keep_early(struct request *r, struct str line, int64_t tokens)
{
    struct relay_early head = {(uint32_t)line.n, (uint32_t)tokens};
    int rc = buf_append(&r->tries.early, &head, sizeof head);

    return rc < 0 ? rc : buf_append_str(&r->tries.early, line);
}

/* An old peer does not say how many tokens a chunk stands for: one, if it carries text. */
static int64_t relay_tokens_of(const struct msg_inference_response_chunk *m,
                               const struct chunk_info *info)
{
    if (m->tokens >= 0)
        return num_min(m->tokens, CHAT_MAX_TOKENS_LIMIT);
    return info->has_text ? 1 : 0;
}

static int relay_open_chunk(struct request *r, const struct attempt *a,
                            const struct msg_inference_response_chunk *m,
                            enum trust_reason *ret_reason)
{
    *ret_reason = TRUST_REASON_PLAINTEXT_CHUNK;
    if (!m->has_encrypted_data || m->data.n > 0)
        return ERR_PROTOCOL;
    *ret_reason = TRUST_REASON_FOREIGN_KEY;
    if (!str_is(m->encrypted_data.ephemeral_public_key, provider_view(a->offer).x25519_b64))
        return ERR_PROTOCOL;
    *ret_reason = TRUST_REASON_UNDECRYPTABLE;
    return box_open(r->tries.session, m->encrypted_data.ciphertext, &r->tries.plain);
}

static void relay_note_time(struct request *r)
{
    int64_t now = clock_mono_us(&r->coord->clock);

    if (r->tries.state == ATTEMPT_ANSWERING)
        metrics_observe(r->coord->metrics, M_INTER_TOKEN, r->model->metric, 0,
                        now - r->tries.last_chunk_us);
    r->tries.last_chunk_us = now;
}

static enum metrics_FINISH relay_finish_of(struct str finish)
{
    return str_is(finish, "\"stop\"")         ? METRIC_FINISH_STOP
           : str_is(finish, "\"length\"")     ? METRIC_FINISH_LENGTH
           : str_is(finish, "\"tool_calls\"") ? METRIC_FINISH_TOOL_CALLS
                                              : METRIC_FINISH_OTHER;
}

static void relay_chunk(struct request *r, const struct msg_inference_response_chunk *m,
                        const struct chunk_info *info)
{
    struct request_attempts *t = &r->tries;
    int64_t tokens = relay_tokens_of(m, info);

    t->chunks_uncounted |= m->tokens < 0 && info->has_text;
    relay_note_time(r);
    if (info->has_text)
        flow_note_content(r);
    if (info->has_finish)
        t->finish = relay_finish_of(info->finish);
    if (relay_may_leave(r) && t->early.len == 0 && t->state == ATTEMPT_ANSWERING) {
        relay_hand_over(r, info, tokens);
        return;
    }
    if (relay_keep_early(r, buf_view(&t->plain), tokens) < 0) {
        relay_no_memory(r);
        return;
    }
    t->early_has_text |= info->has_text;
    if (relay_may_leave(r))
        flow_let_out(r);
}

/* What becomes of each kind of chunk; one that is not named here is refused. The relay writes its
 * own usage and [DONE]. */
enum { RELAY_REFUSED, RELAY_KEPT_BACK, RELAY_RELAYED };
static const uint8_t relay_fates[] = {
    [CHUNK_CONTENT] = RELAY_RELAYED, [CHUNK_WHOLE] = RELAY_RELAYED,
    [CHUNK_DONE] = RELAY_KEPT_BACK,  [CHUNK_USAGE] = RELAY_KEPT_BACK,
    [CHUNK_EMPTY] = RELAY_KEPT_BACK, [CHUNK_ERROR] = RELAY_REFUSED,
    [CHUNK_BAD] = RELAY_REFUSED};

void flow_chunk(struct request *r, const struct msg_inference_response_chunk *m)
{
    const struct attempt *a = request_live(r);
    enum trust_reason reason;
    struct chunk_info info;
    int rc = relay_open_chunk(r, a, m, &reason);

    if (rc == ERR_NOMEM || rc == ERR_LIMIT) {
        relay_no_memory(r);
        return;
    }
    if (rc < 0) {
        provider_distrust(a->provider, reason); /* this attempt is then lost */
        return;
    }
    chunk_inspect_next(&r->tries.shape, buf_view(&r->tries.plain), &info);
    if (info.kind == CHUNK_USAGE && info.prompt_tokens > 0)
        r->tries.prompt_tokens = num_min(info.prompt_tokens, r->hold.prompt_ceiling);
    if (relay_fates[info.kind] == RELAY_RELAYED)
        relay_chunk(r, m, &info);
    else if (relay_fates[info.kind] == RELAY_REFUSED)
        relay_refuse_chunk(r, "the provider's answer cannot be read", "unreadable_chunk");
}

static void relay_on_drain(void *ud)
{
    struct request *r = ud;

    if (r->stage == STAGE_RELAY)
        flow_resume(r);
}

/* A stream that waits long for its first token gets its head and comments. */
static void relay_on_head_timer(void *ud)
{
    struct request *r = ud;

    if (r->reply.state >= REPLY_CONTENT)
        return;
    if (r->hold.state == HOLD_COMMITTED)
        r->reply.ops->comment(&r->reply);
    loop_timer_set(r->coord->loop, &r->head_timer, r->coord->settings->head_after_ms * 1000,
                   relay_on_head_timer, r);
}

/* Counted from the receipt of the request, so that a sign of life leaves before the consumer gives
 * up. */
void flow_watch_head(struct request *r)
{
    int64_t after = num_min(r->times.received + r->coord->settings->head_after_ms * 1000,
                            r->times.content_limit - RELAY_HEAD_BEFORE_US);
    int64_t due = after - clock_mono_us(&r->coord->clock);

    if (r->reply.ops->comment)
        loop_timer_set(r->coord->loop, &r->head_timer, due > 0 ? due : 0, relay_on_head_timer, r);
}

/* Chunks that came in one read with the end have not been tried on the socket yet: of more than it
 * takes in any case, see first whether it takes them (R11). False: the consumer is gone. */
static bool relay_try_socket(struct request *r)
{
    if (r->reply.x && http_out_pending(r->reply.x) > RELAY_UNTRIED_BYTES)
        http_flush(r->reply.x);
    return r->stage == STAGE_RELAY;
}

enum flow_verdict flow_relay(struct request *r)
{
    struct reply *rp = &r->reply;

    if (r->tries.state != ATTEMPT_COMPLETED || !relay_may_leave(r) || r->tries.early.len > 0)
        return FLOW_WAIT;
    if (!relay_try_socket(r))
        return FLOW_NEXT;
    if (rp->x && http_out_blocked(rp->x)) {
        http_on_drain(rp->x, relay_on_drain, r);
        return FLOW_WAIT;
    }
    r->outcome = LEDGER_COMPLETED;
    return FLOW_NEXT;
}
