/* SPDX-License-Identifier: Apache-2.0 */
/* One forward pass: which rows are in it, and what comes of them. */
#include <sodium.h>

#include "provider/engine/scheduler_impl.h"

struct plan {
    int32_t n; /* rows */
    int32_t decoded, prefilled, covering;
};

static bool step_decodes(const struct slot *slot)
{
    return slot->n_past >= slot->n_prompt;
}

static bool step_any_decodes(const struct scheduler *s)
{
    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        if (s->slots[i].request && step_decodes(&s->slots[i]))
            return true;
    }
    return false;
}

static int32_t step_prompts(const struct scheduler *s)
{
    int32_t n = 0;

    for (int32_t i = 0; i < s->limits.max_seqs; i++)
        n += s->slots[i].request && !step_decodes(&s->slots[i]);
    return n;
}

/* Each running request gets one row: its last token, or the next of its prompt, so that nobody
 * starves and no running sequence is missing from the batch. What these leave of the pass's room
 * for prompt tokens goes to those who came first. */
static void step_share_room(struct scheduler *s)
{
    int32_t room = pace_room(&s->pace, step_any_decodes(s)) - step_prompts(s);

    room = room > 0 ? room : 0;
    for (struct list_node *n = s->running.next; n != &s->running; n = n->next) {
        struct slot *slot = list_owner(n, struct request, link)->slot;
        int32_t more = slot->n_tokens - slot->n_past - 1;

        more = more < room ? more : room;
        room -= more;
        slot->share = 1 + more;
    }
}

static void step_add_row(struct scheduler *s, struct plan *p, int32_t token, int32_t pos,
                         int32_t seq, bool want_logits)
{
    s->rows[p->n++] = (struct model_row){token, pos, seq, want_logits};
}

static void step_add_slot(struct scheduler *s, struct plan *p, int32_t seq)
{
    struct slot *slot = &s->slots[seq];
    int32_t *kind = step_decodes(slot) ? &p->decoded : &p->prefilled;

    *kind += slot->share;
    slot->row = -1;
    for (int32_t i = 0; i < slot->share; i++, slot->n_past++) {
        bool last = slot->n_past == slot->n_tokens - 1;

        if (last)
            slot->row = p->n;
        step_add_row(s, p, slot->tokens[slot->n_past], slot->n_past, seq, last);
    }
}

static int32_t step_lowest_running(const struct scheduler *s)
{
    int32_t i = 0;

    while (i < s->limits.max_seqs && !s->slots[i].request)
        i++;
    return i;
}

static int32_t step_highest_running(const struct scheduler *s)
{
    int32_t i = s->limits.max_seqs - 1;

    while (i >= 0 && !s->slots[i].request)
        i--;
    return i;
}

/* Rows in the order of sequences, from the lowest that runs; a free slot between two running ones
 * gets a row of no consequence, since the library would otherwise split the batch there. */
static struct plan step_make_plan(struct scheduler *s)
{
    struct plan p = {0};
    int32_t highest = step_highest_running(s);

    step_share_room(s);
    for (int32_t seq = step_lowest_running(s); seq <= highest; seq++) {
        if (s->slots[seq].request) {
            step_add_slot(s, &p, seq);
        } else {
            step_add_row(s, &p, 0, 0, seq, false);
            p.covering++;
        }
    }
    return p;
}

static void step_drop_cancelled(struct scheduler *s)
{
    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        if (s->slots[i].request && atomic_load(&s->slots[i].request->cancelled))
            slot_drop(s, &s->slots[i]);
    }
    pthread_mutex_lock(&s->lock);
    scheduler_judge_pass(s); /* what stands there is of those that have just gone */
    pthread_mutex_unlock(&s->lock);
}

/* `rc` is the pass's. */
static void step_count(struct scheduler *s, const struct plan *p, int rc)
{
    int64_t active = 0, potential = 0;

    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        if (s->slots[i].request) {
            active += s->slots[i].n_past;
            potential += s->slots[i].limit;
        }
    }
    s->failed_in_row = rc == ERR_MODEL ? s->failed_in_row + 1 : 0;
    pthread_mutex_lock(&s->lock);
    s->load.crashed |= s->failed_in_row >= SCHEDULER_FAILED_PASSES;
    s->counters.forward_passes++;
    s->counters.rows_decoded += p->decoded;
    s->counters.rows_prefilled += p->prefilled;
    s->counters.rows_covering += p->covering;
    s->load.forward_passes = s->counters.forward_passes;
    s->load.active_tokens = active;
    s->load.max_tokens_potential = potential;
    pthread_mutex_unlock(&s->lock);
}

static void step_sample(struct scheduler *s)
{
    for (int32_t i = 0; i < s->limits.max_seqs; i++) {
        struct slot *slot = &s->slots[i];
        int32_t token;

        if (!slot->request || slot->row < 0)
            continue;
        token = slot_draw(s, slot);
        if (token < 0)
            slot_fail(s, slot, token);
        else
            slot_accept(s, slot, token);
    }
}

static void step_forget_covering(struct scheduler *s, int32_t highest)
{
    for (int32_t i = step_lowest_running(s); i < highest; i++) {
        if (!s->slots[i].request)
            s->config.ops->forget(s->config.model, i);
    }
}

static int step_decode(struct scheduler *s, const struct plan *p)
{
    int64_t start = clock_mono_us(&s->config.clock);
    int rc = s->config.ops->decode(s->config.model, s->rows, p->n);

    pace_learn(&s->pace, p->prefilled, clock_mono_us(&s->config.clock) - start);
    sodium_memzero(s->rows, (size_t)p->n * sizeof *s->rows); /* they are prompts */
    return rc;
}

bool scheduler_step(struct scheduler *s)
{
    struct plan p;
    int32_t highest;
    int rc;

    step_drop_cancelled(s);
    highest = step_highest_running(s);
    if (highest < 0)
        return false;
    p = step_make_plan(s);
    rc = step_decode(s, &p);
    if (p.covering > 0)
        step_forget_covering(s, highest);
    step_count(s, &p, rc);
    if (rc == ERR_CANCELLED) /* all that were in it go before the next pass */
        return true;
    if (rc < 0) { /* every row of the pass is lost, the process is not */
        for (int32_t i = 0; i < s->limits.max_seqs; i++) {
            if (s->slots[i].request)
                slot_fail(s, &s->slots[i], ERR_MODEL);
        }
        return true;
    }
    step_sample(s);
    return true;
}
