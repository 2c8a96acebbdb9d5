/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/api/gatehouse.h"

#include <stdlib.h>

#include "coordinator/admit/identify.h"
#include "coordinator/metrics.h"

/* A head that waits for the store: one a connection, charged to consumers. */
struct gatehouse_guest {
    struct identify identify;
    struct http_exchange *x; /* NULL: gone */
};

static struct budget *gatehouse_budget(struct coord *c)
{
    return &c->hub->memory.consumers;
}

/* It will be no request of flow/: it is counted and logged here. Returns the status. */
static int gatehouse_reject(struct coord *c, const char **ret_why)
{
    const struct api_error *e = &c->rejection;

    metrics_add(c->metrics, M_REQUESTS, metrics_outcome(e->id), METRIC_VALUE_OTHER, 1);
    log_event(c->log, LOG_INFO, EV_REQUEST_REFUSED, KV_INT("status", e->status),
              KV_CSTR("code", e->code));
    *ret_why = e->message;
    return e->status;
}

static int gatehouse_reject_overloaded(struct coord *c, const char *text, const char **ret_why)
{
    c->rejection = (struct api_error){0};
    api_error_set(&c->rejection, API_OVERLOADED, NULL, "%s", text);
    return gatehouse_reject(c, ret_why);
}

static int gatehouse_reject_key(const struct identify *q, const char **ret_why)
{
    q->coord->rejection = (struct api_error){0};
    identify_error(q, &q->coord->rejection);
    return gatehouse_reject(q->coord, ret_why);
}

static struct gatehouse_guest *gatehouse_guest_new(struct coord *c, struct http_exchange *x)
{
    struct gatehouse_guest *g = NULL;

    if (budget_charge(gatehouse_budget(c), sizeof *g, NULL) < 0)
        return NULL;
    g = calloc(1, sizeof *g);
    if (g)
        g->x = x;
    else
        budget_release(gatehouse_budget(c), sizeof *g);
    return g;
}

static void gatehouse_guest_free(struct coord *c, struct gatehouse_guest *g)
{
    budget_release(gatehouse_budget(c), sizeof *g);
    free(g);
}

/* The store still has its question. */
static void gatehouse_guest_gone(void *ud, int reason)
{
    struct gatehouse_guest *g = ud;

    (void)reason;
    g->x = NULL;
}

/* The wait ends. */
static void gatehouse_tell(const struct identify *q, struct http_exchange *x)
{
    const char *why = NULL;
    int status = 0;

    http_on_abort(x, NULL, NULL);
    if (q->rc < 0)
        status = gatehouse_reject_key(q, &why);
    else if (q->coord->draining)
        status = gatehouse_reject_overloaded(q->coord, COORD_STOPPING, &why);
    if (status != 0) {
        http_head_refuse(x, status, why);
        return;
    }
    http_set_ud(x, q->account);
    http_body_accept(x);
}

static void gatehouse_identified(struct identify *q)
{
    struct gatehouse_guest *g = list_owner(q, struct gatehouse_guest, identify);

    if (g->x)
        gatehouse_tell(q, g->x);
    gatehouse_guest_free(q->coord, g);
}

static int gatehouse_ask_store(struct coord *c, struct http_exchange *x, const char **ret_why)
{
    struct gatehouse_guest *g = gatehouse_guest_new(c, x);
    int status = HTTP_HEAD_WAIT;

    if (!g)
        return gatehouse_reject_overloaded(c, "the coordinator has no memory left; try again",
                                           ret_why);
    if (identify_start(&g->identify, c, x, gatehouse_identified) == ERR_AGAIN) {
        http_on_abort(x, gatehouse_guest_gone, g);
    } else { /* in memory the key is not: too many were asked for */
        status = gatehouse_reject_key(&g->identify, ret_why);
        gatehouse_guest_free(c, g);
    }
    return status;
}

int gatehouse_on_head(struct coord *c, struct http_exchange *x, const char **ret_why)
{
    struct identify q;
    int rc = identify_recall(&q, c, http_request_of(x));

    if (rc == ERR_AGAIN)
        return gatehouse_ask_store(c, x, ret_why);
    if (rc < 0)
        return gatehouse_reject_key(&q, ret_why);
    http_set_ud(x, q.account);
    return 0;
}
