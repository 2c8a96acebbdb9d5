/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/shape.h"

#include <sodium.h>
#include <stdlib.h>
#include <yyjson.h>

#include "proto/json_wiped.h"
#include "proto/span.h"

enum { POOL_BYTES = 1 << 20 };

int proto_scratch_init(struct proto_scratch *s, size_t max_bytes)
{
    *s = (struct proto_scratch){.mem_bytes = POOL_BYTES};
    arena_init(&s->region, max_bytes);
    s->mem = malloc(s->mem_bytes);
    return s->mem ? 0 : ERR_NOMEM;
}

static void shape_drop_doc(struct proto_scratch *s)
{
    yyjson_doc_free(s->doc);
    s->doc = NULL;
    sodium_memzero(s->mem, s->mem_used);
    s->mem_used = 0;
}

void proto_scratch_free(struct proto_scratch *s)
{
    if (s->mem)
        shape_drop_doc(s);
    arena_free(&s->region);
    free(s->mem);
    *s = (struct proto_scratch){0};
}

/* --- decoding --- */

struct shape_decode_state {
    struct proto_scratch *s;
    struct str json; /* of the outermost object: RAW fields point into it */
    struct err *e;
};

static int shape_wrong_type(const struct shape_decode_state *d, const char *name, const char *want)
{
    return err_set(d->e, ERR_TYPE, "%s must be %s", name, want);
}

static int shape_too_many(const struct shape_decode_state *d, const char *name)
{
    return err_set(d->e, ERR_LIMIT, "%s has more than %d entries", name, PROTO_LIST_MAX);
}

static int shape_no_memory(const struct shape_decode_state *d, const char *name)
{
    return err_set(d->e, ERR_LIMIT, "%s takes more memory than a message may", name);
}

static struct str shape_str_of(yyjson_val *v)
{
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

static int shape_get_str(struct shape_decode_state *d, const struct shape_field *f, yyjson_val *v,
                         char *at)
{
    if (!yyjson_is_str(v))
        return shape_wrong_type(d, f->name, "a string");
    *(struct str *)(void *)at = shape_str_of(v);
    return 0;
}

static int shape_get_i64(struct shape_decode_state *d, const struct shape_field *f, yyjson_val *v,
                         char *at)
{
    if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
        return shape_wrong_type(d, f->name, "a whole number");
    *(int64_t *)(void *)at = yyjson_get_sint(v);
    return 0;
}

static int shape_get_f64(struct shape_decode_state *d, const struct shape_field *f, yyjson_val *v,
                         char *at)
{
    if (!yyjson_is_num(v))
        return shape_wrong_type(d, f->name, "a number");
    *(double *)(void *)at = yyjson_get_num(v);
    return 0;
}

static int shape_get_bool(struct shape_decode_state *d, const struct shape_field *f, yyjson_val *v,
                          char *at)
{
    if (!yyjson_is_bool(v))
        return shape_wrong_type(d, f->name, "true or false");
    *(bool *)(void *)at = yyjson_get_bool(v);
    return 0;
}

static int shape_get_tri(struct shape_decode_state *d, const struct shape_field *f, yyjson_val *v,
                         char *at)
{
    if (!yyjson_is_bool(v))
        return shape_wrong_type(d, f->name, "true or false");
    *(int *)(void *)at = yyjson_get_bool(v) ? PROTO_TRI_TRUE : PROTO_TRI_FALSE;
    return 0;
}

static int shape_get_strs(struct shape_decode_state *d, const struct shape_field *f, yyjson_val *v,
                          char *at)
{
    struct proto_strs *list = (struct proto_strs *)(void *)at;
    yyjson_arr_iter it;
    yyjson_val *item;

    if (!yyjson_is_arr(v))
        return shape_wrong_type(d, f->name, "an array of strings");
    if (yyjson_arr_size(v) > PROTO_LIST_MAX)
        return shape_too_many(d, f->name);
    list->items = arena_array(&d->s->region, struct str, yyjson_arr_size(v) + 1);
    if (!list->items)
        return shape_no_memory(d, f->name);
    yyjson_arr_iter_init(v, &it);
    while ((item = yyjson_arr_iter_next(&it))) {
        if (!yyjson_is_str(item))
            return shape_wrong_type(d, f->name, "an array of strings");
        list->items[list->n++] = shape_str_of(item);
    }
    return 0;
}

static int shape_get_map(struct shape_decode_state *d, const struct shape_field *f, yyjson_val *v,
                         char *at)
{
    struct proto_map *map = (struct proto_map *)(void *)at;
    yyjson_obj_iter it;
    yyjson_val *key;

    if (!yyjson_is_obj(v))
        return shape_wrong_type(d, f->name, "an object of strings");
    if (yyjson_obj_size(v) > PROTO_LIST_MAX)
        return shape_too_many(d, f->name);
    map->items = arena_array(&d->s->region, struct proto_pair, yyjson_obj_size(v) + 1);
    if (!map->items)
        return shape_no_memory(d, f->name);
    yyjson_obj_iter_init(v, &it);
    while ((key = yyjson_obj_iter_next(&it))) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);

