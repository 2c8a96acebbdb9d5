/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "proto/shape.h"

/* --- strings --- */

/* Bytes that stand for themselves between quotes. */
static size_t encode_plain_run(struct str s)
{
    size_t n = 0;

    while (n < s.n) {
        unsigned char c = (unsigned char)s.p[n];

        if (c < 0x20 || c == '"' || c == '\\' || c >= 0x80)
            break;
        n++;
    }
    return n;
}

/* Length of the UTF-8 sequence at the start, 0 when it is none. */
static size_t encode_utf8_run(struct str s)
{
    for (size_t n = 2; n <= 4 && n <= s.n; n++) {
        if (str_is_utf8((struct str){s.p, n}))
            return n;
    }
    return 0;
}

static int encode_append_escape(struct buf *out, unsigned char c)
{
    static const char short_form[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (size_t i = 0; i + 1 < sizeof short_form; i += 2) {
        if (c == (unsigned char)short_form[i])
            return buf_printf(out, "\\%c", short_form[i + 1]);
    }
    return buf_printf(out, "\\u%04x", c);
}

int json_append_str(struct buf *out, struct str s)
{
    int rc = buf_append_str(out, STR("\""));

    while (rc == 0 && s.n > 0) {
        size_t n = encode_plain_run(s);

        if (n == 0 && (unsigned char)s.p[0] >= 0x80) {
            n = encode_utf8_run(s);
            if (n == 0) {
                rc = buf_append_str(out, STR("\xEF\xBF\xBD"));
                s = (struct str){s.p + 1, s.n - 1};
                continue;
            }
        }
        if (n > 0)
            rc = buf_append(out, s.p, n);
        else
            rc = encode_append_escape(out, (unsigned char)s.p[n++]);
        s = (struct str){s.p + n, s.n - n};
    }
    return rc == 0 ? buf_append_str(out, STR("\"")) : rc;
}

/* --- values --- */

static int encode_put_str(const struct shape_field *f, const char *at, struct buf *out)
{
    struct str s = *(const struct str *)(const void *)at;

    if (!s.p && f->flags & SHAPE_NULL_EMPTY)
        return buf_append_str(out, STR("null"));
    return json_append_str(out, s);
}

static int encode_put_i64(const struct shape_field *f, const char *at, struct buf *out)
{
    int64_t v = *(const int64_t *)(const void *)at;

    (void)f;
    return buf_printf(out, "%lld", (long long)(v == PROTO_UNSET ? 0 : v));
}

static int encode_put_f64(const struct shape_field *f, const char *at, struct buf *out)
{
    double v = *(const double *)(const void *)at;

    (void)f;
    return buf_printf(out, "%.15g", isfinite(v) ? v : 0);
}

static int encode_put_flag(struct buf *out, bool v)
{
    return buf_append_str(out, v ? STR("true") : STR("false"));
}

static int encode_put_bool(const struct shape_field *f, const char *at, struct buf *out)
{
    (void)f;
    return encode_put_flag(out, *(const bool *)at);
}

static int encode_put_tri(const struct shape_field *f, const char *at, struct buf *out)
{
    (void)f;
    return encode_put_flag(out, *(const int *)(const void *)at == PROTO_TRI_TRUE);
}

static int encode_put_raw(const struct shape_field *f, const char *at, struct buf *out)
{
    (void)f;
    return buf_append_str(out, *(const struct str *)(const void *)at);
}

static int encode_put_strs(const struct shape_field *f, const char *at, struct buf *out)
{
    const struct proto_strs *list = (const struct proto_strs *)(const void *)at;
    int rc = buf_append_str(out, STR("["));

    (void)f;
    for (size_t i = 0; rc == 0 && i < list->n; i++) {
        if (i > 0)
            rc = buf_append_str(out, STR(","));
        if (rc == 0)
            rc = json_append_str(out, list->items[i]);
    }
    return rc == 0 ? buf_append_str(out, STR("]")) : rc;
}

static int encode_by_key(const void *a, const void *b)
{
    struct str x = ((const struct proto_pair *)a)->key, y = ((const struct proto_pair *)b)->key;
    int c = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);

    return c ? c : (x.n > y.n) - (x.n < y.n);
}

