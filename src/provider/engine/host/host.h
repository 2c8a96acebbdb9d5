/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's end of the wire (provider/wire/wire.h): requests in, events out. Its own thread
 * reads what the daemon says. Events leave from the scheduler's threads, with one system call a
 * step; where the daemon is slow to read they wait there, and generation with them, as the ring of
 * events has it. Nothing is allocated per token once buffers have grown; what held text is wiped.
 */
#ifndef DARKBLOOM_PROVIDER_ENGINE_HOST_HOST_H
#define DARKBLOOM_PROVIDER_ENGINE_HOST_HOST_H

#include <pthread.h>

#include "base/arena.h"
#include "provider/wire/wire.h"

enum {
    HOST_LOAD_MS = 250 /* while requests are there, their counters are at most so old */
};

struct host {
    int sock;
    struct buf in;
    size_t heard_bytes;  /* of the frame at the front of `in`, which the caller looks at */
    struct arena region; /* of the request that is being taken */
    struct engine_port engine;
    pthread_mutex_t lock; /* over what follows */
    struct buf out;
    struct load said; /* the counters as the daemon knows them */
    bool broken;      /* the daemon is gone */
};

/* `sock` is a blocking stream socket and stays the caller's. */
void host_init(struct host *h, int sock);
void host_free(struct host *h);

/* The next frame of the daemon, waited for: 1 (its texts live until the next call), 0: it closed
 * the wire, ERR_TIMEOUT after `timeout_ms` (-1: never), ERR_PROTOCOL or ERR_IO. */
int host_hear(struct host *h, int timeout_ms, struct wire_msg *ret_msg);

/* Write one frame. 0, ERR_CLOSED, or as wire_append. */
int host_say(struct host *h, const struct wire_msg *m);

/* Serve `engine` until the daemon closes the wire (0), breaks it (ERR_PROTOCOL, ERR_IO), or the
 * engine's passes fail one after another (ERR_MODEL). Frames that came before are kept. */
int host_serve(struct host *h, const struct engine_port *engine);

/* The scheduler's wake: what it has to tell leaves at once. Any thread; `ud` is the host. Before
 * host_serve it does nothing. */
void host_wake(void *ud);

/* From a thread that is about to end the process: the words leave if nobody is just writing. */
void host_last_words(struct host *h, struct str text);

#endif
