/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/shape.h"

#include <stdlib.h>
#include <yyjson.h>

#include "proto/span.h"

enum { POOL_BYTES = 1 << 20 };

int proto_scratch_init(struct proto_scratch *s, size_t max_bytes)
{
    *s = (struct proto_scratch){.mem_bytes = POOL_BYTES};
    arena_init(&s->region, max_bytes);
    s->mem = malloc(s->mem_bytes);
    return s->mem ? 0 : ERR_NOMEM;
}

static void drop_doc(struct proto_scratch *s)
{
    yyjson_doc_free(s->doc);
    s->doc = NULL;
}

void proto_scratch_free(struct proto_scratch *s)
{
    drop_doc(s);
    arena_free(&s->region);
    free(s->mem);
    *s = (struct proto_scratch){0};
}

/* --- decoding --- */

struct decode {
    struct proto_scratch *s;
    struct str json; /* of the outermost object: RAW fields point into it */
    struct err *e;
};

static int wrong_type(const struct decode *d, const char *name, const char *want)
{
    return err_set(d->e, ERR_TYPE, "%s must be %s", name, want);
}

static struct str str_of(yyjson_val *v)
{
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

static int get_str(struct decode *d, const struct shape_field *f, yyjson_val *v, char *at)
{
    if (!yyjson_is_str(v))
        return wrong_type(d, f->name, "a string");
    *(struct str *)(void *)at = str_of(v);
    return 0;
}

static int get_i64(struct decode *d, const struct shape_field *f, yyjson_val *v, char *at)
{
    if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
        return wrong_type(d, f->name, "a whole number");
    *(int64_t *)(void *)at = yyjson_get_sint(v);
    return 0;
}

static int get_f64(struct decode *d, const struct shape_field *f, yyjson_val *v, char *at)
{
    if (!yyjson_is_num(v))
        return wrong_type(d, f->name, "a number");
    *(double *)(void *)at = yyjson_get_num(v);
    return 0;
}

static int get_bool(struct decode *d, const struct shape_field *f, yyjson_val *v, char *at)
{
    if (!yyjson_is_bool(v))
        return wrong_type(d, f->name, "true or false");
    *(bool *)(void *)at = yyjson_get_bool(v);
    return 0;
}

static int get_tri(struct decode *d, const struct shape_field *f, yyjson_val *v, char *at)
{
    if (!yyjson_is_bool(v))
        return wrong_type(d, f->name, "true or false");
    *(int *)(void *)at = yyjson_get_bool(v) ? PROTO_TRI_TRUE : PROTO_TRI_FALSE;
    return 0;
}

static int get_strs(struct decode *d, const struct shape_field *f, yyjson_val *v, char *at)
{
    struct proto_strs *list = (struct proto_strs *)(void *)at;
    yyjson_arr_iter it;
    yyjson_val *item;

    if (!yyjson_is_arr(v))
        return wrong_type(d, f->name, "an array of strings");
    list->items = arena_array(&d->s->region, struct str, yyjson_arr_size(v) + 1);
    if (!list->items)
        return ERR_LIMIT;
    yyjson_arr_iter_init(v, &it);
    while ((item = yyjson_arr_iter_next(&it))) {
        if (!yyjson_is_str(item))
            return wrong_type(d, f->name, "an array of strings");
        list->items[list->n++] = str_of(item);
    }
    return 0;
}

static int get_map(struct decode *d, const struct shape_field *f, yyjson_val *v, char *at)
{
    struct proto_map *map = (struct proto_map *)(void *)at;
    yyjson_obj_iter it;
    yyjson_val *key;

    if (!yyjson_is_obj(v))
        return wrong_type(d, f->name, "an object of strings");
    map->items = arena_array(&d->s->region, struct proto_pair, yyjson_obj_size(v) + 1);
    if (!map->items)
        return ERR_LIMIT;
    yyjson_obj_iter_init(v, &it);
    while ((key = yyjson_obj_iter_next(&it))) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);

        if (!yyjson_is_str(value))
            return wrong_type(d, f->name, "an object of strings");
        map->items[map->n++] = (struct proto_pair){str_of(key), str_of(value)};
    }
    return 0;
}

static int decode_object(struct decode *d, const struct shape *shape, yyjson_val *obj, void *ret);

static int get_obj(struct decode *d, const struct shape_field *f, yyjson_val *v, char *at)
{
    if (!yyjson_is_obj(v))
        return wrong_type(d, f->name, "an object");
    return decode_object(d, f->sub(), v, at);
}

static int get_objs(struct decode *d, const struct shape_field *f, yyjson_val *v, char *at)
{
    yyjson_arr_iter it;
    yyjson_val *item;
    size_t n = yyjson_arr_size(v), i = 0;
    char *items;

    if (!yyjson_is_arr(v))
        return wrong_type(d, f->name, "an array of objects");
    items = arena_array_bytes(&d->s->region, f->sub()->size, n + 1);
    if (!items)
        return err_set(d->e, ERR_LIMIT, "%s has too many elements", f->name);
    yyjson_arr_iter_init(v, &it);
    while ((item = yyjson_arr_iter_next(&it))) {
        int rc = get_obj(d, f, item, items + f->sub()->size * i++);

        if (rc < 0)
            return rc;
    }
    *(void **)(void *)at = items;
    return 0;
}

