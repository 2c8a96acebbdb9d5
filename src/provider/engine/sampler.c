/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { LANES = 16 };

int sampler_scratch_init(struct sampler_scratch *s, int32_t vocab)
{
    *s = (struct sampler_scratch){.vocab = vocab};
    s->candidates = calloc((size_t)vocab, sizeof *s->candidates);
    s->weights = calloc((size_t)vocab, sizeof *s->weights);
    s->block_sums = calloc((size_t)vocab / SAMPLER_BLOCK + 1, sizeof *s->block_sums);
    s->block_most = calloc((size_t)vocab / SAMPLER_BLOCK + 1, sizeof *s->block_most);
    return s->candidates && s->weights && s->block_sums && s->block_most ? 0 : ERR_NOMEM;
}

void sampler_scratch_free(struct sampler_scratch *s)
{
    free(s->candidates);
    free(s->weights);
    free(s->block_sums);
    free(s->block_most);
    *s = (struct sampler_scratch){0};
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
 * weights, not made yet, serve as marks of what was met before. */
static void sampler_penalise(const struct sampling *how, float *logits, const int32_t *seen,
                             size_t n, float *marks)
{
    for (size_t i = 0; i < n; i++)
        marks[seen[i]] = 0;
    for (size_t i = 0; i < n; i++) {
        logits[seen[i]] -= (float)how->frequency_penalty;
        if (!(marks[seen[i]] > 0))
            logits[seen[i]] -= (float)how->presence_penalty;
        marks[seen[i]] = 1;
    }
}

/* --- drawing --- */

/* e^x for x <= 0, to a part in ten million, in arithmetic that the compiler vectorises: 2^n times a
 * polynomial of what remains. 0 below the least normal number, so also for a masked token (-inf).
 */
static inline float sampler_exp(float x)
{
    const float to_integer = 12582912.0F; /* 1.5 · 2^23: adding and taking it away rounds */
    float n = (x * 1.44269504F + to_integer) - to_integer;
    float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
    float e =
        1 + r * (1 + r * (0.5F + r * (1.0F / 6 + r * (1.0F / 24 + r * (1.0F / 120 + r / 720)))));
    union {
        int32_t bits;
        float value;
    } scale = {.bits = ((int32_t)(n > -126 ? n : -126) + 127) * (1 << 23)};

    return x < -87 ? 0 : e * scale.value;
}

/* A temperature near 0 is greedy: its inverse stays finite, since infinity times the likeliest
 * token's 0 would be no number. */
static float sampler_scale(double temperature)
{
    return (float)fmin(1 / temperature, 1e30);
}

/* Weights relative to the likeliest token's 1, and their sums by blocks; the sum of all. NaN where
 * a logit is one. */
static void sampler_weigh_block(struct sampler_scratch *t, int32_t block, const float *logits,
                                float best, float scale)
{
    int32_t first = block * SAMPLER_BLOCK, i = 0;
    int32_t n = t->vocab - first < SAMPLER_BLOCK ? t->vocab - first : SAMPLER_BLOCK;
    float *w = t->weights + first, sum[LANES] = {0};

    for (int32_t k = 0; k < n; k++)
        w[k] = sampler_exp((logits[first + k] - best) * scale);
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++)
            sum[k] += w[i + k];
    }
    for (; i < n; i++)
        sum[0] += w[i];
    t->block_sums[block] = 0;
    for (int k = 0; k < LANES; k++)
        t->block_sums[block] += (double)sum[k];
}

static double sampler_weigh(struct sampler_scratch *t, const float *logits, float best,
                            double temperature)
{
    double total = 0;

    for (int32_t block = 0; block * SAMPLER_BLOCK < t->vocab; block++) {
        sampler_weigh_block(t, block, logits, best, sampler_scale(temperature));
        total += t->block_sums[block];
    }
    return total;
}

