/* SPDX-License-Identifier: Apache-2.0 */
/* The types of GGUF values and tensors, and the names of quantizations, as the pinned library has
 * them (ggml.h, gguf.h, llama.h of llama.cpp 0.5.0). A test holds the tables against its headers
 * and functions. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_GGUF_TYPES_H
#define DARKBLOOM_PROVIDER_ENGINE_GGUF_TYPES_H

#include <stdint.h>

enum gguf_value {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_N_VALUES
};

/* Name of a type of value, and the bytes of one; 0 bytes for strings and arrays. NULL: no such. */
const char *gguf_value_name(uint32_t type);
uint32_t gguf_value_bytes(uint32_t type);

struct gguf_tensor_type {
    const char *name;
    uint32_t block_elements, block_bytes; /* a row is whole blocks */
};
/* NULL: the pinned library knows no such type, or reads it no more. */
const struct gguf_tensor_type *gguf_tensor_type(uint32_t type);

/* What general.file_type stands for, as models are named by it ("Q4_K_M"). NULL: unknown. */
const char *gguf_file_type_name(uint32_t file_type);

#endif
