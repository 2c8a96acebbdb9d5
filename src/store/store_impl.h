/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a store, for store.c (queues and thread) and run.c (what is done with them). */
#ifndef DARKBLOOM_STORE_STORE_IMPL_H
#define DARKBLOOM_STORE_STORE_IMPL_H

#include <pthread.h>

#include "store/owner.h"
#include "store/queue.h"

/* Everything but `config`: under the store's lock. */
struct store_port {
    struct store_port_config config;
    struct store *store;
    struct store_port *next;
    struct op_queue finished;
    bool foreign_change; /* seen, not yet told */
    bool news;           /* to be woken */
};

struct store {
    struct store_config config;
    struct db *db; /* the store thread's while it runs */
    struct store_owner owner;
    pthread_t thread;
    pthread_mutex_t lock;  /* everything below */
    pthread_cond_t work;   /* reads or writes is not empty, or stopping */
    pthread_cond_t result; /* the owner's port has finished operations */
    struct op_queue reads, writes;
    struct store_port own, *ports; /* ports: all of them, own last; none leaves before the end */
    bool stopping;
    struct store_stats stats;
    char message[STORE_MESSAGE_BYTES];

    /* whoever runs batches: the store thread, or store_pump */
    int64_t foreign_version, foreign_checked_us;
    int64_t locked_since_us; /* another process has had the write lock since; 0: it has not */
};

/* All of these are called and left with the lock held, and let go of it while they use the
 * database. Thread: whoever runs batches. */

/* Run what only reads, at most STORE_READS_MAX. */
void store_run_reads(struct store *s);
/* Run one batch and move it to the finished ones; false: the write lock was not to be had for some
 * of it, which waits in front of the others. */
bool store_run_batch(struct store *s);
/* Fail from the front what has been refused the write lock since `before_us`. */
void store_expire(struct store *s, int64_t before_us);
/* Once a second: has another connection committed? Every port is to be told. */
void store_check_foreign(struct store *s);

#endif
