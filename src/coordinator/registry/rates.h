/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a provider was with one model, measured by us. Rates only rank offers, and bound how
 * many streams are sent there at once (FR-3, FR-10); no request is refused for them.
 *
 * Each is a mean whose newest sample weighs a tenth at least. What is known fades: confidence
 * halves every half hour, and what a caller reads lies between the mean and its prior accordingly,
 * so that one bad measurement is not for ever (FR-4). Logic only; times are one monotonic clock's.
 */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_RATES_H
#define DARKBLOOM_COORDINATOR_REGISTRY_RATES_H

#include <stdbool.h>
#include <stdint.h>

enum { RATES_WEIGHT_MAX = 9 }; /* the next sample weighs a tenth */

struct rate {
    double mean;   /* 0: never measured */
    double weight; /* samples, faded */
};

struct rates {
    struct rate decode_tps;  /* of one stream */
    struct rate prefill_tps; /* of a prompt that had the provider for itself */
    struct rate total_tps;   /* of all streams that ran at once */
    struct rate ttft_us;
    int64_t at_us; /* as of when the weights are */
};

/* One answer. 0 where it is not known. */
struct rates_sample {
    int64_t ttft_us; /* hand-over to first content */
    int64_t prompt_tokens, completion_tokens;
    int64_t decode_us;      /* first content to the end */
    int64_t streams;        /* that ran at once, itself included */
    int64_t prompt_streams; /* the same while it waited for its first token */
};

/* Take in what of the sample is plausible; false: nothing was. Dropped are rates that no engine
 * reaches (a cached prompt looks like one), answers too short to time, and what is eight times off
 * a mean that four samples agree on. */
bool rates_add(struct rates *r, const struct rates_sample *s, int64_t now_us);

/* Let time go by. */
void rates_age(struct rates *r, int64_t now_us);

/* Whether more than a hundredth of a sample is left of any. */
bool rates_known(const struct rates *r, int64_t now_us);

/* The rate, drawn to `prior` by what is not known. */
double rates_decode_tps(const struct rates *r, int64_t now_us, double prior);
double rates_prefill_tps(const struct rates *r, int64_t now_us, double prior);
double rates_ttft_us(const struct rates *r, int64_t now_us, double prior);

/* How many streams may run at once so that each still gets `floor_tps`: what all of them got
 * together, divided by it; at least 1. INT64_MAX: not measured, or floor_tps is 0. Where batching
 * makes the whole faster the bound grows with what is measured under it, up to the number at which
 * a stream falls to the floor (FR-10). */
int64_t rates_stream_limit(const struct rates *r, int64_t now_us, double floor_tps);

#endif
