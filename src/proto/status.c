/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/status.h"

/* As json_append_str, with the five characters escaped that Go's encoder escapes. */
static int append_go(struct buf *out, struct str s)
{
    static const struct {
        struct str raw, escaped;
    } table[] = {{STR("<"), STR("\\u003c")},
                 {STR(">"), STR("\\u003e")},
                 {STR("&"), STR("\\u0026")},
                 {STR("\xE2\x80\xA8"), STR("\\u2028")},
                 {STR("\xE2\x80\xA9"), STR("\\u2029")}};
    struct buf plain;
    struct str rest;
    int rc;

    buf_init(&plain, 6 * s.n + 16);
    rc = json_append_str(&plain, s);
    rest = buf_view(&plain);
    while (rc == 0 && rest.n > 0) {
        struct str piece = {rest.p, 1}, text = piece;

        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            if (str_starts(rest, table[i].raw)) {
                piece = table[i].raw;
                text = table[i].escaped;
            }
        }
        rc = buf_append_str(out, text);
        rest = (struct str){rest.p + piece.n, rest.n - piece.n};
    }
    buf_free(&plain);
    return rc;
}

struct writer {
    struct buf *out;
    int (*append_str)(struct buf *out, struct str s);
    bool first;
    int rc;
};

static void key(struct writer *w, const char *name)
{
    if (w->rc == 0)
        w->rc = buf_printf(w->out, "%s\"%s\":", w->first ? "" : ",", name);
    w->first = false;
}

static void text(struct writer *w, const char *name, struct str s, bool always)
{
    if (s.n == 0 && !always)
        return;
    key(w, name);
    if (w->rc == 0)
        w->rc = w->append_str(w->out, s);
}

static void flag(struct writer *w, const char *name, int tri)
{
    if (tri == PROTO_TRI_UNSET)
        return;
    key(w, name);
    if (w->rc == 0)
        w->rc = buf_append_str(w->out, tri == PROTO_TRI_TRUE ? STR("true") : STR("false"));
}

static void map(struct writer *w, const char *name, const struct proto_map *m)
{
    if (m->n == 0)
        return;
    key(w, name);
    if (w->rc == 0)
        w->rc = json_append_map(w->out, m, w->append_str);
}

int status_canonical(const struct status_input *in, enum status_form form, struct buf *out)
{
    struct writer w = {out, form == STATUS_GO ? append_go : json_append_str, true, 0};

    w.rc = buf_append_str(out, STR("{"));
    /* In the bytewise order of the keys. */
    text(&w, "active_model_hash", in->active_model_hash, false);
    text(&w, "binary_hash", in->binary_hash, false);
    text(&w, "grpc_binary_hash", in->grpc_binary_hash, false);
    flag(&w, "hypervisor_active", in->hypervisor_active);
    text(&w, "image_bridge_hash", in->image_bridge_hash, false);
    map(&w, "model_hashes", &in->model_hashes);
    text(&w, "nonce", in->nonce, true);
    text(&w, "python_hash", in->python_hash, false);
    flag(&w, "rdma_disabled", in->rdma_disabled);
    text(&w, "runtime_hash", in->runtime_hash, false);
    flag(&w, "secure_boot_enabled", in->secure_boot_enabled);
    flag(&w, "sip_enabled", in->sip_enabled);
    map(&w, "template_hashes", &in->template_hashes);
    text(&w, "timestamp", in->timestamp, true);
    return w.rc == 0 ? buf_append_str(out, STR("}")) : w.rc;
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

static bool is_digit(char c)
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
        if (form[i] == 'd' ? !is_digit(t.p[i]) : t.p[i] != form[i])
            return false;
    }
    if (t.p[i] == '.') {
        i++;
        while (i < t.n && is_digit(t.p[i]))
            i++;
    }
    if (i + 1 == t.n)
        return t.p[i] == 'Z';
    return i + 6 == t.n && (t.p[i] == '+' || t.p[i] == '-') && is_digit(t.p[i + 1]) &&
           is_digit(t.p[i + 2]) && t.p[i + 3] == ':' && is_digit(t.p[i + 4]) &&
           is_digit(t.p[i + 5]);
}
