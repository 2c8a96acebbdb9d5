/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what crosses between daemon and engine, and the codec that follows it. */
#include "provider/wire/wire.h"

#include "base/check.h"

enum { INT_BYTES = 8, LENGTH_BYTES = 4 };

enum wire_kind {
    WIRE_INT,   /* a whole number, bool or enum of 1, 4 or 8 bytes in memory */
    WIRE_BYTES, /* anything */
    WIRE_TEXT   /* UTF-8 */
};

struct wire_field {
    enum wire_kind kind;
    size_t offset, size;
    int64_t min, max; /* of the number; max: bytes of the text */
};

/* --- the table --- */

#define IN(type, field, least, most)                                                           \
    {                                                                                          \
        .kind = WIRE_INT, .offset = offsetof(type, field), .size = sizeof(((type *)0)->field), \
        .min = (least), .max = (most)                                                          \
    }
#define FLAG(type, field)  IN(type, field, 0, 1)
#define COUNT(type, field) IN(type, field, 0, (int64_t)1 << 53)
#define ANY(type, field)   IN(type, field, INT64_MIN, INT64_MAX)
#define BYTES(type, field, most)                                           \
    {                                                                      \
        .kind = WIRE_BYTES, .offset = offsetof(type, field), .max = (most) \
    }
#define TEXT(type, field, most)                                           \
    {                                                                     \
        .kind = WIRE_TEXT, .offset = offsetof(type, field), .max = (most) \
    }

static const struct wire_field wire_open_fields[] = {
    TEXT(struct wire_open, version, WIRE_NAME_MAX_BYTES),
    BYTES(struct wire_open, model_path, WIRE_PATH_MAX_BYTES),
    IN(struct wire_open, slots, 1, 1024),
    IN(struct wire_open, context_tokens, 0, INT32_MAX),
    IN(struct wire_open, threads, 0, 4096),
    FLAG(struct wire_open, invariant),
    COUNT(struct wire_open, max_waiting),
    ANY(struct wire_open, seed),
    COUNT(struct wire_open, memory_growth_bytes),
};

static const struct wire_field wire_submit_fields[] = {
    ANY(struct wire_submit, tag),
    BYTES(struct wire_submit, body, WIRE_BODY_MAX_BYTES),
};

static const struct wire_field wire_cancel_fields[] = {
    ANY(struct wire_cancel, tag),
};

static const struct wire_field wire_ready_fields[] = {
    TEXT(struct wire_ready, version, WIRE_NAME_MAX_BYTES),
    IN(struct wire_ready, context_tokens, 1, INT32_MAX),
    IN(struct wire_ready, max_seqs, 1, 1024),
    FLAG(struct wire_ready, invariant),
    IN(struct wire_ready, template_overhead, 0, INT32_MAX),
    COUNT(struct wire_ready, size_bytes),
    TEXT(struct wire_ready, quantization, WIRE_NAME_MAX_BYTES),
    TEXT(struct wire_ready, weight_hash, WIRE_NAME_MAX_BYTES),
    FLAG(struct wire_ready, no_new_files),
    FLAG(struct wire_ready, no_network),
    FLAG(struct wire_ready, filtered),
    FLAG(struct wire_ready, not_dumpable),
    IN(struct wire_ready, landlock_abi, 0, 1024),
};

static const struct wire_field wire_refused_fields[] = {
    IN(struct wire_refused, code, -1024, -1),
    TEXT(struct wire_refused, text, WIRE_NAME_MAX_BYTES),
};

