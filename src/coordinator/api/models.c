/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/models: the models that a trusted provider serves right now. Needs a key. */
#include "coordinator/api/api.h"

#include <stdlib.h>

#include "base/map.h"
#include "coordinator/admit/identify.h"
#include "coordinator/registry/registry.h"
#include "coordinator/reply/answer.h"
#include "proto/shape.h"

enum { MODELS_MAX_BYTES = 32 << 20 }; /* as many models as are ever known, at their longest */

/* --- what all shards have --- */

struct models_entry {
    struct list_node link;
    struct str id, display_name;
    struct price price;
    struct model_summary sum;
};

struct models_list {
    struct arena region;
    struct map by_id; /* id → struct models_entry */
    struct list_node entries;
    int rc; /* ERR_NOMEM: not all are there */
};

static void models_list_init(struct models_list *l)
{
    *l = (struct models_list){.rc = 0};
    arena_init(&l->region, MODELS_MAX_BYTES);
    list_init(&l->entries);
}

static void models_list_free(struct models_list *l)
{
    map_free(&l->by_id);
    arena_free(&l->region);
}

static struct models_entry *models_list_add(struct models_list *l, const struct model *m)
{
    struct models_entry *e = arena_array(&l->region, struct models_entry, 1);

    if (!e)
        return NULL;
    *e = (struct models_entry){.id = arena_dup(&l->region, str_from(m->id)),
                               .display_name = arena_dup(&l->region, str_from(m->display_name)),
                               .price = m->price};
    if (!e->id.p || !e->display_name.p || map_put(&l->by_id, e->id, e) < 0)
        return NULL;
    list_push_back(&l->entries, &e->link);
    return e;
}

/* Labels are those of the shard that was visited last. */
static void models_entry_add(struct models_list *l, struct models_entry *e,
                             const struct model_summary *s)
{
    struct model_summary *sum = &e->sum;

    sum->providers += s->providers;
    sum->attested += s->attested;
    sum->trust = s->trust > sum->trust ? s->trust : sum->trust;
    sum->context_length =
        s->context_length > sum->context_length ? s->context_length : sum->context_length;
    sum->model_type = arena_dup(&l->region, s->model_type);
    sum->quantization = arena_dup(&l->region, s->quantization);
    sum->numerics = arena_dup(&l->region, s->numerics);
}

static void models_list_collect(struct models_list *l, const struct registry *reg)
{
    const struct model *m;
    size_t cursor = 0;

    while (l->rc == 0 && (m = registry_model_next(reg, &cursor))) {
        struct model_summary s;
        struct models_entry *e;

        if (!registry_model_summary(m, &s))
            continue;
        e = map_get(&l->by_id, str_from(m->id));
        if (!e)
            e = models_list_add(l, m);
        if (e)
            models_entry_add(l, e, &s);
        else
            l->rc = ERR_NOMEM;
    }
}

/* --- the answer --- */

static int models_write_text(struct buf *out, const char *name, struct str value)
{
    int rc = value.n > 0 ? buf_printf(out, ",\"%s\":", name) : 0;

    return rc == 0 && value.n > 0 ? json_append_str(out, value) : rc;
}

static int models_write_one(struct buf *out, const struct models_entry *e, bool first)
{
    const struct model_summary *s = &e->sum;
    int rc = buf_append_str(out, first ? STR("{\"id\":") : STR(",{\"id\":"));

    if (rc == 0)
        rc = json_append_str(out, e->id);
    if (rc == 0)
        rc = buf_printf(out,
                        ",\"object\":\"model\",\"created\":0,\"owned_by\":\"eigeninference\","
                        "\"metadata\":{\"provider_count\":%zu,\"attested_providers\":%zu,"
                        "\"trust_level\":\"%s\",\"input_price_micro_usd\":%lld,"
                        "\"output_price_micro_usd\":%lld",
                        s->providers, s->attested, trust_name(s->trust),
                        (long long)e->price.input_micro_usd_per_mtok,
                        (long long)e->price.output_micro_usd_per_mtok);
    if (rc == 0)
        rc = models_write_text(out, "model_type", s->model_type);
    if (rc == 0)
        rc = models_write_text(out, "quantization", s->quantization);
    if (rc == 0)
        rc = models_write_text(out, "numerics", s->numerics);
    if (rc == 0)
        rc = models_write_text(out, "display_name", e->display_name);
    if (rc == 0 && s->context_length > 0)
        rc = buf_printf(out, ",\"context_length\":%lld", (long long)s->context_length);
    if (rc == 0)
        rc = buf_append_str(out, STR("}}"));
    return rc;
}

static int models_write(const struct models_list *l, struct buf *out)
{
    int rc = l->rc == 0 ? buf_append_str(out, STR("{\"object\":\"list\",\"data\":[")) : l->rc;

    for (struct list_node *n = l->entries.next; rc == 0 && n != &l->entries; n = n->next)
        rc = models_write_one(out, list_owner(n, struct models_entry, link), n == l->entries.next);
    return rc == 0 ? buf_append_str(out, STR("]}\n")) : rc;
}

static void models_answer(struct coord *c, struct http_exchange *x, const struct models_list *l)
{
    struct buf body;

    buf_init(&body, MODELS_MAX_BYTES);
    if (models_write(l, &body) == 0)
        answer_json(c, x, 200, buf_view(&body));
    else
        answer_no_memory(c, x);
    buf_free(&body);
}

/* Asking needs a key, which the store may have to look up. */
struct models_query {
    struct identify identify;
    struct http_exchange *x; /* NULL: the asker is gone */
    struct hub_round round;
    struct models_list list;
};

static void models_asker_gone(void *ud, int reason)
{
    (void)reason;
    ((struct models_query *)ud)->x = NULL;
}

static void models_query_free(struct models_query *q)
{
    models_list_free(&q->list);
    free(q);
}

static void models_visit(struct hub_round *r, struct coord *c)
{
    models_list_collect(&list_owner(r, struct models_query, round)->list, c->registry);
}

static void models_visited(struct hub_round *r)
{
    struct models_query *q = list_owner(r, struct models_query, round);

    if (q->x)
        models_answer(q->identify.coord, q->x, &q->list);
    models_query_free(q);
}

static void models_identified(struct identify *id)
{
    struct models_query *q = list_owner(id, struct models_query, identify);
    struct api_error e = {0};

    if (q->x && id->rc == 0) {
        hub_round(id->coord, &q->round, models_visit, models_visited);
        return;
    }
    if (q->x) {
        identify_error(id, &e);
        answer_error(id->coord, q->x, NULL, &e, (struct http_header){0});
    }
    models_query_free(q);
}

void api_models(struct coord *c, struct http_exchange *x)
{
    struct models_query *q = calloc(1, sizeof *q);

    if (!q) {
        answer_no_memory(c, x);
        return;
    }
    models_list_init(&q->list);
    q->x = x;
    http_on_abort(x, models_asker_gone, q);
    if (identify_start(&q->identify, c, http_request_of(x), models_identified) != ERR_AGAIN)
        models_identified(&q->identify);
}
