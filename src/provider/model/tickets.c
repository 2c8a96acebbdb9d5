/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/model/tickets.h"

#include <stdlib.h>

void tickets_init(struct tickets *ts)
{
    *ts = (struct tickets){0};
    list_init(&ts->held);
    list_init(&ts->sent);
    list_init(&ts->lost);
    map_init(&ts->by_tag);
}

static struct str tickets_key(const uint64_t *tag)
{
    return (struct str){(const char *)tag, sizeof *tag};
}

struct ticket *tickets_find(const struct tickets *ts, uint64_t tag)
{
    return map_get(&ts->by_tag, tickets_key(&tag));
}

static struct ticket *tickets_first(const struct list_node *head)
{
    return list_empty(head) ? NULL : list_owner(head->next, struct ticket, link);
}

struct ticket *tickets_first_held(const struct tickets *ts)
{
    return tickets_first(&ts->held);
}

struct ticket *tickets_first_lost(const struct tickets *ts)
{
    return tickets_first(&ts->lost);
}

/* --- from list to list --- */

static void tickets_unlink(struct tickets *ts, struct ticket *t)
{
    list_remove(&t->link);
    ts->n_held -= t->stage == TICKET_HELD;
    ts->n_sent -= t->stage > TICKET_HELD && t->stage < TICKET_LOST;
}

void tickets_drop(struct tickets *ts, struct ticket *t)
{
    tickets_unlink(ts, t);
    ts->n_cancelled -= t->cancelled;
    if (!t->cancelled && t->stage != TICKET_LOST)
        (void)map_remove(&ts->by_tag, tickets_key(&t->tag));
    buf_free(&t->body);
    free(t);
}

void tickets_free(struct tickets *ts)
{
    struct list_node *const lists[] = {&ts->held, &ts->sent, &ts->lost};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        while (!list_empty(lists[i]))
            tickets_drop(ts, tickets_first(lists[i]));
    }
    map_free(&ts->by_tag);
}

struct ticket *tickets_add(struct tickets *ts, uint64_t tag, enum ticket_stage stage,
                           const unsigned char hash[static SUSPECT_HASH_BYTES], struct str body)
{
    struct ticket *t = tickets_find(ts, tag) ? NULL : calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->tag = tag;
    t->stage = stage;
    memcpy(t->hash, hash, sizeof t->hash);
    buf_init(&t->body, body.n);
    if ((stage == TICKET_HELD && buf_append_str(&t->body, body) < 0) ||
        map_put(&ts->by_tag, tickets_key(&t->tag), t) < 0) {
        buf_free(&t->body);
        free(t);
        return NULL;
    }
    list_push_back(stage == TICKET_HELD ? &ts->held : &ts->sent, &t->link);
    ts->n_held += stage == TICKET_HELD;
    ts->n_sent += stage != TICKET_HELD;
    return t;
}

void tickets_sent(struct tickets *ts, struct ticket *t)
{
    tickets_unlink(ts, t);
    buf_free(&t->body);
    t->stage = TICKET_SENT;
    list_push_back(&ts->sent, &t->link);
    ts->n_sent++;
}

/* --- cancelled ones --- */

static struct ticket *tickets_oldest_cancelled(const struct tickets *ts)
{
    struct ticket *oldest = NULL;

    for (struct list_node *n = ts->sent.next; n != &ts->sent; n = n->next) {
        struct ticket *t = list_owner(n, struct ticket, link);

        if (t->cancelled && (!oldest || t->cancelled_us < oldest->cancelled_us))
            oldest = t;
    }
    return oldest;
}

void tickets_cancel(struct tickets *ts, struct ticket *t, int64_t now_us)
{
    if (t->stage != TICKET_SENT) {
        tickets_drop(ts, t);
        return;
    }
    (void)map_remove(&ts->by_tag, tickets_key(&t->tag));
    t->cancelled = true;
    t->cancelled_us = now_us;
    if (++ts->n_cancelled > TICKETS_CANCELLED_MAX)
        tickets_drop(ts, tickets_oldest_cancelled(ts));
}

void tickets_forget_cancelled(struct tickets *ts, int64_t us)
{
    struct ticket *t;

    while ((t = tickets_oldest_cancelled(ts)) && t->cancelled_us < us)
        tickets_drop(ts, t);
}

size_t tickets_in_flight(const struct tickets *ts)
{
    return ts->n_held + ts->n_sent - ts->n_cancelled;
}

static bool tickets_has_sent(const struct tickets *ts, uint64_t tag)
{
    for (struct list_node *n = ts->sent.next; n != &ts->sent; n = n->next) {
        if (list_owner(n, struct ticket, link)->tag == tag)
            return true;
    }
    return false;
}

void tickets_prepared(struct tickets *ts, uint64_t tag)
{
    struct list_node *n = ts->sent.next;
    bool last = !ts->n_cancelled || !tickets_has_sent(ts, tag);

    while (!last) {
        struct ticket *t = list_owner(n, struct ticket, link);

        n = n->next;
        last = t->tag == tag;
        if (t->cancelled)
            tickets_drop(ts, t);
    }
}

/* --- the engine's end --- */

void tickets_lose(struct tickets *ts, int code, int held_code)
{
    struct list_node *const lists[] = {&ts->sent, &ts->held};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct ticket *t;

        while ((t = tickets_first(lists[i]))) {
            if (t->cancelled) {
                tickets_drop(ts, t);
                continue;
            }
            tickets_unlink(ts, t);
            (void)map_remove(&ts->by_tag, tickets_key(&t->tag));
            t->code = t->stage == TICKET_HELD ? held_code : code;
            t->stage = TICKET_LOST;
            buf_free(&t->body);
            list_push_back(&ts->lost, &t->link);
        }
    }
}

bool tickets_one_runs_alone(const struct tickets *ts)
{
    for (struct list_node *n = ts->sent.next; n != &ts->sent; n = n->next) {
        const struct ticket *t = list_owner(n, struct ticket, link);

        if (t->suspect && t->stage < TICKET_SPEAKING)
            return true;
    }
    return false;
}

size_t tickets_blame(const struct tickets *ts, struct suspects *suspects)
{
    size_t silent = 0;

    for (struct list_node *n = ts->sent.next; n != &ts->sent; n = n->next)
        silent += list_owner(n, struct ticket, link)->stage < TICKET_SPEAKING;
    for (struct list_node *n = ts->sent.next; n != &ts->sent; n = n->next) {
        const struct ticket *t = list_owner(n, struct ticket, link);

        if (ts->n_sent == 1 || t->stage < TICKET_SPEAKING)
            suspects_set(suspects, t->hash,
                         ts->n_sent == 1 || silent == 1 ? SUSPICION_REFUSED : SUSPICION_ALONE);
    }
    return ts->n_sent == 1 ? 1 : silent;
}
