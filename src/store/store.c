/* SPDX-License-Identifier: Apache-2.0 */
/* The store's thread and its queues: what reads and what writes in, finished operations out. */
#include "store/store.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "store/store_impl.h"

static bool store_has_work(const struct store *s)
{
    return s->reads.head || s->writes.head;
}

/* Sleep until there is work, at most until the next look at foreign changes. */
static void store_wait_for_work(struct store *s)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    while (!store_has_work(s) && !s->stopping &&
           pthread_cond_timedwait(&s->work, &s->lock, &until) != ETIMEDOUT)
        ;
}

/* Called and left with the lock held. */
static void store_wake_ports(struct store *s)
{
    for (struct store_port *p = s->ports; p; p = p->next) {
        bool news = p->news;

        p->news = false;
        /* Unthreaded, the owner pumps and then polls; its `wake` asks for that. */
        if (!news || !p->config.wake || (p == &s->own && !s->config.threaded))
            continue;
        pthread_mutex_unlock(&s->lock);
        p->config.wake(p->config.wake_ud);
        pthread_mutex_lock(&s->lock);
    }
}

/* One turn: the reads, whose answers do not wait for the batch's flush, then the batch. */
static void store_turn(struct store *s)
{
    if (s->reads.head) {
        store_run_reads(s);
        store_wake_ports(s);
    }
    if (s->writes.head)
        (void)store_run_batch(s);
    store_check_foreign(s);
    store_wake_ports(s);
}

static void *store_thread(void *ud)
{
    struct store *s = ud;

    pthread_mutex_lock(&s->lock);
    while (store_has_work(s) || !s->stopping) {
        store_turn(s);
        store_wait_for_work(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static int store_start_thread(struct store *s, struct err *ret_err)
{
    sigset_t all, before;
    int errno_value;

    /* Signals are for whoever runs the program: one that it waits for by a descriptor would end the
     * process where a thread takes it that does not block it. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno_value = pthread_create(&s->thread, NULL, store_thread, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errno_value == 0)
        (void)pthread_setname_np(s->thread, "store");
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
    while (s->ports != &s->own) {
        struct store_port *p = s->ports;

        s->ports = p->next;
        free(p);
    }
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
    s->own = (struct store_port){.config = {.wake = config->wake,
                                            .wake_ud = config->wake_ud,
                                            .on_foreign_change = config->on_foreign_change,
                                            .change_ud = config->change_ud},
                                 .store = s};
    s->ports = &s->own;
    db_set_patience(s->db, STORE_LOCK_TRY_MS);
    s->foreign_version = db_foreign_version(s->db);
    s->foreign_checked_us = clock_mono_us(&config->clock);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &attr);
    pthread_cond_init(&s->result, &attr);
    pthread_condattr_destroy(&attr);
    if (config->threaded) {
        rc = store_start_thread(s, ret_err);
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
    op->submitted_us = clock_mono_us(&s->config.clock);
    pthread_mutex_lock(&s->lock);
    op_queue_push(op->flags & STORE_READS ? &s->reads : &s->writes, op);
    pthread_mutex_unlock(&s->lock);
}

void store_kick(struct store *s)
{
    bool waiting;

    pthread_mutex_lock(&s->lock);
    waiting = store_has_work(s);
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

int store_port_new(struct store *s, const struct store_port_config *config,
                   struct store_port **ret_port)
{
    struct store_port *p = calloc(1, sizeof *p);

    if (!p)
        return ERR_NOMEM;
    p->config = *config;
    p->store = s;
    pthread_mutex_lock(&s->lock);
    p->next = s->ports;
    s->ports = p;
    pthread_mutex_unlock(&s->lock);
    *ret_port = p;
    return 0;
}

size_t store_port_poll(struct store_port *p)
{
    struct store *s = p->store;
    struct op_queue batch;
    bool change;

    pthread_mutex_lock(&s->lock);
    batch = op_queue_take(&p->finished, SIZE_MAX);
    change = p->foreign_change;
    p->foreign_change = false;
    pthread_mutex_unlock(&s->lock);

    for (struct store_op *op = batch.head, *next; op; op = next) {
        next = op->next; /* done may free or resubmit it */
        if (op->done)
            op->done(op);
    }
    if (change && p->config.on_foreign_change)
        p->config.on_foreign_change(p->config.change_ud);
    return batch.n;
}

size_t store_poll(struct store *s)
{
    return store_port_poll(&s->own);
}

void store_pump(struct store *s)
{
    bool locked = false;

    pthread_mutex_lock(&s->lock);
    while (s->reads.head || (s->writes.head && !locked)) {
        if (s->reads.head)
            store_run_reads(s);
        if (s->writes.head && !locked)
            locked = !store_run_batch(s);
    }
    store_check_foreign(s);
    store_wake_ports(s);
    pthread_mutex_unlock(&s->lock);
}

/* Nobody will run what still waits for the write lock: it fails. */
static void store_give_up(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->writes.head)
        store_expire(s, INT64_MAX);
    pthread_mutex_unlock(&s->lock);
}

/* An operation that stands for another one, so that its end is seen whatever its done does. */
struct store_sync {
    struct store_op op;
    struct store_op *real;
    bool finished;
};

static int store_sync_run(struct db *db, struct store_op *op)
{
    struct store_sync *sync = list_owner(op, struct store_sync, op);

    return sync->real->run(db, sync->real);
}

static void store_sync_done(struct store_op *op)
{
    struct store_sync *sync = list_owner(op, struct store_sync, op);

    sync->finished = true;
    sync->real->rc = op->rc;
    sync->real->submitted_us = op->submitted_us;
    sync->real->committed_us = op->committed_us;
    if (sync->real->done)
        sync->real->done(sync->real);
}

int store_run_sync(struct store *s, struct store_op *op)
{
    struct store_sync sync = {
        .op = {.run = store_sync_run, .done = store_sync_done, .flags = op->flags}, .real = op};

    store_submit(s, &sync.op);
    if (!s->config.threaded) { /* nobody would try again */
        store_pump(s);
        store_give_up(s);
    }
    while (!sync.finished) {
        pthread_mutex_lock(&s->lock);
        while (!s->own.finished.head)
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
    stats.queued_now = s->reads.n + s->writes.n;
    pthread_mutex_unlock(&s->lock);
    return stats;
}

void store_message(struct store *s, char ret_text[static STORE_MESSAGE_BYTES])
{
    pthread_mutex_lock(&s->lock);
    snprintf(ret_text, STORE_MESSAGE_BYTES, "%s", s->message);
    pthread_mutex_unlock(&s->lock);
}

static void store_stop_thread(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
}

static size_t store_poll_all(struct store *s)
{
    size_t n = 0;

    for (struct store_port *p = s->ports; p; p = p->next)
        n += store_port_poll(p);
    return n;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->config.threaded)
        store_stop_thread(s);
    do { /* the thread is gone: the rest runs here */
        store_pump(s);
        store_give_up(s);
    } while (store_poll_all(s) > 0);
    store_destroy(s);
}
