/* SPDX-License-Identifier: Apache-2.0 */
/* The models that consumers can name, and the eligible offers of each. A model is known when the
 * settings name it or a provider has announced it. What a stranger announces is known as long as
 * there is room: it makes way for what a provider serves that may be asked, and bounds nobody's
 * request. */
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/metrics.h"
#include "coordinator/registry/group.h"
#include "coordinator/registry/provider.h"

enum {
    MODELS_MAX = 10000,
    /* of requests for a model that has seen none; measured in production */
    MEAN_PROMPT_TOKENS = 979,
    MEAN_COMPLETION_TOKENS = 280,
    MEAN_OF = 64 /* a new request weighs so much less than those before */
};

struct model *model_find(const struct registry *reg, struct str id)
{
    return map_get(&reg->models, id);
}

static bool model_forget_one(struct registry *reg);

/* One that another loop knows is known here too from now on, as long as there is room. */
static struct model *model_known_elsewhere(struct registry *reg, struct str id)
{
    struct directory *d = registry_group_directory(reg->config.group);
    struct directory_row *row = directory_find(d, id);
    struct model *m = NULL;

    if (row && (reg->models.used < MODELS_MAX || model_forget_one(reg)))
        m = model_add(reg, id);
    directory_release(d, row);
    return m;
}

struct model *registry_model(struct registry *reg, struct str id)
{
    struct model *m = model_find(reg, id);

    return m || !reg->config.group ? m : model_known_elsewhere(reg, id);
}

struct model *registry_model_next(const struct registry *reg, size_t *cursor)
{
    return map_next(&reg->models, cursor);
}

static void model_free(struct model *m)
{
    if (m->row)
        directory_release(registry_group_directory(m->reg->config.group), m->row);
    free(m->pull);
    for (int level = 0; level < TRUST_LEVELS; level++)
        heap_free(&m->heaps[level]);
    free(m);
}

/* Make room: forget a model that nobody serves or asks for. */
static bool model_forget_one(struct registry *reg)
{
    struct model *m;
    size_t cursor = 0;

    while ((m = map_next(&reg->models, &cursor))) {
        if (m->configured || m->n_requests > 0 || !list_empty(&m->offers))
            continue;
        (void)map_remove(&reg->models, str_from(m->id));
        model_free(m);
        return true;
    }
    return false;
}

struct model *model_add(struct registry *reg, struct str id)
{
    struct model *m;

    if (id.n > MODEL_ID_MAX_BYTES || reg->models.used >= MODELS_MAX)
        return NULL;
    m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->reg = reg;
    memcpy(m->id, id.p, id.n);
    rand_fill(&reg->config.rand, &m->dice, sizeof m->dice);
    m->dice |= 1; /* xorshift stays at 0 */
    m->mean_prompt = MEAN_PROMPT_TOKENS;
    m->mean_completion = MEAN_COMPLETION_TOKENS;
    m->price = (struct price){PRICE_DEFAULT_INPUT, PRICE_DEFAULT_OUTPUT};
    for (int level = 0; level < TRUST_LEVELS; level++)
        list_init(&m->waiting[level]);
    list_init(&m->offers);
    if (reg->config.group)
        m->row = directory_hold(registry_group_directory(reg->config.group), str_from(m->id));
    if ((reg->config.group && !m->row) || map_put(&reg->models, str_from(m->id), m) < 0) {
        model_free(m);
        return NULL;
    }
    return m;
}

/* One that the settings no longer name has the price of those that they never did. */
static void model_unconfigure(struct model *m)
{
    m->configured = false;
    m->price = (struct price){PRICE_DEFAULT_INPUT, PRICE_DEFAULT_OUTPUT};
    m->display_name[0] = 0;
}

int models_configure(struct registry *reg)
{
    const struct settings *s = reg->config.settings;
    struct model *known;
    size_t cursor = 0;

    while ((known = map_next(&reg->models, &cursor)))
        model_unconfigure(known);
    for (size_t i = 0; i < s->n_models; i++) {
        const struct settings_model *sm = &s->models[i];
        struct model *m = registry_model(reg, sm->id);

        if (!m)
            m = model_add(reg, sm->id);
        if (!m)
            return ERR_NOMEM;
        m->configured = true;
        m->price = (struct price){sm->input_price_micro_usd, sm->output_price_micro_usd};
        snprintf(m->display_name, sizeof m->display_name, "%.*s", STR_ARG(sm->display_name));
    }
    return 0;
}

void models_free(struct registry *reg)
{
    struct model *m;
    size_t cursor = 0;

    while ((m = map_next(&reg->models, &cursor)))
        model_free(m);
    map_free(&reg->models);
}

/* --- eligible offers, and the bounds they set --- */

static void model_widen(struct model *m, const struct offer *o)
{
    if (o->context_length > m->max_context)
        m->max_context = o->context_length;
    if (o->template_overhead > m->max_overhead)
        m->max_overhead = o->template_overhead;
}