static const struct wire_field wire_event_fields[] = {
    IN(struct engine_event, kind, ENGINE_ADMITTED, ENGINE_FAILED),
    ANY(struct engine_event, tag),
    TEXT(struct engine_event, text, WIRE_TEXT_MAX_BYTES),
    IN(struct engine_event, tokens, 0, INT32_MAX),
    IN(struct engine_event, prompt_tokens, 0, INT32_MAX),
    IN(struct engine_event, completion_tokens, 0, INT32_MAX),
    IN(struct engine_event, finish, CHUNK_FINISH_NONE, CHUNK_FINISH_TOOL_CALLS),
    IN(struct engine_event, code, -1024, 0),
    IN(struct engine_event, channel, ENGINE_CONTENT, ENGINE_LOGPROBS),
    IN(struct engine_event, call, 0, INT32_MAX),
    IN(struct engine_event, wrong, ENGINE_WRONG_NONE, ENGINE_WRONG_COUNT - 1),
};

static const struct wire_field wire_load_fields[] = {
    COUNT(struct load, running),        COUNT(struct load, waiting),
    COUNT(struct load, active_tokens),  COUNT(struct load, max_tokens_potential),
    COUNT(struct load, forward_passes),
};

static const struct wire_field wire_last_words_fields[] = {
    TEXT(struct wire_last_words, text, WIRE_NAME_MAX_BYTES),
};

static const struct wire_shape {
    const struct wire_field *fields;
    size_t n;
    enum wire_end from;
    size_t offset; /* of the member in struct wire_msg */
} wire_shapes[] = {
#define WIRE_SHAPE(name, member, type, end)                                          \
    [WIRE_##name] = {wire_##member##_fields,                                         \
                     sizeof wire_##member##_fields / sizeof(struct wire_field), end, \
                     offsetof(struct wire_msg, member)},
    WIRE_MESSAGES(WIRE_SHAPE)
#undef WIRE_SHAPE
};

/* --- numbers --- */

static int64_t wire_load_int(const char *at, size_t size)
{
    int64_t i64;
    int32_t i32;
    bool b;

    switch (size) {
    case sizeof i64:
        memcpy(&i64, at, sizeof i64);
        return i64;
    case sizeof i32:
        memcpy(&i32, at, sizeof i32);
        return i32;
    default:
        memcpy(&b, at, sizeof b);
        return b;
    }
}

static void wire_store_int(char *at, size_t size, int64_t value)
{
    int32_t i32 = (int32_t)value;
    bool b = value != 0;

    CHECK(size == sizeof value || size == sizeof i32 || size == sizeof b);
    memcpy(at,
           size == sizeof value ? (void *)&value
           : size == sizeof i32 ? (void *)&i32
                                : &b,
           size);
}

static void wire_put_le(char *at, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        at[i] = (char)(value >> (8 * i));
}

static uint64_t wire_get_le(const char *at, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return value;
}

/* --- writing --- */

static struct str wire_text_of(const struct wire_field *f, const char *of)
{
    struct str text;

    memcpy(&text, of + f->offset, sizeof text);
    return text;
}

/* The payload's length, or ERR_RANGE. */
static int64_t wire_measure(const struct wire_shape *shape, const char *of)
{
    int64_t n = 0;

    for (size_t i = 0; i < shape->n; i++) {
        const struct wire_field *f = &shape->fields[i];

        if (f->kind == WIRE_INT) {
            int64_t value = wire_load_int(of + f->offset, f->size);

            if (value < f->min || value > f->max)
                return ERR_RANGE;
            n += INT_BYTES;
        } else {
            struct str text = wire_text_of(f, of);

            if (text.n > (size_t)f->max)
                return ERR_RANGE;
            n += LENGTH_BYTES + (int64_t)text.n;
        }
    }
    return n;
}

static char *wire_put_field(char *at, const struct wire_field *f, const char *of)
{
    struct str text;

    if (f->kind == WIRE_INT) {
        wire_put_le(at, (uint64_t)wire_load_int(of + f->offset, f->size), INT_BYTES);
        return at + INT_BYTES;
    }
    text = wire_text_of(f, of);
    wire_put_le(at, text.n, LENGTH_BYTES);
    if (text.n > 0)
        memcpy(at + LENGTH_BYTES, text.p, text.n);
    return at + LENGTH_BYTES + text.n;
}

