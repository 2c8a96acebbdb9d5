/* SPDX-License-Identifier: Apache-2.0 */
/* From an envelope to a job of the engine, or to a refusal. */
#include "provider/serve/admit.h"

#include <stdio.h>

#include "base/b64.h"
#include "provider/serve/refusal.h"

enum { KEEP_BYTES = 64 * 1024 };

static int admit_open_envelope(struct job *j, const struct msg_inference_request *m,
                               struct api_error *ret_error)
{
    struct serve *s = j->serve;
    uint8_t peer[BOX_KEY_BYTES];
    int rc;

    if (!m->has_encrypted_body)
        return refusal_set(ret_error, REFUSAL_ENVELOPE);
    rc = box_public_parse(m->encrypted_body.ephemeral_public_key, peer);
    if (rc == 0)
        rc = box_session_accept(s->slab, s->config.pair, peer, &j->session);
    if (rc == 0)
        rc = box_open(j->session, m->encrypted_body.ciphertext, &s->plain);
    if (rc == ERR_NOMEM || rc == ERR_BUSY)
        return refusal_set(ret_error, REFUSAL_NO_MEMORY);
    return rc < 0 ? refusal_set(ret_error, REFUSAL_ENVELOPE) : 0;
}

/* The parser's own texts may quote the request: its code and its parameter are passed on, no more.
 */
static int admit_parse(struct serve *s, struct chat_request *ret_chat, struct api_error *ret_error)
{
    struct api_error found = {0};
    struct str body = buf_view(&s->plain);

    if (chat_request_parse(body, &s->region, ret_chat, &found) < 0)
        return refusal_of_parse(&found, ret_error);
    if (ret_chat->beyond_text)
        return refusal_unsupported(ret_error, ret_chat->beyond_text);
    if (!str_eq(ret_chat->model, s->config.model_id))
        return refusal_set(ret_error, REFUSAL_OTHER_MODEL);
    return 0;
}

static void admit_set_up_answer(struct job *j, const struct chat_request *chat)
{
    struct serve *s = j->serve;
    uint8_t random[12];
    char hex[2 * sizeof random + 1];

    rand_fill(&s->config.rand, random, sizeof random);
    hex_encode(random, sizeof random, hex);
    (void)snprintf(j->chat_id, sizeof j->chat_id, "chatcmpl-%s", hex);
    j->head = (struct chunk_head){.id = str_from(j->chat_id),
                                  .model = s->config.model_id,
                                  .created_s = clock_wall_us(&s->clock) / 1000000};
    j->stream = chat->stream;
    j->include_usage = chat->include_usage;
}

static int admit_submit(struct job *j, const struct chat_request *chat, struct api_error *ret_error)
{
    const struct serve_config *c = &j->serve->config;
    int rc = c->engine.submit(c->engine.ud, job_tag(j), chat);

    return rc < 0 ? refusal_of_engine(rc, 0, c->context_tokens, ret_error) : 0;
}

/* Wiping covers the whole memory of a buffer, so a large one is not kept for the next request. */
static void admit_wipe_plain(struct serve *s)
{
    buf_wipe(&s->plain);
    if (s->plain.cap > KEEP_BYTES)
        buf_free(&s->plain);
    arena_reset(&s->region);
}

int admit_request(struct job *j, const struct msg_inference_request *m, struct api_error *ret_error)
{
    struct serve *s = j->serve;
    struct chat_request chat;
    int rc = admit_open_envelope(j, m, ret_error);

    if (rc == 0)
        rc = admit_parse(s, &chat, ret_error);
    if (rc == 0) {
        admit_set_up_answer(j, &chat);
        rc = admit_submit(j, &chat, ret_error);
    }
    admit_wipe_plain(s);
    return rc;
}
