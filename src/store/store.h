/* SPDX-License-Identifier: Apache-2.0 */
/* The store's thread, its queues and group commit. Whoever needs the disk embeds a struct store_op,
 * submits it and goes on; the store thread takes all operations that wait (at most 256), runs them
 * in one transaction, each with its own result, commits once (WAL, synchronous=FULL), and hands
 * them back. What is submitted meanwhile is the next batch: a slow disk makes batches larger, not
 * queues longer. Nothing is allocated per operation.
 *
 *   loop thread: store_submit → … → store_poll → op->done
 *   store thread:               op->run (once; again if the batch had to be repeated)
 *
 * Operations that only read (STORE_READS) have a queue of their own and need no lock of the
 * database: at most 64 of them run before each batch, in one view of the database, and are handed
 * back before the batch begins. So neither waits for more than one turn of the other.
 *
 * While another process keeps the write lock, a batch stays in the queue and is tried again every
 * 20 ms, and reads go on. An operation that has been refused the lock for 5 s fails: ERR_STORE.
 *
 * Without a thread (config.threaded false: tests in virtual time) operations run inside
 * store_pump. */
#ifndef DARKBLOOM_STORE_STORE_H
#define DARKBLOOM_STORE_STORE_H

#include "base/clock.h"
#include "base/err.h"
#include "store/place.h"

enum store_op_flags {
    STORE_READS = 1, /* run changes nothing: it needs no write lock and no commit */
    /* Where run refuses (a negative result other than ERR_STORE) it has changed nothing, so that
     * there is nothing to undo. Checked: after a change it is undone all the same. */
    STORE_REFUSES_CLEAN = 2,
};

struct store_port;

struct store_op {
    /* Runs on the store thread; a negative result undoes this operation and leaves the rest of the
     * batch alone. Touches only `op`'s owner struct and `db`. May run again, after a rollback:
     * results are set anew, inputs are not consumed. */
    int (*run)(struct db *db, struct store_op *op);
    /* Called from store_poll (store_port_poll) after the batch is durable (or failed): see rc. May
     * free `op` or submit it again. NULL: nothing to do. */
    void (*done)(struct store_op *op);
    unsigned flags; /* enum store_op_flags */
    /* Where it is handed back; NULL: at the store's own port, which store_poll looks at. */
    struct store_port *port;
    /* Results */
    int rc;                /* what run returned; ERR_STORE when the commit failed */
    int64_t submitted_us;  /* mono: when it was pushed */
    int64_t committed_us;  /* mono: when the batch was durable (or had failed), a read had run */
    struct store_op *next; /* the store's */
};

struct store_config {
    const char *path; /* database file; directories must exist */
    const char *id;   /* as in struct store_place */
    bool begin_anew;
    bool threaded;
    struct clock clock;
    /* Called from the store thread when finished operations wait for store_poll: once a batch and
     * once for the reads before it.
     * Unthreaded: from store_submit, when the first operation waits for store_pump. May be NULL. */
    void (*wake)(void *ud);
    void *wake_ud;
    /* Called from store_poll when another process changed the database (SQLite data_version, looked
     * at once a second). May be NULL. */
    void (*on_foreign_change)(void *ud);
    void *change_ud;
};

struct store;

/* Open (creating the file with mode 0600), migrate to the newest schema, start the thread. A
 * database that is newer than this program, corrupt, not writable, unexpectedly blank (place.h), or
 * another coordinator's (ERR_BUSY, owner.h) is an error that says so. The store belongs to the
 * calling thread, the owner; what other threads may call says so. */
int store_open(const struct store_config *config, struct store **ret_store, struct err *ret_err);

/* One for each other thread that submits operations: what it submitted is handed back there. It
 * lives, and may be woken, until store_close returns. */
struct store_port_config {
    /* From the store's thread (unthreaded: from store_pump) when finished operations, or news of a
     * foreign change, wait for store_port_poll: once a batch and once for the reads before it. */
    void (*wake)(void *ud);
    void *wake_ud;
    /* As in struct store_config, from store_port_poll. May be NULL. */
    void (*on_foreign_change)(void *ud);
    void *change_ud;
};
/* The owner's thread. 0 or ERR_NOMEM. */
int store_port_new(struct store *s, const struct store_port_config *config,
                   struct store_port **ret_port);
/* As store_poll, for what this port is told. The port's thread. */
size_t store_port_poll(struct store_port *p);

/* Queue one operation; never waits for the disk. Any thread. `op` must live until done is called.
 */
void store_submit(struct store *s, struct store_op *op);
/* The same in two steps, for a thread with more to do before the store's may have the core: what
 * was pushed is run after the next kick. Any thread. */
void store_push(struct store *s, struct store_op *op);
void store_kick(struct store *s);
/* Call done for everything finished, in the order in which it ran (that of submission, but for
 * reads among others), then on_foreign_change where due. Returns how many were done. */
size_t store_poll(struct store *s);
/* Unthreaded only: run everything queued, in batches; then store_poll hands it back. What another
 * process's lock keeps waiting stays queued for the next call. */
void store_pump(struct store *s);
/* Run one operation, wait for it and return its rc (start-up only, before the loop runs). Delivers
 * what else is finished too. Unthreaded nothing waits for another process's lock: ERR_STORE. */
int store_run_sync(struct store *s, struct store_op *op);

struct store_stats {
    uint64_t batches, ops, failed_ops; /* failed: negative rc, refusals included */
    uint64_t failed_batches;   /* transactions that failed, and waits for the write lock given up */
    uint64_t repeated_batches; /* an operation had to be undone: all ran again with savepoints */
    uint64_t reads;            /* how many of ops only read */
    uint64_t lock_waits;       /* batches put off because another process had the write lock */
    uint64_t queued_now;
};
struct store_stats store_stats(struct store *s); /* any thread */

enum { STORE_READS_MAX = 64, STORE_LOCK_TRY_MS = 20, STORE_MESSAGE_BYTES = 200 };
#define STORE_LOCK_PATIENCE_US (5 * 1000000LL)
/* Why a batch failed last, for the log; "" when none did. Any thread. */
void store_message(struct store *s, char ret_text[static STORE_MESSAGE_BYTES]);

/* Finish what is queued, stop the thread, close. Pending done callbacks are delivered first, those
 * of other ports too, whose threads have ended; what those submit is finished too. NULL is allowed.
 */
void store_close(struct store *s);

#endif
