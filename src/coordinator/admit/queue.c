/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admit/queue.h"

#include "coordinator/registry/directory.h"

enum { GIVE_LOOKED_MAX = 16 };

bool queue_waits(const struct queue_ticket *t)
{
    return list_linked(&t->of_account);
}

/* The first of the line that a ticket of this account, model and level joins. An account has only
 * a bounded number of tickets, so they are looked through. */
static struct queue_ticket *queue_first_of_line(const struct queue_ticket *t)
{
    struct list_node *head = &t->account->waiting;

    for (struct list_node *n = head->next; n != head; n = n->next) {
        struct queue_ticket *other = list_owner(n, struct queue_ticket, of_account);

        if (other->model == t->model && other->min_trust == t->min_trust &&
            list_linked(&other->in_turn))
            return other;
    }
    return NULL;
}

static void queue_expire(void *ud)
{
    struct queue_ticket *t = ud;

    queue_leave(t);
    t->expired(t);
}

/* On all loops. */
static int64_t queue_length(const struct model *m)
{
    return m->row ? (int64_t)directory_waiting(m->row) : (int64_t)m->n_waiting;
}

int queue_wait(struct queue_ticket *t, const struct queue_limits *limits, int64_t wait_us)
{
    struct model *m = t->model;
    struct queue_ticket *first;

    if (queue_waits(t))
        return 0;
    if (queue_length(m) >= limits->per_model)
        return ERR_BUSY;
    if (atomic_load(&t->account->purse->n_waiting) >= limits->per_account)
        return ERR_LIMIT;
    first = queue_first_of_line(t);
    list_init(&t->line);
    t->number = ++m->n_ever_waited;
    if (first)
        list_push_back(&first->line, &t->in_line);
    else
        list_push_back(&m->waiting[t->min_trust], &t->in_turn);
    list_push_back(&t->account->waiting, &t->of_account);
    atomic_fetch_add(&t->account->purse->n_waiting, 1);
    m->n_waiting++;
    m->n_waiting_at[t->min_trust]++;
    model_publish_waiting(m, t->min_trust);
    loop_timer_set(t->loop, &t->timer, wait_us, queue_expire, t);
    return 0;
}

/* Who stood behind `t` are behind `next` from now on. */
static void queue_hand_line_on(struct queue_ticket *t, struct queue_ticket *next)
{
    list_init(&next->line);
    while (!list_empty(&t->line)) {
        struct list_node *n = t->line.next;

        list_remove(n);
        list_push_back(&next->line, n);
    }
}

/* The second of the line takes the place of the first in turn. */
static void queue_promote(struct queue_ticket *t)
{
    struct queue_ticket *next = list_owner(t->line.next, struct queue_ticket, in_line);

    list_remove(&next->in_line);
    queue_hand_line_on(t, next);
    list_push_back(&t->in_turn, &next->in_turn); /* just before the leaving one */
}

void queue_leave(struct queue_ticket *t)
{
    if (!queue_waits(t))
        return;
    if (list_linked(&t->in_turn) && !list_empty(&t->line))
        queue_promote(t);
    list_remove(&t->in_turn);
    list_remove(&t->in_line);
    list_remove(&t->of_account);
    atomic_fetch_sub(&t->account->purse->n_waiting, 1);
    t->model->n_waiting--;
    t->model->n_waiting_at[t->min_trust]--;
    model_publish_waiting(t->model, t->min_trust);
    loop_timer_clear(t->loop, &t->timer);
}

/* The ticket whose turn it is: of the levels that something free would do for, the one that came
 * first. NULL: nothing free would do for anybody. */
static struct queue_ticket *queue_next(const struct model *m)
{
    struct queue_ticket *best = NULL;

    for (int level = 0; level < TRUST_LEVELS; level++) {
        const struct list_node *lines = &m->waiting[level];
        struct queue_ticket *t;

        if (list_empty(lines) ||
            !registry_has_free(m, &(struct route_ask){.min_trust = (enum trust_level)level}))
            continue;
        t = list_owner(lines->next, struct queue_ticket, in_turn);
        if (!best || t->number < best->number)
            best = t;
    }
    return best;
}

/* The line goes behind the others of its level, whoever is first in it after the call. */
static void queue_end_turn(struct model *m, struct queue_ticket *t)
{
    list_remove(&t->in_turn);
    list_push_back(&m->waiting[t->min_trust], &t->in_turn);
}

struct queue_ticket *queue_give(struct model *m, enum trust_level level,
                                bool (*would_do)(struct queue_ticket *t, void *ud), void *ud)
{
    int looked = 0;

    for (int demanded = (int)level; demanded >= 0; demanded--) {
        struct list_node *lines = &m->waiting[demanded];

        for (struct list_node *n = lines->next; n != lines && looked < GIVE_LOOKED_MAX;
             n = n->next, looked++) {
            struct queue_ticket *t = list_owner(n, struct queue_ticket, in_turn);

            if (!would_do(t, ud))
                continue;
            queue_end_turn(m, t);
            return t;
        }
    }
    return NULL;
}

bool queue_call(struct model *m)
{
    size_t most = m->n_waiting; /* each is called once: one may not want what is free */
    struct queue_ticket *t;

    while (most-- > 0 && (t = queue_next(m))) {
        size_t before = m->n_waiting;

        queue_end_turn(m, t);
        t->called(t);
        if (m->n_waiting < before)
            return true;
    }
    return false;
}
