/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 5: encrypt the body to the chosen provider's session key, under a key pair made for this
 * attempt alone. The plaintext rewrite is wiped at once. */
#include <stdio.h>

#include "coordinator/flow/flow.h"
#include "proto/sealed_msg.h"

static int build_frame(struct request *r, const struct attempt *a, struct str plain)
{
    struct str id = str_from(a->wire_id), key = str_from(box_session_public_b64(r->session));
    size_t sealed_n = box_sealed_len(plain.n);
    size_t n = msg_request_size(id, key, sealed_n);
    char *text = buf_reserve(&r->frame, n);
    int rc;

    if (!text)
        return ERR_LIMIT;
    rc = box_seal(r->session, plain, msg_request_write(id, key, sealed_n, text));
    if (rc == 0)
        buf_commit(&r->frame, n);
    return rc;
}

static void remember_provider(struct request *r)
{
    struct provider_view v = provider_view(r->chosen);

    snprintf(r->provider_id, sizeof r->provider_id, "%s", v.id);
    snprintf(r->provider_account, sizeof r->provider_account, "%s", v.account);
    r->trust = v.trust;
    r->provider_attested = v.attested;
    r->provider_secure_enclave = v.secure_enclave;
    r->provider_chip = arena_dup(&r->region, v.chip_name);
    r->provider_machine = arena_dup(&r->region, v.machine_model);
    r->provider_key = v.signing_key.p ? arena_dup(&r->region, v.signing_key) : v.signing_key;
}

/* What the context leaves for the answer. The provider knows the prompt's tokens and ends where its
 * context does; here only what surely has no room is cut, at eight bytes a token. */
static int64_t forwarded_limit(const struct request *r, int64_t context)
{
    int64_t room = context - (int64_t)r->chat.prompt_bytes / 8 - 1;

    if (context == 0 || room >= r->output_limit)
        return r->output_limit;
    return room > 1 ? room : 1;
}

static enum flow_verdict not_sealed(struct request *r, int rc)
{
    box_session_close(r->session);
    r->session = NULL;
    if (rc == ERR_CRYPTO) { /* the provider's key is none: others may serve */
        api_error_set(&r->error, API_PROVIDER, NULL, "the provider's key cannot be encrypted to");
        r->tried[r->n_attempts++] = offer_provider_serial(r->chosen);
        return flow_route_again(r);
    }
    api_error_set(&r->error, rc == ERR_BUSY ? API_OVERLOADED : API_INTERNAL, NULL,
                  "the request could not be encrypted for its provider: %s", err_str(rc));
    return FLOW_FAIL;
}

enum flow_verdict flow_seal(struct request *r)
{
    int64_t start = clock_mono_us(&r->coord->clock);
    struct attempt *a = &r->attempts[r->n_attempts];
    int64_t limit = forwarded_limit(r, provider_view(r->chosen).context_length);
    int rc;

    rand_uuid(&r->coord->rand, a->wire_id);
    snprintf(r->wire_id, sizeof r->wire_id, "%s", a->wire_id);
    remember_provider(r);
    buf_clear(&r->frame);
    buf_clear(&r->plain);
    rc = registry_session(r->chosen, &r->session);
    if (rc == 0)
        rc = chat_request_rewrite(r->body, limit, &r->plain);
    if (rc == 0)
        rc = build_frame(r, a, buf_view(&r->plain));
    buf_wipe(&r->plain);
    r->times.encrypt_us += clock_mono_us(&r->coord->clock) - start;
    return rc < 0 ? not_sealed(r, rc) : FLOW_NEXT;
}
