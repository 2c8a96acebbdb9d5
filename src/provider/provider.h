/* SPDX-License-Identifier: Apache-2.0 */
/* A provider over a given loop, signer and engine: the link to the coordinator and the requests
 * that come over it. The process around it is daemon.h; tests put a fake loop and a scripted engine
 * here. Belongs to the loop's thread. */
#ifndef DARKBLOOM_PROVIDER_PROVIDER_H
#define DARKBLOOM_PROVIDER_PROVIDER_H

#include "provider/engine/engine_port.h"
#include "provider/session/link.h"
#include "seal/box.h"

enum {
    PROVIDER_SENT_MS = 20,   /* between two looks whether the last output has left */
    PROVIDER_LINGER_MS = 100 /* for the close frame to leave */
};

struct provider;

struct provider_config {
    struct loop *loop;
    struct rand_src rand;
    const struct log *log;
    struct signer *signer;
    const struct machine *machine;
    const struct box_pair *pair; /* its public half stands in `machine` */
    struct engine_port engine;
    struct coordinator_url url;
    struct tls_context *tls; /* link_config */
    int64_t heartbeat_interval_ms;
    int64_t drain_timeout_ms; /* how long running requests may take when it stops */
    uint32_t max_jobs;        /* running and waiting together */
};

/* `config`'s pointers are borrowed. 0 or ERR_NOMEM. */
int provider_new(const struct provider_config *config, struct provider **ret_provider);

/* Connect, and stay connected. */
void provider_start(struct provider *p);

/* The engine has events: to be called on the loop's thread. */
void provider_on_engine(struct provider *p);

/* The engine came or went: the coordinator hears of it now, not with the next heartbeat. */
void provider_on_engine_changed(struct provider *p);

/* Say in a heartbeat that nothing more is taken and refuse what comes all the same ("draining");
 * let the running requests end and their output leave, for up to drain_timeout_ms, after which they
 * end with the error "draining"; close the connection with 1001; call `stopped` once. A second call
 * ends the waiting. */
void provider_stop(struct provider *p, void (*stopped)(void *ud), void *ud);

/* The signer has been closed before. NULL is allowed. */
void provider_free(struct provider *p);

bool provider_is_up(const struct provider *p);
struct link_counters provider_link_counters(const struct provider *p);

#endif
