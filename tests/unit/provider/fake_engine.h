/* SPDX-License-Identifier: Apache-2.0 */
/* An engine for tests: keeps what it is asked, yields the events that the test puts in. */
#ifndef TESTS_FAKE_ENGINE_H
#define TESTS_FAKE_ENGINE_H

#include "provider/engine/engine_port.h"

enum { FAKE_ENGINE_EVENTS = 1024, FAKE_ENGINE_JOBS = 64 };

struct fake_engine {
    uint64_t submitted[FAKE_ENGINE_JOBS];
    int n_submitted;
    struct chat_request last; /* its strings are gone; its numbers are not */
    char last_messages[4096];
    uint64_t cancelled[FAKE_ENGINE_JOBS];
    int n_cancelled;
    bool cold; /* its model is not in memory */
    int n_warmed;
    int submit_answer; /* 0, or the code to refuse with */
    struct engine_event events[FAKE_ENGINE_EVENTS];
    int n_events, next_event;
    struct load load;
};

struct engine_port fake_engine_port(struct fake_engine *e);

void fake_engine_admit(struct fake_engine *e, uint64_t tag, int64_t prompt_tokens);
void fake_engine_text(struct fake_engine *e, uint64_t tag, const char *text, int64_t tokens);
void fake_engine_done(struct fake_engine *e, uint64_t tag, int64_t prompt_tokens,
                      int64_t completion_tokens, enum chunk_finish finish);
void fake_engine_fail(struct fake_engine *e, uint64_t tag, int code);
/* ERR_LIMIT, with the tokens that it counted. */
void fake_engine_too_long(struct fake_engine *e, uint64_t tag, int64_t prompt_tokens);

#endif
