/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/models: the models that a trusted provider serves right now, and GET /v1/models/{id}: one
 * of them. Both need a key. */
#include "coordinator/api/api.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/writer.h"
#include "coordinator/admit/identify.h"
#include "coordinator/api/target.h"
#include "coordinator/registry/registry.h"
#include "coordinator/reply/answer.h"
#include "proto/shape.h"

enum {
    MODELS_MAX_BYTES = 32 << 20, /* as many models as are ever known, at their longest */
    ID_SHOWN_BYTES = 100
};

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
    struct str only; /* this model, .p NULL: all */
    int rc;          /* ERR_NOMEM: not all are there */
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

        if ((l->only.p && !str_is(l->only, m->id)) || !registry_model_summary(m, &s))
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

static void models_write_text(struct writer *w, const char *name, struct str value)
{
    if (value.n == 0)
        return;
    writer_printf(w, ",\"%s\":", name);
    writer_keep(w, json_append_str(w->out, value));
}

static void models_write_one(struct writer *w, const struct models_entry *e)
{
    const struct model_summary *s = &e->sum;

    writer_lit(w, "{\"id\":");
    writer_keep(w, json_append_str(w->out, e->id));
    writer_printf(w,
                  ",\"object\":\"model\",\"created\":0,\"owned_by\":\"eigeninference\","
                  "\"metadata\":{\"provider_count\":%zu,\"attested_providers\":%zu,"
                  "\"trust_level\":\"%s\",\"input_price_micro_usd\":%lld,"
                  "\"output_price_micro_usd\":%lld",
                  s->providers, s->attested, trust_name(s->trust),
                  (long long)e->price.input_micro_usd_per_mtok,
                  (long long)e->price.output_micro_usd_per_mtok);
    models_write_text(w, "model_type", s->model_type);
    models_write_text(w, "quantization", s->quantization);
    models_write_text(w, "numerics", s->numerics);
    models_write_text(w, "display_name", e->display_name);
    if (s->context_length > 0)
        writer_printf(w, ",\"context_length\":%lld", (long long)s->context_length);
    writer_lit(w, "}}");
}

static void models_write_all(struct writer *w, const struct models_list *l)
{
    writer_lit(w, "{\"object\":\"list\",\"data\":[");
    for (struct list_node *n = l->entries.next; n != &l->entries; n = n->next) {
        if (n != l->entries.next)
            writer_char(w, ',');
        models_write_one(w, list_owner(n, struct models_entry, link));
    }
    writer_lit(w, "]}\n");
}

static void models_no_such(struct coord *c, struct http_exchange *x, struct str id)
{
    struct api_error e = {0};

    api_error_set(&e, API_MODEL_NOT_FOUND, "model",
                  "no provider serves the model %.*s now; GET /v1/models lists those served",
                  STR_ARG(str_cut(id, ID_SHOWN_BYTES)));
    answer_error(c, x, NULL, &e, (struct http_header){0});
}

static void models_answer(struct coord *c, struct http_exchange *x, const struct models_list *l)
{
    struct buf body;
    struct writer w = {.out = &body, .rc = l->rc};

    if (l->rc == 0 && l->only.p && list_empty(&l->entries)) {
        models_no_such(c, x, l->only);
        return;
    }
    buf_init(&body, MODELS_MAX_BYTES);
    if (l->only.p && w.rc == 0) {
        models_write_one(&w, list_owner(l->entries.next, struct models_entry, link));
        writer_char(&w, '\n');
    } else {
        models_write_all(&w, l);
    }
    if (w.rc == 0)
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
    char only[MODEL_ID_MAX_BYTES];
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

static const struct str models_path = {"/v1/models/", sizeof "/v1/models/" - 1};

/* The id behind /v1/models/, which may have slashes of its own, escaped or not. An id that nobody
 * can have is looked for and not found like any other. */
static void models_name_only(struct models_query *q)
{
    struct str path = http_request_of(q->x)->path;
    struct str id = {path.p + models_path.n, path.n - models_path.n};

    if (target_decode(id, q->only, sizeof q->only, &q->list.only) < 0)
        q->list.only = id;
}

static void models_ask(struct coord *c, struct http_exchange *x, bool only)
{
    struct models_query *q = calloc(1, sizeof *q);

    if (!q) {
        answer_no_memory(c, x);
        return;
    }
    models_list_init(&q->list);
    q->x = x;
    if (only)
        models_name_only(q);
    http_on_abort(x, models_asker_gone, q);
    q->identify.coord = c;
    if (http_ud(x) || identify_start(&q->identify, c, x, models_identified) != ERR_AGAIN)
        models_identified(&q->identify);
}

void api_models(struct coord *c, struct http_exchange *x)
{
    models_ask(c, x, false);
}

void api_model(struct coord *c, struct http_exchange *x)
{
    models_ask(c, x, true);
}