/* The bounds without `o`, which has left: looked for only where it was the largest, and only until
 * another as large is found. */
static void model_narrow(struct model *m, const struct offer *o)
{
    int64_t context = m->max_context, overhead = m->max_overhead;

    if (o->context_length < context && o->template_overhead < overhead)
        return;
    m->max_context = m->max_overhead = 0;
    for (struct list_node *n = m->offers.next;
         n != &m->offers && (m->max_context < context || m->max_overhead < overhead); n = n->next)
        model_widen(m, list_owner(n, struct offer, link));
}

void model_relist(struct offer *o)
{
    int level = o->provider->listed ? (int)o->provider->trust : -1;
    struct model *m = o->model;

    if (o->listed_level >= 0) {
        CHECK(m->n_listed[o->listed_level] > 0);
        m->n_listed[o->listed_level]--;
    }
    if (level >= 0)
        m->n_listed[level]++;
    o->listed_level = level;
}

static void model_list_offer(struct offer *o, struct model *m)
{
    if (m->metric == METRIC_VALUE_OTHER) /* what a stranger announces gets no number */
        m->metric = metrics_value(o->provider->reg->config.metrics, ML_MODEL, str_from(m->id),
                                  o->model_type);
    o->model = m;
    o->rates = record_rates(o->provider->record, o->id);
    list_push_back(&m->offers, &o->link);
    m->n_unbounded += o->context_length == 0;
    m->n_attested += o->provider->attested;
    model_relist(o);
    model_widen(m, o);
    model_publish_bounds(m);
}

static void model_unlist_offer(struct offer *o)
{
    struct model *m = o->model;

    CHECK(o->place.level < 0 && o->servable_level < 0);
    model_relist(o);
    list_remove(&o->link);
    m->n_unbounded -= o->context_length == 0;
    m->n_attested -= o->provider->attested;
    model_narrow(m, o);
    model_publish_bounds(m);
    o->model = NULL;
}

void models_announce(struct provider *p)
{
    for (size_t i = 0; i < p->n_offers; i++) {
        if (!model_find(p->reg, p->offers[i].id))
            (void)model_add(p->reg,
                            p->offers[i].id); /* where it does not fit now, see models_list */
    }
}

void models_list(struct provider *p)
{
    bool room = true;

    p->listed = true;
    p->rated_us = RATED_NEVER; /* each is rated before it is ranked */
    for (size_t i = 0; i < p->n_offers; i++) {
        struct offer *o = &p->offers[i];
        struct model *m = model_find(p->reg, o->id);

        if (!m && room) {
            room = p->reg->models.used < MODELS_MAX || model_forget_one(p->reg);
            m = room ? model_add(p->reg, o->id) : NULL;
        }
        if (m)
            model_list_offer(o, m);
    }
    if (!room)
        log_event(p->reg->config.log, LOG_WARN, EV_MODELS_FULL, KV_CSTR("provider", p->id),
                  KV_INT("models", p->reg->models.used));
}

void models_unlist(struct provider *p)
{
    p->listed = false;
    for (size_t i = 0; i < p->n_offers; i++) {
        if (p->offers[i].model)
            model_unlist_offer(&p->offers[i]);
    }
}

int64_t model_context(const struct model *m)
{
    if (m->row)
        return directory_context(m->row, INT64_MAX);
    return m->n_unbounded > 0 || m->max_context == 0 ? INT64_MAX : m->max_context;
}

int64_t model_overhead(const struct model *m)
{
    if (m->row)
        return directory_overhead(m->row, TEMPLATE_OVERHEAD_TOKENS);
    return m->max_overhead > 0 ? m->max_overhead : TEMPLATE_OVERHEAD_TOKENS;
}

void model_learn(struct model *m, const struct rates_sample *s, int64_t now_us)
{
    (void)rates_add(&m->rates, s, now_us);
    if (s->prompt_tokens > 0)
        m->mean_prompt += ((double)s->prompt_tokens - m->mean_prompt) / MEAN_OF;
    if (s->completion_tokens > 0)
        m->mean_completion += ((double)s->completion_tokens - m->mean_completion) / MEAN_OF;
}

/* Labels are those of the provider that was listed last. */
bool registry_model_summary(const struct model *m, struct model_summary *ret_summary)
{
    const struct offer *newest = list_owner(m->offers.prev, struct offer, link);
    struct model_summary s = {.attested = m->n_attested, .context_length = m->max_context};

    if (list_empty(&m->offers))
        return false;
    for (int level = 0; level < TRUST_LEVELS; level++) {
        s.providers += m->n_listed[level];
        if (m->n_listed[level] > 0)
            s.trust = (enum trust_level)level;
    }
    s.model_type = newest->model_type;
    s.quantization = newest->quantization;
    s.numerics = newest->numerics;
    *ret_summary = s;
    return true;
}
