/* SPDX-License-Identifier: Apache-2.0 */
/* The model as the daemon has it: an engine in a process of its own, behind struct engine_port. The
 * engine may end at any moment, by what it computes or by a kill: its requests then fail ("the
 * engine is gone"), the daemon stays connected, and it is started again, after a second, doubling
 * up to `restart_max_ms`, and at once after it has held for MODEL_STABLE_MS.
 *
 * Unloaded, it has no process; the next request starts one and waits for it, for MODEL_WAIT_MS at
 * most.
 *
 * A prompt that can have ended it is not simply tried again (suspects.h). Belongs to the loop's
 * thread; nothing here blocks. */
#ifndef DARKBLOOM_PROVIDER_MODEL_MODEL_H
#define DARKBLOOM_PROVIDER_MODEL_MODEL_H

#include "base/log.h"
#include "base/rand.h"
#include "provider/engine/engine_port.h"
#include "provider/file_hash.h"
#include "provider/model/process.h"
#include "provider/wire/wire.h"

enum {
    MODEL_RESTART_MS = 1000,   /* before the first restart */
    MODEL_STABLE_MS = 60000,   /* serving for so long makes it the first again */
    MODEL_WAIT_MS = 60000,     /* for a load that a request asked for */
    MODEL_LAST_WORDS_MS = 1000 /* for the process to end by itself after it closed the wire */
};

enum model_state {
    MODEL_DOWN,    /* no process */
    MODEL_LOADING, /* a process that loads */
    MODEL_READY,
    MODEL_ENDING, /* told to end, or ending by itself: no request is taken any more */
    MODEL_STATES
};

/* What the engine said of the model when it was ready first. */
struct model_facts {
    int32_t context_tokens, max_seqs, template_overhead;
    bool invariant;
    int64_t size_bytes;
    char quantization[32], weight_hash[FILE_HASH_BYTES];
    bool sealed; /* its sandbox holds: no files, no network, filtered, not dumpable */
    int32_t landlock_abi;
};

struct model_config {
    struct loop *loop;
    struct rand_src rand;
    const struct log *log;
    struct process_ops process;
    struct wire_open open; /* what to load; texts are borrowed; version and seed are filled in */
    int64_t restart_max_ms;
    void (*events)(void *ud);  /* the port's poll may have something */
    void (*changed)(void *ud); /* model_state has another value */
    void *ud;
};

struct model;

int model_new(const struct model_config *config, struct model **ret_model);
/* `config.process` has been ended before. NULL is allowed. */
void model_free(struct model *m);

/* Start the engine. Whatever keeps it from being ready for the first time is final: the state goes
 * back to MODEL_DOWN, and model_error says why. */
void model_start(struct model *m);

enum model_state model_state(const struct model *m);
/* Why it is down, for the machine's owner. */
const struct err *model_error(const struct model *m);
/* Of no meaning before it was ready. */
const struct model_facts *model_facts(const struct model *m);

/* A model that is ready leaves memory. */
void model_unload(struct model *m);

struct model_use {
    int64_t in_flight;              /* requests that are held or at the engine */
    int64_t unused_ms, resident_ms; /* since the last one began or ended; since it was loaded */
};
struct model_use model_use(const struct model *m);

/* Beside the codes of engine_port.h: submit answers ERR_AGAIN while an engine that ended has no
 * successor that is ready, and ERR_DENIED to a prompt that ended one. */
struct engine_port model_port(struct model *m);

#endif
