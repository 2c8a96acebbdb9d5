/* SPDX-License-Identifier: Apache-2.0 */
/* One forward pass: which rows are in it, and what comes of them. */
#include "provider/engine/scheduler_impl.h"

struct plan {
    int32_t n;    /* rows */
    int32_t room; /* prompt tokens that still fit this pass */
    int32_t decoded, prefilled, covering;
};

static void add_row(struct scheduler *s, struct plan *p, int32_t token, int32_t pos, int32_t seq,
                    bool want_logits)
{
    s->rows[p->n++] = (struct model_row){token, pos, seq, want_logits};
}

/* A running slot's last token, or the next piece of its prompt. */
static void add_slot(struct scheduler *s, struct plan *p, int32_t seq)
{
    struct slot *slot = &s->slots[seq];
    int32_t n = slot->n_tokens - slot->n_past;
    bool decoding = slot->n_past >= slot->n_prompt;

    slot->row = -1;
    if (!decoding) {
        n = n < p->room ? n : p->room;
        p->room -= n;
        p->prefilled += n;
    } else {
        p->decoded++;
    }
    for (int32_t i = 0; i < n; i++) {
        bool last = slot->n_past + i == slot->n_tokens - 1;

        if (last)
            slot->row = p->n;
        add_row(s, p, slot->tokens[slot->n_past + i], slot->n_past + i, seq, last);
    }
    slot->n_past += n;
}

static int32_t highest_running(const struct scheduler *s)
{
    int32_t i = s->limits.max_seqs - 1;

    while (i >= 0 && !s->slots[i].request)
        i--;
    return i;
}

/* Rows in the order of sequences; a free slot below a running one gets a row of no consequence,
 * since the library would otherwise split the batch there. */
static struct plan make_plan(struct scheduler *s)
{
    struct plan p = {.room = s->config.chunk_tokens};
    int32_t highest = highest_running(s);

    for (int32_t seq = 0; seq <= highest; seq++) {
        if (s->slots[seq].request) {
            add_slot(s, &p, seq);
        } else {
            add_row(s, &p, 0, 0, seq, false);
            p.covering++;
        }
    }
    return p;
}

static void drop_cancelled(struct scheduler *s)
{
    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        if (s->slots[i].request && atomic_load(&s->slots[i].request->cancelled))
            slot_drop(s, &s->slots[i]);
    }
}

static void count(struct scheduler *s, const struct plan *p)
{
    int64_t active = 0, potential = 0;

    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        if (s->slots[i].request) {
            active += s->slots[i].n_past;
            potential += s->slots[i].limit;
        }
    }
    pthread_mutex_lock(&s->lock);
    s->counters.forward_passes++;
    s->counters.rows_decoded += p->decoded;
    s->counters.rows_prefilled += p->prefilled;
    s->counters.rows_covering += p->covering;
    s->load.forward_passes = s->counters.forward_passes;
    s->load.active_tokens = active;
    s->load.max_tokens_potential = potential;
    pthread_mutex_unlock(&s->lock);
}

static void sample(struct scheduler *s)
{
    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        struct slot *slot = &s->slots[i];
        float *logits;

        if (!slot->request || slot->row < 0)
            continue;
        logits = s->config.ops->logits(s->config.model, slot->row);
        if (!logits)
            slot_fail(s, slot, ERR_MODEL);
        else
            slot_accept(s, slot,
                        sampler_next(&slot->sampler, &s->scratch, logits,
                                     slot->tokens + slot->n_prompt,
                                     (size_t)(slot->n_tokens - slot->n_prompt)));
    }
}

static void forget_covering(struct scheduler *s, int32_t highest)
{
    for (int32_t i = 0; i < highest; i++) {
        if (!s->slots[i].request)
            s->config.ops->forget(s->config.model, i);
    }
}

bool scheduler_step(struct scheduler *s)
{
    struct plan p;
    int32_t highest;
    int rc;

    drop_cancelled(s);
    highest = highest_running(s);
    if (highest < 0)
        return false;
    p = make_plan(s);
    rc = s->config.ops->decode(s->config.model, s->rows, p.n);
    if (p.covering > 0)
        forget_covering(s, highest);
    count(s, &p);
    if (rc < 0) { /* every row of the pass is lost, the process is not */
        for (int32_t i = 0; i < s->limits.max_seqs; i++) {
            if (s->slots[i].request)
                slot_fail(s, &s->slots[i], ERR_MODEL);
        }
        return true;
    }
    sample(s);
    return true;
}
