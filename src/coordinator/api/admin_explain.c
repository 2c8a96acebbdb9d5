/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/admin/routing/explain. */
#include <stdlib.h>

#include "attest/trust.h"
#include "coordinator/api/admin.h"
#include "coordinator/coord.h"
#include "coordinator/registry/gate.h"
#include "coordinator/reply/answer.h"
#include "proto/shape.h"

enum { TOKENS_MAX = 1 << 30 };

struct explain {
    struct admin_query q;
    char model[ADMIN_VALUE_BYTES + 1];
    struct route_ask ask;
};

/* --- for programs --- */

static void explain_write_choice(struct writer *w, const char *name, unsigned loop,
                                 const struct route_choice *choice)
{
    writer_printf(w, ",\"%s\":", name);
    if (!choice) {
        writer_lit(w, "null");
        return;
    }
    writer_lit(w, "{\"provider\":{");
    admin_write_provider(w, loop, &choice->provider);
    writer_lit(w, "},\"offer\":{");
    admin_write_offer(w, &choice->offer);
    writer_lit(w, "}}");
}

static void explain_write_json(struct writer *w, unsigned loop, const struct route_explained *e)
{
    bool first = true;

    writer_printf(w, "%s{\"loop\":%u", loop > 0 ? "," : "", loop);
    explain_write_choice(w, "best", loop, e->found > 0 ? &e->best : NULL);
    explain_write_choice(w, "runner_up", loop, e->found > 1 ? &e->runner_up : NULL);
    writer_printf(w,
                  ",\"near\":%zu,\"looked\":%zu,\"too_little_trust\":%zu,\"too_small\":%zu,"
                  "\"offers_by_gate\":{",
                  e->near, e->looked, e->too_little_trust, e->too_small);
    for (enum gate g = GATE_NONE; g < GATE_COUNT; g++) {
        if (e->by_gate[g] == 0)
            continue;
        writer_printf(w, "%s\"%s\":%zu", first ? "" : ",", gate_code(g), e->by_gate[g]);
        first = false;
    }
    writer_lit(w, "}}");
}

/* --- for a person --- */

static void explain_write_line(struct writer *w, const char *name,
                               const struct route_choice *choice)
{
    const char *term, *what;
    double ms;

    writer_printf(w, "  %-10s %s  cost %.1f ms", name, choice->provider.id, choice->offer.cost_ms);
    for (size_t i = 0; cost_term(&choice->offer.cost, i, &term, &what, &ms); i++) {
        if (ms > 0)
            writer_printf(w, ", %s %.1f", term, ms);
    }
    writer_char(w, '\n');
}

static void explain_write_text(struct writer *w, unsigned loop, const struct route_explained *e)
{
    writer_printf(w, "event loop %u: %s\n", loop,
                  e->found > 0 ? "a request would go to" : "no provider can take a request now");
    if (e->found > 0)
        explain_write_line(w, "best", &e->best);
    if (e->found > 1)
        explain_write_line(w, "runner-up", &e->runner_up);
    if (e->near > 1)
        writer_printf(w, "  one at random of %zu that cost as little as the best\n", e->near);
    for (enum gate g = GATE_NONE; g < GATE_COUNT; g++) {
        if (e->by_gate[g] > 0)
            writer_printf(w, "  %6zu %s%s%s\n", e->by_gate[g], gate_code(g),
                          g == GATE_NONE ? "" : ": ", g == GATE_NONE ? "" : gate_meaning(g));
    }
    if (e->too_little_trust > 0)
        writer_printf(w, "  %6zu of them have too little trust for it\n", e->too_little_trust);
    if (e->too_small > 0)
        writer_printf(w, "  %6zu of them have a context that is too small for it\n", e->too_small);
}

/* --- the walk --- */

static void explain_visit(struct hub_round *r, struct coord *c)
{
    struct explain *x = list_owner(r, struct explain, q.round);
    struct route_explained e;

    registry_explain(c->registry, str_from(x->model), &x->ask, &e);
    if (x->q.text)
        explain_write_text(&x->q.w, c->number, &e);
    else
        explain_write_json(&x->q.w, c->number, &e);
}

static void explain_visited(struct hub_round *r)
{
    struct explain *x = list_owner(r, struct explain, q.round);

    if (!x->q.text)
        writer_lit(&x->q.w, "]}\n");
    admin_finish(&x->q);
    free(x);
}

/* The settings' trust is the least that any request may demand. */
static int explain_trust(struct explain *x)
{
    enum trust_level least = (enum trust_level)x->q.home->settings->min_trust, demanded;
    char text[ADMIN_VALUE_BYTES + 1];
    int rc = admin_param(&x->q, "min_trust", text);

    x->ask.min_trust = least;
    if (rc < 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    if (trust_parse(str_from(text), &demanded) < 0) {
        admin_fail(&x->q, API_BAD_VALUE, "min_trust",
                   "it must be a trust level: none, self_signed or hardware");
        return ERR_USAGE;
    }
    x->ask.min_trust = demanded > least ? demanded : least;
    return 0;
}

static int explain_params(struct explain *x)
{
    int rc = admin_param(&x->q, "model", x->model);

    if (rc == ERR_NOT_FOUND)
        admin_fail(&x->q, API_MISSING_FIELD, "model", "name the model to be routed");
    if (rc == 0)
        rc = admin_number(&x->q, "tokens", 0, TOKENS_MAX, &x->ask.tokens);
    return rc == 0 ? explain_trust(x) : rc;
}

void admin_explain(struct coord *c, struct http_exchange *exchange)
{
    static const char *const names[] = {"model", "min_trust", "tokens", NULL};
    struct explain *x = calloc(1, sizeof *x);

    if (!x) {
        answer_no_memory(c, exchange);
        return;
    }
    if (admin_begin(&x->q, c, exchange, names) < 0 || explain_params(x) < 0) {
        admin_finish(&x->q);
        free(x);
        return;
    }
    if (!x->q.text) {
        writer_lit(&x->q.w, "{\"model\":");
        writer_keep(&x->q.w, json_append_str(x->q.w.out, str_from(x->model)));
        writer_printf(&x->q.w, ",\"min_trust\":\"%s\",\"tokens\":%lld,\"decisions\":[",
                      trust_name(x->ask.min_trust), (long long)x->ask.tokens);
    }
    hub_round(c, &x->q.round, explain_visit, explain_visited);
}
