/* SPDX-License-Identifier: Apache-2.0 */
/* The state that the files of serve/ share. */
#ifndef DARKBLOOM_PROVIDER_SERVE_SERVE_IMPL_H
#define DARKBLOOM_PROVIDER_SERVE_SERVE_IMPL_H

#include "base/arena.h"
#include "provider/serve/job.h"
#include "provider/serve/serve.h"
#include "provider/serve/tombs.h"

struct serve {
    struct serve_config config;
    struct clock clock;
    struct link *link;
    struct jobs jobs;
    struct tombs tombs;
    struct box_slab *slab;
    /* Plaintext for the time of one call: an opened request and its parse, and one plain chunk.
     * Wiped before the call returns to the loop. */
    struct buf plain;
    struct arena region;
    struct buf line;
    bool draining;
    void (*on_idle)(void *ud);
    void *idle_ud;
    int64_t requests_served, prompt_tokens, completion_tokens; /* since the process started */
};

#endif
