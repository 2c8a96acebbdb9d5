/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in, sealed answers out: the part between the link and the engine. A request is
 * opened, checked, handed to the engine; what the engine yields is sealed and sent. Nothing
 * here outlives the connection that the request came over. Belongs to the loop's thread. */
#ifndef DARKBLOOM_PROVIDER_SERVE_SERVE_H
#define DARKBLOOM_PROVIDER_SERVE_SERVE_H

#include "provider/engine/engine_port.h"
#include "provider/session/link.h"
#include "seal/box.h"

struct serve;

struct serve_config {
    struct loop *loop;
    struct rand_src rand;
    const struct log *log;
    struct signer *signer;
    struct engine_port engine;
    const struct box_pair *pair;
    struct str model_id;
    int64_t context_tokens; /* that the engine holds for a request */
    uint32_t max_jobs;      /* running and waiting; beyond it requests are refused */
};

/* `config`'s pointers are borrowed. 0 or ERR_NOMEM. */
int serve_new(const struct serve_config *config, struct serve **ret_serve);

/* Where answers go; set once, before the first request. */
void serve_set_link(struct serve *s, struct link *link);

/* What the link calls (struct link_ops). */
void serve_on_request(struct serve *s, const struct msg_inference_request *m);
void serve_on_cancel(struct serve *s, const struct msg_cancel *m);
void serve_on_drain(struct serve *s);
void serve_on_lost(struct serve *s);
struct load serve_load(const struct serve *s);

/* The engine has events: call on the loop's thread after its wake-up. */
void serve_on_events(struct serve *s);

/* From now on refuse new requests ("draining") and say so in the load; `idle` is called once when
 * the last job has ended, maybe from inside the call. */
void serve_drain(struct serve *s, void (*idle)(void *ud), void *ud);

/* End what runs with the error "draining": its answers stay as far as they are. */
void serve_give_up(struct serve *s);

/* Cancels what runs. The signer has been closed before. NULL is allowed. */
void serve_free(struct serve *s);

#endif
