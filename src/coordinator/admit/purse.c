/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admit/purse.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"

enum { RETRY_AFTER_MAX_S = 60 };
#define NS_A_SECOND 1e9
#define NS_MAX      ((int64_t)1 << 61)
#define NOT_KNOWN   INT64_MIN

struct purses {
    /* A request costs `period_ns` of the account's time, which may run ahead of the clock by
     * `ahead_ns` (the generic cell rate algorithm, ITU-T I.371): the same as a bucket of tokens, in
     * one number. period_ns 0: unlimited. */
    _Atomic int64_t period_ns, ahead_ns;
    pthread_mutex_t lock;
    struct map by_name; /* name → struct purse */
};

struct purses *purses_new(double rate_per_s, int64_t rate_burst)
{
    struct purses *ps = calloc(1, sizeof *ps);

    if (!ps)
        return NULL;
    pthread_mutex_init(&ps->lock, NULL);
    purses_limit_rate(ps, rate_per_s, rate_burst);
    return ps;
}

void purses_free(struct purses *ps)
{
    size_t cursor = 0;
    struct purse *p;

    if (!ps)
        return;
    while ((p = map_next(&ps->by_name, &cursor)))
        free(p);
    map_free(&ps->by_name);
    pthread_mutex_destroy(&ps->lock);
    free(ps);
}

static int64_t purse_whole_ns(double ns)
{
    return ns < (double)NS_MAX ? (int64_t)ns : NS_MAX;
}

void purses_limit_rate(struct purses *ps, double rate_per_s, int64_t rate_burst)
{
    double period = rate_per_s > 0 ? NS_A_SECOND / rate_per_s : 0;

    atomic_store(&ps->ahead_ns, purse_whole_ns(period * (double)(rate_burst - 1)));
    atomic_store(&ps->period_ns, purse_whole_ns(period));
}

/* With the lock held. */
static struct purse *purses_add(struct purses *ps, const char *name)
{
    struct purse *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    (void)snprintf(p->name, sizeof p->name, "%s", name);
    p->balance_micro_usd = NOT_KNOWN;
    if (map_put(&ps->by_name, str_from(p->name), p) < 0) {
        free(p);
        return NULL;
    }
    return p;
}

struct purse *purses_find(struct purses *ps, const char *name)
{
    struct purse *p;

    pthread_mutex_lock(&ps->lock);
    p = map_get(&ps->by_name, str_from(name));
    if (!p)
        p = purses_add(ps, name);
    pthread_mutex_unlock(&ps->lock);
    return p;
}

int purse_take(const struct purses *ps, struct purse *p, int64_t now_us, int *ret_retry_after_s)
{
    int64_t period = atomic_load(&ps->period_ns), ahead = atomic_load(&ps->ahead_ns);
    int64_t until = atomic_load(&p->rate_until_ns), from;

    if (period == 0)
        return 0;
    do {
        from = until > now_us * 1000 ? until : now_us * 1000;
        if (from - now_us * 1000 > ahead) { /* a refusal leaves no debt */
            double wait = ceil((double)(from - now_us * 1000 - ahead) / NS_A_SECOND);

            *ret_retry_after_s = wait > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (int)wait;
            return ERR_BUSY;
        }
    } while (!atomic_compare_exchange_weak(&p->rate_until_ns, &until, from + period));
    return 0;
}

bool purse_covers(const struct purse *p, int64_t micro_usd)
{
    int64_t balance = atomic_load_explicit(&p->balance_micro_usd, memory_order_relaxed);
    int64_t pending = atomic_load_explicit(&p->pending_micro_usd, memory_order_relaxed);

    return balance != NOT_KNOWN && balance - pending >= micro_usd;
}

void purse_pend(struct purse *p, int64_t micro_usd)
{
    atomic_fetch_add_explicit(&p->pending_micro_usd, micro_usd, memory_order_relaxed);
}

void purse_set_balance(struct purse *p, int64_t balance_micro_usd)
{
    atomic_store_explicit(&p->balance_micro_usd, balance_micro_usd, memory_order_relaxed);
}

void purse_forget_balance(struct purse *p)
{
    purse_set_balance(p, NOT_KNOWN);
}
