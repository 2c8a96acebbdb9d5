/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing the next token of one row. Greedy rows (temperature 0) are one pass over the logits;
 * equal logits go to the lowest id. The same seed and logits give the same token on every machine
 * of the same floating-point arithmetic. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_SAMPLER_H
#define DARKBLOOM_PROVIDER_ENGINE_SAMPLER_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

struct sampling {
    double temperature; /* 0: greedy */
    double top_p;       /* 1: off */
    int64_t top_k;      /* 0: off */
    double frequency_penalty, presence_penalty;
    uint64_t seed;
};

enum {
    SAMPLER_BLOCK = 256, /* tokens whose weights have a sum of their own */
    SAMPLER_BIN_BITS = 10,
    SAMPLER_BINS = 1 << SAMPLER_BIN_BITS /* three rounds of them tell any two weights apart */
};

struct sampler_candidate {
    int32_t token;
    float weight; /* relative to the likeliest token's 1 */
};

/* Scratch that rows share: they are sampled one after another. */
struct sampler_scratch {
    int32_t vocab;
    float *weights;                       /* of every token */
    double *block_sums;                   /* of the weights of a block */
    float *block_most;                    /* the blocks' largest logits */
    struct sampler_candidate *candidates; /* in ascending order of tokens */
    int32_t n;                            /* candidates */
    struct sampler_bin {
        double mass;
        int32_t n;
    } bins[SAMPLER_BINS];
};
int sampler_scratch_init(struct sampler_scratch *s, int32_t vocab);
void sampler_scratch_free(struct sampler_scratch *s);

/* One row's state. */
struct sampler {
    struct sampling how;
    uint64_t random; /* SplitMix64 */
};
void sampler_init(struct sampler *s, const struct sampling *how);

/* The next token, or ERR_MODEL: a broken model's logits (NaN, infinity) leave nothing to choose.
 * `seen` are the tokens generated so far (for penalties); `logits` may be changed. */
int32_t sampler_next(struct sampler *s, struct sampler_scratch *scratch, float *logits,
                     const int32_t *seen, size_t n_seen);

#endif
