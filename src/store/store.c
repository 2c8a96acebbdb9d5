/* SPDX-License-Identifier: Apache-2.0 */
/* The store's thread and its two queues: submitted operations in, finished ones out. */
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "store/batch.h"
#include "store/owner.h"

#define FOREIGN_CHECK_US 1000000

struct op_queue {
    struct store_op *head, *tail;
    size_t n;
};

struct store {
    struct store_config config;
    struct db *db; /* the store thread's while it runs */
    struct store_owner owner;
    pthread_t thread;
    pthread_mutex_t lock;  /* everything below */
    pthread_cond_t work;   /* submitted is not empty, or stopping */
    pthread_cond_t result; /* finished is not empty */
    struct op_queue submitted, finished;
    bool stopping;
    bool foreign_change; /* seen, not yet told */
    struct store_stats stats;
    char message[STORE_MESSAGE_BYTES];

    /* whoever runs batches: the store thread, or store_pump */
    int64_t foreign_version, foreign_checked_us;
};

static void queue_push(struct op_queue *q, struct store_op *op)
{
    op->next = NULL;
    if (q->tail)
        q->tail->next = op;
    else
        q->head = op;
    q->tail = op;
    q->n++;
}

/* Take at most `max` from the front: a list that ends with NULL. */
static struct op_queue queue_take(struct op_queue *q, size_t max)
{
    struct op_queue taken = {.head = q->head};

    while (taken.n < max && q->head) {
        taken.tail = q->head;
        q->head = q->head->next;
        taken.n++;
    }
    if (taken.tail)
        taken.tail->next = NULL;
    if (!q->head)
        q->tail = NULL;
    q->n -= taken.n;
    return taken;
}

static void queue_append(struct op_queue *q, struct op_queue *more)
{
    if (!more->head)
        return;
    if (q->tail)
        q->tail->next = more->head;
    else
        q->head = more->head;
    q->tail = more->tail;
    q->n += more->n;
}

/* Run one batch and move it to the finished ones. Called and left with the lock held. */
static void run_batch(struct store *s)
{
    struct op_queue batch = queue_take(&s->submitted, BATCH_MAX_OPS);
    uint64_t failed = 0;
    int64_t now;
    int rc;

    pthread_mutex_unlock(&s->lock);
    rc = batch_run(s->db, batch.head);
    now = clock_mono_us(&s->config.clock);
    for (struct store_op *op = batch.head; op; op = op->next) {
        op->committed_us = now;
        failed += op->rc < 0;
    }
    pthread_mutex_lock(&s->lock);
    s->stats.batches++;
    s->stats.ops += batch.n;
    s->stats.failed_ops += failed;
    if (rc < 0) {
        s->stats.failed_batches++;
        snprintf(s->message, sizeof s->message, "%s", db_message(s->db));
    }
    queue_append(&s->finished, &batch);
    pthread_cond_signal(&s->result);
}

/* Once a second: has another connection committed? Called and left with the lock held; true when
 * the owner has to be told. */
static bool check_foreign(struct store *s)
{
    int64_t now = clock_mono_us(&s->config.clock);
    int64_t version;

    if (now - s->foreign_checked_us < FOREIGN_CHECK_US)
        return false;
    s->foreign_checked_us = now;
    pthread_mutex_unlock(&s->lock);
    version = db_foreign_version(s->db);
    pthread_mutex_lock(&s->lock);
    if (version == s->foreign_version)
        return false;
    s->foreign_version = version;
    s->foreign_change = true;
    return true;
}

/* Sleep until there is work, at most until the next look at foreign changes. */
static void wait_for_work(struct store *s)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    while (!s->submitted.head && !s->stopping &&
           pthread_cond_timedwait(&s->work, &s->lock, &until) != ETIMEDOUT)
        ;
}