        if (!yyjson_is_str(value))
            return shape_wrong_type(d, f->name, "an object of strings");
        map->items[map->n++] = (struct proto_pair){shape_str_of(key), shape_str_of(value)};
    }
    return 0;
}

static int shape_decode_object(struct shape_decode_state *d, const struct shape *shape,
                               yyjson_val *obj, void *ret);

static int shape_get_obj(struct shape_decode_state *d, const struct shape_field *f, yyjson_val *v,
                         char *at)
{
    if (!yyjson_is_obj(v))
        return shape_wrong_type(d, f->name, "an object");
    return shape_decode_object(d, f->sub(), v, at);
}

static int shape_get_objs(struct shape_decode_state *d, const struct shape_field *f, yyjson_val *v,
                          char *at)
{
    yyjson_arr_iter it;
    yyjson_val *item;
    size_t n = yyjson_arr_size(v), i = 0;
    char *items;

    if (!yyjson_is_arr(v))
        return shape_wrong_type(d, f->name, "an array of objects");
    if (n > PROTO_LIST_MAX)
        return shape_too_many(d, f->name);
    items = arena_array_bytes(&d->s->region, f->sub()->size, n + 1);
    if (!items)
        return shape_no_memory(d, f->name);
    yyjson_arr_iter_init(v, &it);
    while ((item = yyjson_arr_iter_next(&it))) {
        int rc = shape_get_obj(d, f, item, items + f->sub()->size * i++);

        if (rc < 0)
            return rc;
    }
    *(void **)(void *)at = items;
    return 0;
}

/* The bytes as they came. Only members of the outermost object can be RAW. */
static int shape_get_raw(struct shape_decode_state *d, const struct shape_field *f, yyjson_val *v,
                         char *at)
{
    int rc = span_get_unique(d->json, f->name, (struct str *)(void *)at);

    (void)v;
    return rc < 0 ? err_set(d->e, rc == ERR_EXISTS ? ERR_PROTOCOL : rc, "%s %s", f->name,
                            rc == ERR_EXISTS ? "stands twice" : "cannot be read")
                  : 0;
}

static int (*const shape_getters[])(struct shape_decode_state *d, const struct shape_field *f,
                                    yyjson_val *v, char *at) = {
    [SHAPE_STR] = shape_get_str,   [SHAPE_I64] = shape_get_i64, [SHAPE_F64] = shape_get_f64,
    [SHAPE_BOOL] = shape_get_bool, [SHAPE_TRI] = shape_get_tri, [SHAPE_RAW] = shape_get_raw,
    [SHAPE_STRS] = shape_get_strs, [SHAPE_MAP] = shape_get_map, [SHAPE_OBJ] = shape_get_obj,
    [SHAPE_OBJS] = shape_get_objs,
};

static void shape_set_absent(const struct shape *shape, char *base)
{
    memset(base, 0, shape->size);
    for (const struct shape_field *f = shape->fields; f->name; f++) {
        if (f->type == SHAPE_I64 && f->flags & SHAPE_OMIT_EMPTY)
            *(int64_t *)(void *)(base + f->offset) = PROTO_UNSET;
        else if (f->type == SHAPE_TRI)
            *(int *)(void *)(base + f->offset) = PROTO_TRI_UNSET;
        else if (f->type == SHAPE_OBJ)
            shape_set_absent(f->sub(), base + f->offset);
    }
}

