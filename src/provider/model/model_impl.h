/* SPDX-License-Identifier: Apache-2.0 */
/* The state that the files of model/ share. */
#ifndef DARKBLOOM_PROVIDER_MODEL_MODEL_IMPL_H
#define DARKBLOOM_PROVIDER_MODEL_MODEL_IMPL_H

#include "base/err.h"
#include "provider/model/line.h"
#include "provider/model/model.h"
#include "provider/model/tickets.h"

struct model {
    struct model_config config;
    struct clock clock;
    enum model_state state;
    struct line line;
    struct tickets tickets;
    struct suspects suspects;
    struct load load;      /* as the engine said last */
    int64_t passes_before; /* of engines that have ended */
    struct model_facts facts;
    bool was_ready;
    bool resting; /* unloaded, or loading because somebody asked: requests wait for it */
    bool wanted;  /* resting: it is to be loaded */
    struct err error;
    struct loop_timer timer;  /* the next start, or the end of an engine's last moment */
    struct loop_timer tell;   /* those who wait for a load that they have been taken on */
    struct loop_timer forget; /* cancelled requests */
    int64_t ready_us;         /* of the engine that is ready */
    int64_t used_us;          /* when a request began or ended last */
    struct loop_timer wait;   /* the end of the patience of those who wait for a load */
    int64_t restart_ms;       /* before the next start */
    char last_words[WIRE_NAME_MAX_BYTES + 1];
};

/* model.c */
/* The engine's process is to end: `why` for the log, NULL where it ends by itself. */
void model_end_engine(struct model *m, const char *why);
void model_set_state(struct model *m, enum model_state state);
/* What the engine said of itself when it was ready. */
void model_on_ready(struct model *m, const struct wire_ready *ready);

/* Resting: load it. 1: it is loaded already; 0: it is being loaded; ERR_AGAIN: it is not resting,
 * but ended, and comes back by itself. */
int model_warm(struct model *m);

/* model_port.c */
/* Requests that are held, as far as they may run now. */
void model_send_held(struct model *m);

#endif
