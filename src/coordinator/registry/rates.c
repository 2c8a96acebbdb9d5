/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/registry/rates.h"

#include <stddef.h>

#include "coordinator/registry/tally.h"

#define FADE_HALF_LIFE_US INT64_C(1800000000)

enum {
    WEIGHT_AGREED = 4,    /* samples that outvote one far off */
    FAR_OFF = 8,          /* times the mean */
    PRIOR_WEIGHT = 1,     /* of the prior, in samples */
    LIMIT_WEIGHT_MIN = 2, /* before streams are bounded by it */
    COMPLETION_MIN_TOKENS = 8,
    PROMPT_MIN_TOKENS = 16,
    DECODE_MIN_US = 1000,
    TTFT_MIN_US = 100,
};

/* Below or above these no engine is. */
static const struct {
    double min, max;
} plausible_decode = {0.1, 5000}, plausible_prefill = {1, 200000}, plausible_total = {0.1, 500000},
  plausible_ttft = {TTFT_MIN_US, 3.6e9};

static double rates_faded(double weight, int64_t us)
{
    return tally_decayed(weight, us, FADE_HALF_LIFE_US);
}

void rates_age(struct rates *r, int64_t now_us)
{
    int64_t us = now_us - r->at_us;
    struct rate *all[] = {&r->decode_tps, &r->prefill_tps, &r->total_tps, &r->ttft_us};

    if (us <= 0)
        return;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        all[i]->weight = rates_faded(all[i]->weight, us);
    r->at_us = now_us;
}

static bool rate_add(struct rate *r, double sample, double min, double max)
{
    if (!(sample >= min && sample <= max))
        return false;
    if (r->weight >= WEIGHT_AGREED && (sample > r->mean * FAR_OFF || sample < r->mean / FAR_OFF))
        return false;
    r->mean += (sample - r->mean) / (r->weight + 1);
    r->weight = r->weight + 1 < RATES_WEIGHT_MAX ? r->weight + 1 : RATES_WEIGHT_MAX;
    return true;
}

static bool rates_add_decode(struct rates *r, const struct rates_sample *s)
{
    double tps;

    if (s->completion_tokens < COMPLETION_MIN_TOKENS || s->decode_us < DECODE_MIN_US)
        return false;
    /* The time begins with the first token, which is not part of it. */
    tps = (double)(s->completion_tokens - 1) * 1e6 / (double)s->decode_us;
    if (!rate_add(&r->decode_tps, tps, plausible_decode.min, plausible_decode.max))
        return false;
    (void)rate_add(&r->total_tps, tps * (double)(s->streams > 1 ? s->streams : 1),
                   plausible_total.min, plausible_total.max);
    return true;
}

static bool rates_add_prefill(struct rates *r, const struct rates_sample *s)
{
    bool taken;

    if (s->ttft_us < TTFT_MIN_US)
        return false;
    taken = rate_add(&r->ttft_us, (double)s->ttft_us, plausible_ttft.min, plausible_ttft.max);
    if (s->prompt_streams > 1 || s->prompt_tokens < PROMPT_MIN_TOKENS)
        return taken;
    return rate_add(&r->prefill_tps, (double)s->prompt_tokens * 1e6 / (double)s->ttft_us,
                    plausible_prefill.min, plausible_prefill.max) ||
           taken;
}

bool rates_add(struct rates *r, const struct rates_sample *s, int64_t now_us)
{
    bool decode, prefill;

    rates_age(r, now_us);
    decode = rates_add_decode(r, s);
    prefill = rates_add_prefill(r, s);
    return decode || prefill;
}

bool rates_known(const struct rates *r, int64_t now_us)
{
    double most =
        r->decode_tps.weight > r->ttft_us.weight ? r->decode_tps.weight : r->ttft_us.weight;

    return rates_faded(most, now_us - r->at_us) > 0.01;
}

static double rates_drawn(const struct rate *r, int64_t fade_us, double prior)
{
    double weight = rates_faded(r->weight, fade_us);

    return (weight * r->mean + PRIOR_WEIGHT * prior) / (weight + PRIOR_WEIGHT);
}

double rates_decode_tps(const struct rates *r, int64_t now_us, double prior)
{
    return rates_drawn(&r->decode_tps, now_us - r->at_us, prior);
}

double rates_prefill_tps(const struct rates *r, int64_t now_us, double prior)
{
    return rates_drawn(&r->prefill_tps, now_us - r->at_us, prior);
}

double rates_ttft_us(const struct rates *r, int64_t now_us, double prior)
{
    return rates_drawn(&r->ttft_us, now_us - r->at_us, prior);
}

int64_t rates_stream_limit(const struct rates *r, int64_t now_us, double floor_tps)
{
    double streams;

    if (!(floor_tps > 0) || rates_faded(r->total_tps.weight, now_us - r->at_us) < LIMIT_WEIGHT_MIN)
        return INT64_MAX;
    streams = r->total_tps.mean / floor_tps;
    return streams < 1 ? 1 : (int64_t)streams;
}
