/* SPDX-License-Identifier: Apache-2.0 */
#include "seal/maker.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"

/* From the order to its collection the maker has it, but for `stock`, which stays the loop's. */
struct box_job {
    struct box_job *next;
    struct box_port *port;
    struct box_stock *stock;     /* NULL: gone meanwhile */
    struct box_session *session; /* NULL: nothing is under way */
    uint8_t peer_public[BOX_KEY_BYTES];
    int rc;
};

struct box_port {
    struct box_maker *maker;
    struct box_job *free;
    _Atomic(struct box_job *) done; /* the maker pushes, the loop takes all */
    struct box_job jobs[BOX_PORT_JOBS];
};

struct box_maker {
    pthread_t thread;
    sem_t work;                       /* posted when the first order comes, and at the end */
    _Atomic(struct box_job *) orders; /* loops push, the maker takes all; last one first */
    atomic_bool stopping;
};

/* --- the thread --- */

/* Push the chain `first` to `last`. Whether the list was empty. */
static bool maker_push(_Atomic(struct box_job *) *list, struct box_job *first, struct box_job *last)
{
    struct box_job *before = atomic_load_explicit(list, memory_order_relaxed);

    do
        last->next = before;
    while (!atomic_compare_exchange_weak_explicit(list, &before, first, memory_order_release,
                                                  memory_order_relaxed));
    return before == NULL;
}

/* All of it, in the order in which it was pushed. */
static struct box_job *maker_take_all(_Atomic(struct box_job *) *list)
{
    struct box_job *job = atomic_exchange_explicit(list, NULL, memory_order_acquire);
    struct box_job *first = NULL;

    while (job) {
        struct box_job *next = job->next;

        job->next = first;
        first = job;
        job = next;
    }
    return first;
}

static void *maker_run(void *ud)
{
    struct box_maker *m = ud;

    while (!atomic_load(&m->stopping)) {
        struct box_job *job = maker_take_all(&m->orders);

        while (job && !atomic_load(&m->stopping)) {
            struct box_job *next = job->next;

            job->rc = box_session_make(job->session, job->peer_public);
            (void)maker_push(&job->port->done, job, job);
            job = next;
        }
        while (sem_wait(&m->work) < 0) { /* EINTR */
        }
    }
    return NULL;
}

/* Signals are the main thread's. */
static int maker_start(struct box_maker *m)
{
    sigset_t all, before;
    int errno_value;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno_value = pthread_create(&m->thread, NULL, maker_run, m);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errno_value != 0)
        return ERR_BUSY;
    (void)pthread_setname_np(m->thread, "sessions");
#ifdef SCHED_BATCH
    /* Its wake-ups then do not take the core from a loop at work. Where that is refused, nothing
     * but it is lost. */
    (void)pthread_setschedparam(m->thread, SCHED_BATCH, &(struct sched_param){0});
#endif
    return 0;
}

int box_maker_new(struct box_maker **ret_maker)
{
    struct box_maker *m = calloc(1, sizeof *m);
    int rc;

    if (!m)
        return ERR_NOMEM;
    CHECK(sem_init(&m->work, 0, 0) == 0);
    rc = maker_start(m);
    if (rc < 0) {
        sem_destroy(&m->work);
        free(m);
        return rc;
    }
    *ret_maker = m;
    return 0;
}

void box_maker_free(struct box_maker *m)
{
    if (!m)
        return;
    atomic_store(&m->stopping, true);
    sem_post(&m->work);
    pthread_join(m->thread, NULL);
    sem_destroy(&m->work);
    free(m);
}

/* --- a loop's side --- */

int box_port_new(struct box_maker *m, struct box_port **ret_port)
{
    struct box_port *p = calloc(1, sizeof *p);

    if (!p)
        return ERR_NOMEM;
    p->maker = m;
    for (size_t i = BOX_PORT_JOBS; i > 0; i--) {
        p->jobs[i - 1].port = p;
        p->jobs[i - 1].next = p->free;
        p->free = &p->jobs[i - 1];
    }
    *ret_port = p;
    return 0;
}

void box_port_free(struct box_port *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < BOX_PORT_JOBS; i++)
        box_session_close(p->jobs[i].session);
    free(p);
}

/* What was made goes to whom it was made for, or, where that is gone, back to the slab. */
static void port_settle(struct box_port *p, struct box_job *job)
{
    struct box_stock *s = job->stock;

    if (s)
        s->ordered--;
    if (s && job->rc == 0)
        s->ready[s->n++] = job->session;
    else
        box_session_close(job->session);
    job->session = NULL;
    job->stock = NULL;
    job->next = p->free;
    p->free = job;
}

static void port_collect(struct box_port *p)
{
    struct box_job *job;

    if (!atomic_load_explicit(&p->done, memory_order_relaxed))
        return;
    job = maker_take_all(&p->done);
    while (job) {
        struct box_job *next = job->next;

        port_settle(p, job);
        job = next;
    }
}

/* --- a stock --- */

struct box_session *box_stock_take(struct box_stock *s, struct box_port *port)
{
    if (port)
        port_collect(port);
    if (s->n > 0)
        return s->ready[--s->n];
    if (s->wanted < BOX_STOCK_MAX)
        s->wanted = s->wanted ? 2 * s->wanted : 1;
    return NULL;
}

static void stock_make(struct box_stock *s, struct box_slab *slab, const uint8_t *peer_public,
                       unsigned target)
{
    while (s->n < target && box_session_open(slab, peer_public, &s->ready[s->n]) == 0)
        s->n++;
}

/* One job with all that the maker needs to know; NULL: no job, or no slot. */
static struct box_job *stock_new_job(struct box_stock *s, struct box_slab *slab,
                                     struct box_port *port, const uint8_t *peer_public)
{
    struct box_job *job = port->free;
    struct box_session *session = job ? box_session_reserve(slab) : NULL;

    if (!session)
        return NULL;
    port->free = job->next;
    job->stock = s;
    job->session = session;
    memcpy(job->peer_public, peer_public, sizeof job->peer_public);
    s->ordered++;
    return job;
}

void box_stock_order(struct box_stock *s, struct box_slab *slab, struct box_port *port,
                     const uint8_t peer_public[static BOX_KEY_BYTES], unsigned target)
{
    struct box_job *first = NULL, *last = NULL, *job;

    CHECK(target <= BOX_STOCK_MAX);
    if (!port) {
        stock_make(s, slab, peer_public, target);
        return;
    }
    while (s->n + s->ordered < target && (job = stock_new_job(s, slab, port, peer_public))) {
        job->next = first;
        first = job;
        last = last ? last : job;
    }
    /* Whoever finds the list empty wakes; until the maker takes it, nobody else needs to. */
    if (first && maker_push(&port->maker->orders, first, last))
        sem_post(&port->maker->work);
}

void box_stock_drop(struct box_stock *s, struct box_port *port)
{
    while (s->n > 0)
        box_session_close(s->ready[--s->n]);
    for (size_t i = 0; s->ordered > 0 && i < BOX_PORT_JOBS; i++) {
        if (port->jobs[i].stock == s) {
            port->jobs[i].stock = NULL;
            s->ordered--;
        }
    }
    s->wanted = 0;
}
