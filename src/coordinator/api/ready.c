/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/api/ready.h"

#include <stdio.h>
#include <stdlib.h>

#include "coordinator/api/api.h"
#include "coordinator/reply/answer.h"
#include "store/db.h"

enum { PROBE_EVERY_US = 1000000, PROBE_SLOW_US = 2000000 };

struct ready {
    struct coord *coord;
    struct store_op probe;
    bool probing;
    int64_t probed_us; /* when the last probe was sent */
};

struct ready *ready_new(struct coord *c)
{
    struct ready *r = calloc(1, sizeof *r);

    if (r)
        r->coord = c;
    return r;
}

void ready_free(struct ready *r)
{
    free(r);
}

static int ready_probe_run(struct db *db, struct store_op *op)
{
    struct db_stmt *st = db_stmt(db, "SELECT 1 FROM accounts LIMIT 1");
    int rc = db_step(st);

    (void)op;
    db_reset(st);
    return rc < 0 ? rc : 0;
}

static void ready_probe_done(struct store_op *op)
{
    list_owner(op, struct ready, probe)->probing = false;
}

static void ready_probe(struct ready *r, int64_t now_us)
{
    if (r->probing || (r->probed_us > 0 && now_us - r->probed_us < PROBE_EVERY_US))
        return;
    r->probing = true;
    r->probed_us = now_us;
    r->probe.run = ready_probe_run;
    r->probe.done = ready_probe_done;
    coord_submit_soon(r->coord, &r->probe);
}

const char *ready_why_not(struct ready *r)
{
    int64_t now_us = clock_mono_us(&r->coord->clock);

    if (r->coord->draining)
        return "draining";
    if (r->probing && now_us - r->probed_us > PROBE_SLOW_US)
        return "store_slow";
    if (!r->probing && r->probe.rc < 0) {
        ready_probe(r, now_us);
        return "store_failed";
    }
    ready_probe(r, now_us);
    return NULL;
}

void api_ready(struct coord *c, struct http_exchange *x)
{
    const char *why = ready_why_not(c->ready);
    char body[128];
    int n = why ? snprintf(body, sizeof body, "{\"status\":\"not_ready\",\"code\":\"%s\"}\n", why)
                : snprintf(body, sizeof body, "{\"status\":\"ready\"}\n");

    answer_json(c, x, why ? 503 : 200, (struct str){body, (size_t)n});
}