int wire_append(struct buf *out, const struct wire_msg *m)
{
    const struct wire_shape *shape = &wire_shapes[m->type];
    const char *of = (const char *)m + shape->offset;
    int64_t n = wire_measure(shape, of);
    size_t room = out->max_bytes - out->len;
    char *at;

    if (n < 0)
        return (int)n;
    at = buf_reserve(out, WIRE_HEAD_BYTES + (size_t)n);
    if (!at)
        return room < WIRE_HEAD_BYTES + (size_t)n ? ERR_LIMIT : ERR_NOMEM;
    wire_put_le(at, (uint64_t)n, LENGTH_BYTES);
    at[LENGTH_BYTES] = (char)m->type;
    at += WIRE_HEAD_BYTES;
    for (size_t i = 0; i < shape->n; i++)
        at = wire_put_field(at, &shape->fields[i], of);
    buf_commit(out, WIRE_HEAD_BYTES + (size_t)n);
    return 0;
}

/* --- reading --- */

static uint64_t wire_longest(const struct wire_shape *shape)
{
    uint64_t n = 0;

    for (size_t i = 0; i < shape->n; i++)
        n += shape->fields[i].kind == WIRE_INT ? INT_BYTES
                                               : LENGTH_BYTES + (uint64_t)shape->fields[i].max;
    return n;
}

static int wire_take_int(struct str *rest, const struct wire_field *f, char *to)
{
    int64_t value;

    if (rest->n < INT_BYTES)
        return ERR_PROTOCOL;
    value = (int64_t)wire_get_le(rest->p, INT_BYTES);
    if (value < f->min || value > f->max)
        return ERR_PROTOCOL;
    wire_store_int(to + f->offset, f->size, value);
    *rest = (struct str){rest->p + INT_BYTES, rest->n - INT_BYTES};
    return 0;
}

static int wire_take_text(struct str *rest, const struct wire_field *f, char *to)
{
    struct str text;

    if (rest->n < LENGTH_BYTES)
        return ERR_PROTOCOL;
    text = (struct str){rest->p + LENGTH_BYTES, wire_get_le(rest->p, LENGTH_BYTES)};
    if (text.n > (size_t)f->max || text.n > rest->n - LENGTH_BYTES ||
        (f->kind == WIRE_TEXT && !str_is_utf8(text)))
        return ERR_PROTOCOL;
    memcpy(to + f->offset, &text, sizeof text);
    *rest = (struct str){text.p + text.n, rest->n - LENGTH_BYTES - text.n};
    return 0;
}

static int wire_take_fields(const struct wire_shape *shape, struct str payload, char *to)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < shape->n; i++)
        rc = shape->fields[i].kind == WIRE_INT ? wire_take_int(&payload, &shape->fields[i], to)
                                               : wire_take_text(&payload, &shape->fields[i], to);
    return rc == 0 && payload.n > 0 ? ERR_PROTOCOL : rc;
}

int wire_next(struct str in, enum wire_end from, struct wire_msg *ret_msg, size_t *ret_bytes)
{
    const struct wire_shape *shape;
    struct wire_msg m = {0};
    uint64_t n;
    int rc;

    if (in.n < WIRE_HEAD_BYTES)
        return 0;
    m.type = (enum wire_type)(unsigned char)in.p[LENGTH_BYTES];
    if (m.type >= WIRE_TYPES)
        return ERR_PROTOCOL;
    shape = &wire_shapes[m.type];
    n = wire_get_le(in.p, LENGTH_BYTES);
    if (shape->from != from || n > wire_longest(shape))
        return ERR_PROTOCOL;
    if (in.n - WIRE_HEAD_BYTES < n)
        return 0;
    rc = wire_take_fields(shape, (struct str){in.p + WIRE_HEAD_BYTES, n},
                          (char *)&m + shape->offset);
    if (rc < 0)
        return rc;
    *ret_msg = m;
    *ret_bytes = WIRE_HEAD_BYTES + n;
    return 1;
}
