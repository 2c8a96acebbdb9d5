/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator may ask and do, under /v1/admin/: at the API with the admin key (setting
 * admin.key), at the control socket (api/control.h) without. Answers are JSON, or for a person with
 * `format=text`. Each walks all shards, one after the other on its own thread. Loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_API_ADMIN_H
#define DARKBLOOM_COORDINATOR_API_ADMIN_H

#include "base/writer.h"
#include "coordinator/hub.h"
#include "coordinator/registry/facts.h"
#include "net/http1.h"
#include "proto/api_error.h"

enum {
    ADMIN_MAX_BYTES = 16 << 20, /* of an answer */
    ADMIN_VALUE_BYTES = 512     /* of a parameter */
};

/* Whether the request carries the admin key; otherwise it is refused at its head (as
 * http_server_ops.on_head), or was answered 401. */
int admin_on_head(struct coord *c, struct http_exchange *x, const char **ret_why);
bool admin_may(struct coord *c, struct http_exchange *x);

/* GET /v1/admin/providers?gate=CODE&limit=N: every provider with the first gate that fails, the
 * oldest connection first; the counts are of all. */
void admin_providers(struct coord *c, struct http_exchange *x);
/* GET /v1/admin/routing/explain?model=ID&min_trust=LEVEL&tokens=N: where such a request would go
 * now, with the runner-up, from each event loop. */
void admin_explain(struct coord *c, struct http_exchange *x);
/* POST /v1/admin/providers/forgive?key=HEX: end the distrust of a key. */
void admin_forgive(struct coord *c, struct http_exchange *x);

/* --- for the three: a question on its way over the shards --- */

struct admin_query {
    struct hub_round round;
    struct coord *home;
    struct http_exchange *x; /* NULL: the asker is gone */
    struct buf out;
    struct writer w; /* into `out` */
    bool text;       /* for a person */
};

/* Begin, and tell whether anything stands in the query but `names` (NULL ends the list) and
 * `format`: 0, or what was wrong was answered. */
int admin_begin(struct admin_query *q, struct coord *c, struct http_exchange *x,
                const char *const *names);
/* Answer with what was written, if anybody is there, and release what the query owns. */
void admin_finish(struct admin_query *q);
/* Answer with an error instead. */
void admin_fail(struct admin_query *q, enum api_error_id kind, const char *param, const char *why);

/* A parameter, decoded into `value`: 0; ERR_NOT_FOUND: it is not there; or what was wrong with it
 * was answered. */
int admin_param(struct admin_query *q, const char *name, char value[static ADMIN_VALUE_BYTES + 1]);
/* The same for a number within [min, max]; `*ret_value` is left where it is not there: 0. */
int admin_number(struct admin_query *q, const char *name, int64_t min, int64_t max,
                 int64_t *ret_value);

/* Members of an object: a provider's facts, an offer's. */
void admin_write_provider(struct writer *w, unsigned loop, const struct provider_facts *f);
void admin_write_offer(struct writer *w, const struct offer_facts *f);
void admin_write_text(struct writer *w, const char *name, struct str value); /* ,"name":"value" */

#endif
