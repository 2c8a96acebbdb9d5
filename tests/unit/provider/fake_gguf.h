/* SPDX-License-Identifier: Apache-2.0 */
/* Writes GGUF files, right and wrong ones: what is said of a key or a tensor is written as said. */
#ifndef DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_GGUF_H
#define DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_GGUF_H

#include "base/buf.h"
#include "provider/engine/gguf_types.h"

/* Bytes of a literal, NULs included. */
#define RAW(literal) ((struct str){(literal), sizeof(literal) - 1})

enum { FAKE_GGUF_DIMS = 8, FAKE_GGUF_MAX_BYTES = 64 << 20 };

struct fake_gguf_tensor {
    const char *name;
    uint32_t n_dims;
    uint64_t dims[FAKE_GGUF_DIMS];
    uint32_t type;
    int64_t moved;   /* from where it belongs, bytes */
    bool no_weights; /* none follow */
};

struct fake_gguf {
    struct buf keys, infos, weights, file;
    uint64_t n_keys, n_tensors;
    uint32_t alignment;
    /* what the head says, where it is not the truth */
    const char *magic;
    uint32_t version;
    bool says_keys, says_tensors;
    uint64_t said_keys, said_tensors;
};

void fake_gguf_init(struct fake_gguf *g);
void fake_gguf_free(struct fake_gguf *g);

void fake_gguf_u32(struct buf *b, uint32_t value);
void fake_gguf_u64(struct buf *b, uint64_t value);
void fake_gguf_text(struct buf *b, struct str text); /* length and bytes */

/* A key with its value as it stands in the file. */
void fake_gguf_key(struct fake_gguf *g, struct str name, uint32_t type, struct str value);
void fake_gguf_key_u32(struct fake_gguf *g, const char *name, uint32_t value);
void fake_gguf_key_u16(struct fake_gguf *g, const char *name, uint32_t value);
void fake_gguf_key_i32(struct fake_gguf *g, const char *name, int32_t value);
void fake_gguf_key_text(struct fake_gguf *g, const char *name, struct str value);
void fake_gguf_key_texts(struct fake_gguf *g, const char *name, const struct str *values, size_t n);
void fake_gguf_key_i32s(struct fake_gguf *g, const char *name, const int32_t *values, size_t n);
void fake_gguf_key_f32s(struct fake_gguf *g, const char *name, const float *values, size_t n);
/* Its weights are zeros. */
void fake_gguf_tensor(struct fake_gguf *g, const struct fake_gguf_tensor *t);

/* The whole file; lives until fake_gguf_free. */
struct str fake_gguf_file(struct fake_gguf *g);
/* Into a file at `path`. */
void fake_gguf_write(struct fake_gguf *g, const char *path);

#endif
