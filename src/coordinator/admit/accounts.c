/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admit/accounts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"

/* Keys known at once; beyond it all are forgotten and asked for again. */
enum { KEYS_MAX = 100000 };

/* Unknown keys: where one may stand follows from its hash. Who makes keys up until they meet only
 * makes others' be asked for again. */
enum { UNKNOWN_WAYS = 4, UNKNOWN_SETS = ACCOUNTS_UNKNOWN_MAX / UNKNOWN_WAYS };

struct known_key {
    uint8_t hash[KEY_HASH_BYTES];
    struct account *account;
};

struct unknown_key {
    uint8_t hash[KEY_HASH_BYTES];
    int64_t until_us; /* mono; 0: nothing is here */
};

struct accounts {
    struct clock clock;
    struct purses *purses; /* of all loops */
    struct map keys;       /* hash → struct known_key */
    struct map accounts;   /* name → struct account */
    struct unknown_key unknown[ACCOUNTS_UNKNOWN_MAX];
};

static struct str accounts_hash_str(const uint8_t *hash)
{
    return (struct str){(const char *)hash, KEY_HASH_BYTES};
}

struct accounts *accounts_new(const struct clock *clock, struct purses *purses)
{
    struct accounts *as = calloc(1, sizeof *as);

    if (as) {
        as->clock = *clock;
        as->purses = purses;
    }
    return as;
}

static void accounts_forget_keys(struct accounts *as)
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
    accounts_forget_keys(as);
    while ((a = map_next(&as->accounts, &cursor)))
        free(a);
    map_free(&as->accounts);
    free(as);
}

struct account *accounts_by_key(struct accounts *as, const uint8_t hash[static KEY_HASH_BYTES])
{
    const struct known_key *k = map_get(&as->keys, accounts_hash_str(hash));

    return k ? k->account : NULL;
}

struct account *accounts_by_name(struct accounts *as, const char *name)
{
    struct account *a = map_get(&as->accounts, str_from(name));

    if (a)
        return a;
    a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    snprintf(a->name, sizeof a->name, "%s", name);
    list_init(&a->waiting);
    a->purse = purses_find(as->purses, name);
    if (!a->purse || map_put(&as->accounts, str_from(a->name), a) < 0) {
        free(a);
        return NULL;
    }
    return a;
}

struct account *accounts_learn(struct accounts *as, const uint8_t hash[static KEY_HASH_BYTES],
                               const char *name, int64_t balance_micro_usd,
                               const struct account_settings *settings)
{
    struct account *a = accounts_by_name(as, name);
    struct known_key *k;

    if (!a)
        return NULL;
    account_balance_is(a, balance_micro_usd);
    a->settings = *settings;
    if (map_get(&as->keys, accounts_hash_str(hash)))
        return a;
    if (as->keys.used >= KEYS_MAX)
        accounts_forget_keys(as);
    k = calloc(1, sizeof *k);
    if (!k)
        return a; /* asked for again next time */
    memcpy(k->hash, hash, sizeof k->hash);
    k->account = a;
    if (map_put(&as->keys, accounts_hash_str(k->hash), k) < 0)
        free(k);
    return a;
}

static size_t accounts_unknown_set(const uint8_t *hash)
{
    uint32_t h;

    memcpy(&h, hash, sizeof h);
    return (size_t)(h % UNKNOWN_SETS) * UNKNOWN_WAYS;
}

void accounts_learn_unknown(struct accounts *as, const uint8_t hash[static KEY_HASH_BYTES])
{
    struct unknown_key *set = &as->unknown[accounts_unknown_set(hash)], *oldest = set;

    for (size_t i = 1; i < UNKNOWN_WAYS; i++) {
        if (set[i].until_us < oldest->until_us)
            oldest = &set[i];
    }
    memcpy(oldest->hash, hash, sizeof oldest->hash);
    oldest->until_us = clock_mono_us(&as->clock) + ACCOUNTS_UNKNOWN_S * INT64_C(1000000);
}

bool accounts_is_unknown(const struct accounts *as, const uint8_t hash[static KEY_HASH_BYTES])
{
    const struct unknown_key *set = &as->unknown[accounts_unknown_set(hash)];
    bool found = false;

    for (size_t i = 0; i < UNKNOWN_WAYS && !found; i++)
        found = set[i].until_us > clock_mono_us(&as->clock) &&
                memcmp(set[i].hash, hash, sizeof set[i].hash) == 0;
    return found;
}

void accounts_forget(struct accounts *as)
{
    size_t cursor = 0;
    struct account *a;

    accounts_forget_keys(as);
    memset(as->unknown, 0, sizeof as->unknown);
    while ((a = map_next(&as->accounts, &cursor)))
        purse_forget_balance(a->purse);
}

int accounts_take(struct accounts *as, struct account *a, int *ret_retry_after_s)
{
    return purse_take(as->purses, a->purse, clock_mono_us(&as->clock), ret_retry_after_s);
}

bool account_covers(const struct account *a, int64_t micro_usd)
{
    return purse_covers(a->purse, micro_usd);
}

void account_hold_submitted(struct account *a, int64_t micro_usd)
{
    purse_pend(a->purse, micro_usd);
}

void account_hold_decided(struct account *a, int64_t micro_usd, int64_t balance_micro_usd)
{
    purse_pend(a->purse, -micro_usd);
    if (balance_micro_usd >= 0)
        account_balance_is(a, balance_micro_usd);
}

void account_balance_is(struct account *a, int64_t balance_micro_usd)
{
    purse_set_balance(a->purse, balance_micro_usd);
}
