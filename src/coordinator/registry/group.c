/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/registry/group.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cache_line.h"
#include "base/check.h"
#include "base/map.h"
#include "coordinator/registry/record.h"

struct group_member {
    _Alignas(CACHE_LINE_BYTES) struct registry *registry;
    struct inbox *inbox;
    _Atomic size_t connected;
    _Atomic int sockets; /* and those on their way */
};

struct group_key {
    unsigned loop;
    char key[RECORD_KEY_BYTES];
};

struct registry_group {
    struct directory *directory;
    unsigned n_loops;
    struct group_member members[DIRECTORY_LOOPS_MAX];
    pthread_mutex_t lock;
    struct map keys; /* key → struct group_key */
};

struct registry_group *registry_group_new(unsigned n_loops)
{
    struct registry_group *g = cache_line_alloc(sizeof *g);

    if (!g)
        return NULL;
    pthread_mutex_init(&g->lock, NULL);
    g->n_loops = n_loops;
    g->directory = directory_new(n_loops);
    if (!g->directory) {
        registry_group_free(g);
        return NULL;
    }
    return g;
}

void registry_group_free(struct registry_group *g)
{
    size_t cursor = 0;
    struct group_key *k;

    if (!g)
        return;
    directory_free(g->directory);
    while ((k = map_next(&g->keys, &cursor)))
        free(k);
    map_free(&g->keys);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void registry_group_join(struct registry_group *g, unsigned loop, struct registry *reg,
                         struct inbox *inbox)
{
    CHECK(loop < g->n_loops);
    g->members[loop].registry = reg;
    g->members[loop].inbox = inbox;
}

struct directory *registry_group_directory(struct registry_group *g)
{
    return g->directory;
}

struct registry *registry_group_member(const struct registry_group *g, unsigned loop)
{
    CHECK(loop < g->n_loops);
    return g->members[loop].registry;
}

struct inbox *registry_group_inbox(const struct registry_group *g, unsigned loop)
{
    CHECK(loop < g->n_loops);
    return g->members[loop].inbox;
}

void registry_group_set_count(struct registry_group *g, unsigned loop, size_t connected)
{
    _Atomic size_t *now = &g->members[loop].connected;

    if (atomic_load_explicit(now, memory_order_relaxed) != connected) /* said with every request */
        atomic_store_explicit(now, connected, memory_order_relaxed);
}

size_t registry_group_count(const struct registry_group *g)
{
    size_t n = 0;

    for (unsigned i = 0; i < g->n_loops; i++)
        n += atomic_load_explicit(&g->members[i].connected, memory_order_relaxed);
    return n;
}

void registry_group_count_socket(struct registry_group *g, unsigned loop, int n)
{
    atomic_fetch_add_explicit(&g->members[loop].sockets, n, memory_order_relaxed);
}

unsigned registry_group_seat(struct registry_group *g, unsigned here)
{
    unsigned best = here;
    int least = atomic_load_explicit(&g->members[here].sockets, memory_order_relaxed);

    for (unsigned i = 0; i < g->n_loops; i++) {
        int n = atomic_load_explicit(&g->members[i].sockets, memory_order_relaxed);

        if (n < least) {
            best = i;
            least = n;
        }
    }
    registry_group_count_socket(g, best, 1);
    return best;
}

void registry_group_unseat(struct registry_group *g, unsigned loop)
{
    registry_group_count_socket(g, loop, -1);
}

/* --- keys --- */

/* With the lock held. Without memory the key stays nobody's: its record may then be begun twice,
 * and the later one counts. */
static void group_add_key(struct registry_group *g, const char *key, unsigned loop)
{
    struct group_key *k = calloc(1, sizeof *k);

    if (!k)
        return;
    k->loop = loop;
    memcpy(k->key, key, strnlen(key, RECORD_KEY_BYTES - 1));
    if (map_put(&g->keys, str_from(k->key), k) < 0)
        free(k);
}

unsigned registry_group_claim_key(struct registry_group *g, const char *key, unsigned here)
{
    const struct group_key *k;
    unsigned owner = here;

    pthread_mutex_lock(&g->lock);
    k = map_get(&g->keys, str_from(key));
    if (k)
        owner = k->loop;
    else
        group_add_key(g, key, here);
    pthread_mutex_unlock(&g->lock);
    return owner;
}

bool registry_group_pass_key(struct registry_group *g, const char *key, unsigned here, unsigned to,
                             unsigned *ret_owner)
{
    struct group_key *k;
    bool passed;

    pthread_mutex_lock(&g->lock);
    k = map_get(&g->keys, str_from(key));
    passed = !k || k->loop == here;
    if (!k)
        group_add_key(g, key, to);
    else if (passed)
        k->loop = to;
    else
        *ret_owner = k->loop;
    pthread_mutex_unlock(&g->lock);
    return passed;
}

void registry_group_forget_key(struct registry_group *g, const char *key, unsigned here)
{
    struct group_key *k;

    pthread_mutex_lock(&g->lock);
    k = map_get(&g->keys, str_from(key));
    if (k && k->loop == here)
        (void)map_remove(&g->keys, str_from(k->key));
    else
        k = NULL;
    pthread_mutex_unlock(&g->lock);
    free(k);
}
