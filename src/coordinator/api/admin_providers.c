/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/admin/providers. */
#include <stdlib.h>

#include "attest/trust.h"
#include "coordinator/api/admin.h"
#include "coordinator/coord.h"
#include "coordinator/registry/gate.h"
#include "coordinator/reply/answer.h"

enum {
    LIMIT_DEFAULT = 1000,
    LIMIT_MAX = 10000,
    ROW_MAX_BYTES = 1 << 20, /* of one provider with all its models */
    KEY_SHOWN = 12           /* hex digits, for a person */
};

struct providers_list {
    struct admin_query q;
    struct buf row;
    int64_t limit, shown;
    char gate[ADMIN_VALUE_BYTES + 1]; /* only those; "": all */
    bool more;                        /* than were shown */
    size_t connected, trusted, routable, by_gate[GATE_COUNT];
};

/* --- one provider --- */

static void providers_write_json(struct providers_list *l, struct writer *w, const struct coord *c,
                                 const struct registry_cursor *at, const struct provider_facts *f)
{
    struct offer_facts offer;

    writer_str(w, l->shown > 0 ? STR(",\n{") : STR("\n{"));
    admin_write_provider(w, c->number, f);
    writer_lit(w, ",\"models\":[");
    for (size_t i = 0; registry_offer_facts(c->registry, at, i, &offer); i++) {
        writer_str(w, i > 0 ? STR(",{") : STR("{"));
        admin_write_offer(w, &offer);
        writer_char(w, '}');
    }
    writer_lit(w, "]}");
}

/* The provider's own words may hold anything but control characters; they are not shown here. */
static void providers_write_line(struct writer *w, const struct provider_facts *f)
{
    writer_printf(w, "%-36s  %-*.*s  %-12s %-3s %-3s %-3s %4lld/%-4lld %6zu  %s", f->id, KEY_SHOWN,
                  KEY_SHOWN, f->key_hash, trust_name(f->trust), f->connected ? "yes" : "no",
                  f->trusted ? "yes" : "no", f->routable ? "yes" : "no", (long long)f->running,
                  (long long)f->max_running, f->offers, gate_code(f->gate));
    if (f->gate == GATE_DISTRUSTED)
        writer_printf(w, " (%s)", trust_reason_code(f->reason));
    if (f->back_off_us > 0)
        writer_printf(w, " for %lld s", (long long)(f->back_off_us / 1000000));
    if (f->gate != GATE_NONE)
        writer_printf(w, ": %s", gate_meaning(f->gate));
    writer_char(w, '\n');
}

static void providers_add(struct providers_list *l, const struct coord *c,
                          const struct registry_cursor *at, const struct provider_facts *f)
{
    struct writer w = {.out = &l->row};

    l->connected += f->connected;
    l->trusted += f->trusted;
    l->routable += f->routable;
    l->by_gate[f->gate]++;
    if (l->gate[0] && strcmp(l->gate, gate_code(f->gate)) != 0)
        return;
    buf_clear(&l->row);
    if (l->shown < l->limit && l->q.text)
        providers_write_line(&w, f);
    else if (l->shown < l->limit)
        providers_write_json(l, &w, c, at, f);
    if (l->shown == l->limit || w.rc < 0 || buf_append_str(l->q.w.out, buf_view(&l->row)) < 0) {
        l->more = true;
        l->limit = l->shown; /* no gaps */
        return;
    }
    l->shown++;
}

/* --- all of them --- */

static void providers_visit(struct hub_round *r, struct coord *c)
{
    struct providers_list *l = list_owner(r, struct providers_list, q.round);
    struct registry_cursor at = {0};
    struct provider_facts f;

    while (registry_provider_next(c->registry, &at, &f))
        providers_add(l, c, &at, &f);
}

static void providers_write_counts(struct providers_list *l)
{
    struct writer *w = &l->q.w;
    bool first = true;

    writer_printf(w,
                  "],\"more\":%s,\"counts\":{\"connected\":%zu,\"trusted\":%zu,\"routable\":%zu},"
                  "\"by_gate\":{",
                  l->more ? "true" : "false", l->connected, l->trusted, l->routable);
    for (enum gate g = GATE_NONE; g < GATE_COUNT; g++) {
        if (l->by_gate[g] == 0)
            continue;
        writer_printf(w, "%s\"%s\":%zu", first ? "" : ",", gate_code(g), l->by_gate[g]);
        first = false;
    }
    writer_lit(w, "}}\n");
}

static void providers_free(struct providers_list *l)
{
    buf_free(&l->row);
    free(l);
}

static void providers_visited(struct hub_round *r)
{
    struct providers_list *l = list_owner(r, struct providers_list, q.round);

    if (l->q.text)
        writer_printf(&l->q.w, "%s%zu connected, %zu trusted, %zu routable\n",
                      l->more ? "there are more; see --gate and --limit\n" : "", l->connected,
                      l->trusted, l->routable);
    else
        providers_write_counts(l);
    admin_finish(&l->q);
    providers_free(l);
}

static bool providers_is_gate(const char *code)
{
    for (enum gate g = GATE_NONE; g < GATE_COUNT; g++) {
        if (strcmp(gate_code(g), code) == 0)
            return true;
    }
    return false;
}

static int providers_params(struct providers_list *l)
{
    int rc = admin_number(&l->q, "limit", 0, LIMIT_MAX, &l->limit);

    if (rc == 0)
        rc = admin_param(&l->q, "gate", l->gate);
    if (rc == 0 && !providers_is_gate(l->gate)) {
        admin_fail(&l->q, API_BAD_VALUE, "gate",
                   "there is no such gate; docs/internals/routing.md lists them, `ok` is none");
        rc = ERR_USAGE;
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

void admin_providers(struct coord *c, struct http_exchange *x)
{
    static const char *const names[] = {"gate", "limit", NULL};
    struct providers_list *l = calloc(1, sizeof *l);

    if (!l) {
        answer_no_memory(c, x);
        return;
    }
    l->limit = LIMIT_DEFAULT;
    buf_init(&l->row, ROW_MAX_BYTES);
    if (admin_begin(&l->q, c, x, names) < 0 || providers_params(l) < 0) {
        admin_finish(&l->q);
        providers_free(l);
        return;
    }
    if (l->q.text)
        writer_printf(&l->q.w, "%-36s  %-*s  %-12s %-3s %-3s %-3s %9s %6s  %s\n", "PROVIDER",
                      KEY_SHOWN, "KEY", "TRUST", "CON", "TRU", "ROU", "RUNNING", "MODELS", "GATE");
    else
        writer_lit(&l->q.w, "{\"object\":\"list\",\"data\":[");
    hub_round(c, &l->q.round, providers_visit, providers_visited);
}
