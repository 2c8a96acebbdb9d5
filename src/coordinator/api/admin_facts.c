/* SPDX-License-Identifier: Apache-2.0 */
/* The registry's facts as members of JSON objects. */
#include <math.h>

#include "attest/trust.h"
#include "coordinator/api/admin.h"
#include "coordinator/registry/gate.h"
#include "proto/shape.h"

void admin_write_text(struct writer *w, const char *name, struct str value)
{
    writer_printf(w, ",\"%s\":", name);
    if (w->rc == 0)
        writer_keep(w, json_append_str(w->out, value));
}

/* JSON has no infinity: what has no bound, or is not known, is null. */
static void admin_write_real(struct writer *w, const char *name, double value)
{
    if (isfinite(value))
        writer_printf(w, ",\"%s\":%.3f", name, value);
    else
        writer_printf(w, ",\"%s\":null", name);
}

static const char *admin_bool(bool b)
{
    return b ? "true" : "false";
}

static void admin_write_gate(struct writer *w, enum gate g)
{
    admin_write_text(w, "gate", str_from(gate_code(g)));
    if (g == GATE_NONE)
        return;
    admin_write_text(w, "meaning", str_from(gate_meaning(g)));
    admin_write_text(w, "way_out", str_from(gate_help(g)));
}

void admin_write_provider(struct writer *w, unsigned loop, const struct provider_facts *f)
{
    writer_printf(w,
                  "\"id\":\"%s\",\"key\":\"%s\",\"loop\":%u,\"connected\":%s,\"trusted\":%s,"
                  "\"routable\":%s",
                  f->id, f->key_hash, loop, admin_bool(f->connected), admin_bool(f->trusted),
                  admin_bool(f->routable));
    admin_write_gate(w, f->gate);
    admin_write_text(w, "trust", str_from(trust_name(f->trust)));
    admin_write_text(w, "trust_reason", str_from(trust_reason_code(f->reason)));
    admin_write_text(w, "backend", f->backend);
    admin_write_text(w, "version", f->version);
    admin_write_text(w, "chip_name", f->chip_name);
    admin_write_text(w, "machine_model", f->machine_model);
    writer_printf(w,
                  ",\"running\":%lld,\"max_running\":%lld,\"missed_challenges\":%d,"
                  "\"back_off_ms\":%lld,\"late_chunks\":%llu,\"ignored_messages\":%llu",
                  (long long)f->running, (long long)f->max_running, f->missed_challenges,
                  (long long)(f->back_off_us / 1000), (unsigned long long)f->late_chunks,
                  (unsigned long long)f->ignored_messages);
    admin_write_real(w, "failed_share", f->failed_share);
}

void admin_write_offer(struct writer *w, const struct offer_facts *f)
{
    const char *name, *what;
    double ms;

    writer_lit(w, "\"model\":");
    if (w->rc == 0)
        writer_keep(w, json_append_str(w->out, f->model));
    admin_write_text(w, "gate", str_from(gate_code(f->gate)));
    writer_printf(w, ",\"context_length\":%lld,\"num_running\":%lld,\"num_waiting\":%lld",
                  (long long)f->context_length, (long long)f->num_running,
                  (long long)f->num_waiting);
    admin_write_real(w, "decode_tps", f->decode_tps);
    if (f->stream_limit < INT64_MAX)
        writer_printf(w, ",\"stream_limit\":%lld", (long long)f->stream_limit);
    admin_write_real(w, "cost_ms", f->cost_ms);
    writer_lit(w, ",\"cost\":{\"unit\":\"ms\"");
    for (size_t i = 0; cost_term(&f->cost, i, &name, &what, &ms); i++)
        admin_write_real(w, name, ms);
    writer_char(w, '}');
}
