/* SPDX-License-Identifier: Apache-2.0 */
/* The table-driven JSON codec: a shape lists the fields of a struct with their wire names and
 * types, and one decoder and one encoder serve all shapes (after dqlite's X-macro messages).
 * Parsing is yyjson's; output is compact JSON with UTF-8 passed through and no HTML escaping. */
#ifndef DARKBLOOM_PROTO_SHAPE_H
#define DARKBLOOM_PROTO_SHAPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define PROTO_UNSET INT64_MIN /* an absent optional integer */
enum { PROTO_TRI_UNSET = -1, PROTO_TRI_FALSE = 0, PROTO_TRI_TRUE = 1 };

/* Entries of one list or map, values (elements, members, names) of one frame: more is ERR_LIMIT,
 * before memory is taken for them. A register of 256 models has some 4,000 values. */
enum { PROTO_LIST_MAX = 1024, PROTO_VALUES_MAX = 64 << 10 };

struct proto_strs {
    struct str *items;
    size_t n;
};

struct proto_pair {
    struct str key, value;
};

struct proto_map {
    struct proto_pair *items; /* in order of appearance; encoded sorted by key */
    size_t n;
};

enum shape_type {
    SHAPE_STR,
    SHAPE_I64, /* fractions and out-of-range numbers are ERR_TYPE */
    SHAPE_F64,
    SHAPE_BOOL,
    SHAPE_TRI,  /* int: PROTO_TRI_* */
    SHAPE_RAW,  /* struct str: the value's bytes exactly as received; encoded verbatim */
    SHAPE_STRS, /* struct proto_strs */
    SHAPE_MAP,  /* struct proto_map: object of strings */
    SHAPE_OBJ,  /* embedded struct; `has_offset` names a bool that tells presence */
    SHAPE_OBJS, /* pointer to elements; `count_offset` names a size_t */
};

enum {
    SHAPE_REQUIRED = 1,   /* absent or null: ERR_MISSING */
    SHAPE_OMIT_EMPTY = 2, /* encoder leaves out empty strings and lists, PROTO_UNSET, a F64 of 0, a
                             BOOL that is false, an absent object; a zero of I64 is written */
    SHAPE_NULL_EMPTY = 4, /* encoder writes null for an absent string */
};

struct shape;

struct shape_field {
    const char *name; /* NULL ends the list */
    enum shape_type type;
    unsigned flags;
    size_t offset;
    size_t other_offset; /* SHAPE_OBJ: bool has_…, SHAPE_OBJS: size_t n_…; SIZE_MAX: none */
    const struct shape *(*sub)(void); /* SHAPE_OBJ, SHAPE_OBJS */
};

struct shape {
    const char *name;
    const struct shape_field *fields;
    size_t size; /* of the struct */
};

/* Memory of decoded messages, reused from one to the next without touching the heap. What a message
 * took is wiped before the next one or the end: a register carries a token. */
struct proto_scratch {
    struct arena region;
    char *mem; /* yyjson's pool */
    size_t mem_bytes, mem_used;
    void *doc;
};

/* `max_bytes` bounds what one message may take (struct, strings, parse tree). */
int proto_scratch_init(struct proto_scratch *s, size_t max_bytes);
void proto_scratch_free(struct proto_scratch *s);

/* Decode a JSON object into `ret_struct` (set to absent values first). Errors name the field. */
int shape_decode(struct proto_scratch *s, const struct shape *shape, struct str json,
                 void *ret_struct, struct err *ret_err);

/* The same in two steps, for a caller that must look at a member first: parse (the text must stay
 * until the scratch is used again), read a top-level string (.p NULL: absent or null;
 * ERR_TYPE: anything else than a string), decode. */
int shape_open(struct proto_scratch *s, struct str json, struct err *ret_err);
int shape_open_str(const struct proto_scratch *s, const char *name, struct str *ret_value,
                   struct err *ret_err);
int shape_decode_open(struct proto_scratch *s, const struct shape *shape, struct str json,
                      void *ret_struct, struct err *ret_err);

/* Append the object. 0, ERR_LIMIT, ERR_NOMEM. */
int shape_encode(const struct shape *shape, const void *value, struct buf *out);

/* Append only its members, with a comma before the first unless `first`. */
int shape_encode_members(const struct shape *shape, const void *value, bool first, struct buf *out);

/* Append an object of strings, keys sorted bytewise. */
int json_append_map(struct buf *out, const struct proto_map *map);

/* Append `s` as a JSON string with quotes (invalid UTF-8 becomes U+FFFD). */
int json_append_str(struct buf *out, struct str s);

#endif
