/* SPDX-License-Identifier: Apache-2.0 */
/* Does a row say what it says alone? Proved on this machine at start-up, since it depends on
 * kernels, weights and cache types (docs/decisions/004): two sequences of one text run through
 * passes of different company, and wherever both come by, the logits must be equal bit for bit. The
 * passes reach the places where kernels are known to change: prefill of 64 rows and more, one
 * that a shorter neighbour cuts, a lone row over 512 cells, a neighbour that joins in mid-decode,
 * one that leaves. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_INVARIANCE_H
#define DARKBLOOM_PROVIDER_ENGINE_INVARIANCE_H

#include "provider/engine/model_ops.h"

/* 1: invariant; 0: not, or the model's limits are too small to tell; ERR_MODEL, ERR_NOMEM. Takes
 * the time of some 330 prompt tokens. Leaves the KV cache empty. Needs a model with at least two
 * sequences; with one there are no neighbours and the answer is 1. */
int invariance_check(const struct model_ops *ops, void *model);

#endif
