/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/sampler.h"

#include <math.h>
#include <stdlib.h>

#include "base/err.h"

enum { LANES = 16 };

int sampler_scratch_init(struct sampler_scratch *s, int32_t vocab)
{
    *s = (struct sampler_scratch){.vocab = vocab};
    s->candidates = calloc((size_t)vocab, sizeof *s->candidates);
    return s->candidates ? 0 : ERR_NOMEM;
}

void sampler_scratch_free(struct sampler_scratch *s)
{
    free(s->candidates);
    s->candidates = NULL;
}

void sampler_init(struct sampler *s, const struct sampling *how)
{
    *s = (struct sampler){.how = *how, .random = how->seed};
}

/* SplitMix64 (Steele, Lea, Flood 2014), as a number in [0, 1). */
static double sampler_next_random(struct sampler *s)
{
    uint64_t z = s->random += 0x9E3779B97F4A7C15ULL;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static float sampler_largest(const float *logits, int32_t n)
{
    float lane[LANES], best = -INFINITY;
    int32_t i = 0;

    for (int k = 0; k < LANES; k++)
        lane[k] = -INFINITY;
    for (; i + LANES <= n; i += LANES) { /* independent lanes, so that the compiler vectorises */
        for (int k = 0; k < LANES; k++)
            lane[k] = logits[i + k] > lane[k] ? logits[i + k] : lane[k];
    }
    for (; i < n; i++)
        best = logits[i] > best ? logits[i] : best;
    for (int k = 0; k < LANES; k++)
        best = lane[k] > best ? lane[k] : best;
    return best;
}

static int32_t sampler_greedy(const float *logits, int32_t n)
{
    float best = sampler_largest(logits, n);

    for (int32_t i = 0; i < n && isfinite(best); i++) {
        if (logits[i] >= best)
            return i;
    }
    return ERR_MODEL;
}

/* OpenAI's penalties: each token generated so far loses presence once and frequency each time. The
 * candidates' weights serve as marks of what was met before. */
static void sampler_penalise(const struct sampling *how, float *logits, const int32_t *seen,
                             size_t n, struct sampler_candidate *marks)
{
    for (size_t i = 0; i < n; i++)
        marks[seen[i]].p = 0;
    for (size_t i = 0; i < n; i++) {
        logits[seen[i]] -= (float)how->frequency_penalty;
        if (!(marks[seen[i]].p > 0))
            logits[seen[i]] -= (float)how->presence_penalty;
        marks[seen[i]].p = 1;
    }
}

static int sampler_by_logit(const void *a, const void *b)
{
    const struct sampler_candidate *x = a, *y = b;

    if (x->logit < y->logit || x->logit > y->logit)
        return x->logit < y->logit ? 1 : -1;
    return (x->token > y->token) - (x->token < y->token);
}

/* The k largest in descending order: a min-heap of k over one pass. */
static int32_t sampler_take_top_k(const float *logits, int32_t n, int32_t k,
                                  struct sampler_candidate *c)
{
    int32_t have = 0;

    for (int32_t i = 0; i < n; i++) {
        int32_t at;

        if (have == k && !(logits[i] > c[0].logit))
            continue;
        if (have < k) {
            at = have++;
            while (at > 0 && c[(at - 1) / 2].logit > logits[i]) {
                c[at] = c[(at - 1) / 2];
                at = (at - 1) / 2;
            }
        } else {
            at = 0;
            for (;;) {
                int32_t child = 2 * at + 1;

                if (child >= k)
                    break;
                if (child + 1 < k && c[child + 1].logit < c[child].logit)
                    child++;
                if (!(c[child].logit < logits[i]))
                    break;
                c[at] = c[child];
                at = child;
            }
        }
        c[at] = (struct sampler_candidate){i, logits[i], 0};
    }
    qsort(c, (size_t)have, sizeof *c, sampler_by_logit);
    return have;
}

/* Tokens that can be in the nucleus, in descending order. Those less likely than (1 − top_p) / V
 * together weigh less than 1 − top_p, so leaving them out cannot change it. */
static int32_t sampler_take_nucleus(const float *logits, int32_t n, float best, double sum,
                                    const struct sampling *how, struct sampler_candidate *c)
{
    double least = log(sum * (1 - how->top_p) / n) * how->temperature;
    int32_t have = 0;

    for (int32_t i = 0; i < n; i++) {
        if ((double)(logits[i] - best) >= least)
            c[have++] = (struct sampler_candidate){i, logits[i], 0};
    }
    qsort(c, (size_t)have, sizeof *c, sampler_by_logit);
    return have;
}

/* Draw from descending candidates, cut where their weight passes top_p of `total` (≤ 0: their own).
 */
static int32_t sampler_draw(struct sampler *s, struct sampler_candidate *c, int32_t n, double total)
{
    double sum = 0, kept = 0, at;
    int32_t last = 0;

    for (int32_t i = 0; i < n; i++) {
        c[i].p = exp((double)(c[i].logit - c[0].logit) / s->how.temperature);
        sum += c[i].p;
    }
    if (total <= 0)
        total = sum;
    if (n == 0 || !isfinite(total))
        return ERR_MODEL;
    for (; last < n && (last == 0 || kept < s->how.top_p * total); last++)
        kept += c[last].p;
    at = sampler_next_random(s) * kept;
    for (int32_t i = 0; i < last; i++) {
        at -= c[i].p;
        if (at < 0)
            return c[i].token;
    }
    return c[last - 1].token;
}

static double sampler_weight_of_all(const float *logits, int32_t n, float best, double temperature)
{
    double sum = 0;

    for (int32_t i = 0; i < n; i++)
        sum += exp((double)(logits[i] - best) / temperature);
    return sum;
}

/* The whole distribution in the order of ids: no sorting is needed. */
static int32_t sampler_draw_any(struct sampler *s, const float *logits, int32_t n, float best,
                                double sum)
{
    double at = sampler_next_random(s) * sum;

    if (!isfinite(sum))
        return ERR_MODEL;
    for (int32_t i = 0; i < n; i++) {
        at -= exp((double)(logits[i] - best) / s->how.temperature);
        if (at < 0)
            return i;
    }
    return sampler_greedy(logits, n);
}

int32_t sampler_next(struct sampler *s, struct sampler_scratch *scratch, float *logits,
                     const int32_t *seen, size_t n_seen)
{
    const struct sampling *how = &s->how;
    int32_t n = scratch->vocab;
    double sum;
    float best;

    if (how->frequency_penalty > 0 || how->frequency_penalty < 0 || how->presence_penalty > 0 ||
        how->presence_penalty < 0)
        sampler_penalise(how, logits, seen, n_seen, scratch->candidates);
    if (!(how->temperature > 0))
        return sampler_greedy(logits, n);
    if (how->top_k > 0 && how->top_k < n)
        return sampler_draw(s, scratch->candidates,
                            sampler_take_top_k(logits, n, (int32_t)how->top_k, scratch->candidates),
                            0);
    best = sampler_largest(logits, n);
    sum = sampler_weight_of_all(logits, n, best, how->temperature);
    if (how->top_p < 1)
        return sampler_draw(s, scratch->candidates,
                            sampler_take_nucleus(logits, n, best, sum, how, scratch->candidates),
                            sum);
    return sampler_draw_any(s, logits, n, best, sum);
}
