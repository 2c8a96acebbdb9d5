/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admit/strangers.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 4, SETS = STRANGERS_MAX / WAYS, NETWORK_BYTES = 8, HOST_MAX_BYTES = 63 };
#define NS_A_SECOND INT64_C(1000000000)

/* An address whose time is paid for up to `until_ns` (mono); 0 and an all-zero address: free. */
struct stranger {
    struct in6_addr address;
    int64_t until_ns;
};

struct strangers {
    pthread_mutex_t lock;
    int64_t period_ns, ahead_ns; /* as in purse.c; period_ns 0: unlimited */
    uint8_t seed[crypto_shorthash_KEYBYTES];
    struct stranger rows[STRANGERS_MAX];
};

struct strangers *strangers_new(int64_t per_s)
{
    struct strangers *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    randombytes_buf(s->seed, sizeof s->seed);
    strangers_limit(s, per_s);
    return s;
}

void strangers_free(struct strangers *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void strangers_limit(struct strangers *s, int64_t per_s)
{
    pthread_mutex_lock(&s->lock);
    s->period_ns = per_s > 0 ? NS_A_SECOND / per_s : 0;
    s->ahead_ns = per_s > 0 ? s->period_ns * (per_s - 1) : 0;
    pthread_mutex_unlock(&s->lock);
}

/* IPv4 as ::ffff:a.b.c.d, also where a socket for both says it so; IPv6 without its host part. */
static struct in6_addr strangers_address(const char *peer)
{
    const struct in6_addr none = {0};
    char host[HOST_MAX_BYTES + 1];
    struct in6_addr a = none;
    struct in_addr v4;

    (void)snprintf(host, sizeof host, "%.*s", (int)strcspn(peer, "%"), peer); /* no "%eth0" */
    if (inet_pton(AF_INET, host, &v4) == 1) {
        a.s6_addr[10] = a.s6_addr[11] = 0xff;
        memcpy(a.s6_addr + 12, &v4, sizeof v4);
    } else if (inet_pton(AF_INET6, host, &a) != 1) {
        return none;
    } else if (!IN6_IS_ADDR_V4MAPPED(&a)) {
        memset(a.s6_addr + NETWORK_BYTES, 0, sizeof a - NETWORK_BYTES);
    }
    return a;
}

/* Where a stranger may stand: chosen by a keyed hash, so that nobody can push out another. */
static struct stranger *strangers_set(struct strangers *s, const struct in6_addr *a)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t h;

    crypto_shorthash(out, a->s6_addr, sizeof *a, s->seed);
    memcpy(&h, out, sizeof h);
    return &s->rows[(h % SETS) * WAYS];
}

/* The address's row; NULL: it has none. */
static struct stranger *strangers_find(struct strangers *s, const struct in6_addr *a)
{
    struct stranger *set = strangers_set(s, a);

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].until_ns != 0 && memcmp(&set[i].address, a, sizeof *a) == 0)
            return &set[i];
    }
    return NULL;
}

/* A row of its own, in place of who was silent the longest. */
static struct stranger *strangers_add(struct strangers *s, const struct in6_addr *a)
{
    struct stranger *set = strangers_set(s, a), *row = set;

    for (size_t i = 1; i < WAYS; i++) {
        if (set[i].until_ns < row->until_ns)
            row = &set[i];
    }
    *row = (struct stranger){.address = *a};
    return row;
}

/* With the lock held. */
static int strangers_charge(struct strangers *s, const struct in6_addr *a, int64_t now_ns,
                            int *ret_retry_after_s)
{
    struct stranger *row = strangers_find(s, a);
    int64_t from_ns = row && row->until_ns > now_ns ? row->until_ns : now_ns;
    int64_t wait_ns = from_ns - s->ahead_ns - now_ns;

    if (wait_ns > 0) {
        *ret_retry_after_s = (int)((wait_ns + NS_A_SECOND - 1) / NS_A_SECOND);
        return ERR_BUSY;
    }
    if (!row)
        row = strangers_add(s, a);
    row->until_ns = from_ns + s->period_ns;
    return 0;
}

int strangers_take(struct strangers *s, const char *peer, int64_t now_us, int *ret_retry_after_s)
{
    const struct in6_addr a = strangers_address(peer);
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    if (s->period_ns > 0)
        rc = strangers_charge(s, &a, now_us * 1000, ret_retry_after_s);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void strangers_give_back(struct strangers *s, const char *peer)
{
    const struct in6_addr a = strangers_address(peer);
    struct stranger *row;

    pthread_mutex_lock(&s->lock);
    row = strangers_find(s, &a);
    if (row && row->until_ns > s->period_ns)
        row->until_ns -= s->period_ns;
    pthread_mutex_unlock(&s->lock);
}
