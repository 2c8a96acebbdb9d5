/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's life: made over a socket, handed from owner to owner, counted, closed. */
#include "net/conn_impl.h"

#include <stdlib.h>

/* --- groups --- */

void conn_group_init(struct conn_group *g, size_t max_lingering)
{
    *g = (struct conn_group){.max_lingering = max_lingering};
    list_init(&g->members);
    list_init(&g->lingering);
}

static void conn_count(struct conn_group *g, int n)
{
    if (g->total)
        atomic_fetch_add_explicit(g->total, (size_t)n, memory_order_relaxed);
}

static void conn_leave_group(struct conn *c)
{
    if (!c->group)
        return;
    list_remove(&c->of_group);
    c->group->n--;
    conn_count(c->group, -1);
    c->group->n_lingering -= c->lingering;
    c->group = NULL;
}

void conn_join(struct conn *c, struct conn_group *g)
{
    CHECK(c->state == CONN_OPEN);
    conn_leave_group(c);
    c->group = g;
    list_push_back(&g->members, &c->of_group);
    g->n++;
    conn_count(g, 1);
}

void conn_linger(struct conn *c)
{
    struct conn_group *g = c->group;

    if (!g)
        return;
    c->lingering = true;
    list_remove(&c->of_group);
    list_push_back(&g->lingering, &c->of_group);
    if (++g->n_lingering > g->max_lingering)
        (void)conn_group_evict(g);
}

bool conn_group_evict(struct conn_group *g)
{
    struct conn *c;

    if (list_empty(&g->lingering))
        return false;
    c = list_owner(g->lingering.next, struct conn, of_group);
    conn_leave_group(c); /* also where it is freed a little later, out of its callbacks */
    conn_free(c);
    return true;
}

void conn_group_disband(struct conn_group *g)
{
    while (g->n > 0) {
        struct list_node *list = list_empty(&g->members) ? &g->lingering : &g->members;
        struct conn *c = list_owner(list->next, struct conn, of_group);

        (void)budget_move(&c->memory, NULL, NULL); /* nobody is there to refuse */
        c->config.budget = NULL;
        conn_leave_group(c);
    }
}

/* --- life --- */

static void conn_destroy(struct conn *c)
{
    CHECK(c->busy == 0);
    loop_defer_remove(c->loop, &c->flush);
    loop_defer_remove(c->loop, &c->turn);
    loop_timer_clear(c->loop, &c->timer);
    list_remove(&c->orphan.link);
    conn_leave_group(c);
    loop_watch_remove(c->watch);
    if (c->tls)
        conn_tls_free(c);
    loop_close(c->loop, c->sock);
    buf_free(&c->in);
    buf_free(&c->out);
    budget_release(&c->memory, sizeof *c);
    /* What the owner charged was released before it let go, or is never released. */
    CHECK(budget_used(&c->memory) == 0);
    free(c);
}

void conn_free(struct conn *c)
{
    if (!c)
        return;
    c->state = CONN_DEAD;
    if (c->busy == 0)
        conn_destroy(c);
}

void conn_leave_last(struct conn *c)
{
    if (c->state == CONN_DEAD) {
        conn_destroy(c);
        return;
    }
    c->drop_in = false;
    buf_free(&c->in);
}

static void conn_orphan_free(struct loop_orphan *o)
{
    conn_destroy(list_owner(o, struct conn, orphan));
}

static void conn_ready(void *ud, unsigned events)
{
    struct conn *c = ud;

    c->busy++; /* both halves run before the connection may go */
    if (events & LOOP_WRITABLE && c->blocked)
        conn_flush_out(c);
    if (c->tls && events & LOOP_WRITABLE && tls_recv_wants_write(c->tls))
        events |= c->watching & LOOP_READABLE;
    if (events & LOOP_READABLE && c->state != CONN_DEAD)
        conn_read(c);
    (void)conn_leave(c);
}

int conn_new(struct loop *l, int sock, const struct conn_config *config, const struct conn_ops *ops,
             void *ud, struct conn **ret_conn)
{
    struct conn *c = calloc(1, sizeof *c);

    if (!c) {
        loop_close(l, sock);
        return ERR_NOMEM;
    }
    c->loop = l;
    c->sock = sock;
    c->orphan.free = conn_orphan_free;
    c->watching = LOOP_READABLE;
    c->last_taken_us = clock_mono_us(&l->clock);
    budget_init(&c->memory, "this connection", SIZE_MAX, config->budget);
    c->in.budget = c->out.budget = &c->memory;
    (void)conn_set_limits(c, config); /* nothing is charged yet: no budget can refuse */
    conn_set_ops(c, ops, ud);
    if (budget_charge(&c->memory, sizeof *c, NULL) < 0) {
        loop_close(l, sock);
        free(c);
        return ERR_LIMIT;
    }
    if (loop_watch_add(l, sock, LOOP_READABLE, conn_ready, c, &c->watch) < 0) {
        conn_destroy(c);
        return ERR_NOMEM;
    }
    *ret_conn = c;
    return 0;
}

void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *ud)
{
    c->ops = ops;
    c->ud = ud;
}

int conn_set_limits(struct conn *c, const struct conn_config *config)
{
    if (budget_move(&c->memory, config->budget, NULL) < 0)
        return ERR_LIMIT;
    c->memory.max_bytes =
        config->memory_max_bytes ? config->memory_max_bytes + c->tls_bytes : SIZE_MAX;
    c->config = *config;
    /* Input that is there already may be more than the new maximum; it is still handed over. */
    c->in.max_bytes = c->in.len > config->in_max_bytes ? c->in.len : config->in_max_bytes;
    c->out.max_bytes = config->out_max_bytes;
    return 0;
}

void conn_detach(struct conn *c)
{
    CHECK(c->state == CONN_OPEN && !c->reported && c->busy == 0);
    loop_defer_remove(c->loop, &c->flush);
    loop_defer_remove(c->loop, &c->turn);
    loop_timer_clear(c->loop, &c->timer);
    loop_watch_remove(c->watch);
    conn_leave_group(c);
    budget_leave_drawer(&c->memory);
    c->config.budget = c->memory.parent;
    c->watch = NULL;
    c->loop = NULL;
}

int conn_attach(struct conn *c, struct loop *l, struct budget *budget)
{
    int rc;

    CHECK(c->state == CONN_OPEN && !c->loop);
    budget_enter_drawer(&c->memory, budget);
    c->config.budget = c->memory.parent;
    c->loop = l;
    c->watching = LOOP_READABLE;
    c->blocked = false; /* the flush finds out again */
    if (c->tls)
        tls_move(c->tls, l);
    rc = loop_watch_add(l, c->sock, LOOP_READABLE, conn_ready, c, &c->watch);
    if (rc < 0)
        return rc;
    conn_watch(c);
    if (c->out.len > 0)
        conn_dirty(c);
    if (!c->paused)
        conn_resume(c);
    return 0;
}

struct budget *conn_budget(struct conn *c)
{
    return &c->memory;
}

void conn_report_close(struct conn *c, int reason)
{
    if (c->state != CONN_OPEN || c->reported)
        return;
    c->reported = true;
    c->busy++;
    c->ops->on_close(c->ud, reason);
    (void)conn_leave(c);
}
