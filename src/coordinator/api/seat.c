/* SPDX-License-Identifier: Apache-2.0 */
/* GET /ws/provider: a provider's socket goes to the event loop that has the fewest, before it is
 * answered. So providers are spread however the system spreads connections. */
#include <stdlib.h>

#include "coordinator/api/api.h"
#include "coordinator/registry/group.h"
#include "coordinator/registry/registry.h"
#include "coordinator/reply/answer.h"

/* A socket on its way. */
struct seat {
    struct inbox_item item;
    struct loop_defer later;
    struct coord *coord; /* where it came */
    struct http_exchange *x;
    unsigned to;
};

static void seat_begin(struct coord *c, struct http_exchange *x)
{
    if (registry_accept(c->registry, x) < 0)
        answer_no_memory(c, x);
}

static void seat_arrived(void *ud)
{
    struct seat *s = ud;
    struct coord *c = s->coord->hub->shards[s->to];

    if (http_exchange_attach(s->x, c->server) == 0)
        seat_begin(c, s->x);
    registry_group_unseat(c->hub->group, s->to);
    free(s);
}

static void seat_depart(void *ud)
{
    struct seat *s = ud;

    http_on_abort(s->x, NULL, NULL);
    http_exchange_detach(s->x);
    inbox_post(s->coord->hub->inboxes[s->to], &s->item, seat_arrived, s);
}

static void seat_gone(void *ud, int reason)
{
    struct seat *s = ud;

    (void)reason;
    loop_defer_remove(s->coord->loop, &s->later);
    registry_group_unseat(s->coord->hub->group, s->to);
    free(s);
}

/* Outside of any callback of the connection, which is on the stack now. */
static void seat_move(struct coord *c, struct http_exchange *x, unsigned to)
{
    struct seat *s = calloc(1, sizeof *s);

    if (!s) {
        registry_group_unseat(c->hub->group, to);
        seat_begin(c, x);
        return;
    }
    s->coord = c;
    s->x = x;
    s->to = to;
    http_on_abort(x, seat_gone, s);
    loop_defer_add(c->loop, &s->later, seat_depart, s);
}

void api_seat_provider(struct coord *c, struct http_exchange *x)
{
    struct registry_group *g = c->hub->group;
    unsigned to = g ? registry_group_seat(g, c->number) : c->number;

    if (to != c->number) {
        seat_move(c, x, to);
        return;
    }
    seat_begin(c, x);
    if (g)
        registry_group_unseat(g, to);
}
