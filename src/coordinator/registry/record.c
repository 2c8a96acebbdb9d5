/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/registry/record.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

enum { PRIOR_SERVED = 10 };

void record_init(struct record *r, int64_t now_us)
{
    *r = (struct record){.reputation = {.at_us = now_us}};
    breaker_init(&r->breaker, now_us);
}

void record_clear(struct record *r)
{
    while (r->models) {
        struct record_model *m = r->models;

        r->models = m->next;
        free(m);
    }
    r->n_models = 0;
}

void record_book_init(struct record_book *b)
{
    *b = (struct record_book){0};
    list_init(&b->idle);
    list_init(&b->idle_distrusted);
    list_init(&b->dirty);
    list_init(&b->urgent);
}

static void record_free(struct record *r)
{
    list_remove(&r->idle);
    list_remove(&r->dirty);
    record_clear(r);
    free(r);
}

void record_book_free(struct record_book *b)
{
    struct record *r;
    size_t cursor = 0;

    while ((r = map_next(&b->by_key, &cursor))) {
        CHECK(r->holders == 0);
        record_free(r);
    }
    map_free(&b->by_key);
}

struct record *record_find(const struct record_book *b, const char *key)
{
    return map_get(&b->by_key, str_from(key));
}

static void record_forget(struct record_book *b, struct record *r)
{
    (void)map_remove(&b->by_key, str_from(r->key));
    b->n_idle--;
    if (b->forgotten)
        b->forgotten(b->ud, r->key);
    record_free(r);
}

static void record_forget_one(struct record_book *b)
{
    struct list_node *oldest = list_empty(&b->idle) ? b->idle_distrusted.next : b->idle.next;

    record_forget(b, list_owner(oldest, struct record, idle));
}

/* Rates of models that it has not served for days make room for others. */
static void record_drop_faded(struct record *r, int64_t now_us)
{
    struct record_model **at = &r->models;

    while (*at) {
        struct record_model *m = *at;

        if (rates_known(&m->rates, now_us)) {
            at = &m->next;
            continue;
        }
        *at = m->next;
        r->n_models--;
        free(m);
    }
}

struct record *record_hold(struct record_book *b, const char *key, int64_t now_us)
{
    struct record *r = record_find(b, key);

    if (!r) {
        r = malloc(sizeof *r);
        if (!r)
            return NULL;
        record_init(r, now_us);
        snprintf(r->key, sizeof r->key, "%s", key);
        if (map_put(&b->by_key, str_from(r->key), r) < 0) {
            free(r);
            return NULL;
        }
    } else if (r->holders == 0) {
        list_remove(&r->idle);
        b->n_idle--;
        record_drop_faded(r, now_us); /* nobody points into it now */
    }
    r->holders++;
    return r;
}

/* Nothing has ever been learned of it. */
static bool record_is_blank(const struct record *r)
{
    return !r->distrusted && !r->models && !(r->reputation.served > 0) &&
           !(r->reputation.failed > 0);
}

void record_release(struct record_book *b, struct record *r)
{
    if (!r || !r->key[0])
        return;
    CHECK(r->holders > 0);
    if (--r->holders > 0)
        return;
    list_push_back(r->distrusted ? &b->idle_distrusted : &b->idle, &r->idle);
    b->n_idle++;
    if (record_is_blank(r)) /* strangers bring a new key each time */
        record_forget(b, r);
    else if (b->n_idle > BOOK_IDLE_MAX)
        record_forget_one(b);
}

struct record *record_take(struct record_book *b, const char *key)
{
    struct record *r = record_find(b, key);

    if (!r)
        return NULL;
    CHECK(r->holders == 0);
    (void)map_remove(&b->by_key, str_from(r->key));
    b->n_idle--;
    list_remove(&r->idle);
    list_remove(&r->dirty);
    return r;
}

bool record_adopt(struct record_book *b, struct record *r)
{
    CHECK(!record_find(b, r->key));
    if (record_is_blank(r) || map_put(&b->by_key, str_from(r->key), r) < 0) {
        record_free(r); /* it says nothing, or the store still has it */
        return false;
    }
    record_touch(b, r, true);
    list_push_back(r->distrusted ? &b->idle_distrusted : &b->idle, &r->idle);
    if (++b->n_idle > BOOK_IDLE_MAX)
        record_forget_one(b);
    return true;
}

void record_touch(struct record_book *b, struct record *r, bool urgent)
{
    bool first = list_empty(&b->dirty) && list_empty(&b->urgent);

    if (!r->key[0] || (list_linked(&r->dirty) && (r->urgent || !urgent)))
        return;
    list_remove(&r->dirty);
    list_push_back(urgent ? &b->urgent : &b->dirty, &r->dirty);
    r->urgent = urgent;
    if (first && b->dirtied)
        b->dirtied(b->ud);
}

struct record *record_next_dirty(struct record_book *b)
{
    struct list_node *first = list_empty(&b->urgent) ? b->dirty.next : b->urgent.next;

    if (first == &b->dirty)
        return NULL;
    list_remove(first);
    return list_owner(first, struct record, dirty);
}

bool record_served(struct record *r, int64_t now_us, bool probe)
{
    tally_age(&r->reputation, now_us, RECORD_HALF_LIFE_US);
    r->reputation.served += 1;
    return breaker_served(&r->breaker, now_us, probe);
}

bool record_failed(struct record *r, int64_t now_us, bool probe)
{
    tally_age(&r->reputation, now_us, RECORD_HALF_LIFE_US);
    r->reputation.failed += 1;
    return breaker_failed(&r->breaker, now_us, probe);
}

double record_failed_share(const struct record *r, int64_t now_us)
{
    struct tally t = r->reputation;

    tally_age(&t, now_us, RECORD_HALF_LIFE_US);
    return tally_failed_share(&t, PRIOR_SERVED);
}

double record_failing_share(const struct record *r, int64_t now_us)
{
    struct breaker b = r->breaker;

    breaker_age(&b, now_us);
    return tally_failed_share(&b.recent, PRIOR_SERVED);
}

struct rates *record_rates(const struct record *r, struct str model)
{
    for (struct record_model *m = r->models; m; m = m->next) {
        if (str_is(model, m->id))
            return &m->rates;
    }
    return NULL;
}

struct rates *record_rates_make(struct record *r, struct str model)
{
    struct rates *known = record_rates(r, model);
    struct record_model *m;

    if (known)
        return known;
    if (r->n_models >= RECORD_MODELS_MAX)
        return NULL;
    m = calloc(1, sizeof *m + model.n + 1);
    if (!m)
        return NULL;
    memcpy(m->id, model.p, model.n);
    m->next = r->models;
    r->models = m;
    r->n_models++;
    return &m->rates;
}
