/* SPDX-License-Identifier: Apache-2.0 */
/* Response heads: CORS, trace id, what is known of the provider's trust, and where the time went.
 */
#include "coordinator/coord.h"
#include "coordinator/reply/answer.h"
#include "coordinator/reply/reply.h"

struct header_list {
    struct http_header *items;
    size_t n;
};

static void header_add(struct header_list *l, const char *name, struct str value)
{
    if (l->n < REPLY_MAX_HEADERS && value.p)
        l->items[l->n++] = (struct http_header){str_from(name), value};
}

size_t reply_common_headers(const struct settings *s, struct str content_type, struct str trace_id,
                            struct http_header *ret_headers)
{
    struct header_list l = {ret_headers, 0};

    header_add(&l, "Content-Type", content_type);
    header_add(&l, "X-Request-Id", trace_id);
    header_add(&l, "Access-Control-Allow-Origin", s->cors_origin);
    header_add(&l, "Access-Control-Allow-Credentials", STR("true"));
    header_add(&l, "Access-Control-Allow-Headers",
               STR("Content-Type, Authorization, Idempotency-Key, X-Request-Id, X-Min-Trust-Level, "
                   "X-Darkbloom-Receipt"));
    header_add(&l, "Access-Control-Allow-Methods", STR("GET, POST, DELETE, OPTIONS"));
    header_add(
        &l, "Access-Control-Expose-Headers",
        STR("X-Request-Id, X-Timing, X-Inference-Job-Id, X-Provider-Id, X-Provider-Trust-Level, "
            "X-Provider-Attested, X-Provider-Encrypted, X-Provider-Chip, X-Provider-Model, "
            "X-Provider-Secure-Enclave, X-Attestation-Se-Public-Key, Retry-After, "
            "X-RateLimit-Reset"));
    return l.n;
}

int reply_timing_append(const struct reply *rp, struct buf *out)
{
    const struct reply_timing *t = &rp->timing;

    return buf_printf(out,
                      "{\"parse_us\":%lld,\"reserve_us\":%lld,\"route_us\":%lld,\"queue_us\":%lld,"
                      "\"encrypt_us\":%lld,\"dispatch_us\":%lld,\"provider_us\":%lld}",
                      (long long)t->parse_us, (long long)t->reserve_us, (long long)t->route_us,
                      (long long)t->queue_us, (long long)t->encrypt_us, (long long)t->dispatch_us,
                      (long long)t->provider_us);
}

size_t reply_headers(struct reply *rp, struct str content_type, struct http_header *ret_headers)
{
    const struct reply_source *by = &rp->source;
    struct header_list l = {ret_headers, 0};

    l.n = reply_common_headers(rp->coord->settings, content_type, str_from(rp->trace_id),
                               ret_headers);
    if (!rp->answering)
        return l.n;
    buf_clear(&rp->text);
    if (reply_timing_append(rp, &rp->text) == 0)
        header_add(&l, "X-Timing", arena_dup(rp->region, buf_view(&rp->text)));
    header_add(&l, "X-Inference-Job-Id", str_from(by->wire_id));
    header_add(&l, "X-Provider-Encrypted", STR("true"));
    header_add(&l, "X-Provider-Attested", by->attested ? STR("true") : STR("false"));
    if (by->attested)
        header_add(&l, "X-Provider-Secure-Enclave",
                   by->secure_enclave ? STR("true") : STR("false"));
    header_add(&l, "X-Provider-Trust-Level", str_from(trust_name(by->trust)));
    header_add(&l, "X-Provider-Id", str_from(by->provider_id));
    header_add(&l, "X-Provider-Chip", by->chip);
    header_add(&l, "X-Provider-Model", by->machine);
    header_add(&l, "X-Attestation-Se-Public-Key", by->signing_key);
    return l.n;
}

void reply_error_json(struct reply *rp, const struct api_error *e)
{
    struct http_exchange *x = rp->x;

    rp->x = NULL;
    reply_move(rp, REPLY_ENDED);
    answer_error(rp->coord, x, rp->trace_id, e, (struct http_header){0});
}