static void *store_thread(void *ud)
{
    struct store *s = ud;

    pthread_mutex_lock(&s->lock);
    while (s->submitted.head || !s->stopping) {
        bool wake = false;

        if (s->submitted.head) {
            run_batch(s);
            wake = true;
        }
        wake |= check_foreign(s);
        if (wake && s->config.wake) {
            pthread_mutex_unlock(&s->lock);
            s->config.wake(s->config.wake_ud);
            pthread_mutex_lock(&s->lock);
        }
        wait_for_work(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static int start_thread(struct store *s, struct err *ret_err)
{
    int errno_value = pthread_create(&s->thread, NULL, store_thread, s);

    if (errno_value != 0)
        return err_errno(ret_err, ERR_STORE, errno_value, "the store's thread cannot be started");
#ifdef SCHED_BATCH
    /* Its wake-ups then do not take the core from a loop at work: whoever waits for the disk can
     * wait for the loop's iteration too. Where it is refused, nothing but that is lost. */
    (void)pthread_setschedparam(s->thread, SCHED_BATCH, &(struct sched_param){0});
#endif
    return 0;
}

static void store_destroy(struct store *s)
{
    pthread_cond_destroy(&s->result);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    db_close(s->db);
    store_disown(&s->owner);
    free(s);
}

/* Lock, open, and say whose it is. On failure nothing stays locked or open. */
static int store_take(struct store *s, const struct store_place *place, struct err *ret_err)
{
    char id[STORE_ID_BYTES];
    int rc = store_own(place->path, &s->owner, ret_err);

    if (rc < 0)
        return rc;
    if (access(place->path, F_OK) == 0)
        rc = store_own_file(&s->owner, place->path, ret_err);
    if (rc == 0)
        rc = store_open_place(place, DB_CREATE, &s->db, ret_err);
    if (rc == 0 && s->owner.file_fd < 0)
        rc = store_own_file(&s->owner, place->path, ret_err);
    if (rc == 0 && store_id(s->db, id) < 0)
        rc = err_set(ret_err, ERR_STORE, "the id of %.150s cannot be read: %s", place->path,
                     db_message(s->db));
    if (rc == 0)
        rc = store_own_mark(&s->owner, place->path, id, ret_err);
    if (rc < 0) {
        db_close(s->db);
        store_disown(&s->owner);
    }
    return rc;
}

int store_open(const struct store_config *config, struct store **ret_store, struct err *ret_err)
{
    const struct store_place place = {
        .path = config->path, .id = config->id, .begin_anew = config->begin_anew};
    struct store *s = calloc(1, sizeof *s);
    pthread_condattr_t attr;
    int rc;

    if (!s)
        return err_set(ret_err, ERR_NOMEM, "no memory for the store");
    rc = store_take(s, &place, ret_err);
    if (rc < 0) {
        free(s);
        return rc;
    }
    s->config = *config;
    s->foreign_version = db_foreign_version(s->db);
    s->foreign_checked_us = clock_mono_us(&config->clock);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &attr);
    pthread_cond_init(&s->result, &attr);
    pthread_condattr_destroy(&attr);
    if (config->threaded) {
        rc = start_thread(s, ret_err);
        if (rc < 0) {
            store_destroy(s);
            return rc;
        }
    }
    *ret_store = s;
    return 0;
}

void store_push(struct store *s, struct store_op *op)
{
    pthread_mutex_lock(&s->lock);
    queue_push(&s->submitted, op);
    pthread_mutex_unlock(&s->lock);
}

void store_kick(struct store *s)
{
    bool waiting;

    pthread_mutex_lock(&s->lock);
    waiting = s->submitted.head;
    if (waiting)
        pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    if (waiting && !s->config.threaded && s->config.wake)
        s->config.wake(s->config.wake_ud);
}

void store_submit(struct store *s, struct store_op *op)
{
    store_push(s, op);
    store_kick(s);
}

size_t store_poll(struct store *s)
{
    struct op_queue batch;
    bool change;

    pthread_mutex_lock(&s->lock);
    batch = queue_take(&s->finished, SIZE_MAX);
    change = s->foreign_change;
    s->foreign_change = false;
    pthread_mutex_unlock(&s->lock);

    for (struct store_op *op = batch.head, *next; op; op = next) {
        next = op->next; /* done may free or resubmit it */
        if (op->done)
            op->done(op);
    }
    if (change && s->config.on_foreign_change)
        s->config.on_foreign_change(s->config.change_ud);
    return batch.n;
}

void store_pump(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->submitted.head)
        run_batch(s);
    (void)check_foreign(s);
    pthread_mutex_unlock(&s->lock);
}

/* An operation that stands for another one, so that its end is seen whatever its done does. */
struct sync_op {
    struct store_op op;
    struct store_op *real;
    bool finished;
};

static int sync_run(struct db *db, struct store_op *op)
{
    struct sync_op *sync = list_owner(op, struct sync_op, op);

    return sync->real->run(db, sync->real);
}

static void sync_done(struct store_op *op)
{
    struct sync_op *sync = list_owner(op, struct sync_op, op);

    sync->finished = true;
    sync->real->rc = op->rc;
    sync->real->committed_us = op->committed_us;
    if (sync->real->done)
        sync->real->done(sync->real);
}

int store_run_sync(struct store *s, struct store_op *op)
{
    struct sync_op sync = {.op = {.run = sync_run, .done = sync_done}, .real = op};

    store_submit(s, &sync.op);
    if (!s->config.threaded)
        store_pump(s);
    while (!sync.finished) {
        pthread_mutex_lock(&s->lock);
        while (!s->finished.head)
            pthread_cond_wait(&s->result, &s->lock);
        pthread_mutex_unlock(&s->lock);
        store_poll(s);
    }
    return sync.op.rc;
}

struct store_stats store_stats(struct store *s)
{
    struct store_stats stats;

    pthread_mutex_lock(&s->lock);
    stats = s->stats;
    stats.queued_now = s->submitted.n;
    pthread_mutex_unlock(&s->lock);
    return stats;
}

void store_message(struct store *s, char ret_text[static STORE_MESSAGE_BYTES])
{
    pthread_mutex_lock(&s->lock);
    snprintf(ret_text, STORE_MESSAGE_BYTES, "%s", s->message);
    pthread_mutex_unlock(&s->lock);
}

static void stop_thread(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->config.threaded)
        stop_thread(s);
    do
        store_pump(s); /* the thread is gone: the rest runs here */
    while (store_poll(s) > 0);
    store_destroy(s);
}