/* A key that stands twice means its last value, as in the existing system. */
static yyjson_val *shape_last_member(yyjson_val *obj, const char *name)
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

static int shape_decode_object(struct shape_decode_state *d, const struct shape *shape,
                               yyjson_val *obj, void *ret)
{
    char *base = ret;

    shape_set_absent(shape, base);
    for (const struct shape_field *f = shape->fields; f->name; f++) {
        yyjson_val *v = shape_last_member(obj, f->name);
        int rc;

        if (!v || yyjson_is_null(v)) {
            if (f->flags & SHAPE_REQUIRED)
                return err_set(d->e, ERR_MISSING, "%s lacks %s", shape->name, f->name);
            continue;
        }
        rc = shape_getters[f->type](d, f, v, base + f->offset);
        if (rc < 0)
            return rc;
        if (f->type == SHAPE_OBJ && f->other_offset != SIZE_MAX)
            *(bool *)(base + f->other_offset) = true;
        if (f->type == SHAPE_OBJS)
            *(size_t *)(void *)(base + f->other_offset) = yyjson_arr_size(v);
    }
    return 0;
}

/* No fewer values than the text has: one, and one behind each of these bytes, wherever they stand.
 */
static size_t shape_values_in(struct str json)
{
    size_t n = 1;

    for (size_t i = 0; i < json.n; i++)
        n += json.p[i] == ',' || json.p[i] == ':' || json.p[i] == '[' || json.p[i] == '{';
    return n;
}

/* Frames that fit the pool never touch the heap; larger ones do, within their frame limit, and a
 * tree of 16 bytes a value. */
static int shape_parse(struct proto_scratch *s, struct str json, struct err *ret_err)
{
    size_t most = yyjson_read_max_memory_usage(json.n, 0);
    bool fits = most <= s->mem_bytes;
    yyjson_read_err e = {.msg = "nothing there"};
    yyjson_alc alc;

    if (fits && yyjson_alc_pool_init(&alc, s->mem, most))
        s->mem_used = most;
    else
        alc = json_wiped_alc();
    if (!fits && shape_values_in(json) > PROTO_VALUES_MAX)
        return err_set(ret_err, ERR_LIMIT, "the message has more than %d values", PROTO_VALUES_MAX);
    s->doc = json.n ? yyjson_read_opts((char *)json.p, json.n, 0, &alc, &e) : NULL;
    return s->doc ? 0 : err_set(ret_err, ERR_PARSE, "not JSON: %s at byte %zu", e.msg, e.pos);
}

int shape_open(struct proto_scratch *s, struct str json, struct err *ret_err)
{
    int rc;

    shape_drop_doc(s);
    arena_reset(&s->region);
    rc = shape_parse(s, json, ret_err);
    if (rc == 0 && !yyjson_is_obj(yyjson_doc_get_root(s->doc)))
        rc = err_set(ret_err, ERR_PARSE, "not a JSON object");
    return rc;
}

int shape_decode_open(struct proto_scratch *s, const struct shape *shape, struct str json,
                      void *ret_struct, struct err *ret_err)
{
    struct shape_decode_state d = {s, json, ret_err};

    return shape_decode_object(&d, shape, yyjson_doc_get_root(s->doc), ret_struct);
}

int shape_open_str(const struct proto_scratch *s, const char *name, struct str *ret_value,
                   struct err *ret_err)
{
    yyjson_val *v = shape_last_member(yyjson_doc_get_root(s->doc), name);

    if (v && !yyjson_is_str(v) && !yyjson_is_null(v))
        return err_set(ret_err, ERR_TYPE, "%s must be a string", name);
    *ret_value = shape_str_of(v);
    return 0;
}

int shape_decode(struct proto_scratch *s, const struct shape *shape, struct str json,
                 void *ret_struct, struct err *ret_err)
{
    int rc = shape_open(s, json, ret_err);

    return rc < 0 ? rc : shape_decode_open(s, shape, json, ret_struct, ret_err);
}
