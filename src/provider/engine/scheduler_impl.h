/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's inside: what its thread owns (no lock) and what it shares (under `lock`). */
#ifndef DARKBLOOM_PROVIDER_ENGINE_SCHEDULER_IMPL_H
#define DARKBLOOM_PROVIDER_ENGINE_SCHEDULER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "provider/engine/events.h"
#include "provider/engine/sampler.h"
#include "provider/engine/scheduler.h"
#include "provider/engine/text_out.h"

enum { PIECE_MAX_BYTES = 1024, PROMPT_BYTES_A_TOKEN = 512 };

/* A request's own copy of what it asked for. */
struct request {
    struct list_node link; /* waiting, or all running */
    uint64_t tag;
    struct arena region; /* messages and stops; wiped with the request */
    struct str messages;
    struct str stops[CHAT_MAX_STOPS];
    size_t n_stops;
    struct sampling sampling;
    int64_t max_tokens;
    atomic_bool cancelled;
};

/* One sequence of the KV cache and the request in it. */
struct slot {
    struct request *request;    /* NULL: free */
    int32_t *tokens;            /* prompt, then what was generated: context_tokens of room */
    int32_t n_prompt, n_tokens; /* n_tokens: all so far */
    int32_t n_past;             /* in the KV cache */
    int32_t limit;              /* n_tokens at which it ends */
    int32_t row;                /* its row with logits in this pass, -1: none */
    struct sampler sampler;
    struct text_out text;
};

struct scheduler {
    struct scheduler_config config;
    struct model_limits limits;
    struct events events;
    pthread_t thread;

    /* the thread's own */
    struct slot *slots;
    struct model_row *rows;
    struct sampler_scratch scratch;
    struct buf prompt; /* rendered text; wiped after use */
    bool put_events;   /* since the last wake */

    /* shared */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list_node waiting, running;
    size_t n_waiting, n_running;
    bool stopping;
    struct load load;
    struct scheduler_counters counters;
};

/* slot.c */
struct request *request_new(uint64_t tag, const struct chat_request *chat, uint64_t seed);
void request_free(struct request *r);
/* Put a request into a slot: render, tokenise, check that it fits. Ends it with an event when not.
 */
void slot_admit(struct scheduler *s, struct slot *slot, struct request *r);
/* A token was sampled for the slot: its text leaves, and it may end. */
void slot_accept(struct scheduler *s, struct slot *slot, int32_t token);
void slot_fail(struct scheduler *s, struct slot *slot, int code);
/* Free the slot without an event (cancelled, stopping). */
void slot_drop(struct scheduler *s, struct slot *slot);

/* step.c: one forward pass over everything that runs. False: nothing to do. */
bool scheduler_step(struct scheduler *s);

void scheduler_emit(struct scheduler *s, const struct engine_event *e);

#endif
