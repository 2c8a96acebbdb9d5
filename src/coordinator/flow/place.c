/* SPDX-License-Identifier: Apache-2.0 */
/* On which loop a request is served (registry/directory.h says by what). Once when it comes, before
 * anything is held; again when it finds no slot where it is, once its hold is durable; and when
 * another loop, which has a slot and nobody to take it, asks for one that waits. */
#include <stdlib.h>

#include "base/num.h"
#include "coordinator/flow/flow.h"
#include "coordinator/registry/directory.h"

enum { PLACE_BYTES_PER_TOKEN = 8, PLACE_MOVES_MAX = 3 };

/* What the directory is asked, with the memory that the question points to. */
struct place_question {
    struct directory_ask ask;
    uint8_t tried[HUB_SHARDS_MAX];
};

static void place_ask(const struct request *r, struct place_question *q)
{
    *q = (struct place_question){.ask = {.here = r->coord->number,
                                         .min_trust = r->min_trust,
                                         .tokens = flow_prompt_tokens_least(r)}};
    if (r->tries.n_tried == 0)
        return;
    for (size_t i = 0; i < r->tries.n_tried; i++)
        q->tried[registry_loop_of(r->tries.tried[i])]++;
    q->ask.tried = q->tried;
}

/* Tokens that the prompt surely has, at eight bytes each: an offer with less context would refuse
 * it (FR-12). Where nobody has so much, whoever has most says so with the exact number. */
int64_t flow_prompt_tokens_least(const struct request *r)
{
    return num_min((int64_t)r->chat.prompt_bytes / PLACE_BYTES_PER_TOKEN, model_context(r->model));
}

static bool place_go(struct request *r, unsigned to)
{
    if (to == r->coord->number || r->transfer.moves >= PLACE_MOVES_MAX)
        return false;
    r->transfer.moves++;
    flow_transfer(r, to);
    return true;
}

bool flow_place(struct request *r)
{
    struct place_question q;

    if (!r->model->row || r->transfer.placed || !flow_may_transfer(r))
        return false;
    r->transfer.placed = true;
    place_ask(r, &q);
    return place_go(r, directory_place(r->model->row, &q.ask));
}

bool flow_place_again(struct request *r)
{
    struct place_question q;

    if (!r->model->row || !flow_may_transfer(r))
        return false;
    place_ask(r, &q);
    return place_go(r, directory_place(r->model->row, &q.ask));
}

bool flow_look_elsewhere(struct request *r)
{
    struct place_question q;

    if (!r->model->row || !flow_may_transfer(r))
        return false;
    place_ask(r, &q);
    return place_go(r, directory_free_elsewhere(r->model->row, &q.ask));
}

bool flow_is_free_elsewhere(const struct request *r)
{
    struct place_question q;

    if (!r->model->row)
        return false;
    place_ask(r, &q);
    return directory_free_elsewhere(r->model->row, &q.ask) != q.ask.here;
}

bool flow_may_be_served_elsewhere(const struct request *r)
{
    struct place_question q;

    if (!r->model->row)
        return false;
    place_ask(r, &q);
    return directory_may_serve_elsewhere(r->model->row, &q.ask);
}

/* --- a slot here, a request there --- */

/* Asks another loop for one that waits; one of a model and loop at a time. Owned by the model. */
struct model_pull {
    struct inbox_item item;
    struct coord *home;
    struct model *model; /* at home */
    enum trust_level level;
    unsigned from;  /* the loop that is asked */
    unsigned asked; /* loops that had nobody, in a row */
    bool under_way;
};

static void pull_ask(struct model_pull *p);

/* At home: who was given is on its way. Where nobody was, the others are asked. */
static void pull_answered(struct model_pull *p, bool given)
{
    p->under_way = false;
    p->model->n_requests--;
    if (!given && ++p->asked < p->home->hub->n_shards)
        pull_ask(p);
}

static void pull_given(void *ud)
{
    pull_answered(ud, true);
}

static void pull_refused(void *ud)
{
    pull_answered(ud, false);
}

static bool pull_would_do(struct queue_ticket *t, void *ud)
{
    struct request *r = list_owner(t, struct request, ticket);
    const struct model_pull *p = ud;
    struct place_question q;

    if (!flow_may_transfer(r))
        return false;
    place_ask(r, &q);
    return directory_is_free_at(r->model->row, p->home->number, &q.ask);
}

/* On the loop that is asked. */
static void pull_arrived(void *ud)
{
    struct model_pull *p = ud;
    struct hub *h = p->home->hub;
    struct coord *c = h->shards[p->from];
    struct model *m = registry_model(c->registry, str_from(p->model->id));
    struct queue_ticket *t = m ? queue_give(m, p->level, pull_would_do, p) : NULL;

    if (t)
        flow_transfer(list_owner(t, struct request, ticket), p->home->number);
    inbox_post(h->inboxes[p->home->number], &p->item, t ? pull_given : pull_refused, p);
}

static void pull_ask(struct model_pull *p)
{
    unsigned here = p->home->number;
    unsigned from = directory_waiting_elsewhere(p->model->row, here, p->level, p->from);

    if (from == here || p->home->stopping)
        return;
    p->from = from;
    p->under_way = true;
    p->model->n_requests++; /* it stays until the answer is here */
    inbox_post(p->home->hub->inboxes[from], &p->item, pull_arrived, p);
}

void flow_pull(struct coord *c, struct model *m, enum trust_level level)
{
    struct model_pull *p = m->pull;

    if (!p) {
        p = m->pull = calloc(1, sizeof *p);
        if (!p)
            return; /* the next heartbeat asks again */
        p->home = c;
        p->model = m;
        p->from = c->number;
    }
    if (p->under_way)
        return;
    p->level = level;
    p->asked = 0;
    pull_ask(p);
}
