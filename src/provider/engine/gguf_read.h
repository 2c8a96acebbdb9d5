/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers and strings of a GGUF file (little endian; ggml/docs/gguf.md), read through a block
 * of memory, never beyond the file's end, whatever a length in it says. Errors name the file and
 * the field that was being read. One thread. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_GGUF_READ_H
#define DARKBLOOM_PROVIDER_ENGINE_GGUF_READ_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { GGUF_BLOCK_BYTES = 32 << 10, GGUF_FIELD_BYTES = 96 };

/* Where the bytes come from: a file in the product. */
struct gguf_source {
    const char *name; /* in errors */
    uint64_t size;    /* bytes */
    /* Exactly `n` bytes from `at`, which are inside `size`. 0, or ERR_IO: it is not so long any
     * more, or cannot be read. */
    int (*read)(void *ud, uint64_t at, void *to, size_t n);
    void *ud;
};

struct gguf_reader {
    struct gguf_source source;
    struct err *err;              /* may be NULL */
    uint64_t at;                  /* of the next byte */
    char field[GGUF_FIELD_BYTES]; /* what is being read, for errors */
    uint64_t block_at;
    size_t block_n;
    uint8_t block[GGUF_BLOCK_BYTES];
};

/* `err` is filled by whatever fails first. */
void gguf_reader_init(struct gguf_reader *r, const struct gguf_source *source, struct err *err);

/* Name the field that is read next. Bytes that do not print stand as '?'. */
void gguf_reader_field(struct gguf_reader *r, const char *kind, struct str name);

/* "FILE: FIELD <what>" into the reader's error, <what> as in printf; yields `code`. `r` is
 * evaluated more than once. */
#define gguf_reader_fail(r, code, what, ...) \
    err_set((r)->err, code, "%.60s: %s " what, (r)->source.name, (r)->field, ##__VA_ARGS__)

/* 0; ERR_CONFIG: the file ends before; ERR_IO. */
int gguf_read_bytes(struct gguf_reader *r, void *ret_bytes, size_t n);
int gguf_read_u32(struct gguf_reader *r, uint32_t *ret_value);
int gguf_read_u64(struct gguf_reader *r, uint64_t *ret_value);
/* As many bytes ahead without looking at them; also ERR_CONFIG for more than the file has. */
int gguf_read_skip(struct gguf_reader *r, uint64_t n);

#endif
