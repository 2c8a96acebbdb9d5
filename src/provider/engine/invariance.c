/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/invariance.h"

#include <stdlib.h>
#include <string.h>

enum {
    PROMPT_TOKENS = 70, /* more than 64 rows: the flash-attention path changes there */
    DECODE_STEPS = 4,
    NEIGHBOURS_MAX = 3,
    POINTS = DECODE_STEPS + 1
};

struct trial {
    const struct model_ops *ops;
    void *model;
    struct model_limits limits;
    struct model_row *rows;
    int32_t seqs; /* in this run: 1 alone */
    int32_t done[NEIGHBOURS_MAX + 1];
    float *logits; /* of the watched sequence at each point: POINTS × vocab */
};

/* Any tokens do, as long as each sequence has its own; 1… avoids special ids at 0. */
static int32_t token_at(const struct trial *t, int32_t seq, int32_t pos)
{
    return 1 + (int32_t)(((uint32_t)pos * 2654435761U + (uint32_t)seq * 40503U) %
                         (uint32_t)(t->limits.vocab - 1));
}

/* Neighbours have other lengths, so that batches are ragged. */
static int32_t prompt_of(int32_t seq)
{
    static const int32_t lengths[NEIGHBOURS_MAX + 1] = {PROMPT_TOKENS, 5, 33, 17};

    return lengths[seq];
}

static int pass(struct trial *t, int32_t point)
{
    int32_t n = 0, watched = -1;
    const float *logits;

    for (int32_t seq = 0; seq < t->seqs; seq++) {
        int32_t until = prompt_of(seq) + point;

        for (; t->done[seq] < until; t->done[seq]++) {
            bool last = t->done[seq] == until - 1;

            if (seq == 0 && last)
                watched = n;
            t->rows[n++] =
                (struct model_row){token_at(t, seq, t->done[seq]), t->done[seq], seq, last};
        }
    }
    if (t->ops->decode(t->model, t->rows, n) < 0)
        return ERR_MODEL;
    logits = t->ops->logits(t->model, watched);
    if (!logits)
        return ERR_MODEL;
    memcpy(t->logits + (size_t)point * (size_t)t->limits.vocab, logits,
           (size_t)t->limits.vocab * sizeof *logits);
    return 0;
}

static int run(struct trial *t, int32_t seqs)
{
    int rc = 0;

    t->seqs = seqs;
    memset(t->done, 0, sizeof t->done);
    for (int32_t point = 0; rc == 0 && point < POINTS; point++)
        rc = pass(t, point);
    for (int32_t seq = 0; seq < seqs; seq++)
        t->ops->forget(t->model, seq);
    return rc;
}

static int compare(struct trial *t, float *alone, float *beside)
{
    size_t bytes = (size_t)POINTS * (size_t)t->limits.vocab * sizeof *alone;
    int32_t seqs =
        t->limits.max_seqs < NEIGHBOURS_MAX + 1 ? t->limits.max_seqs : NEIGHBOURS_MAX + 1;
    int rc;

    t->logits = alone;
    rc = run(t, 1);
    if (rc < 0)
        return rc;
    t->logits = beside;
    rc = run(t, seqs);
    return rc < 0 ? rc : memcmp(alone, beside, bytes) == 0;
}

int invariance_check(const struct model_ops *ops, void *model)
{
    struct trial t = {.ops = ops, .model = model, .limits = ops->limits(model)};
    size_t floats = (size_t)POINTS * (size_t)t.limits.vocab;
    float *alone, *beside;
    int rc = ERR_NOMEM;

    if (t.limits.max_seqs < 2)
        return 1;
    if (t.limits.max_rows < 128 + POINTS || t.limits.context_tokens < PROMPT_TOKENS + POINTS)
        return 0; /* too small to tell: nothing is claimed */
    t.rows = calloc((size_t)t.limits.max_rows, sizeof *t.rows);
    alone = calloc(floats, sizeof *alone);
    beside = calloc(floats, sizeof *beside);
    if (t.rows && alone && beside)
        rc = compare(&t, alone, beside);
    free(t.rows);
    free(alone);
    free(beside);
    return rc;
}
