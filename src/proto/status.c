/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/status.h"

struct status_writer {
    struct buf *out;
    bool first;
    int rc;
};

static void status_key(struct status_writer *w, const char *name)
{
    if (w->rc == 0)
        w->rc = buf_printf(w->out, "%s\"%s\":", w->first ? "" : ",", name);
    w->first = false;
}

static void status_text(struct status_writer *w, const char *name, struct str s, bool always)
{
    if (s.n == 0 && !always)
        return;
    status_key(w, name);
    if (w->rc == 0)
        w->rc = json_append_str(w->out, s);
}

static void status_flag(struct status_writer *w, const char *name, int tri)
{
    if (tri == PROTO_TRI_UNSET)
        return;
    status_key(w, name);
    if (w->rc == 0)
        w->rc = buf_append_str(w->out, tri == PROTO_TRI_TRUE ? STR("true") : STR("false"));
}

static void status_map(struct status_writer *w, const char *name, const struct proto_map *m)
{
    if (m->n == 0)
        return;
    status_key(w, name);
    if (w->rc == 0)
        w->rc = json_append_map(w->out, m);
}

int status_canonical(const struct status_input *in, struct buf *out)
{
    struct status_writer w = {out, true, 0};

    w.rc = buf_append_str(out, STR("{"));
    /* In the bytewise order of the keys. */
    status_text(&w, "active_model_hash", in->active_model_hash, false);
    status_text(&w, "binary_hash", in->binary_hash, false);
    status_text(&w, "grpc_binary_hash", in->grpc_binary_hash, false);
    status_flag(&w, "hypervisor_active", in->hypervisor_active);
    status_text(&w, "image_bridge_hash", in->image_bridge_hash, false);
    status_map(&w, "model_hashes", &in->model_hashes);
    status_text(&w, "nonce", in->nonce, true);
    status_text(&w, "python_hash", in->python_hash, false);
    status_flag(&w, "rdma_disabled", in->rdma_disabled);
    status_text(&w, "runtime_hash", in->runtime_hash, false);
    status_flag(&w, "secure_boot_enabled", in->secure_boot_enabled);
    status_flag(&w, "sip_enabled", in->sip_enabled);
    status_map(&w, "template_hashes", &in->template_hashes);
    status_text(&w, "timestamp", in->timestamp, true);
    return w.rc == 0 ? buf_append_str(out, STR("}")) : w.rc;
}

/* What follows `at`, up to the next character that Go escapes, and how it does. */
static size_t status_plain_run(struct str s, struct str *ret_raw, struct str *ret_escaped)
{
    static const struct {
        struct str raw, escaped;
    } table[] = {{STR("<"), STR("\\u003c")},
                 {STR(">"), STR("\\u003e")},
                 {STR("&"), STR("\\u0026")},
                 {STR("\xE2\x80\xA8"), STR("\\u2028")},
                 {STR("\xE2\x80\xA9"), STR("\\u2029")}};

    for (size_t n = 0; n < s.n; n++) {
        struct str rest = {s.p + n, s.n - n};

        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            if (str_starts(rest, table[i].raw)) {
                *ret_raw = table[i].raw;
                *ret_escaped = table[i].escaped;
                return n;
            }
        }
    }
    *ret_raw = *ret_escaped = (struct str){0};
    return s.n;
}

int status_go_form(struct str canonical, struct buf *out)
{
    struct str raw, escaped;
    int rc = 0;

    while (rc == 0 && canonical.n > 0) {
        size_t n = status_plain_run(canonical, &raw, &escaped);

        rc = buf_append(out, canonical.p, n);
        if (rc == 0)
            rc = buf_append_str(out, escaped);
        n += raw.n;
        canonical = (struct str){canonical.p + n, canonical.n - n};
    }
    return rc;
}

size_t status_map_bytes(const struct status_input *in)
{
    const struct proto_map *maps[] = {&in->model_hashes, &in->template_hashes};
    size_t bytes = 0;

    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        if (maps[i]->n > PROTO_LIST_MAX)
            return SIZE_MAX;
        for (size_t k = 0; k < maps[i]->n; k++)
            bytes += maps[i]->items[k].key.n + maps[i]->items[k].value.n;
    }
    return bytes;
}

struct status_input status_of_response(const struct msg_attestation_response *m,
                                       struct str timestamp)
{
    return (struct status_input){
        .nonce = m->nonce,
        .timestamp = timestamp,
        .hypervisor_active = m->hypervisor_active,
        .rdma_disabled = m->rdma_disabled,
        .sip_enabled = m->sip_enabled,
        .secure_boot_enabled = m->secure_boot_enabled,
        .active_model_hash = m->active_model_hash,
        .binary_hash = m->binary_hash,
        .python_hash = m->python_hash,
        .runtime_hash = m->runtime_hash,
        .model_hashes = m->model_hashes,
        .template_hashes = m->template_hashes,
    };
}

static bool status_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool status_is_timestamp(struct str t)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    size_t i;

    if (t.n < sizeof form || t.n > STATUS_TIMESTAMP_MAX_BYTES)
        return false;
    for (i = 0; i < sizeof form - 1; i++) {
        if (form[i] == 'd' ? !status_is_digit(t.p[i]) : t.p[i] != form[i])
            return false;
    }
    if (t.p[i] == '.') {
        i++;
        while (i < t.n && status_is_digit(t.p[i]))
            i++;
    }
    if (i + 1 == t.n)
        return t.p[i] == 'Z';
    return i + 6 == t.n && (t.p[i] == '+' || t.p[i] == '-') && status_is_digit(t.p[i + 1]) &&
           status_is_digit(t.p[i + 2]) && t.p[i + 3] == ':' && status_is_digit(t.p[i + 4]) &&
           status_is_digit(t.p[i + 5]);
}