/* The whole distribution: the block, then the token in it. */
static int32_t sampler_draw_any(struct sampler *s, const struct sampler_scratch *t, double total)
{
    double at = sampler_next_random(s) * total;
    int32_t first = 0, last = -1;

    for (int32_t block = 0; first < t->vocab && at >= t->block_sums[block]; block++) {
        at -= t->block_sums[block];
        first += SAMPLER_BLOCK;
    }
    /* Blocks were summed in another order than their tokens are taken: rounding may leave a rest
     * when the last of them has passed. It falls to the last token that can be drawn. */
    for (int32_t i = first; i < t->vocab; i++) {
        if (!(t->weights[i] > 0))
            continue;
        last = i;
        at -= (double)t->weights[i];
        if (at < 0)
            return i;
    }
    for (int32_t i = t->vocab - 1; last < 0 && i >= 0; i--)
        last = t->weights[i] > 0 ? i : -1;
    return last < 0 ? ERR_MODEL : last;
}

/* --- leaving out the unlikely ones --- */

static uint32_t sampler_bits(float w)
{
    uint32_t bits;

    memcpy(&bits, &w, sizeof bits);
    return bits;
}

/* Where candidates in descending order reach a number or a weight: all above `least`, and `ties` of
 * those at it. A radix select over the bits of the weights, which are in the order of their values:
 * three passes, however flat the distribution is; sorting a vocabulary would hold up every row. */
struct sampler_cut {
    uint32_t least; /* bits */
    int32_t ties;
};

static bool sampler_find_bin(struct sampler_scratch *t, const struct sampler_cut *so_far, int shift,
                             double *count, double *mass, uint32_t *ret_bin)
{
    memset(t->bins, 0, sizeof t->bins);
    for (int32_t i = 0; i < t->n; i++) {
        uint32_t bits = sampler_bits(t->candidates[i].weight);
        struct sampler_bin *bin = &t->bins[bits >> shift & (SAMPLER_BINS - 1)];

        if (bits >> shift >> SAMPLER_BIN_BITS != so_far->least)
            continue;
        bin->n++;
        bin->mass += (double)t->candidates[i].weight;
    }
    for (uint32_t b = SAMPLER_BINS; b-- > 0;) {
        if (t->bins[b].n > 0 && (t->bins[b].n >= *count || t->bins[b].mass >= *mass)) {
            *ret_bin = b;
            return true;
        }
        *count -= t->bins[b].n;
        *mass -= t->bins[b].mass;
    }
    return false;
}

/* Keep the candidates, in descending order of weight and then ascending order of ids, until they
 * are `count` or weigh `mass`: at least one. */
static void sampler_keep(struct sampler_scratch *t, double count, double mass)
{
    struct sampler_cut cut = {0};
    int32_t kept = 0;
    double each;

    for (int shift = 2 * SAMPLER_BIN_BITS; shift >= 0; shift -= SAMPLER_BIN_BITS) {
        uint32_t bin;

        if (!sampler_find_bin(t, &cut, shift, &count, &mass, &bin))
            return; /* all of them do not reach it */
        cut.least = cut.least << SAMPLER_BIN_BITS | bin;
    }
    each = t->bins[cut.least & (SAMPLER_BINS - 1)].mass / t->bins[cut.least & (SAMPLER_BINS - 1)].n;
    while (cut.ties == 0 || (cut.ties < count && cut.ties * each < mass))
        cut.ties++;
    for (int32_t i = 0; i < t->n; i++) {
        uint32_t bits = sampler_bits(t->candidates[i].weight);

        if (bits > cut.least || (bits == cut.least && cut.ties-- > 0))
            t->candidates[kept++] = t->candidates[i];
    }
    t->n = kept;
}

/* Those that weigh `least` or more, in ascending order of ids. */
static void sampler_collect(struct sampler_scratch *t, float least)
{
    t->n = 0;
    for (int32_t i = 0; i < t->vocab; i++) {
        if (t->weights[i] > 0 && t->weights[i] >= least)
            t->candidates[t->n++] = (struct sampler_candidate){i, t->weights[i]};
    }
}

static double sampler_mass(const struct sampler_scratch *t)
{
    double sum = 0;

    for (int32_t i = 0; i < t->n; i++)
        sum += (double)t->candidates[i].weight;
    return sum;
}

