/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/registry/cost.h"

#include "coordinator/registry/provider.h"

enum {
    COST_LOAD_MS = 20000,
    COST_QUEUED_MS = 3000,
    COST_OURS_MS = 750,
    PRIOR_DECODE_TPS = 40,  /* where nobody has been measured: not below what is common, so that */
    PRIOR_PREFILL_TPS = 600 /* the unmeasured are tried (FR-5) */
};
static const double slowdown_each = 0.27; /* of a stream, by each that runs beside it */

/* What a provider says of itself counts within a factor of two of what others were measured at. */
static double cost_prior(double claimed, double measured)
{
    if (!(claimed > 0))
        return measured;
    return claimed < measured / 2 ? measured / 2 : claimed > measured * 2 ? measured * 2 : claimed;
}

void cost_rate(struct offer *o, int64_t now_us)
{
    static const struct rates unmeasured = {0};
    const struct provider *p = o->provider;
    const struct model *m = o->model;
    const struct rates *r = o->rates ? o->rates : &unmeasured;
    double decode =
        cost_prior(p->decode_tps, rates_decode_tps(&m->rates, now_us, PRIOR_DECODE_TPS));
    double prefill =
        cost_prior(p->prefill_tps, rates_prefill_tps(&m->rates, now_us, PRIOR_PREFILL_TPS));

    o->decode_tps = rates_decode_tps(r, now_us, decode);
    o->cost.prefill_ms = m->mean_prompt / rates_prefill_tps(r, now_us, prefill) * 1000;
    o->stream_limit = rates_stream_limit(r, now_us, p->reg->config.settings->min_stream_tps);
}

double cost_of(struct offer *o)
{
    const struct provider *p = o->provider;
    int64_t reported = o->slot.num_running + o->slot.num_waiting;
    int64_t queue = p->n_attempts > reported ? p->n_attempts : reported;
    double tps = o->decode_tps / (1 + slowdown_each * (double)o->slot.num_running);
    struct cost *c = &o->cost;

    tps = tps < 1 ? 1 : tps;
    c->decode_ms = o->model->mean_completion / tps * 1000;
    c->load_ms = o->slot.state == SLOT_COLD ? COST_LOAD_MS : 0;
    c->queue_ms = (double)queue * COST_QUEUED_MS;
    c->ours_ms = (double)p->n_attempts * COST_OURS_MS;
    c->backlog_ms = (double)o->slot.backlog_tokens / tps * 1000;
    c->pressure_ms = p->load.pressure_ms;
    c->failures_ms = p->failures_ms;
#define COST_ADD(term, what) +c->term##_ms
    return 0 COST_TABLE(COST_ADD);
#undef COST_ADD
}
