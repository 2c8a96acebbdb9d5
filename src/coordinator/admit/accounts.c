/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admit/accounts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"

/* Keys known at once; beyond it all are forgotten and asked for again. */
enum { KEYS_MAX = 100000, RETRY_AFTER_MAX_S = 60 };

struct known_key {
    uint8_t hash[KEY_HASH_BYTES];
    struct account *account;
};

struct accounts {
    struct clock clock;
    double rate_per_s, burst;
    struct map keys;     /* hash → struct known_key */
    struct map accounts; /* name → struct account */
};

static struct str hash_str(const uint8_t *hash)
{
    return (struct str){(const char *)hash, KEY_HASH_BYTES};
}

struct accounts *accounts_new(const struct clock *clock, double rate_per_s, int64_t rate_burst)
{
    struct accounts *as = calloc(1, sizeof *as);

    if (as) {
        as->clock = *clock;
        accounts_limit_rate(as, rate_per_s, rate_burst);
    }
    return as;
}

void accounts_limit_rate(struct accounts *as, double rate_per_s, int64_t rate_burst)
{
    as->rate_per_s = rate_per_s;
    as->burst = (double)rate_burst;
}

static void forget_keys(struct accounts *as)
{
    size_t cursor = 0;
    struct known_key *k;

    while ((k = map_next(&as->keys, &cursor)))
        free(k);
    map_free(&as->keys);
}

void accounts_free(struct accounts *as)
{
    size_t cursor = 0;
    struct account *a;

    if (!as)
        return;
    forget_keys(as);
    while ((a = map_next(&as->accounts, &cursor)))
        free(a);
    map_free(&as->accounts);
    free(as);
}

struct account *accounts_by_key(struct accounts *as, const uint8_t hash[static KEY_HASH_BYTES])
{
    const struct known_key *k = map_get(&as->keys, hash_str(hash));

    return k ? k->account : NULL;
}

static struct account *account_get_or_add(struct accounts *as, const char *name)
{
    struct account *a = map_get(&as->accounts, str_from(name));

    if (a)
        return a;
    a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    snprintf(a->name, sizeof a->name, "%s", name);
    list_init(&a->waiting);
    a->rate_tokens = as->burst;
    a->rate_updated_us = clock_mono_us(&as->clock);
    if (map_put(&as->accounts, str_from(a->name), a) < 0) {
        free(a);
        return NULL;
    }
    return a;
}

struct account *accounts_learn(struct accounts *as, const uint8_t hash[static KEY_HASH_BYTES],
                               const char *name, int64_t balance_micro_usd,
                               const struct account_settings *settings)
{
    struct account *a = account_get_or_add(as, name);
    struct known_key *k;

    if (!a)
        return NULL;
    account_balance_is(a, balance_micro_usd);
    a->settings = *settings;
    if (map_get(&as->keys, hash_str(hash)))
        return a;
    if (as->keys.used >= KEYS_MAX)
        forget_keys(as);
    k = calloc(1, sizeof *k);
    if (!k)
        return a; /* asked for again next time */
    memcpy(k->hash, hash, sizeof k->hash);
    k->account = a;
    if (map_put(&as->keys, hash_str(k->hash), k) < 0)
        free(k);
    return a;
}

void accounts_forget(struct accounts *as)
{
    size_t cursor = 0;
    struct account *a;

    forget_keys(as);
    while ((a = map_next(&as->accounts, &cursor)))
        a->balance_known = false;
}

int accounts_take(struct accounts *as, struct account *a, int *ret_retry_after_s)
{
    int64_t now = clock_mono_us(&as->clock);
    double missing;

    if (as->rate_per_s <= 0)
        return 0;
    a->rate_tokens += (double)(now - a->rate_updated_us) / 1e6 * as->rate_per_s;
    if (a->rate_tokens > as->burst)
        a->rate_tokens = as->burst;
    a->rate_updated_us = now;
    missing = 1 - a->rate_tokens;
    if (missing > 0) { /* a refusal leaves no debt */
        double wait = ceil(missing / as->rate_per_s);

        *ret_retry_after_s = wait > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (int)wait;
        return ERR_BUSY;
    }
    a->rate_tokens -= 1;
    return 0;
}

bool account_covers(const struct account *a, int64_t micro_usd)
{
    return a->balance_known && a->balance_micro_usd - a->pending_micro_usd >= micro_usd;
}

void account_hold_submitted(struct account *a, int64_t micro_usd)
{
    a->pending_micro_usd += micro_usd;
}

void account_hold_decided(struct account *a, int64_t micro_usd, int64_t balance_micro_usd)
{
    a->pending_micro_usd -= micro_usd;
    if (balance_micro_usd >= 0)
        account_balance_is(a, balance_micro_usd);
}

void account_balance_is(struct account *a, int64_t balance_micro_usd)
{
    a->balance_micro_usd = balance_micro_usd;
    a->balance_known = true;
}
