/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/models: the models that a trusted provider serves right now. Needs a key. */
#include "coordinator/api/api.h"

#include <stdlib.h>

#include "coordinator/admit/identify.h"
#include "coordinator/registry/registry.h"
#include "coordinator/reply/answer.h"
#include "proto/shape.h"

enum { MODELS_MAX_BYTES = 32 << 20 }; /* as many models as are ever known, at their longest */

static int add_text(struct buf *out, const char *name, struct str value)
{
    int rc = value.n > 0 ? buf_printf(out, ",\"%s\":", name) : 0;

    return rc == 0 && value.n > 0 ? json_append_str(out, value) : rc;
}

static int add_model(struct buf *out, const struct model *m, const struct model_summary *s,
                     bool first)
{
    int rc = buf_append_str(out, first ? STR("{\"id\":") : STR(",{\"id\":"));

    if (rc == 0)
        rc = json_append_str(out, str_from(m->id));
    if (rc == 0)
        rc = buf_printf(out,
                        ",\"object\":\"model\",\"created\":0,\"owned_by\":\"eigeninference\","
                        "\"metadata\":{\"provider_count\":%zu,\"attested_providers\":%zu,"
                        "\"trust_level\":\"%s\",\"input_price_micro_usd\":%lld,"
                        "\"output_price_micro_usd\":%lld",
                        s->providers, s->attested, trust_name(s->trust),
                        (long long)m->price.input_micro_usd_per_mtok,
                        (long long)m->price.output_micro_usd_per_mtok);
    if (rc == 0)
        rc = add_text(out, "model_type", s->model_type);
    if (rc == 0)
        rc = add_text(out, "quantization", s->quantization);
    if (rc == 0)
        rc = add_text(out, "numerics", s->numerics);
    if (rc == 0)
        rc = add_text(out, "display_name", str_from(m->display_name));
    if (rc == 0 && s->context_length > 0)
        rc = buf_printf(out, ",\"context_length\":%lld", (long long)s->context_length);
    if (rc == 0)
        rc = buf_append_str(out, STR("}}"));
    return rc;
}

static int list_models(const struct registry *reg, struct buf *out)
{
    int rc = buf_append_str(out, STR("{\"object\":\"list\",\"data\":["));
    const struct model *m;
    size_t cursor = 0;
    bool first = true;

    while (rc == 0 && (m = registry_model_next(reg, &cursor))) {
        struct model_summary s;

        if (!registry_model_summary(m, &s))
            continue;
        rc = add_model(out, m, &s, first);
        first = false;
    }
    return rc == 0 ? buf_append_str(out, STR("]}\n")) : rc;
}

static void answer(struct coord *c, struct http_exchange *x)
{
    struct buf body;

    buf_init(&body, MODELS_MAX_BYTES);
    if (list_models(c->registry, &body) == 0)
        answer_json(c, x, 200, buf_view(&body));
    else
        answer_no_memory(c, x);
    buf_free(&body);
}

/* Asking needs a key, which the store may have to look up. */
struct models_query {
    struct identify identify;
    struct http_exchange *x; /* NULL: the asker is gone */
};

static void gone(void *ud, int reason)
{
    struct models_query *q = ud;

    (void)reason;
    q->x = NULL;
}

static void identified(struct identify *id)
{
    struct models_query *q = list_owner(id, struct models_query, identify);
    struct api_error e = {0};

    if (q->x && id->rc == 0) {
        answer(id->coord, q->x);
    } else if (q->x) {
        identify_error(id, &e);
        answer_error(id->coord, q->x, NULL, &e, (struct http_header){0});
    }
    free(q);
}

void api_models(struct coord *c, struct http_exchange *x)
{
    struct models_query *q = calloc(1, sizeof *q);

    if (!q) {
        answer_no_memory(c, x);
        return;
    }
    q->x = x;
    http_on_abort(x, gone, q);
    if (identify_start(&q->identify, c, http_request_of(x), identified) != ERR_AGAIN)
        identified(&q->identify);
}
