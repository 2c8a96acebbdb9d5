/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_gguf.h"

#include <stdio.h>
#include <stdlib.h>

static void fake_gguf_check(bool good)
{
    if (!good)
        abort();
}

void fake_gguf_init(struct fake_gguf *g)
{
    *g = (struct fake_gguf){.alignment = 32, .magic = "GGUF", .version = 3};
    buf_init(&g->keys, FAKE_GGUF_MAX_BYTES);
    buf_init(&g->infos, FAKE_GGUF_MAX_BYTES);
    buf_init(&g->weights, FAKE_GGUF_MAX_BYTES);
    buf_init(&g->file, FAKE_GGUF_MAX_BYTES);
}

void fake_gguf_free(struct fake_gguf *g)
{
    buf_free(&g->keys);
    buf_free(&g->infos);
    buf_free(&g->weights);
    buf_free(&g->file);
}

static void fake_gguf_bytes(struct buf *b, const void *p, size_t n)
{
    fake_gguf_check(buf_append(b, p, n) == 0);
}

void fake_gguf_u32(struct buf *b, uint32_t value)
{
    fake_gguf_bytes(b, &value, sizeof value);
}

void fake_gguf_u64(struct buf *b, uint64_t value)
{
    fake_gguf_bytes(b, &value, sizeof value);
}

void fake_gguf_text(struct buf *b, struct str text)
{
    fake_gguf_u64(b, text.n);
    fake_gguf_bytes(b, text.p, text.n);
}

void fake_gguf_key(struct fake_gguf *g, struct str name, uint32_t type, struct str value)
{
    fake_gguf_text(&g->keys, name);
    fake_gguf_u32(&g->keys, type);
    fake_gguf_bytes(&g->keys, value.p, value.n);
    g->n_keys++;
}

static void fake_gguf_key_of(struct fake_gguf *g, const char *name, uint32_t type,
                             const void *value, size_t n)
{
    fake_gguf_key(g, str_from(name), type, (struct str){value, n});
}

void fake_gguf_key_u32(struct fake_gguf *g, const char *name, uint32_t value)
{
    fake_gguf_key_of(g, name, GGUF_U32, &value, sizeof value);
}

void fake_gguf_key_u16(struct fake_gguf *g, const char *name, uint32_t value)
{
    uint16_t v = (uint16_t)value;

    fake_gguf_key_of(g, name, GGUF_U16, &v, sizeof v);
}

void fake_gguf_key_i32(struct fake_gguf *g, const char *name, int32_t value)
{
    fake_gguf_key_of(g, name, GGUF_I32, &value, sizeof value);
}

void fake_gguf_key_text(struct fake_gguf *g, const char *name, struct str value)
{
    fake_gguf_key_of(g, name, GGUF_STRING, NULL, 0);
    fake_gguf_text(&g->keys, value);
}

static void fake_gguf_array(struct fake_gguf *g, const char *name, uint32_t element, size_t n)
{
    fake_gguf_key_of(g, name, GGUF_ARRAY, NULL, 0);
    fake_gguf_u32(&g->keys, element);
    fake_gguf_u64(&g->keys, n);
}

void fake_gguf_key_texts(struct fake_gguf *g, const char *name, const struct str *values, size_t n)
{
    fake_gguf_array(g, name, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        fake_gguf_text(&g->keys, values[i]);
}

void fake_gguf_key_i32s(struct fake_gguf *g, const char *name, const int32_t *values, size_t n)
{
    fake_gguf_array(g, name, GGUF_I32, n);
    fake_gguf_bytes(&g->keys, values, n * sizeof *values);
}

void fake_gguf_key_f32s(struct fake_gguf *g, const char *name, const float *values, size_t n)
{
    fake_gguf_array(g, name, GGUF_F32, n);
    fake_gguf_bytes(&g->keys, values, n * sizeof *values);
}

static void fake_gguf_fill(struct buf *b, size_t alignment)
{
    static const char zeros[64];

    while (buf_view(b).n % alignment != 0)
        fake_gguf_bytes(b, zeros, 1);
}

/* Of dimensions that a file can have; others have no weights. */
static uint64_t fake_gguf_weight_bytes(const struct fake_gguf_tensor *t)
{
    const struct gguf_tensor_type *type = gguf_tensor_type(t->type);
    uint64_t n = 1;

    for (uint32_t i = 0; i < t->n_dims && i < FAKE_GGUF_DIMS; i++)
        n *= t->dims[i];
    return type ? n / type->block_elements * type->block_bytes : 0;
}

void fake_gguf_tensor(struct fake_gguf *g, const struct fake_gguf_tensor *t)
{
    uint64_t offset = buf_view(&g->weights).n + (uint64_t)t->moved;

    fake_gguf_text(&g->infos, str_from(t->name));
    fake_gguf_u32(&g->infos, t->n_dims);
    for (uint32_t i = 0; i < t->n_dims && i < FAKE_GGUF_DIMS; i++)
        fake_gguf_u64(&g->infos, t->dims[i]);
    fake_gguf_u32(&g->infos, t->type);
    fake_gguf_u64(&g->infos, offset);
    g->n_tensors++;
    for (uint64_t n = t->no_weights ? 0 : fake_gguf_weight_bytes(t); n > 0; n--)
        fake_gguf_bytes(&g->weights, "", 1);
    fake_gguf_fill(&g->weights, g->alignment);
}

struct str fake_gguf_file(struct fake_gguf *g)
{
    struct buf *f = &g->file;

    buf_free(f);
    buf_init(f, FAKE_GGUF_MAX_BYTES);
    fake_gguf_bytes(f, g->magic, 4);
    fake_gguf_u32(f, g->version);
    fake_gguf_u64(f, g->says_tensors ? g->said_tensors : g->n_tensors);
    fake_gguf_u64(f, g->says_keys ? g->said_keys : g->n_keys);
    fake_gguf_bytes(f, buf_view(&g->keys).p, buf_view(&g->keys).n);
    fake_gguf_bytes(f, buf_view(&g->infos).p, buf_view(&g->infos).n);
    if (g->n_tensors > 0)
        fake_gguf_fill(f, g->alignment);
    fake_gguf_bytes(f, buf_view(&g->weights).p, buf_view(&g->weights).n);
    return buf_view(f);
}

void fake_gguf_write(struct fake_gguf *g, const char *path)
{
    struct str bytes = fake_gguf_file(g);
    FILE *f = fopen(path, "we");

    fake_gguf_check(f && fwrite(bytes.p, 1, bytes.n, f) == bytes.n);
    fake_gguf_check(fclose(f) == 0);
}
