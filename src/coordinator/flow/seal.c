/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 5: encrypt the body to the chosen provider's session key, under a key pair made for this
 * attempt alone. The plaintext rewrite is wiped at once. */
#include <stdio.h>

#include "coordinator/flow/flow.h"
#include "proto/sealed_msg.h"

static int seal_build_frame(struct request_attempts *t, struct str plain)
{
    struct str id = str_from(t->items[t->n - 1].wire_id);
    struct str key = str_from(box_session_public_b64(t->session));
    size_t sealed_n = box_sealed_len(plain.n);
    size_t n = msg_request_size(id, key, sealed_n);
    char *text = buf_reserve(&t->frame, n);
    int rc;

    if (!text)
        return ERR_LIMIT;
    rc = box_seal(t->session, plain, msg_request_write(id, key, sealed_n, text));
    if (rc == 0)
        buf_commit(&t->frame, n);
    return rc;
}

/* What the answer will say of its provider, which may be gone by then. */
static void seal_remember_provider(struct request *r)
{
    struct provider_view v = provider_view(r->tries.chosen);
    struct reply_source *by = &r->reply.source;

    snprintf(by->provider_id, sizeof by->provider_id, "%s", v.id);
    snprintf(by->wire_id, sizeof by->wire_id, "%s", r->tries.items[r->tries.n - 1].wire_id);
    snprintf(r->tries.account, sizeof r->tries.account, "%s", v.account);
    by->trust = v.trust;
    by->attested = v.attested;
    by->secure_enclave = v.secure_enclave;
    by->chip = arena_dup(&r->region, v.chip_name);
    by->machine = arena_dup(&r->region, v.machine_model);
    by->signing_key = v.signing_key.p ? arena_dup(&r->region, v.signing_key) : v.signing_key;
}

/* What the context leaves for the answer. The provider knows the prompt's tokens and ends where its
 * context does; here only what surely has no room is cut, at eight bytes a token. */
static int64_t seal_forwarded_limit(const struct request *r, int64_t context)
{
    int64_t room = context - (int64_t)r->chat.prompt_bytes / 8 - 1;

    if (context == 0 || room >= r->hold.output_limit)
        return r->hold.output_limit;
    return room > 1 ? room : 1;
}

static enum flow_verdict seal_failed(struct request *r, int rc)
{
    if (rc == ERR_CRYPTO) { /* the provider's key is none: others may serve */
        api_error_set(&r->error, API_PROVIDER, NULL, "the provider's key cannot be encrypted to");
        flow_attempt_failed(r, METRIC_ATTEMPT_NOT_SENT, "bad_key", false);
        return FLOW_NEXT;
    }
    api_error_set(&r->error, rc == ERR_BUSY ? API_OVERLOADED : API_INTERNAL, NULL,
                  "the request could not be encrypted for its provider: %s", err_str(rc));
    return FLOW_FAIL;
}

enum flow_verdict flow_seal(struct request *r)
{
    struct request_attempts *t = &r->tries;
    int64_t start = clock_mono_us(&r->coord->clock);
    int64_t limit = seal_forwarded_limit(r, provider_view(t->chosen).context_length);
    int rc;

    rand_uuid(&r->coord->rand, t->items[t->n - 1].wire_id);
    seal_remember_provider(r);
    buf_clear(&t->frame);
    buf_clear(&t->plain);
    rc = registry_session(t->chosen, &t->session);
    if (rc == 0)
        rc = chat_request_rewrite(&r->chat, r->body, limit, &t->plain);
    if (rc == 0)
        rc = seal_build_frame(t, buf_view(&t->plain));
    buf_wipe(&t->plain);
    r->reply.timing.encrypt_us += clock_mono_us(&r->coord->clock) - start;
    return rc < 0 ? seal_failed(r, rc) : FLOW_NEXT;
}
