/* SPDX-License-Identifier: Apache-2.0 */
/* The outbound connection to the coordinator, kept alive for the life of the process: connect,
 * sign, register, heartbeat; when it ends, wait (backoff.h) and begin again. Messages go to the
 * owner by type; challenges are answered here. Belongs to its loop's thread.
 *
 * The X25519 pair is one a process, not one a connection: requests sealed to it die with their
 * connection anyway, and the coordinator recognises a provider by its signing key, not by this one.
 *
 * Liveness: a ping every 10 s; when nothing at all (pong or message) has come for 30 s the
 * connection is dropped. Nothing that the coordinator sends ends the process: frames that do not
 * decode and unknown types are counted and ignored. */
#ifndef DARKBLOOM_PROVIDER_SESSION_LINK_H
#define DARKBLOOM_PROVIDER_SESSION_LINK_H

#include "base/log.h"
#include "identity/signer.h"
#include "net/ws.h"
#include "provider/session/heartbeat.h"
#include "provider/session/url.h"

enum { LINK_MAX_FRAME_BYTES = 10 * 1024 * 1024, LINK_PING_MS = 10000, LINK_SILENCE_MS = 30000 };

struct link;

struct link_ops {
    void (*on_request)(void *ud, const struct msg_inference_request *m);
    void (*on_cancel)(void *ud, const struct msg_cancel *m);
    /* The socket took all output after some had to wait. */
    void (*on_drain)(void *ud);
    /* The connection ended: what was asked over it is void. Also before link_stop's end. */
    void (*on_lost)(void *ud);
    /* The model is to be in memory: as struct engine_port has it. */
    int (*on_load_model)(void *ud);
    struct load (*load)(void *ud); /* for the heartbeat that is about to be sent */
};

struct link_config {
    struct loop *loop;
    struct rand_src rand;
    const struct log *log;
    struct signer *signer;
    const struct machine *machine;
    struct coordinator_url url;
    struct tls_context *tls; /* a client's, where the URL says so */
    int64_t heartbeat_interval_ms;
};

struct link_counters {
    uint64_t connects; /* connections that registered */
    uint64_t ignored;  /* messages that could not be used */
};

/* `config`'s pointers are borrowed. 0 or ERR_NOMEM. */
int link_new(const struct link_config *config, const struct link_ops *ops, void *ud,
             struct link **ret_link);

/* Begin to connect, at once. */
void link_start(struct link *l);

/* Close with 1001 (going away) and never connect again; on_lost is called if there was a
 * connection. */
void link_stop(struct link *l);

/* The signer must have been closed before. NULL is allowed. */
void link_free(struct link *l);

/* Registered, and not stopped. */
bool link_is_up(const struct link *l);

struct link_counters link_counters_of(const struct link *l);

/* Send one message. 0 or ERR_CLOSED: there is no connection. Output that the limit refuses ends the
 * connection. */
int link_send(struct link *l, const struct provider_msg *msg);

/* For frames written in place: the place for exactly `n` bytes, or NULL (no connection; or the
 * limit, which ends the connection). Then link_send_end with the same `n`. */
char *link_send_begin(struct link *l, size_t n);
void link_send_end(struct link *l, char *payload, size_t n);

/* End the connection (a frame that was begun cannot be finished) and connect again later. */
void link_drop(struct link *l, int reason, const char *text);

/* Send a heartbeat now: the load has changed in a way that must not wait for the next one. */
void link_send_heartbeat(struct link *l);

/* Output that waits for the socket, in bytes. */
size_t link_pending(const struct link *l);

#endif
