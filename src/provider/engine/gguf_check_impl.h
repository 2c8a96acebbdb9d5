/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of gguf_check: what is known of a file while it is read. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_GGUF_CHECK_IMPL_H
#define DARKBLOOM_PROVIDER_ENGINE_GGUF_CHECK_IMPL_H

#include "base/arena.h"
#include "base/map.h"
#include "provider/engine/gguf_check.h"

struct gguf_checker {
    struct gguf_reader r;
    struct gguf_facts facts;
    uint64_t n_keys;
    uint64_t alignment;
    uint64_t data_bytes; /* of the tensors so far, each filled up to the alignment */
    uint64_t data_end;   /* of their last byte, which is not filled up */
    uint64_t n_vocabulary, n_scores, n_token_types;
    bool has_split_no, has_split_count, has_split_tensors, has_scores, has_token_types;
    struct arena region;
    struct map keys, tensors, tokens;
};

/* gguf_keys.c */
/* A string of 1 to `max` bytes without NUL that stands in `seen` no more than once. */
int gguf_take_name(struct gguf_checker *c, struct map *seen, const char *kind, uint64_t max,
                   struct str *ret_name);
/* The next key and its value. */
int gguf_check_key(struct gguf_checker *c);
/* When all keys are read: tokens beside their scores and types; the numbers of a shard. */
int gguf_check_vocabulary(struct gguf_checker *c);
int gguf_check_split(struct gguf_checker *c);

#endif
