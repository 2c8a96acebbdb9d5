/* SPDX-License-Identifier: Apache-2.0 */
/* Does a row say what it says alone? Proved on this machine at start-up, since it depends on
 * kernels, weights and cache types (reference/engine.md §4): the logits of a sequence alone must
 * equal, bit for bit, those of the same sequence beside others of other lengths, in prefill and in
 * decode. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_INVARIANCE_H
#define DARKBLOOM_PROVIDER_ENGINE_INVARIANCE_H

#include "provider/engine/model_ops.h"

/* 1: invariant; 0: not; ERR_MODEL, ERR_NOMEM. Leaves the KV cache empty. Needs a model with at
 * least two sequences; with one there are no neighbours and the answer is 1. */
int invariance_check(const struct model_ops *ops, void *model);

#endif
