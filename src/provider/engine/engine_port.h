/* SPDX-License-Identifier: Apache-2.0 */
/* What serving needs of an engine, so that it runs over the batch scheduler in the product and over
 * a script in tests. All calls are made on the loop's thread and do not block. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_ENGINE_PORT_H
#define DARKBLOOM_PROVIDER_ENGINE_ENGINE_PORT_H

#include "proto/chat.h"
#include "proto/chunk.h"
#include "provider/engine/load.h"

enum engine_event_kind {
    ENGINE_ADMITTED, /* tokenised and found to fit, queued for a slot: prompt_tokens is known; or,
                        with 0 of them and before that, taken on by an engine that has yet to load
                      */
    ENGINE_TEXT,     /* `text` stands for `tokens` more completion tokens */
    ENGINE_DONE,     /* the last event of a request that succeeded */
    ENGINE_FAILED,   /* the last event of one that did not */
};

struct engine_event {
    enum engine_event_kind kind;
    uint64_t tag;    /* as given to submit */
    struct str text; /* valid until the next poll */
    int64_t tokens;
    int64_t prompt_tokens, completion_tokens; /* ADMITTED: the first; DONE: both; FAILED with
                                                 ERR_LIMIT: the first, 0 where it was not counted */
    enum chunk_finish finish;                 /* DONE */
    int code; /* FAILED: ERR_LIMIT: prompt and answer do not fit the context; ERR_BUSY: no place in
                 the queue; ERR_PARSE: messages that the template cannot render; ERR_CLOSED: the
                 engine ended; ERR_AGAIN: it ended before it got the request; else ERR_MODEL */
};

struct engine_port {
    /* Queue a request. The engine keeps a copy of what it needs of `chat`: the caller wipes its own
     * when the call returns. 0, ERR_BUSY (no place in the queue), ERR_LIMIT (no context can hold
     * messages of that size), ERR_AGAIN (no engine is ready), ERR_DENIED (an engine ended by this
     * prompt, which is not tried again) or ERR_NOMEM. */
    int (*submit)(void *ud, uint64_t tag, const struct chat_request *chat);
    /* Stop within one step, or leave the queue at once; events of that tag that are still queued
     * may arrive and are ignored. */
    void (*cancel)(void *ud, uint64_t tag);
    /* The next event: 1, or 0 when there is none now. */
    int (*poll)(void *ud, struct engine_event *ret_event);
    /* Have the model in memory: 1, it is; 0, it is being loaded, and `load` says how that goes;
     * ERR_AGAIN: the engine ended, and comes back by itself. NULL: it always is. */
    int (*warm)(void *ud);
    /* Running, waiting, KV and forward-pass counters. What was served is the caller's to count. */
    void (*load)(void *ud, struct load *ret_load);
    void *ud;
};

#endif