int json_append_map(struct buf *out, const struct proto_map *map)
{
    struct proto_pair *sorted = calloc(map->n + 1, sizeof *sorted);
    int rc = sorted ? buf_append_str(out, STR("{")) : ERR_NOMEM;

    if (rc == 0 && map->n > 0) {
        memcpy(sorted, map->items, map->n * sizeof *sorted);
        qsort(sorted, map->n, sizeof *sorted, encode_by_key);
    }
    for (size_t i = 0; rc == 0 && i < map->n; i++) {
        if (i > 0)
            rc = buf_append_str(out, STR(","));
        if (rc == 0)
            rc = json_append_str(out, sorted[i].key);
        if (rc == 0)
            rc = buf_append_str(out, STR(":"));
        if (rc == 0)
            rc = json_append_str(out, sorted[i].value);
    }
    free(sorted);
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}

static int encode_put_map(const struct shape_field *f, const char *at, struct buf *out)
{
    (void)f;
    return json_append_map(out, (const struct proto_map *)(const void *)at);
}

static int encode_put_obj(const struct shape_field *f, const char *at, struct buf *out)
{
    return shape_encode(f->sub(), at, out);
}

static int encode_put_objs(const struct shape_field *f, const char *base, struct buf *out)
{
    const char *items = *(const char *const *)(const void *)(base + f->offset);
    size_t n = *(const size_t *)(const void *)(base + f->other_offset);
    int rc = buf_append_str(out, STR("["));

    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (i > 0)
            rc = buf_append_str(out, STR(","));
        if (rc == 0)
            rc = shape_encode(f->sub(), items + i * f->sub()->size, out);
    }
    return rc == 0 ? buf_append_str(out, STR("]")) : rc;
}

static int (*const putters[])(const struct shape_field *f, const char *at, struct buf *out) = {
    [SHAPE_STR] = encode_put_str,   [SHAPE_I64] = encode_put_i64, [SHAPE_F64] = encode_put_f64,
    [SHAPE_BOOL] = encode_put_bool, [SHAPE_TRI] = encode_put_tri, [SHAPE_RAW] = encode_put_raw,
    [SHAPE_STRS] = encode_put_strs, [SHAPE_MAP] = encode_put_map, [SHAPE_OBJ] = encode_put_obj,
};

/* --- objects --- */

static bool encode_is_absent(const struct shape_field *f, const char *base)
{
    const void *at = base + f->offset;

    switch (f->type) {
    case SHAPE_STR:
    case SHAPE_RAW:
        return ((const struct str *)at)->n == 0;
    case SHAPE_I64:
        return *(const int64_t *)at == PROTO_UNSET;
    case SHAPE_F64:
        return !(*(const double *)at > 0) && !(*(const double *)at < 0);
    case SHAPE_TRI:
        return *(const int *)at == PROTO_TRI_UNSET;
    case SHAPE_STRS:
        return ((const struct proto_strs *)at)->n == 0;
    case SHAPE_MAP:
        return ((const struct proto_map *)at)->n == 0;
    case SHAPE_OBJ:
        return f->other_offset != SIZE_MAX && !*(const bool *)(base + f->other_offset);
    case SHAPE_OBJS:
        return *(const size_t *)(const void *)(base + f->other_offset) == 0;
    case SHAPE_BOOL:
        return !*(const bool *)at;
    }
    return false;
}

int shape_encode_members(const struct shape *shape, const void *value, bool first, struct buf *out)
{
    const char *base = value;
    int rc = 0;

    for (const struct shape_field *f = shape->fields; rc == 0 && f->name; f++) {
        if (f->flags & SHAPE_OMIT_EMPTY && encode_is_absent(f, base))
            continue;
        rc = buf_printf(out, "%s\"%s\":", first ? "" : ",", f->name);
        first = false;
        if (rc == 0)
            rc = f->type == SHAPE_OBJS ? encode_put_objs(f, base, out)
                                       : putters[f->type](f, base + f->offset, out);
    }
    return rc;
}

int shape_encode(const struct shape *shape, const void *value, struct buf *out)
{
    int rc = buf_append_str(out, STR("{"));

    if (rc == 0)
        rc = shape_encode_members(shape, value, true, out);
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}