static int32_t sampler_draw(struct sampler *s, const struct sampler_scratch *t)
{
    double at = sampler_next_random(s) * sampler_mass(t);

    for (int32_t i = 0; i < t->n; i++) {
        at -= (double)t->candidates[i].weight;
        if (at < 0)
            return t->candidates[i].token;
    }
    return t->n > 0 ? t->candidates[t->n - 1].token : ERR_MODEL;
}

static int sampler_descending(const void *a, const void *b)
{
    const float *x = a, *y = b;

    return (*x < *y) - (*x > *y);
}

static int32_t sampler_blocks(const struct sampler_scratch *t)
{
    return (t->vocab + SAMPLER_BLOCK - 1) / SAMPLER_BLOCK;
}

/* The k likeliest are among those that reach the k-th largest of the blocks' largest, since k
 * blocks have one that does: only these are weighed. */
static void sampler_collect_top(struct sampler_scratch *t, const float *logits,
                                const struct sampling *how)
{
    const float scale = sampler_scale(how->temperature);
    int32_t blocks = sampler_blocks(t);
    float best, least;

    for (int32_t b = 0, first = 0; b < blocks; b++, first += SAMPLER_BLOCK)
        t->block_most[b] = sampler_largest(
            logits + first, t->vocab - first < SAMPLER_BLOCK ? t->vocab - first : SAMPLER_BLOCK);
    qsort(t->block_most, (size_t)blocks, sizeof *t->block_most, sampler_descending);
    best = t->block_most[0];
    least = t->block_most[how->top_k - 1];
    t->n = 0;
    for (int32_t i = 0; i < t->vocab; i++) {
        if (logits[i] >= least)
            t->candidates[t->n++] =
                (struct sampler_candidate){i, sampler_exp((logits[i] - best) * scale)};
    }
}

/* Top-k first, then the nucleus of what it left. */
static int32_t sampler_draw_likely(struct sampler *s, struct sampler_scratch *t)
{
    const struct sampling *how = &s->how;
    double mass;

    if (how->top_k > 0)
        sampler_keep(t, (double)how->top_k, INFINITY);
    mass = sampler_mass(t);
    if (!isfinite(mass))
        return ERR_MODEL;
    if (how->top_p < 1)
        sampler_keep(t, INFINITY, how->top_p * mass);
    return sampler_draw(s, t);
}

static int32_t sampler_draw_weighed(struct sampler *s, struct sampler_scratch *t,
                                    const float *logits)
{
    const struct sampling *how = &s->how;
    double total = sampler_weigh(t, logits, sampler_largest(logits, t->vocab), how->temperature);

    if (!isfinite(total))
        return ERR_MODEL;
    if (!(how->top_p < 1) && !(how->top_k > 0))
        return sampler_draw_any(s, t, total);
    if (how->top_k > 0) {
        sampler_collect(t, 0);
        return sampler_draw_likely(s, t);
    }
    /* Tokens less likely than (1 - top_p) / V together weigh less than 1 - top_p: leaving them out
     * cannot change the nucleus, and spares most of the vocabulary. */
    sampler_collect(t, (float)(total * (1 - how->top_p) / t->vocab));
    sampler_keep(t, INFINITY, how->top_p * total);
    return sampler_draw(s, t);
}

int32_t sampler_next(struct sampler *s, struct sampler_scratch *t, float *logits,
                     const int32_t *seen, size_t n_seen)
{
    const struct sampling *how = &s->how;

    if (how->frequency_penalty > 0 || how->frequency_penalty < 0 || how->presence_penalty > 0 ||
        how->presence_penalty < 0)
        sampler_penalise(how, logits, seen, n_seen, t->weights);
    if (!(how->temperature > 0))
        return sampler_greedy(logits, t->vocab);
    if (how->top_k > 0 && how->top_k <= sampler_blocks(t)) {
        sampler_collect_top(t, logits, how);
        return sampler_draw_likely(s, t);
    }
    return sampler_draw_weighed(s, t, logits);
}
