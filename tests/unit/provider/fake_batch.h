/* SPDX-License-Identifier: Apache-2.0 */
/* The batch scheduler over a scripted model, and what came of its requests. */
#ifndef DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_BATCH_H
#define DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_BATCH_H

#include "provider/engine/scheduler.h"
#include "unit/provider/fake_model.h"

enum { FAKE_ANSWERS = 16, FAKE_TEXT_BYTES = 4096 };

/* What came of one request. */
struct fake_answer {
    char text[FAKE_TEXT_BYTES];
    size_t n;
    int64_t tokens, prompt_tokens, completion_tokens;
    bool admitted, done, failed;
    enum chunk_finish finish;
    int code;
};

struct fake_batch {
    struct fake_model model;
    int32_t preparers; /* 0: one */
    struct scheduler *scheduler;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake;
    struct fake_answer answers[FAKE_ANSWERS + 1];
};

/* Set-up and tear-down of each test, which starts the scheduler itself. */
int fake_batch_up(void **state);
int fake_batch_down(void **state);
void fake_batch_start(struct fake_batch *w, size_t max_waiting);

/* Submit a greedy request; tags are 1 to FAKE_ANSWERS - 1. */
int fake_batch_ask(struct fake_batch *w, uint64_t tag, const char *messages, int64_t max_tokens);
/* A prompt of `n` tokens. */
const char *fake_batch_prompt(char ret_text[FAKE_TEXT_BYTES], size_t n);

/* Take the events that there are. */
void fake_batch_drain(struct fake_batch *w);
/* Until the request has ended; events of others are taken too. */
const struct fake_answer *fake_batch_finish(struct fake_batch *w, uint64_t tag);
/* Until its tokens are known. */
void fake_batch_admitted(struct fake_batch *w, uint64_t tag);
/* Until it is also where the batch thread finds it. */
void fake_batch_prepared(struct fake_batch *w, uint64_t tag);
/* Let passes run until `n` have ended in all and the next stands at the gate. */
void fake_batch_run(struct fake_batch *w, int n);

int64_t fake_batch_waiting(struct fake_batch *w);

#endif
