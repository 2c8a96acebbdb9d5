/* SPDX-License-Identifier: Apache-2.0 */
/* "Later, on this thread": a queue of calls that run from a timer of the loop, for libraries
 * that answer asynchronously (identity/signer.h). */
#ifndef DARKBLOOM_PROVIDER_POST_H
#define DARKBLOOM_PROVIDER_POST_H

#include "identity/signer.h"
#include "net/loop.h"

struct post;

int post_new(struct loop *l, struct post **ret_post);

/* The queue as the signer wants it. Never runs `fn` from inside the call. */
struct signer_post post_for_signer(struct post *p);

/* Runs what is still queued, then releases it. NULL is allowed. */
void post_free(struct post *p);

#endif
