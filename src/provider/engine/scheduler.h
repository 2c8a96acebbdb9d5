/* SPDX-License-Identifier: Apache-2.0 */
/* The batch scheduler. A request arrives, is prepared (rendered and tokenised, on threads of
 * their own), waits for a slot (a sequence of the KV cache), and runs: every step of
 * the batch thread, which owns the model's context, is one forward pass over at least one row of
 * each running request and up to `chunk_tokens` more of prompts; beside rows that decode, as many
 * of these as keep the pass near a target time (pace.h). So neither a long prompt nor one that is
 * slow to prepare stops the others. Submitting and cancelling never wait for a step.
 *
 * Slots are filled from the lowest: the library splits a batch wherever sequence numbers have a
 * gap, so a gap between running slots is covered by a throw-away row. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_SCHEDULER_H
#define DARKBLOOM_PROVIDER_ENGINE_SCHEDULER_H

#include "base/clock.h"
#include "provider/engine/engine_port.h"
#include "provider/engine/model_ops.h"

/* Passes that fail one after another until the load says `crashed`: this engine serves nobody. */
enum { SCHEDULER_FAILED_PASSES = 3 };

enum { SCHEDULER_MAX_PREPARERS = 4 };

struct scheduler_config {
    const struct model_ops *ops;
    void *model;          /* the operations' ud; outlives the scheduler */
    int32_t chunk_tokens; /* the model takes chunk_tokens + max_seqs rows */
    size_t max_waiting;
    int32_t preparers;  /* threads that prepare; 0: 2. All but the first take short prompts only */
    uint64_t seed;      /* for requests that bring none */
    struct clock clock; /* times passes; read on the batch thread */
    /* Events wait. Called from all threads, at most once a step and once a request. */
    void (*wake)(void *ud);
    void *wake_ud;
};

struct scheduler;

int scheduler_start(const struct scheduler_config *config, struct scheduler **ret_scheduler,
                    struct err *ret_err);
/* Ends the threads after the step and the prompt that they are in; requests that run or wait end
 * without events. */
void scheduler_stop(struct scheduler *s);

/* Loop's thread; see engine_port.h. */
int scheduler_submit(struct scheduler *s, uint64_t tag, const struct chat_request *chat);
void scheduler_cancel(struct scheduler *s, uint64_t tag);
int scheduler_poll(struct scheduler *s, struct engine_event *ret_event);
void scheduler_load(struct scheduler *s, struct load *ret_load);

struct scheduler_counters {
    int64_t forward_passes, rows_decoded, rows_prefilled, rows_covering; /* rows_covering: gaps */
};
struct scheduler_counters scheduler_counters(struct scheduler *s);

#endif
