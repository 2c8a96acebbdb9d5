/* SPDX-License-Identifier: Apache-2.0 */
/* What is done with the queues: reads, batches, waiting for the write lock. */
#include <stdio.h>

#include "store/batch.h"
#include "store/store_impl.h"

#define STORE_FOREIGN_CHECK_US 1000000

/* Operations that have their result go to the ports they came from. Called with the lock held. */
static void store_finish(struct store *s, const struct op_queue *done)
{
    s->stats.ops += done->n;
    for (struct store_op *op = done->head, *next; op; op = next) {
        struct store_port *port = op->port ? op->port : &s->own;

        next = op->next;
        s->stats.failed_ops += op->rc < 0;
        op_queue_push(&port->finished, op);
        port->news = true;
    }
    if (s->own.finished.head)
        pthread_cond_signal(&s->result);
}

static void store_stamp(struct store *s, struct store_op *ops)
{
    int64_t now = clock_mono_us(&s->config.clock);

    for (; ops; ops = ops->next)
        ops->committed_us = now;
}

void store_run_reads(struct store *s)
{
    struct op_queue batch = op_queue_take(&s->reads, STORE_READS_MAX);

    pthread_mutex_unlock(&s->lock);
    batch_read(s->db, batch.head);
    store_stamp(s, batch.head);
    pthread_mutex_lock(&s->lock);
    s->stats.reads += batch.n;
    store_finish(s, &batch);
}

static void store_failed_batch(struct store *s, const char *why)
{
    s->stats.failed_batches++;
    snprintf(s->message, sizeof s->message, "%s", why);
}

void store_expire(struct store *s, int64_t before_us)
{
    struct op_queue expired = {0};

    if (s->locked_since_us > before_us)
        return;
    while (s->writes.head && s->writes.head->submitted_us <= before_us) {
        struct op_queue one = op_queue_take(&s->writes, 1);

        one.head->rc = ERR_STORE;
        op_queue_append(&expired, &one);
    }
    if (!expired.head)
        return;
    store_stamp(s, expired.head);
    store_finish(s, &expired);
    store_failed_batch(s, "another process keeps the database's write lock");
}

/* The rest of a batch goes back to where it came from: another process has the write lock. */
static void store_put_back(struct store *s, const struct op_queue *rest)
{
    int64_t now = clock_mono_us(&s->config.clock);

    op_queue_prepend(&s->writes, rest);
    s->stats.lock_waits++;
    if (s->locked_since_us == 0)
        s->locked_since_us = now;
    store_expire(s, now - STORE_LOCK_PATIENCE_US);
}

bool store_run_batch(struct store *s)
{
    struct op_queue rest = op_queue_take(&s->writes, BATCH_MAX_OPS), batch;
    struct batch_result result;
    int rc;

    pthread_mutex_unlock(&s->lock);
    rc = batch_run(s->db, rest.head, &result);
    batch = op_queue_take(&rest, result.ran);
    store_stamp(s, batch.head);
    pthread_mutex_lock(&s->lock);
    if (batch.head) {
        s->stats.batches++;
        s->locked_since_us = 0;
    }
    s->stats.repeated_batches += result.repeated;
    if (rc < 0)
        store_failed_batch(s, db_message(s->db));
    store_finish(s, &batch);
    if (rest.head)
        store_put_back(s, &rest);
    return !rest.head;
}

void store_check_foreign(struct store *s)
{
    int64_t now = clock_mono_us(&s->config.clock);
    int64_t version;

    if (now - s->foreign_checked_us < STORE_FOREIGN_CHECK_US)
        return;
    s->foreign_checked_us = now;
    pthread_mutex_unlock(&s->lock);
    version = db_foreign_version(s->db);
    pthread_mutex_lock(&s->lock);
    if (version == s->foreign_version)
        return;
    s->foreign_version = version;
    for (struct store_port *p = s->ports; p; p = p->next)
        p->foreign_change = p->news = true;
}
