/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that were cancelled before they came (FR-13): a cancel of an unknown id is kept, and the
 * request of that id, if it still comes, is not run. The newest TOMBS_MAX are kept; older ones are
 * forgotten, and such a request would be run and its answer ignored by the coordinator. Cancels of
 * requests that have just ended are kept too: nobody can tell them apart, and they cost a place.
 * Belongs to one connection: clear it when that ends. */
#ifndef DARKBLOOM_PROVIDER_SERVE_TOMBS_H
#define DARKBLOOM_PROVIDER_SERVE_TOMBS_H

#include "provider/serve/job.h"

enum { TOMBS_MAX = 128 };

struct tombs {
    char ids[TOMBS_MAX][JOB_ID_MAX_BYTES + 1]; /* "": a free place */
    uint32_t next;                             /* the place that is written next */
};

/* Remember an id. One that no request may have (empty, too long, with a NUL) is not kept. */
void tombs_add(struct tombs *t, struct str request_id);
/* Whether the id was cancelled; it is forgotten with the answer. */
bool tombs_take(struct tombs *t, struct str request_id);
void tombs_clear(struct tombs *t);

#endif
