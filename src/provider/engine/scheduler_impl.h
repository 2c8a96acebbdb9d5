/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's inside: what its thread owns (no lock) and what it shares (under `lock`). */
#ifndef DARKBLOOM_PROVIDER_ENGINE_SCHEDULER_IMPL_H
#define DARKBLOOM_PROVIDER_ENGINE_SCHEDULER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "provider/engine/deep_stack.h"
#include "provider/engine/draw.h"
#include "provider/engine/events.h"
#include "provider/engine/pace.h"
#include "provider/engine/sampler.h"
#include "provider/engine/scheduler.h"
#include "provider/engine/text_out.h"

enum {
    PIECE_MAX_BYTES = 1024,
    /* An answer is read again when it has grown by this part of itself: what the reader costs is
     * then linear in its length (8 ms for 32 KiB), and the first texts leave with their tokens. */
    READ_AGAIN_PART = 512
};

/* A request's own copy of what it asked for. */
struct request {
    struct list_node link; /* arrived, prepared or running; on no list while it is prepared */
    uint64_t tag;
    uint64_t order;      /* of preparing: the least is next */
    struct arena region; /* texts, stops and tokens; wiped with the request */
    struct form_ask ask;
    struct form form; /* once it is prepared */
    struct str stops[CHAT_MAX_STOPS + FORM_STOPS_MAX];
    size_t n_stops;
    struct sampling sampling;
    struct draw_how how;
    int64_t max_tokens;
    int32_t *tokens;       /* of the prompt, once it is prepared */
    int32_t n_tokens;      /* counted also where they are too many */
    struct slot *slot;     /* while it runs */
    atomic_bool cancelled; /* while it is prepared or runs; one that waits is taken out instead */
};

/* One sequence of the KV cache and the request in it. */
struct slot {
    struct request *request;    /* NULL: free */
    int32_t *tokens;            /* prompt, then what was generated: context_tokens of room */
    int32_t n_prompt, n_tokens; /* n_tokens: all so far */
    int32_t n_past;             /* in the KV cache */
    int32_t limit;              /* n_tokens at which it ends */
    int32_t share;              /* its rows in this pass */
    int32_t row;                /* its row with logits in this pass, -1: none */
    struct sampler sampler;
    struct text_out text;
    size_t read_bytes;   /* of the answer, when its reader last read */
    int64_t read_tokens; /* that no event has stood for yet */
    bool calls;          /* the answer has tool calls */
};

/* A preparing thread, and what it alone has; wiped after each prompt. */
struct preparer {
    struct scheduler *scheduler;
    struct deep_stack thread;
    struct buf text;
    int32_t *tokens;         /* context_tokens */
    size_t most_bytes;       /* of messages; longer ones are left to the first */
    struct request *request; /* shared: being prepared, on no list meanwhile */
};

struct scheduler {
    struct scheduler_config config;
    struct model_limits limits;
    struct events events;
    pthread_t batch_thread;
    struct preparer preparers[SCHEDULER_MAX_PREPARERS];
    int32_t n_preparers;

    /* the batch thread's own */
    struct slot *slots;
    struct model_row *rows;
    struct sampler_scratch scratch;
    float *raw_logits;   /* of a row that wants logprobs, as the model gave them; NULL until then */
    struct buf logprobs; /* wiped after each */
    struct pace pace;
    bool put_events; /* since the last wake */

    /* shared */
    pthread_mutex_t lock;
    pthread_cond_t arrival; /* for the preparing threads */
    pthread_cond_t work;    /* for the batch thread */
    struct list_node arrived, prepared;
    uint64_t n_arrived;
    struct list_node running; /* in order of admission; only the batch thread changes it */
    size_t n_waiting;         /* not in a slot yet, whatever their stage */
    size_t n_running;
    bool stopping;
    atomic_bool give_up;   /* nobody waits for the pass that runs */
    int32_t failed_in_row; /* passes; the batch thread's own */
    struct load load;
    struct scheduler_counters counters;
};

/* With the lock: say in give_up whether anybody waits for the pass that runs, or for the next. */
void scheduler_judge_pass(struct scheduler *s);

/* request.c */
struct request *request_new(uint64_t tag, const struct chat_request *chat, uint64_t seed,
                            int32_t context_tokens);
void request_free(struct request *r);

/* prepare.c: from arrived to prepared. Threads that were not started are allowed to be stopped; the
 * scheduler has been told to stop by then. */
int scheduler_start_preparing(struct scheduler *s);
void scheduler_stop_preparing(struct scheduler *s);
/* With the lock: a request arrives; and the one of that tag that is being prepared, or NULL. */
void scheduler_arrive(struct scheduler *s, struct request *r);
struct request *scheduler_in_preparation(struct scheduler *s, uint64_t tag);

/* slot.c */
/* Put a prepared request into a slot. */
void slot_admit(struct scheduler *s, struct slot *slot, struct request *r);
/* A token was sampled for the slot: its text leaves, and it may end. */
void slot_accept(struct scheduler *s, struct slot *slot, int32_t token);
void slot_fail(struct scheduler *s, struct slot *slot, int code);
/* Free the slot without an event (cancelled, stopping). */
void slot_drop(struct scheduler *s, struct slot *slot);

/* slot_say.c */
/* What may leave of the answer (`all`: the rest of it) becomes events. 0 or ERR_NOMEM. */
int slot_say(struct scheduler *s, struct slot *slot, bool all);
/* The entry of logprobs for the token that slot_accept gets next. 0, ERR_LIMIT, ERR_NOMEM. */
int slot_say_logprobs(struct scheduler *s, struct slot *slot, const float *logits, int32_t token);

/* slot_draw.c: the next token of a row that has logits, already in its grammar and its logprobs;
 * or a negative code for slot_fail. */
int32_t slot_draw(struct scheduler *s, struct slot *slot);

/* step.c: one forward pass over everything that runs. False: nothing to do. */
bool scheduler_step(struct scheduler *s);

/* Batch thread: an event that leaves with the next wake-up. */
void scheduler_emit(struct scheduler *s, const struct engine_event *e);

#endif
