/* SPDX-License-Identifier: Apache-2.0 */
/* Response heads: CORS, trace id, what is known of the provider's trust, and where the time went.
 */
#include "coordinator/flow/flow.h"
#include "coordinator/reply/answer.h"

struct header_list {
    struct http_header *items;
    size_t n;
};

static void add(struct header_list *l, const char *name, struct str value)
{
    if (l->n < REPLY_MAX_HEADERS && value.p)
        l->items[l->n++] = (struct http_header){str_from(name), value};
}

size_t reply_common_headers(const struct settings *s, struct str content_type, struct str trace_id,
                            struct http_header *ret_headers)
{
    struct header_list l = {ret_headers, 0};

    add(&l, "Content-Type", content_type);
    add(&l, "X-Request-Id", trace_id);
    add(&l, "Access-Control-Allow-Origin", s->cors_origin);
    add(&l, "Access-Control-Allow-Credentials", STR("true"));
    add(&l, "Access-Control-Allow-Headers",
        STR("Content-Type, Authorization, Idempotency-Key, X-Request-Id, X-Min-Trust-Level"));
    add(&l, "Access-Control-Allow-Methods", STR("GET, POST, DELETE, OPTIONS"));
    add(&l, "Access-Control-Expose-Headers",
        STR("X-Request-Id, X-Timing, X-Inference-Job-Id, X-Provider-Id, X-Provider-Trust-Level, "
            "X-Provider-Attested, X-Provider-Encrypted, X-Provider-Chip, X-Provider-Model, "
            "X-Provider-Secure-Enclave, X-Attestation-Se-Public-Key, Retry-After, "
            "X-RateLimit-Reset"));
    return l.n;
}

static int64_t between(int64_t from, int64_t to)
{
    return from > 0 && to > from ? to - from : 0;
}

int reply_timing_append(const struct request *r, struct buf *out)
{
    const struct flow_times *t = &r->times;

    return buf_printf(out,
                      "{\"parse_us\":%lld,\"reserve_us\":%lld,\"route_us\":%lld,\"queue_us\":%lld,"
                      "\"encrypt_us\":%lld,\"dispatch_us\":%lld,\"provider_us\":%lld}",
                      (long long)between(t->received, t->entered),
                      (long long)between(t->reserve_start, t->reserve_end), (long long)t->route_us,
                      (long long)t->queue_us, (long long)t->encrypt_us, (long long)t->dispatch_us,
                      (long long)between(t->sent_at, t->first_chunk));
}

size_t reply_headers(struct request *r, struct str content_type, struct http_header *ret_headers)
{
    struct header_list l = {ret_headers, 0};
    struct buf *timing = &r->reply_state.text;

    l.n =
        reply_common_headers(r->coord->settings, content_type, str_from(r->trace_id), ret_headers);
    if (!r->content_sent && r->outcome != LEDGER_COMPLETED)
        return l.n; /* nobody serves yet */
    buf_clear(timing);
    if (reply_timing_append(r, timing) == 0)
        add(&l, "X-Timing", arena_dup(&r->region, buf_view(timing)));
    add(&l, "X-Inference-Job-Id", str_from(r->wire_id));
    add(&l, "X-Provider-Encrypted", STR("true"));
    add(&l, "X-Provider-Attested", r->provider_attested ? STR("true") : STR("false"));
    if (r->provider_attested)
        add(&l, "X-Provider-Secure-Enclave",
            r->provider_secure_enclave ? STR("true") : STR("false"));
    add(&l, "X-Provider-Trust-Level", str_from(trust_name(r->trust)));
    add(&l, "X-Provider-Id", str_from(r->provider_id));
    add(&l, "X-Provider-Chip", r->provider_chip);
    add(&l, "X-Provider-Model", r->provider_machine);
    add(&l, "X-Attestation-Se-Public-Key", r->provider_key);
    return l.n;
}

void reply_error_json(struct request *r, const struct api_error *e)
{
    struct http_exchange *x = r->x;

    r->x = NULL;
    answer_error(r->coord, x, r->trace_id, e, (struct http_header){0});
}

void reply_state_free(struct reply_state *s)
{
    chunk_join_free(s->join);
    s->join = NULL; /* it lay in the request's region */
    buf_free(&s->text);
    arena_free(&s->rewrite);
}
