/* SPDX-License-Identifier: Apache-2.0 */
/* Is a GGUF file one that the pinned library can read without harm? Everything before the weights
 * is read here first (ggml/docs/gguf.md; version 2 and 3), by our own code, so that no length,
 * count or offset of a file from anywhere reaches the library unchecked: some of them end its
 * process (an alignment below 32, a token that stands twice), some cost it quadratic time. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_GGUF_CHECK_H
#define DARKBLOOM_PROVIDER_ENGINE_GGUF_CHECK_H

#include "provider/engine/gguf_read.h"

enum {
    GGUF_MAX_KEYS = 4096,
    GGUF_MAX_TENSORS = 16384,
    GGUF_MAX_KEY_BYTES = 255,
    GGUF_MAX_TENSOR_NAME_BYTES = 63,
    GGUF_MAX_STRING_BYTES = 64 << 20,
    GGUF_MAX_ARRAY_ELEMENTS = 16 << 20,
    GGUF_MAX_VOCABULARY = 1 << 20,
    GGUF_MAX_TOKEN_BYTES = 4096,
    GGUF_MAX_DIMENSIONS = 4,
    GGUF_MIN_ALIGNMENT = 32, /* also what holds where a file names none */
    GGUF_MAX_ALIGNMENT = 64 << 10,
    GGUF_MAX_SHARDS = 512,
    GGUF_MAX_WORD_BYTES = 63 /* names of an architecture, a tokenizer */
};

/* What a file said of itself. */
struct gguf_facts {
    uint32_t version;
    uint64_t n_tensors;
    /* "": not named, as in all shards but the first */
    char architecture[GGUF_MAX_WORD_BYTES + 1];
    char tokenizer[GGUF_MAX_WORD_BYTES + 1]; /* tokenizer.ggml.model */
    char pre[GGUF_MAX_WORD_BYTES + 1];       /* tokenizer.ggml.pre */
    int64_t file_type;                       /* general.file_type; -1: not named */
    uint32_t split_no, split_count;          /* count 0: not one of several */
    uint64_t split_tensors;                  /* of all shards together */
};

/* 0; ERR_CONFIG, with the file, the field, the limit and the way out; ERR_IO; ERR_NOMEM. Takes
 * time and memory in proportion to the part before the weights, which is not read. Any thread. */
int gguf_check(const struct gguf_source *source, struct gguf_facts *ret_facts, struct err *ret_err);

/* The same of an open file, from its first byte; `name` is for errors. */
int gguf_check_fd(int fd, const char *name, struct gguf_facts *ret_facts, struct err *ret_err);

#endif
