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

/* What a text is of. */
enum engine_channel {
    ENGINE_CONTENT,
    ENGINE_REASONING,
    ENGINE_CALL_ID,        /* begins tool call `call`: its id, "" where the model gave none */
    ENGINE_CALL_NAME,      /* of that call's function, follows at once and whole */
    ENGINE_CALL_ARGUMENTS, /* the next piece of that call's arguments, which are JSON */
    ENGINE_LOGPROBS,       /* JSON: entries of logprobs.content, with commas between them and before
                              those of an earlier event; whole with the next event of another kind */
};

/* Why a request is refused, or ended, for what it asks for. X(name, the refusal's name in serve's
 * table is the same) */
#define ENGINE_WRONG_TABLE(X)                                                \
    X(MESSAGES)    /* the template cannot render them */                     \
    X(TOOLS)       /* no functions, too many, or none that a grammar fits */ \
    X(TOOL_SCHEMA) /* parameters beyond the bounds of schema_check.h */      \
    X(TOOL_CHOICE) /* a function that is not among the tools */              \
    X(NO_TOOLS)    /* the model's template does not know tools */            \
    X(KWARGS)      /* chat_template_kwargs */                                \
    X(SCHEMA)      /* no grammar can be made of it */                        \
    X(SCHEMA_SIZE) /* the bounds of schema_check.h, one by one */            \
    X(SCHEMA_DEPTH)                                                          \
    X(SCHEMA_REPEATS)                                                        \
    X(SCHEMA_REFERENCE)                                                      \
    X(SCHEMA_PATTERN)                                                        \
    X(SCHEMA_WORD)  /* a word that no grammar can follow */                  \
    X(GRAMMAR_SLOW) /* it kept the batch thread too long (constrain.h) */    \
    X(LOGIT_BIAS)   /* a token that the model does not have */

enum engine_wrong {
    ENGINE_WRONG_NONE,
#define ENGINE_WRONG_ENUM(name) ENGINE_WRONG_##name,
    ENGINE_WRONG_TABLE(ENGINE_WRONG_ENUM)
#undef ENGINE_WRONG_ENUM
        ENGINE_WRONG_COUNT
};

struct engine_event {
    enum engine_event_kind kind;
    uint64_t tag;                /* as given to submit */
    struct str text;             /* valid until the next poll */
    enum engine_channel channel; /* TEXT */
    int32_t call;                /* TEXT of a call: its number, from 0 */
    int64_t tokens;
    int64_t prompt_tokens, completion_tokens; /* ADMITTED: the first; DONE: both; FAILED with
                                                 ERR_LIMIT: the first, 0 where it was not counted */
    enum chunk_finish finish;                 /* DONE */
    int code; /* FAILED: ERR_LIMIT: prompt and answer do not fit the context; ERR_BUSY: no place in
                 the queue; ERR_PARSE: see `wrong`; ERR_RANGE: a run of characters that the
                 tokenizer does not take; ERR_CLOSED: the engine ended; ERR_AGAIN: it ended before
                 it got the request; else ERR_MODEL */
    enum engine_wrong wrong; /* FAILED with ERR_PARSE */
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
