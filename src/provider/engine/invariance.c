/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/invariance.h"

#include <stdlib.h>
#include <string.h>

enum {
    TWIN_A, /* the twins share a text */
    TWIN_B,
    OTHER,
    SEQS,
    START_TOKENS = 65, /* from 64 rows on flash attention takes another path … */
    SHORT_TOKENS = 2,  /* … unless the library cuts them where a shorter prompt ends */
    LONG_TOKENS = 257, /* the cache counts in 256 cells: from here on a pass looks at 512 */
    ALL = -1,          /* rows up to LONG_TOKENS, or what the context has room for */
    POINTS = 6         /* positions whose logits are looked at */
};

/* The rows of each sequence in a pass, and what happens before it. */
static const struct {
    int32_t rows[SEQS];
    bool copy_a_to_b;      /* B takes over A's cache: the long prompt is computed once */
    bool forget_the_other; /* it leaves; what comes then is another */
} passes[] = {
    {.rows = {START_TOKENS}},
    {.rows = {ALL, START_TOKENS, SHORT_TOKENS}},
    {.rows = {1}, .copy_a_to_b = true},                       /* alone … */
    {.rows = {1, 1, SHORT_TOKENS}, .forget_the_other = true}, /* … and beside one that joins */
    {.rows = {0, 1}},
    {.rows = {1}},
    {.rows = {1, 1, 1}},
    {.rows = {0, 1}, .forget_the_other = true},
};

enum { N_PASSES = sizeof passes / sizeof passes[0], DECODE_STEPS = 4 };

struct trial {
    const struct model_ops *ops;
    void *model;
    struct model_limits limits;
    int32_t seqs, long_tokens;
    int32_t past[SEQS];
    int32_t last[SEQS]; /* row of the pass, -1: none */
    struct model_row *rows;
    float *seen; /* POINTS × vocab */
    bool have[POINTS];
    bool equal;
};

/* Any tokens do; 1… avoids special ids at 0. */
static int32_t invariance_token_at(const struct trial *t, int32_t seq, int32_t pos)
{
    uint32_t text = seq == OTHER ? 40503U : 0;

    return 1 + (int32_t)(((uint32_t)pos * 2654435761U + text) % (uint32_t)(t->limits.vocab - 1));
}

/* The first point is the end of the start, the others are the end of the long prompt and what
 * follows. -1: no point. */
static int32_t invariance_point_of(const struct trial *t, int32_t pos)
{
    if (pos == START_TOKENS - 1)
        return 0;
    return pos >= t->long_tokens - 1 ? pos - t->long_tokens + 2 : -1;
}

/* The first twin that comes by leaves its logits, the second one's must be the same. */
static int invariance_look(struct trial *t, int32_t seq)
{
    int32_t point = invariance_point_of(t, t->past[seq] - 1);
    const float *logits = t->ops->logits(t->model, t->last[seq]);
    size_t n = (size_t)t->limits.vocab;

    if (!logits)
        return ERR_MODEL;
    if (point < 0)
        return 0;
    if (t->have[point])
        t->equal &= memcmp(t->seen + (size_t)point * n, logits, n * sizeof *logits) == 0;
    else
        memcpy(t->seen + (size_t)point * n, logits, n * sizeof *logits);
    t->have[point] = true;
    return 0;
}

static int32_t invariance_add_rows(struct trial *t, int32_t pass, int32_t seq, int32_t n)
{
    int32_t more = passes[pass].rows[seq];

    t->last[seq] = -1;
    more = more == ALL ? t->long_tokens - t->past[seq] : more;
    for (int32_t i = 0; i < more; i++, t->past[seq]++) {
        t->last[seq] = n;
        t->rows[n++] = (struct model_row){invariance_token_at(t, seq, t->past[seq]), t->past[seq],
                                          seq, i == more - 1};
    }
    return n;
}

static int invariance_run_pass(struct trial *t, int32_t pass)
{
    int32_t n = 0;
    int rc;

    if (passes[pass].copy_a_to_b) {
        t->ops->copy(t->model, TWIN_A, TWIN_B);
        t->past[TWIN_B] = t->past[TWIN_A];
    }
    if (passes[pass].forget_the_other && t->seqs > OTHER) {
        t->ops->forget(t->model, OTHER);
        t->past[OTHER] = 0;
    }
    for (int32_t seq = 0; seq < t->seqs; seq++)
        n = invariance_add_rows(t, pass, seq, n);
    rc = t->ops->decode(t->model, t->rows, n) < 0 ? ERR_MODEL : 0;
    for (int32_t seq = TWIN_A; rc == 0 && seq <= TWIN_B; seq++)
        rc = t->last[seq] >= 0 ? invariance_look(t, seq) : 0;
    return rc;
}

static int invariance_run(struct trial *t)
{
    int rc = 0;

    t->equal = true;
    for (int32_t pass = 0; rc == 0 && t->equal && pass < N_PASSES; pass++)
        rc = invariance_run_pass(t, pass);
    for (int32_t seq = 0; seq < t->seqs; seq++)
        t->ops->forget(t->model, seq);
    return rc < 0 ? rc : t->equal;
}

int invariance_check(const struct model_ops *ops, void *model)
{
    struct trial t = {.ops = ops, .model = model, .limits = ops->limits(model)};
    int32_t room = t.limits.context_tokens - DECODE_STEPS;
    int rc = ERR_NOMEM;

    if (t.limits.max_seqs < 2)
        return 1;
    t.seqs = t.limits.max_seqs < SEQS ? t.limits.max_seqs : SEQS;
    t.long_tokens = room < LONG_TOKENS ? room : LONG_TOKENS;
    if (t.long_tokens <= START_TOKENS ||
        t.limits.max_rows < t.long_tokens + (t.seqs > OTHER ? SHORT_TOKENS : 0))
        return 0; /* too small to tell: nothing is claimed */
    t.rows = calloc((size_t)t.limits.max_rows, sizeof *t.rows);
    t.seen = calloc((size_t)POINTS * (size_t)t.limits.vocab, sizeof *t.seen);
    if (t.rows && t.seen)
        rc = invariance_run(&t);
    free(t.rows);
    free(t.seen);
    return rc;
}