/* The bytes as they came. Only members of the outermost object can be RAW. */
static int get_raw(struct decode *d, const struct shape_field *f, yyjson_val *v, char *at)
{
    int rc = span_get_unique(d->json, f->name, (struct str *)(void *)at);

    (void)v;
    return rc < 0 ? err_set(d->e, rc == ERR_EXISTS ? ERR_PROTOCOL : rc, "%s %s", f->name,
                            rc == ERR_EXISTS ? "stands twice" : "cannot be read")
                  : 0;
}

static int (*const getters[])(struct decode *d, const struct shape_field *f, yyjson_val *v,
                              char *at) = {
    [SHAPE_STR] = get_str,   [SHAPE_I64] = get_i64, [SHAPE_F64] = get_f64,
    [SHAPE_BOOL] = get_bool, [SHAPE_TRI] = get_tri, [SHAPE_RAW] = get_raw,
    [SHAPE_STRS] = get_strs, [SHAPE_MAP] = get_map, [SHAPE_OBJ] = get_obj,
    [SHAPE_OBJS] = get_objs,
};

static void set_absent(const struct shape *shape, char *base)
{
    memset(base, 0, shape->size);
    for (const struct shape_field *f = shape->fields; f->name; f++) {
        if (f->type == SHAPE_I64 && f->flags & SHAPE_OMIT_EMPTY)
            *(int64_t *)(void *)(base + f->offset) = PROTO_UNSET;
        else if (f->type == SHAPE_TRI)
            *(int *)(void *)(base + f->offset) = PROTO_TRI_UNSET;
        else if (f->type == SHAPE_OBJ)
            set_absent(f->sub(), base + f->offset);
    }
}

/* A key that stands twice means its last value, as in the existing system. */
static yyjson_val *last_member(yyjson_val *obj, const char *name)
{
    yyjson_obj_iter it;
    yyjson_val *key, *found = NULL;

    yyjson_obj_iter_init(obj, &it);
    while ((key = yyjson_obj_iter_next(&it))) {
        if (yyjson_equals_str(key, name))
            found = yyjson_obj_iter_get_val(key);
    }
    return found;
}

static int decode_object(struct decode *d, const struct shape *shape, yyjson_val *obj, void *ret)
{
    char *base = ret;

    set_absent(shape, base);
    for (const struct shape_field *f = shape->fields; f->name; f++) {
        yyjson_val *v = last_member(obj, f->name);
        int rc;

        if (!v || yyjson_is_null(v)) {
            if (f->flags & SHAPE_REQUIRED)
                return err_set(d->e, ERR_MISSING, "%s lacks %s", shape->name, f->name);
            continue;
        }
        rc = getters[f->type](d, f, v, base + f->offset);
        if (rc < 0)
            return rc;
        if (f->type == SHAPE_OBJ && f->other_offset != SIZE_MAX)
            *(bool *)(base + f->other_offset) = true;
        if (f->type == SHAPE_OBJS)
            *(size_t *)(void *)(base + f->other_offset) = yyjson_arr_size(v);
    }
    return 0;
}

int shape_open(struct proto_scratch *s, struct str json, struct err *ret_err)
{
    yyjson_alc alc;
    yyjson_read_err read_err;

    drop_doc(s);
    arena_reset(&s->region);
    /* Frames that fit the pool never touch the heap; larger ones may, within their frame limit. */
    if (yyjson_read_max_memory_usage(json.n, 0) <= s->mem_bytes &&
        yyjson_alc_pool_init(&alc, s->mem, s->mem_bytes))
        s->doc = yyjson_read_opts((char *)json.p, json.n, 0, &alc, &read_err);
    else
        s->doc = yyjson_read_opts((char *)json.p, json.n, 0, NULL, &read_err);
    if (!s->doc)
        return err_set(ret_err, ERR_PARSE, "not JSON: %s at byte %zu",
                       json.n ? read_err.msg : "nothing there", json.n ? read_err.pos : 0);
    if (!yyjson_is_obj(yyjson_doc_get_root(s->doc)))
        return err_set(ret_err, ERR_PARSE, "not a JSON object");
    return 0;
}

int shape_decode_open(struct proto_scratch *s, const struct shape *shape, struct str json,
                      void *ret_struct, struct err *ret_err)
{
    struct decode d = {s, json, ret_err};

    return decode_object(&d, shape, yyjson_doc_get_root(s->doc), ret_struct);
}

int shape_open_str(const struct proto_scratch *s, const char *name, struct str *ret_value,
                   struct err *ret_err)
{
    yyjson_val *v = last_member(yyjson_doc_get_root(s->doc), name);

    if (v && !yyjson_is_str(v) && !yyjson_is_null(v))
        return err_set(ret_err, ERR_TYPE, "%s must be a string", name);
    *ret_value = str_of(v);
    return 0;
}

int shape_decode(struct proto_scratch *s, const struct shape *shape, struct str json,
                 void *ret_struct, struct err *ret_err)
{
    int rc = shape_open(s, json, ret_err);

    return rc < 0 ? rc : shape_decode_open(s, shape, json, ret_struct, ret_err);
}
